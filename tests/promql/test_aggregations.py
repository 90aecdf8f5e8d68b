"""Aggregations: against plain references over random groups, and the corners of Prometheus' semantics."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rulepush.errors import EvaluationError
from rulepush.model.index import LabelIndex
from rulepush.model.labels import METRIC_NAME, Labels
from rulepush.promql.vectors.grouping import group
from rulepush.promql.vectors.series_hash import series_hash, xxhash64
from tests.promql.fake_querier import FakeQuerier, instant, labels, load, steps, values

Groups = dict[str, list[float]]
NUMBERS = st.one_of(
    st.floats(-1e6, 1e6).filter(lambda x: x == 0 or abs(x) > 1e-3),
    st.sampled_from((0.0, -0.0, math.inf, -math.inf, math.nan, 1e100, -1e100, 1.7e308)),
)
GROUPS = st.dictionaries(st.sampled_from("abcd"), st.lists(NUMBERS, min_size=1, max_size=12), max_size=4)


def querier_of(groups: Groups) -> FakeQuerier:
    series = {}
    for g, numbers in groups.items():
        for i, number in enumerate(numbers):
            series[Labels({METRIC_NAME: "x", "g": g, "i": f"{i:02}"})] = [(0, number)]
    return FakeQuerier(series)


def neumaier(numbers: list[float]) -> tuple[float, float]:
    """Prometheus' kahansum.Inc, one by one."""
    total, rest = 0.0, 0.0
    for x in numbers:
        t = total + x
        if math.isinf(t):
            rest = 0.0
        elif abs(total) >= abs(x):
            rest += (total - t) + x
        else:
            rest += (x - t) + total
        total = t
    return total, rest


def reference(op: str, numbers: list[float]) -> float:
    real = [x for x in numbers if x == x]
    match op:
        case "sum":
            return sum(neumaier(numbers))
        case "min":
            return min(real, default=math.nan)
        case "max":
            return max(real, default=math.nan)
        case "count":
            return float(len(numbers))
        case "group":
            return 1.0
        case "stdvar":
            return statistics.pvariance(numbers) if all(map(math.isfinite, numbers)) else math.nan
        case "quantile":
            ordered = sorted(numbers, key=lambda x: (x == x, x))
            rank = 0.3 * (len(ordered) - 1)
            low = math.floor(rank)
            high = min(len(ordered) - 1, low + 1)
            return ordered[low] * (1 - (rank - low)) + ordered[high] * (rank - low)
        case _:
            raise AssertionError(op)


def close(a: float, b: float) -> bool:
    return repr(a) == repr(b) or a == b or math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9)


@settings(max_examples=200, deadline=None)
@given(GROUPS, st.sampled_from(("sum", "min", "max", "count", "group", "quantile")))
def test_reductions_agree_with_a_plain_reference(groups: Groups, op: str) -> None:
    text = f"{op} by (g) ({'0.3, ' if op == 'quantile' else ''}x)"
    got = values(text, 0, querier_of(groups))
    assert got.keys() == {str(labels(g=g)) for g in groups}
    for g, numbers in groups.items():
        assert close(got[str(labels(g=g))], reference(op, numbers)), (g, numbers)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from("ab"), st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=12)))
def test_variance_agrees_with_the_statistics_module(groups: Groups) -> None:
    got = values("stdvar by (g) (x)", 0, querier_of(groups))
    for g, numbers in groups.items():
        assert math.isclose(got[str(labels(g=g))], reference("stdvar", numbers), rel_tol=1e-6, abs_tol=1e-3)


def mean(numbers: list[float]) -> float:
    """Prometheus' avg, with its switch to the incremental mean."""
    total, rest, incremental, average = numbers[0], 0.0, False, 0.0
    for n, x in enumerate(numbers[1:], 2):
        if not incremental:
            t, c = step(x, total, rest)
            if not math.isinf(t):
                total, rest = t, c
                continue
            incremental, average, rest = True, total / (n - 1), rest / (n - 1)
        q = (n - 1) / n
        average, rest = step(x / n, q * average, q * rest)
    return average + rest if incremental else total / len(numbers) + rest / len(numbers)


def step(x: float, total: float, rest: float) -> tuple[float, float]:
    t = total + x
    if math.isinf(t):
        return t, 0.0
    return t, rest + ((total - t) + x if abs(total) >= abs(x) else (x - t) + total)


@settings(max_examples=200, deadline=None)
@given(GROUPS)
def test_the_mean_survives_an_overflow_of_the_sum(groups: Groups) -> None:
    got = values("avg by (g) (x)", 0, querier_of(groups))
    for g, numbers in groups.items():
        wanted = mean(numbers)
        assert repr(got[str(labels(g=g))]) == repr(wanted) or math.isclose(got[str(labels(g=g))], wanted, rel_tol=1e-9)


@settings(max_examples=200, deadline=None)
@given(GROUPS, st.integers(1, 5), st.sampled_from(("topk", "bottomk")))
def test_topk_takes_the_first_of_a_sort_with_nan_last(groups: Groups, k: int, op: str) -> None:
    result = [(s.labels.get("g"), s.value) for s in instant(f"{op} by (g) ({k}, x)", 0, querier_of(groups)).samples()]
    found: dict[str, list[float]] = defaultdict(list)
    for g, value in result:
        found[g].append(value)
    sign = -1 if op == "topk" else 1
    for g, numbers in groups.items():
        wanted = sorted(numbers, key=lambda x: (x != x, sign * x if x == x else 0))[:k]
        assert [x + 0 for x in map(repr_zero, found[g])] == pytest.approx(list(map(repr_zero, wanted)), nan_ok=True)
    assert [g for g, _ in result] == sorted((g for g, _ in result), key=list(groups).index)


def repr_zero(x: float) -> float:
    return 0.0 if x == 0 else x


def many() -> FakeQuerier:
    return load(
        (labels("x", g="1", i="a"), "1 5 _"),
        (labels("x", g="1", i="b"), "2 4 _"),
        (labels("x", g="2", i="a"), "3 3 9"),
        step=300_000,
    )


def test_a_group_is_present_while_one_of_its_rows_is() -> None:
    assert steps("count by (g) (x)", 0, 600_000, 300_000, many()) == {
        '{g="1"}': [(0, 2.0), (300_000, 2.0)],
        '{g="2"}': [(0, 1.0), (300_000, 1.0), (600_000, 1.0)],
    }


def test_topk_chooses_at_each_step() -> None:
    assert steps("topk(1, x)", 0, 600_000, 300_000, many()) == {
        'x{g="1", i="a"}': [(300_000, 5.0)],
        'x{g="2", i="a"}': [(0, 3.0), (600_000, 9.0)],
    }


def test_count_values_makes_labels_of_values() -> None:
    querier = load((labels("x", i="a"), "1.5"), (labels("x", i="b"), "1.5"), (labels("x", i="c"), "-Inf"))
    assert values('count_values("v", x)', 0, querier) == {'{v="1.5"}': 2.0, '{v="-Inf"}': 1.0}
    assert values('count_values without (i) ("i", x)', 0, querier) == {"{}": 3.0}
    with pytest.raises(EvaluationError, match=r'invalid label name "a\\xff"'):
        values('count_values("a\\xff", x)', 0, querier)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("topk(NaN, x)", "Parameter value is NaN"),
        ("limit_ratio(NaN, x)", "Ratio value is NaN"),
        ("topk(1e30, x)", "Scalar value 1e+30 overflows int64"),
    ],
)
def test_impossible_parameters(text: str, message: str) -> None:
    with pytest.raises(EvaluationError) as caught:
        values(text, 0, many())
    assert str(caught.value) == message


def test_annotations_say_where() -> None:
    querier = many()
    assert instant("1 + quantile(1.5, x)", 0, querier).annotations.warnings == (
        "PromQL warning: quantile value should be between 0 and 1, got 1.5 (1:14)",
    )
    assert instant("limit_ratio(-1.5, x)", 0, querier).annotations.warnings == (
        "PromQL warning: ratio value should be between -1 and 1, got -1.5, capping to -1 (1:13)",
    )


def test_limit_ratio_and_its_complement_share_all_rows() -> None:
    querier = FakeQuerier({labels("x", i=str(i)): [(0, float(i))] for i in range(200)})
    some, rest = values("limit_ratio(0.3, x)", 0, querier), values("limit_ratio(-0.7, x)", 0, querier)
    assert 30 < len(some) < 90
    assert not some.keys() & rest.keys()
    assert len(some) + len(rest) == 200


def test_the_hash_is_xxhash64() -> None:
    assert xxhash64(b"") == 0xEF46DB3751D8E999
    assert xxhash64(b"a") == 0xD24EC4F1A98C6E5B
    assert xxhash64(b"as") == 0x1C330FB2D66BE179
    assert xxhash64(b"asdf") == 0x415872F599CEA71E
    assert xxhash64(b"Call me Ishmael. Some years ago--never mind how long precisely-") == 0x02A2E85470D6FD96
    assert series_hash(Labels.of(a="b")) != series_hash(Labels.of(a="c"))


def test_groups_of_very_different_sizes_are_laid_out_without_much_padding() -> None:
    sizes = [1] * 500 + [3, 400]
    rows = [labels("x", g=str(g), i=str(i)) for g, size in enumerate(sizes) for i in range(size)]
    grouping = group(LabelIndex(rows), ("g",), False)
    assert sum(b.rows.size for b in grouping.blocks) <= 2 * len(rows)
    seen = sorted(int(r) for b in grouping.blocks for r in b.rows[b.real if b.real is not None else slice(None)].flat)
    assert seen == list(range(len(rows)))
