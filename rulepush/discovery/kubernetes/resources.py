"""The resources that are watched, and how their objects are read from the API's JSON.

A field that is missing or null counts as empty, as in Go; a field of another type than the API has raises ValueError,
which says where. Equal texts and containers are shared, for the pods of one deployment differ in little.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final, TypeVar, cast

from rulepush.discovery.kubernetes.fields import ObjectFields
from rulepush.discovery.kubernetes.objects import (
    Container,
    ContainerPort,
    Controller,
    EndpointAddress,
    EndpointPort,
    EndpointSlice,
    EndpointSubset,
    Ingress,
    IngressRule,
    KubernetesEndpoints,
    KubernetesNamespace,
    KubernetesNode,
    KubernetesService,
    ObjectMeta,
    OwnedObject,
    Pod,
    PodSpec,
    ServicePort,
    SliceEndpoint,
    SortedPairs,
    TargetRef,
)
from rulepush.discovery.kubernetes.pieces import PieceFormat, SteadyField
from rulepush.discovery.kubernetes.resource import Resource

T = TypeVar("T")

_SHARED_UP_TO: Final = 100  # characters: longer texts, such as the last applied configuration, are each their own


def _shared(text: str) -> str:
    return sys.intern(text) if len(text) <= _SHARED_UP_TO else text


def _pairs(mapping: Mapping[str, str]) -> SortedPairs:
    return tuple(sorted((_shared(name), _shared(value)) for name, value in mapping.items()))


@lru_cache(maxsize=4096)
def _first(record: Any) -> Any:
    return record


def _one(record: T) -> T:
    """The first of equal records, so that the pods of a deployment hold the same one."""
    return cast(T, _first(record))


def _meta(whole: ObjectFields) -> ObjectMeta:
    meta = whole.section("metadata")
    name = meta.text("name")
    if not name:
        raise ValueError(f"{meta.where}.name is missing")
    return ObjectMeta(
        name, _shared(meta.text("namespace")), _pairs(meta.texts("labels")), _pairs(meta.texts("annotations"))
    )


def _controller(whole: ObjectFields) -> Controller | None:
    for owner in whole.section("metadata").sections("ownerReferences"):
        if owner.flag("controller"):
            return _one(Controller(_shared(owner.text("kind")), _shared(owner.text("name"))))
    return None


def project_pod(item: Mapping[str, Any]) -> Pod:
    """A core/v1 Pod."""
    whole = ObjectFields(item)
    status, spec = whole.section("status"), whole.record("spec", _pod_spec)
    ids, init_ids = _container_ids(status, "containerStatuses"), _container_ids(status, "initContainerStatuses")
    ready = next((c.text("status") for c in status.sections("conditions") if c.text("type") == "Ready"), "Unknown")
    return Pod(
        meta=_meta(whole),
        uid=whole.section("metadata").text("uid"),
        ip=status.text("podIP"),
        host_ip=_shared(status.text("hostIP")),
        phase=_shared(status.text("phase")),
        ready=_shared(ready.lower()),
        node_name=spec.node_name,
        controller=_controller(whole),
        containers=spec.containers,
        container_ids=tuple((init_ids if c.init else ids).get(c.name, "") for c in spec.containers),
    )


def _pod_spec(spec: ObjectFields) -> PodSpec:
    containers = [_container(c, init=False) for c in spec.sections("containers")]
    init = [_container(c, init=True) for c in spec.sections("initContainers")]
    return PodSpec(_shared(spec.text("nodeName")), _one((*containers, *init)))


def _container(c: ObjectFields, *, init: bool) -> Container:
    ports = tuple(
        ContainerPort(p.number("containerPort") or 0, _shared(p.text("name")), _shared(p.text("protocol")))
        for p in c.sections("ports")
    )
    return _one(Container(_shared(c.text("name")), _shared(c.text("image")), ports, init))


def _container_ids(status: ObjectFields, key: str) -> dict[str, str]:
    ids: dict[str, str] = {}
    for s in status.sections(key):
        ids.setdefault(s.text("name"), s.text("containerID"))
    return ids


def project_service(item: Mapping[str, Any]) -> KubernetesService:
    """A core/v1 Service."""
    whole = ObjectFields(item)
    spec = whole.section("spec")
    ingress = whole.section("status").section("loadBalancer").sections("ingress")
    ips = ",".join(filter(None, (i.text("ip") for i in ingress)))
    families = spec.text_list("ipFamilies")
    dual = spec.text("ipFamilyPolicy") in ("PreferDualStack", "RequireDualStack")
    return KubernetesService(
        meta=_meta(whole),
        type=_shared(spec.text("type")),
        cluster_ip=spec.text("clusterIP"),
        external_name=spec.text("externalName"),
        load_balancer_ips=ips or spec.text("loadBalancerIP"),
        ports=tuple(
            ServicePort(p.number("port") or 0, _shared(p.text("name")), _shared(p.text("protocol")))
            for p in spec.sections("ports")
        ),
        primary_ip_family=families[0] if dual and families else "",
    )


def project_endpoints(item: Mapping[str, Any]) -> KubernetesEndpoints:
    """A core/v1 Endpoints."""
    whole = ObjectFields(item)
    subsets = tuple(
        EndpointSubset(
            s.records("addresses", _endpoint_address),
            s.records("notReadyAddresses", _endpoint_address),
            _one(tuple(_endpoint_port(p, p.number("port") or 0) for p in s.sections("ports"))),
        )
        for s in whole.sections("subsets")
    )
    return KubernetesEndpoints(_meta(whole), subsets)


def _endpoint_address(a: ObjectFields) -> EndpointAddress:
    return EndpointAddress(a.text("ip"), a.text("hostname"), _shared(a.text("nodeName")), _target_ref(a))


def _target_ref(a: ObjectFields) -> TargetRef | None:
    if not a.has("targetRef"):
        return None
    ref = a.section("targetRef")
    return TargetRef(_shared(ref.text("kind")), _shared(ref.text("name")), _shared(ref.text("namespace")))


def _endpoint_port(p: ObjectFields, number: int | None) -> EndpointPort:
    return EndpointPort(number, _shared(p.text("name")), _shared(p.text("protocol")), _shared(p.text("appProtocol")))


def project_endpoint_slice(item: Mapping[str, Any]) -> EndpointSlice:
    """A discovery.k8s.io/v1 EndpointSlice."""
    whole = ObjectFields(item)
    return EndpointSlice(
        meta=_meta(whole),
        address_type=_shared(whole.text("addressType")),
        endpoints=whole.records("endpoints", _slice_endpoint),
        ports=_one(tuple(_endpoint_port(p, p.number("port")) for p in whole.sections("ports"))),
    )


def _slice_endpoint(e: ObjectFields) -> SliceEndpoint:
    conditions = e.section("conditions")
    return SliceEndpoint(
        addresses=tuple(e.text_list("addresses")),
        ready=conditions.flag("ready"),
        serving=conditions.flag("serving"),
        terminating=conditions.flag("terminating"),
        hostname=e.text("hostname"),
        node_name=_shared(e.text("nodeName")),
        zone=_shared(e.text("zone")),
        topology=_pairs(e.texts("deprecatedTopology")),
        target=_target_ref(e),
    )


def project_node(item: Mapping[str, Any]) -> KubernetesNode:
    """A core/v1 Node. The key of the kubelet's port is `Port`, with a capital letter."""
    whole = ObjectFields(item)
    status = whole.section("status")
    return KubernetesNode(
        meta=_meta(whole),
        provider_id=whole.section("spec").text("providerID"),
        conditions=tuple((_shared(c.text("type")), _shared(c.text("status"))) for c in status.sections("conditions")),
        addresses=tuple((_shared(a.text("type")), a.text("address")) for a in status.sections("addresses")),
        kubelet_port=status.section("daemonEndpoints").section("kubeletEndpoint").number("Port") or 0,
    )


def project_ingress(item: Mapping[str, Any]) -> Ingress:
    """A networking.k8s.io/v1 Ingress."""
    whole = ObjectFields(item)
    spec = whole.section("spec")
    return Ingress(
        meta=_meta(whole),
        class_name=_shared(spec.text("ingressClassName")),
        rules=tuple(_ingress_rule(r) for r in spec.sections("rules")),
        tls_hosts=tuple(host for tls in spec.sections("tls") for host in tls.text_list("hosts")),
    )


def _ingress_rule(rule: ObjectFields) -> IngressRule:
    paths = tuple(p.text("path") for p in rule.section("http").sections("paths")) if rule.has("http") else None
    return IngressRule(rule.text("host"), paths)


def project_namespace(item: Mapping[str, Any]) -> KubernetesNamespace:
    """A core/v1 Namespace."""
    return KubernetesNamespace(_meta(ObjectFields(item)))


def project_owned(item: Mapping[str, Any]) -> OwnedObject:
    """An apps/v1 ReplicaSet or a batch/v1 Job."""
    whole = ObjectFields(item)
    meta = whole.section("metadata")
    return OwnedObject(_shared(meta.text("name")), _shared(meta.text("namespace")), _controller(whole))


def _address_lists(item: Mapping[str, Any]) -> Iterable[tuple[dict[str, Any], str]]:
    return ((subset, key) for subset in item["subsets"] for key in ("addresses", "notReadyAddresses"))


_ADDRESSES: Final = PieceFormat(
    first=b'[{"ip":',
    between=b'},{"ip":',
    ends=(b'}],"notReadyAddresses":', b'}],"ports":', b"}]}"),
    lists=_address_lists,
    project=_endpoint_address,
)
_ENDPOINTS_OF_A_SLICE: Final = PieceFormat(
    first=b'[{"addresses":',
    between=b'},{"addresses":',
    ends=(b'}],"ports":',),
    lists=lambda item: ((item, "endpoints"),),
    project=_slice_endpoint,
)
_CORE: Final = "/api/v1"

_POD_SPEC: Final = SteadyField("spec", begins=b',"spec":', follows=b',"status":{', project=_pod_spec)

PODS: Final = Resource("pods", _CORE, project_pod, pieces=_POD_SPEC)
SERVICES: Final = Resource("services", _CORE, project_service)
ENDPOINTS: Final = Resource("endpoints", _CORE, project_endpoints, pieces=_ADDRESSES)
ENDPOINT_SLICES: Final = Resource(
    "endpointslices", "/apis/discovery.k8s.io/v1", project_endpoint_slice, pieces=_ENDPOINTS_OF_A_SLICE
)
INGRESSES: Final = Resource("ingresses", "/apis/networking.k8s.io/v1", project_ingress)
NODES: Final = Resource("nodes", _CORE, project_node, namespaced=False)
NAMESPACES: Final = Resource("namespaces", _CORE, project_namespace, namespaced=False)
REPLICA_SETS: Final = Resource("replicasets", "/apis/apps/v1", project_owned)
JOBS: Final = Resource("jobs", "/apis/batch/v1", project_owned)
