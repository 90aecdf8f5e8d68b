"""The settings of `kubernetes_sd_configs`: every key of Prometheus 3.14, with its checks (discovery/kubernetes,
kubernetes.go, SDConfig.UnmarshalYAML), and which objects each role watches (Discovery.Run)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from rulepush.discovery.kubernetes.connection import ApiServer, Connection, InClusterConnection, ServerConnection
from rulepush.discovery.kubernetes.endpoints_role import EndpointsRole
from rulepush.discovery.kubernetes.endpointslice_role import EndpointSliceRole
from rulepush.discovery.kubernetes.labels import ATTACH_NOTHING, AttachMetadata, MetadataSource
from rulepush.discovery.kubernetes.object_roles import IngressRole, NodeRole, ServiceRole
from rulepush.discovery.kubernetes.pod_role import PodRole
from rulepush.discovery.kubernetes.resource import Objects, Resource, Role
from rulepush.discovery.kubernetes.resources import (
    ENDPOINT_SLICES,
    ENDPOINTS,
    INGRESSES,
    JOBS,
    NAMESPACES,
    NODES,
    PODS,
    REPLICA_SETS,
    SERVICES,
)
from rulepush.discovery.kubernetes.scope import WatchedResource
from rulepush.discovery.kubernetes.selectors import field_selector_fault, label_selector_fault
from rulepush.http_client.config import NO_CLIENT_SETTINGS, HTTPClientConfig, read_http_client
from rulepush.model.secret import NO_SECRET, Secret
from rulepush.yaml.scalars import did_you_mean

if TYPE_CHECKING:
    from rulepush.discovery.groups import Discoverer, Environment
    from rulepush.yaml.nodes import MapReader

# The roles, and for each the roles that its selectors may be of: those whose objects it reads.
_SELECTORS_OF: Final = {
    "pod": ("pod", "node"),
    "service": ("service",),
    "endpointslice": ("pod", "service", "endpointslice"),
    "endpoints": ("pod", "service", "endpoints"),
    "node": ("node",),
    "ingress": ("ingress",),
}
_RESOURCE_OF: Final[Mapping[str, Resource[Any]]] = {
    "pod": PODS,
    "service": SERVICES,
    "endpointslice": ENDPOINT_SLICES,
    "endpoints": ENDPOINTS,
    "node": NODES,
    "ingress": INGRESSES,
}


@dataclass(frozen=True, slots=True)
class ObjectSelector:
    """One entry of `selectors`: which objects of a role's resource are watched."""

    role: str
    label: str = ""
    field: str = ""


@dataclass(frozen=True, slots=True)
class KubernetesSdConfig:
    """One entry of `kubernetes_sd_configs`.

    `api_server`       may hold a password; empty: what `kubeconfig_file` says, else the pod's service account
    `namespaces`       empty, without `own_namespace`: all of them
    `own_namespace`    the pod's own namespace too
    """

    role: str
    api_server: Secret = NO_SECRET
    kubeconfig_file: str = ""
    namespaces: tuple[str, ...] = ()
    own_namespace: bool = False
    selectors: tuple[ObjectSelector, ...] = ()
    attach_metadata: AttachMetadata = ATTACH_NOTHING
    http_client: HTTPClientConfig = NO_CLIENT_SETTINGS
    kind: str = "kubernetes"

    def discoverer(self, env: Environment) -> Discoverer:
        return self.discoverer_by(self.connection(), env)

    def discoverer_by(self, connection: Connection, env: Environment) -> Discoverer:
        """The same over another connection than the settings say."""
        from rulepush.discovery.kubernetes.discovery import KubernetesDiscovery, WantedNamespaces

        wanted = WantedNamespaces(self.namespaces, self.own_namespace)
        return KubernetesDiscovery(connection, self.watched(), self.build_role, wanted, env)

    def connection(self) -> Connection:
        """As Prometheus chooses: a kubeconfig file, `api_server`, else the pod's service account."""
        if self.kubeconfig_file:
            from rulepush.discovery.kubernetes.kubeconfig import KubeconfigConnection

            return KubeconfigConnection(self.kubeconfig_file)
        if self.api_server:
            return ServerConnection(ApiServer(self.api_server, self.http_client))
        return InClusterConnection()

    def watched(self) -> tuple[WatchedResource, ...]:
        """What the role and `attach_metadata` need, each resource once."""
        roles = {"endpoints": ("endpoints", "service", "pod"), "endpointslice": ("endpointslice", "service", "pod")}
        attach = self.attach_metadata
        found = [self._selected(role) for role in roles.get(self.role, (self.role,))]
        if self.role in ("pod", *roles):
            found += [self._selected("node")] if attach.node else []
            found += [WatchedResource(REPLICA_SETS)] if attach.deployment else []
            found += [WatchedResource(JOBS)] if attach.cronjob else []
        if attach.namespace and self.role != "node":
            found.append(WatchedResource(NAMESPACES))
        return tuple(found)

    def _selected(self, role: str) -> WatchedResource:
        selector = next((s for s in self.selectors if s.role == role), ObjectSelector(role))
        return WatchedResource(_RESOURCE_OF[role], selector.label, selector.field)

    def build_role(self, objects: Mapping[str, Objects[Any]]) -> Role:
        """The role that reads these objects: those of each watched resource, by its name."""
        metadata = MetadataSource(
            self.attach_metadata,
            nodes=objects.get(NODES.name) if self.role != "node" else None,
            namespaces=objects.get(NAMESPACES.name),
            replica_sets=objects.get(REPLICA_SETS.name),
            jobs=objects.get(JOBS.name),
        )
        match self.role:
            case "pod":
                return PodRole(objects[PODS.name], metadata)
            case "endpoints":
                services, pods = objects[SERVICES.name], objects[PODS.name]
                return EndpointsRole(objects[ENDPOINTS.name], services, pods, metadata)
            case "endpointslice":
                services, pods = objects[SERVICES.name], objects[PODS.name]
                return EndpointSliceRole(objects[ENDPOINT_SLICES.name], services, pods, metadata)
            case "service":
                return ServiceRole(objects[SERVICES.name], metadata)
            case "ingress":
                return IngressRole(objects[INGRESSES.name], metadata)
            case _:
                return NodeRole(objects[NODES.name], metadata)


def read_kubernetes_sd(m: MapReader) -> KubernetesSdConfig:
    """Read one entry of `kubernetes_sd_configs`."""
    role = _read_role(m)
    if not m.has("role"):
        m.problem("role missing (one of: pod, service, endpoints, endpointslice, node, ingress)")
    namespaces, own_namespace = _read_namespaces(m)
    config = KubernetesSdConfig(
        role=role,
        api_server=m.url("api_server", "http"),
        kubeconfig_file=m.path("kubeconfig_file"),
        namespaces=namespaces,
        own_namespace=own_namespace,
        selectors=tuple(_read_selectors(m, role)),
        attach_metadata=_read_attach_metadata(m),
        http_client=read_http_client(m),
    )
    _check_together(m, config)
    m.finish()
    return config


def _read_role(m: MapReader) -> str:
    role = m.text("role")
    if role and role not in _SELECTORS_OF:
        hint = did_you_mean(role.lower(), tuple(_SELECTORS_OF))
        m.problem(f'unknown Kubernetes SD role "{role}", expected one of {", ".join(_SELECTORS_OF)}{hint}', "role")
        return ""
    return role


def _check_together(m: MapReader, config: KubernetesSdConfig) -> None:
    server, kubeconfig = m.has("api_server"), m.has("kubeconfig_file") and bool(config.kubeconfig_file)
    if server and kubeconfig:
        m.problem("cannot use 'kubeconfig_file' and 'api_server' simultaneously", "kubeconfig_file")
    if config.http_client != NO_CLIENT_SETTINGS:
        if kubeconfig:
            text = "cannot use a custom HTTP client configuration together with 'kubeconfig_file'"
            m.problem(text, "kubeconfig_file")
        elif not server:
            m.problem("to use custom HTTP client configuration please provide the 'api_server' URL explicitly")
    if config.own_namespace and (server or kubeconfig):
        other = "api_server" if server else "kubeconfig_file"
        m.problem(f"cannot use '{other}' and 'namespaces.own_namespace' simultaneously", "namespaces")


def _read_namespaces(m: MapReader) -> tuple[tuple[str, ...], bool]:
    inner = m.section("namespaces")
    if inner is None:
        return (), False
    names, own = inner.texts("names"), inner.flag("own_namespace")
    inner.finish()
    return tuple(dict.fromkeys(names)), own


def _read_attach_metadata(m: MapReader) -> AttachMetadata:
    inner = m.section("attach_metadata")
    if inner is None:
        return ATTACH_NOTHING
    attach = AttachMetadata(**{key: inner.flag(key) for key in ("node", "namespace", "deployment", "job", "cronjob")})
    inner.finish()
    return attach


def _read_selectors(m: MapReader, role: str) -> Iterable[ObjectSelector]:
    allowed = _SELECTORS_OF.get(role)
    found: dict[str, ObjectSelector] = {}
    for inner in m.sections("selectors"):
        selector = ObjectSelector(_read_role(inner), inner.text("label"), inner.text("field"))
        if selector.role in found:
            inner.problem(f"duplicated selector role: {selector.role}", "role")
        elif allowed is not None and selector.role not in allowed and (selector.role or not inner.has("role")):
            inner.problem(f"{role} role supports only {', '.join(allowed)} selectors", "role")
        for key, fault in (
            ("label", label_selector_fault(selector.label)),
            ("field", field_selector_fault(selector.field)),
        ):
            if fault:
                inner.problem(fault, key)
        inner.finish()
        if selector.role:
            found[selector.role] = selector
    return found.values()
