"""The runner of test scripts is as strict as Prometheus' own."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import pytest

from rulepush.cli import test_promql as command
from rulepush.histogram.histogram import CounterResetHint, FloatHistogram
from rulepush.model.sample import is_stale
from rulepush.promql.testscript import CaseOutcome
from rulepush.promql.testscript.compare import almost_equal
from rulepush.promql.testscript.series import Gap, NativeCell, parse_series
from tests.needs import SHARED, needs_shared
from tests.promql.scripting import failures, results


def native(total: float, hint: CounterResetHint = CounterResetHint.UNKNOWN, *, hint_set: bool = False) -> NativeCell:
    return NativeCell(FloatHistogram(sum=total, counter_reset_hint=hint), hint_set)


DATA = """
load 1m
  m{a="1"} 1.2345
  m{a="2"} 20 30
  m{a="3"} 3
  g_total  0+1x10

"""


@pytest.mark.parametrize(
    ("text", "cells"),
    [
        ("0+10x3", [0, 10, 20, 30]),
        ("5-1x2 7", [5, 4, 3, 7]),
        ("-1+0.5x1", [-1, -0.5]),
        ("1x3", [1, 1, 1, 1]),
        ("0x2 1", [0, 0, 0, 1]),
        ("_ 1 _x2 2", [Gap.OMITTED, 1, Gap.OMITTED, Gap.OMITTED, 2]),
        ("Inf -inf +Inf .5 1e3", [math.inf, -math.inf, math.inf, 0.5, 1000]),
        ("{{schema:0 sum:1}}x1 3", [native(1), native(1), 3]),
        ("{{sum:1}}+{{sum:1}}x2 {{}}", [native(1), native(2), native(3), native(0)]),
        ("{{sum:3}}-{{sum:1}}x1", [native(3), native(2)]),
        ("@st -1m 0 1ms _x2", [-60_000, 0, 1, Gap.OMITTED, Gap.OMITTED]),
        ("@st -30s-1m30sx2 +1h", [-30_000, -120_000, -210_000, 3_600_000]),
        ("{{sum:1 counter_reset_hint:gauge}}", [native(1, CounterResetHint.GAUGE, hint_set=True)]),
        ("", []),
    ],
)
def test_sequences(text: str, cells: list[object]) -> None:
    assert list(parse_series(f"m{text}" if text.startswith("@") else f"m {text}").cells()) == cells


def test_stale_and_nan_in_sequences() -> None:
    stale, nan, again = parse_series("m stale NaN stale").cells()
    assert isinstance(stale, float)
    assert is_stale(stale)
    assert isinstance(nan, float)
    assert math.isnan(nan)
    assert not is_stale(nan)
    assert isinstance(again, float)


@pytest.mark.parametrize(
    "text",
    [
        "m 1 y",
        "m 1+2",
        "m{a=1} 1",
        'm{a="1" 1',
        "m 1x",
        "m _+1x2",
        "",
        "m 0x1F",
        "m@st 1",
        "m@st -1m+2",
        "m 1x99999999999999999999",
        "m _x18446744073709551616",
    ],
)
def test_what_is_no_series(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_series(text)


def test_labels_of_a_series_line() -> None:
    line = parse_series('{"my.metric", \'b\'="x y", c="a\\"b", "q.l"=`z`} 1')
    assert line.labels.as_dict() == {"__name__": "my.metric", "b": "x y", "c": 'a"b', "q.l": "z"}
    assert parse_series("m@st -1m-1mx2").start_times


@pytest.mark.parametrize(
    ("a", "b", "equal"),
    [
        (1, 1 + 1e-7, True),
        (1, 1.00001, False),
        (9.9999, 9.9998, False),
        (0, 1e-300, False),
        (math.nan, math.nan, True),
        (math.inf, math.inf, True),
        (math.inf, 1e308, False),
        (-1, 1, False),
        (math.nan, 0, False),
    ],
)
def test_almost_equal(a: float, b: float, equal: bool) -> None:
    assert almost_equal(a, b) is equal


PASSING = """
eval instant at 0 m
  m{a="1"} 1.2345
  m{a="2"} 20
  m{a="3"} 3

eval instant at 0 sort(m)
  expect ordered
  m{a="1"} 1.2345
  m{a="3"} 3
  m{a="2"} 20

eval range from 0 to 2m step 1m m{a="2"}
  m{a="2"} 20 30 30

eval instant at 0 1 + 0x10
  17

eval instant at 0 "text"
  expect string "text"

eval instant at 1m m{a="2"}[90s]
  expect range vector from 0 to 1m step 1m
  m{a="2"} 20 30

eval instant at 5m rate(m[10m])
  expect info
  expect no_warn
  {a="2"} 0.0333333333333333333

eval instant at 5m rate(g_total[5m])
  expect no_info
  {} 0.016666666666666666

eval instant at 0 quantile(2, m)
  expect warn msg: PromQL warning: quantile value should be between 0 and 1, got 2 (1:10)
  {} Inf

eval instant at 0 m + on() m
  expect fail regex: many-to-many|found duplicate

eval_fail instant at 0 label_replace(m, "a", "", "a", ".*")

eval_fail instant at 0 label_replace(m, "a", "", "a", ".*")
  expected_fail_message vector cannot contain metrics with the same labelset

eval_fail instant at 0 label_replace(m, "a", "", "a", ".*")
  expected_fail_regexp same .*set

eval_warn instant at 0 quantile(2, m)
  {} Inf

eval_info range from 5m to 5m step 1m rate(m[10m])
  {a="2"} 0.033333333333333333

eval_ordered instant at 0 sort_desc(m)
  m{a="2"} 20
  m{a="3"} 3
  m{a="1"} 1.2345
"""


def test_what_is_right_passes() -> None:
    assert not failures(DATA + PASSING)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("1.2345", "1.2346"),
        ('  m{a="2"} 20\n  m{a="3"} 3\n\n', '  m{a="2"} 20\n\n'),
        ('  m{a="3"} 3\n\n', '  m{a="3"} 3\n  m{a="4"} 3\n\n'),
        ('  m{a="3"} 3\n\n', '  {a="3"} 3\n\n'),
        ('  m{a="3"} 3\n  m{a="2"} 20\n', '  m{a="2"} 20\n  m{a="3"} 3\n'),
        ("20 30 30", "20 30"),
        ("20 30 30", "20 _ 30"),
        ("20 30 30", "20 30 30 30"),
        ("20 30 30", "20 30.001 30"),
        ("  17", "  17.001"),
        ('string "text"', 'string "texts"'),
        ("step 1m\n  m", "step 2m\n  m"),
        ("  expect info\n", "  expect no_info\n"),
        ("  expect no_warn\n", "  expect warn\n"),
        ("  expect no_info\n", "  expect info\n"),
        ("got 2 (1:10)", "got 2 (1:11)"),
        ("many-to-many|found duplicate", "other"),
        ("eval_fail instant at 0 label_replace(m,", "eval_fail instant at 0 label_replace(m{a='2'},"),
        ("same labelset", "same labels"),
        ("same .*set", "same .*sets"),
        ("eval_warn instant at 0 quantile(2,", "eval_warn instant at 0 quantile(1,"),
        ("eval_info range from 5m to 5m step 1m rate(m", "eval_info range from 5m to 5m step 1m rate(g_total"),
        ("eval_ordered instant at 0 sort_desc", "eval_ordered instant at 0 sort"),
        ("eval instant at 0 m\n", "eval instant at 0 nothing\n"),
        ("eval instant at 0 m\n", "eval instant at 0 m)\n"),
    ],
)
def test_what_is_wrong_fails(right: str, wrong: str) -> None:
    assert right in PASSING
    found = failures(DATA + PASSING.replace(right, wrong, 1))
    assert len(found) == 1
    assert found[0].outcome is CaseOutcome.FAILED
    assert found[0].expected


def test_clear_forgets() -> None:
    assert not failures(DATA + "clear\neval instant at 0 m\n\nload 1m\n  m 1\n\neval instant at 0 m\n  m 1\n")


def test_instant_cases_are_asked_in_other_ways_too() -> None:
    # At 2m all is well; the range query sees 1m too, where two series become one.
    (found,) = failures(
        """
        load 1m
          m{a="1"} 1 1 stale stale
          m{a="2"} 1 1 1     1

        eval instant at 2m label_replace(m, "a", "", "a", ".*")
          m 1
        """
    )
    assert found.variant == "in a range query"


def test_histograms_and_start_timestamps_are_loaded() -> None:
    text = """
load 1m
  h{a="n"} {{sum:1}} _ _ _ _ 5 6 7 {{sum:1}}
  h{a="m"} 1 2
  s@st -1m -30s
  s 1 2

load_with_nhcb 1m
  nhcb_bucket{le="+Inf"} 1

eval instant at 6m h{a="n"}
  h{a="n"} 6

eval instant at 6m30s timestamp(h{a="n"} smoothed)
  {a="n"} 360

eval instant at 11m30s resets(h{a="m"}[1m] anchored)

eval instant at 0 h{a="n"}
  h{a="n"} {{sum:1}}

eval instant at 1m nhcb
  nhcb {{schema:-53 count:1 buckets:[1]}}

eval instant at 7m sum_over_time(h{a="n"}[3m])
  {a="n"} 18

eval instant at 1m h{a="m"}
  h{a="m"} 2

eval instant at 0 nhcb_bucket
  nhcb_bucket{le="+Inf"} 1

eval instant at 1m sum_over_time(s[2m])
  {} 3

eval instant at 1m sum(increase(s[2m:1m]))
  {} 2

eval instant at 1m resets(s[2m])
  {} 1

eval instant at 1m start_timestamp(s)
  {} 30

eval instant at 1m start_timestamp(s + 0)
"""
    assert not failures(text)


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ("m@st -1mx2\n  m 1 2", "@st line has 3 values but sample line has 2"),
        ("m@st -1m\n  n 1", "@st metric does not match the following sample line metric"),
        ("m 1\n  m@st -1m", "@st line has no following sample line"),
        ("m@st -1m\n  m@st -1m\n  m 1", "@st line has no following sample line"),
    ],
)
def test_start_timestamps_stand_before_as_many_samples(lines: str, problem: str) -> None:
    (found,) = results(f"load 1m\n  {lines}")
    assert (found.outcome, found.got) == (CaseOutcome.FAILED, problem)


@pytest.mark.parametrize("line", ["evil instant at 0 m", "load", "load x\n  m 1", "load 1m\n  m{ 1", "eval instantly"])
def test_a_line_that_is_no_command_fails(line: str) -> None:
    (found,) = results(line)
    assert found.outcome is CaseOutcome.FAILED


def test_the_command_says_where_and_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "a.test"
    file.write_text("eval instant at 0 1\n  1\n\neval instant at 0 1\n  2\n")
    assert run_command(str(file)) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{file}:4: failed: eval instant at 0 1"
    assert lines[1:3] == ["    expected: the scalar 2", "    got:      1"]
    assert lines[-1] == "1 passed, 1 failed"
    file.write_text("eval instant at 0 1\n  1\n")
    assert run_command(str(file)) == 0
    assert run_command(str(tmp_path / "none.test")) == 1


def run_command(*files: str) -> int:
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers())
    args = parser.parse_args(["promql", *files])
    return int(args.func(args))


@needs_shared("conformance/promql")
@pytest.mark.parametrize("file", sorted((SHARED / "conformance/promql").glob("*.test")), ids=lambda f: f.stem)
def test_prometheus_own_scripts(file: Path) -> None:
    found = results(file.read_text())
    assert found
    assert [r for r in found if r.outcome is not CaseOutcome.PASSED] == []
