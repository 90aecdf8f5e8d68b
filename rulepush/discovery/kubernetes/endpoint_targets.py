"""EndpointTargets: the targets of one group of the endpoints roles, of which most are those of before."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final, Generic, TypeVar

from rulepush.discovery.groups import ADDRESS
from rulepush.discovery.kubernetes.labels import (
    META,
    MetadataSource,
    add_container_labels,
    add_container_port_labels,
    container_ports,
)
from rulepush.discovery.kubernetes.objects import EndpointAddress, EndpointPort, KubernetesNode, Pod, SliceEndpoint
from rulepush.discovery.kubernetes.resource import Objects
from rulepush.model.host_port import join_host_port
from rulepush.model.labels import Labels

R = TypeVar("R", bound=EndpointAddress | SliceEndpoint)

OwnLabels = Callable[[R, str, EndpointPort], Iterable[dict[str, str]]]
"""Of a record, its text and a port: the labels of its targets that are not the pod's."""

_STEP: Final = 100  # records that are as they were, and cost little


@dataclass(slots=True, eq=False)
class MadeRecord:
    """The targets of one record, those of each port, and what they were made of. The objects are held, so that no
    others have their identity. `text` is what else tells of the record, such as whether it is ready."""

    record: EndpointAddress | SliceEndpoint
    text: str
    ports: tuple[EndpointPort, ...]
    node_name: str
    pod_key: str
    pod: Pod | None
    node: KubernetesNode | None
    owner: str
    targets: tuple[tuple[Labels, ...], ...]


@dataclass(slots=True, eq=False)
class _OtherPorts:
    """The targets of the ports of a pod that are not `taken`."""

    pod: Pod
    taken: frozenset[int]
    owner: str
    targets: tuple[Labels, ...]


class MadeTargets:
    """What was made for a group, by the identity of what it was made of."""

    def __init__(self) -> None:
        self.of_records: dict[tuple[int, str, int], MadeRecord] = {}
        self.of_pods: dict[str, _OtherPorts] = {}


class EndpointTargets(Generic[R]):
    """Makes the targets of one group: of the addresses it has, and of the other ports of the pods behind them.

    `before` is what was made for the group the last time: of a thousand addresses one has changed, and the targets of
    the others are the same objects. `made` is that of this time. Both methods work in steps: at each `yield` others may
    have their turn.
    """

    def __init__(
        self,
        pods: Objects[Pod],
        metadata: MetadataSource,
        before: MadeTargets,
        node_of: Callable[[R], str],
        own_labels: OwnLabels[R],
        *,
        says_protocol: bool,
    ):
        """`says_protocol`: the protocol of a container's port is that of the endpoints' port."""
        self.found: list[Labels] = []
        self.made = MadeTargets()
        self._pods = pods
        self._metadata = metadata
        self._attaches = metadata != MetadataSource(metadata.attach)
        self._before = before
        self._node_of = node_of
        self._own_labels = own_labels
        self._says_protocol = says_protocol
        self._by_addresses: dict[tuple[tuple[str, ...], str], MadeRecord] | None = None  # those of before
        self._seen: dict[str, tuple[Pod, frozenset[int]]] = {}  # the pods, and which of their ports are targets

    def make(
        self, records: Iterable[tuple[R, str]], ports: tuple[EndpointPort, ...]
    ) -> Generator[None, None, list[MadeRecord]]:
        """The targets of records and their texts, which have these ports; `found` is the caller's to fill, for the
        order of targets is the role's."""
        known, now, seen, found = self._before.of_records, self.made.of_records, self._seen, list[MadeRecord]()
        numbers = frozenset(port.number for port in ports if port.number is not None)
        pod_of, attaches = self._pods.get, self._attaches
        for count, (record, text) in enumerate(records):
            key = (id(record), text, id(ports))
            one = known.get(key)
            if one is None or (
                not self._is_as_it_was(one)
                if attaches  # else the same without a call: nearly all records pass here, each time the group changes
                else (pod_of(one.pod_key) if one.pod_key else None) is not one.pod
            ):
                one = self._another(record, text, ports)
                yield
            elif not count % _STEP:
                yield
            now[key] = one
            found.append(one)
            if one.pod is not None:
                taken = seen.get(one.pod_key)
                seen[one.pod_key] = (one.pod, numbers if taken is None else taken[1] | numbers)
        return found

    def _is_as_it_was(self, one: MadeRecord) -> bool:
        pod = self._pods.get(one.pod_key) if one.pod_key else None
        if pod is not one.pod:
            return False
        if not self._attaches:
            return True
        metadata = self._metadata
        return metadata.node(one.node_name) is one.node and self._owner(pod) == one.owner

    def _owner(self, pod: Pod | None) -> str:
        return self._metadata.owner_name(pod) if pod is not None else ""

    def _another(self, record: R, text: str, ports: tuple[EndpointPort, ...]) -> MadeRecord:
        """What is not known by identity: equal to one of before, as after a new list, or new."""
        if self._by_addresses is None:
            self._by_addresses = {(m.record.addresses, m.text): m for m in self._before.of_records.values()}
        equal = self._by_addresses.get((record.addresses, text))
        if equal is not None and equal.record == record and equal.ports == ports and self._is_as_it_was(equal):
            return replace(equal, record=record, ports=ports)
        pod_key, node_name = record.target.pod_key if record.target is not None else "", self._node_of(record)
        pod = self._pods.get(pod_key) if pod_key else None
        of_pod: dict[str, str] = {}
        if pod is not None:
            self._metadata.add_pod(of_pod, pod)

        def targets(port: EndpointPort) -> Iterator[Labels]:
            for labels in self._own_labels(record, text, port):
                if pod is not None:
                    labels |= of_pod
                    if port.number is not None:
                        _add_container(labels, pod, port.number, port.protocol if self._says_protocol else "")
                yield Labels(labels)

        node, owner = self._metadata.node(node_name), self._owner(pod)
        made = tuple(tuple(targets(port)) for port in ports)
        return MadeRecord(record, text, ports, node_name, pod_key, pod, node, owner, made)

    def make_other_ports(self) -> Iterator[None]:
        """Add the ports of the pods seen that no service has."""
        known, now = self._before.of_pods, self.made.of_pods
        for count, (pod_key, (pod, taken)) in enumerate(self._seen.items()):
            one = known.get(pod_key)
            owner = self._owner(pod) if self._attaches else ""
            if one is None or one.pod is not pod or one.taken != taken or one.owner != owner:
                one = _OtherPorts(pod, taken, owner, self._other_ports(pod, taken))
                yield
            elif not count % _STEP:
                yield
            now[pod_key] = one
            self.found += one.targets

    def _other_ports(self, pod: Pod, taken: frozenset[int]) -> tuple[Labels, ...]:
        made = []
        if pod.ip:
            for container, port in container_ports(pod):
                if port.number not in taken:
                    labels = {ADDRESS: join_host_port(pod.ip, port.number)}
                    self._metadata.add_pod(labels, pod)
                    add_container_labels(labels, container)
                    add_container_port_labels(labels, port)
                    made.append(Labels(labels))
        return tuple(made)


def _add_container(labels: dict[str, str], pod: Pod, number: int, protocol: str) -> None:
    for container in pod.containers:  # the last one that has the port counts, and of its ports the first
        port = next((p for p in container.ports if p.number == number), None)
        if port is not None:
            add_container_labels(labels, container)
            add_container_port_labels(labels, port)
            if protocol:
                labels[META + "pod_container_port_protocol"] = protocol
