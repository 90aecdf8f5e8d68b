"""What labels need of the objects of a cluster: small records."""

from __future__ import annotations

from dataclasses import dataclass

SortedPairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class ObjectMeta:
    """Labels and annotations are sorted by name. `namespace` is "" where the resource has none."""

    name: str
    namespace: str = ""
    labels: SortedPairs = ()
    annotations: SortedPairs = ()

    @property
    def key(self) -> str:
        """As in Objects: `namespace/name`, or `name`."""
        return f"{self.namespace}/{self.name}" if self.namespace else self.name

    def label(self, name: str) -> str:
        """The value of a label, "" when it is absent."""
        return next((v for n, v in self.labels if n == name), "")


@dataclass(frozen=True, slots=True)
class ContainerPort:
    """A port that a container of a pod says it has."""

    number: int
    name: str = ""
    protocol: str = ""


@dataclass(frozen=True, slots=True)
class Container:
    """`init`: it is one of the pod's init containers, a sidecar among them."""

    name: str
    image: str = ""
    ports: tuple[ContainerPort, ...] = ()
    init: bool = False


@dataclass(frozen=True, slots=True)
class Controller:
    """The owner of an object that manages it."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class PodSpec:
    """What does not change while a pod runs: `containers` has the init containers last."""

    node_name: str = ""
    containers: tuple[Container, ...] = ()


@dataclass(frozen=True, slots=True)
class Pod:
    """`ready` is "true", "false" or "unknown". `containers` has the init containers last; `container_ids` has the id of
    each, "" before it has started."""

    meta: ObjectMeta
    uid: str = ""
    ip: str = ""
    host_ip: str = ""
    phase: str = ""
    ready: str = "unknown"
    node_name: str = ""
    controller: Controller | None = None
    containers: tuple[Container, ...] = ()
    container_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ServicePort:
    """A port of a service."""

    number: int
    name: str = ""
    protocol: str = ""


@dataclass(frozen=True, slots=True)
class KubernetesService:
    """`load_balancer_ips` are joined with commas. `primary_ip_family` is "IPv4" or "IPv6" when the service is a
    dual-stack one, else ""."""

    meta: ObjectMeta
    type: str = ""
    cluster_ip: str = ""
    external_name: str = ""
    load_balancer_ips: str = ""
    ports: tuple[ServicePort, ...] = ()
    primary_ip_family: str = ""


@dataclass(frozen=True, slots=True)
class TargetRef:
    """What stands behind an address."""

    kind: str
    name: str
    namespace: str = ""

    @property
    def pod_key(self) -> str:
        """The key of the pod that is meant, "" when it is no pod."""
        return f"{self.namespace}/{self.name}" if self.kind == "Pod" else ""


@dataclass(frozen=True, slots=True)
class EndpointAddress:
    """One address of a subset."""

    ip: str
    hostname: str = ""
    node_name: str = ""
    target: TargetRef | None = None

    @property
    def addresses(self) -> tuple[str, ...]:
        """As a SliceEndpoint has them."""
        return (self.ip,)


@dataclass(frozen=True, slots=True)
class EndpointPort:
    """A port of Endpoints or of an EndpointSlice, which may leave the number out. `app_protocol` is only in the
    latter."""

    number: int | None
    name: str = ""
    protocol: str = ""
    app_protocol: str = ""


@dataclass(frozen=True, slots=True)
class EndpointSubset:
    """Every address, ready or not, has every port."""

    ready: tuple[EndpointAddress, ...] = ()
    not_ready: tuple[EndpointAddress, ...] = ()
    ports: tuple[EndpointPort, ...] = ()


@dataclass(frozen=True, slots=True)
class KubernetesEndpoints:
    """The addresses of the service of the same name."""

    meta: ObjectMeta
    subsets: tuple[EndpointSubset, ...] = ()


@dataclass(frozen=True, slots=True)
class SliceEndpoint:
    """One endpoint of a slice. A condition is None where the API does not say."""

    addresses: tuple[str, ...] = ()
    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None
    hostname: str = ""
    node_name: str = ""
    zone: str = ""
    topology: SortedPairs = ()
    target: TargetRef | None = None


@dataclass(frozen=True, slots=True)
class EndpointSlice:
    """A part of the addresses of a service; `address_type` is "IPv4", "IPv6" or "FQDN"."""

    meta: ObjectMeta
    address_type: str = ""
    endpoints: tuple[SliceEndpoint, ...] = ()
    ports: tuple[EndpointPort, ...] = ()


@dataclass(frozen=True, slots=True)
class KubernetesNode:
    """A machine. `conditions` and `addresses` are (type, value) pairs in the API's order."""

    meta: ObjectMeta
    provider_id: str = ""
    conditions: tuple[tuple[str, str], ...] = ()
    addresses: tuple[tuple[str, str], ...] = ()
    kubelet_port: int = 0


@dataclass(frozen=True, slots=True)
class IngressRule:
    """`paths` is None when the rule has no HTTP part, and empty when that has no path."""

    host: str = ""
    paths: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Ingress:
    """`tls_hosts` may hold patterns such as `*.example.com`."""

    meta: ObjectMeta
    class_name: str = ""
    rules: tuple[IngressRule, ...] = ()
    tls_hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class KubernetesNamespace:
    """A namespace: only its labels and annotations count."""

    meta: ObjectMeta


@dataclass(frozen=True, slots=True)
class OwnedObject:
    """A ReplicaSet or a Job: only what owns it counts."""

    name: str
    namespace: str
    controller: Controller | None = None
