"""What the roles `endpoints` and `endpointslice` share: a group for each such object, a target for each address and
port of it, and for each other port of the pods behind the addresses.

Prometheus notices a change of a pod only when its phase changes (role endpoints) or not at all (role endpointslice),
and otherwise with the next change of the endpoints themselves. Here each change of a pod, of a node whose labels are
attached, or of an owner changes the groups that name it at once.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from typing import Any, Generic, TypeVar

from rulepush.discovery.groups import TargetGroup
from rulepush.discovery.kubernetes.endpoint_targets import EndpointTargets, MadeTargets
from rulepush.discovery.kubernetes.labels import MetadataSource, add_object_labels, controller_key
from rulepush.discovery.kubernetes.objects import (
    EndpointAddress,
    EndpointPort,
    EndpointSlice,
    KubernetesEndpoints,
    KubernetesService,
    Pod,
    SliceEndpoint,
)
from rulepush.discovery.kubernetes.resource import ObjectChange, Objects, Resource
from rulepush.discovery.kubernetes.resources import JOBS, NAMESPACES, NODES, PODS, REPLICA_SETS, SERVICES
from rulepush.discovery.kubernetes.reverse_index import ReverseIndex
from rulepush.model.labels import Labels

R = TypeVar("R", bound=EndpointAddress | SliceEndpoint)
T = TypeVar("T", bound=KubernetesEndpoints | EndpointSlice)


class AddressRole(Generic[T, R]):
    """Which groups a change concerns, and how one is made of what it was."""

    says_protocol: bool
    """As in EndpointTargets."""

    def __init__(
        self,
        resource: Resource[T],
        prefix: str,
        endpoints: Objects[T],
        services: Objects[KubernetesService],
        pods: Objects[Pod],
        metadata: MetadataSource,
    ):
        self._resource = resource
        self._prefix = prefix
        self._endpoints = endpoints
        self._services = services
        self._pods = pods
        self._metadata = metadata
        self._made: dict[str, MadeTargets] = {}
        attach = metadata.attach
        self._indexes: dict[str, ReverseIndex[T]] = {
            PODS.name: ReverseIndex(_named_pods, self._records),
            SERVICES.name: ReverseIndex(lambda e: (self._service_key(e),)),
        }
        if attach.node:
            self._indexes[NODES.name] = ReverseIndex(lambda record: (self._node_of(record),), self._records)
        if attach.namespace:
            self._indexes[NAMESPACES.name] = ReverseIndex(lambda e: (e.meta.namespace,))
        self._pods_by_controller: ReverseIndex[Pod] = ReverseIndex(lambda pod: (controller_key(pod),))
        self._owners = ((REPLICA_SETS.name,) if attach.deployment else ()) + ((JOBS.name,) if attach.cronjob else ())

    def _records(self, endpoints: T) -> Sequence[R]:
        """All addresses."""
        raise NotImplementedError

    def _node_of(self, record: R) -> str:
        """The name of the node of an address."""
        raise NotImplementedError

    def _service_key(self, endpoints: T) -> str:
        raise NotImplementedError

    def _shared_labels(self, endpoints: T) -> tuple[dict[str, str], bool]:
        """The labels of the group, but for those of its namespace; and whether it has targets."""
        raise NotImplementedError

    def _make(self, targets: EndpointTargets[R], endpoints: T) -> Generator[None, None, None]:
        """Find the targets of the addresses, in Prometheus' order."""
        raise NotImplementedError

    def _own_labels(self, record: R, text: str, port: EndpointPort) -> Iterable[dict[str, str]]:
        """As in EndpointTargets."""
        raise NotImplementedError

    def sources(self) -> Iterable[str]:
        for index in self._indexes.values():
            index.fill(self._endpoints)
        if self._owners:
            self._pods_by_controller.fill(self._pods)
        return [self._prefix + key for key, _ in self._endpoints.items()]

    def affected(self, resource: Resource[Any], change: ObjectChange[Any]) -> Iterable[str]:
        name = resource.name
        if name == self._resource.name:
            for index in self._indexes.values():
                index.note(change)
            return (self._prefix + change.key,)
        if name == PODS.name and self._owners:
            self._pods_by_controller.note(change)
        if change.before == change.after or (name == NAMESPACES.name and change.after is None):
            return ()  # the endpoints of a namespace end before it does
        if name in self._owners:
            pods = self._pods_by_controller.keys(change.key)
            return [source for pod in pods for source in self._naming(PODS.name, pod)]
        return self._naming(name, change.key)

    def _naming(self, resource: str, key: str) -> list[str]:
        index = self._indexes.get(resource)
        return [self._prefix + found for found in index.keys(key)] if index is not None else []

    def group(self, source: str) -> Generator[None, None, TargetGroup | None]:
        endpoints = self._endpoints.get(source.removeprefix(self._prefix))
        if endpoints is None:
            self._made.pop(source, None)
            return None
        shared, has_targets = self._shared_labels(endpoints)
        self._metadata.add_namespace(shared, endpoints.meta.namespace)
        if not has_targets:
            return TargetGroup(source, (), Labels(shared))
        targets = EndpointTargets(
            self._pods,
            self._metadata,
            self._made.get(source) or MadeTargets(),
            self._node_of,
            self._own_labels,
            says_protocol=self.says_protocol,
        )
        yield from self._make(targets, endpoints)
        yield from targets.make_other_ports()
        self._made[source] = targets.made
        return TargetGroup(source, tuple(targets.found), Labels(shared))

    def _service_labels(self, labels: dict[str, str], endpoints: T) -> KubernetesService | None:
        """service.go, serviceLabels."""
        key = self._service_key(endpoints)
        service = self._services.get(key) if key else None
        if service is not None:
            add_object_labels(labels, service.meta, "service")
        return service


def _named_pods(record: EndpointAddress | SliceEndpoint) -> tuple[str, ...]:
    return (record.target.pod_key,) if record.target is not None else ()
