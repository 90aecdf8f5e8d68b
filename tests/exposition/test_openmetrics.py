from __future__ import annotations

import pytest

from rulepush.errors import ExpositionError, ScrapeError
from rulepush.exposition import FamilyMetadata, Format, parse_body, parse_line
from rulepush.exposition.content_type import choose_format


def om(body: bytes) -> list[tuple[dict[str, str], float, int | None]]:
    return [(dict(s.pairs), s.value, s.ts) for s in parse_body(body, Format.OPENMETRICS).samples]


@pytest.mark.parametrize(
    ("line", "labels", "value", "ts"),
    [
        (b"a 1", {}, 1.0, None),
        (b'a{x="1",} 1', {"x": "1"}, 1.0, None),
        (b"a 1 1700000000.1239", {}, 1.0, 1700000000123),
        (b"a 1 -5", {}, 1.0, -5000),
        (b"a 1 1e3", {}, 1.0, 1_000_000),
        (b'a 1 # {trace_id="x"} 1 1.5', {}, 1.0, None),
        (b'a 1 5 # {trace_id="x",} 1', {}, 1.0, 5000),
        (b'a{x=" # {"} 1 # {} 2', {"x": " # {"}, 1.0, None),
        (b'{"a",x="1"} 1', {"x": "1"}, 1.0, None),
    ],
)
def test_what_prometheus_accepts(line: bytes, labels: dict[str, str], value: float, ts: int | None) -> None:
    assert om(line + b"\n# EOF\n") == [({"__name__": "a", **labels}, value, ts)]
    assert om(line + b"\n# EOF") == om(line + b"\n# EOF\n")


@pytest.mark.parametrize(
    ("body", "line", "message"),
    [
        (b"a 1\n", 2, "data does not end with # EOF"),
        (b"", 1, "data does not end with # EOF"),
        (b"a 1", 1, "data does not end with # EOF"),
        (b"a 1\n# EOF\nb 1\n", 2, "unexpected data after # EOF"),
        (b"# EOF\n\n", 1, "unexpected data after # EOF"),
        (b"a 1\n\n# EOF\n", 2, "expected a valid start token"),
        (b"# a comment\n# EOF\n", 1, "expected a valid start token"),
        (b'a{x="1", y="2"} 1\n# EOF\n', 1, "expected label name"),
        (b'a{x="1"y="2"} 1\n# EOF\n', 1, "expected comma or brace close"),
        (b"a  1\n# EOF\n", 1, "expected value after metric"),
        (b"a 1 NaN\n# EOF\n", 1, "invalid timestamp"),
        (b'a 1 # {x="1"}\n# EOF\n', 1, "expected value after exemplar labels"),
        (b"a 1 # {x} 1\n# EOF\n", 1, "expected equal"),
        (b"# UNIT a_bytes seconds\n# EOF\n", 1, 'unit "seconds" not a suffix of metric "a_bytes"'),
        (b"# TYPE a untyped\n# EOF\n", 1, 'invalid metric type "untyped"'),
    ],
)
def test_what_prometheus_refuses(body: bytes, line: int, message: str) -> None:
    with pytest.raises(ExpositionError) as e:
        om(body)
    assert e.value.line == line
    assert message in e.value.message


def test_metadata() -> None:
    body = b"# TYPE a_seconds gaugehistogram\n# UNIT a_seconds seconds\n# HELP a_seconds help\\n\n# EOF\n"
    assert parse_body(body, Format.OPENMETRICS).metadata == {
        "a_seconds": FamilyMetadata("gaugehistogram", "help\n", "seconds")
    }


def test_a_line_alone() -> None:
    sample = parse_line(b"a 5", Format.OPENMETRICS)
    assert sample is not None
    assert sample.value == 5.0
    assert parse_line(b"# EOF", Format.OPENMETRICS) is None
    assert parse_line(b"# TYPE a gauge", Format.OPENMETRICS) is None


@pytest.mark.parametrize(
    ("content_type", "fallback", "fmt"),
    [
        ("text/plain;version=0.0.4", None, Format.TEXT),
        ("text/plain; version=0.0.4; charset=utf-8", None, Format.TEXT),
        ("TEXT/PLAIN", None, Format.TEXT),
        ("application/openmetrics-text;version=1.0.0;charset=utf-8", None, Format.OPENMETRICS),
        ("text/html", Format.TEXT, Format.TEXT),
        ("", Format.OPENMETRICS, Format.OPENMETRICS),
        ("text/plain", Format.OPENMETRICS, Format.TEXT),
    ],
)
def test_the_content_type_chooses_the_parser(content_type: str, fallback: Format | None, fmt: Format) -> None:
    assert choose_format(content_type, fallback) is fmt


@pytest.mark.parametrize(
    ("content_type", "message"),
    [
        ("", "non-compliant scrape target sending blank Content-Type and no fallback_scrape_protocol specified"),
        ("text/html", 'received unsupported Content-Type "text/html" and no fallback_scrape_protocol specified'),
        ("a b c", 'cannot parse Content-Type "a b c" and no fallback_scrape_protocol specified for target'),
    ],
)
def test_without_a_known_type_and_fallback_the_scrape_fails(content_type: str, message: str) -> None:
    with pytest.raises(ScrapeError, match=message):
        choose_format(content_type, None)
