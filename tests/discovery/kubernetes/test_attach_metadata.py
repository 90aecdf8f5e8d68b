"""`attach_metadata` of Prometheus 3.14, label by label: every group whole, at the start and after a change.

The cases are those of Prometheus' discovery/kubernetes: pod_test.go (TestPodDiscoveryWithNamespaceMetadata,
...WithDeployment, ...WithJob, ...WithCronJob and the same with Update), service_test.go, ingress_test.go,
endpoints_test.go and endpointslice_test.go (...WithNamespaceMetadata, ...WithUpdatedNamespaceMetadata), with objects
of our own. Debian's Prometheus, which other tests run beside, knows `node` alone.
"""

from __future__ import annotations

import pytest

from rulepush.discovery.kubernetes.fields import object_key
from tests.discovery.kubernetes.cluster import Json, WatchedCluster
from tests.kubernetes_objects import (
    container,
    endpoint,
    endpoint_address,
    endpoints,
    endpointslice,
    ingress,
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

Labels = dict[str, str]

BEFORE = {
    "namespace_label_kubernetes_io_metadata_name": "shop",
    "namespace_labelpresent_kubernetes_io_metadata_name": "true",
    "namespace_label_team": "orders",
    "namespace_labelpresent_team": "true",
    "namespace_label_tier_1": "back",
    "namespace_labelpresent_tier_1": "true",
    "namespace_annotation_example_com_mail": "a@shop",
    "namespace_annotationpresent_example_com_mail": "true",
}
AFTER = {
    **BEFORE,
    "namespace_label_team": "payments",
    "namespace_label_zone": "eu",
    "namespace_labelpresent_zone": "true",
    "namespace_annotation_example_com_mail": "b@shop",
    "namespace_annotation_empty": "",  # no label; that it is there is one
    "namespace_annotationpresent_empty": "true",
}
MADE_BEFORE = namespace("shop", labels={"team": "orders", "tier-1": "back"}, annotations={"example.com/mail": "a@shop"})
MADE_AFTER = namespace(
    "shop",
    labels={"team": "payments", "tier-1": "back", "zone": "eu"},
    annotations={"example.com/mail": "b@shop", "empty": ""},
)

POD = pod("web-1", "shop", ip="10.1.0.5", containers=[container("app", "shop/web:1", [("http", 8080)])])
POD_LABELS = {
    "pod_name": "web-1",
    "pod_ip": "10.1.0.5",
    "pod_ready": "true",
    "pod_phase": "Running",
    "pod_node_name": "node-1",
    "pod_host_ip": "192.168.0.1",
    "pod_uid": POD["metadata"]["uid"],
}
CONTAINER_LABELS = {
    "pod_container_name": "app",
    "pod_container_image": "shop/web:1",
    "pod_container_init": "false",
    "pod_container_port_name": "http",
    "pod_container_port_number": "8080",
    "pod_container_port_protocol": "TCP",
}
POD_TARGET = {
    "__address__": "10.1.0.5:8080",
    **CONTAINER_LABELS,
    "pod_container_id": POD["status"]["containerStatuses"][0]["containerID"],
}
REF = target_ref("Pod", "web-1", "shop")
ENDPOINTS = endpoints("web", "shop", subsets=[subset([endpoint_address("10.1.0.5", node="node-1", target=REF)])])
SLICE = endpointslice("web-x", "shop", service="web", endpoints=[endpoint("10.1.0.5", node="node-1", target=REF)])
ENDPOINTS_TARGET = {
    "__address__": "10.1.0.5:8080",
    "endpoint_address_target_kind": "Pod",
    "endpoint_address_target_name": "web-1",
    "endpoint_node_name": "node-1",
    "endpoint_port_name": "http",
    "endpoint_port_protocol": "TCP",
    "endpoint_ready": "true",
}
SLICE_TARGET = {
    "__address__": "10.1.0.5:8080",
    "endpointslice_address_target_kind": "Pod",
    "endpointslice_address_target_name": "web-1",
    "endpointslice_endpoint_conditions_ready": "true",
    "endpointslice_endpoint_node_name": "node-1",
    "endpointslice_port": "8080",
    "endpointslice_port_name": "http",
    "endpointslice_port_protocol": "TCP",
}
SLICE_LABELS = {
    "endpointslice_name": "web-x",
    "endpointslice_address_type": "IPv4",
    "endpointslice_label_kubernetes_io_service_name": "web",
    "endpointslice_labelpresent_kubernetes_io_service_name": "true",
}

# role -> objects, the source of the group, its labels, its target
ROLES: dict[str, tuple[list[Json], str, Labels, Labels]] = {
    "pod": ([POD], "pod/shop/web-1", POD_LABELS, POD_TARGET),
    "service": (
        [service("web", "shop", cluster_ip="10.96.0.10")],
        "svc/shop/web",
        {"service_name": "web"},
        {
            "__address__": "web.shop.svc:80",
            "service_cluster_ip": "10.96.0.10",
            "service_port_name": "http",
            "service_port_number": "80",
            "service_port_protocol": "TCP",
            "service_type": "ClusterIP",
        },
    ),
    "ingress": (
        [ingress("web", "shop", ingress_class="nginx", labels={"a-b": "c"})],
        "ingress/shop/web",
        {
            "ingress_name": "web",
            "ingress_class_name": "nginx",
            "ingress_label_a_b": "c",
            "ingress_labelpresent_a_b": "true",
        },
        {"__address__": "example.com", "ingress_host": "example.com", "ingress_path": "/", "ingress_scheme": "http"},
    ),
    "endpoints": ([ENDPOINTS], "endpoints/shop/web", {"endpoints_name": "web"}, ENDPOINTS_TARGET),
    "endpointslice": ([SLICE], "endpointslice/shop/web-x", SLICE_LABELS, SLICE_TARGET),
}


def without_empty(labels: Labels) -> Labels:
    return {name: value for name, value in labels.items() if value}


@pytest.mark.parametrize("role", ROLES)
def test_namespace_adds_its_labels_and_annotations_to_each_group_of_it(role: str) -> None:
    objects, source, labels, target = ROLES[role]
    cluster = WatchedCluster(f"role: {role}, attach_metadata: {{namespace: true}}", *objects, MADE_BEFORE)
    group = {"namespace": "shop", **labels}
    assert cluster.labels(source) == {**group, **BEFORE}
    assert cluster.targets(source) == [target]
    cluster.put(MADE_AFTER)
    assert cluster.labels(source) == without_empty({**group, **AFTER})
    assert cluster.targets(source) == [target]


@pytest.mark.parametrize("role", ROLES)
def test_nothing_of_the_namespace_is_added_unasked(role: str) -> None:
    objects, source, labels, target = ROLES[role]
    cluster = WatchedCluster(f"role: {role}", *objects, MADE_BEFORE)
    assert cluster.labels(source) == {"namespace": "shop", **labels}
    assert cluster.targets(source) == [target]
    assert "namespaces" not in cluster.objects


@pytest.mark.parametrize("role", ["pod", "endpoints", "endpointslice"])
def test_node_and_namespace_are_attached_together(role: str) -> None:
    objects, source, labels, target = ROLES[role]
    cluster = WatchedCluster(
        f"role: {role}, attach_metadata: {{node: true, namespace: true}}",
        *objects,
        MADE_BEFORE,
        node("node-1", labels={"disk": "ssd"}),
    )
    attached = {"node_name": "node-1", "node_label_disk": "ssd", "node_labelpresent_disk": "true"}
    group = {"namespace": "shop", **labels, **BEFORE}
    if role == "pod":
        assert cluster.labels(source) == {**group, **attached}
        assert cluster.targets(source) == [target]
    else:
        assert cluster.labels(source) == group
        assert cluster.targets(source) == [{**target, **attached}]


REPLICA_SET = [owner("ReplicaSet", "web-77f")], [replica_set("web-77f", "shop", deployment="web")]
CRON_JOB = [owner("Job", "nightly-1", api="batch/v1")], [job("nightly-1", "shop", cron_job="nightly")]
PLAIN_JOB = [owner("Job", "once", api="batch/v1")], [job("once", "shop")]

# attach_metadata, the owners of the pod with the objects behind them, what the pod's labels get
OWNERS: list[tuple[str, tuple[list[Json], list[Json]], Labels]] = [
    ("deployment: true", REPLICA_SET, {"pod_deployment_name": "web"}),
    ("job: true, cronjob: true", REPLICA_SET, {}),
    ("job: true", PLAIN_JOB, {"pod_job_name": "once"}),
    ("cronjob: true", PLAIN_JOB, {}),
    ("job: true", CRON_JOB, {"pod_job_name": "nightly-1"}),
    ("cronjob: true", CRON_JOB, {"pod_cronjob_name": "nightly"}),
    ("job: true, cronjob: true", CRON_JOB, {"pod_job_name": "nightly-1", "pod_cronjob_name": "nightly"}),
    ("deployment: true", CRON_JOB, {}),
]


@pytest.mark.parametrize("role", ["pod", "endpoints", "endpointslice"])
@pytest.mark.parametrize(("attach", "owned", "added"), OWNERS)
def test_what_owns_the_controller_of_a_pod_is_named(
    role: str, attach: str, owned: tuple[list[Json], list[Json]], added: Labels
) -> None:
    owners, behind = owned
    objects, source, labels, target = ROLES[role]
    made = {**POD, "metadata": {**POD["metadata"], "ownerReferences": owners}}
    others = [o for o in objects if o is not POD]
    cluster = WatchedCluster(f"role: {role}, attach_metadata: {{{attach}}}", *others, made, *behind)
    of_pod = {"pod_controller_kind": owners[0]["kind"], "pod_controller_name": owners[0]["name"], **added}
    if role == "pod":
        expected, targets = {**labels, **of_pod}, [target]
    else:
        expected, targets = labels, [{**target, **POD_LABELS, **CONTAINER_LABELS, **of_pod}]
    assert cluster.labels(source) == {"namespace": "shop", **expected}
    assert cluster.targets(source) == targets
    for changed in behind:  # what is changed in it is no label
        cluster.put({**changed, "metadata": {**changed["metadata"], "labels": {"version": "v2"}}})
    assert cluster.labels(source) == {"namespace": "shop", **expected}
    for gone in behind:  # ReplicaSets and Jobs end before their pods
        if cluster.objects.get({"ReplicaSet": "replicasets", "Job": "jobs"}[gone["kind"]]):
            cluster.delete(gone["kind"], object_key(gone["metadata"]))
    left = {name: value for name, value in of_pod.items() if name not in ("pod_deployment_name", "pod_cronjob_name")}
    if role == "pod":
        assert cluster.labels(source) == {"namespace": "shop", **labels, **left}
    else:
        assert cluster.targets(source) == [{**target, **POD_LABELS, **CONTAINER_LABELS, **left}]
