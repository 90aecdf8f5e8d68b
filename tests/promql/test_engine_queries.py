"""Queries as a whole: what they will read, what is shared between rules, names, annotations, info()."""

from __future__ import annotations

import weakref

import pytest

from rulepush.errors import EvaluationError
from rulepush.histogram.literal import parse_histogram
from rulepush.model.index import LabelIndex
from rulepush.model.labels import METRIC_NAME, Labels
from rulepush.model.matcher import Matcher, MatchOp
from rulepush.model.sample import STALE, Sample
from rulepush.promql import Engine, EngineOptions, SharedResults, parse_expr
from rulepush.promql.vectors.matching import RecentMemo, group_rows
from rulepush.promql.vectors.values import Vector
from rulepush.storage.demand import Demand
from rulepush.storage.head import Head
from rulepush.web.snapshot import Snapshot
from tests.promql.fake_querier import FakeQuerier, instant, labels, load, steps, values

MINUTE = 60_000
DELAYED = EngineOptions(delayed_name_removal=True)


@pytest.mark.parametrize(
    ("text", "reads"),
    [
        ("x > 5", [(300_000, False, None, None)]),
        ("rate(x[5m])", [(300_000, True, "rate", None)]),
        ("rate(x[5m] offset 1h)", [(3_900_000, True, "rate", None)]),
        ("x offset -10m", [(0, False, None, None)]),
        ("x @ 100", [(300_000, False, None, 100_000)]),
        ("rate(x[1m] @ 100 offset 1m)", [(60_000, True, "rate", 40_000)]),
        ("x @ 100 offset -5m", [(300_000, False, None, 400_000)]),
        ("max_over_time(x[10m:] @ 100 offset -1m)", [(900_000, False, "max_over_time", 160_000)]),
        ("max_over_time((x offset -2m)[10m:] @ 100)", [(900_000, False, "max_over_time", 220_000)]),
        ("max_over_time(rate(x[1m])[10m:])", [(660_000, True, "rate", None)]),
        ("max_over_time(x[10m:] offset 5m)", [(1_200_000, False, "max_over_time", None)]),
        ("max_over_time(x[10m:] @ 100)", [(900_000, False, "max_over_time", 100_000)]),
        ("sum(abs(x)) / x", [(300_000, False, "abs", None), (300_000, False, None, None)]),
        ("1 + time()", []),
    ],
)
def test_what_a_query_reads(text: str, reads: list[tuple[int, bool, str | None, int | None]]) -> None:
    uses = parse_expr(text).selectors()
    assert [(u.lookback_ms, u.ranged, u.function, u.since_ms) for u in uses] == reads
    assert all(u.matchers == (Matcher(METRIC_NAME, MatchOp.EQUAL, "x"),) for u in uses)


def test_info_reads_info_metrics_too() -> None:
    first, second = parse_expr('info(x, {__name__=~"a.*", k="v"})').selectors()
    assert first.matchers == (Matcher(METRIC_NAME, MatchOp.EQUAL, "x"),)
    assert second.matchers == (Matcher(METRIC_NAME, MatchOp.REGEX, "a.*"), Matcher("k", MatchOp.EQUAL, "v"))
    assert parse_expr("info(x)").selectors()[1].matchers == (Matcher(METRIC_NAME, MatchOp.EQUAL, "target_info"),)


@pytest.mark.parametrize(
    "text",
    [
        "x @ 3600 offset -5m",
        "max_over_time(x[1m] @ 3600 offset -5m)",
        "max_over_time(x[1m:15s] @ 3600 offset -5m)",
        "max_over_time((x offset -5m)[1m:15s] @ 3600)",
    ],
)
def test_a_rule_still_finds_what_it_reads_after_a_fixed_time(text: str) -> None:
    query = parse_expr(text)
    head, engine = Head(Demand.of(query.selectors())), Engine()
    for ts in range(0, 3 * 3_600_000, 15_000):
        head.append_many([Sample(labels("x"), ts, ts / 1000)])
    found = engine.instant(query, 3 * 3_600_000, head.querier()).samples()
    assert [s.value for s in found] == [3900.0]


def test_rules_share_what_they_have_in_common() -> None:
    querier, shared, engine = load((labels("x", i="a"), "1 2 3")), SharedResults(), Engine()
    first = engine.instant(parse_expr("sum(rate(x[5m])) > 0"), 2 * MINUTE, querier, shared)
    asked = querier.selects
    second = engine.instant(parse_expr("1 + sum(rate(x[5m]))"), 2 * MINUTE, querier, shared)
    assert querier.selects == asked
    assert second.samples()[0].value == 1 + first.samples()[0].value
    # An annotation goes with the shared value, and says where it stands in the other query.
    note = 'PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: "x"'
    assert first.annotations.infos == (f"{note} (1:10)",)
    assert second.annotations.infos == (f"{note} (1:14)",)


def test_what_was_written_meanwhile_is_read_again() -> None:
    querier, shared, engine = load((labels("x"), "1"), (labels("y"), "1")), SharedResults(), Engine()
    for text in ("x + 1", "y + 1"):
        engine.instant(parse_expr(text), 0, querier, shared)
    shared.forget(["x"])
    asked = querier.selects
    engine.instant(parse_expr("y + 1"), 0, querier, shared)
    assert querier.selects == asked
    engine.instant(parse_expr("x + 1"), 0, querier, shared)
    assert querier.selects == asked + 1


def test_subqueries_are_not_confused_with_the_same_text_outside() -> None:
    querier, shared, engine = load((labels("x"), "1 2 3")), SharedResults(), Engine()
    query = parse_expr("sum_over_time((x + 0)[3m:1m]) + (x + 0)")
    assert engine.instant(query, 2 * MINUTE, querier, shared).samples()[0].value == 9.0


def test_names_go_at_once_or_at_the_end() -> None:
    querier = load((labels("a_total", i="1"), "0 60 120"), (labels("b_total", i="1"), "0 60 120"))
    text = 'sum by (__name__) (rate({i="1"}[2m]))'
    with pytest.raises(EvaluationError, match="same labelset"):
        values(text, 2 * MINUTE, querier)
    with pytest.raises(EvaluationError, match="same labelset"):  # two groups, whose names go in the end
        values(text, 2 * MINUTE, querier, DELAYED)
    kept = 'label_replace(rate({i="1"}[2m]), "__name__", "rate:$1", "__name__", "(.+)")'
    assert values(kept, 2 * MINUTE, querier, DELAYED) == {'rate:a_total{i="1"}': 1.0, 'rate:b_total{i="1"}': 1.0}


def test_a_scalar_is_one_sample_without_labels() -> None:
    result = instant("1 + 2", 5_000, load())
    assert result.scalar == 3.0
    assert [(s.labels, s.ts, s.value) for s in result.samples()] == [(Labels(), 5_000, 3.0)]
    assert instant('"a\\nb"', 0, load()).string == "a\nb"
    with pytest.raises(TypeError):
        instant('"a"', 0, load()).samples()


def test_scalars_of_a_range_query_are_a_series() -> None:
    assert steps("time() > bool 1", 0, 2_000, 1_000, load()) == {"{}": [(0, 0.0), (1_000, 0.0), (2_000, 1.0)]}


def test_utf8_names() -> None:
    querier = FakeQuerier({Labels({METRIC_NAME: "nacos.zähler", "a.b": "1"}): [(0, 1.0)]})
    assert values('{"nacos.zähler", "a.b"="1"} + 1', 0, querier) == {'{"a.b"="1"}': 2.0}
    assert values('sum by ("a.b") ({"nacos.zähler"})', 0, querier) == {'{"a.b"="1"}': 1.0}


def test_info_joins_labels_by_instance_and_job() -> None:
    querier = load(
        (labels("x", instance="a", job="j"), "1 1 1"),
        (labels("x", instance="b", job="j"), "2 2 2"),
        (labels("target_info", instance="a", job="j", version="1"), "1 _ _"),
        (labels("target_info", instance="a", job="j", version="2"), "_ _ 1"),
    )
    assert values("info(x)", 0, querier) == {
        'x{instance="a", job="j", version="1"}': 1.0,
        'x{instance="b", job="j"}': 2.0,
    }
    # Of two info series, the one with the newest sample.
    assert values('info(x, {version=~".+"})', 2 * MINUTE, querier) == {'x{instance="a", job="j", version="2"}': 1.0}
    twice = load(
        (labels("x", instance="a", job="j"), "1"),
        (labels("target_info", instance="a", job="j", version="1"), "1"),
        (labels("target_info", instance="a", job="j", version="2"), "1"),
    )
    with pytest.raises(EvaluationError, match="found duplicate series for info metric"):
        values("info(x)", 0, twice)


def test_only_info_series_with_an_instance_and_a_job_of_the_argument_can_be_at_fault() -> None:
    """As Prometheus' fetchInfoSeries asks: each identifying label on its own, for the values that the argument has."""
    x, other = labels("x", instance="a", job="j"), labels("x", instance="b", job="k")
    twice = [labels("target_info", instance="a", job="k", version=version) for version in "12"]
    querier = load((x, "1 1"), *((series, "1 1") for series in twice))
    assert values("info(x)", 0, querier) == {'x{instance="a", job="j"}': 1.0}
    querier = load((x, "1 1"), (other, "_ 1"), *((series, "1 1") for series in twice))
    assert values("info(x)", 0, querier) == {'x{instance="a", job="j"}': 1.0}
    with pytest.raises(EvaluationError, match="found duplicate series for info metric"):
        steps("info(x)", 0, MINUTE, MINUTE, querier)  # the range has a series of job k


def test_an_info_series_without_a_label_that_a_series_has_is_not_asked_for() -> None:
    querier = load(
        (labels("x", instance="a"), "1"),
        (labels("x", instance="b", job="j"), "2"),
        (labels("target_info", instance="a", version="1"), "1"),
    )
    assert values('info(x{job=""})', 0, querier) == {'x{instance="a", version="1"}': 1.0}
    assert values("info(x)", 0, querier) == {'x{instance="a"}': 1.0, 'x{instance="b", job="j"}': 2.0}


def test_an_info_metric_has_no_histograms() -> None:
    head = Head(Demand.keep_all(1 << 40))
    for name in ("x", "y"):
        head.append(labels(name, instance=name, job="j"), 0, 1.0)
    info = labels("target_info", instance="x", job="j")
    head.append_histogram(info, 0, parse_histogram("{{schema:0 count:1 sum:1 buckets:[1]}}"))
    with pytest.raises(EvaluationError, match="this should be an info metric, with float samples: "):
        Engine().instant(parse_expr("info(x)"), 0, head.querier())
    assert [s.labels for s in Engine().instant(parse_expr("info(y)"), 0, head.querier()).samples()] == [
        labels("y", instance="y", job="j")
    ]


@pytest.mark.parametrize(
    ("text", "versions"),
    [
        ("info(x offset 2m)", ["old", "new", "new"]),
        ("info(x @ 120)", ["old", "old", "old"]),
        ("info(x @ end())", ["new", "new", "new"]),
        ("info(last_over_time(x[10m:1m] @ 180))", ["new", "new", "new"]),
        ("info(last_over_time((x offset 1m)[10m:1m] @ 180))", ["old", "old", "old"]),
        ("info(last_over_time(x[5m:1m] offset 2m))", ["old", "new", "new"]),
        ("info(last_over_time((x offset 1m)[5m:1m] offset 1m))", ["old", "new", "new"]),
        ("info(last_over_time(x[30s] @ 120))", ["old", "old", "old"]),
        ("info(sum by (instance, job) (x offset 2m) + 0 * sum by (instance, job) (x))", ["old", "new", "new"]),
    ],
)
def test_info_series_are_read_at_the_time_of_the_argument(text: str, versions: list[str]) -> None:
    head = Head(Demand.keep_all(1 << 40))
    for minute in range(7):
        version = "old" if minute < 3 else "new"
        head.append(labels("x", instance="a", job="j"), minute * MINUTE, float(minute))
        head.append(labels("target_info", instance="a", job="j", version=version), minute * MINUTE, 1.0)
        if minute == 3:
            head.append(labels("target_info", instance="a", job="j", version="old"), minute * MINUTE, STALE)
    query, engine = parse_expr(text), Engine()
    times = [4 * MINUTE, 5 * MINUTE, 6 * MINUTE]
    snapshot = Snapshot(head, query, times[0], engine.options)  # holds what the query says that it will read
    result = engine.range(query, times[0], times[-1], MINUTE, snapshot)
    at = {int(t): s.labels.get("version") for s in result.series() for t in s.times}
    assert [at[t] for t in times] == versions
    once = engine.instant(query, times[0], Snapshot(head, query, times[0], engine.options)).samples()
    assert [sample.labels.get("version") for sample in once] == versions[:1]


def test_end_means_the_end_of_the_query_and_not_its_last_step() -> None:
    querier = load((labels("x"), "0 1 2 3 4 5 6 7"))
    assert steps("x @ end()", 0, 5 * MINUTE, 2 * MINUTE, querier) == {
        "x": [(0, 5.0), (2 * MINUTE, 5.0), (4 * MINUTE, 5.0)]
    }
    assert steps("end()", 0, 5 * MINUTE, 2 * MINUTE, querier)["{}"] == [(i * 2 * MINUTE, 300.0) for i in range(3)]
    assert steps("sum_over_time((x @ end())[2m:1m])", 0, 5 * MINUTE, 5 * MINUTE - 1, querier) == {
        "{}": [(0, 10.0), (5 * MINUTE - 1, 10.0)]
    }


NOT_A_COUNTER = 'PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: "x"'


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("1 + rate(x[5m])", "1:10"),
        ("1 + rate((x[5m]))", "1:11"),
        ("1 + rate(x[5m:1m])", "1:1"),  # as in Prometheus, whose subquery has become a range without a place
        ("1 + rate((x[5m:1m]))", "1:1"),
    ],
)
def test_annotations_name_the_place_that_prometheus_names(text: str, place: str) -> None:
    querier = load((labels("x"), "1 2 3"))
    assert instant(text, 2 * MINUTE, querier).annotations.infos == (f"{NOT_A_COUNTER} ({place})",)


def test_an_annotation_about_a_subquery_has_no_place_in_another_query_either() -> None:
    querier, shared, engine = load((labels("x"), "1 2 3")), SharedResults(), Engine()
    for text in ("rate(x[5m:1m])", "100 + rate(x[5m:1m])"):
        found = engine.instant(parse_expr(text), 2 * MINUTE, querier, shared)
        assert found.annotations.infos == (f"{NOT_A_COUNTER} (1:1)",)


def test_what_start_timestamp_is_asked_of_may_have_something_to_say() -> None:
    result = instant('start_timestamp(histogram_quantile(2, x{le!="1"}))', 0, load((labels("x"), "1")))
    assert not result.samples()
    assert len(result.annotations.warnings) == 2


def test_queries_that_differ_do_not_pile_up_on_an_index_that_stays() -> None:
    querier = load(*((labels(name, i=str(i)), "1") for name in "xy" for i in range(8)))
    vector = instant("x", 0, querier).value
    assert isinstance(vector, Vector)
    for i in range(200):
        values(f"sum by (l{i}) (x)", 0, querier)
        values(f"x + on (i, l{i}) label_replace(y, 'l', 'v{i}', '', '')", 0, querier)
    assert 0 < len(vector.index.memo("group", RecentMemo).entries) <= 32
    source = vector.index.source
    assert 0 < len(list(source.columns())) <= 128
    before = source.nbytes + source.pool.nbytes
    for i in range(200):
        values(f"sum by (m{i}) (x)", 0, querier)
    assert source.nbytes + source.pool.nbytes <= before


@pytest.mark.parametrize("text", ["old / new", "new / old", "old or new", "new and old", "old / on (i) new"])
def test_an_index_that_stays_does_not_keep_those_that_came_and_went_beside_it(text: str) -> None:
    head = Head(Demand.keep_all(1 << 40))
    engine, query, gone = Engine(), parse_expr(text), []
    head.append(labels("old", i="0"), 0, 1.0)
    engine.instant(parse_expr("old"), 0, head.querier())
    for minute in range(5):
        head.append(labels("new", i=str(minute)), 0, 1.0)
        engine.instant(query, 0, head.querier()).samples()
        gone.append(weakref.ref(head.select(parse_expr("new").selectors()[0].matchers, 0, 0).index))
    assert [ref() is None for ref in gone] == [True] * 4 + [False]


def test_what_two_indexes_have_in_common_is_found_again_whichever_is_the_newer() -> None:
    older = LabelIndex([Labels.of(a="1")])
    newer = LabelIndex([Labels.of(a="1"), Labels.of(a="2")])
    for left, right in ((older, newer), (newer, older), (older, older)):
        first = group_rows(left, right, True, ("a",))
        assert group_rows(left, right, True, ("a",)) is first
        assert (len(first.left), len(first.right)) == (len(left), len(right))


def test_with_type_labels_the_type_says_what_is_a_counter() -> None:
    querier = load(
        (labels("a", __type__="counter", i="a"), "1 2 3"),
        (labels("b_total", __type__="gauge", i="b"), "1 2 3"),
        (labels("c_total", i="c"), "1 2 3"),
        (labels("d", __type__="histogram", i="d"), "1 2 3"),
    )
    engine = Engine(EngineOptions(type_and_unit_labels=True))
    found = engine.instant(parse_expr('rate({__name__=~".+"}[5m])'), 2 * MINUTE, querier)
    text = 'PromQL info: metric might not be a counter, __type__ label is not set to "counter" or "histogram", got'
    assert sorted(found.annotations.infos) == [f'{text} "": "c_total" (1:6)', f'{text} "gauge": "b_total" (1:6)']
