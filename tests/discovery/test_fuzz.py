"""Whatever stands in a list of targets, in an answer of Nacos, or in a relabelling rule: documented errors only."""

from __future__ import annotations

import asyncio
import contextlib
import json

import httpx
from hypothesis import given, settings
from hypothesis import strategies as st

from rulepush.discovery.eureka_answer import ApplicationsXml
from rulepush.discovery.eureka_json import applications_of_json
from rulepush.discovery.group_format import parse_groups
from rulepush.discovery.groups import TargetGroup
from rulepush.discovery.nacos import NacosDiscovery, NacosSdConfig
from rulepush.errors import DiscoveryError, RegexError
from rulepush.model.labels import Labels
from rulepush.relabel.relabel import Action, RelabelConfig, relabel
from rulepush.slices import at_once
from tests.discovery.driving import environment, read_sd, running

_KEYS = """targets labels data code hosts ip port metadata weight pageItems totalCount name serviceList count doms
services extendInfo raftMetaData metaDataMap leader groupName applications application instance $ dataCenterInfo"""
KEYS = st.sampled_from(_KEYS.split())
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from([0, 200, "1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=20,
)


@given(JSON, st.booleans(), st.sampled_from(["json", "yaml"]))
def test_any_json_is_a_list_of_groups_or_an_error(value: object, lenient: bool, form: str) -> None:
    with contextlib.suppress(DiscoveryError):
        for group in parse_groups(json.dumps(value).encode(), "f", {"__meta_url": "u"}, form=form, lenient=lenient):
            assert isinstance(group, TargetGroup)
            group.merged()


@given(st.binary(max_size=80), st.sampled_from(["json", "yaml"]))
def test_any_bytes_are_a_list_of_groups_or_an_error(body: bytes, form: str) -> None:
    with contextlib.suppress(DiscoveryError):
        parse_groups(body, "f", {}, form=form)


EUREKA = st.recursive(
    st.sampled_from(["", "1", "true", " x ", "&amp;", "&a;", "<!-- c -->", "<![CDATA[x]]>", "<x", "]]>", "é"]),
    lambda inner: st.builds(
        lambda name, attributes, parts, closed: f"<{name}{attributes}>{''.join(parts)}{f'</{name}>' if closed else ''}",
        st.sampled_from(["application", "instance", "name", "port", "dataCenterInfo", "metadata", "countryId", "a:b"]),
        st.sampled_from(["", " enabled='true'", " enabled='x'", " a='>'"]),
        st.lists(inner, max_size=4),
        st.booleans() | st.just(True),
    ),
    max_leaves=12,
)


@given(EUREKA | st.text(max_size=30), st.integers(1, 40))
def test_any_xml_of_eureka_is_applications_or_an_error(inside: str, size: int) -> None:
    body = f"<applications>{inside}</applications>".encode(errors="replace")
    reader = ApplicationsXml()
    with contextlib.suppress(DiscoveryError):
        for at in range(0, len(body), size):
            reader.feed(body[at : at + size])
        for app in reader.close():
            assert isinstance(app.name, str)


@given(JSON | st.fixed_dictionaries({"applications": JSON}))
def test_any_json_of_eureka_is_applications_or_an_error(value: object) -> None:
    with contextlib.suppress(DiscoveryError):
        for app in at_once(applications_of_json(json.dumps(value).encode())):
            assert isinstance(app.name, str)


@given(st.text('{}[]:, \t"\\u0d8ainstce', max_size=60))
def test_broken_json_of_eureka_is_an_error(text: str) -> None:
    body = '{"applications":{"application":[{"name":"A","instance":[' + text + "]}]}}"
    try:
        whole = json.loads(body)
    except ValueError:
        whole = None
    try:
        apps = at_once(applications_of_json(body.encode()))
    except DiscoveryError:
        apps = []
    assert whole is not None or not apps


@settings(max_examples=60, deadline=None)
@given(st.lists(JSON, min_size=1, max_size=6), st.sampled_from(["server", "instance"]))
def test_any_answers_of_nacos_are_targets_or_a_failure(answers: list[object], role: str) -> None:
    config, _ = read_sd("nacos_sd_configs", "{server: 'http://n', role: " + role + "}")
    assert isinstance(config, NacosSdConfig)
    given_answers = iter(answers)

    def handle(_: httpx.Request) -> httpx.Response:
        body = json.dumps(next(given_answers, answers[-1]))
        return httpx.Response(200, content=body, headers={"Content-Type": "application/json"})

    async def go() -> None:
        env = environment()
        async with running(NacosDiscovery(config, env, httpx.MockTransport(handle)), env) as seen:
            await seen.clock.settle(2000)
            assert len(seen.lists) + env.reporter.failures["nacos"] >= 1

    asyncio.run(go())


NAMES = st.sampled_from(["a", "b", "__name__", "x.y", ""])
TEXTS = st.text("ab$1{}()|.*;_0 ", max_size=12)


@given(
    st.builds(dict, a=TEXTS, b=TEXTS),
    st.sampled_from(Action),
    st.lists(NAMES, max_size=3),
    TEXTS,
    TEXTS,
    TEXTS,
    st.integers(1, 10),
)
def test_any_rule_relabels_or_is_refused(
    labels: dict[str, str], action: Action, sources: list[str], regex: str, target: str, replacement: str, modulus: int
) -> None:
    try:
        config = RelabelConfig(action, tuple(sources), ";", regex, modulus, target, replacement)
    except RegexError:
        return
    config.faults()
    first = relabel(Labels(labels), [config])
    assert first == relabel(Labels(labels), [config])
