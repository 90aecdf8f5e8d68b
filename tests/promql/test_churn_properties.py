"""Series that come and go: a head with a history answers as one that never had another series."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rulepush.errors import EvaluationError
from rulepush.model.floats import format_float
from rulepush.model.labels import METRIC_NAME, Labels
from rulepush.promql import Engine, Query, parse_expr
from rulepush.promql.eval.evaluation import EngineOptions
from rulepush.promql.vectors.values import Vector
from rulepush.storage.demand import Demand
from rulepush.storage.head import SMALL_POOL, Head

QUERIES = [
    "x",
    "rate(x[2m])",
    "sum by (a) (x)",
    "sum without (b) (rate(x[2m]))",
    "count by (c) (sum by (b, c) (x))",
    "topk by (a) (1, x)",
    "limitk(2, x)",
    "x / y",
    "sum by (a) (x) / sum by (a) (y)",
    "x * on (b) group_left (c) y",
    "x * on (b) group_left (__name__) sum by (b, __name__) (y)",
    "x > bool ignoring (c) group_right (b) y",
    "x + on (a, b) fill (0) y",
    "x - ignoring (c) fill_right (1) y",
    "x and on (a) y",
    "x unless y",
    "x or y",
    "x or on (b) y",
    "-x",
    "abs({__name__=~'x|y'})",
    "{__name__=~'x|y'}",
    "histogram_quantile(0.5, h)",
    "histogram_quantile(0.5, sum by (le, a) (h))",
    "label_replace(x, 'd', '$1', 'a', '(.)')",
    "label_replace(x, '__name__', 'z$1', 'a', '(1)')",
    "label_join(x, 'd', '-', 'a', 'b')",
    "count_values('v', x)",
    "sort_by_label(x, 'b')",
    "absent(x)",
    "x == 1 or vector(1)",
    "scalar(x) + y",
]
MINUTE = 60_000
PARSED = [parse_expr(text) for text in QUERIES]
values = st.sampled_from(("1", "2", "3"))
series = st.one_of(
    st.builds(lambda a, b: Labels({METRIC_NAME: "x", "a": a, "b": b}), values, values),
    st.builds(lambda a, b, c: Labels({METRIC_NAME: "y", "a": a, "b": b, "c": c}), values, values, values),
    st.builds(
        lambda a, le: Labels({METRIC_NAME: "h", "a": a, "le": le}),
        values,
        st.sampled_from(("1", "1.0", "2", "+Inf", "", "much")),
    ),
)


def answer(engine: Engine, query: Query, ts: int, head: Head) -> tuple[list[tuple[Labels, str]], object] | str:
    try:
        result = engine.instant(query, ts, head.querier())
    except EvaluationError as e:
        return str(e)
    return [(s.labels, format_float(s.value)) for s in result.samples()], result.annotations


@given(
    st.lists(st.lists(series, unique=True), min_size=3, max_size=8),
    st.lists(st.sampled_from(range(len(QUERIES))), min_size=1, max_size=6, unique=True),
    st.booleans(),
)
@settings(max_examples=300, deadline=None)
def test_what_came_and_went_makes_no_difference(
    rounds: Sequence[Sequence[Labels]], asked: Sequence[int], delayed: bool
) -> None:
    engine = Engine(EngineOptions(delayed_name_removal=delayed))
    queries = [PARSED[i] for i in asked]
    head = Head(Demand.keep_all(5 * MINUTE))
    for minute, present in enumerate(rounds):
        ts = minute * 4 * MINUTE  # a series that is missing twice is gone
        for at in (ts - MINUTE, ts):
            for k, labels in enumerate(present):
                head.append(labels, at, float(k % 3))
        head.truncate(ts)
        fresh = Head(Demand.keep_all(5 * MINUTE))
        for table in head.tables():
            times, numbers, counts = table.columns()
            for row, labels in enumerate(table.labels):
                for column in range(int(counts[row])):
                    fresh.append(labels, int(times[row, column]), float(numbers[row, column]))
        for query in queries:
            assert answer(engine, query, ts, head) == answer(engine, query, ts, fresh), query.text


@pytest.mark.parametrize("text", ["sum by (job) (rate(x[5m]))", "sum by (job) (x) / sum by (job) (y)"])
def test_a_new_series_of_a_group_that_is_known_changes_nothing_after_the_grouping(text: str) -> None:
    head, engine, query = Head(Demand.keep_all(10 * MINUTE)), Engine(), parse_expr(text)

    def index_now() -> object:
        value = engine.instant(query, 0, head.querier()).value
        assert isinstance(value, Vector)
        return value.index

    for name in "xy":
        for i in range(20):
            head.append(Labels({METRIC_NAME: name, "job": str(i % 3), "i": str(i)}), 0, 1.0)
    before = index_now()
    head.append(Labels({METRIC_NAME: "x", "job": "1", "i": "new"}), 0, 1.0)
    assert index_now() is before
    head.append(Labels({METRIC_NAME: "x", "job": "new", "i": "new"}), 0, 1.0)
    head.append(Labels({METRIC_NAME: "y", "job": "new", "i": "new"}), 0, 1.0)
    assert index_now() is not before


def test_a_selection_that_lost_none_of_its_series_keeps_its_index() -> None:
    head = Head(Demand.keep_all(MINUTE))
    wanted = parse_expr('x{status="500"}').selectors()[0].matchers
    for i in range(10):
        for status in ("200", "500"):
            head.append(Labels({METRIC_NAME: "x", "i": str(i), "status": status}), 0, float(i))
    index = head.select(wanted, 0, 0).index
    for i in range(10):
        head.append(Labels({METRIC_NAME: "x", "i": str(i), "status": "500"}), 10 * MINUTE, float(i))
    assert head.truncate(10 * MINUTE) == 10
    selection = head.select(wanted, 0, 10 * MINUTE)
    assert selection.index is index
    assert [labels.get("i") for labels in index.labels] == [str(i) for i in range(10)]
    assert selection.values[:, selection.counts[0] - 1].tolist() == list(range(10))


def test_labels_of_series_that_are_gone_are_given_up() -> None:
    head, engine, each = Head(Demand.keep_all(MINUTE)), Engine(), SMALL_POOL // 8
    query = parse_expr("sum by (i) (x) / on (i) y")
    held = []
    for minute in range(40):
        for i in range(each):
            for name in "xy":
                head.append(Labels({METRIC_NAME: name, "i": f"{minute}/{i}"}), minute * MINUTE, 1.0)
        assert len(engine.instant(query, minute * MINUTE, head.querier()).samples()) == each * min(minute + 1, 3)
        head.truncate(minute * MINUTE)
        held.append(head.derived_bytes)
    assert max(held[20:]) <= max(held[:20])
    before = head.derived_bytes
    head.set_demand(Demand.keep_all(MINUTE))
    assert head.derived_bytes < before
    assert len(engine.instant(query, 39 * MINUTE, head.querier()).samples()) == each * 2
    head.truncate(100 * MINUTE)
    head.set_demand(Demand.keep_all(MINUTE))
    assert (head.derived_bytes, head.label_bytes, head.nbytes) == (0, 0, 0)
