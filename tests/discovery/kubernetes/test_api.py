"""Single requests to the API, and what is read of their answers."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from typing import Any

import pytest

from rulepush.discovery.kubernetes.api import EventLines, KubernetesApi, ReadPace, WatchEvent, has_unread_bytes
from rulepush.discovery.kubernetes.decoding import ListPage, decode_json, without_managed_fields
from rulepush.discovery.kubernetes.refusals import KubernetesApiError, ResourceExpired
from rulepush.discovery.kubernetes.resources import PODS
from rulepush.discovery.kubernetes.scope import ResourceScope
from rulepush.http_client.build import build_client
from tests.discovery.kubernetes.following import until
from tests.kubernetes_objects import pod
from tests.kubernetes_server import KubernetesServer

SCOPE = ResourceScope(PODS)


def line(kind: str, made: dict[str, Any]) -> bytes:
    return json.dumps({"type": kind, "object": made}).encode() + b"\n"


def numbered(name: str, version: int) -> dict[str, Any]:
    made = pod(name)
    made["metadata"]["resourceVersion"] = str(version)
    return made


@pytest.mark.parametrize("events", [0, 1])
def test_a_stream_that_is_silent_for_too_long_ends(events: int) -> None:
    async def test() -> list[tuple[WatchEvent, ...]]:
        with KubernetesServer(pod("a")) as api:
            async with build_client() as client:
                _, version = await KubernetesApi(client, api.url).list(SCOPE, lambda _: None, {})
                watch = KubernetesApi(client, api.url).watch(SCOPE, version, 600, silent_s=0.2)
                async with aclosing(watch) as batches:
                    got = []
                    async for batch in batches:
                        got.append(tuple(batch))
                        if len(got) > events:
                            api.silence_streams()
                        api.put(pod(f"p{len(got)}"))
                    return got

    got = asyncio.run(test())
    assert [[e.type for e in batch] for batch in got] == [[], ["ADDED"]][: events + 1]


def test_what_a_list_has_unchanged_stays_the_same_object() -> None:
    came: list[int] = []

    async def test() -> None:
        with KubernetesServer(*(pod(f"p{i}") for i in range(100))) as server:
            async with build_client() as client:
                api = KubernetesApi(client, server.url, page_size=60, series_came=came.append)
                known, _ = await api.list(SCOPE, lambda _: None, {})
                assert 100 * 80 <= sum(came) <= 120 * 80
                server.put(pod("p7", ip="10.9.9.9"))
                found, _ = await api.list(SCOPE, lambda _: None, known)
                assert [key for key, made in found.items() if made is not known[key]] == ["default/p7"]
                assert found["default/p7"].ip == "10.9.9.9"

    asyncio.run(test())


def test_a_watch_is_left_alone_after_an_event_that_was_waited_for() -> None:
    pace = ReadPace(5.0)
    assert pace.pause(9_000, 5.02) == 0.25
    pace.asked = 5.12
    assert [pace.pause(9_000, 5.1202) for _ in range(4)] == [0.0] * 4  # they came meanwhile
    pace.asked = 5.13
    assert pace.pause(9_000, 5.14) == 0.25


def test_a_watch_with_much_to_read_is_not_left_alone() -> None:
    pace = ReadPace(5.0)
    for part in range(20):  # whatever holds up each of them
        pace.asked = 5.0 + part
        assert pace.pause(65_536, 5.5 + part) == 0.0
    pace.asked = 30.0
    assert pace.pause(40_000, 30.0) == 0.0
    assert pace.pause(40_000, 30.5) == 0.0  # both together are much
    pace.asked = 31.0
    assert pace.pause(40_000, 31.5) == 0.25


def test_a_watch_on_a_busy_machine_does_not_fall_behind() -> None:
    """Each part comes late, for others work; there are more of them already."""
    pace = ReadPace(5.0)
    for part in range(20):
        pace.asked = 5.0 + part
        assert pace.pause(9_000, 5.5 + part, lambda: True) == 0.0
    pace.asked = 30.0
    assert pace.pause(9_000, 30.5, lambda: False) == 0.25


def test_what_came_and_was_not_read_is_seen() -> None:
    async def test() -> None:
        with KubernetesServer(pod("a")) as api:
            async with build_client() as client:
                _, version = await KubernetesApi(client, api.url).list(SCOPE, lambda _: None, {})
                query = {"watch": "true", "resourceVersion": version}
                async with client.stream("GET", f"{api.url}/api/v1/pods", params=query) as response:
                    parts = response.aiter_bytes()
                    api.put(pod("a"))
                    await anext(parts)
                    assert not has_unread_bytes(response)
                    api.put(pod("b"))
                    await until("the event", lambda: has_unread_bytes(response))

    asyncio.run(test())


def test_events_are_cut_at_line_ends_wherever_the_parts_end() -> None:
    whole = line("ADDED", numbered("a", 5)) + line("MODIFIED", numbered("b", 6)) + line("DELETED", numbered("a", 7))
    for size in (1, 7, 100, len(whole)):
        lines = EventLines(SCOPE)
        events = [e for i in range(0, len(whole), size) for e in lines.feed(whole[i : i + size])]
        assert [(e.type, e.object["metadata"]["name"], e.version) for e in events] == [
            ("ADDED", "a", "5"),
            ("MODIFIED", "b", "6"),
            ("DELETED", "a", "7"),
        ]


def test_a_line_without_end_is_refused() -> None:
    lines = EventLines(SCOPE)
    for _ in range(16):
        assert lines.feed(b"x" * (1 << 20)) == []
    with pytest.raises(KubernetesApiError, match="pods in all namespaces: an event is larger than 16 MiB"):
        lines.feed(b"x")


@pytest.mark.parametrize(
    ("code", "error"),
    [(410, ResourceExpired), (504, ResourceExpired), (500, KubernetesApiError), (429, KubernetesApiError)],
)
def test_only_some_errors_of_a_watch_need_a_new_list(code: int, error: type[KubernetesApiError]) -> None:
    status = {"kind": "Status", "code": code, "message": "too old resource version: 1 (2)", "reason": "Expired"}
    with pytest.raises(KubernetesApiError, match=r"too old resource version: 1 \(2\)") as raised:
        EventLines(SCOPE).feed(line("ERROR", status))
    assert type(raised.value) is error


@pytest.mark.parametrize("text", [b"no json\n", b"[]\n", b'{"type":"ADDED"}\n', b'{"type":"ADDED","object":{}}\n'])
def test_a_line_that_is_no_event_is_an_error(text: bytes) -> None:
    with pytest.raises(KubernetesApiError, match="an event of the watch is none"):
        EventLines(SCOPE).feed(text)


def listed(body: bytes) -> tuple[list[Any], str, str]:
    page = ListPage(body)
    return list(page.items()), page.version, page.more


def compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def test_a_page_is_read_object_by_object_without_managed_fields() -> None:
    large, small = pod("a", padding=9000), pod("b")
    meta = {"resourceVersion": "7", "continue": "more", "remainingItemCount": 3}
    body = compact({"kind": "PodList", "apiVersion": "v1", "metadata": meta, "items": [large, small]})
    assert len(without_managed_fields(body)) < len(body) - 3000
    del large["metadata"]["managedFields"]
    assert listed(body) == ([large, small], "7", "more")


@pytest.mark.parametrize(
    "text",
    [
        '{"metadata":{"resourceVersion":"7"},"items":[]}',
        '{"metadata":{"resourceVersion":"7"},"items":null}',
        '{ "items": [], "metadata": {"resourceVersion": "7"} }',
        '{"items":[],"metadata":{"resourceVersion":"7"}}',
    ],
)
def test_a_list_may_be_empty_and_in_another_order(text: str) -> None:
    assert listed(text.encode()) == ([], "7", "")


def test_managed_fields_are_left_out_where_they_are_not_the_last_field_too() -> None:
    body = (
        b'{"metadata":{"name":"a","managedFields":[{"fieldsV1":{"f:x":{}}},{"manager":"m"}],"resourceVersion":"7"},'
        b'"spec":{"containers":[{"name":"c"}]}}'
    )
    assert decode_json(body) == {
        "metadata": {"name": "a", "resourceVersion": "7"},
        "spec": {"containers": [{"name": "c"}]},
    }


def test_managed_fields_with_a_bracket_in_a_text_are_decoded_whole() -> None:
    odd = {"metadata": {"name": "a", "managedFields": [{"manager": 'x}]"{'}], "resourceVersion": "7"}}
    assert decode_json(compact(odd)) == odd
    body = compact({"metadata": {"resourceVersion": "7"}, "items": [odd]})
    assert listed(body) == ([odd], "7", "")


def test_half_a_surrogate_pair_is_replaced() -> None:
    body = b'{"metadata":{"resourceVersion":"7"},"items":[{"a":"\\ud800"},{"a":"\\ud83d\\ude00"}]}'
    assert listed(body)[0] == [{"a": "\ufffd"}, {"a": "\U0001f600"}]
