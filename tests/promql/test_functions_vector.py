"""Functions of instant vectors, by scripts; and the algorithms inside of them."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rulepush.promql.functions.math import go_max, go_min
from rulepush.promql.functions.sorting import natural_less
from tests.promql.scripting import failures


def test_label_replace_expands_as_go_does() -> None:
    assert not failures(
        """
        load 1m
          m{src="ab-cd"} 1

        eval instant at 0 label_replace(m, "dst", "${b}x$1_$1$$ $", "src", "(.*)-(?P<b>.*)")
          m{src="ab-cd", dst="cdxab$ $"} 1

        eval instant at 0 label_replace(m, "dst", "${1}_$2$3", "src", "(.*)-(.*)")
          m{src="ab-cd", dst="ab_cd"} 1

        eval instant at 0 label_replace(m, "__name__", "n", "src", ".*")
          n{src="ab-cd"} 1

        eval instant at 0 label_replace(rate(m[1m]), "__name__", "n", "src", ".*")

        eval instant at 0 label_replace(-m, "__name__", "n", "src", ".*")
          n{src="ab-cd"} -1

        eval instant at 0 label_replace(m, "dst", "", "src", "(")
          expect fail msg: invalid regular expression in label_replace(): (

        eval instant at 0 label_replace(m, "", "", "src", "(.*)")
          expect fail regex: ^invalid destination label name in label_replace\\(\\): $
        """
    )


def test_absent_keeps_what_the_selector_fixes() -> None:
    assert not failures(
        """
        load 1m
          up{job="a"} 1 _ _ _ _ _ _ _ 1

        eval instant at 0 absent(down{job="a", env!="b", x=~"y", z=""})
          {job="a"} 1

        eval range from 0 to 7m step 1m absent(up{job="a"} == 1)
          {} _ _ _ _ _ 1 1 1

        eval range from 0 to 7m step 1m absent(up{job="a"})
          {job="a"} _ _ _ _ _ 1 1 1

        eval range from 0 to 3m step 1m absent_over_time(up{job="a"}[90s:30s] offset 5m)
          {} 1 1 1 1

        eval instant at 3m absent_over_time(up{job="a"}[1m])
          {job="a"} 1
        """
    )


def test_clamp_scalar_and_the_rest() -> None:
    assert not failures(
        """
        load 1m
          m{a="1"} -5 0 5 NaN Inf
          m{a="2"} 1  1 1 _   stale

        eval range from 0 to 4m step 1m clamp(m{a="1"}, 2 - time() / 60, 1)
          {a="1"} _ 1 1 NaN 1

        eval range from 0 to 4m step 1m scalar(m)
          {} NaN NaN NaN NaN Inf

        eval range from 0 to 2m step 1m round(m{a="1"} / 3, 0.5)
          {a="1"} -1.5 0 1.5

        eval instant at 0 round(vector(-2.5))
          {} -2

        eval instant at 0 sgn(vector(-0.1))
          {} -1

        eval instant at 1m sort_desc(m)
          expect ordered
          m{a="2"} 1
          m{a="1"} 0

        eval instant at 3m sort(m)
          expect ordered
          m{a="2"} 1
          m{a="1"} NaN

        eval instant at 3m sort_desc(m)
          expect ordered
          m{a="2"} 1
          m{a="1"} NaN

        eval range from 0 to 1m step 1m timestamp(m{a="1"} offset 1m)
          {a="1"} _ 0

        eval instant at 90s timestamp(m{a="1"} + 0)
          {a="1"} 90
        """
    )


def test_native_histogram_functions_ignore_floats() -> None:
    assert not failures(
        """
        load 1m
          m 1

        eval instant at 0 histogram_count(m)

        eval instant at 0 histogram_sum(m) or histogram_avg(m) or histogram_stddev(m) or histogram_stdvar(m)
        """
    )


def test_the_old_name_says_the_new_one() -> None:
    found = failures("eval instant at 0 holt_winters(m[5m], 0.5, 0.5)")
    assert "double_exponential_smoothing" in found[0].got


@pytest.mark.parametrize(
    ("field", "of"),
    [
        ("year", lambda t: t.year),
        ("month", lambda t: t.month),
        ("day_of_month", lambda t: t.day),
        ("day_of_year", lambda t: t.timetuple().tm_yday),
        ("day_of_week", lambda t: t.isoweekday() % 7),
        ("hour", lambda t: t.hour),
        ("minute", lambda t: t.minute),
    ],
)
def test_the_calendar_agrees_with_datetime(field: str, of: object) -> None:
    assert callable(of)
    for seconds in (0, 951_782_399, 951_782_400, 1_709_164_800, 1_709_251_199, 4_102_444_799, -1, -2_208_988_801):
        expected = of(datetime.fromtimestamp(seconds, UTC))
        assert not failures(f"eval instant at 0 {field}(vector({seconds}))\n  {{}} {expected}"), seconds


def test_days_in_month() -> None:
    for text, days in (("2000-02-15", 29), ("1900-02-15", 28), ("2023-12-31", 31), ("2023-04-01", 30)):
        seconds = int(datetime.fromisoformat(text + "T00:00:00+00:00").timestamp())
        assert not failures(f"eval instant at 0 days_in_month(vector({seconds}))\n  {{}} {days}")


special = st.sampled_from((math.nan, math.inf, -math.inf, 0.0, 1.0, -3.5))


@given(special, special)
def test_max_and_min_are_those_of_go(a: float, b: float) -> None:
    def plain(x: float, y: float, top: float) -> float:
        if top in (x, y):
            return top
        if x != x or y != y:
            return math.nan
        return max(x, y) if top > 0 else min(x, y)

    for function, top in ((go_max, math.inf), (go_min, -math.inf)):
        found = float(function(np.array([a]), np.array([b]))[0])
        expected = plain(a, b, top)
        assert found == expected or (found != found and expected != expected)


@pytest.mark.parametrize(
    ("less", "more"), [("4m5", "4m600"), ("1.2.3", "1.11.3"), ("2", "10"), ("a", "b"), ("a1", "a1b"), ("1", "a")]
)
def test_labels_sort_naturally(less: str, more: str) -> None:
    assert natural_less(less, more)
    assert not natural_less(more, less)


@given(st.lists(st.from_regex(re.compile("[a-c0-9]{0,4}"), fullmatch=True), min_size=2, max_size=2, unique=True))
def test_natural_order_is_never_both_ways(pair: list[str]) -> None:
    a, b = pair
    assert not (natural_less(a, b) and natural_less(b, a)) or a.lstrip("0") == b.lstrip("0")
