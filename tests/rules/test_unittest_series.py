"""Input series of rule unit tests: given twice, repeated longer than anybody looks. promtool says the same of each."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from rulepush.rules.unittest import load_test_file, run_test_file
from tests.needs import binary

RULES = "groups: [{name: g, rules: [{alert: A, expr: x > 1}]}]\n"


def verdict(
    tmp_path: Path, series: list[tuple[str, str]], expr: str, wanted: dict[str, float], when: str = "2m"
) -> bool:
    """Whether `expr` gives what is wanted, and the rule fires where x is above 1, says rulepush; promtool agrees."""
    (tmp_path / "rules.yml").write_text(RULES)
    inputs = "".join(f"  - {{series: '{name}', values: '{values}'}}\n" for name, values in series)
    samples = ", ".join(f"{{labels: '{labels}', value: {value}}}" for labels, value in wanted.items())
    text = (
        f"rule_files: [rules.yml]\ntests:\n- interval: 1m\n  input_series:\n{inputs}"
        f"  promql_expr_test:\n  - {{expr: '{expr}', eval_time: {when}, exp_samples: [{samples}]}}\n"
    )
    path = tmp_path / "test.yml"
    path.write_text(text)
    passed = not run_test_file(load_test_file(str(path))).failures
    command = [binary("promtool"), "test", "rules", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert passed == (done.returncode == 0), done.stderr
    return passed


@pytest.mark.parametrize(
    "series",
    [
        [('x{i="a"}', "1+0x5"), ('x{i="a"}', "5+0x5")],
        [('x{i="a"}', "1+0x5"), ("y", "3"), ('{i="a", __name__="x"}', "5+0x5")],
        [('x{i="a",j=""}', "stale 7x9"), ('x{i="a"}', "1"), ('x{i="a"}', "_ 5")],
        [('x{i="a"}', "{{schema:0 sum:1 count:1}}x5"), ('x{i="a"}', "5x1")],
    ],
)
def test_of_a_series_that_is_given_twice_the_last_definition_counts(
    tmp_path: Path, series: list[tuple[str, str]]
) -> None:
    assert verdict(tmp_path, series, "x", {'x{i="a"}': 5})
    assert not verdict(tmp_path, series, "x", {'x{i="a"}': 1})


@pytest.mark.parametrize("last", ["", "_x5"])
def test_a_last_definition_without_values_leaves_none(tmp_path: Path, last: str) -> None:
    assert verdict(tmp_path, [("x", "1+0x5"), ("x", last)], "x", {})


@pytest.mark.parametrize("values", ["0x300000", "7-0x300000", "_x2 0x300000", "stale 0x3 1+0.1x300000"])
def test_a_long_repeat_is_no_error(tmp_path: Path, values: str) -> None:
    assert verdict(tmp_path, [("x", values)], "count(x)", {"{}": 1}, "4m")


def test_a_repeat_that_no_memory_could_hold_is_read_as_far_as_the_test_looks(tmp_path: Path) -> None:
    """promtool spells it out, and is killed."""
    (tmp_path / "rules.yml").write_text(RULES)
    path = tmp_path / "test.yml"
    path.write_text(
        """
rule_files: [rules.yml]
tests:
- input_series: [{series: x, values: "1+1x18446744073709551614 stale"}]
  promql_expr_test: [{expr: x, eval_time: 3m, exp_samples: [{labels: x, value: 4}]}]
"""
    )
    assert run_test_file(load_test_file(str(path))).failures == []


def test_steps_are_added_one_by_one_as_prometheus_does(tmp_path: Path) -> None:
    assert verdict(tmp_path, [("x", "0+0.1x10")], "x == 0.7999999999999999", {"x": 0.7999999999999999}, "8m")
