"""The role pod, in the behaviours of Prometheus' discovery/kubernetes/pod_test.go."""

from __future__ import annotations

from typing import Any

import pytest

from tests.discovery.kubernetes.cluster import WatchedCluster
from tests.kubernetes_objects import container, job, namespace, node, owner, pod, replica_set

SOURCE = "pod/shop/web-1"


def web(**changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"ip": "10.1.0.5", "containers": [container("app", "shop/web:7", [("http", 8080)])]}
    return pod("web-1", "shop", **made | changes)


def test_a_pod_has_a_group_and_each_port_a_target() -> None:
    cluster = WatchedCluster("role: pod", web(labels={"app": "web", "a.b/c-d": "x"}, annotations={"note": "n"}))
    made = web()
    assert cluster.labels(SOURCE) == {
        "namespace": "shop",
        "pod_name": "web-1",
        "pod_ip": "10.1.0.5",
        "pod_host_ip": "192.168.0.1",
        "pod_node_name": "node-1",
        "pod_phase": "Running",
        "pod_ready": "true",
        "pod_uid": made["metadata"]["uid"],
        "pod_label_app": "web",
        "pod_labelpresent_app": "true",
        "pod_label_a_b_c_d": "x",
        "pod_labelpresent_a_b_c_d": "true",
        "pod_annotation_note": "n",
        "pod_annotationpresent_note": "true",
    }
    assert cluster.targets(SOURCE) == [
        {
            "__address__": "10.1.0.5:8080",
            "pod_container_name": "app",
            "pod_container_image": "shop/web:7",
            "pod_container_id": made["status"]["containerStatuses"][0]["containerID"],
            "pod_container_init": "false",
            "pod_container_port_name": "http",
            "pod_container_port_number": "8080",
            "pod_container_port_protocol": "TCP",
        }
    ]


def test_every_port_of_every_container_is_a_target() -> None:
    """TestPodDiscoveryBeforeRun and TestPodDiscoveryAdd."""
    containers = [
        container("a", ports=[("http", 80), ("grpc", 81, "UDP")]),
        container("b", ports=[("", 82)]),
        container("c"),
    ]
    cluster = WatchedCluster("role: pod", web(containers=containers))
    seen = [
        (t["__address__"], t["pod_container_name"], t.get("pod_container_port_name")) for t in cluster.targets(SOURCE)
    ]
    assert seen == [
        ("10.1.0.5:80", "a", "http"),
        ("10.1.0.5:81", "a", "grpc"),
        ("10.1.0.5:82", "b", None),
        ("10.1.0.5", "c", None),
    ]
    assert cluster.targets(SOURCE)[1]["pod_container_port_protocol"] == "UDP"


def test_init_containers_come_last_and_say_so() -> None:
    """TestPodDiscoveryInitContainer; a sidecar is an init container with a restart policy."""
    sidecar = container("proxy", ports=[("admin", 15000)]) | {"restartPolicy": "Always"}
    cluster = WatchedCluster("role: pod", web(init_containers=[container("setup"), sidecar]))
    seen = [(t["__address__"], t["pod_container_name"], t["pod_container_init"]) for t in cluster.targets(SOURCE)]
    assert seen == [
        ("10.1.0.5:8080", "app", "false"),
        ("10.1.0.5", "setup", "true"),
        ("10.1.0.5:15000", "proxy", "true"),
    ]
    ids = [
        s["containerID"] for s in web(init_containers=[container("setup"), sidecar])["status"]["initContainerStatuses"]
    ]
    assert [t["pod_container_id"] for t in cluster.targets(SOURCE)][1:] == ids


def test_a_container_that_has_not_started_has_no_id() -> None:
    made = web()
    del made["status"]["containerStatuses"]
    assert "pod_container_id" not in WatchedCluster("role: pod", made).targets(SOURCE)[0]


def test_an_ipv6_address_stands_in_brackets_before_a_port() -> None:
    containers = [container("a", ports=[("http", 80)]), container("b")]
    cluster = WatchedCluster("role: pod", web(ip="fd00::5", containers=containers))
    assert cluster.addresses(SOURCE) == ["[fd00::5]:80", "fd00::5"]


def test_a_pod_without_an_address_has_no_targets_until_it_gets_one() -> None:
    """TestPodDiscoveryUpdate, TestPodDiscoveryUpdateEmptyPodIP."""
    cluster = WatchedCluster("role: pod", web(ip=""))
    assert cluster.group(SOURCE).targets == ()
    cluster.put(web())
    assert cluster.addresses(SOURCE) == ["10.1.0.5:8080"]
    cluster.put(web(ip=""))
    assert cluster.group(SOURCE).targets == ()


def test_a_pod_that_is_gone_ends_its_group() -> None:
    """TestPodDiscoveryDelete."""
    cluster = WatchedCluster("role: pod", web())
    cluster.delete("Pod", "shop/web-1")
    assert cluster.groups == {}
    assert cluster.affected == {SOURCE}


def test_phase_and_readiness_are_labels() -> None:
    cluster = WatchedCluster("role: pod", web(phase="Pending", ready=False))
    assert (cluster.labels(SOURCE)["pod_phase"], cluster.labels(SOURCE)["pod_ready"]) == ("Pending", "false")
    unknown = web()
    unknown["status"]["conditions"] = [{"type": "PodScheduled", "status": "True"}]
    cluster.put(unknown)
    assert cluster.labels(SOURCE)["pod_ready"] == "unknown"


def test_only_the_owner_that_controls_a_pod_is_its_controller() -> None:
    other = owner("Other", "x") | {"controller": False}
    bare = {k: v for k, v in owner("Third", "y").items() if k != "controller"}
    cluster = WatchedCluster("role: pod", web(owners=[other, bare, owner("StatefulSet", "db")]))
    assert cluster.labels(SOURCE)["pod_controller_kind"] == "StatefulSet"
    assert cluster.labels(SOURCE)["pod_controller_name"] == "db"
    cluster.put(web(owners=[other]))
    assert "pod_controller_kind" not in cluster.labels(SOURCE)


def test_the_deployment_is_looked_up_behind_the_replica_set() -> None:
    """TestPodDiscoveryWithDeploymentMetadata and its kin."""
    made = web(owners=[owner("ReplicaSet", "web-77f")])
    cluster = WatchedCluster("role: pod, attach_metadata: {deployment: true}", made, pod("other", "shop"))
    assert "pod_deployment_name" not in cluster.labels(SOURCE)
    cluster.put(replica_set("web-77f", "shop", deployment="web"))
    assert cluster.affected == {SOURCE}
    assert cluster.labels(SOURCE)["pod_deployment_name"] == "web"
    cluster.put(replica_set("web-77f", "shop"))
    assert "pod_deployment_name" not in cluster.labels(SOURCE)
    cluster.put(replica_set("web-77f", "elsewhere", deployment="web"))
    assert cluster.affected == set()


def test_the_deployment_is_not_looked_up_unasked() -> None:
    cluster = WatchedCluster(
        "role: pod", web(owners=[owner("ReplicaSet", "r")]), replica_set("r", "shop", deployment="d")
    )
    assert "pod_deployment_name" not in cluster.labels(SOURCE)


@pytest.mark.parametrize(
    ("attach", "expected"),
    [
        ("{job: true}", ("nightly-1", None)),
        ("{cronjob: true}", (None, "nightly")),
        ("{job: true, cronjob: true}", ("nightly-1", "nightly")),
        ("{node: false}", (None, None)),
    ],
)
def test_job_and_cron_job_are_attached_where_asked(attach: str, expected: tuple[str | None, str | None]) -> None:
    made = web(owners=[owner("Job", "nightly-1", api="batch/v1")])
    cluster = WatchedCluster(
        f"role: pod, attach_metadata: {attach}", made, job("nightly-1", "shop", cron_job="nightly")
    )
    labels = cluster.labels(SOURCE)
    assert (labels.get("pod_job_name"), labels.get("pod_cronjob_name")) == expected


def test_the_labels_of_the_node_are_attached_and_follow_it() -> None:
    """TestPodDiscoveryWithNodeMetadata, TestPodDiscoveryWithNodeMetadataUpdateNode."""
    here = node("node-1", labels={"zone": "a"})
    elsewhere = pod("web-2", "shop", node="node-2")
    cluster = WatchedCluster("role: pod, attach_metadata: {node: true}", here, web(), elsewhere, node("node-2"))
    assert cluster.labels(SOURCE)["node_name"] == "node-1"
    assert cluster.labels(SOURCE)["node_label_zone"] == "a"
    assert cluster.labels(SOURCE)["node_labelpresent_zone"] == "true"
    cluster.put(node("node-1", labels={"zone": "b"}, annotations={"rack": "7"}))
    assert cluster.affected == {SOURCE}
    assert cluster.labels(SOURCE)["node_label_zone"] == "b"
    assert cluster.labels(SOURCE)["node_annotation_rack"] == "7"


def test_pods_on_a_node_that_is_not_known_are_left_out() -> None:
    """A selector of nodes leaves out nodes, and so their pods (pod.go, buildPod)."""
    cluster = WatchedCluster("role: pod, attach_metadata: {node: true}", web())
    assert cluster.group(SOURCE).targets == ()
    cluster.put(node("node-1"))
    assert cluster.addresses(SOURCE) == ["10.1.0.5:8080"]
    cluster.delete("Node", "node-1")
    assert cluster.group(SOURCE).targets == ()


def test_the_labels_of_the_namespace_are_attached_and_follow_it() -> None:
    """TestPodDiscoveryWithNamespaceMetadata, ...WithUpdatedNamespaceMetadata."""
    settings = "role: pod, attach_metadata: {namespace: true}"
    cluster = WatchedCluster(settings, web(), pod("x", "other"), namespace("shop", labels={"team": "a"}))
    assert cluster.labels(SOURCE)["namespace_label_team"] == "a"
    assert "namespace_name" not in cluster.labels(SOURCE)
    cluster.put(namespace("shop", labels={"team": "b"}, annotations={"mail": "x@y"}))
    assert cluster.affected == {SOURCE}
    assert cluster.labels(SOURCE)["namespace_label_team"] == "b"
    assert cluster.labels(SOURCE)["namespace_annotation_mail"] == "x@y"


def test_the_end_of_a_namespace_does_not_change_pods_that_still_end() -> None:
    settings = "role: pod, attach_metadata: {namespace: true}"
    cluster = WatchedCluster(settings, web(), namespace("shop", labels={"team": "a"}))
    cluster.delete("Namespace", "shop")
    assert cluster.affected == set()
    assert cluster.labels(SOURCE)["namespace_label_team"] == "a"


def test_a_change_that_no_label_shows_makes_an_equal_group() -> None:
    cluster = WatchedCluster("role: pod", web())
    before = cluster.group(SOURCE)
    changed = web()
    changed["status"]["startTime"] = "2026-11-02T00:00:00Z"
    changed["spec"]["serviceAccountName"] = "other"
    cluster.put(changed)
    assert cluster.group(SOURCE) == before


def test_a_replica_set_of_something_else_than_a_deployment_names_none() -> None:
    """pod.go, podLabels: the kind of the owner counts; Argo's Rollouts own ReplicaSets as well."""
    made = replica_set("r", "shop")
    made["metadata"]["ownerReferences"] = [owner("Rollout", "web")]
    cluster = WatchedCluster(
        "role: pod, attach_metadata: {deployment: true}", web(owners=[owner("ReplicaSet", "r")]), made
    )
    assert "pod_deployment_name" not in cluster.labels(SOURCE)
