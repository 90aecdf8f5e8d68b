"""Binary operators: matching, filling, sets, and what is an error."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rulepush.errors import EvaluationError
from rulepush.model.labels import METRIC_NAME, Labels
from rulepush.promql import Engine, EngineOptions, parse_expr
from tests.promql.fake_querier import FakeQuerier, labels, load, steps, values

DELAYED = EngineOptions(delayed_name_removal=True)


def data() -> FakeQuerier:
    return load(
        (labels("cpu", host="a", mode="idle"), "1 2 3"),
        (labels("cpu", host="a", mode="user"), "4 5 6"),
        (labels("cpu", host="b", mode="idle"), "7 8 9"),
        (labels("mem", host="a"), "10 20 30"),
        (labels("mem", host="c"), "40 50 60"),
    )


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("mem + 1", {'{host="a"}': 31.0, '{host="c"}': 61.0}),
        ("1 - mem", {'{host="a"}': -29.0, '{host="c"}': -59.0}),
        ("mem > 30", {'mem{host="c"}': 60.0}),
        ("30 < mem", {'mem{host="c"}': 60.0}),
        ("mem > bool 30", {'{host="a"}': 0.0, '{host="c"}': 1.0}),
        ("-7 % mem", {'{host="a"}': -7.0, '{host="c"}': -7.0}),
        ("cpu * on(host) group_left mem", {'{host="a", mode="idle"}': 90.0, '{host="a", mode="user"}': 180.0}),
        ("mem / on(host) group_right cpu", {'{host="a", mode="idle"}': 10.0, '{host="a", mode="user"}': 5.0}),
        ("mem > on(host) group_right cpu", {'cpu{host="a", mode="idle"}': 30.0, 'cpu{host="a", mode="user"}': 30.0}),
        ('cpu{mode="idle"} < on(host) mem', {'{host="a"}': 3.0}),
        ('cpu{mode="idle"} < ignoring(mode) mem', {'cpu{host="a"}': 3.0}),
        ('mem * on() group_right vector(1)', {}),
        ("cpu and on(host) mem", {'cpu{host="a", mode="idle"}': 3.0, 'cpu{host="a", mode="user"}': 6.0}),
        ("cpu unless on(host) mem", {'cpu{host="b", mode="idle"}': 9.0}),
        ("mem or on(host) cpu", {'mem{host="a"}': 30.0, 'mem{host="c"}': 60.0, 'cpu{host="b", mode="idle"}': 9.0}),
        ("mem and on() nothing", {}),
        ("mem unless nothing", {'mem{host="a"}': 30.0, 'mem{host="c"}': 60.0}),
        ("nothing or mem > 40", {'mem{host="c"}': 60.0}),
        ('mem + on(host) fill(1) cpu{mode="idle"}', {'{host="a"}': 33.0, '{host="b"}': 10.0, '{host="c"}': 61.0}),
        ('mem - on(host) fill_left(1) cpu{mode="idle"}', {'{host="a"}': 27.0, '{host="b"}': -8.0}),
        ("mem + on(host) fill(5) nothing", {'{host="a"}': 35.0, '{host="c"}': 65.0}),
        ("nothing + on(host) fill(5) mem", {'{host="a"}': 35.0, '{host="c"}': 65.0}),
    ],
)  # fmt: skip
def test_operators(text: str, wanted: dict[str, float]) -> None:
    if text.startswith("mem * on()"):
        with pytest.raises(EvaluationError, match="on the left hand-side of the operation"):
            values(text, 120_000, data())
        return
    assert values(text, 120_000, data()) == wanted


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "mem * on(host) cpu",
            'found duplicate series for the match group {host="a"} on the right hand-side of the operation: '
            '[{__name__="cpu", host="a", mode="idle"}, {__name__="cpu", host="a", mode="user"}];'
            "many-to-many matching not allowed: matching labels must be unique on one side",
        ),
        (
            "cpu * on(host) mem",
            "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)",
        ),
        (
            "cpu * on(host) group_left(mode) mem",
            "multiple matches for labels: grouping labels must ensure unique matches",
        ),
        ('-{host="a"}', "vector cannot contain metrics with the same labelset"),
    ],
)
def test_ambiguous_matches_are_errors(text: str, message: str) -> None:
    querier = load(*[(ls, "1") for ls in data().series], (labels("disk", host="a"), "1"))
    with pytest.raises(EvaluationError) as caught:
        values(text, 0, querier)
    assert str(caught.value) == message


def test_the_two_series_of_an_ambiguous_match_are_named_in_one_order() -> None:
    message = r'\[\{__name__="m", i="a"\}, \{__name__="m", i="b"\}\]'
    for first, second in (("a", "b"), ("b", "a")):
        querier = load((labels("m", i=first), "1"), (labels("m", i=second), "1"), (labels("x"), "1"))
        with pytest.raises(EvaluationError, match=message):
            values("x + on() m", 0, querier)


@pytest.mark.parametrize("options", [EngineOptions(), DELAYED])
@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("l + fill(0) r", {"a": [1, 200, 3, 400], "b": [100, 20, 300, None]}),
        ("l + fill_left(0) r", {"a": [None, 200, None, 400], "b": [100, None, 300, None]}),
        ("l + fill_right(0) r", {"a": [1, None, 3, None], "b": [None, 20, None, None]}),
        ("l + on(k) group_left fill_left(0) r", {"a": [None, 200, None, 400], "b": [100, None, 300, None]}),
        ("l + on(k) group_right fill_right(7) r", {"a": [None, 207, None, 407], "b": [107, None, 307, None]}),
        ("l > bool fill(150) r", {"a": [0, 0, 0, 0], "b": [1, 0, 0, None]}),
        ("(l + 0) or (r + 0)", {"a": [1, 200, 3, 400], "b": [100, 20, 300, None]}),
    ],
)
def test_sides_that_are_there_at_different_steps_make_one_series(
    text: str, wanted: dict[str, list[float | None]], options: EngineOptions
) -> None:
    querier = load(
        (labels("l", k="a"), "1 _ 3 _"),
        (labels("l", k="b"), "_ 20 _ _"),
        (labels("r", k="a"), "_ 200 _ 400"),
        (labels("r", k="b"), "100 _ 300 _"),
    )
    engine = Engine(EngineOptions(lookback_delta_ms=1_000, delayed_name_removal=options.delayed_name_removal))
    found = engine.range(parse_expr(text), 0, 180_000, 60_000, querier).series()
    times = [0, 60_000, 120_000, 180_000]
    assert [(s.labels.get("k"), list(zip(s.times.tolist(), s.values.tolist(), strict=True))) for s in found] == [
        (k, [(t, v) for t, v in zip(times, row, strict=True) if v is not None]) for k, row in wanted.items()
    ]


def test_series_that_take_turns_in_a_match_group_are_no_error() -> None:
    querier = load(
        (labels("phase", pod="x", phase="Pending"), "1 1 0 0"),
        (labels("phase", pod="x", phase="Running"), "0 0 1 1"),
        (labels("pod", pod="x"), "5 6 7 8"),
    )
    wanted = [(0, 5.0), (60_000, 6.0), (120_000, 7.0), (180_000, 8.0)]
    assert steps("pod * on(pod) (phase == 1)", 0, 180_000, 60_000, querier) == {'{pod="x"}': wanted}
    assert values("pod * on(pod) (phase == 1)", 120_000, querier) == {'{pod="x"}': 7.0}
    with pytest.raises(EvaluationError, match="duplicate series"):
        steps("pod * on(pod) phase", 0, 180_000, 60_000, querier)


def test_a_match_is_computed_once_for_an_unchanged_set_of_series() -> None:
    querier = data()
    engine, query = Engine(), parse_expr("cpu * on(host) group_left mem > 100")
    first = engine.instant(query, 120_000, querier).value
    second = engine.instant(query, 60_000, querier).value
    assert first.index is second.index  # type: ignore[union-attr]


def test_names_that_go_late_do_not_clash_meanwhile() -> None:
    querier = load((labels("a", x="1"), "1 _"), (labels("b", x="1"), "2 3"))
    assert values("-a or -b", 0, querier, DELAYED) == {'{x="1"}': -1.0}
    with pytest.raises(EvaluationError, match="same labelset"):
        values('-{x="1"}', 0, querier, DELAYED)
    result = Engine(DELAYED).range(parse_expr("-a or -b"), 0, 600_000, 600_000, querier)
    assert [(str(s.labels), s.values.tolist()) for s in result.series()] == [('{x="1"}', [-1.0])]


Side = dict[tuple[str, str], float]


@st.composite
def sides(draw: st.DrawFn) -> Side:
    keys = draw(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz")), unique=True, max_size=6))
    return {key: float(draw(st.integers(-3, 3))) for key in keys}


def querier_of(left: Side, right: Side) -> FakeQuerier:
    series = {}
    for name, side in (("l", left), ("r", right)):
        for (g, i), value in side.items():
            series[Labels({METRIC_NAME: name, "g": g, "i": i})] = [(0, value)]
    return FakeQuerier(series)


@settings(max_examples=150, deadline=None)
@given(sides(), sides(), st.sampled_from(("+", "/", "<", ">=", "== bool")))
def test_one_to_one_agrees_with_a_plain_join(left: Side, right: Side, op: str) -> None:
    wanted: dict[str, float] = {}
    for (g, i), a in left.items():
        if (g, i) in right:
            b = right[g, i]
            name = "" if op in ("+", "/", "== bool") else "l"
            key = str(labels(name, g=g, i=i))
            match op:
                case "+":
                    wanted[key] = a + b
                case "/":
                    wanted[key] = a / b if b else math.nan if not a else math.copysign(math.inf, a)
                case "== bool":
                    wanted[key] = float(a == b)
                case _:
                    if a < b if op == "<" else a >= b:
                        wanted[key] = a
    assert repr(sorted(values(f"l {op} r", 0, querier_of(left, right)).items())) == repr(sorted(wanted.items()))


@settings(max_examples=150, deadline=None)
@given(sides(), sides())
def test_group_left_agrees_with_a_plain_join(left: Side, right: Side) -> None:
    querier = querier_of(left, right)
    twice = bool(left) and any(n > 1 for n in Counter(g for g, _ in right).values())  # an empty side ends it
    if twice and left:
        with pytest.raises(EvaluationError, match="found duplicate series"):
            values("l + on(g) group_left r", 0, querier)
        return
    ones = {g: value for (g, _), value in right.items()}
    wanted = {str(labels(g=g, i=i)): a + ones[g] for (g, i), a in left.items() if g in ones}
    assert values("l + on(g) group_left r", 0, querier) == wanted


@settings(max_examples=150, deadline=None)
@given(sides(), sides())
def test_sets_agree_with_a_plain_join(left: Side, right: Side) -> None:
    querier = querier_of(left, right)
    mine, yours = {g for g, _ in left}, {g for g, _ in right}
    named = {str(labels("l", g=g, i=i)): v for (g, i), v in left.items()}
    both = {str(labels("l", g=g, i=i)): v for (g, i), v in left.items() if g in yours}
    more = {str(labels("r", g=g, i=i)): v for (g, i), v in right.items() if g not in mine}
    assert values("l and on(g) r", 0, querier) == both
    assert values("l unless on(g) r", 0, querier) == {k: v for k, v in named.items() if k not in both}
    assert values("l or on(g) r", 0, querier) == named | more


def test_a_side_without_series_is_filled_with_late_names_too() -> None:
    querier = load((labels("b", i="1"), "3"))
    delayed = EngineOptions(delayed_name_removal=True)
    assert values("abs(a) == bool fill(3) b", 0, querier, delayed) == {'{i="1"}': 1.0}
    assert values("abs(a) < fill(1) abs(b)", 0, querier, delayed) == {'{i="1"}': 1.0}
