"""Objects of a cluster at random."""

from __future__ import annotations

import random

from tests.discovery.kubernetes.cluster import Json
from tests.kubernetes_objects import (
    container,
    endpoint,
    endpoint_address,
    endpoints,
    endpointslice,
    ingress,
    job,
    namespace,
    node,
    owner,
    pod,
    replica_set,
    service,
    subset,
    target_ref,
)
from tests.kubernetes_server import KINDS

NAMESPACES = ("a", "b")
OWNERS = (owner("ReplicaSet", "r1"), owner("ReplicaSet", "r2"), owner("Job", "j1"), owner("DaemonSet", "d"))


def some_labels(chance: random.Random) -> dict[str, str]:
    return {key: chance.choice("xyz") for key in ("app", "tier") if chance.random() < 0.6}


def any_object(chance: random.Random) -> Json:
    """An object with one of few names, so that changes meet."""
    kind, space, name = chance.choice(list(KINDS)), chance.choice(NAMESPACES), f"n{chance.randrange(3)}"
    labels = some_labels(chance)
    node_name, target = f"n{chance.randrange(4)}", target_ref("Pod", f"n{chance.randrange(4)}", space)
    if chance.random() < 0.2:
        target = target_ref("Node", node_name, "")
    ip = f"10.0.0.{chance.randrange(1, 5)}"
    match kind:
        case "Pod":
            owners = [chance.choice(OWNERS)] if chance.random() < 0.8 else []
            ports = [("http", 80), ("admin", 81)][: chance.randrange(3)]
            ready = chance.random() < 0.5
            has_ip = ip if chance.random() < 0.8 else ""
            made = [container(ports=ports)]
            return pod(
                name, space, ip=has_ip, node=node_name, labels=labels, owners=owners, ready=ready, containers=made
            )
        case "Endpoints":
            address = endpoint_address(ip, node=node_name if chance.random() < 0.7 else "", target=target)
            away = chance.random() < 0.3
            made_subset = subset([] if away else [address], not_ready=[address] if away else [])
            return endpoints(name, space, subsets=[made_subset], labels=labels)
        case "EndpointSlice":
            made_endpoint = endpoint(ip, node=node_name if chance.random() < 0.7 else "", target=target)
            of = f"n{chance.randrange(4)}" if chance.random() < 0.8 else ""
            return endpointslice(name, space, service=of, endpoints=[made_endpoint], labels=labels)
        case "Service":
            return service(name, space, labels=labels)
        case "Node":
            return node(name, labels=labels)
        case "Namespace":
            return namespace(space, labels=labels)
        case "Ingress":
            return ingress(name, space, labels=labels)
        case "ReplicaSet":
            return replica_set(f"r{chance.randrange(1, 3)}", space, deployment=chance.choice(["", "d1", "d2"]))
        case _:
            return job("j1", space, cron_job=chance.choice(["", "c1", "c2"]))


def everything() -> list[Json]:
    """At least one object of each kind, with every field that counts."""
    chance = random.Random(1)
    found: dict[tuple[str, str], Json] = {}
    while len({kind for kind, _ in found}) < len(KINDS) or len(found) < 30:
        made = any_object(chance)
        found[made["kind"], str(made["metadata"])] = made
    return list(found.values())
