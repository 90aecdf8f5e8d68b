from __future__ import annotations

import pytest

from rulepush.exposition import Format, parse_body
from rulepush.exposition.lint import lint


@pytest.mark.parametrize(
    ("name", "type_", "lines", "advice"),
    [
        ("a_total", "counter", "a_total 1", []),
        ("a", "counter", "a 1", ['counter metrics should have "_total" suffix']),
        ("a_total", "gauge", "a_total 1", ['non-counter metrics should not have "_total" suffix']),
        ("a_bucket", "gauge", "a_bucket 1", ['non-histogram metrics should not have "_bucket" suffix']),
        ("a_sum", "gauge", "a_sum 1", ['non-histogram and non-summary metrics should not have "_sum" suffix']),
        ("a", "gauge", 'a{le="1"} 1', ['non-histogram metrics should not have "le" label']),
        ("a", "gauge", 'a{quantile="1"} 1', ['non-summary metrics should not have "quantile" label']),
        ("a_seconds", "histogram", 'a_seconds_bucket{le="1"} 1\na_seconds_sum 1\na_seconds_count 1', []),
        ("a_milliseconds", "gauge", "a_milliseconds 1", ['use base unit "seconds" instead of "milliseconds"']),
        ("a_kilobytes", "gauge", "a_kilobytes 1", ['use base unit "bytes" instead of "kilobytes"']),
        ("a_hours", "gauge", "a_hours 1", ['use base unit "seconds" instead of "hours"']),
        ("a_gauge", "gauge", "a_gauge 1", ["metric name should not include type 'gauge'"]),
        ("a:b", "gauge", "a:b 1", ["metric names should not contain ':'"]),
        ("aB", "gauge", "aB 1", ["metric names should be written in 'snake_case' not 'camelCase'"]),
        ("a", "gauge", 'a{bC="1"} 1', ["label names should be written in 'snake_case' not 'camelCase'"]),
        ("a_ms", "gauge", "a_ms 1", ["metric names should not contain abbreviated units"]),
        ("a", "gauge", "a 1\na 2", ["metric not unique"]),
    ],
)
def test_advice_is_promtools(name: str, type_: str, lines: str, advice: list[str]) -> None:
    body = f"# HELP {name} h\n# TYPE {name} {type_}\n{lines}\n".encode()
    assert [a.text for a in lint(parse_body(body, Format.TEXT), Format.TEXT)] == advice


def test_help_is_missed_and_an_empty_one_does_not_count() -> None:
    found = parse_body(b"# HELP b  \nb 1\na 1\n", Format.TEXT)
    assert [str(a) for a in lint(found, Format.TEXT)] == ["a no help text", "b no help text"]


def test_an_openmetrics_counter_needs_no_suffix_in_its_family_name() -> None:
    body = b"# TYPE a counter\n# HELP a h\na_total 1\na_created 1\n# EOF\n"
    assert lint(parse_body(body, Format.OPENMETRICS), Format.OPENMETRICS) == []
