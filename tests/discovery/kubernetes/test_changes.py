"""Whatever changes: the groups that a role says are affected are all that are other ones than before."""

from __future__ import annotations

import random

import pytest

from tests.discovery.kubernetes.cluster import WatchedCluster
from tests.discovery.kubernetes.random_objects import any_object

ATTACH = "attach_metadata: {node: true, namespace: true, deployment: true, job: true, cronjob: true}"


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("role", ["pod", "endpoints", "endpointslice", "service", "node", "ingress"])
def test_the_groups_kept_up_are_those_made_anew(role: str, seed: int) -> None:
    chance = random.Random(seed)
    start = [any_object(chance) for _ in range(chance.choice([0, 30]))]
    cluster = WatchedCluster(f"role: {role}, {ATTACH}", *start)
    there: dict[tuple[str, str], None] = {}
    fewer = 0
    for _ in range(400):
        made = any_object(chance)
        meta = made["metadata"]
        key = f"{meta['namespace']}/{meta['name']}" if "namespace" in meta else meta["name"]
        if (made["kind"], key) in there and made["kind"] != "Namespace" and chance.random() < 0.3:
            cluster.delete(made["kind"], key)
            del there[made["kind"], key]
        else:
            cluster.put(made)
            there[made["kind"], key] = None
        anew = cluster.from_scratch()
        assert cluster.groups == anew
        fewer += len(cluster.affected) < len(anew)
    assert fewer > 300  # and not by making all of them each time
