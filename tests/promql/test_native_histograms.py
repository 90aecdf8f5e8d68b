# ruff: noqa: E501 -- lines of scripts cannot be broken
"""Native histograms in expressions. Prometheus' own scripts say more; these stay with the project."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from rulepush.errors import EvaluationError, QueryLimitError
from rulepush.histogram.boxes import box_mask
from rulepush.histogram.buckets import Buckets
from rulepush.histogram.histogram import FloatHistogram
from rulepush.histogram.sample import HistogramSample
from rulepush.model.labels import Labels
from rulepush.promql import Engine, EngineOptions, parse_expr
from rulepush.promql.eval.evaluation import QuerySamples, SharedResults
from rulepush.promql.testscript import CaseOutcome
from rulepush.storage.demand import Demand
from rulepush.storage.head import Head
from tests.promql.scripting import failures, results

MINUTE = 60_000
DATA = """
load 1m
  h{k="a"} {{count:2 sum:3 offset:1 buckets:[2]}}+{{count:1 sum:1.5 offset:1 buckets:[1]}}x8
  h{k="b"} {{count:4 sum:6 offset:1 buckets:[4]}}+{{count:4 sum:6 offset:1 buckets:[4]}}x1 {{count:1 sum:1 offset:1 buckets:[1]}}x6
  c{k="a"} {{schema:-53 count:3 sum:4 custom_values:[1 5] buckets:[1 2]}}x8
  g{k="a"} {{count:2 sum:3 counter_reset_hint:gauge offset:1 buckets:[2]}} {{count:5 sum:6 counter_reset_hint:gauge offset:1 buckets:[5]}}x7
  x{k="a"} 1 {{count:2 sum:3 offset:1 buckets:[2]}} 4 {{count:6 sum:7 offset:1 buckets:[6]}} 5 5 5 5 5
  f{k="a"} 2x8
  f{k="b"} 10x8

"""
CASES = {
    "selectors, and what keeps samples as they are": """
eval range from 0 to 2m step 1m h{k="b"}
  h{k="b"} {{count:4 sum:6 offset:1 buckets:[4]}} {{count:8 sum:12 offset:1 buckets:[8]}} {{count:1 sum:1 offset:1 buckets:[1]}}

eval range from 0 to 3m step 1m x
  x{k="a"} 1 {{count:2 sum:3 offset:1 buckets:[2]}} 4 {{count:6 sum:7 offset:1 buckets:[6]}}

eval instant at 1m label_replace(h, "n", "$1$1", "k", "(.)")
  h{k="a", n="aa"} {{count:3 sum:4.5 offset:1 buckets:[3]}}
  h{k="b", n="bb"} {{count:8 sum:12 offset:1 buckets:[8]}}

eval instant at 1m last_over_time(x[5m])
  x{k="a"} {{count:2 sum:3 offset:1 buckets:[2]}}

eval instant at 2m last_over_time(x[5m])
  x{k="a"} 4

eval instant at 1m timestamp(h{k="a"} offset 30s)
  {k="a"} 0

eval instant at 1m limitk(1, h)
  h{k="a"} {{count:3 sum:4.5 offset:1 buckets:[3]}}

eval instant at 1m sort_by_label_desc(h, "k")
  expect ordered
  h{k="b"} {{count:8 sum:12 offset:1 buckets:[8]}}
  h{k="a"} {{count:3 sum:4.5 offset:1 buckets:[3]}}
""",
    "what takes only floats leaves them out": """
eval instant at 1m abs({k="a", __name__=~"f|h"})
  {k="a"} 2

eval instant at 1m sort({k="a", __name__=~"f|h"})
  f{k="a"} 2

eval instant at 1m hour(h)

eval instant at 1m clamp(h, 0, 1)

eval instant at 1m scalar(h{k="a"})
  NaN

eval instant at 1m min_over_time(h[5m])
  expect no_info

eval instant at 3m max_over_time(x[5m])
  expect info msg: PromQL info: ignored histograms in a range containing both floats and histograms for metric name "x" (1:15)
  {k="a"} 4

eval instant at 3m absent(h)

eval instant at 3m absent_over_time(h{k="c"}[1m])
  {k="c"} 1
""",
    "operators": """
eval instant at 1m h * on (k) f
  {k="a"} {{count:6 sum:9 offset:1 buckets:[6]}}
  {k="b"} {{count:80 sum:120 offset:1 buckets:[80]}}

eval instant at 1m 2 * h{k="a"} / 4
  {k="a"} {{count:1.5 sum:2.25 offset:1 buckets:[1.5]}}

eval instant at 1m -h{k="a"}
  {k="a"} {{count:-3 sum:-4.5 counter_reset_hint:gauge offset:1 buckets:[-3]}}

eval instant at 1m h + h
  {k="a"} {{count:6 sum:9 offset:1 buckets:[6]}}
  {k="b"} {{count:16 sum:24 offset:1 buckets:[16]}}

eval range from 0 to 2m step 1m h - on (k) h offset 1m
  {k="a"} _ {{count:1 sum:1.5 counter_reset_hint:gauge offset:1 buckets:[1]}}x1
  {k="b"} _ {{count:4 sum:6 counter_reset_hint:gauge offset:1 buckets:[4]}} {{count:-7 sum:-11 counter_reset_hint:gauge offset:1 buckets:[-7]}}

eval instant at 1m h + 1
  expect info msg: PromQL info: incompatible sample types encountered for binary operator "+": histogram + float (1:1)

eval instant at 1m 1 / h
  expect info msg: PromQL info: incompatible sample types encountered for binary operator "/": float / histogram (1:1)

eval instant at 1m h > bool h
  expect info msg: PromQL info: incompatible sample types encountered for binary operator ">": histogram > histogram (1:1)

eval instant at 1m h == h
  h{k="a"} {{count:3 sum:4.5 offset:1 buckets:[3]}}
  h{k="b"} {{count:8 sum:12 offset:1 buckets:[8]}}

eval instant at 3m h != bool on (k) (h offset 1m)
  {k="a"} 1
  {k="b"} 0

eval instant at 1m h{k="a"} + on (k) c
  expect warn msg: PromQL warning: incompatible bucket layout encountered for binary operator + (1:1)

eval instant at 1m h{k="a"} </ 2
  h{k="a"} {{count:3 sum:4.5 offset:1 buckets:[3]}}

eval instant at 1m f </ 2
  expect info regex: incompatible sample types encountered for binary operator "</": float </ float

eval instant at 1m c{k="a"} >/ 5
  c{k="a"} {{schema:-53 custom_values:[1 5]}}
""",
    "sets": """
eval instant at 1m h{k="a"} or on (k) f
  h{k="a"} {{count:3 sum:4.5 offset:1 buckets:[3]}}
  f{k="b"} 10

eval instant at 1m h and on (k) f{k="b"}
  h{k="b"} {{count:8 sum:12 offset:1 buckets:[8]}}

eval instant at 1m f unless on (k) h{k="a"}
  f{k="b"} 10
""",
    "aggregations": """
eval instant at 1m sum(h)
  {} {{count:11 sum:16.5 offset:1 buckets:[11]}}

eval instant at 1m avg(h)
  {} {{count:5.5 sum:8.25 offset:1 buckets:[5.5]}}

eval range from 0 to 2m step 1m sum by (k) ({__name__=~"h|x", k="a"})
  expect warn msg: PromQL warning: encountered a mix of histograms and floats for aggregation (1:13)
  {k="a"} _ {{count:5 sum:7.5 offset:1 buckets:[5]}} _

eval instant at 1m count by (__name__) ({k="a"})
  {__name__="h"} 1
  {__name__="c"} 1
  {__name__="g"} 1
  {__name__="x"} 1
  {__name__="f"} 1

eval instant at 1m max({__name__=~"h|f"})
  expect info msg: PromQL info: ignored histogram in max aggregation (1:5)
  {} 10

eval instant at 1m topk(3, {__name__=~"h|f"})
  expect info msg: PromQL info: ignored histogram in topk aggregation (1:1)
  f{k="b"} 10
  f{k="a"} 2

eval instant at 1m stddev(h)
  expect info msg: PromQL info: ignored histogram in stddev aggregation (1:8)

eval instant at 1m sum({__name__=~"h|c", k="a"})
  expect warn msg: PromQL warning: vector contains a mix of histograms with exponential and custom buckets schemas for metric name "h" (1:5)

eval instant at 1m count_values("v", h{k="a"})
  {v="{count:3, sum:4.5, (1,2]:3}"} 1
""",
    "ranges": """
eval instant at 5m increase(h{k="a"}[4m])
  {k="a"} {{count:4 sum:6 counter_reset_hint:gauge offset:1 buckets:[4]}}

eval range from 4m to 6m step 1m histogram_count(increase(h{k="a"}[4m]))
  {k="a"} 4 4 4

eval instant at 2m histogram_count(increase(h{k="b"}[3m]))
  {k="b"} 7.5

eval instant at 5m rate(f[4m]) * 0 + on (k) histogram_count(rate(h{k="a"}[4m]))
  {k="a"} 0.016666666666666666

eval instant at 5m irate(h{k="a"}[4m])
  {k="a"} {{count:0.016666666666666666 sum:0.025 counter_reset_hint:gauge offset:1 buckets:[0.016666666666666666]}}

eval instant at 5m delta(h{k="a"}[4m])
  expect warn msg: PromQL warning: this native histogram metric is not a gauge: "h" (1:7)
  {k="a"} {{count:4 sum:6 counter_reset_hint:gauge offset:1 buckets:[4]}}

eval instant at 5m rate(g[2m])
  expect warn msg: PromQL warning: this native histogram metric is not a counter: "g" (1:6)
  {k="a"} {{counter_reset_hint:gauge}}

eval instant at 3m rate(x[4m])
  expect warn msg: PromQL warning: encountered a mix of histograms and floats for metric name "x" (1:6)

eval instant at 2m sum_over_time(h{k="a"}[3m])
  {k="a"} {{count:9 sum:13.5 offset:1 buckets:[9]}}

eval instant at 2m avg_over_time(h{k="a"}[3m])
  {k="a"} {{count:3 sum:4.5 offset:1 buckets:[3]}}

eval instant at 3m count_over_time(x[4m])
  {k="a"} 4

eval instant at 3m changes(x[4m])
  {k="a"} 3

eval instant at 3m resets(h{k="b"}[4m])
  {k="b"} 1

eval instant at 4m sum_over_time(sum(h)[2m:1m])
  {} {{count:13 sum:18.5 offset:1 buckets:[13]}}
""",
    "histogram functions": """
eval instant at 1m histogram_quantile(0.5, h)
  {k="a"} 1.4142135623730951
  {k="b"} 1.4142135623730951

eval instant at 1m histogram_quantiles(h{k="a"}, "q", 0, 0.5)
  {k="a", q="0.0"} 1
  {k="a", q="0.5"} 1.4142135623730951

eval instant at 1m histogram_fraction(0, 2, {__name__=~"h|f", k="a"})
  expect warn msg: PromQL warning: bucket label "le" is missing or has a malformed value of "" for metric name "f" (1:26)
  {k="a"} 1

eval instant at 1m histogram_avg(h)
  {k="a"} 1.5
  {k="b"} 1.5

eval range from 0 to 3m step 1m histogram_sum(x)
  {k="a"} _ 3 _ 7

eval instant at 1m histogram_stddev(h{k="a"})
  {k="a"} 0.08578643762690485

eval instant at 1m histogram_count(f)
""",
}


@pytest.mark.parametrize("name", CASES)
def test_answers(name: str) -> None:
    found = results(DATA + CASES[name])
    assert [(r.header, r.expected, r.got) for r in found if r.outcome is not CaseOutcome.PASSED] == []
    assert len(found) == CASES[name].count("eval ")


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ('h + h\n  {k="a"} {{count:6 ', 'h + h\n  {k="a"} {{count:7 '),
        ("max aggregation (1:5)", "min aggregation (1:5)"),
        ('x{k="a"} 1 {{count:2 ', 'x{k="a"} {{count:2 '),
        ("counter_reset_hint:gauge offset:1 buckets:[-3]", "counter_reset_hint:not_reset offset:1 buckets:[-3]"),
    ],
)
def test_a_wrong_histogram_is_a_failure(right: str, wrong: str) -> None:
    text = "".join(CASES.values())
    assert text.count(right) == 1
    assert len(failures(DATA + text.replace(right, wrong))) == 1


def head(*series: tuple[str, str, Sequence[float | FloatHistogram]]) -> Head:
    made = Head(Demand.keep_all(1 << 50))
    for name, k, samples in series:
        for i, sample in enumerate(samples):
            labels = Labels.of(__name__=name, k=k)
            if isinstance(sample, FloatHistogram):
                made.append_histogram(labels, i * MINUTE, sample)
            else:
                made.append(labels, i * MINUTE, sample)
    return made


def hist(*counts: float) -> FloatHistogram:
    return FloatHistogram(0, sum(counts), 0.0, positive=Buckets.at(1, list(counts)))


def test_names_are_removed_late_from_histograms_too() -> None:
    data = head(("h", "a", [hist(1)]))
    for delayed in (False, True):
        engine = Engine(EngineOptions(delayed_name_removal=delayed))
        (found,) = engine.instant(parse_expr("h * 2"), 0, data).samples()
        assert (found.labels.as_dict(), type(found)) == ({"k": "a"}, HistogramSample)
        with pytest.raises(EvaluationError, match="same labelset"):
            engine.instant(
                parse_expr('label_replace({k="a"} * 2, "k", "", "", "")'),
                0,
                head(("h", "a", [hist(1)]), ("i", "a", [hist(1)])),
            ).samples()


def test_results_that_queries_share_hold_their_histograms() -> None:
    data = head(("h", "a", [hist(1), hist(3)]), ("h", "b", [hist(2), hist(4)]))
    engine, shared = Engine(), SharedResults()
    first = engine.instant(parse_expr("sum(h) * 2"), MINUTE, data, shared).samples()
    second = engine.instant(parse_expr("histogram_count(sum(h))"), MINUTE, data, shared).samples()
    again = engine.instant(parse_expr("sum(h)"), MINUTE, data, shared).samples()
    assert [h.histogram.count for h in first if isinstance(h, HistogramSample)] == [14]
    assert [s.value for s in second] == [7]
    assert [h.histogram.count for h in again if isinstance(h, HistogramSample)] == [7]


def test_a_result_outlives_the_samples_it_was_made_of() -> None:
    data = Head(Demand.keep_all(MINUTE))
    labels = Labels.of(__name__="h")
    data.append_histogram(labels, 0, hist(1))
    result = Engine().instant(parse_expr("h"), 0, data)
    for i in range(1, 1_000):
        data.append_histogram(labels, i * 1_000, hist(float(i)))
    (found,) = result.samples()
    assert isinstance(found, HistogramSample)
    assert found.histogram.count == 1


def test_an_evaluation_of_floats_meets_no_box() -> None:
    data = head(("f", "a", [1.0, 2.0]), ("h", "a", [hist(1), hist(2)]))
    result = Engine().instant(parse_expr("sum(rate(f[5m]))"), MINUTE, data)
    (found,) = result.samples()
    assert type(found) is not HistogramSample
    (series,) = Engine().range(parse_expr("f"), 0, MINUTE, MINUTE, data).series()
    assert not series.histograms
    assert not box_mask(series.values).any()
    assert series.floats is series


def test_floats_of_a_mixed_series() -> None:
    data = head(("x", "a", [1.0, hist(2), 3.0]))
    (series,) = Engine().range(parse_expr("x"), 0, 2 * MINUTE, MINUTE, data).series()
    assert series.histograms is not None
    assert list(series.histograms) == [1]
    assert series.floats.values.tolist() == [1.0, 3.0]
    assert np.array_equal(series.floats.times, [0, 2 * MINUTE])


def test_many_series_and_steps_agree_with_one_by_one() -> None:
    series = [("h", str(i), [hist(float(i + j), 1.0) for j in range(30)]) for i in range(80)]
    floats = [("h", f"f{i}", [float(j) for j in range(30)]) for i in range(80)]
    data = head(*series, *floats)
    engine, query = Engine(), parse_expr("sum by (k) (increase(h[5m]))")
    ranged = {str(s.labels): s for s in engine.range(query, 5 * MINUTE, 29 * MINUTE, MINUTE, data).series()}
    for minute in (5, 17, 29):
        for found in engine.instant(query, minute * MINUTE, data).samples():
            same = ranged[str(found.labels)].sample(minute - 5)
            assert type(same) is type(found)
            assert same.value == found.value
            if isinstance(found, HistogramSample) and isinstance(same, HistogramSample):
                assert found.histogram == same.histogram


def test_computed_histograms_count_as_samples_held() -> None:
    data = head(("h", "a", [hist(*([1.0] * 100)) for _ in range(30)]))
    query = parse_expr("h * 2")
    limited = Engine(EngineOptions(max_samples=2_000))
    assert limited.range(query, 0, 10 * MINUTE, MINUTE, data).series()
    with pytest.raises(QueryLimitError, match="too many samples"):
        limited.range(query, 0, 29 * MINUTE, MINUTE, data)
    shared = SharedResults()
    for _ in range(30):  # each query has its own limit
        limited.instant(query, 0, data, shared)
        shared.forget(["h"])


def test_statistics_count_histograms_by_their_size() -> None:
    one = hist(1.0, 1.0)  # (168 bytes + 8 of a span and 16 of buckets) / 16
    data = head(("h", "a", [one, one, 5.0]))
    assert one.size == 12
    for expr, counted in (("h", [12, 12, 1]), ("count_over_time(h[90s])", [12, 24, 13]), ("timestamp(h)", [1, 1, 1])):
        samples = QuerySamples()
        Engine().range(parse_expr(expr), 0, 2 * MINUTE, MINUTE, data, samples)
        assert samples.per_step.tolist() == counted
    samples = QuerySamples()
    Engine().instant(parse_expr("h[5m]"), 2 * MINUTE, data, None, samples)
    assert samples.per_step.tolist() == [25]
