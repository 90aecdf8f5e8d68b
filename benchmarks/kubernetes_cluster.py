"""The cluster of kubernetes_churn.py: the objects of one role, and how they change."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Protocol

Json = dict[str, Any]


class ObjectStore(Protocol):
    """The API server's side that writes."""

    def put(self, made: Json) -> object: ...
    def delete(self, kind: str, key: str) -> None: ...


_SECONDS_AN_ADDRESS: Final = 0.0005  # between two writes of the same endpoints


@dataclass(slots=True)
class State:
    """What labels tell of an object. `version` is the moment of the change, in ms of the monotonic clock, or "0"."""

    version: str = "0"
    ready: bool = True


def now_version() -> str:
    """A version that tells when it was made: every process of the machine has this clock."""
    return f"{time.monotonic() * 1000:.0f}"


def pod_name(app: str, number: int) -> str:
    return f"{app}-6d4cf56db6-{number:05x}"


def namespace_of(app: str) -> str:
    return f"ns-{int(app.removeprefix('app-')) % 20}"


def address(number: int) -> str:
    """An address of this machine: a stray scrape stays here."""
    return f"127.{1 + (number >> 16 & 127)}.{number >> 8 & 255}.{number & 255}"


def pod(number: int, app: str, state: State, status: int, annotated: bool) -> Json:
    """A pod as a deployment makes it, of some 10 KB. `state` shows in its labels, `status` does not."""
    texts = {"app.kubernetes.io/name": app, "app.kubernetes.io/instance": app, "app.kubernetes.io/part-of": "shop"}
    texts |= {"team": f"team-{number % 7}", "tier": "backend", "pod-template-hash": "6d4cf56db6"}
    texts |= {"version": state.version}
    annotations = {"prometheus.io/port": "8080", "prometheus.io/path": "/actuator/prometheus"}
    annotations |= {"prometheus.io/scrape": "true" if annotated else "false"}
    condition = {"lastProbeTime": None, "lastTransitionTime": "2026-11-29T00:00:00Z", "status": "True"}
    conditions = [{**condition, "type": kind} for kind in ("Initialized", "ContainersReady", "PodScheduled")]
    conditions.append({**condition, "type": "Ready", "status": "True" if state.ready else "False"})
    conditions.append({**condition, "type": "Probed", "message": f"probe {status}"})
    variables = [{"name": f"SETTING_{i}", "value": f"value {i} of {app}"} for i in range(40)]
    probe = {"httpGet": {"path": "/health", "port": 8080, "scheme": "HTTP"}, "periodSeconds": 10, "timeoutSeconds": 1}
    fields: Json = {f'k:{{"name":"SETTING_{i}"}}': {".": {}, "f:name": {}, "f:value": {}} for i in range(70)}
    managed = {
        "manager": "kube-controller-manager",
        "operation": "Update",
        "apiVersion": "v1",
        "fieldsType": "FieldsV1",
    }
    return {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {
            "name": pod_name(app, number),
            "generateName": f"{app}-6d4cf56db6-",
            "namespace": namespace_of(app),
            "uid": f"8f9e1d3c-7a5e-4b6e-9c7a-{number:012x}",
            "creationTimestamp": "2026-11-29T00:00:00Z",
            "labels": texts,
            "annotations": annotations,
            "ownerReferences": [
                {
                    "apiVersion": "apps/v1",
                    "kind": "ReplicaSet",
                    "name": f"{app}-6d4cf56db6",
                    "uid": "1",
                    "controller": True,
                }
            ],
            "managedFields": [{**managed, "fieldsV1": {"f:spec": {"f:containers": {"f:env": fields}}}}],
        },
        "spec": {
            "volumes": [{"name": f"volume-{i}", "configMap": {"name": f"{app}-{i}"}} for i in range(4)],
            "containers": [
                {
                    "name": "app",
                    "image": f"registry.example.com/shop/{app}:1",
                    "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
                    "env": variables,
                    "resources": {"limits": {"memory": "1Gi"}, "requests": {"cpu": "500m", "memory": "1Gi"}},
                    "volumeMounts": [{"name": f"volume-{i}", "mountPath": f"/etc/{app}/{i}"} for i in range(4)],
                    "livenessProbe": probe,
                    "readinessProbe": probe,
                }
            ],
            "restartPolicy": "Always",
            "nodeName": f"node-{number % 100}",
            "serviceAccountName": app,
            "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}],
        },
        "status": {
            "phase": "Running",
            "conditions": conditions,
            "hostIP": f"192.168.0.{number % 100}",
            "podIP": address(number),
            "startTime": "2026-11-29T00:00:00Z",
            "containerStatuses": [
                {
                    "name": "app",
                    "state": {"running": {"startedAt": "2026-11-29T00:00:00Z"}},
                    "ready": True,
                    "restartCount": 0,
                    "image": f"registry.example.com/shop/{app}:1",
                    "containerID": f"containerd://{number:064x}",
                }
            ],
            "qosClass": "Burstable",
        },
    }


def _reference(app: str, number: int) -> Json:
    uid = f"8f9e1d3c-7a5e-4b6e-9c7a-{number:012x}"
    return {"kind": "Pod", "namespace": namespace_of(app), "name": pod_name(app, number), "uid": uid}


def _managed(fields: str) -> list[Json]:
    """As the endpoints controller leaves them: one field for each label, and one for all addresses."""
    return [{"manager": "kube-controller-manager", "operation": "Update", "fieldsV1": {f"f:{fields}": {}}}]


def endpoint_slice(app: str, members: dict[int, State]) -> Json:
    """The one slice of a service, its fields in Go's order."""
    return {
        "kind": "EndpointSlice",
        "apiVersion": "discovery.k8s.io/v1",
        "metadata": {
            "name": f"{app}-x7k2p",
            "namespace": namespace_of(app),
            "labels": {"kubernetes.io/service-name": app, "app.kubernetes.io/name": app},
            "managedFields": _managed("endpoints"),
        },
        "addressType": "IPv4",
        "endpoints": [
            {
                "addresses": [address(number)],
                "conditions": {"ready": state.ready, "serving": state.ready, "terminating": False},
                "targetRef": _reference(app, number),
                "nodeName": f"node-{number % 100}",
                "zone": f"hz-{number % 3}",
            }
            for number, state in members.items()
        ],
        "ports": [{"name": "http", "protocol": "TCP", "port": 8080}],
    }


def endpoints(app: str, members: dict[int, State]) -> Json:
    """The Endpoints of a service."""

    def addresses(ready: bool) -> list[Json]:
        return [
            {"ip": address(number), "nodeName": f"node-{number % 100}", "targetRef": _reference(app, number)}
            for number, state in members.items()
            if state.ready is ready
        ]

    subset: Json = {"addresses": addresses(True), "notReadyAddresses": addresses(False)}
    subset = {key: value for key, value in subset.items() if value}
    meta = {"name": app, "namespace": namespace_of(app), "labels": {"app.kubernetes.io/name": app}}
    ports = [{"name": "http", "port": 8080, "protocol": "TCP"}]
    return {
        "kind": "Endpoints",
        "apiVersion": "v1",
        "metadata": {**meta, "managedFields": _managed("subsets")},
        "subsets": [{**subset, "ports": ports}] if subset else [],
    }


def _meta(name: str, namespace: str, state: State, annotated: bool) -> Json:
    labels = {"app.kubernetes.io/name": name, "team": f"team-{len(name) % 7}", "version": state.version}
    notes = {"prometheus.io/scrape": "true" if annotated else "false", "prometheus.io/port": "8080"}
    place = {"namespace": namespace} if namespace else {}
    return {"name": name, **place, "uid": f"uid-{name}", "labels": labels, "annotations": notes}


def service(name: str, namespace: str, state: State, annotated: bool, ip: str, status: int = 0) -> Json:
    conditions = [{"type": "LoadBalancerPortsError", "status": "False", "message": f"{status}"}]
    return {
        "kind": "Service",
        "apiVersion": "v1",
        "metadata": {**_meta(name, namespace, state, annotated), "managedFields": _managed("spec")},
        "spec": {
            "ports": [{"name": "http", "protocol": "TCP", "port": 8080, "targetPort": 8080}],
            "selector": {"app.kubernetes.io/name": name},
            "clusterIP": ip,
            "clusterIPs": [ip],
            "type": "ClusterIP",
            "sessionAffinity": "None",
        },
        "status": {"loadBalancer": {}, "conditions": conditions},
    }


def node(number: int, state: State, annotated: bool, status: int = 0) -> Json:
    """A node, with the images that a kubelet lists: most of its size."""
    kinds = ("MemoryPressure", "DiskPressure", "PIDPressure", "Ready")
    beat = {"lastHeartbeatTime": f"beat {status}", "lastTransitionTime": "2026-11-29T00:00:00Z", "reason": "Kubelet"}
    return {
        "kind": "Node",
        "apiVersion": "v1",
        "metadata": {**_meta(f"node-{number}", "", state, annotated), "managedFields": _managed("status")},
        "spec": {"providerID": f"cloud://node-{number}"},
        "status": {
            "capacity": {"cpu": "16", "memory": "64Gi", "pods": "110"},
            "conditions": [{"type": kind, "status": "True" if kind == "Ready" else "False", **beat} for kind in kinds],
            "addresses": [
                {"type": "InternalIP", "address": address(number)},
                {"type": "Hostname", "address": f"node-{number}"},
            ],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
            "nodeInfo": {"kernelVersion": "6.1.0", "kubeletVersion": "v1.31.4", "architecture": "amd64"},
            "images": [{"names": [f"registry.example.com/shop/app-{i}:1"], "sizeBytes": 99000000} for i in range(50)],
        },
    }


def ingress(name: str, namespace: str, state: State, annotated: bool, number: int, status: int = 0) -> Json:
    backend = {"service": {"name": name, "port": {"number": 80}}}
    path = {"path": "/shop", "pathType": "Prefix", "backend": backend}
    return {
        "kind": "Ingress",
        "apiVersion": "networking.k8s.io/v1",
        "metadata": {**_meta(name, namespace, state, annotated), "managedFields": _managed("spec")},
        "spec": {"ingressClassName": "nginx", "rules": [{"host": address(number), "http": {"paths": [path]}}]},
        "status": {"loadBalancer": {"ingress": [{"ip": f"192.0.2.{status % 250}"}]}},
    }


class ChangingCluster:
    """Of eight changes four are of what no label says, two of labels (of pods also of whether they are ready), one is
    an end and one a beginning. Those of the pods of a service change its endpoints as well, in the roles that have
    them; a large one is written less often, for its controller takes longer.
    """

    def __init__(self, role: str, count: int, per_service: int, annotated: float):
        self._role = role
        self._per_service = per_service
        self._annotated = annotated
        self._of_pods = role in ("pod", "endpoints", "endpointslice")
        self._apps = [f"app-{i}" for i in range(max(1, count // per_service))]
        self._places: list[tuple[str, int]] = []
        self._there: dict[str, dict[int, State]] = {app: {} for app in self._apps}
        self._numbers = itertools.count()
        self._due: dict[str, None] = {}  # services whose endpoints are to be written
        self._next_at: dict[str, float] = {}
        self._chance = random.Random(7)
        for _ in range(count):
            self._come("0")

    def objects(self) -> Iterator[Json]:
        """What there is at first."""
        if self._role in ("endpoints", "endpointslice"):
            for app in self._apps:
                yield service(app, namespace_of(app), State(), True, "10.96.0.1")
                yield self._endpoints(app)
        if self._of_pods:
            for number in range(100):
                yield node(number, State(), True)
        for app, number in self._places:
            yield self._made(app, number)

    def versions(self) -> dict[str, str]:
        """The version of every target, by its name."""
        found = {}
        for app, members in self._there.items():
            for number, state in members.items():
                if self._wanted(number):
                    found[self._made(app, number)["metadata"]["name"]] = state.version
        return found

    def change(self, turn: int, store: ObjectStore) -> None:
        """The next change."""
        kind = turn % 8
        place = self._chance.randrange(len(self._places))
        app, number = self._places[place]
        if kind == 3:
            made = self._made(app, number)
            self._places[place] = self._places[-1]
            self._places.pop()
            del self._there[app][number]
            meta = made["metadata"]
            key = f"{meta['namespace']}/{meta['name']}" if "namespace" in meta else meta["name"]
            store.delete(made["kind"], key)
        else:
            if kind == 7:
                app, number = self._come(now_version())
            elif kind in (1, 5):
                state = self._there[app][number]
                state.version, state.ready = now_version(), not state.ready
            store.put(self._made(app, number, turn))
        if self._role in ("endpoints", "endpointslice"):
            if kind % 2:
                self._due[app] = None
            for each in [each for each in self._due if time.monotonic() >= self._next_at.get(each, 0.0)]:
                del self._due[each]
                self._next_at[each] = time.monotonic() + self._per_service * _SECONDS_AN_ADDRESS
                store.put(self._endpoints(each))

    def settle(self, store: ObjectStore) -> None:
        """No more changes come: what is due of endpoints is put."""
        for app in self._due:
            store.put(self._endpoints(app))
        self._due.clear()

    def burst(self, store: ObjectStore) -> None:
        """Every pod of the first service is ready no more, or again; its endpoints follow once for all of them."""
        app = self._apps[0]
        for number, state in self._there[app].items():
            state.version, state.ready = now_version(), not state.ready
            store.put(self._made(app, number))
        if self._role in ("endpoints", "endpointslice"):
            store.put(self._endpoints(app))

    def _come(self, version: str) -> tuple[str, int]:
        number = next(self._numbers)
        app = self._apps[number % len(self._apps)]
        self._places.append((app, number))
        self._there[app][number] = State(version)
        return app, number

    def _wanted(self, number: int) -> bool:
        return number * 7919 % 1000 < self._annotated * 1000

    def _endpoints(self, app: str) -> Json:
        make = endpoint_slice if self._role == "endpointslice" else endpoints
        return make(app, self._there[app])

    def _made(self, app: str, number: int, status: int = 0) -> Json:
        state, wanted = self._there[app][number], self._wanted(number)
        name = f"{self._role}-{number:05x}"
        match self._role:
            case "service":
                return service(name, namespace_of(app), state, wanted, address(number), status)
            case "ingress":
                return ingress(name, namespace_of(app), state, wanted, number, status)
            case "node":
                return node(number, state, wanted, status)
            case _:
                return pod(number, app, state, status, wanted)
