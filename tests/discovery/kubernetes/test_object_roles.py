"""The roles service, node and ingress, in the behaviours of their tests in Prometheus' discovery/kubernetes."""

from __future__ import annotations

from typing import Any

import pytest

from rulepush.discovery.kubernetes.object_roles import matches_hostname
from tests.discovery.kubernetes.cluster import WatchedCluster
from tests.kubernetes_objects import ingress, namespace, node, service

SVC = "svc/shop/web"
NODE = "node/n1"
INGRESS = "ingress/shop/web"


def test_each_port_of_a_service_is_a_target() -> None:
    """TestServiceDiscoveryAdd."""
    made = service("web", "shop", ports=[("http", 80), ("", 81, "UDP")], labels={"app": "web"}, annotations={"x": "y"})
    cluster = WatchedCluster("role: service", made)
    assert cluster.labels(SVC) == {
        "namespace": "shop",
        "service_name": "web",
        "service_label_app": "web",
        "service_labelpresent_app": "true",
        "service_annotation_x": "y",
        "service_annotationpresent_x": "true",
    }
    base = {"service_type": "ClusterIP", "service_cluster_ip": "10.96.0.10"}
    http = {"service_port_name": "http", "service_port_number": "80", "service_port_protocol": "TCP"}
    assert cluster.targets(SVC) == [
        {"__address__": "web.shop.svc:80", **base, **http},
        {"__address__": "web.shop.svc:81", **base, "service_port_number": "81", "service_port_protocol": "UDP"},
    ]


def test_an_external_name_stands_in_place_of_the_cluster_address() -> None:
    cluster = WatchedCluster("role: service", service("web", "shop", kind="ExternalName", external_name="db.example"))
    (target,) = cluster.targets(SVC)
    assert (target["service_external_name"], target["service_type"]) == ("db.example", "ExternalName")
    assert "service_cluster_ip" not in target


def test_a_headless_service_says_none() -> None:
    (target,) = WatchedCluster("role: service", service("web", "shop", cluster_ip="None")).targets(SVC)
    assert target["service_cluster_ip"] == "None"


def test_a_load_balancer_has_the_addresses_it_got_or_the_one_it_asked_for() -> None:
    """service.go, loadBalancerIPs."""
    made = service("web", "shop", kind="LoadBalancer", load_balancer_ip="1.1.1.1")
    cluster = WatchedCluster("role: service", made)
    assert cluster.targets(SVC)[0]["service_loadbalancer_ip"] == "1.1.1.1"
    made["status"] = {"loadBalancer": {"ingress": [{"ip": "2.2.2.2"}, {"hostname": "h"}, {"ip": "3.3.3.3"}]}}
    cluster.put(made)
    assert cluster.targets(SVC)[0]["service_loadbalancer_ip"] == "2.2.2.2,3.3.3.3"


def test_only_a_load_balancer_has_such_addresses() -> None:
    (target,) = WatchedCluster("role: service", service("web", "shop", load_balancer_ip="1.1.1.1")).targets(SVC)
    assert "service_loadbalancer_ip" not in target


def test_a_service_comes_changes_and_goes() -> None:
    cluster = WatchedCluster("role: service")
    cluster.put(service("web", "shop"))
    cluster.put(service("web", "shop", ports=[("metrics", 9100)]))
    assert cluster.addresses(SVC) == ["web.shop.svc:9100"]
    cluster.delete("Service", "shop/web")
    assert cluster.groups == {}


@pytest.mark.parametrize(("role", "made", "source"), [("service", service, SVC), ("ingress", ingress, INGRESS)])
def test_the_labels_of_the_namespace_are_attached_and_follow_it(role: str, made: Any, source: str) -> None:
    settings = f"role: {role}, attach_metadata: {{namespace: true}}"
    cluster = WatchedCluster(
        settings, made("web", "shop"), made("web", "other"), namespace("shop", labels={"team": "a"})
    )
    assert cluster.labels(source)["namespace_label_team"] == "a"
    cluster.put(namespace("shop", annotations={"team": "b"}))
    assert cluster.affected == {source}
    assert cluster.labels(source)["namespace_annotation_team"] == "b"
    assert "namespace_label_team" not in cluster.labels(source)


def test_a_node_is_its_kubelet() -> None:
    """TestNodeDiscoveryAdd."""
    made = node(
        "n1",
        addresses=[("InternalIP", "192.168.0.9"), ("Hostname", "n1.lan"), ("InternalIP", "fd00::9"), ("X-y", "z")],
        provider_id="aws:///eu/i-1",
        labels={"kubernetes.io/arch": "arm64"},
        annotations={"rack": "7"},
    )
    made["status"]["conditions"] = [{"type": "Ready", "status": "True"}, {"type": "DiskPressure", "status": "Unknown"}]
    cluster = WatchedCluster("role: node", made)
    assert cluster.labels(NODE) == {
        "node_name": "n1",
        "node_provider_id": "aws:///eu/i-1",
        "node_condition_ready": "true",
        "node_condition_diskpressure": "unknown",
        "node_label_kubernetes_io_arch": "arm64",
        "node_labelpresent_kubernetes_io_arch": "true",
        "node_annotation_rack": "7",
        "node_annotationpresent_rack": "true",
    }
    assert cluster.targets(NODE) == [
        {
            "__address__": "192.168.0.9:10250",
            "instance": "n1",
            "node_address_InternalIP": "192.168.0.9",
            "node_address_Hostname": "n1.lan",
            "node_address_X_y": "z",
        }
    ]


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        (["Hostname", "LegacyHostIP", "ExternalDNS", "ExternalIP", "InternalDNS", "InternalIP"], "InternalIP"),
        (["Hostname", "LegacyHostIP", "ExternalDNS", "ExternalIP", "InternalDNS"], "InternalDNS"),
        (["Hostname", "LegacyHostIP", "ExternalDNS", "ExternalIP"], "ExternalIP"),
        (["Hostname", "LegacyHostIP", "ExternalDNS"], "ExternalDNS"),
        (["Hostname", "LegacyHostIP"], "LegacyHostIP"),
        (["Other", "Hostname"], "Hostname"),
    ],
)
def test_the_address_of_a_node_is_of_the_best_type_it_has(kinds: list[str], expected: str) -> None:
    cluster = WatchedCluster("role: node", node("n1", addresses=[(kind, kind) for kind in kinds]))
    assert cluster.addresses(NODE) == [f"{expected}:10250"]


def test_an_ipv6_node() -> None:
    cluster = WatchedCluster("role: node", node("n1", addresses=[("InternalIP", "fd00::9")]))
    assert cluster.addresses(NODE) == ["[fd00::9]:10250"]


def test_a_node_that_loses_its_addresses_keeps_its_target() -> None:
    """Prometheus sends no group for it, so the last one stays (node.go, buildNode)."""
    cluster = WatchedCluster("role: node", node("n1"), node("n2", addresses=[]))
    assert cluster.group("node/n2").targets == ()
    cluster.put(node("n1", addresses=[], labels={"new": "x"}))
    assert cluster.addresses(NODE) == ["192.168.0.1:10250"]
    cluster.delete("Node", "n1")
    cluster.put(node("n1", addresses=[]))
    assert cluster.group(NODE).targets == ()


def test_each_path_of_each_host_of_an_ingress_is_a_target() -> None:
    """TestIngressDiscoveryAdd."""
    made = ingress("web", "shop", hosts={"a.example": ["/", "/x", ""], "b.example": []}, labels={"app": "web"})
    made["spec"]["ingressClassName"] = "nginx"
    cluster = WatchedCluster("role: ingress", made)
    assert cluster.labels(INGRESS) == {
        "namespace": "shop",
        "ingress_name": "web",
        "ingress_class_name": "nginx",
        "ingress_label_app": "web",
        "ingress_labelpresent_app": "true",
    }
    seen = [(t["__address__"], t["ingress_host"], t["ingress_path"]) for t in cluster.targets(INGRESS)]
    assert seen == [
        ("a.example", "a.example", "/"),
        ("a.example", "a.example", "/x"),
        ("a.example", "a.example", "/"),
        ("b.example", "b.example", "/"),
    ]


def test_an_ingress_rule_with_http_and_no_path_has_no_target() -> None:
    made = ingress("web", "shop")
    made["spec"]["rules"] = [{"host": "a.example", "http": {"paths": []}}]
    assert WatchedCluster("role: ingress", made).targets(INGRESS) == []


def test_the_scheme_follows_the_tls_hosts() -> None:
    """TestIngressDiscoveryAddTLS and ...AddMixed."""
    hosts = {"a.example": ["/"], "b.example": ["/"], "c.b.example": ["/"], "d.c.b.example": ["/"]}
    made = ingress("web", "shop", hosts=hosts, tls_hosts=["a.example", "*.b.example"])
    seen = {t["ingress_host"]: t["ingress_scheme"] for t in WatchedCluster("role: ingress", made).targets(INGRESS)}
    assert seen == {"a.example": "https", "b.example": "http", "c.b.example": "https", "d.c.b.example": "http"}


@pytest.mark.parametrize(
    ("pattern", "host", "expected"),
    [
        ("a.b", "a.b", True),
        ("*.b", "a.b", True),
        ("*.b", "b", False),
        ("*.b", "a.c", False),
        ("*.b", "x.a.b", False),
        ("a.*", "a.b", False),
        ("*", "a", True),
        ("", "", True),
    ],
)
def test_a_star_stands_for_one_whole_part(pattern: str, host: str, expected: bool) -> None:
    assert matches_hostname(pattern, host) is expected
