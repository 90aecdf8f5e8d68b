"""rulepush as a process, with kubernetes_sd_configs against the fake API server."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.http_server import HttpReply, LoopbackServer
from tests.kubernetes_objects import container, pod
from tests.kubernetes_server import KubernetesServer, forbidden
from tests.servers import QUICK_DISCOVERY, free_port, get_json, rulepush_command, running, wait_for

pytestmark = pytest.mark.e2e


@pytest.fixture
def app() -> Iterator[int]:
    """The port of an application with metrics."""
    server = LoopbackServer(lambda _: HttpReply(b"app_up 1\n"))
    yield int(server.address.rpartition(":")[2])
    server.close()


def app_pod(name: str, port: int, namespace: str = "shop") -> dict[str, Any]:
    return pod(name, namespace, ip="127.0.0.1", containers=[container(ports=[("http", port)])])


def job(name: str, api: KubernetesServer, more: str = "") -> str:
    return f"- {{job_name: {name}, kubernetes_sd_configs: [{{role: pod, api_server: '{api.url}'{more}}}]}}\n"


def test_check_live_names_what_rbac_forbids_and_what_is_missing_outside_of_a_cluster(tmp_path: Path, app: int) -> None:
    """All jobs in one run: it waits for the lists of all of them together."""
    config = tmp_path / "rulepush.yml"
    with KubernetesServer(app_pod("web-1", app)) as api:
        api.refuse = lambda request: forbidden(request) if request.namespace != "shop" else None
        both = ", namespaces: {names: [shop, x]}"
        one = ", namespaces: {names: [x]}"
        inside = "- {job_name: inside, kubernetes_sd_configs: [{role: pod}]}\n"
        jobs = job("both", api, both) + job("one", api, one) + job("all", api) + inside
        config.write_text("scrape_configs:\n" + jobs)
        command = rulepush_command("check", "live", "--config.file", str(config))
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    who = "system:serviceaccount:monitoring:rulepush"
    assert done.returncode == 1
    assert f'forbidden: pods in namespace "x": the role of {who} needs list and watch for pods' in done.stdout
    assert f"forbidden: pods in all namespaces: a ClusterRole of {who} needs list and watch for pods" in done.stdout
    assert "job both: no targets" not in done.stdout  # the namespace that is allowed has one
    assert "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT must be defined" in done.stdout
    assert "Traceback" not in done.stderr


def test_pods_that_come_and_go_are_scraped_at_once(tmp_path: Path, app: int) -> None:
    config, port = tmp_path / "rulepush.yml", free_port()
    with KubernetesServer(app_pod("web-1", app)) as api:
        relabel = "relabel_configs: [{source_labels: [__meta_kubernetes_pod_name], target_label: pod}]"
        text = f"kubernetes_sd_configs: [{{role: pod, api_server: '{api.url}'}}], {relabel}"
        config.write_text(
            f"global: {{scrape_interval: 1s}}\nscrape_configs: [{{job_name: pods, {text}}}]\n",
        )
        command = rulepush_command(
            "run",
            f"--config.file={config}",
            f"--web.listen-address=127.0.0.1:{port}",
            QUICK_DISCOVERY,
        )
        url = f"http://127.0.0.1:{port}"

        def up() -> list[str]:
            targets = get_json(f"{url}/api/v1/targets")["data"]["activeTargets"]
            return sorted(t["labels"]["pod"] for t in targets if t["health"] == "up")

        with running(command, tmp_path / "rulepush.log"):
            wait_for("the first pod", lambda: up() == ["web-1"], 60)
            api.put(app_pod("web-2", app))
            wait_for("a new pod", lambda: up() == ["web-1", "web-2"], 60)
            api.delete("Pod", "shop/web-1")
            wait_for("the end of a pod", lambda: up() == ["web-2"], 60)
            assert len(api.asked("list", "pods")) == 1
