"""Queries that reach beyond what is in memory are answered from the recording."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rulepush.errors import EvaluationError, QueryLimitError
from rulepush.model.labels import Labels
from rulepush.model.sample import STALE
from rulepush.promql import Engine, EngineOptions, QueryResult, parse_expr
from rulepush.recorded.recording import Recording
from rulepush.storage.demand import Demand, ManualDemand
from rulepush.storage.demand_history import DemandHistory
from rulepush.storage.head import Head
from rulepush.web.evaluator import QueryEvaluator
from rulepush.web.past import PastQuerier
from rulepush.web.query import QueryApi
from rulepush.web.recording_past import RecordingPast
from tests.fakes import FakeClock
from tests.recorded.recordings import scrape, write
from tests.web.asking import ask
from tests.web.fake_past import FakePast

S = 1000
M = 60 * S
H = 60 * M
NOW = 1_700_000_000_000
RULES = ('up{job="a"} == 0', 'rate(x_total{job="a"}[5m])')


class Recorded:
    """A head that keeps what the rules read, and a recording of everything since `since`: up and x_total of the jobs a
    and b every 15 s since two hours, and a series that is over."""

    def __init__(self, since: int = NOW - 2 * H, *, is_recorded: bool = True, max_samples: int = 5_000_000):
        uses = [u for rule in RULES for u in parse_expr(rule).selectors()]
        head = Head(Demand.of([ManualDemand(u.matchers, u.lookback_ms, u.since_ms) for u in uses]))
        self.clock = FakeClock(NOW)
        self.past = FakePast([(since, NOW)])
        for i, ts in enumerate(range(NOW - 2 * H + 15 * S, NOW + 1, 15 * S)):
            samples = [(Labels.of(__name__="up", job=job), ts, 1.0) for job in "ab"]
            samples += [(Labels.of(__name__="x_total", job=job), ts, float(i * 15)) for job in "ab"]
            if ts <= NOW - H:
                gone = STALE if ts == NOW - H else 7.0
                samples.append((Labels.of(__name__="gone", job="a"), ts, gone))
            for sample in samples:
                head.append(*sample)
                if ts > since:
                    self.past.append(*sample)
            head.truncate(ts)
        engine = Engine(EngineOptions(), self.clock.monotonic)
        history = DemandHistory(head.demand, NOW - 2 * H)
        self.evaluator = QueryEvaluator(
            lambda: engine,
            head,
            history,
            self.clock,
            max_samples=max_samples,
            past=lambda: self.past if is_recorded else None,
        )

    def asked(self, expr: str, at: int = NOW) -> tuple[list[str], list[str]]:
        """The result as texts, and the warnings."""

        def finish(result: QueryResult, incomplete: Sequence[str]) -> tuple[list[str], list[str]]:
            return sorted(f"{s.labels} {s.value:g}" for s in result.samples()), list(incomplete)

        return asyncio.run(self.evaluator.instant(parse_expr(expr), at, finish))

    def api(self, path: str, **params: Any) -> dict[str, Any]:
        answer = ask(QueryApi(self.evaluator, self.clock).routes(), "GET", f"/{path}", params=params).json()
        assert answer["status"] == "success", answer
        found: dict[str, Any] = answer
        return found


@pytest.mark.parametrize(
    ("expr", "expected"),
    [
        ("count(up)", ["{} 2"]),
        ("sum(rate(x_total[5m]))", ["{} 2"]),
        ('increase(x_total{job="a"}[1h])', ['{job="a"} 3600']),
        ('count_over_time(up{job="a"}[1h])', ['{job="a"} 240']),
        ("up offset 1h", ['up{job="a"} 1', 'up{job="b"} 1']),
        (f"sum(gone @ {(NOW - 90 * M) // 1000})", ["{} 7"]),
        ("absent(gone offset 65m)", []),
        ("max_over_time(count(up)[30m:1m])", ["{} 2"]),
        ("sum(up) - sum(up offset 1h)", ["{} 0"]),
    ],
)
def test_what_reaches_beyond_is_answered_as_if_everything_had_been_kept(expr: str, expected: list[str]) -> None:
    answer, warnings = Recorded(is_recorded=False).asked(expr)
    assert answer != expected
    assert warnings
    service = Recorded()
    assert service.asked(expr) == (expected, [])
    assert service.evaluator.counts.past == 1


def test_what_is_in_memory_is_not_read_from_the_recording() -> None:
    service = Recorded()
    for expr in RULES:
        assert service.asked(expr)[1] == []
    assert service.past.selected == []
    assert service.evaluator.counts.past == 0


def test_a_range_query_reads_the_recording_from_its_start() -> None:
    service = Recorded()
    asked = {"query": "count(up)", "start": str((NOW - H) // 1000), "end": str(NOW // 1000), "step": "60"}
    (series,) = service.api("query_range", **asked)["data"]["result"]
    assert [value for _, value in series["values"]] == ["2"] * 61
    assert service.past.selected == [(NOW - H - 5 * M + 1, NOW)]


def test_times_far_apart_are_read_apart() -> None:
    service = Recorded()
    service.asked("sum(up) - sum(up offset 1h)")
    assert service.past.selected == [(NOW - 5 * M + 1, NOW), (NOW - H - 5 * M + 1, NOW - H)]


def test_lists_of_series_and_labels_have_those_that_are_recorded() -> None:
    service = Recorded()
    an_hour = {"start": str((NOW - 70 * M) // 1000), "end": str(NOW // 1000)}
    for path in ("label/job/values", "label/__name__/values"):
        answer = service.api(path, **an_hour)
        assert answer["data"] == (["a", "b"] if "job" in path else ["gone", "up", "x_total"])
        assert "warnings" not in answer
    assert len(service.api("series", **an_hour, **{"match[]": ["up", "gone"]})["data"]) == 3
    assert len(service.api("series", **{"match[]": "gone"})["data"]) == 1
    late = {"start": str((NOW - 30 * M) // 1000), "end": str(NOW // 1000)}
    assert service.api("series", **late, **{"match[]": "gone"})["data"] == []
    assert "warnings" in Recorded(is_recorded=False).api("labels", **an_hour)


def test_the_warnings_say_what_the_recording_lacks() -> None:
    service = Recorded(since=NOW - 30 * M)
    (warning,) = service.asked("count_over_time(up[1h])")[1]
    assert warning == (
        "rulepush: incomplete: up is read from 2023-11-14T21:13:20Z on, and recorded since 2023-11-14T21:43:20Z"
    )
    assert service.asked("count_over_time(up[30m])")[1] == []
    assert service.asked("count(up)", NOW - 29 * M)[1] == []
    (warning,) = service.asked("count(up)", NOW - 40 * M)[1]
    assert warning.endswith("nothing was recorded before 2023-11-14T21:43:20Z")
    past_hour = {"start": str((NOW - H) // 1000), "end": str(NOW // 1000)}
    (warning,) = service.api("series", **past_hour, **{"match[]": "up"})["warnings"]
    assert warning.endswith("up is read from 2023-11-14T21:13:20Z on, and recorded since 2023-11-14T21:43:20Z")


def test_a_recording_that_holds_too_much_for_a_query_refuses_it() -> None:
    service = Recorded(max_samples=1800)
    assert service.asked("count_over_time(up[1h])")[0] == ['{job="a"} 240', '{job="b"} 240']
    with pytest.raises(QueryLimitError, match="too many samples"):
        service.asked("count_over_time(up[2h])")
    with pytest.raises(QueryLimitError, match="too many samples"):
        service.asked("count_over_time(up[1h]) + count_over_time(up[1h] offset 30m)")
    assert service.evaluator.counts.failures == 2


def test_nothing_is_read_for_a_query_whose_time_is_over() -> None:
    past = FakePast([])
    over = False

    def go_on() -> None:
        if over:
            raise QueryLimitError("timed out")

    data = PastQuerier(past, 100, go_on)
    x = parse_expr("x").selectors()[0].matchers
    assert data.select(x, 0, 10) is data.select(x, 5, 10)
    over = True
    assert len(data.select(x, 0, 10).index) == 0
    with pytest.raises(QueryLimitError, match="timed out"):
        data.select(x, 0, 11)
    assert past.selected == [(0, 10)]


def test_a_slot_is_free_again_after_every_end() -> None:
    service = Recorded(max_samples=1800)
    for _ in range(5):
        service.asked("count_over_time(up[1h])")
        with pytest.raises(EvaluationError):
            service.asked("count_over_time(up[2h])")


# --- a recording on disk


def recorded(directory: Path) -> RecordingPast:
    async def flush() -> None:
        return

    return RecordingPast(Recording(directory), flush)


def test_what_is_read_of_a_recording_is_bounded(tmp_path: Path) -> None:
    long, short = Labels.of(__name__="x", i="long"), tuple(Labels.of(__name__="x", i=str(i)) for i in range(30))
    write(tmp_path, [*(scrape(k * S, (long,), [k]) for k in range(30)), scrape(99 * S, short, [1.0] * 30)])
    past, x = recorded(tmp_path), parse_expr("x").selectors()[0].matchers
    with pytest.raises(QueryLimitError, match="too many samples"):
        past.select(x, 0, 100 * S, 59, lambda: None)
    with pytest.raises(QueryLimitError, match="too many samples"):  # 31 rows of 30 places
        past.select(x, 0, 100 * S, 60, lambda: None)
    assert past.select(x, 0, 100 * S, 465, lambda: None).counts.tolist() == [30] + [1] * 30
    assert past.select(x, 20 * S, 99 * S - 1, 10, lambda: None).times.tolist() == [[k * S for k in range(20, 30)]]


def test_a_reading_ends_when_its_time_is_over(tmp_path: Path) -> None:
    write(tmp_path, (scrape(k * S, (Labels.of(__name__="x"),), [k]) for k in range(30)))
    past, x = recorded(tmp_path), parse_expr("x").selectors()[0].matchers
    left = iter(range(10))

    def go_on() -> None:
        if next(left, None) is None:
            raise QueryLimitError("timed out")

    for read in (lambda: past.select(x, 0, 99 * S, 100, go_on), lambda: past.series(x, 0, 99 * S, go_on)):
        with pytest.raises(QueryLimitError, match="timed out"):
            read()


def test_a_recording_that_cannot_be_read_fails_the_query(tmp_path: Path) -> None:
    (tmp_path / "00000001-0.seg").symlink_to("00000001-0.seg")
    x = parse_expr("x").selectors()[0].matchers
    with pytest.raises(EvaluationError, match="the recording cannot be read: "):
        recorded(tmp_path).select(x, 0, 1, 1, lambda: None)


# --- the same samples in memory and in a recording

NAMES = ("x", "y")
rows = st.lists(
    st.tuples(
        st.sampled_from(NAMES),
        st.sampled_from("ab"),
        st.sampled_from("12"),
        st.lists(
            st.tuples(st.integers(0, 40), st.sampled_from((0.0, 1.0, 2.5, -3.0, float("nan"), STALE))), max_size=20
        ),
    ),
    max_size=8,
)
SELECTORS = ("x", "y", 'x{j="a"}', 'y{i!="1"}', '{__name__=~"x|y"}', '{j="b"}')
FORMS = (
    "{0}",
    "sum by (j) ({0})",
    "rate({0}[{1}m])",
    "count_over_time({0}[{1}m] offset {2}m)",
    "{0} offset {2}m",
    "absent({0})",
    "max_over_time(sum by (i) ({0})[{1}m:1m])",
    "timestamp({0})",
    "last_over_time({0}[{1}m]) == {0} offset {2}m",
    "x * on (i, j) y offset {2}m",
    "count(x or y)",
    "topk(1, {0})",
    "{0} @ end() + {0} @ start()",
)


@settings(max_examples=200, deadline=None)
@given(
    rows,
    st.lists(st.sampled_from(FORMS), min_size=1, max_size=4),
    st.sampled_from(SELECTORS),
    st.integers(1, 9),
    st.integers(0, 9),
    st.integers(0, 45),
)
def test_a_recording_answers_as_memory_does_that_has_all(
    made: list[tuple[str, str, str, list[tuple[int, float]]]],
    forms: list[str],
    selector: str,
    span: int,
    offset: int,
    minute: int,
) -> None:
    head, by_time = Head(Demand.keep_all(1 << 50)), defaultdict[int, list[tuple[Labels, float]]](list)
    for name, j, i, samples in made:
        labels = Labels.of(__name__=name, j=j, i=i)
        for at, value in samples:
            if head.append(labels, at * M + 1, value):
                by_time[at * M + 1].append((labels, value))
    with TemporaryDirectory() as directory:
        write(
            Path(directory),
            (
                scrape(ts, tuple(labels for labels, _ in there), [value for _, value in there])
                for ts, there in sorted(by_time.items())
            ),
        )
        engine = Engine()
        for form in forms:
            query = parse_expr(form.format(selector, span, offset))
            results: list[object] = []
            for querier in (head.querier(), PastQuerier(recorded(Path(directory)), 100_000, lambda: None)):
                try:
                    once = sorted(
                        (str(s.labels), repr(s.value)) for s in engine.instant(query, minute * M, querier).samples()
                    )
                    ranged = engine.range(query, minute * M, (minute + 7) * M, M, querier).series()
                    series = sorted((str(s.labels), s.times.tolist(), repr(s.values.tolist())) for s in ranged)
                    results.append((once, series))
                except EvaluationError as e:
                    results.append((str(e)[:20], []))
            assert results[0] == results[1], str(query)
