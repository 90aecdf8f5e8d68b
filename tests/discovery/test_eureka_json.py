"""The list of applications in JSON, walked to the instances: thousands of them must not hold the event loop."""

from __future__ import annotations

import asyncio
import json

import pytest

from rulepush.discovery import short_turns
from rulepush.discovery.eureka import EurekaDiscovery
from rulepush.discovery.eureka_answer import EurekaApplication
from rulepush.discovery.eureka_json import applications_of_json
from rulepush.errors import DiscoveryError
from rulepush.slices import at_once
from tests.discovery.driving import environment, running
from tests.discovery.eureka_server import FakeEureka, spring_instance
from tests.discovery.test_eureka import config


def read(text: str) -> list[EurekaApplication]:
    return at_once(applications_of_json(text.encode()))


def hosts(text: str) -> list[tuple[str, list[str]]]:
    return [(app.name, [i.texts["hostName"] for i in app.instances]) for app in read(text)]


def test_each_instance_is_a_step() -> None:
    body = json.dumps({"applications": {"application": [{"name": "A", "instance": [{"hostName": "a"}] * 40}]}})
    assert len(list(applications_of_json(body.encode()))) == 40


def test_members_come_in_any_order_with_spaces_and_others_are_passed_over() -> None:
    text = """
      {"x": [1, {"applications": 2}], "applications": {"versions__delta": "1", "application": [
        {"instance": [{"hostName": "a"}, {"hostName": "b"}], "name": "A"} , {"name": "B", "instance": {"hostName": "c"}}
      ], "apps__hashcode": "UP_3_"}, "y": null} """
    assert hosts(text) == [("A", ["a", "b"]), ("B", ["c"])]


def test_of_two_members_of_one_name_the_last_counts() -> None:
    one, two = '{"application":{"name":"A"}}', '{"application":{"name":"B"},"application":{"name":"C"}}'
    assert [app.name for app in read(f'{{"applications":{one},"applications":{two}}}')] == ["C"]


def test_half_a_surrogate_pair_is_replaced() -> None:
    text = '{"applications":{"application":{"name":"\\ud800A","instance":{"hostName":"\\udc00\\ud83d\\ude00"}}}}'
    assert hosts(text) == [("\ufffdA", ["\ufffd\U0001f600"])]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("{", "line 1: not valid JSON: Expecting property name enclosed in double quotes"),
        ('{"applications" 1}', "line 1: not valid JSON: Expecting ':' delimiter"),
        (
            '{"applications":{"application":[{"name":"A"}\n{"name":"B"}]}}',
            "line 2: not valid JSON: Expecting ',' delimiter",
        ),
        ('{"applications":{"application":[{"instance":[{"hostName":"a"},', "line 1: not valid JSON: Expecting value"),
        ('{"applications":{}} x', "line 1: not valid JSON: Extra data"),
        ('{"applications":' + "[" * 100_000, "nested too deeply"),
        ('{"applications":[]}', 'expected {"applications": {"application": [...]}}'),
        ("[]", 'expected {"applications": {"application": [...]}}'),
        ('{"applications":{"application":[1]}}', "application: expected an object"),
        ('{"applications":{"application":{"instance":"x"}}}', "instance: expected an object"),
        ('{"applications":{"application":{"instance":{"port":{"$":"x"}}}}}', "port: 'x' is not a number"),
    ],
)
def test_what_is_no_such_list_is_told(text: str, error: str) -> None:
    with pytest.raises(DiscoveryError) as e:
        read(text)
    assert str(e.value) == error


@pytest.mark.parametrize("only_json", [False, True])
def test_others_have_their_turn_while_many_instances_are_read(only_json: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(short_turns, "_SECONDS", 0.0)  # whatever the machine does in the real time
    eureka = FakeEureka({"A": [spring_instance("A", f"a{n}") for n in range(300)]}, only_json=only_json)

    async def go() -> tuple[int, list[int], list[dict[str, str]]]:
        env, turns = environment(), 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counting = asyncio.create_task(count())
        async with running(EurekaDiscovery(config(), env, eureka.transport()), env) as seen:
            await seen.clock.settle(2000)
            counting.cancel()
            return turns, [len(groups) for groups in seen.lists], seen.merged()

    turns, lists, merged = asyncio.run(go())
    assert turns >= 300 * (2 if only_json else 1)  # each is read, and each is made a target
    assert lists == [1]
    assert [target["instance"] for target in merged] == sorted(f"a{n}:a:8080" for n in range(300))


def test_targets_that_stay_are_the_same_objects_in_the_next_list() -> None:
    eureka = FakeEureka({"A": [spring_instance("A", f"a{n}") for n in range(700)], "B": [spring_instance("B", "b")]})

    async def go() -> None:
        env = environment()
        async with running(EurekaDiscovery(config(), env, eureka.transport()), env) as seen:
            eureka.apps["A"][5] = spring_instance("A", "a5", status="DOWN")
            eureka.apps["A"].reverse()
            await seen.clock.advance(30)
            first, second = seen.lists
            assert second[1] is first[1]
            before, after = first[0].targets, second[0].targets
            assert len({id(t) for t in before} & {id(t) for t in after}) == 699
            assert list(after) == sorted(after)
            await seen.clock.advance(30)
            assert len(seen.lists) == 2

    asyncio.run(go())
