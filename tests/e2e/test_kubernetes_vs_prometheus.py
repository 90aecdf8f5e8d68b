"""kubernetes_sd_configs beside a real Prometheus 3.5, on the same API server: the same targets, label by label.

Every role is there with each setting, and with relabelling as people write it (tests/e2e/kubernetes_jobs.py). rulepush
has the discovery of Prometheus 3.14; the differences between that and 3.5 are those of `as_in_3_14`. Settings that 3.5
refuses (`attach_metadata` but for `node`, selectors of nodes for pods) are left to the unit tests.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import pytest

from rulepush.scrape.target import HISTOGRAM_LABELS
from tests.e2e.discovery_pair import AGREE_S, DiscoveryPair, discovery_pair
from tests.e2e.kubernetes_jobs import (
    EVERYTHING,
    Json,
    cluster,
    jobs,
    web_endpoints,
    web_pod,
    web_service,
)
from tests.kubernetes_objects import node, pod
from tests.kubernetes_server import KubernetesServer
from tests.servers import get_json, wait_for

pytestmark = pytest.mark.e2e

META: Final = "__meta_kubernetes_"
AGAIN_S: Final = 1.0

Pools = dict[str, list[str]]


@dataclass(frozen=True)
class KubernetesPair:
    """Both servers, and the API server that both watch."""

    both: DiscoveryPair
    api: KubernetesServer

    def agree(self, arrived: Callable[[Pools], object], *written: Json) -> Pools:
        """The targets of every job once both have the same and `arrived` is true of them.

        `written` objects are written, later and then again, as they are: Prometheus reads the pods of endpoints
        only when these change, and it may see that before the change of the pods.
        """
        again = time.monotonic() + AGAIN_S

        def write_again() -> None:
            nonlocal again
            if time.monotonic() > again:
                again = time.monotonic() + AGAIN_S
                for made in written:
                    self.api.put(made)

        return self.both.agree(self.seen, arrived, write_again)

    def seen(self, url: str) -> Pools:
        return pools(url, as_in_3_14 if url == self.both.prometheus else lambda target: target)


def as_in_3_14(target: Json) -> Json | None:
    """A target of Prometheus 3.5 as 3.14 gives it; None when that does not have it.

    - 3.14 leaves out the slices of a dual-stack service's second IP family (prometheus/prometheus #18192).
    - 3.14 leaves out pods on nodes that it does not know, where node metadata is attached (#18006).
    - 3.14 gives the addresses that a load balancer has got, and the one that it asked for only without (service.go).
    - 3.14 gives the conditions of nodes (node.go).
    - 3.14 gives what a job makes of histograms (scrape/target.go).
    """
    labels = target["discoveredLabels"]
    labels |= dict.fromkeys(HISTOGRAM_LABELS, "false")
    if labels.get(f"{META}endpointslice_name") == "dual-6":
        return None
    if target["scrapePool"] == "pod-nodes" and f"{META}node_name" not in labels:
        return None
    if labels.get(f"{META}service_name") == "balanced" and f"{META}service_loadbalancer_ip" in labels:
        assert labels[f"{META}service_loadbalancer_ip"] == "198.51.100.1"
        add(target, "service_loadbalancer_ip", "203.0.113.7,203.0.113.8")
    if f"{META}node_address_InternalIP" in labels:
        assert f"{META}node_condition_ready" not in labels
        add(target, "node_condition_ready", "true")
    return target


def add(target: Json, name: str, value: str) -> None:
    """Set a label, and the one that a job for everything makes of it."""
    target["discoveredLabels"][META + name] = value
    if "labels" in target and jobs()[target["scrapePool"]][1] is EVERYTHING:
        target["labels"][name] = value


def pools(url: str, seen: Callable[[Json], Json | None]) -> Pools:
    """By job: each target, active or dropped, as a text."""
    data = get_json(f"{url}/api/v1/targets")["data"]
    found: Pools = {name: [] for name in jobs()}
    for kind in ("activeTargets", "droppedTargets"):
        for target in data[kind]:
            shown = seen(target)
            if shown is not None:
                parts = {key: shown.get(key) for key in ("discoveredLabels", "labels", "scrapeUrl")}
                found[shown["scrapePool"]].append(json.dumps([kind, parts], sort_keys=True))
    return {name: sorted(targets) for name, targets in found.items()}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubernetesPair]:
    directory = tmp_path_factory.mktemp("kubernetes")
    with KubernetesServer(*cluster()) as api:
        config = {
            "global": {"scrape_interval": "1h", "scrape_timeout": "1s"},
            "scrape_configs": [
                {"job_name": name, **settings, "kubernetes_sd_configs": [{**sd, "api_server": api.url}]}
                for name, (sd, settings) in jobs().items()
            ],
            "alerting": {"alertmanagers": [{"kubernetes_sd_configs": [ALERTMANAGERS | {"api_server": api.url}]} | AT]},
        }
        (directory / "prometheus.yml").write_text(json.dumps(config))
        with discovery_pair(directory / "prometheus.yml") as both:
            yield KubernetesPair(both, api)


ALERTMANAGERS: Final = {"role": "pod", "namespaces": {"names": ["shop"]}}
AT: Final = {
    "path_prefix": "/am",
    "relabel_configs": [
        {"source_labels": [f"{META}pod_container_port_name"], "action": "keep", "regex": "http"},
        {"source_labels": [f"{META}pod_name"], "action": "keep", "regex": "web.*"},
    ],
}


def test_targets_agree_with_prometheus_and_go_on_to(pair: KubernetesPair) -> None:
    """One test, for each step starts from the one before."""
    first = pair.agree(lambda seen: all(seen.values()))
    assert sum(map(len, first.values())) > 200

    # Pods that come, change their labels, become ready and go; a service and nodes that change.
    api = pair.api
    api.put(web_pod(3, node="node-gone", labels={"app": "web", "canary": "yes"}))
    api.put(web_pod(2, ready=True, labels={"app": "web", "app.kubernetes.io/version": "2"}))
    written = web_endpoints([2, 3], [], "2")
    api.delete("Pod", "shop/web-5d8f-1")
    api.put(web_service(labels={"app": "web", "tier": "front"}))
    api.put(node("node-2", addresses=[("InternalIP", "192.168.0.22")], labels={"pool": "blue"}))
    api.put(pod("pending", "shop", ip="10.1.0.41", node="node-1", labels={"app": "web"}))
    api.delete("Ingress", "default/bare")
    api.delete("Node", "node-1")
    second = pair.agree(
        lambda seen: (
            all(f'{label}": "' in str(seen) for label in ("pod_label_canary", "service_label_tier"))
            and all(address in str(seen["pod"] + seen["node"]) for address in ("192.168.0.22", "10.1.0.41"))
            and "10.1.0.11" not in str(seen)
            and "192.168.0.1:10250" not in str(seen["node"])
            and not seen["select-ingresses"]
        ),
        *written,
    )
    assert second != first

    # The streams break in the middle of an event; what changes meanwhile is not lost.
    api.cut_streams(inside_a_line=True)
    api.put(web_pod(4))
    written = web_endpoints([2, 3, 4], [], "3")
    three = ("pod", "endpoints", "endpointslice")
    pair.agree(lambda seen: all("10.1.0.14" in str(seen[name]) for name in three), *written)

    # They break, and the version from which to go on is too old: 410 Gone, and a new list.
    api.cut_streams()
    api.put(web_pod(5))
    api.delete("Pod", "shop/web-5d8f-3")
    written = web_endpoints([2, 4, 5], [], "4")
    api.compact()

    def is_new_list(seen: Pools) -> bool:
        return all("10.1.0.15" in str(seen[name]) and "10.1.0.13" not in str(seen[name]) for name in three)

    for made in written:
        api.put(made)
    wait_for("our targets after 410", lambda: is_new_list(pair.seen(pair.both.ours)), AGREE_S, every=0.25)
    # After several breaks client-go waits for up to a minute (reflector.go: 30 s, by chance doubled); a new one lists.
    pair.both.start_prometheus_anew()
    pair.agree(is_new_list, *written)


def test_alertmanagers_are_found_as_prometheus_finds_them(pair: KubernetesPair) -> None:
    found = pair.both.agree(alertmanagers, lambda found: all(found.values()))
    assert all(url.endswith(":8080/am/api/v2/alerts") for url in found["active"])


def alertmanagers(url: str) -> dict[str, list[str]]:
    """The URLs of the active and of the dropped ones, each once: Prometheus lists dropped ones as often as found."""
    data = get_json(f"{url}/api/v1/alertmanagers")["data"]
    return {kind: sorted({am["url"] for am in data[f"{kind}Alertmanagers"]}) for kind in ("active", "dropped")}
