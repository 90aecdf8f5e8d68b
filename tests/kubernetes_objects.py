"""Objects of the Kubernetes API for tests, with the fields that a real cluster gives them.

The shapes are those of the published schema (kubernetes/kubernetes, api/openapi-spec/swagger.json: `io.k8s.api.core.v1.
Pod`, `io.k8s.api.discovery.v1.EndpointSlice` and so on). `padding` bytes make an object as large as real
ones: half of them `managedFields`, half environment variables.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

Json = dict[str, Any]
_CREATED: Final = "2026-11-01T08:00:00Z"
_UID_SPACE: Final = uuid.UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")


def _meta(
    kind: str, name: str, namespace: str, labels: Mapping[str, str] | None, annotations: Mapping[str, str] | None
) -> Json:
    meta: Json = {"name": name}
    if namespace:
        meta["namespace"] = namespace
    meta["uid"] = str(uuid.uuid5(_UID_SPACE, f"{kind}/{namespace}/{name}"))
    meta["creationTimestamp"] = _CREATED
    if labels:
        meta["labels"] = dict(labels)
    if annotations:
        meta["annotations"] = dict(annotations)
    return meta


def owner(kind: str, name: str, *, api: str = "apps/v1") -> Json:
    """An entry of `metadata.ownerReferences`, the controller of the object."""
    uid = str(uuid.uuid5(_UID_SPACE, f"{kind}//{name}"))
    return {
        "apiVersion": api,
        "kind": kind,
        "name": name,
        "uid": uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def container(
    name: str = "app", image: str = "registry/app:1", ports: Sequence[tuple[str, int] | tuple[str, int, str]] = ()
) -> Json:
    """An entry of `spec.containers`; a port is (name, number) or (name, number, protocol), its name may be ""."""
    made: Json = {"name": name, "image": image, "resources": {}, "imagePullPolicy": "IfNotPresent"}
    if ports:
        made["ports"] = [
            {**({"name": p[0]} if p[0] else {}), "containerPort": p[1], "protocol": p[2] if len(p) > 2 else "TCP"}
            for p in ports
        ]
    return made


def pod(
    name: str,
    namespace: str = "default",
    *,
    ip: str = "10.1.0.1",
    node: str = "node-1",
    host_ip: str = "192.168.0.1",
    phase: str = "Running",
    ready: bool = True,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    owners: Sequence[Json] = (),
    containers: Sequence[Json] | None = None,
    init_containers: Sequence[Json] = (),
    padding: int = 0,
) -> Json:
    """A Pod; without an `ip` it has not started yet."""
    meta = _meta("Pod", name, namespace, labels, annotations)
    if owners:
        meta["ownerReferences"] = list(owners)
    made = [container(ports=[("http", 8080)])] if containers is None else list(containers)
    if padding:
        meta["managedFields"] = _managed_fields(padding // 2)
        made = [{**c, "env": _environment(padding // 2 // len(made))} for c in made]
    spec: Json = {
        "containers": made,
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "serviceAccountName": "default",
        "schedulerName": "default-scheduler",
    }
    if init_containers:
        spec["initContainers"] = list(init_containers)
    if node:
        spec["nodeName"] = node
    status: Json = {"phase": phase, "qosClass": "BestEffort"}
    if node:
        status["hostIP"] = host_ip
        status["conditions"] = [
            {"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": _CREATED}
        ]
    if ip:
        status["podIP"] = ip
        status["podIPs"] = [{"ip": ip}]
        status["startTime"] = _CREATED
        status["containerStatuses"] = [_status_of(c, name) for c in made]
        if init_containers:
            status["initContainerStatuses"] = [_status_of(c, name) for c in init_containers]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec, "status": status}


def _status_of(made: Mapping[str, Any], pod_name: str) -> Json:
    identity = uuid.uuid5(_UID_SPACE, f"{pod_name}/{made['name']}").hex
    return {
        "name": made["name"],
        "ready": True,
        "restartCount": 0,
        "image": made["image"],
        "imageID": f"docker-pullable://{made['image']}",
        "containerID": f"containerd://{identity}{identity}",
        "state": {"running": {"startedAt": _CREATED}},
    }


def _managed_fields(size: int) -> list[Json]:
    """As a real object has them: many small keys, so that decoding costs what it costs in a cluster."""
    fields: Json = {}
    count = max(1, size // 110)
    for i in range(count):
        fields[f'k:{{"containerPort":{8000 + i},"protocol":"TCP"}}'] = {".": {}, "f:containerPort": {}, "f:name": {}}
    return [
        {
            "manager": "kube-controller-manager",
            "operation": "Update",
            "apiVersion": "v1",
            "time": _CREATED,
            "fieldsType": "FieldsV1",
            "fieldsV1": {"f:spec": {"f:containers": fields}},
        }
    ]


def _environment(size: int) -> list[Json]:
    made: list[Json] = []
    for i in range(max(1, size // 160)):
        made.append({"name": f"SETTING_{i}", "value": f"https://service-{i}.shop.svc.cluster.local:8443/api"})
        made.append({"name": f"SECRET_{i}", "valueFrom": {"secretKeyRef": {"name": "app", "key": f"key-{i}"}}})
    return made


def node(
    name: str,
    *,
    addresses: Iterable[tuple[str, str]] = (("InternalIP", "192.168.0.1"),),
    kubelet_port: int = 10250,
    provider_id: str = "",
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
) -> Json:
    """A Node; `addresses` are (type, address)."""
    spec: Json = {"podCIDR": "10.1.0.0/24"}
    if provider_id:
        spec["providerID"] = provider_id
    status: Json = {
        "capacity": {"cpu": "4", "memory": "8Gi", "pods": "110"},
        "addresses": [{"type": kind, "address": address} for kind, address in addresses],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": kubelet_port}},
        "conditions": [{"type": "Ready", "status": "True"}],
    }
    meta = _meta("Node", name, "", labels, annotations)
    return {"apiVersion": "v1", "kind": "Node", "metadata": meta, "spec": spec, "status": status}


def namespace(
    name: str, *, labels: Mapping[str, str] | None = None, annotations: Mapping[str, str] | None = None
) -> Json:
    """A Namespace."""
    meta = _meta("Namespace", name, "", {"kubernetes.io/metadata.name": name, **(labels or {})}, annotations)
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": meta,
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Active"},
    }


def service(
    name: str,
    namespace: str = "default",
    *,
    ports: Sequence[tuple[str, int] | tuple[str, int, str]] = (("http", 80),),
    kind: str = "ClusterIP",
    cluster_ip: str = "10.96.0.10",
    external_name: str = "",
    load_balancer_ip: str = "",
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
) -> Json:
    """A Service; a port is (name, number) or (name, number, protocol)."""
    spec: Json = {
        "ports": [
            {
                **({"name": p[0]} if p[0] else {}),
                "protocol": p[2] if len(p) > 2 else "TCP",
                "port": p[1],
                "targetPort": p[1],
            }
            for p in ports
        ],
        "selector": {"app": name},
        "type": kind,
        "sessionAffinity": "None",
    }
    if kind == "ExternalName":
        spec["externalName"] = external_name
    else:
        spec["clusterIP"] = cluster_ip
        spec["clusterIPs"] = [cluster_ip]
    if load_balancer_ip:
        spec["loadBalancerIP"] = load_balancer_ip
    meta = _meta("Service", name, namespace, labels, annotations)
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec, "status": {"loadBalancer": {}}}


def target_ref(kind: str, name: str, namespace: str = "default") -> Json:
    """An ObjectReference, as `targetRef` of an address or endpoint."""
    return {"kind": kind, "name": name, **({"namespace": namespace} if namespace else {})}


def endpoint_address(ip: str, *, node: str = "", hostname: str = "", target: Json | None = None) -> Json:
    """An EndpointAddress of Endpoints."""
    made: Json = {"ip": ip}
    if hostname:
        made["hostname"] = hostname
    if node:
        made["nodeName"] = node
    if target:
        made["targetRef"] = target
    return made


def subset(
    addresses: Sequence[Json] = (),
    ports: Sequence[tuple[str, int] | tuple[str, int, str]] = (("http", 8080),),
    not_ready: Sequence[Json] = (),
) -> Json:
    """An EndpointSubset."""
    made: Json = {}
    if addresses:
        made["addresses"] = list(addresses)
    if not_ready:
        made["notReadyAddresses"] = list(not_ready)
    if ports:
        made["ports"] = [
            {**({"name": p[0]} if p[0] else {}), "port": p[1], "protocol": p[2] if len(p) > 2 else "TCP"} for p in ports
        ]
    return made


def endpoints(
    name: str,
    namespace: str = "default",
    *,
    subsets: Sequence[Json] = (),
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
) -> Json:
    """Endpoints; they have the name of their service."""
    meta = _meta("Endpoints", name, namespace, labels, annotations)
    return {"apiVersion": "v1", "kind": "Endpoints", "metadata": meta, "subsets": list(subsets)}


def endpoint(
    *addresses: str,
    ready: bool = True,
    serving: bool | None = None,
    terminating: bool | None = None,
    hostname: str = "",
    node: str = "",
    zone: str = "",
    target: Json | None = None,
    topology: Mapping[str, str] | None = None,
) -> Json:
    """An Endpoint of an EndpointSlice."""
    conditions: Json = {"ready": ready}
    if serving is not None:
        conditions["serving"] = serving
    if terminating is not None:
        conditions["terminating"] = terminating
    made: Json = {"addresses": list(addresses), "conditions": conditions}
    if hostname:
        made["hostname"] = hostname
    if target:
        made["targetRef"] = target
    if node:
        made["nodeName"] = node
    if zone:
        made["zone"] = zone
    if topology:
        made["deprecatedTopology"] = dict(topology)
    return made


def endpointslice(
    name: str,
    namespace: str = "default",
    *,
    service: str = "",
    address_type: str = "IPv4",
    endpoints: Sequence[Json] = (),
    ports: Sequence[tuple[str, int] | tuple[str, int, str] | tuple[str, int, str, str]] = (("http", 8080),),
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
) -> Json:
    """An EndpointSlice; a port is (name, number, protocol, app protocol), the last two may be left out."""
    made = []
    for p in ports:
        port: Json = {"name": p[0], "port": p[1], "protocol": p[2] if len(p) > 2 else "TCP"}
        if len(p) > 3:
            port["appProtocol"] = p[3]
        made.append(port)
    all_labels = {**({"kubernetes.io/service-name": service} if service else {}), **(labels or {})}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": _meta("EndpointSlice", name, namespace, all_labels, annotations),
        "addressType": address_type,
        "endpoints": list(endpoints),
        "ports": made,
    }


def ingress(
    name: str,
    namespace: str = "default",
    *,
    hosts: Mapping[str, Sequence[str]] | None = None,
    tls_hosts: Sequence[str] = (),
    ingress_class: str = "",
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
) -> Json:
    """An Ingress; `hosts` are its rules, host -> paths (no paths: a rule without `http`)."""
    rules: list[Json] = []
    for host, paths in (hosts or {"example.com": ["/"]}).items():
        rule: Json = {"host": host} if host else {}
        if paths:
            backend = {"service": {"name": name, "port": {"number": 80}}}
            rule["http"] = {"paths": [{"path": p, "pathType": "Prefix", "backend": backend} for p in paths]}
        rules.append(rule)
    spec: Json = {"rules": rules}
    if tls_hosts:
        spec["tls"] = [{"hosts": list(tls_hosts), "secretName": f"{name}-tls"}]
    if ingress_class:
        spec["ingressClassName"] = ingress_class
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": _meta("Ingress", name, namespace, labels, annotations),
        "spec": spec,
        "status": {"loadBalancer": {}},
    }


def replica_set(name: str, namespace: str = "default", *, deployment: str = "") -> Json:
    """A ReplicaSet, of a Deployment perhaps."""
    meta = _meta("ReplicaSet", name, namespace, None, None)
    if deployment:
        meta["ownerReferences"] = [owner("Deployment", deployment)]
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": meta,
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": name}}},
        "status": {"replicas": 1},
    }


def job(name: str, namespace: str = "default", *, cron_job: str = "") -> Json:
    """A Job, of a CronJob perhaps."""
    meta = _meta("Job", name, namespace, None, None)
    if cron_job:
        meta["ownerReferences"] = [owner("CronJob", cron_job, api="batch/v1")]
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": {}, "status": {}}
