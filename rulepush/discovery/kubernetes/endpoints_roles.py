"""The roles `endpoints` and `endpointslice`: a group for each such object, a target for each address and port of it,
and for each other port of the pods behind the addresses.

Prometheus notices a change of a pod only when its phase changes (role endpoints) or not at all (role endpointslice),
and otherwise with the next change of the endpoints themselves. Here each change of a pod, of a node whose labels are
attached, or of an owner changes the groups that name it at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain, islice
from typing import Any, Final, Generic, TypeVar

from rulepush.discovery.groups import ADDRESS, TargetGroup
from rulepush.discovery.kubernetes.labels import (
    META,
    NAMESPACE,
    MetadataSource,
    add_container_labels,
    add_container_port_labels,
    add_object_labels,
    container_ports,
    controller_key,
)
from rulepush.discovery.kubernetes.objects import (
    EndpointAddress,
    EndpointPort,
    EndpointSlice,
    KubernetesEndpoints,
    KubernetesService,
    Pod,
    SliceEndpoint,
    TargetRef,
)
from rulepush.discovery.kubernetes.resource import ObjectChange, Objects, Resource
from rulepush.discovery.kubernetes.resources import (
    ENDPOINT_SLICES,
    ENDPOINTS,
    JOBS,
    NAMESPACES,
    NODES,
    PODS,
    REPLICA_SETS,
    SERVICES,
)
from rulepush.discovery.kubernetes.reverse_index import ReverseIndex
from rulepush.model.host_port import join_host_port
from rulepush.model.labels import Labels, flag_value, sanitized_label_name

_SERVICE_NAME: Final = "kubernetes.io/service-name"
_SLICE: Final = META + "endpointslice_"
_ENDPOINT: Final = META + "endpoint_"
_STEP: Final = 20  # addresses whose targets are made at once

T = TypeVar("T", bound=KubernetesEndpoints | EndpointSlice)


# What targets were made of, whole objects by their identity, and the targets. Those objects are held, so that no other
# has their identity.
_Made = dict[tuple[Any, ...], tuple[tuple[Labels, ...], tuple[object, ...]]]


class _Targets:
    """The targets of one group, and which ports of which pods are among them.

    `before` is what was made for the group the last time: of a thousand addresses one has changed, and the targets of
    the others are the same objects. `made` is that of this time.
    """

    def __init__(self, pods: Objects[Pod], metadata: MetadataSource, before: _Made):
        self.found: list[Labels] = []
        self.made: _Made = {}
        self._pods = pods
        self._metadata = metadata
        self._before = before
        self._seen: dict[str, tuple[Pod, set[int]]] = {}
        self._labels_of: dict[str, dict[str, str]] = {}

    def add(
        self,
        record: EndpointAddress | SliceEndpoint,
        port: EndpointPort,
        text: str,
        node: str,
        protocol: str,
        labels: Callable[[], dict[str, str]],
    ) -> None:
        """One address of a record with one port. `labels` makes those that are not the pod's, from the record, the
        port, the text and the node; `protocol` is what the label of the container's port says, where it is not the
        container that says it."""
        target, number = record.target, port.number
        pod_key = target.pod_key if target is not None else ""
        pod = self._pods.get(pod_key) if pod_key else None
        if pod is not None:
            ports = self._seen.setdefault(pod_key, (pod, set()))[1]
            if number is not None:
                ports.add(number)

        def make() -> tuple[Labels, ...]:
            made = labels()
            if pod is not None:
                made |= self._pod_labels(pod_key, pod)
                if number is not None:
                    _add_container(made, pod, number, protocol)
            return (Labels(made),)

        known_node = self._metadata.node(node)
        owner = self._metadata.owner_name(pod) if pod is not None else ""
        key = (record, port, text, id(pod), id(known_node), owner)  # each event has all records anew
        self._once(key, (pod, known_node), make)

    def _once(self, key: tuple[Any, ...], of: tuple[object, ...], make: Callable[[], tuple[Labels, ...]]) -> None:
        made = self._before.get(key) or (make(), of)
        self.made[key] = made
        self.found += made[0]

    def _pod_labels(self, key: str, pod: Pod) -> dict[str, str]:
        labels = self._labels_of.get(key)
        if labels is None:
            labels = self._labels_of[key] = {}
            self._metadata.add_pod(labels, pod)
        return labels

    def add_other_ports(self) -> Iterator[None]:
        """The ports of the pods seen that no service has; a pod at each step."""
        for pod_key, (pod, ports) in self._seen.items():
            if pod.ip and any(port.number not in ports for _, port in container_ports(pod)):
                key = (id(pod), frozenset(ports), self._metadata.owner_name(pod))
                self._once(key, (pod,), partial(self._other_ports, pod_key, pod, ports))
            yield

    def _other_ports(self, pod_key: str, pod: Pod, ports: set[int]) -> tuple[Labels, ...]:
        made = []
        for container, port in container_ports(pod):
            if port.number not in ports:
                labels = {**self._pod_labels(pod_key, pod), ADDRESS: join_host_port(pod.ip, port.number)}
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


class _EndpointsRole(Generic[T]):
    """What both roles share: which groups a change concerns."""

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
        self._made: dict[str, _Made] = {}
        attach = metadata.attach
        self._indexes: dict[str, ReverseIndex[T]] = {
            PODS.name: ReverseIndex(lambda e: (ref.pod_key for ref in self._target_refs(e))),
            SERVICES.name: ReverseIndex(lambda e: (self._service_key(e),)),
        }
        if attach.node:
            self._indexes[NODES.name] = ReverseIndex(self._node_names)
        if attach.namespace:
            self._indexes[NAMESPACES.name] = ReverseIndex(lambda e: (e.meta.namespace,))
        self._pods_by_controller: ReverseIndex[Pod] = ReverseIndex(lambda pod: (controller_key(pod),))
        self._owners = ((REPLICA_SETS.name,) if attach.deployment else ()) + ((JOBS.name,) if attach.cronjob else ())

    def _target_refs(self, endpoints: T) -> Iterator[TargetRef]:
        raise NotImplementedError

    def _node_names(self, endpoints: T) -> Iterator[str]:
        raise NotImplementedError

    def _service_key(self, endpoints: T) -> str:
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

    def _targets(self, source: str) -> _Targets:
        return _Targets(self._pods, self._metadata, self._made.get(source, {}))

    def prepare(self, source: str) -> Iterator[None]:
        """The targets, which `group` then finds made: those of a group that is new, for of another one most are."""
        endpoints = self._endpoints.get(source.removeprefix(self._prefix)) if source not in self._made else None
        if endpoints is not None:
            targets = self._targets(source)
            yield from islice(chain(self._add(targets, endpoints), targets.add_other_ports()), None, None, _STEP)
            self._made[source] = targets.made

    def _add(self, targets: _Targets, endpoints: T) -> Iterator[None]:
        """The addresses, with each port; one at each step."""
        raise NotImplementedError

    def group(self, source: str) -> TargetGroup | None:
        endpoints = self._endpoints.get(source.removeprefix(self._prefix))
        if endpoints is None:
            self._made.pop(source, None)
            return None
        shared, has_targets = self._shared_labels(endpoints)
        self._metadata.add_namespace(shared, endpoints.meta.namespace)
        if not has_targets:
            return TargetGroup(source, (), Labels(shared))
        targets = self._targets(source)
        for _ in chain(self._add(targets, endpoints), targets.add_other_ports()):
            pass
        self._made[source] = targets.made
        return TargetGroup(source, tuple(targets.found), Labels(shared))

    def _shared_labels(self, endpoints: T) -> tuple[dict[str, str], bool]:
        """The labels of the group, but for those of its namespace; and whether it has targets."""
        raise NotImplementedError

    def _service_labels(self, labels: dict[str, str], endpoints: T) -> KubernetesService | None:
        """service.go, serviceLabels."""
        key = self._service_key(endpoints)
        service = self._services.get(key) if key else None
        if service is not None:
            add_object_labels(labels, service.meta, "service")
        return service


class EndpointsRole(_EndpointsRole[KubernetesEndpoints]):
    """Prometheus discovery/kubernetes/endpoints.go."""

    def __init__(
        self,
        endpoints: Objects[KubernetesEndpoints],
        services: Objects[KubernetesService],
        pods: Objects[Pod],
        metadata: MetadataSource,
    ):
        super().__init__(ENDPOINTS, "endpoints/", endpoints, services, pods, metadata)

    def _target_refs(self, endpoints: KubernetesEndpoints) -> Iterator[TargetRef]:
        return (a.target for a in _addresses(endpoints) if a.target is not None)

    def _node_names(self, endpoints: KubernetesEndpoints) -> Iterator[str]:
        return map(_node_of_address, _addresses(endpoints))

    def _service_key(self, endpoints: KubernetesEndpoints) -> str:
        return endpoints.meta.key

    def _shared_labels(self, endpoints: KubernetesEndpoints) -> tuple[dict[str, str], bool]:
        shared = {NAMESPACE: endpoints.meta.namespace}
        self._service_labels(shared, endpoints)
        add_object_labels(shared, endpoints.meta, "endpoints")
        return shared, True

    def _add(self, targets: _Targets, endpoints: KubernetesEndpoints) -> Iterator[None]:
        for subset in endpoints.subsets:
            for port in subset.ports:
                for ready, addresses in (("true", subset.ready), ("false", subset.not_ready)):
                    for address in addresses:
                        labels = partial(self._address_labels, address, port, ready)
                        targets.add(address, port, ready, _node_of_address(address), port.protocol, labels)
                        yield

    def _address_labels(self, address: EndpointAddress, port: EndpointPort, ready: str) -> dict[str, str]:
        labels = {
            ADDRESS: join_host_port(address.ip, port.number or 0),
            _ENDPOINT + "port_name": port.name,
            _ENDPOINT + "port_protocol": port.protocol,
            _ENDPOINT + "ready": ready,
            _ENDPOINT + "node_name": address.node_name,
            _ENDPOINT + "hostname": address.hostname,
        }
        if address.target is not None:
            labels[_ENDPOINT + "address_target_kind"] = address.target.kind
            labels[_ENDPOINT + "address_target_name"] = address.target.name
        self._metadata.add_node(labels, _node_of_address(address))
        return labels


def _addresses(endpoints: KubernetesEndpoints) -> Iterator[EndpointAddress]:
    for subset in endpoints.subsets:
        yield from subset.ready
        yield from subset.not_ready


def _node_of_address(address: EndpointAddress) -> str:
    """The node that the address is on, else the node that it is."""
    if address.node_name or address.target is None or address.target.kind != "Node":
        return address.node_name
    return address.target.name


class EndpointSliceRole(_EndpointsRole[EndpointSlice]):
    """Prometheus discovery/kubernetes/endpointslice.go. Of a dual-stack service, only the slices of its first IP family
    have targets."""

    def __init__(
        self,
        slices: Objects[EndpointSlice],
        services: Objects[KubernetesService],
        pods: Objects[Pod],
        metadata: MetadataSource,
    ):
        super().__init__(ENDPOINT_SLICES, "endpointslice/", slices, services, pods, metadata)

    def _target_refs(self, endpoints: EndpointSlice) -> Iterator[TargetRef]:
        return (e.target for e in endpoints.endpoints if e.target is not None)

    def _node_names(self, endpoints: EndpointSlice) -> Iterator[str]:
        return map(_node_of_endpoint, endpoints.endpoints)

    def _service_key(self, endpoints: EndpointSlice) -> str:
        name = endpoints.meta.label(_SERVICE_NAME)
        return f"{endpoints.meta.namespace}/{name}" if name else ""

    def _shared_labels(self, endpoints: EndpointSlice) -> tuple[dict[str, str], bool]:
        shared = {NAMESPACE: endpoints.meta.namespace, _SLICE + "address_type": endpoints.address_type}
        add_object_labels(shared, endpoints.meta, "endpointslice")
        service = self._service_labels(shared, endpoints)
        return shared, service is None or service.primary_ip_family in ("", endpoints.address_type)

    def _add(self, targets: _Targets, endpoints: EndpointSlice) -> Iterator[None]:
        for endpoint in endpoints.endpoints:
            for port in endpoints.ports:
                for address in endpoint.addresses:
                    labels = partial(self._endpoint_labels, address, endpoint, port)
                    targets.add(endpoint, port, address, _node_of_endpoint(endpoint), "", labels)
                    yield

    def _endpoint_labels(self, address: str, endpoint: SliceEndpoint, port: EndpointPort) -> dict[str, str]:
        labels = {
            ADDRESS: address if port.number is None else join_host_port(address, port.number),
            _SLICE + "port_name": port.name,
            _SLICE + "port_protocol": port.protocol,
            _SLICE + "port": "" if port.number is None else str(port.number),
            _SLICE + "port_app_protocol": port.app_protocol,
            _SLICE + "endpoint_hostname": endpoint.hostname,
            _SLICE + "endpoint_node_name": endpoint.node_name,
            _SLICE + "endpoint_zone": endpoint.zone,
        }
        for name, condition in (
            ("ready", endpoint.ready),
            ("serving", endpoint.serving),
            ("terminating", endpoint.terminating),
        ):
            if condition is not None:
                labels[f"{_SLICE}endpoint_conditions_{name}"] = flag_value(condition)
        if endpoint.target is not None:
            labels[_SLICE + "address_target_kind"] = endpoint.target.kind
            labels[_SLICE + "address_target_name"] = endpoint.target.name
        for name, value in endpoint.topology:
            labels[f"{_SLICE}endpoint_topology_{sanitized_label_name(name)}"] = value
            labels[f"{_SLICE}endpoint_topology_present_{sanitized_label_name(name)}"] = "true"
        self._metadata.add_node(labels, _node_of_endpoint(endpoint))
        return labels


def _node_of_endpoint(endpoint: SliceEndpoint) -> str:
    """The node that the endpoint is, else the node that it is on."""
    target = endpoint.target
    return target.name if target is not None and target.kind == "Node" else endpoint.node_name
