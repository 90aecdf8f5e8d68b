"""What is said of answers that would need more than is kept, and that no other answer is incomplete."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rulepush.model.labels import Labels
from rulepush.model.matcher import Matcher, Matchers
from rulepush.model.sample import Sample
from rulepush.model.timestamps import UNKNOWN_TIME
from rulepush.packs import pack
from rulepush.promql import Engine, parse_expr, parse_selector
from rulepush.rules.rulefmt import parse_rule_file
from rulepush.rules.specs import demanded
from rulepush.storage.demand import Demand, ManualDemand
from rulepush.storage.demand_history import DemandHistory, KeptView
from rulepush.storage.head import Head
from rulepush.storage.incomplete import (
    MAX_WARNINGS,
    TimeSpans,
    incomplete_listing,
    incomplete_past,
    incomplete_past_listing,
    incomplete_query,
)
from rulepush.storage.selection import EMPTY_SELECTION, Selection

S = 1000
M = 60 * S
H = 60 * M
NOW = 1_700_000_000_000
DELTA = 5 * M


def demand(*exprs: str) -> Demand:
    return Demand.of(
        [ManualDemand(u.matchers, u.lookback_ms, u.since_ms) for e in exprs for u in parse_expr(e).selectors()]
    )


RULES = demand(
    'up{job="a"} == 0',
    'sum(rate(app_requests_total{job="a"}[5m]))',
    "rate(all_total[10m] offset 5m)",
    "memory > 5",
    "ALERTS",
)


def view(kept: Demand = RULES, started: int = NOW - 24 * H) -> KeptView:
    return DemandHistory(kept, started).view(NOW)


def said(expr: str, at: int = NOW, start: int | None = None, of: KeptView | None = None) -> list[str]:
    return incomplete_query(parse_expr(expr).selectors(), of or view(), at if start is None else start, at, DELTA)


@pytest.mark.parametrize(
    "expr",
    [
        'up{job="a"} == 0',
        'up{job="a",instance="i"}',
        'sum(rate(app_requests_total{job="a"}[5m]))',
        'increase(app_requests_total{job="a"}[1m])',
        "rate(all_total[10m] offset 5m)",
        'rate(all_total{job=~"x|y"}[15m])',
        "all_total offset 10m",
        "memory",
        'ALERTS{alertstate="firing"}',
        "vector(1)",
        "memory offset -1h",
    ],
)
def test_what_the_rules_read_is_complete(expr: str) -> None:
    assert said(expr) == []
    assert said(expr, NOW - 20 * S) == []


def test_no_expression_of_the_packs_is_said_to_be_incomplete() -> None:
    files = [pack(name) for name in ("nacos", "jvm", "spring-boot", "jobs", "self")]
    groups = [group for file in files for group in parse_rule_file(file.name, file.read_bytes()).groups]
    everything = view(Demand.of(demanded(groups)))
    exprs = [str(rule.query) for group in groups for rule in group.rules]
    assert len(exprs) > 50
    assert [warning for expr in exprs for warning in said(expr, of=everything)] == []


@pytest.mark.parametrize(
    ("expr", "warned"),
    [
        (
            "count(up)",
            'incomplete: of up the rules need only up{job="a"} (kept for 5m, since 2023-11-14T22:07:50Z); set `',
        ),
        (
            "sum(rate(app_requests_total[5m]))",
            'incomplete: of app_requests_total the rules need only app_requests_total{job="a"} (kept for 5m, ',
        ),
        (
            '{job="a"}',
            'incomplete: of {job="a"} the rules need only ALERTS, all_total, app_requests_total{job="a"} and 2 m',
        ),
        (
            'up{job="b"}',
            'no rule needs up{job="b"}, so its samples are not kept; set `storage: {record: {}}` in the co',
        ),
        ("other", "no rule needs the metric 'other', so its samples are not kept; set `storage: {record: {}}`"),
        (
            "increase(memory[1h])",
            "incomplete: memory is read from 2023-11-14T21:13:20Z on, and kept for 5m, since 2023-11-14T22:07:50Z; set "
            "`storage: {record: {}}` in the configuration to keep more",
        ),
        ("memory offset 1h", "incomplete: memory is read from 2023-11-14T21:08:20Z on, and kept for 5m, since "),
        ("max_over_time(memory[1h:1m])", "incomplete: memory is read from 2023-11-14T21:08:20Z on, and kept for 5m, "),
        ("memory @ 1699990000", "incomplete: memory is read from 2023-11-14T19:21:40Z on, and kept for 5m, since "),
        (
            "memory + (memory offset 1h) + (memory offset 30m)",
            "incomplete: memory is read from 2023-11-14T21:08:20Z on, and kept for 5m",
        ),
    ],
)
def test_a_warning_says_what_is_kept_and_since_when(expr: str, warned: str) -> None:
    (warning,) = said(expr)
    assert warning.startswith(f"rulepush: {warned}")


def test_the_start_of_a_range_query_counts() -> None:
    assert said("memory", start=NOW - 20 * S) == []
    (warning,) = said("memory", start=NOW - H)
    assert "memory is read from 2023-11-14T21:08:20Z on" in warning
    assert len(said("memory", NOW - H)) == 1


def test_before_the_start_there_is_nothing() -> None:
    just = view(started=NOW - M)
    (warning,) = said('rate(app_requests_total{job="a"}[5m])', of=just)
    assert warning.endswith("since 2023-11-14T22:12:20Z, when rulepush began to keep it")
    assert said('rate(app_requests_total{job="a"}[1m])', of=just) == []
    # An instant selector reads the newest sample only: it is there once its target was scraped.
    assert said("memory", of=just) == []
    assert len(said("memory offset 2m", of=just)) == 1
    assert len(said("memory", start=NOW - 2 * M, of=just)) == 1


def test_with_everything_kept_only_the_time_counts() -> None:
    everything = view(Demand.keep_all(15 * M, [ManualDemand(parse_selector('{a="1"}'), H)]))
    for expr in ("count(up)", '{job="a"}', "rate(other[15m])", 'rate({a="1"}[1h])', 'x{a="1"} offset 5m'):
        assert said(expr, of=everything) == []
    (warning,) = said('rate({a="2"}[1h])', of=everything)
    assert "kept for 15m, since 2023-11-14T21:57:50Z; raise `storage.retention` in the configuration" in warning


def test_fixed_times_that_a_rule_reads_are_kept() -> None:
    fixed = view(demand(f"memory - memory @ {(NOW - 10 * H) // 1000}"))
    assert said(f"memory @ {(NOW - 10 * H) // 1000}", of=fixed) == []
    assert len(said(f"memory @ {(NOW - 9 * H) // 1000}", of=fixed)) == 1
    assert len(said(f"memory @ {(NOW - 10 * H) // 1000}", of=view(fixed.demand, NOW - 9 * H))) == 1


def test_a_sample_ahead_of_the_clock_pushes_others_out_sooner() -> None:
    head = Head(RULES)
    head.append(Labels.of(__name__="memory"), NOW + 8 * M, 1.0)
    ahead = DemandHistory(RULES, NOW - H).view(NOW, head.tables())
    assert len(said("memory", of=ahead)) == 1
    assert said("memory", NOW + 8 * M, of=ahead) == []


def test_there_are_few_warnings_in_the_order_of_the_query() -> None:
    warned = said(" or ".join(f"z{i}" for i in range(50)))
    assert len(warned) == MAX_WARNINGS
    assert ["'z0'" in warned[0], "'z9'" in warned[9]] == [True, True]


def test_a_long_selector_is_cut() -> None:
    values = "|".join(f"value{i}" for i in range(500))
    (warning,) = said(f'up{{job=~"{values}"}}')
    assert len(warning) < 600


def test_lists_of_series_are_told_what_they_lack() -> None:
    everything, some = view(Demand.keep_all(15 * M)), view()
    assert incomplete_listing([()], everything, None) == []
    assert incomplete_listing([()], everything, NOW - 10 * M) == []
    assert len(incomplete_listing([()], everything, NOW - H)) == 1
    (warning,) = incomplete_listing([()], some, None)
    assert warning.startswith("rulepush: incomplete: of all series the rules need only ALERTS, all_total, app_requests")
    assert incomplete_listing([parse_selector("memory")], some, None) == []
    assert incomplete_listing([parse_selector("memory")], some, NOW - M) == []
    assert len(incomplete_listing([parse_selector("memory"), parse_selector("memory")], some, NOW - H)) == 1


# --- a recording that lacks something

SPANS = [(NOW - 5 * H, NOW - 2 * H), (NOW - H, NOW)]


def lacks(expr: str, at: int, spans: TimeSpans = tuple(SPANS), now: int = NOW) -> list[str]:
    """What is said when `expr` is evaluated at `at` on a recording of these times."""
    reads: dict[Matchers, list[tuple[int, int]]] = {}

    class Reading:
        def select(self, matchers: Sequence[Matcher], mint: int, maxt: int) -> Selection:
            reads.setdefault(tuple(matchers), []).append((mint, maxt))
            return EMPTY_SELECTION

    Engine().instant(parse_expr(expr), at, Reading())
    return incomplete_past(parse_expr(expr).selectors(), reads, spans, DELTA, now)


@pytest.mark.parametrize(
    ("expr", "at", "lack"),
    [
        ("up", NOW, ""),
        ("rate(up[1h])", NOW, ""),
        ("rate(up[1h])", NOW - 2 * H, ""),
        ("rate(up[61m])", NOW, "not recorded from 2023-11-14T20:13:20Z to 2023-11-14T21:13:20Z"),
        ("up", NOW - H - S, "not recorded from 2023-11-14T20:13:20Z to 2023-11-14T21:13:20Z"),
        ("up", NOW - H, ""),
        ("up", NOW - 2 * H, ""),
        ("up offset 4h", NOW, ""),
        ("up + up offset 3h", NOW, ""),
        ("up offset 90m", NOW, "not recorded from 2023-11-14T20:13:20Z to 2023-11-14T21:13:20Z"),
        ("up", NOW - 5 * H, ""),
        ("up", NOW - 5 * H - S, "nothing was recorded before 2023-11-14T17:13:20Z"),
        ("up offset 6h", NOW, "nothing was recorded before 2023-11-14T17:13:20Z"),
        ("rate(up[1h])", NOW - 5 * H + M, "recorded since 2023-11-14T17:13:20Z"),
        (
            "rate(up[10h])",
            NOW,
            "recorded since 2023-11-14T17:13:20Z and not recorded from 2023-11-14T20:13:20Z to 2023-11-14T21:13:20Z",
        ),
        ("up offset -1h", NOW, ""),
        (f"up @ {(NOW + H) // 1000}", NOW, ""),
    ],
)
def test_what_a_recording_lacks_is_said(expr: str, at: int, lack: str) -> None:
    warnings = lacks(expr, at)
    assert [w.partition(" on, and ")[2] for w in warnings] == ([lack] if lack else [])
    assert all(w.startswith("rulepush: incomplete: up is read from 2023-11-14T") for w in warnings)


def test_a_target_that_was_not_scraped_yet_since_the_recording_began_may_be_missing() -> None:
    def said(at: int, until: int = 0) -> list[str]:
        uses, read = parse_expr("up").selectors(), (at - DELTA + 1, until or at)
        return incomplete_past(uses, {uses[0].matchers: [read]}, [(NOW - H, NOW)], DELTA, NOW, settle_ms=M)

    assert [len(said(NOW - H + after)) for after in (S, M - 1, M, DELTA)] == [1, 1, 0, 0]
    assert said(NOW - H, NOW) == [], "a chart of all that was recorded"
    assert len(said(NOW - H - S, NOW)) == 1


def test_what_was_lost_is_said_however_short_it_was() -> None:
    spans = [(NOW - 5 * H, NOW - 2 * M), (NOW - 2 * M + 20 * S, NOW - M), (UNKNOWN_TIME, UNKNOWN_TIME)]
    lack = "not recorded from 2023-11-14T22:11:20Z to 2023-11-14T22:11:40Z"
    (both,) = lacks("rate(up[5m])", NOW, spans)
    assert both.endswith(f" on, and {lack} and not recorded since 2023-11-14T22:12:20Z")
    (now,) = lacks("up", NOW, spans)
    assert now.endswith(" on, and not recorded since 2023-11-14T22:12:20Z")
    (first,) = lacks("rate(up[1m])", NOW - M, spans)
    assert first.endswith(f" on, and {lack}")
    assert lacks("rate(up[1m])", NOW - 2 * M, spans) == []
    assert lacks("up", NOW, spans[-1:])[0].endswith("and nothing was recorded")


def test_a_recording_that_has_stopped_is_said_to_have() -> None:
    expr = "up + up offset 5m + count_over_time(x[1m])"
    assert lacks(expr, NOW) == []
    later = NOW + DELTA + S
    up, x = lacks(expr, later, now=later)
    assert up.startswith("rulepush: incomplete: up is read from ")
    assert x.endswith("x is read from 2023-11-14T22:17:21Z on, and not recorded since 2023-11-14T22:13:20Z")
    assert lacks(expr, NOW, ())[0].endswith("and nothing was recorded")
    selectors = [parse_selector("x"), parse_selector("x")]
    (warning,) = incomplete_past_listing(selectors, SPANS, NOW - 6 * H, NOW, DELTA, NOW)
    assert "x is read from 2023-11-14T16:13:20Z on, and recorded since 2023-11-14T17:13:20Z and not" in warning


# --- a demand beside a storage that keeps everything

SERIES = [
    Labels.of(__name__=name, n=name, job=job, code=code)
    for name in ("m", "n")
    for job in ("a", "b")
    for code in ("200", "500")
]
SELECTORS = [
    "m",
    "n",
    'm{job="a"}',
    'm{job=~"a|b"}',
    'n{job!="a"}',
    '{job="b"}',
    '{__name__=~"m|n",code="500"}',
    'm{code=~"5.."}',
    'n{code="500",job="b"}',
]
FORMS = [
    "sum({0})",
    "sum(sum_over_time({0}[{1}m]))",
    "count({0} offset {1}m)",
    "sum(max_over_time({0}[{1}m:1m] offset 1m))",
    "sum({0} @ 1699999{1}00)",
]
queries = st.builds(
    lambda form, selector, n: form.format(selector, n),
    st.sampled_from(FORMS),
    st.sampled_from(SELECTORS),
    st.integers(1, 9),
)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 60), st.lists(queries, min_size=1, max_size=4)), min_size=1, max_size=3),
    st.lists(queries, min_size=1, max_size=10),
    st.integers(0, 3),
)
def test_no_answer_is_smaller_than_with_everything_kept_without_a_word(
    lives: list[tuple[int, list[str]]], asked: list[str], ago: int
) -> None:
    """Demands follow each other, as reloads make them, while samples come every 30 s."""
    now, engine = NOW - sum(steps for steps, _ in lives) * 30 * S, Engine()
    everything = Head(Demand.keep_all(100 * H))
    for step in range(60):  # what came before the start
        everything.append_many(sample(labels, now - (60 - step) * 30 * S) for labels in SERIES)
    first = demand(*lives[0][1])
    head, history = Head(first), DemandHistory(first, now)
    for steps, exprs in lives:
        head.set_demand(demand(*exprs))
        history.change(head.demand, now)
        for _ in range(steps):
            for storage in (everything, head):
                storage.append_many([sample(labels, now) for labels in SERIES])
            now += 30 * S
            head.truncate(now)
    at = now - ago * M
    for text in asked:
        query = parse_expr(text)
        kept, full = ([(s.labels, s.value) for s in engine.instant(query, at, h).samples()] for h in (head, everything))
        warnings = incomplete_query(query.selectors(), history.view(now, head.tables()), at, at, DELTA)
        assert kept == full or warnings, (text, kept, full)
    if lives[-1][0] * 30 * S > 25 * M:  # the last demand has been in force for longer than any query reads
        for text in lives[-1][1]:
            if "@" not in text:
                assert (
                    incomplete_query(parse_expr(text).selectors(), history.view(now, head.tables()), now, now, DELTA)
                    == []
                )


def sample(labels: Labels, ts: int) -> Sample:
    return Sample(labels, ts, float(ts // (30 * S) % 1000))
