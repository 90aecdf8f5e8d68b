"""file_sd_configs."""

from __future__ import annotations

import asyncio
import json
import os
import re
from pathlib import Path

import pytest

from rulepush.discovery.file import FileSdConfig
from rulepush.discovery.group_format import parse_groups
from rulepush.errors import DiscoveryError
from rulepush.model.labels import Labels
from tests.discovery.driving import environment, read_sd, running


def write(path: Path, value: object) -> None:
    """Replace a file at once, as configuration tools do."""
    path.with_suffix(".tmp").write_text(value if isinstance(value, str) else json.dumps(value))
    os.replace(path.with_suffix(".tmp"), path)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-8-sig"])
def test_yaml_files_of_powershell_are_read(encoding: str) -> None:
    body = "\ufeff" * (encoding == "utf-16-be") + "- targets: ['a:1']\n"
    (group,) = parse_groups(body.encode(encoding), "a.yml", {}, form="yaml")
    assert [target.get("__address__") for target in group.targets] == ["a:1"]
    with pytest.raises(DiscoveryError):
        parse_groups("- targets: ['a:1']\n".encode("utf-16-le"), "a.yml", {}, form="yaml")


def test_json_and_yaml_files_are_read_and_watched(tmp_path: Path) -> None:
    write(tmp_path / "a.json", [{"targets": ["a:1", "a:2"], "labels": {"env": "x"}}])
    write(tmp_path / "b.yml", "- targets: ['b:1']\n  labels: {port: 010, on: yes}\n- targets: [b:2]\n")
    found, problems = read_sd("file_sd_configs", "{files: ['*.json', '*.yml']}", str(tmp_path))
    assert problems == []

    async def go() -> None:
        env = environment()
        async with running(found.discoverer(env), env) as seen:
            assert seen.addresses() == ["a:1", "a:2", "b:1", "b:2"]
            first, _, third, _ = seen.merged()
            assert first == {"__address__": "a:1", "env": "x", "__meta_filepath": str(tmp_path / "a.json")}
            assert (third["port"], third["on"]) == ("010", "yes")
            write(tmp_path / "a.json", [{"targets": ["a:3"]}])
            await seen.clock.advance(3)
            assert seen.addresses() == ["a:3", "b:1", "b:2"]
            write(tmp_path / "c.json", [{"targets": ["c:1"]}])
            (tmp_path / "b.yml").unlink()
            await seen.clock.advance(3)
            assert seen.addresses() == ["a:3", "c:1"]
            lists = len(seen.lists)
            await seen.clock.advance(600)
            assert len(seen.lists) == lists

    asyncio.run(go())


def test_a_bad_file_keeps_its_last_good_groups(tmp_path: Path) -> None:
    write(tmp_path / "a.json", [{"targets": ["a:1"]}])
    write(tmp_path / "b.json", [{"targets": ["b:1"]}])
    found = FileSdConfig((str(tmp_path / "*.json"),))

    async def go() -> None:
        env = environment()
        async with running(found.discoverer(env), env) as seen:
            write(tmp_path / "a.json", '[{"targets": ["a:9"')
            write(tmp_path / "b.json", [{"targets": ["b:2"]}])
            await seen.clock.advance(3)
            assert seen.addresses() == ["a:1", "b:2"]
            assert "a.json" in next(iter(env.reporter.last_errors))
            assert env.reporter.failures["file"] == 1
            write(tmp_path / "a.json", [{"targets": ["a:10"]}])
            await seen.clock.advance(3)
            assert seen.addresses() == ["a:10", "b:2"]
            assert env.reporter.last_errors == {}

    asyncio.run(go())


def test_a_bad_file_that_went_away_is_reported_again_when_it_comes_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = FileSdConfig((str(tmp_path / "*.json"),))

    async def go() -> None:
        env = environment()
        async with running(found.discoverer(env), env) as seen:
            for times in (1, 2):
                write(tmp_path / "a.json", "[{")
                await seen.clock.advance(6)
                assert [r.name for r in caplog.records] == ["rulepush.discovery"] * times
                (tmp_path / "a.json").unlink()
                await seen.clock.advance(3)
                assert env.reporter.last_errors == {}

    asyncio.run(go())


def test_a_file_name_that_is_not_utf8_is_a_label_that_can_be_sent(tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff.json")
    write(tmp_path / name, [{"targets": ["a:1"]}])
    found = FileSdConfig((str(tmp_path / "*.json"),))

    async def go() -> None:
        env = environment()
        async with running(found.discoverer(env), env) as seen:
            assert seen.merged() == [{"__address__": "a:1", "__meta_filepath": f"{tmp_path}/\ufffd.json"}]
            write(tmp_path / name, "[{")
            await seen.clock.advance(3)
            assert list(env.reporter.last_errors) == [f"file {tmp_path}/\ufffd.json"]

    asyncio.run(go())


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{}", "must contain at least one path name"),
        ("{files: [a.txt]}", 'path name "a.txt" is not valid for file discovery'),
        ("{files: ['*/a.json']}", 'path name "*/a.json" is not valid for file discovery'),
        ("{files: [a.json], refresh_interval: 5}", "expected a duration"),
    ],
)
def test_configuration_faults(text: str, complaint: str) -> None:
    _, problems = read_sd("file_sd_configs", text)
    assert any(complaint in p for p in problems), problems


@pytest.mark.parametrize(
    ("body", "form", "complaint"),
    [
        (b'{"targets": []}', "json", "expected a list of target groups, got a mapping"),
        (b"[1]", "json", "group 0: expected a mapping, got a number"),
        (b"[null]", "json", "group 0: expected a mapping, got null"),
        (b'[{"targets": [1]}]', "json", "targets must be a list of texts"),
        (b'[{"targets": "a"}]', "json", "targets must be a list of texts"),
        (b"- targets: ''", "yaml", "targets must be a list of texts"),
        (b"- targets: [a]\n  targets: [b]", "yaml", "line 2: not valid YAML: key 'targets' is already set in line 1"),
        (b"- labels: {a: 1, a: 2}", "yaml", "key 'a' is already set in line 1"),
        (b"- <<: 5", "yaml", "map merge requires a mapping"),
        (b"- &a {<<: *a, x: y}", "yaml", "unknown key 'x'"),
        (b"- {[a]: b}", "yaml", "a key must be a text"),
        (b"- targets: [!!binary '/w==']", "yaml", "not valid"),
        (b"- Targets: [a]", "yaml", "unknown key 'Targets'"),
        (b'[{"labels": {"a": 1}}]', "json", "label 'a' must have a text as its value, got a number"),
        (b'[{"lables": {}}]', "json", "unknown key 'lables'"),
        (b'[\n{"targets"', "json", "line 2: not valid JSON"),
        (b"- targets: [a\n", "yaml", "not valid YAML"),
        (b"\xff", "json", "not valid UTF-8"),
        (b"[" * 100_000, "json", "nested too deeply"),
        (b"[" * 100_000, "yaml", "nested too deeply"),
        (b"- " * 100_000, "yaml", "nested too deeply"),
    ],
)
def test_bad_lists_say_what_is_wrong(body: bytes, form: str, complaint: str) -> None:
    with pytest.raises(DiscoveryError, match=re.escape(complaint)):
        parse_groups(body, "f", {}, form=form)


@pytest.mark.parametrize(
    ("body", "form", "expected"),
    [
        (b"- labels: &l {x: 1}\n- targets: [a]\n  labels: {<<: *l, y: 2}", "yaml", [{"x": "1", "y": "2"}]),
        (b"- labels: &l {x: 1}\n- targets: [a]\n  labels: {x: 2, <<: [*l, *l]}", "yaml", [{"x": "2"}]),
        (b"- &g {targets: [a]}\n- <<: *g\n  labels: {x: y}", "yaml", [{}, {"x": "y"}]),
        (b"- targets: [a]\n  labels: {x: ~, y: null, z: '~', w: , v: !!binary aGk=}", "yaml", [{"z": "~", "v": "hi"}]),
        (b"- targets: ~\n- targets: [a]\n  labels: null", "yaml", [{}]),
        (b'[{"Targets": ["a"], "LABELS": {"A": "b"}}]', "json", [{"A": "b"}]),
        (b'[{"targets": ["a"], "labels": {"x": null}}]', "json", [{}]),
    ],
)
def test_merges_nulls_and_the_case_of_keys_are_as_in_prometheus(
    body: bytes, form: str, expected: list[dict[str, str]]
) -> None:
    """Checked against Prometheus 2.42."""
    found = [t.as_dict() for g in parse_groups(body, "f", {}, form=form) for t in g.merged()]
    assert found == [{"__address__": "a", **labels} for labels in expected]


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_a_target_that_is_null_does_not_stop_the_others(form: str) -> None:
    (group,) = parse_groups(b'[{"targets": [null, "a:1"]}]', "f", {}, form=form)
    assert group.merged() == (Labels(), Labels({"__address__": "a:1"}))


def test_aliases_cannot_make_a_file_grow_without_a_bound() -> None:
    lines = ["- labels: &a0 {x: y}"]
    lines += [f"- labels: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 20)}]}}" for i in range(1, 15)]
    assert len(parse_groups("\n".join(lines).encode(), "f", {}, form="yaml")) == 15


@pytest.mark.parametrize("body", [b"", b"[]", b"- targets:\n", b"# nothing\n", b"~", b"null"])
def test_empty_lists_have_no_targets(body: bytes) -> None:
    form = "json" if body == b"[]" else "yaml"
    assert [t for g in parse_groups(body, "f", {}, form=form) for t in g.targets] == []
