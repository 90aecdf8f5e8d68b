"""The text format. Which bodies are accepted was compared with a real Prometheus on 2,400 mutated bodies."""

from __future__ import annotations

import math

import pytest

from rulepush.errors import ExpositionError
from rulepush.exposition import FamilyMetadata, Format, parse_body, parse_line
from tests.needs import SHARED, needs_shared

SAMPLES = SHARED / "samples"


def text(body: bytes) -> list[tuple[dict[str, str], float, int | None]]:
    return [(dict(s.pairs), s.value, s.ts) for s in parse_body(body, Format.TEXT).samples]


@pytest.mark.parametrize(
    ("body", "labels", "value", "ts"),
    [
        (b"a 1\n", {}, 1.0, None),
        (b"a 1", {}, 1.0, None),
        (b"a 1 1700000000123\n", {}, 1.0, 1700000000123),
        (b'a{x="1",} -1\n', {"x": "1"}, -1.0, None),
        (b'a{x="1" y="2"} 3\n', {"x": "1", "y": "2"}, 3.0, None),
        (b'a{x="1"}3\n', {"x": "1"}, 3.0, None),
        (b"a+1\n", {}, 1.0, None),
        (b'a{ x = "1" ,\ty="2" }\t1 \t5 \n', {"x": "1", "y": "2"}, 1.0, 5),
        (b'a {x="1"} 1\n', {"x": "1"}, 1.0, None),
        (b'a{x="say \\"hi\\" to C:\\\\, \\n \\q"} 1\n', {"x": 'say "hi" to C:\\, \n \\q'}, 1.0, None),
        (b'a{x="1}{,= # 2"} 1\n', {"x": "1}{,= # 2"}, 1.0, None),
        (b'a{x="two\nlines"} 1\n', {"x": "two\nlines"}, 1.0, None),
        ('a{x="配置"} 1\n'.encode(), {"x": "配置"}, 1.0, None),
        (b'a{x=""} 1\n', {"x": ""}, 1.0, None),
        (b"a{} 1\n", {}, 1.0, None),
        (b"\n \n\t\n# c\na 1\n", {}, 1.0, None),
        (b"a 6.975758E8\n", {}, 697575800.0, None),
        (b"a 1.0E9\n", {}, 1e9, None),
        (b"a +Inf\n", {}, math.inf, None),
        (b"a -infinity\n", {}, -math.inf, None),
        (b"a .5\n", {}, 0.5, None),
        (b"a 1\n\0 whatever follows\n", {}, 1.0, None),
        (b"a 1\n#\0\nb 1\n", {}, 1.0, None),
        (b"a 1\n# \0 x\nb 1\n", {}, 1.0, None),
        (b"# HELP a x\0y\na 1\n", {}, 1.0, None),
        (b'a{x="1\0"} 1\n', {"x": "1\0"}, 1.0, None),
    ],
)
def test_what_prometheus_accepts(body: bytes, labels: dict[str, str], value: float, ts: int | None) -> None:
    assert text(body) == [({"__name__": "a", **labels}, value, ts)]


@pytest.mark.parametrize(
    ("body", "name", "labels"),
    [
        (b'{"a.b", x="1"} 1\n', "a.b", {"x": "1"}),
        (b'{x="1","a b"} 1\n', "a b", {"x": "1"}),
        (b'{"a"} 1\n', "a", {}),
        (b'a{"x.y"="1"} 1\n', "a", {"x.y": "1"}),
        ('{"温度","位置"="室"} 1\n'.encode(), "温度", {"位置": "室"}),
        (b'{"a\\"b"} 1\n', 'a"b', {}),
    ],
)
def test_quoted_names(body: bytes, name: str, labels: dict[str, str]) -> None:
    assert text(body) == [({"__name__": name, **labels}, 1.0, None)]


@pytest.mark.parametrize(
    ("body", "line", "message"),
    [
        (b"a 1\na{x=1} 2\n", 2, "expected label value"),
        (b'a{x="1"} \n', 1, "expected value after metric"),
        (b"a 1 2 3\n", 1, "expected next entry after timestamp"),
        (b"a 1 -2\n", 1, "expected timestamp or new record"),
        (b"a 1 2.5\n", 1, "expected next entry after timestamp"),
        (b"a 1 99999999999999999999\n", 1, "value out of range"),
        (b"a 1\r\nb 2\r\n", 1, 'strconv.ParseFloat: parsing "1\\r": invalid syntax'),
        (b"a 0x1p4\n", 1, "unsupported character in float"),
        (b"a 1_000\n", 1, "unsupported character in float"),
        (b"a 1e999\n", 1, "value out of range"),
        (b"a +nan\n", 1, "invalid syntax"),
        ("a ١\n".encode(), 1, "invalid syntax"),
        (b"\n\n# TYPE a foo\n", 3, 'invalid metric type "foo"'),
        (b"# TYPE a  counter\n", 1, 'invalid metric type " counter"'),
        (b"# TYPE a unknown\n", 1, 'invalid metric type "unknown"'),
        (b"# HELP \n", 1, "expected metric name after HELP"),
        (b"# HELP a\0 b\na 1\n", 1, "linebreak expected after metadata"),
        (b"# HELP a\0\na 1\n", 1, "linebreak expected after metadata"),
        (b'# HELP "a\0b" x\n', 1, "expected metric name after HELP"),
        (b'{"a\0b"} 1\n', 1, "expected label name"),
        (b'a{"b\0"="c"} 1\n', 1, "expected label name"),
        (b"# HELP a \xff\n", 1, "is not a valid utf8 string"),
        (b'a{x="\xff"} 1\n', 1, "invalid UTF-8 label value"),
        (b'{"\xff"} 1\n', 1, "invalid metric name or label names"),
        (b'a{x="1",x="2"} 1\n', 1, 'label name "x" is not unique'),
        (b'a{__name__="b"} 1\n', 1, 'label name "__name__" is not unique'),
        (b'{x="1"} 1\n', 1, "metric name not set"),
        (b'a{"b"} 1\n', 1, "metric name already set"),
        (b"a{b} 1\n", 1, "expected equal"),
        (b'ok 1\nb{x="1} 1\nc 1\n', 2, "expected label value"),
        (b"<html>\n", 1, 'expected a valid start token, got "<"'),
        (b'{"status":404}', 1, "expected equal"),
        (b"a{,} 1\n", 1, "expected label name"),
    ],
)
def test_what_prometheus_refuses(body: bytes, line: int, message: str) -> None:
    with pytest.raises(ExpositionError) as e:
        text(body)
    assert e.value.line == line
    assert message in e.value.message


def test_metadata() -> None:
    body = b"# HELP a Two\\nlines \\\\ \\q\n# TYPE a counter\n# HELP b  \n# TYPE b untyped\n# HELPX c\n#TYPE d x\n"
    assert parse_body(body, Format.TEXT).metadata == {
        "a": FamilyMetadata("counter", "Two\nlines \\ \\q"),
        "b": FamilyMetadata("unknown", " "),
    }


def test_a_nan_is_the_normal_nan_and_never_the_stale_marker() -> None:
    import numpy as np

    (_, value, _), *_ = text(b"a NaN\n")
    normal = 0x7FF8000000000001, 0x7FF8000000000000  # of Go, and of the CPU
    assert np.float64(value).view(np.int64) in normal


def test_keys_are_the_bytes_before_the_value() -> None:
    body = b'a{x="1",} 5\nb  5 17\nc\t5\nd{x="1"}5\n'
    keys = [s.key for s in parse_body(body, Format.TEXT).samples]
    assert keys == [b'a{x="1",}', b"b ", b"c\t", b'd{x="1"}']


def test_a_line_alone() -> None:
    sample = parse_line(b'a{x="1",} 5', Format.TEXT)
    assert sample is not None
    assert (sample.name, sample.value) == ("a", 5.0)
    assert parse_line(b"# HELP a b", Format.TEXT) is None
    assert parse_line(b"", Format.TEXT) is None
    with pytest.raises(ExpositionError):
        parse_line(b'a{x="two', Format.TEXT)


@needs_shared("samples")
@pytest.mark.parametrize(
    ("file", "fmt"),
    [
        ("nacos-1.4-real.prom", Format.TEXT),
        ("nacos-2.x-real-fragments.prom", Format.TEXT),
        ("nacos24-synthetic.prom", Format.TEXT),
        ("boot34om-synthetic.prom", Format.OPENMETRICS),
    ],
)
def test_every_line_of_the_samples_is_accounted_for(file: str, fmt: Format) -> None:
    body = (SAMPLES / file).read_bytes()
    lines = body.split(b"\n")
    found = parse_body(body, fmt)
    of_samples = [i for i, line in enumerate(lines, 1) if line.strip() and not line.startswith(b"#")]
    assert [s.line for s in found.samples] == of_samples
    for s in found.samples:
        assert lines[s.line - 1].startswith(s.key + b" ")
    typed = {line.split()[2].decode() for line in lines if line.startswith(b"# TYPE ")}
    assert typed <= set(found.metadata)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("1", "1.0"),
        ("0", "0.0"),
        ("-1", "-1.0"),
        (".5", "0.5"),
        ("1e3", "1000.0"),
        ("1e6", "1e+06"),
        ("+inf", "+Inf"),
        ("NaN", "NaN"),
        ("0.10", "0.1"),
        ("2.50", "2.5"),
        ("many", "many"),
        ("", ""),
        ("-0", "0.0"),
        ("1e999", "1e999"),
        ("1_0", "10.0"),
        ("0x1p4", "16.0"),
        ("0x_1p0", "1.0"),
        ("1__0", "1__0"),
        ("1e_5", "1e_5"),
    ],
)
def test_bounds_are_written_as_openmetrics_does_by_the_type_before_them(written: str, read: str) -> None:
    """So are those of Prometheus 3 (model/textparse/interface_test.go has some of these)."""
    for kind, bound in (("histogram", "le"), ("summary", "quantile")):
        line = f'a{{{bound}="{written}",other="1"}} 1\n'
        for fmt, end in ((Format.TEXT, ""), (Format.OPENMETRICS, "# EOF\n")):

            def found(before: str, fmt: Format = fmt, end: str = end, line: str = line) -> tuple[tuple[str, str], ...]:
                return parse_body((before + line + end).encode(), fmt).samples[0].pairs

            name, other = ("__name__", "a"), ("other", "1")
            assert found(f"# TYPE b {kind}\n") == (name, (bound, read), other)
            assert found("") == (name, (bound, written), other)
            assert found(f"# TYPE a {kind}\n# TYPE b gauge\n") == (name, (bound, written), other)
