"""The reader of YAML nodes: bombs, depths, sizes, scalars."""

from __future__ import annotations

import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from rulepush.config.load import _read
from rulepush.yaml.nodes import LoadSession, MapReader, SourceFile, compose
from rulepush.yaml.scalars import parse_count, parse_size
from rulepush.yaml.source import MAX_FILE_BYTES, TooHeavyError, check_weight, first_document


def source() -> SourceFile:
    return SourceFile("f.yml", "/dir", LoadSession())


def messages(body: bytes) -> list[str]:
    s = source()
    assert compose(body, s) is None
    return [str(p) for p in s.reading.problems]


def mapping(text: str) -> MapReader:
    s = source()
    root = compose(text.encode(), s)
    assert isinstance(root, yaml.MappingNode)
    return MapReader(s, root)


def test_a_bomb_of_aliases_is_refused_at_once() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    assert messages("\n".join(lines).encode()) == [
        "f.yml:6: holds more than 1000000 values once its aliases are expanded"
    ]


def test_only_what_aliases_add_counts_as_a_bomb() -> None:
    """A file of 100,000 rules has more than a million nodes, all of them written out."""
    written_out = yaml.compose("[" + "1, " * 500 + "]")
    repeated = yaml.compose("[&a [1, 2, 3, 4], *a, *a, *a]")
    assert written_out is not None
    assert repeated is not None
    check_weight(written_out, added=10)
    check_weight(repeated, added=15)
    with pytest.raises(TooHeavyError, match="more than 14 values once its aliases are expanded"):
        check_weight(repeated, added=14)


def test_depth_and_loops_are_refused() -> None:
    assert "nested more than 100 levels deep" in messages(b"[" * 500 + b"]" * 500)[0]
    assert "an alias inside its own anchor" in messages(b"a: &a [*a]")[0]
    assert "nested more than 100 levels deep" in messages(b"[" * 100_000)[0]
    assert "nested more than 100 levels deep" in messages(b"- " * 100_000)[0]
    assert "nested more than 100 levels deep" in messages(b"? " * 100_000)[0]
    steps = b"\n".join(b" " * i + b"a:" for i in range(2000))
    assert messages(steps) == ["f.yml:101: nested more than 100 levels deep"]


def test_what_is_not_utf8_is_refused_with_its_line() -> None:
    assert messages(b"a: 1\nb: \xff") == ["f.yml:2: is not valid UTF-8"]
    assert "not valid YAML" in messages(b"a: \x00")[0]


def test_a_huge_file_is_refused() -> None:
    assert messages(b" " * (MAX_FILE_BYTES + 1)) == ["f.yml: is larger than 16 MiB"]


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("1B", 1),
        ("10KB", 10240),
        ("10KiB", 10240),
        ("15MB", 15 << 20),
        ("1.5GiB", 3 << 29),
        ("1GB512MB", 3 << 29),
    ],
)
def test_sizes_are_base_two(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "1", "1kB", "MB", "1MB2", "-1MB", " 1MB", ".MB"])
def test_other_sizes_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a valid size"):
        parse_size(text)


def test_scalars_are_what_they_are_written_with() -> None:
    m = mapping("{a: 010, b: yes, c: 1.0, d: null, e: ~, f: '', n: 0x10, y: Y, t: True}")
    assert [m.text(k, "default") for k in "abcdef"] == ["010", "yes", "1.0", "default", "default", ""]
    assert (m.count("n"), m.flag("y"), m.flag("t"), m.flag("b")) == (16, True, True, True)
    assert m.source.reading.problems == []


def test_paths_start_at_the_files_directory() -> None:
    m = mapping("{a: x/y, b: /z, c: ''}")
    assert [m.path(k) for k in "abc"] == ["/dir/x/y", "/z", ""]
    assert [r.path for r in m.source.reading.references] == ["/dir/x/y", "/z"]


def test_unsupported_keys_may_have_their_default() -> None:
    m = mapping("{a: [], b: false, c: x, d: {}, e: null}")
    for key in "abcdef":
        m.unsupported(key, "false")
    assert [p.message for p in m.source.reading.problems] == [
        "c is not supported yet by rulepush (Prometheus knows it)"
    ]


def test_secrets_of_ignored_sections_are_masked() -> None:
    text = (
        "tracing: {headers: {x: h1}, tls: {key: h2}, list: [{password: h3, credentials: [h4]}], url: 'http://u:h5@x'}"
    )
    s = source()
    root = compose(text.encode(), s)
    assert isinstance(root, yaml.MappingNode)
    MapReader(s, root).ignore("tracing")
    shown = s.render(root)
    assert not any(h in shown for h in ("h1", "h2", "h3", "h4", "h5"))


TEXTS = st.sampled_from(
    [
        "global",
        "scrape_configs",
        "job_name",
        "static_configs",
        "targets",
        "labels",
        "relabel_configs",
        "action",
        "regex",
        "replace",
        "alerting",
        "10s",
        "5",
        "alertmanagers",
        "rule_files",
        "remote_write",
        "url",
        "http://x",
        "storage",
        "keep",
        "nacos_sd_configs",
        "server",
        "role",
        "dns_sd_configs",
        "names",
        "tls_config",
        "basic_auth",
        "password",
        "authorization",
        "pushgateways",
        "jobs",
        "(",
        "*",
        "null",
        "[]",
        "<<",
    ]
)
VALUES = st.recursive(
    TEXTS | st.integers() | st.booleans() | st.none() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=30,
)


@given(VALUES)
def test_any_yaml_gives_a_configuration_or_problems(value: object) -> None:
    s = source()
    root = compose(yaml.safe_dump(value).encode(), s)
    _read(s, root)


@given(st.binary(max_size=60))
def test_any_bytes_give_a_node_or_problems(body: bytes) -> None:
    s = source()
    compose(body, s)


@given(st.text(max_size=60))
def test_any_text_gives_a_configuration_or_problems(text: str) -> None:
    s = source()
    _read(s, compose(text.encode("utf-8", "surrogatepass"), s))


@pytest.mark.parametrize("charset", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_a_byte_order_mark_names_the_charset(charset: str) -> None:
    mark = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}.get(charset, b"")
    s = source()
    root = compose(first_document(mark + "a: 室\n---\nb: 1\n".encode(charset), s.reading), s)
    assert isinstance(root, yaml.MappingNode)
    assert MapReader(s, root).text("a") == "室"
    assert "only the first YAML document" in s.reading.warnings[0]


def test_utf16_without_a_mark_or_broken_is_refused() -> None:
    assert messages("a: 室\n".encode("utf-16-le")) != []
    assert "is not valid UTF-16" in messages(b"\xff\xfea")[0]


@pytest.mark.parametrize(
    "text",
    ["{{- if .Values.x }}\na: b\n{{- end }}\n", 'a: b\n{{ include "x" . }}\n', "a: b{{\n  c: {{ .Values.x }}: d\n"],
)
def test_a_helm_template_is_named(text: str) -> None:
    assert "this is a Helm template" in messages(text.encode())[0]


def test_a_template_of_an_alert_is_no_helm_template() -> None:
    assert "Helm" not in messages(b"a: [{{ $labels.x }}")[0]


@pytest.mark.parametrize(("more", "part"), [("spec: {groups: []}", "spec"), ("data: {a: b}", "data")])
def test_of_a_kubernetes_resource_the_part_that_is_wanted_is_named(more: str, part: str) -> None:
    m = mapping(f"apiVersion: v1\nkind: PrometheusRule\n{more}\n")
    m.sections("groups")
    m.finish()
    (problem,) = m.source.reading.problems
    assert f"a Kubernetes resource ('PrometheusRule'): only what stands under its `{part}` is wanted" in problem.message


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("1e3", 1000),
        ("1.0", 1),
        ("1.5", 1),
        (".5", 0),
        ("5.", 5),
        ("1_000", 1000),
        ("0x_10", 16),
        ("010", 8),
        ("0o10", 8),
        ("089", 89),
        ("0b11", 3),
        ("+5", 5),
        ("-0", 0),
        ("18446744073709551616", (1 << 64) - 1),
    ],
)
def test_a_count_is_read_as_go_reads_it(text: str, count: int) -> None:
    """What promtool 3.5.3 makes of `sample_limit`, and the values that yaml.v2 gives it."""
    assert parse_count(text) == count


@pytest.mark.parametrize("text", ["-1", "1e30", "true", "inf", "0x", "1e", "5 6", "--5"])
def test_what_is_no_count(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text)):
        parse_count(text)
