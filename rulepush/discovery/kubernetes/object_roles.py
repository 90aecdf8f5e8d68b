"""The roles `service`, `node` and `ingress`: a group for each object, made of it alone."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any, Final, Generic, TypeVar

from rulepush.discovery.groups import ADDRESS, TargetGroup
from rulepush.discovery.kubernetes.labels import (
    META,
    NAMESPACE,
    MetadataSource,
    add_object_labels,
)
from rulepush.discovery.kubernetes.objects import Ingress, KubernetesNode, KubernetesService
from rulepush.discovery.kubernetes.resource import ObjectChange, Objects, Resource
from rulepush.discovery.kubernetes.resources import INGRESSES, NAMESPACES, NODES, SERVICES
from rulepush.discovery.kubernetes.reverse_index import ReverseIndex
from rulepush.model.host_port import join_host_port
from rulepush.model.labels import INSTANCE, Labels, sanitized_label_name

# The address of a node is the first one of the first of these types that it has (node.go, nodeAddress).
_ADDRESS_TYPES: Final = ("InternalIP", "InternalDNS", "ExternalIP", "ExternalDNS", "LegacyHostIP", "Hostname")

T = TypeVar("T", bound=KubernetesService | KubernetesNode | Ingress)


class _ObjectRole(Generic[T]):
    """A group for each object of one resource; its namespace may add labels."""

    def __init__(self, resource: Resource[T], prefix: str, objects: Objects[T], metadata: MetadataSource):
        self._resource = resource
        self._prefix = prefix
        self._objects = objects
        self._metadata = metadata
        self._by_namespace: ReverseIndex[T] = ReverseIndex(lambda found: (found.meta.namespace,))

    def sources(self) -> Iterable[str]:
        if self._metadata.attach.namespace:
            self._by_namespace.fill(self._objects)
        return [self._prefix + key for key, _ in self._objects.items()]

    def affected(self, resource: Resource[Any], change: ObjectChange[Any]) -> Iterable[str]:
        if resource.name == self._resource.name:
            if self._metadata.attach.namespace:
                self._by_namespace.note(change)
            return (self._prefix + change.key,)
        if resource.name != NAMESPACES.name or change.after is None or change.before == change.after:
            return ()  # the objects of a namespace end before it does
        return [self._prefix + key for key in self._by_namespace.keys(change.key)]

    def group(self, source: str) -> Generator[None, None, TargetGroup | None]:
        yield from ()  # one is made at once
        found = self._objects.get(source.removeprefix(self._prefix))
        return None if found is None else self._group(source, found)

    def _group(self, source: str, found: T) -> TargetGroup:
        raise NotImplementedError

    def _object_labels(self, found: T, kind: str) -> dict[str, str]:
        """The labels of a group that has a namespace."""
        shared = {NAMESPACE: found.meta.namespace}
        add_object_labels(shared, found.meta, kind)
        self._metadata.add_namespace(shared, found.meta.namespace)
        return shared


class ServiceRole(_ObjectRole[KubernetesService]):
    """A target for each port of a service (service.go)."""

    def __init__(self, services: Objects[KubernetesService], metadata: MetadataSource):
        super().__init__(SERVICES, "svc/", services, metadata)

    def _group(self, source: str, found: KubernetesService) -> TargetGroup:
        meta, of_service = found.meta, META + "service_"
        base = {of_service + "type": found.type}
        if found.type == "ExternalName":
            base[of_service + "external_name"] = found.external_name
        else:
            base[of_service + "cluster_ip"] = found.cluster_ip
        if found.type == "LoadBalancer":
            base[of_service + "loadbalancer_ip"] = found.load_balancer_ips
        targets = tuple(
            Labels(
                {
                    **base,
                    ADDRESS: join_host_port(f"{meta.name}.{meta.namespace}.svc", port.number),
                    of_service + "port_name": port.name,
                    of_service + "port_number": str(port.number),
                    of_service + "port_protocol": port.protocol,
                }
            )
            for port in found.ports
        )
        return TargetGroup(source, targets, Labels(self._object_labels(found, "service")))


class NodeRole(_ObjectRole[KubernetesNode]):
    """One target for each node: its kubelet (node.go). A node that has lost its addresses keeps its last group."""

    def __init__(self, nodes: Objects[KubernetesNode], metadata: MetadataSource):
        super().__init__(NODES, "node/", nodes, metadata)
        self._last: dict[str, TargetGroup] = {}

    def affected(self, resource: Resource[Any], change: ObjectChange[Any]) -> Iterable[str]:
        if resource.name == NODES.name and change.after is None:
            self._last.pop(self._prefix + change.key, None)
        return super().affected(resource, change)

    def _group(self, source: str, found: KubernetesNode) -> TargetGroup:
        addresses: dict[str, str] = {}
        for kind, address in found.addresses:
            addresses.setdefault(kind, address)
        host = next((addresses[kind] for kind in _ADDRESS_TYPES if kind in addresses), None)
        if host is None:
            return self._last.get(source, TargetGroup(source, ()))
        shared = {META + "node_provider_id": found.provider_id}
        for kind, status in found.conditions:
            shared[f"{META}node_condition_{sanitized_label_name(kind.lower())}"] = status.lower()
        add_object_labels(shared, found.meta, "node")
        target = {ADDRESS: join_host_port(host, found.kubelet_port), INSTANCE: found.meta.name}
        target |= {f"{META}node_address_{sanitized_label_name(kind)}": address for kind, address in addresses.items()}
        group = TargetGroup(source, (Labels(target),), Labels(shared))
        self._last[source] = group
        return group


class IngressRole(_ObjectRole[Ingress]):
    """A target for each path of each host of an ingress (ingress.go)."""

    def __init__(self, ingresses: Objects[Ingress], metadata: MetadataSource):
        super().__init__(INGRESSES, "ingress/", ingresses, metadata)

    def _group(self, source: str, found: Ingress) -> TargetGroup:
        shared = self._object_labels(found, "ingress")
        shared[META + "ingress_class_name"] = found.class_name
        targets = tuple(
            Labels(
                {
                    ADDRESS: rule.host,
                    META + "ingress_scheme": "https" if _has_tls(found, rule.host) else "http",
                    META + "ingress_host": rule.host,
                    META + "ingress_path": path or "/",
                }
            )
            for rule in found.rules
            for path in (("/",) if rule.paths is None else rule.paths)
        )
        return TargetGroup(source, targets, Labels(shared))


def _has_tls(ingress: Ingress, host: str) -> bool:
    return any(matches_hostname(pattern, host) for pattern in ingress.tls_hosts)


def matches_hostname(pattern: str, host: str) -> bool:
    """Whether a host is one that a TLS section names: `*` stands for the whole first part (ingress.go,
    matchesHostnamePattern)."""
    if pattern == host:
        return True
    first, *others = pattern.split(".")
    return first == "*" and others == host.split(".")[1:]
