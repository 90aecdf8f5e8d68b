"""Events decoded by pieces are those decoded as a whole, and what did not change is the same object."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from rulepush.discovery.kubernetes.api import OddObjectError, projected
from rulepush.discovery.kubernetes.decoding import decode_json
from rulepush.discovery.kubernetes.pieces import EventDecoder
from rulepush.discovery.kubernetes.resource import Resource
from rulepush.discovery.kubernetes.resources import ENDPOINT_SLICES, ENDPOINTS, PODS
from tests.discovery.kubernetes.cluster import Json
from tests.kubernetes_objects import (
    container,
    endpoint,
    endpoint_address,
    endpoints,
    endpointslice,
    pod,
    subset,
    target_ref,
)


def event(made: Json, kind: str = "MODIFIED") -> bytes:
    return json.dumps({"type": kind, "object": made}, separators=(",", ":")).encode()


def a_slice(*ips: str, **changes: Any) -> Json:
    made = endpointslice("web-1", service="web", endpoints=[endpoint(ip, target=target_ref("Pod", ip)) for ip in ips])
    managed = {"manager": "kube-controller-manager", "fieldsV1": {"f:endpoints": {}, "f:ports": {}}}
    made["metadata"] |= {"resourceVersion": "7", "managedFields": [managed]}
    return made | changes


def some_endpoints(*ips: str, not_ready: tuple[str, ...] = ()) -> Json:
    ready, other = ([endpoint_address(ip, target=target_ref("Pod", ip)) for ip in some] for some in (ips, not_ready))
    return endpoints("web", subsets=[subset(ready, not_ready=other), subset([endpoint_address("10.9.9.9")])])


def decoder(resource: Resource[Any]) -> EventDecoder:
    assert resource.pieces is not None
    return resource.pieces.decoder()


def record(decode: Callable[[bytes], Any], resource: Resource[Any], line: bytes) -> Any:
    return projected(decode(line)["object"], resource)[1]


def test_of_a_slice_only_the_endpoint_that_changed_is_another_one() -> None:
    decode = decoder(ENDPOINT_SLICES).decode
    before = record(decode, ENDPOINT_SLICES, event(a_slice("10.0.0.1", "10.0.0.2", "10.0.0.3")))
    after = record(decode, ENDPOINT_SLICES, event(a_slice("10.0.0.1", "10.0.0.3", "10.0.0.4")))
    assert [e.addresses for e in after.endpoints] == [("10.0.0.1",), ("10.0.0.3",), ("10.0.0.4",)]
    assert after.endpoints[0] is before.endpoints[0]
    assert after.endpoints[1] is before.endpoints[2]
    assert after.ports is before.ports


def test_an_address_that_is_no_longer_ready_is_the_same_one() -> None:
    decode = decoder(ENDPOINTS).decode
    before = record(decode, ENDPOINTS, event(some_endpoints("10.0.0.1", "10.0.0.2")))
    after = record(decode, ENDPOINTS, event(some_endpoints("10.0.0.1", not_ready=("10.0.0.2",))))
    assert after.subsets[0].ready == before.subsets[0].ready[:1]
    assert after.subsets[0].not_ready[0] is before.subsets[0].ready[1]
    assert after.subsets[1].ready[0] is before.subsets[1].ready[0]


def test_a_deleted_object_is_forgotten() -> None:
    decode = decoder(ENDPOINT_SLICES).decode
    before = record(decode, ENDPOINT_SLICES, event(a_slice("10.0.0.1")))
    assert record(decode, ENDPOINT_SLICES, event(a_slice("10.0.0.1"), "DELETED")).endpoints[0] is before.endpoints[0]
    after = record(decode, ENDPOINT_SLICES, event(a_slice("10.0.0.1"), "ADDED"))
    assert after == before
    assert after.endpoints[0] is not before.endpoints[0]


def test_slices_of_one_name_in_two_namespaces_are_two() -> None:
    decode = decoder(ENDPOINT_SLICES).decode
    line = event(a_slice("10.0.0.1"))
    first = record(decode, ENDPOINT_SLICES, line)
    other = record(decode, ENDPOINT_SLICES, line.replace(b'"namespace":"default"', b'"namespace":"shop"', 1))
    assert other.endpoints[0] is not first.endpoints[0]
    assert record(decode, ENDPOINT_SLICES, line).endpoints[0] is first.endpoints[0]


_ODD = '}],"ports":[{"addresses":["1"]},{"addresses":}]}'


@pytest.mark.parametrize(
    "made",
    [
        a_slice(),
        a_slice(endpoints=None),
        a_slice("10.0.0.1", ports=None),
        a_slice("10.0.0.1", ports=[]),
        a_slice(endpoints=[{"addresses": []}, {"addresses": ["::1", "::2"], "hints": {"forZones": [{"name": "z"}]}}]),
        a_slice(endpoints=[{"conditions": {"ready": True}, "addresses": ["10.0.0.1"]}, {"addresses": ["10.0.0.2"]}]),
        a_slice(endpoints=[{"addresses": ["10.0.0.1"], "nodeName": _ODD}, {"addresses": ["10.0.0.2"]}]),
        a_slice(endpoints=[{"addresses": ["10.0.0.1"], "nodeName": "\ud800 <"}, {"addresses": [_ODD]}]),
        a_slice("10.0.0.1", metadata={"name": "a", "annotations": {"last": event(a_slice("1", "2")).decode()}}),
        a_slice("10.0.0.1", metadata={"name": "a", "endpoints": [{"addresses": ["1"]}]}),
    ],
)
def test_whatever_a_slice_looks_like_it_is_what_the_whole_says(made: Json) -> None:
    decode = decoder(ENDPOINT_SLICES).decode
    for line in (event(made), event(made), json.dumps({"type": "ADDED", "object": made}).encode()):
        assert record(decode, ENDPOINT_SLICES, line) == record(decode_json, ENDPOINT_SLICES, line)


@pytest.mark.parametrize(
    "made",
    [
        endpoints("web"),
        endpoints("web", subsets=[{"addresses": [{"ip": "10.0.0.1"}]}]),
        endpoints("web", subsets=[{"notReadyAddresses": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.2", "hostname": "h"}]}]),
        endpoints("web", subsets=[{"addresses": None, "ports": [{"port": 80}]}, {"addresses": [{"ip": "10.0.0.1"}]}]),
        endpoints("web", subsets=[{"ports": [{"port": 80}], "addresses": [{"hostname": "h", "ip": "10.0.0.1"}]}]),
        endpoints("web", subsets=[{"addresses": [{"ip": "10.0.0.1", "hostname": '}],"ports":'}]}]),
        some_endpoints("10.0.0.1", "10.0.0.2", not_ready=("10.0.0.3",)),
    ],
)
def test_whatever_endpoints_look_like_they_are_what_the_whole_says(made: Json) -> None:
    decode = decoder(ENDPOINTS).decode
    for line in (event(made), event(made), json.dumps({"type": "ADDED", "object": made}).encode()):
        assert record(decode, ENDPOINTS, line) == record(decode_json, ENDPOINTS, line)


def test_what_is_wrong_is_told_with_its_place() -> None:
    decode = decoder(ENDPOINT_SLICES).decode
    made = a_slice(endpoints=[{"addresses": ["10.0.0.1"]}, {"addresses": ["10.0.0.2"], "zone": 7}])
    for decoded in (decode(event(made)), decode_json(event(made))):
        with pytest.raises(OddObjectError, match=r"endpoints\[1\].zone: expected a text, got a number"):
            projected(decoded["object"], ENDPOINT_SLICES)


@pytest.mark.parametrize("seed", range(5))
def test_after_any_changes_the_object_is_what_the_whole_says(seed: int) -> None:
    chance = random.Random(seed)
    slices, others = decoder(ENDPOINT_SLICES).decode, decoder(ENDPOINTS).decode
    for _ in range(100):
        ips = [f"10.0.0.{chance.randrange(9)}" for _ in range(chance.randrange(6))]
        line = event(a_slice(*ips))
        assert record(slices, ENDPOINT_SLICES, line) == record(decode_json, ENDPOINT_SLICES, line)
        at = chance.randrange(len(ips) + 1)
        line = event(some_endpoints(*ips[:at], not_ready=tuple(ips[at:])))
        assert record(others, ENDPOINTS, line) == record(decode_json, ENDPOINTS, line)


def a_pod(status: Json | None = None, **changes: Any) -> Json:
    made = pod("a", containers=[container("app", ports=[("http", 80)])], init_containers=[container("init")])
    made["metadata"] |= {"managedFields": [{"manager": "kubelet", "fieldsV1": {"f:spec": {"f:nodeName": {}}}}]}
    return made | changes | ({"status": {**made["status"], **status}} if status else {})


def test_of_a_pod_whose_status_changes_the_spec_is_the_same_one() -> None:
    decode = decoder(PODS).decode
    specs = [decode(event(a_pod(status)))["object"]["spec"] for status in ({"phase": "Pending"}, {"phase": "Running"})]
    assert specs[0] is specs[1]
    other = decode(event(a_pod(spec={"nodeName": "n2", "containers": []})))["object"]["spec"]
    assert other.node_name == "n2"


_EPHEMERAL = {"ephemeral": {"volumeClaimTemplate": {"metadata": {"labels": {}}, "spec": {"accessModes": ["RWO"]}}}}


@pytest.mark.parametrize(
    "made",
    [
        a_pod(),
        a_pod({"conditions": [{"type": "Ready", "status": "False"}]}),
        a_pod(spec={}),
        a_pod(spec=None),
        a_pod(status=None),
        a_pod(spec={"nodeName": "n", "containers": [{"name": "a"}], "volumes": [{"name": "v", **_EPHEMERAL}]}),
        a_pod(spec={"nodeName": '},"status":{', "containers": [{"name": "a", "image": ',"spec":{'}]}),
        a_pod(
            metadata={"name": "a", "annotations": {"last": event(a_pod()).decode(), "b": '},"spec":{"x":1},"status":{'}}
        ),
        a_pod(metadata={"name": "a", "odd": [{"a": 1, "spec": {"nodeName": "no"}, "status": {}}]}),
        {"metadata": {"name": "a"}, "status": {"phase": "Running"}, "spec": {"nodeName": "n"}},
    ],
)
def test_whatever_a_pod_looks_like_it_is_what_the_whole_says(made: Json) -> None:
    decode = decoder(PODS).decode
    for line in (event(made), event(made), event(made, "DELETED"), json.dumps({"type": "X", "object": made}).encode()):
        assert record(decode, PODS, line) == record(decode_json, PODS, line)


def test_what_is_wrong_in_the_spec_of_a_pod_is_told_with_its_place() -> None:
    decode = decoder(PODS).decode
    made = a_pod(spec={"containers": [{"name": 7}]})
    for decoded in (decode(event(made)), decode_json(event(made))):
        with pytest.raises(OddObjectError, match=r"spec.containers\[0\].name: expected a text, got a number"):
            projected(decoded["object"], PODS)
