"""The `__meta_kubernetes_*` labels that several roles give, spelt as in Prometheus 3.14 (discovery/kubernetes)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from rulepush.discovery.kubernetes.objects import (
    Container,
    ContainerPort,
    KubernetesNamespace,
    KubernetesNode,
    ObjectMeta,
    OwnedObject,
    Pod,
)
from rulepush.discovery.kubernetes.resource import Objects
from rulepush.model.labels import flag_value, sanitized_label_name

META: Final = "__meta_kubernetes_"
NAMESPACE: Final = META + "namespace"
_PRESENT: Final = "true"


@lru_cache(maxsize=8192)
def _names(resource: str, part: str, name: str) -> tuple[str, str]:
    """The label of a label or an annotation, and the one that says that it is there."""
    clean = sanitized_label_name(name)
    return f"{META}{resource}_{part}_{clean}", f"{META}{resource}_{part}present_{clean}"


def add_labels_and_annotations(labels: dict[str, str], meta: ObjectMeta, resource: str) -> None:
    """kubernetes.go, addObjectAnnotationsAndLabels. Of two names that become one label, Prometheus takes either."""
    for part, pairs in (("label", meta.labels), ("annotation", meta.annotations)):
        for name, value in pairs:
            label, present = _names(resource, part, name)
            labels[label] = value
            labels[present] = _PRESENT


def add_object_labels(labels: dict[str, str], meta: ObjectMeta, resource: str) -> None:
    """The name, the labels and the annotations of an object (kubernetes.go, addObjectMetaLabels)."""
    labels[f"{META}{resource}_name"] = meta.name
    add_labels_and_annotations(labels, meta, resource)


def add_container_labels(labels: dict[str, str], container: Container) -> None:
    """What pods' and endpoints' targets say of a container."""
    labels[META + "pod_container_name"] = container.name
    labels[META + "pod_container_image"] = container.image
    labels[META + "pod_container_init"] = flag_value(container.init)


def add_container_port_labels(labels: dict[str, str], port: ContainerPort) -> None:
    """What they say of a port of a container."""
    labels[META + "pod_container_port_name"] = port.name
    labels[META + "pod_container_port_number"] = str(port.number)
    labels[META + "pod_container_port_protocol"] = port.protocol


def container_ports(pod: Pod) -> Iterator[tuple[Container, ContainerPort]]:
    """Each port of each container, those of init containers last."""
    for container in pod.containers:
        for port in container.ports:
            yield container, port


@dataclass(frozen=True, slots=True)
class AttachMetadata:
    """What `attach_metadata` adds to targets."""

    node: bool = False
    namespace: bool = False
    deployment: bool = False
    job: bool = False
    cronjob: bool = False


ATTACH_NOTHING: Final = AttachMetadata()


@dataclass(frozen=True, slots=True)
class MetadataSource:
    """Adds the labels of the objects around a target. What is not watched is None."""

    attach: AttachMetadata
    nodes: Objects[KubernetesNode] | None = None
    namespaces: Objects[KubernetesNamespace] | None = None
    replica_sets: Objects[OwnedObject] | None = None
    jobs: Objects[OwnedObject] | None = None

    def node(self, name: str) -> KubernetesNode | None:
        """A node by its name, None when it is not known or nodes are not attached."""
        return self.nodes.get(name) if self.nodes is not None and name else None

    def owner_name(self, pod: Pod) -> str:
        """What owns the controller of a pod: its deployment or cron job; "" when none is attached."""
        if pod.controller is None or (self.replica_sets is None and self.jobs is None):
            return ""
        if pod.controller.kind == "ReplicaSet":
            return _owner(self.replica_sets, controller_key(pod), "Deployment")
        return _owner(self.jobs, controller_key(pod), "CronJob") if pod.controller.kind == "Job" else ""

    def add_node(self, labels: dict[str, str], name: str) -> None:
        """endpoints.go, addNodeLabels."""
        node = self.node(name)
        if node is not None:
            add_object_labels(labels, node.meta, "node")

    def add_namespace(self, labels: dict[str, str], name: str) -> None:
        """endpoints.go, addNamespaceLabels."""
        namespace = self.namespaces.get(name) if self.namespaces is not None else None
        if namespace is not None:
            add_labels_and_annotations(labels, namespace.meta, "namespace")

    def add_pod(self, labels: dict[str, str], pod: Pod) -> None:
        """pod.go, podLabels."""
        labels[META + "pod_ip"] = pod.ip
        labels[META + "pod_ready"] = pod.ready
        labels[META + "pod_phase"] = pod.phase
        labels[META + "pod_node_name"] = pod.node_name
        labels[META + "pod_host_ip"] = pod.host_ip
        labels[META + "pod_uid"] = pod.uid
        add_object_labels(labels, pod.meta, "pod")
        if pod.controller is None:
            return
        kind, name = pod.controller.kind, pod.controller.name
        labels[META + "pod_controller_kind"] = kind
        labels[META + "pod_controller_name"] = name
        if kind == "ReplicaSet":
            labels[META + "pod_deployment_name"] = self.owner_name(pod)
        elif kind == "Job":
            if self.attach.job:
                labels[META + "pod_job_name"] = name
            labels[META + "pod_cronjob_name"] = self.owner_name(pod)


def controller_key(pod: Pod) -> str:
    """The key of the object that manages a pod, whatever its kind; "" when none does."""
    return f"{pod.meta.namespace}/{pod.controller.name}" if pod.controller is not None else ""


def _owner(objects: Objects[OwnedObject] | None, key: str, kind: str) -> str:
    """The name of the object of this kind that manages another one, "" when there is none."""
    found = objects.get(key) if objects is not None else None
    owner = found.controller if found is not None else None
    return owner.name if owner is not None and owner.kind == kind else ""
