"""examples/kubernetes beside a real Prometheus, over one API server: the same targets, before and after changes."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e.discovery_pair import discovery_pair
from tests.e2e.test_eureka_vs_prometheus import targets
from tests.examples.test_kubernetes_examples import PODS, SCRAPE, VARIANTS, config_file, pod, port
from tests.kubernetes_server import KubernetesServer


@pytest.mark.e2e
def test_the_example_finds_what_prometheus_finds(tmp_path: Path) -> None:
    with KubernetesServer(*PODS) as server, ExitStack() as stack:
        pairs = {}
        for variant in VARIANTS:
            (directory := tmp_path / variant).mkdir()
            config = config_file(variant, directory)
            text = config.read_text(encoding="utf-8")
            text = text.replace("- role: pod", f"- role: pod\n        api_server: {server.url}")
            config.write_text(text.replace("scrape_interval: 15s", "scrape_interval: 1h"), encoding="utf-8")
            pairs[variant] = stack.enter_context(discovery_pair(config))
        for variant, pair in pairs.items():
            first = pair.agree(targets, lambda found: len(found["active"]) >= 11)
            assert len(first["active"]) == {"namespaces": 11, "cluster": 12}[variant]
            assert first["dropped"]
        server.delete("Pod", "shop/cart-1")
        server.put(pod("shop", "cart-2", "10.0.0.20", [port(8080)], {SCRAPE: "true"}))
        server.put(pod("shop", "plain-1", "10.0.0.7", [port(8080, "http")], {SCRAPE: "true"}))
        for pair in pairs.values():
            later = pair.agree(targets, lambda found: any("10.0.0.20" in t["scrapeUrl"] for t in found["active"]))
            urls = [t["scrapeUrl"] for t in later["active"]]
            assert "http://10.0.0.7:8080/metrics" in urls
            assert not any("10.0.0.1:" in url for url in urls)
