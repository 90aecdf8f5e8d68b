"""The fake API server of the tests is good enough for the real Prometheus: for client-go, that is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kubernetes_objects import (
    endpoint,
    endpoints,
    endpointslice,
    ingress,
    node,
    pod,
    service,
    subset,
    target_ref,
)
from tests.kubernetes_server import ApiReply, ApiRequest, KubernetesServer, forbidden
from tests.needs import binary
from tests.servers import free_port, get_json, running, wait_for

pytestmark = pytest.mark.e2e

ROLES = ("pod", "endpoints", "endpointslice", "service", "node", "ingress")


PATIENCE_S = 90.0  # on a busy machine, with Prometheus' own 5 s for what its discoveries found


class Cluster:
    """The fake with one object of each kind, and a Prometheus that discovers all of them by role."""

    def __init__(self, api: KubernetesServer, url: str):
        self.api = api
        self.url = url

    def found(self, job: str) -> list[str]:
        """The addresses of a job."""
        targets = get_json(f"{self.url}/api/v1/targets", state="active")["data"]["activeTargets"]
        return sorted(t["discoveredLabels"]["__address__"] for t in targets if t["scrapePool"] == job)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    tmp_path = tmp_path_factory.mktemp("prometheus")
    api = KubernetesServer(
        pod("web-1", ip="10.0.0.1", labels={"app": "web"}),
        service("web"),
        endpoints("web", subsets=[subset([{"ip": "10.0.0.1", "targetRef": target_ref("Pod", "web-1")}])]),
        endpointslice("web-x1", service="web", endpoints=[endpoint("10.0.0.1", target=target_ref("Pod", "web-1"))]),
        node("n1"),
        ingress("web", hosts={"web.example.com": ["/"]}),
    )
    config = tmp_path / "prometheus.yml"
    jobs = [
        f"- {{job_name: {role}, kubernetes_sd_configs: [{{role: {role}, api_server: '{api.url}'}}]}}" for role in ROLES
    ]
    jobs.append(
        f"- {{job_name: selected, kubernetes_sd_configs: [{{role: pod, api_server: '{api.url}', "
        "namespaces: {names: [default, other]}, selectors: [{role: pod, label: 'app in (web,api)'}]}]}"
    )
    config.write_text("global: {scrape_interval: 1h}\nscrape_configs:\n" + "\n".join(jobs) + "\n")
    port = free_port()
    command = [
        binary("prometheus"),
        f"--config.file={config}",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    url = f"http://127.0.0.1:{port}"
    with api, running(command, tmp_path / "prometheus.log", f"{url}/-/ready"):
        yield Cluster(api, url)


def test_prometheus_discovers_every_role_and_follows_changes_a_cut_and_a_forgotten_past(
    cluster: Cluster,
) -> None:
    """One test, for each step starts from the one before."""
    expected = {
        "pod": ["10.0.0.1:8080"],
        "endpoints": ["10.0.0.1:8080"],
        "endpointslice": ["10.0.0.1:8080"],
        "service": ["web.default.svc:80"],
        "node": ["192.168.0.1:10250"],
        "ingress": ["web.example.com"],
        "selected": ["10.0.0.1:8080"],
    }
    wait_for("targets", lambda: {job: cluster.found(job) for job in expected} == expected, PATIENCE_S)

    api = cluster.api
    api.put(pod("web-2", ip="10.0.0.2"))
    wait_for("an added pod", lambda: cluster.found("pod") == ["10.0.0.1:8080", "10.0.0.2:8080"], PATIENCE_S)
    assert cluster.found("selected") == ["10.0.0.1:8080"]
    api.delete("Pod", "default/web-1")
    api.cut_streams(inside_a_line=True)
    api.put(pod("web-3", ip="10.0.0.3"))
    wait_for("pods after the cut", lambda: cluster.found("pod") == ["10.0.0.2:8080", "10.0.0.3:8080"], PATIENCE_S)
    wait_for("a deleted pod", lambda: cluster.found("selected") == [], PATIENCE_S)
    lists = len(api.asked("list", "pods"))
    api.bookmark()
    api.compact()
    api.put(pod("web-4", ip="10.0.0.4"))
    api.compact()
    api.cut_streams()
    # After several breaks client-go waits for up to a minute (reflector.go: 30 s, by chance doubled).
    wait_for("a pod after 410", lambda: "10.0.0.4:8080" in cluster.found("pod"), PATIENCE_S)
    wait_for("a new list", lambda: len(api.asked("list", "pods")) > lists, PATIENCE_S)


def test_prometheus_logs_the_refusal_of_a_role_in_the_words_of_the_status(tmp_path: Path) -> None:
    def refuse(request: ApiRequest) -> ApiReply | None:
        return forbidden(request, "jane") if request.resource == "pods" else None

    config, port = tmp_path / "prometheus.yml", free_port()
    with KubernetesServer(pod("web-1")) as api:
        api.refuse = refuse
        config.write_text(
            "scrape_configs: [{job_name: pods, kubernetes_sd_configs: [{role: pod, "
            f"api_server: '{api.url}', namespaces: {{names: [shop]}}}}]}}]\n"
        )
        command = [
            binary("prometheus"),
            f"--config.file={config}",
            f"--storage.tsdb.path={tmp_path / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
        with running(command, tmp_path / "prometheus.log") as prometheus:
            text = 'cannot list resource \\"pods\\" in API group \\"\\" in the namespace \\"shop\\"'
            wait_for(
                "the refusal in the log", lambda: text in prometheus.output().replace('\\\\\\"', '\\"'), PATIENCE_S
            )
