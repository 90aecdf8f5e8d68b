"""The roles endpoints and endpointslice, in the behaviours of their tests in Prometheus' discovery/kubernetes."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.discovery.kubernetes.cluster import Json, WatchedCluster
from tests.kubernetes_objects import (
    container,
    endpoint,
    endpoint_address,
    endpoints,
    endpointslice,
    job,
    namespace,
    node,
    owner,
    pod,
    replica_set,
    service,
    subset,
    target_ref,
)

ENDPOINTS = "endpoints/shop/web"
SLICE = "endpointslice/shop/web-abc"

POD_1 = target_ref("Pod", "web-1", "shop")


def web_pod(name: str = "web-1", ip: str = "10.1.0.5", **changes: Any) -> Json:
    containers = [container("app", "shop/web:7", [("http", 8080)])]
    return pod(name, "shop", ip=ip, **{"containers": containers} | changes)


def web_endpoints(*addresses: Json, **changes: Any) -> Json:
    return endpoints("web", "shop", subsets=[subset(addresses, **changes)])


def web_slice(*of: Json, **changes: Any) -> Json:
    return endpointslice("web-abc", "shop", **{"service": "web", "endpoints": of} | changes)


def both(*pods: str) -> list[tuple[str, str, Json]]:
    """For tests of both roles: the role, the source, and an object that names these pods."""
    refs = [(f"10.1.0.{5 + i}", target_ref("Pod", name, "shop")) for i, name in enumerate(pods)]
    return [
        ("endpoints", ENDPOINTS, web_endpoints(*(endpoint_address(ip, node="node-1", target=r) for ip, r in refs))),
        ("endpointslice", SLICE, web_slice(*(endpoint(ip, node="node-1", target=r) for ip, r in refs))),
    ]


BOTH = pytest.mark.parametrize(("role", "source", "made"), both("web-1"))


def test_each_address_and_port_of_endpoints_is_a_target() -> None:
    """TestEndpointsDiscoveryAdd: addresses that stand for no pod."""
    host = endpoint_address("1.2.3.4", hostname="h1", node="foobar")
    made = endpoints(
        "web",
        "shop",
        subsets=[
            subset([host], [("http", 9000)]),
            subset([endpoint_address("fd00::4")], [("", 9001, "UDP"), ("b", 9002)], [endpoint_address("6.7.8.9")]),
        ],
        labels={"tier": "x"},
        annotations={"note": "n"},
    )
    cluster = WatchedCluster("role: endpoints", made)
    assert cluster.labels(ENDPOINTS) == {
        "namespace": "shop",
        "endpoints_name": "web",
        "endpoints_label_tier": "x",
        "endpoints_labelpresent_tier": "true",
        "endpoints_annotation_note": "n",
        "endpoints_annotationpresent_note": "true",
    }
    first, *others = cluster.targets(ENDPOINTS)
    assert first == {
        "__address__": "1.2.3.4:9000",
        "endpoint_hostname": "h1",
        "endpoint_node_name": "foobar",
        "endpoint_port_name": "http",
        "endpoint_port_protocol": "TCP",
        "endpoint_ready": "true",
    }
    assert others == [
        {"__address__": "[fd00::4]:9001", "endpoint_port_protocol": "UDP", "endpoint_ready": "true"},
        {"__address__": "6.7.8.9:9001", "endpoint_port_protocol": "UDP", "endpoint_ready": "false"},
        {
            "__address__": "[fd00::4]:9002",
            "endpoint_port_name": "b",
            "endpoint_port_protocol": "TCP",
            "endpoint_ready": "true",
        },
        {
            "__address__": "6.7.8.9:9002",
            "endpoint_port_name": "b",
            "endpoint_port_protocol": "TCP",
            "endpoint_ready": "false",
        },
    ]


def test_each_address_and_port_of_a_slice_is_a_target() -> None:
    """TestEndpointSliceDiscoveryAdd and TestEndpointSliceDiscoveryBeforeRun."""
    made = web_slice(
        endpoint("1.2.3.4", "1.2.3.5", serving=True, terminating=False, hostname="h1", node="foobar", zone="us-1a"),
        endpoint("2.3.4.5", ready=False, serving=False, terminating=True, topology={"topology.k8s.io/zone": "z"}),
        endpoint("4.5.6.7", target=target_ref("Node", "barbaz", "")),
        ports=[("http", 9000, "TCP", "kubernetes.io/h2c")],
        labels={"tier": "x"},
    )
    cluster = WatchedCluster("role: endpointslice", made)
    assert cluster.labels(SLICE) == {
        "namespace": "shop",
        "endpointslice_address_type": "IPv4",
        "endpointslice_name": "web-abc",
        "endpointslice_label_kubernetes_io_service_name": "web",
        "endpointslice_labelpresent_kubernetes_io_service_name": "true",
        "endpointslice_label_tier": "x",
        "endpointslice_labelpresent_tier": "true",
    }
    port = {
        "endpointslice_port": "9000",
        "endpointslice_port_name": "http",
        "endpointslice_port_protocol": "TCP",
        "endpointslice_port_app_protocol": "kubernetes.io/h2c",
    }
    first = {
        **port,
        "endpointslice_endpoint_conditions_ready": "true",
        "endpointslice_endpoint_conditions_serving": "true",
        "endpointslice_endpoint_conditions_terminating": "false",
        "endpointslice_endpoint_hostname": "h1",
        "endpointslice_endpoint_node_name": "foobar",
        "endpointslice_endpoint_zone": "us-1a",
    }
    assert cluster.targets(SLICE) == [
        {"__address__": "1.2.3.4:9000", **first},
        {"__address__": "1.2.3.5:9000", **first},
        {
            "__address__": "2.3.4.5:9000",
            **port,
            "endpointslice_endpoint_conditions_ready": "false",
            "endpointslice_endpoint_conditions_serving": "false",
            "endpointslice_endpoint_conditions_terminating": "true",
            "endpointslice_endpoint_topology_topology_k8s_io_zone": "z",
            "endpointslice_endpoint_topology_present_topology_k8s_io_zone": "true",
        },
        {
            "__address__": "4.5.6.7:9000",
            **port,
            "endpointslice_endpoint_conditions_ready": "true",
            "endpointslice_address_target_kind": "Node",
            "endpointslice_address_target_name": "barbaz",
        },
    ]


def test_a_port_of_a_slice_without_a_number_leaves_the_address_as_it_is() -> None:
    made = web_slice(endpoint("1.2.3.4", target=POD_1))
    made["ports"] = [{"name": "all"}]
    cluster = WatchedCluster("role: endpointslice", made, web_pod())
    first, other = cluster.targets(SLICE)
    assert (first["__address__"], first["endpointslice_port_name"]) == ("1.2.3.4", "all")
    assert "endpointslice_port" not in first
    assert "pod_container_name" not in first
    assert other["__address__"] == "10.1.0.5:8080"  # no port of the slice covers the pod's


def test_endpoints_without_ports_have_no_targets() -> None:
    assert (
        WatchedCluster("role: endpoints", web_endpoints(endpoint_address("1.2.3.4"), ports=[])).targets(ENDPOINTS) == []
    )
    assert WatchedCluster("role: endpointslice", web_slice(endpoint("1.2.3.4"), ports=[])).targets(SLICE) == []


@BOTH
def test_the_labels_of_the_pod_and_of_its_container_are_attached(role: str, source: str, made: Json) -> None:
    """TestEndpointsDiscoveryAdd..., buildEndpoints and buildEndpointSlice."""
    whole = web_pod(labels={"app": "web"}, owners=[owner("ReplicaSet", "web-77f")])
    (target,) = WatchedCluster(f"role: {role}", whole, made).targets(source)
    expected = {
        "__address__": "10.1.0.5:8080",
        "pod_name": "web-1",
        "pod_ip": "10.1.0.5",
        "pod_host_ip": "192.168.0.1",
        "pod_node_name": "node-1",
        "pod_phase": "Running",
        "pod_ready": "true",
        "pod_uid": whole["metadata"]["uid"],
        "pod_label_app": "web",
        "pod_labelpresent_app": "true",
        "pod_controller_kind": "ReplicaSet",
        "pod_controller_name": "web-77f",
        "pod_container_name": "app",
        "pod_container_image": "shop/web:7",
        "pod_container_init": "false",
        "pod_container_port_name": "http",
        "pod_container_port_number": "8080",
        "pod_container_port_protocol": "TCP",
    }
    of_address = {n: v for n, v in target.items() if n.startswith(("endpoint_", "endpointslice_"))}
    assert {n: v for n, v in target.items() if n not in of_address} == expected
    name = "endpoint_" if role == "endpoints" else "endpointslice_"
    assert of_address[f"{name}address_target_kind"] == "Pod"
    assert of_address[f"{name}address_target_name"] == "web-1"


@BOTH
def test_ports_of_the_pod_that_the_service_does_not_have_are_targets_too(role: str, source: str, made: Json) -> None:
    """TestEndpointsDiscoveryAddPod, ...WithInitContainer; a container without ports is left out."""
    containers = [
        container("app", "i:1", [("http", 8080), ("admin", 9090, "UDP")]),
        container("quiet", "i:2"),
    ]
    init = [container("proxy", "i:3", [("proxy", 15000)])]
    whole = web_pod(containers=containers, init_containers=init, labels={"app": "web"})
    first, *others = WatchedCluster(f"role: {role}", whole, made).targets(source)
    assert first["__address__"] == "10.1.0.5:8080"
    seen = [(t["__address__"], t["pod_container_port_name"], t["pod_container_init"]) for t in others]
    assert seen == [("10.1.0.5:9090", "admin", "false"), ("10.1.0.5:15000", "proxy", "true")]
    assert others[0]["pod_container_port_protocol"] == "UDP"
    assert others[0]["pod_label_app"] == "web"
    assert not any(n.startswith("endpoint") for t in others for n in t)


@BOTH
def test_of_containers_with_the_same_port_the_last_one_counts(role: str, source: str, made: Json) -> None:
    """The loop over the containers goes on; the one over the ports of a container stops."""
    containers = [container("a", ports=[("one", 8080)]), container("b", ports=[("two", 8080), ("three", 8080)])]
    (target,) = WatchedCluster(f"role: {role}", web_pod(containers=containers), made).targets(source)
    assert (target["pod_container_name"], target["pod_container_port_name"]) == ("b", "two")


def test_the_protocol_is_the_services_for_endpoints_and_the_containers_for_slices() -> None:
    containers = [container(ports=[("dns", 53, "UDP")])]
    of_endpoints = web_endpoints(endpoint_address("10.1.0.5", target=POD_1), ports=[("dns", 53, "TCP")])
    of_slice = web_slice(endpoint("10.1.0.5", target=POD_1), ports=[("dns", 53, "TCP")])
    for role, source, made, expected in (
        ("endpoints", ENDPOINTS, of_endpoints, "TCP"),
        ("endpointslice", SLICE, of_slice, "UDP"),
    ):
        (target,) = WatchedCluster(f"role: {role}", web_pod(containers=containers), made).targets(source)
        assert target["pod_container_port_protocol"] == expected


@BOTH
def test_a_pod_without_an_address_adds_no_other_ports(role: str, source: str, made: Json) -> None:
    """TestEndpointsDiscoveryEmptyPodStatus, TestEndpointSliceDiscoveryEmptyPodStatus."""
    containers = [container(ports=[("http", 8080), ("admin", 9090)])]
    cluster = WatchedCluster(f"role: {role}", web_pod(ip="", phase="Failed", containers=containers), made)
    assert cluster.addresses(source) == ["10.1.0.5:8080"]


@BOTH
def test_what_a_pod_of_another_namespace_has_is_not_attached(role: str, source: str, made: Json) -> None:
    (target,) = WatchedCluster(f"role: {role}", pod("web-1", "other"), made).targets(source)
    assert not any(n.startswith("pod_") for n in target)


@pytest.mark.parametrize(("role", "source", "made"), both("web-1", "web-2"))
def test_a_change_of_a_pod_changes_only_the_groups_that_name_it(role: str, source: str, made: Json) -> None:
    """TestEndpointsDiscoveryUpdatePod; Prometheus waits for the phase to change, or for the endpoints."""
    cluster = WatchedCluster(f"role: {role}", made, web_pod(), web_pod("web-2"))
    cluster.put(web_pod(labels={"version": "2"}, ready=False))
    assert cluster.affected == {source}
    first, second = cluster.targets(source)
    assert (first["pod_label_version"], first["pod_ready"], second["pod_ready"]) == ("2", "false", "true")
    cluster.put(web_pod("web-3"), pod("web-1", "other"))
    assert cluster.affected == set()
    cluster.delete("Pod", "shop/web-1")
    assert cluster.affected == {source}
    assert "pod_name" not in cluster.targets(source)[0]


@pytest.mark.parametrize(("role", "source", "made"), both("web-1", "web-2"))
def test_a_pod_that_endpoints_no_longer_name_does_not_concern_them(role: str, source: str, made: Json) -> None:
    cluster = WatchedCluster(f"role: {role}", made, web_pod(), web_pod("web-2"))
    cluster.put({role: m for role, _, m in both("web-2")}[role])
    cluster.put(web_pod(labels={"version": "2"}))
    assert cluster.affected == set()
    cluster.put(web_pod("web-2", labels={"version": "2"}))
    assert cluster.affected == {source}


def test_an_address_that_is_not_ready_names_its_pod_too() -> None:
    made = web_endpoints(not_ready=[endpoint_address("10.1.0.5", target=POD_1)])
    cluster = WatchedCluster("role: endpoints", made, web_pod(ready=False))
    cluster.put(web_pod(ready=False, labels={"a": "b"}))
    (target,) = cluster.targets(ENDPOINTS)
    assert (target["endpoint_ready"], target["pod_label_a"]) == ("false", "b")


@BOTH
def test_the_labels_of_the_service_are_attached_and_follow_it(role: str, source: str, made: Json) -> None:
    """TestEndpointsDiscoveryWithService, ...WithServiceUpdate, and the same of slices."""
    cluster = WatchedCluster(f"role: {role}", made)
    assert "service_name" not in cluster.labels(source)
    cluster.put(service("web", "shop", labels={"app": "web"}))
    assert cluster.affected == {source}
    assert cluster.labels(source)["service_label_app"] == "web"
    cluster.put(service("web", "shop", annotations={"prometheus.io/scrape": "true"}))
    labels = cluster.labels(source)
    assert (labels["service_name"], labels["service_annotation_prometheus_io_scrape"]) == ("web", "true")
    assert "service_label_app" not in labels
    cluster.put(service("web", "other"), service("web-abc", "shop"))
    assert cluster.affected == set()
    cluster.delete("Service", "shop/web")
    assert "service_name" not in cluster.labels(source)


@pytest.mark.parametrize(
    ("policy", "families", "address_type", "expected"),
    [
        ("PreferDualStack", ["IPv4", "IPv6"], "IPv4", 1),
        ("PreferDualStack", ["IPv4", "IPv6"], "IPv6", 0),
        ("RequireDualStack", ["IPv6", "IPv4"], "IPv4", 0),
        ("RequireDualStack", ["IPv6", "IPv4"], "IPv6", 1),
        ("SingleStack", ["IPv4"], "IPv6", 1),
        ("PreferDualStack", [], "IPv6", 1),
        (None, ["IPv4"], "IPv6", 1),
    ],
)
def test_only_the_first_ip_family_of_a_dual_stack_service_has_targets(
    policy: str | None, families: list[str], address_type: str, expected: int
) -> None:
    """endpointslice.go, nonPrimaryIPFamilySlice."""
    made = service("web", "shop")
    made["spec"] |= {"ipFamilyPolicy": policy, "ipFamilies": families}
    cluster = WatchedCluster("role: endpointslice", made, web_slice(endpoint("1.2.3.4"), address_type=address_type))
    assert len(cluster.targets(SLICE)) == expected
    assert cluster.labels(SLICE)["service_name"] == "web"


@BOTH
def test_the_labels_of_the_node_are_attached_and_follow_it(role: str, source: str, made: Json) -> None:
    """TestEndpointsDiscoveryWithNodeMetadata, ...WithUpdatedNodeMetadata, and the same of slices."""
    settings = f"role: {role}, attach_metadata: {{node: true}}"
    cluster = WatchedCluster(settings, made, node("node-1", labels={"zone": "a"}))
    assert cluster.targets(source)[0]["node_label_zone"] == "a"
    assert cluster.targets(source)[0]["node_name"] == "node-1"
    cluster.put(node("node-1", labels={"zone": "b"}), node("node-2", labels={"zone": "c"}))
    assert cluster.affected == {source}
    assert cluster.targets(source)[0]["node_label_zone"] == "b"
    cluster.delete("Node", "node-1")
    assert "node_name" not in cluster.targets(source)[0]


def test_an_address_that_is_a_node_has_its_labels() -> None:
    """For slices the node that the endpoint is comes before the one it is on; for endpoints, after it."""
    ref = target_ref("Node", "n-is", "")
    nodes = [node("n-is", labels={"it": "is"}), node("n-on", labels={"it": "on"})]
    for role, source, on, alone in (
        ("endpoints", ENDPOINTS, web_endpoints(endpoint_address("1.1.1.1", node="n-on", target=ref)), "on"),
        ("endpoints", ENDPOINTS, web_endpoints(endpoint_address("1.1.1.1", target=ref)), "is"),
        ("endpointslice", SLICE, web_slice(endpoint("1.1.1.1", node="n-on", target=ref)), "is"),
        ("endpointslice", SLICE, web_slice(endpoint("1.1.1.1", node="n-on")), "on"),
    ):
        cluster = WatchedCluster(f"role: {role}, attach_metadata: {{node: true}}", on, *nodes)
        assert cluster.targets(source)[0]["node_label_it"] == alone


@BOTH
def test_the_labels_of_the_namespace_are_attached_and_follow_it(role: str, source: str, made: Json) -> None:
    """TestEndpointsDiscoveryWithNamespaceMetadata, ...WithUpdatedNamespaceMetadata, and the same of slices."""
    settings = f"role: {role}, attach_metadata: {{namespace: true}}"
    cluster = WatchedCluster(settings, made, namespace("shop", labels={"team": "a"}))
    assert cluster.labels(source)["namespace_label_team"] == "a"
    cluster.put(namespace("shop", labels={"team": "b"}), namespace("other"))
    assert cluster.affected == {source}
    assert cluster.labels(source)["namespace_label_team"] == "b"


@BOTH
def test_deployments_and_cron_jobs_are_looked_up_behind_the_pods(role: str, source: str, made: Json) -> None:
    """TestEndpointsDiscoveryWithDeploymentMetadata and its kin."""
    settings = f"role: {role}, attach_metadata: {{deployment: true, job: true, cronjob: true}}"
    cluster = WatchedCluster(settings, made, web_pod(owners=[owner("ReplicaSet", "web-77f")]))
    cluster.put(replica_set("web-77f", "shop", deployment="web"))
    assert cluster.affected == {source}
    assert cluster.targets(source)[0]["pod_deployment_name"] == "web"
    cluster.put(web_pod(owners=[owner("Job", "nightly-1")]))
    assert cluster.targets(source)[0]["pod_job_name"] == "nightly-1"
    cluster.put(job("nightly-1", "shop", cron_job="nightly"))
    assert cluster.targets(source)[0]["pod_cronjob_name"] == "nightly"
    cluster.put(replica_set("web-77f", "shop", deployment="new"))
    assert cluster.affected == set()


@BOTH
def test_endpoints_come_and_go(role: str, source: str, made: Json) -> None:
    """TestEndpointsDiscoveryUpdate, ...Delete, ...EmptySubsets, and the same of slices."""
    cluster = WatchedCluster(f"role: {role}", web_pod())
    cluster.put(made)
    assert cluster.addresses(source) == ["10.1.0.5:8080"]
    empty = endpoints("web", "shop") if role == "endpoints" else web_slice()
    cluster.put(empty)
    assert cluster.addresses(source) == []
    cluster.delete(made["kind"], source.split("/", 1)[1])
    assert cluster.groups == {}


@BOTH
def test_a_change_that_no_label_shows_affects_nothing(role: str, source: str, made: Json) -> None:
    cluster = WatchedCluster(f"role: {role}, attach_metadata: {{node: true}}", web_pod(), made, node("node-1"))
    changed_pod, changed_node = web_pod(), node("node-1")
    changed_pod["status"]["startTime"] = "2026-11-02T00:00:00Z"
    changed_node["status"]["capacity"] = {}
    cluster.put(changed_pod, changed_node, service("other", "shop"))
    assert cluster.affected == set()


@pytest.mark.parametrize(("role", "source", "made"), both("web-1", "web-2"))
def test_a_change_of_one_pod_leaves_the_targets_of_others_as_they_are(role: str, source: str, made: Json) -> None:
    """The same objects: Endpoints may have a thousand addresses, and each of them dozens of labels."""
    containers = [container(ports=[("http", 8080), ("admin", 9090)])]
    cluster = WatchedCluster(
        f"role: {role}", made, web_pod(containers=containers), web_pod("web-2", containers=containers)
    )
    before = cluster.group(source).targets
    cluster.put(web_pod(labels={"version": "2"}, containers=containers))
    after = cluster.group(source).targets
    assert [old is new for old, new in zip(before, after, strict=True)] == [False, True, False, True]


@pytest.mark.parametrize(("role", "source", "made"), both("web-1", "web-2"))
def test_a_change_of_one_address_leaves_the_targets_of_others_as_they_are(role: str, source: str, made: Json) -> None:
    """An event has the whole object anew, with addresses that are equal to those of before, but are others."""
    containers = [container(ports=[("http", 8080), ("admin", 9090)])]
    cluster = WatchedCluster(
        f"role: {role}", made, web_pod(containers=containers), web_pod("web-2", containers=containers)
    )
    before = cluster.group(source).targets
    changed = copy.deepcopy(made)
    (changed["endpoints"] if role == "endpointslice" else changed["subsets"][0]["addresses"])[0]["hostname"] = "web-1"
    cluster.put(changed)
    after = cluster.group(source).targets
    assert [old is new for old, new in zip(before, after, strict=True)] == [False, True, True, True]


@pytest.mark.parametrize("role", ["endpoints", "endpointslice"])
def test_a_port_that_the_service_loses_becomes_one_of_the_other_ports(role: str) -> None:
    whole = web_pod(containers=[container(ports=[("http", 8080), ("admin", 9090), ("extra", 7070)])])

    def made(*ports: tuple[str, int]) -> Json:
        if role == "endpoints":
            return web_endpoints(endpoint_address("10.1.0.5", target=POD_1), ports=list(ports))
        return web_slice(endpoint("10.1.0.5", target=POD_1), ports=list(ports))

    cluster = WatchedCluster(f"role: {role}", whole, made(("http", 8080), ("admin", 9090)))
    cluster.put(made(("http", 8080)))
    source = ENDPOINTS if role == "endpoints" else SLICE
    assert cluster.addresses(source) == ["10.1.0.5:8080", "10.1.0.5:9090", "10.1.0.5:7070"]
