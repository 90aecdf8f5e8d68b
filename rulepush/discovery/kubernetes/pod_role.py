"""The role `pod`: a group for each pod, a target for each port of each container."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any, Final

from rulepush.discovery.groups import ADDRESS, TargetGroup
from rulepush.discovery.kubernetes.labels import (
    META,
    NAMESPACE,
    MetadataSource,
    add_container_labels,
    add_container_port_labels,
    controller_key,
)
from rulepush.discovery.kubernetes.objects import Pod
from rulepush.discovery.kubernetes.resource import ObjectChange, Objects, Resource
from rulepush.discovery.kubernetes.resources import JOBS, NAMESPACES, NODES, PODS, REPLICA_SETS
from rulepush.discovery.kubernetes.reverse_index import ReverseIndex
from rulepush.model.host_port import join_host_port
from rulepush.model.labels import Labels

_PREFIX: Final = "pod/"


class PodRole:
    """Prometheus discovery/kubernetes/pod.go.

    A pod without an address yet, and with `attach_metadata.node` one on a node that is not known (a selector may leave
    it out), has a group without targets. A namespace that comes later than its pods changes them, which Prometheus
    leaves to the next change of each pod.
    """

    def __init__(self, pods: Objects[Pod], metadata: MetadataSource):
        self._pods = pods
        self._metadata = metadata
        attach = metadata.attach
        self._indexes: dict[str, ReverseIndex[Pod]] = {}
        if attach.node:
            self._indexes[NODES.name] = ReverseIndex(lambda pod: (pod.node_name,))
        if attach.namespace:
            self._indexes[NAMESPACES.name] = ReverseIndex(lambda pod: (pod.meta.namespace,))
        if attach.deployment:
            self._indexes[REPLICA_SETS.name] = ReverseIndex(lambda pod: (controller_key(pod),))
        if attach.cronjob:
            self._indexes[JOBS.name] = ReverseIndex(lambda pod: (controller_key(pod),))

    def sources(self) -> Iterable[str]:
        for index in self._indexes.values():
            index.fill(self._pods)
        return [_PREFIX + key for key, _ in self._pods.items()]

    def affected(self, resource: Resource[Any], change: ObjectChange[Any]) -> Iterable[str]:
        if resource.name == PODS.name:
            for index in self._indexes.values():
                index.note(change)
            return (_PREFIX + change.key,)
        if change.before == change.after or (resource.name == NAMESPACES.name and change.after is None):
            return ()  # the pods of a namespace end before it does
        naming = self._indexes.get(resource.name)
        return [_PREFIX + key for key in naming.keys(change.key)] if naming is not None else ()

    def group(self, source: str) -> Generator[None, None, TargetGroup | None]:
        yield from ()  # one is made at once
        return self._group(source)

    def _group(self, source: str) -> TargetGroup | None:
        pod = self._pods.get(source.removeprefix(_PREFIX))
        if pod is None:
            return None
        metadata = self._metadata
        if not pod.ip or (metadata.nodes is not None and metadata.nodes.get(pod.node_name) is None):
            return TargetGroup(source, ())
        shared: dict[str, str] = {}
        metadata.add_pod(shared, pod)
        shared[NAMESPACE] = pod.meta.namespace
        metadata.add_node(shared, pod.node_name)
        metadata.add_namespace(shared, pod.meta.namespace)
        targets = []
        for container, container_id in zip(pod.containers, pod.container_ids, strict=True):
            base: dict[str, str] = {META + "pod_container_id": container_id}
            add_container_labels(base, container)
            if not container.ports:
                targets.append(Labels({**base, ADDRESS: pod.ip}))
            for port in container.ports:
                labels = {**base, ADDRESS: join_host_port(pod.ip, port.number)}
                add_container_port_labels(labels, port)
                targets.append(Labels(labels))
        return TargetGroup(source, tuple(targets), Labels(shared))
