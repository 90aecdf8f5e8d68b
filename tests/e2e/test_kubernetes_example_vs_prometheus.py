"""examples/kubernetes beside a real Prometheus, over one API server: the same targets, before and after changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.test_eureka_vs_prometheus import same
from tests.examples.test_kubernetes_examples import PODS, SCRAPE, VARIANTS, config_file, pod, port
from tests.kubernetes_server import KubernetesServer
from tests.servers import QUICK_DISCOVERY, binary, free_port, rulepush_command, running


@pytest.mark.e2e
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_example_finds_what_prometheus_finds(variant: str, tmp_path: Path) -> None:
    ports = [free_port(), free_port()]
    bases = [f"http://127.0.0.1:{number}" for number in ports]
    config = config_file(variant, tmp_path)
    with KubernetesServer(*PODS) as server:
        text = config.read_text(encoding="utf-8")
        text = text.replace("- role: pod", f"- role: pod\n        api_server: {server.url}")
        config.write_text(text.replace("scrape_interval: 15s", "scrape_interval: 1h"), encoding="utf-8")
        prometheus = [
            binary("prometheus"),
            f"--config.file={config}",
            f"--storage.tsdb.path={tmp_path / 'data'}",
            f"--web.listen-address=127.0.0.1:{ports[0]}",
            QUICK_DISCOVERY,
        ]
        ours = rulepush_command(
            "run", f"--config.file={config}", f"--web.listen-address=127.0.0.1:{ports[1]}", QUICK_DISCOVERY
        )
        with (
            running(prometheus, tmp_path / "prometheus.log", f"{bases[0]}/-/ready"),
            running(ours, tmp_path / "rulepush.log", f"{bases[1]}/-/ready"),
        ):
            first = same(bases, lambda found: len(found["active"]) >= 11)
            assert len(first["active"]) == {"namespaces": 11, "cluster": 12}[variant]
            assert first["dropped"]
            server.delete("Pod", "shop/cart-1")
            server.put(pod("shop", "cart-2", "10.0.0.20", [port(8080)], {SCRAPE: "true"}))
            server.put(pod("shop", "plain-1", "10.0.0.7", [port(8080, "http")], {SCRAPE: "true"}))
            later = same(
                bases,
                lambda found: any("10.0.0.20" in t["scrapeUrl"] for t in found["active"]),
            )
            urls = [t["scrapeUrl"] for t in later["active"]]
            assert "http://10.0.0.7:8080/metrics" in urls
            assert not any("10.0.0.1:" in url for url in urls)
