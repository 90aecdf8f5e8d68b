"""What is kept of the API's objects: missing fields are empty, as in Go; others of a wrong type are told."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import Any

import pytest

from rulepush.discovery.kubernetes.objects import (
    EndpointSlice,
    Ingress,
    KubernetesEndpoints,
    KubernetesNamespace,
    KubernetesNode,
    KubernetesService,
    ObjectMeta,
    OwnedObject,
    Pod,
)
from rulepush.discovery.kubernetes.resource import Resource
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
from tests.discovery.kubernetes.random_objects import everything
from tests.kubernetes_objects import container, pod
from tests.kubernetes_server import KINDS

RESOURCES: list[Resource[Any]] = [
    PODS,
    SERVICES,
    ENDPOINTS,
    ENDPOINT_SLICES,
    INGRESSES,
    NODES,
    NAMESPACES,
    REPLICA_SETS,
    JOBS,
]
META = ObjectMeta("a")


def test_the_paths_are_those_of_the_api() -> None:
    assert {r.name: (r.api, r.namespaced) for r in RESOURCES} == {
        plural: (api, namespaced) for api, plural, namespaced in KINDS.values()
    }


@pytest.mark.parametrize(
    ("resource", "expected"),
    [
        (PODS, Pod(META)),
        (SERVICES, KubernetesService(META)),
        (ENDPOINTS, KubernetesEndpoints(META)),
        (ENDPOINT_SLICES, EndpointSlice(META)),
        (INGRESSES, Ingress(META)),
        (NODES, KubernetesNode(META)),
        (NAMESPACES, KubernetesNamespace(META)),
        (REPLICA_SETS, OwnedObject("a", "")),
        (JOBS, OwnedObject("a", "")),
    ],
)
@pytest.mark.parametrize("nulls", [{}, {"spec": None, "status": None}, {"spec": {}, "status": {}, "subsets": None}])
def test_a_name_is_enough(resource: Resource[Any], expected: Any, nulls: dict[str, Any]) -> None:
    assert resource.project({"metadata": {"name": "a", "labels": None}, **nulls}) == expected


@pytest.mark.parametrize(
    ("resource", "item", "expected"),
    [
        (PODS, {"metadata": {}}, "metadata.name is missing"),
        (PODS, {}, "metadata.name is missing"),
        (PODS, [], "an item: expected an object, got a list"),
        (PODS, {"metadata": "x"}, "metadata: expected an object, got a text"),
        (PODS, {"metadata": {"name": 1}}, "metadata.name: expected a text, got a number"),
        (PODS, {"metadata": {"name": "a", "labels": []}}, "metadata.labels: expected an object, got a list"),
        (PODS, {"metadata": {"name": "a", "labels": {"x": 1}}}, "metadata.labels['x']: expected a text, got a number"),
        (PODS, {"spec": {"containers": {}}}, "spec.containers: expected a list, got an object"),
        (
            PODS,
            {"spec": {"containers": [{"ports": [{"containerPort": "80"}]}]}},
            "spec.containers[0].ports[0].containerPort: expected a whole number, got a text",
        ),
        (
            PODS,
            {"spec": {"containers": [{"ports": [{"containerPort": True}]}]}},
            "spec.containers[0].ports[0].containerPort: expected a whole number, got true or false",
        ),
        (SERVICES, {"spec": {"ipFamilies": [4]}}, "spec.ipFamilies[0]: expected a text, got a number"),
        (
            ENDPOINT_SLICES,
            {"endpoints": [{"conditions": {"ready": "yes"}}]},
            "endpoints[0].conditions.ready: expected true or false, got a text",
        ),
        (ENDPOINTS, {"subsets": [7]}, "subsets[0]: expected an object, got a number"),
    ],
)
def test_another_type_is_told_with_its_place(resource: Resource[Any], item: Any, expected: str) -> None:
    whole = {"metadata": {"name": "a"}, **item} if isinstance(item, dict) and item else item
    with pytest.raises(ValueError, match=f"^{re.escape(expected)}$"):
        resource.project(whole)


def test_a_null_label_is_an_empty_text() -> None:
    project: Callable[..., Pod] = PODS.project
    assert project({"metadata": {"name": "a", "labels": {"x": None, "y": "z"}}}).meta.labels == (("x", ""), ("y", "z"))


def test_any_damage_is_a_value_error_or_harmless() -> None:
    """Whatever stands in the place of a field: projecting raises nothing else, so that a watch goes on."""
    chance = random.Random(3)
    junk: list[Any] = [None, 0, 1.5, True, "x", "", [], {}, [None], [[]], {"": None}, [{}], -1, "é\ud800"]
    resources = {r.name: r for r in RESOURCES}
    told = 0
    for made in everything():
        project = resources[KINDS[made["kind"]][1]].project
        for _ in range(150):
            damaged = _damaged(made, chance, junk)
            try:
                project(damaged)
            except ValueError:
                told += 1
    assert told > 500


def _damaged(value: Any, chance: random.Random, junk: list[Any]) -> Any:
    inside = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else []
    if not inside or chance.random() < 0.15:
        return chance.choice(junk)
    copy, at = value.copy(), chance.choice(list(inside))
    copy[at] = _damaged(value[at], chance, junk)
    return copy


def test_pods_of_one_deployment_share_what_is_equal() -> None:
    """5,000 of them are kept; what differs are names, addresses and ids."""

    def one(name: str) -> Pod:
        made = [container("app", "registry/app:" + str(1), [("http", 8080)])]
        return PODS.project(pod(name, "shop", labels={"app": "".join(["w", "eb"])}, containers=made))

    first, second = one("a"), one("b")
    assert first.containers is second.containers
    assert first.meta.labels[0][1] is second.meta.labels[0][1]
    assert first.node_name is second.node_name


def test_no_more_than_labels_need_is_kept() -> None:
    large = pod("a", "shop", padding=100_000)
    assert PODS.project(large) == PODS.project(pod("a", "shop"))
