"""Rule files and unit test files of any content: problems, never another exception, never a hang."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rulepush.errors import ConfigError
from rulepush.rules.rulefmt import parse_rule_file
from rulepush.rules.unittest import load_test_file, run_test_file

FAST = settings(max_examples=150, deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture])

RULES = b"""groups:
- name: g
  interval: 30s
  limit: 2
  labels: &l {team: x}
  rules:
  - {alert: A, expr: 'rate(m{a=~"x.*"}[5m]) > 1', for: 5m, labels: *l, annotations: {s: "{{ $labels.a | title }}"}}
  - {record: r, expr: sum by (a) (m)}
"""
TESTS = b"""rule_files: []
evaluation_interval: 1m
tests:
- name: t
  start_timestamp: 1600000000
  input_series: [{series: 'm{a="x"}', values: '0+1x10 _ stale 3'}]
  alert_rule_test: [{eval_time: 5m, alertname: A, exp_alerts: [{exp_labels: {a: x}}]}]
  promql_expr_test: [{expr: m, eval_time: 5m, exp_samples: [{labels: 'm{a="x"}', value: 5}]}]
"""
KEYS = [
    *["groups", "name", "interval", "limit", "query_offset", "labels", "rules", "alert", "record", "expr", "for"],
    *["keep_firing_for", "annotations", "rule_files", "tests", "evaluation_interval", "group_eval_order", "series"],
    *["input_series", "values", "alert_rule_test", "eval_time", "alertname", "exp_alerts", "exp_labels", "value"],
    *["promql_expr_test", "exp_samples", "histogram", "start_timestamp", "fuzzy_compare"],
]
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.sampled_from(["up", "1m", "sum(up) > 0", "{{ $value }}", "{{ if }}", "0+1x3", "m{", "__name__", "=", "-1"]),
    st.text(max_size=20),
)
documents = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.sampled_from([*KEYS, "labels", "é"]), inner, max_size=6)
    ),
    max_leaves=25,
)


@st.composite
def mutated(draw: Any, original: bytes) -> bytes:
    """The original with some pieces cut, repeated or overwritten."""
    body = bytearray(original)
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(body)))
        end = min(len(body), at + draw(st.integers(0, 12)))
        piece = draw(
            st.one_of(st.binary(max_size=6), st.sampled_from([b": ", b"\n- ", b"*l", b"&l", b"{{", b"\t", b"["]))
        )
        body[at:end] = piece
    return bytes(body)


def check_rules(body: bytes) -> None:
    parsed = parse_rule_file("f", body)
    assert not (parsed.problems and parsed.groups)
    for problem in parsed.problems:
        assert problem.line >= 0
        assert problem.message


def check_tests(path: Path, body: bytes) -> None:
    path.write_bytes(body)
    try:
        file = load_test_file(str(path))
    except ConfigError:
        return
    if all(s.last_eval_ms / file.interval_ms < 2000 for s in file.scenarios):
        run_test_file(file)


@FAST
@given(mutated(RULES))
def test_mutated_rule_files(body: bytes) -> None:
    check_rules(body)


@FAST
@given(documents)
def test_rule_files_of_any_structure(document: object) -> None:
    check_rules(yaml.safe_dump(document, allow_unicode=True).encode("utf-8", "surrogatepass"))
    check_rules(yaml.safe_dump({"groups": document}, allow_unicode=True).encode("utf-8", "surrogatepass"))


@FAST
@given(body=mutated(TESTS))
def test_mutated_unit_test_files(tmp_path: Path, body: bytes) -> None:
    check_tests(tmp_path / "t.yml", body)


@FAST
@given(document=documents)
def test_unit_test_files_of_any_structure(tmp_path: Path, document: object) -> None:
    check_tests(tmp_path / "t.yml", yaml.safe_dump({"tests": document}).encode("utf-8", "surrogatepass"))


@pytest.mark.parametrize("depth", [50, 200, 20_000])
def test_deep_nesting(depth: int) -> None:
    check_rules(b"groups: " + b"[" * depth + b"]" * depth)
    check_rules(b"groups: [{name: a, rules: [{record: r, expr: '" + b"(" * depth + b"1" + b")" * depth + b"'}]}]")
