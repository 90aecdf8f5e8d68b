"""The history: what is kept, for how long, over a restart, and while its file cannot be written."""

from __future__ import annotations

import asyncio
import logging
import math
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rulepush.clock import Timer
from rulepush.errors import StorageError
from rulepush.history.deliveries import SentAlert
from rulepush.history.history import MAX_UNWRITTEN, AlertHistory
from rulepush.history.rows import HistoryFilter
from rulepush.history.store import DAY_MS, SCHEMA, HistoryBounds
from rulepush.model.fingerprint import fingerprint
from rulepush.model.labels import EMPTY_LABELS, Labels
from rulepush.promql import parse_selector
from rulepush.rules.transition import ChangeReason, RuleRef, Transition
from rulepush.storage.database import Database, Statement
from tests.fakes import FakeClock
from tests.history.telling import AM, LABELS, T0, moved, tried

ALL = HistoryFilter()


async def inline(work: Callable[..., Any], *args: Any) -> Any:
    """An offload that needs no thread."""
    return work(*args)


def made(path: Path | None = None, clock: FakeClock | None = None, **bounds: int) -> AlertHistory:
    database = Database(path and path / "history.db", SCHEMA, any_thread=True)
    return AlertHistory(database, clock or FakeClock(T0), HistoryBounds(**bounds), inline)


def found(history: AlertHistory, wanted: HistoryFilter = ALL) -> list[Transition]:
    return list(asyncio.run(history.find(wanted)).found)


def test_the_newest_transition_comes_first_whether_it_is_written_or_not() -> None:
    history = made()
    first, second, third = moved(0), moved(5), moved(5, reason=ChangeReason.FOR_ELAPSED)
    history.record([first, second])
    asyncio.run(history.write())
    history.record([third])
    assert found(history) == [third, second, first]


def test_what_was_written_is_found_by_the_next_process(tmp_path: Path) -> None:
    history = made(tmp_path)
    one = moved(0, value=None, detail="x; y", labels=Labels.of(alertname="A", text='a"b\nü<script>'))
    history.record([one])
    history.attempted(tried(1), [SentAlert("f", T0, False)])
    history.close()
    again = made(tmp_path)
    again.restore()
    assert found(again) == [one]
    assert [d.accepted_at for d in again.deliveries("f")] == [T0 + 1]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 0.1, 1e300])
def test_every_value_comes_back_as_it_was(value: float) -> None:
    history = made()
    history.record([moved(0, value=value)])
    asyncio.run(history.write())
    (one,) = found(history)
    assert repr(one.value) == repr(value)


def test_texts_that_are_no_unicode_do_not_stop_the_history() -> None:
    history = made()
    odd = Labels({"alertname": "A", "path": "\ud800"})
    history.record([moved(0, labels=odd, detail="\ud800", rule=RuleRef("\ud800.yml", "g", "A"))])
    assert asyncio.run(history.write())
    (one,) = found(history)
    assert (one.labels, one.detail) == (odd, "?")


OTHER = Labels.of(alertname="B", severity="warn")
ROWS = [
    moved(0),
    moved(10, labels=OTHER, rule=RuleRef("r.yml", "h", "B")),
    moved(20, "firing", "inactive"),
    moved(30, "ok", "err", labels=EMPTY_LABELS, reason=ChangeReason.EVALUATION_FAILED, value=None),
]


@pytest.mark.parametrize("written", [True, False])
@pytest.mark.parametrize(
    ("wanted", "at"),
    [
        (HistoryFilter(), [30, 20, 10, 0]),
        (HistoryFilter(start=T0 + 10, end=T0 + 20), [20, 10]),
        (HistoryFilter(fingerprint=fingerprint(LABELS)), [20, 0]),
        (HistoryFilter(alertname="B"), [10]),
        (HistoryFilter(group="h"), [10]),
        (HistoryFilter(rule="A"), [30, 20, 0]),
        (HistoryFilter(rules_own=True), [30]),
        (HistoryFilter(rules_own=True, rule="B"), []),
        (HistoryFilter(file="other.yml"), []),
        (HistoryFilter(matchers=[parse_selector('{severity="warn"}'), parse_selector('{severity="none"}')]), [10]),
        (HistoryFilter(matchers=[parse_selector('{severity=~".+", alertname!="B"}')]), [20, 0]),
        (HistoryFilter(matchers=[parse_selector('{x="", alertname=~".+"}')], limit=1), [20]),
    ],
)
def test_filters(wanted: HistoryFilter, at: list[int], written: bool) -> None:
    history = made()
    history.record(ROWS)
    if written:
        asyncio.run(history.write())
    assert [one.ts - T0 for one in found(history, wanted)] == at


@pytest.mark.parametrize(("limit", "cut"), [(2, True), (4, False), (5, False)])
def test_an_answer_says_when_the_limit_cut_it(limit: int, cut: bool) -> None:
    history = made()
    history.record(ROWS[:2])
    asyncio.run(history.write())
    history.record(ROWS[2:])
    answer = asyncio.run(history.find(HistoryFilter(limit=limit)))
    assert ([one.ts - T0 for one in answer.found], answer.is_cut) == ([30, 20, 10, 0][:limit], cut)


def test_more_rows_than_one_page_are_searched() -> None:
    history = made()
    history.record([moved(i // 9, labels=OTHER if i else LABELS) for i in range(4_500)])
    asyncio.run(history.write())
    answer = asyncio.run(history.find(HistoryFilter(matchers=[parse_selector('{alertname="A"}')])))
    assert [one.ts for one in answer.found] == [T0]
    every = asyncio.run(history.find(HistoryFilter(limit=4_500)))
    assert [one.ts - T0 for one in every.found] == [i // 9 for i in reversed(range(4_500))]
    assert not every.is_cut


def test_more_label_sets_than_a_statement_names_are_found_too() -> None:
    history = made()
    history.record([moved(i, labels=Labels.of(alertname="A", i=str(i))) for i in range(1_500)])
    history.record([moved(9_999, labels=OTHER)])
    asyncio.run(history.write())
    answer = asyncio.run(history.find(HistoryFilter(matchers=[parse_selector('{i=~".+"}')], limit=2_000)))
    assert len(answer.found) == 1_500


def test_rows_and_age_are_bounded(tmp_path: Path) -> None:
    clock = FakeClock(T0)
    history = made(tmp_path, clock, rows=3, age_ms=DAY_MS)
    history.record([moved(i) for i in range(10)])
    asyncio.run(history.write())
    assert [one.ts - T0 for one in found(history)] == [9, 8, 7]
    asyncio.run(clock.advance(DAY_MS / 1000 + 0.009))
    history.record([moved(DAY_MS, labels=OTHER)])
    asyncio.run(history.write())
    assert [one.ts - T0 for one in found(history)] == [DAY_MS, 9]
    asyncio.run(clock.advance(61))
    history.record([moved(DAY_MS, labels=OTHER)])
    asyncio.run(history.write())
    history.close()
    with sqlite3.connect(tmp_path / "history.db") as db:
        assert db.execute("SELECT count(*) FROM label_sets").fetchone() == (1,)


class Failing(Database):
    """A database on a disk that is full while `full` is set."""

    full = False

    def write(self, statements: Any) -> None:
        if self.full:
            raise StorageError("cannot use history.db: database or disk is full")
        self._count(statements)

    def _count(self, statements: list[Statement]) -> None:
        super().write(statements)


def test_a_full_disk_is_told_once_and_what_came_meanwhile_is_written_later(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    database, clock = Failing(None, SCHEMA, any_thread=True), FakeClock(T0)
    history = AlertHistory(database, clock, offload=inline)

    async def live() -> None:
        running = asyncio.create_task(history.run())
        database.full = True
        history.record([moved(0)])
        history.attempted(tried(0), [SentAlert("f", T0, False)])
        await clock.advance(10)
        assert [one.ts for one in (await history.find(ALL)).found] == [T0]  # kept in memory meanwhile
        database.full = False
        history.record([moved(1)])
        await clock.advance(60)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(live())
    assert [one.ts - T0 for one in found(history)] == [1, 0]
    assert database.read("SELECT count(*) FROM transitions") == [(2,)]
    assert database.read("SELECT count(*) FROM deliveries") == [(1,)]
    lines = [r.getMessage() for r in caplog.records if r.name == "rulepush.history"]
    assert lines[0] == (
        "the alert history cannot be written, alerting goes on without: "
        "err=cannot use history.db: database or disk is full"
    )
    assert lines[1].startswith("the alert history is written again: after=")
    assert len(lines) == 2


def test_what_cannot_be_written_for_long_is_bounded() -> None:
    history = made()
    history.record([moved(i) for i in range(MAX_UNWRITTEN + 5)])
    assert history.lost == 5
    assert found(history, HistoryFilter(limit=MAX_UNWRITTEN + 9))[-1].ts == T0 + 5


def test_a_damaged_file_is_set_aside_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "history.db").write_bytes(b"not a database at all" * 500)
    history = made(tmp_path)
    history.record([moved(0)])
    assert asyncio.run(history.write())
    assert (tmp_path / "history.db.corrupt-1").exists()
    assert "state file is corrupt, set aside and recreated" in caplog.text
    assert [one.ts for one in found(history)] == [T0]


def test_a_row_of_a_later_release_is_left_out(tmp_path: Path) -> None:
    history = made(tmp_path)
    history.record([moved(0), moved(1)])
    history.close()
    with sqlite3.connect(tmp_path / "history.db") as db:
        db.execute("UPDATE transitions SET reason = 'brand_new' WHERE ts = ?", (T0,))
    assert [one.ts - T0 for one in found(made(tmp_path))] == [1]


def test_the_event_loop_never_writes(tmp_path: Path) -> None:
    threads: set[int] = set()

    class Watched(Database):
        def write(self, statements: Any) -> None:
            threads.add(threading.get_ident())
            super().write(statements)

    history = AlertHistory(Watched(tmp_path / "history.db", SCHEMA, any_thread=True), FakeClock(T0))

    async def live() -> None:
        history.record([moved(0)])
        await history.write()
        assert len((await history.find(ALL)).found) == 1

    asyncio.run(live())
    assert threads
    assert threading.get_ident() not in threads


def test_a_write_that_has_begun_is_waited_for_when_the_process_stops() -> None:
    ended = asyncio.Event()
    begun = asyncio.Event()

    async def slow(work: Callable[..., Any], *args: Any) -> Any:
        begun.set()
        await ended.wait()
        return work(*args)

    history = AlertHistory(Database(None, SCHEMA, any_thread=True), FakeClock(T0), offload=slow)

    async def live() -> None:
        history.record([moved(0)])
        writing = asyncio.create_task(history.write())
        await begun.wait()
        writing.cancel()
        await asyncio.sleep(0)
        assert not writing.done()
        ended.set()
        await asyncio.gather(writing, return_exceptions=True)

    asyncio.run(live())
    history.close()  # would write it again if it did not count as written
    assert [one.ts for one in found(history)] == [T0]


def test_whoever_leaves_while_it_is_read_does_not_let_another_into_the_file() -> None:
    ended, inside = asyncio.Event(), []

    async def slow(work: Callable[..., Any], *args: Any) -> Any:
        inside.append(work.__name__)
        await ended.wait()
        inside.append("done")
        return work(*args)

    history = AlertHistory(Database(None, SCHEMA, any_thread=True), FakeClock(T0), offload=slow)

    async def live() -> None:
        reading = asyncio.create_task(history.find(ALL))
        await asyncio.sleep(0)
        history.record([moved(0)])
        writing = asyncio.create_task(history.write())
        await asyncio.sleep(0)
        reading.cancel()
        for _ in range(5):
            await asyncio.sleep(0)
        assert inside == ["find"]
        ended.set()
        await asyncio.gather(reading, writing, return_exceptions=True)

    asyncio.run(live())
    assert inside == ["find", "done", "_try_write", "done"]


def test_deliveries_that_were_given_up_are_forgotten_in_the_file_too(tmp_path: Path) -> None:
    clock = FakeClock(T0)
    history = made(tmp_path, clock, age_ms=DAY_MS)
    history.attempted(tried(0), [SentAlert("old", T0, False)])
    asyncio.run(history.write())
    asyncio.run(clock.advance(2 * DAY_MS / 1000))
    history.attempted(tried(2 * DAY_MS), [SentAlert("new", T0, False)])
    asyncio.run(history.write())
    history.close()
    again = made(tmp_path)
    again.restore()
    assert again.deliveries("old") == []
    assert [d.url for d in again.deliveries("new")] == [AM]


def test_what_an_evaluation_did_is_written_as_soon_as_it_was_sent() -> None:
    clock = FakeClock(T0)
    history = made(clock=clock)

    async def live() -> None:
        running = asyncio.create_task(history.run())
        history.record([moved(0)])
        await clock.advance(0.01)
        assert clock.planned == 1
        history.attempted(tried(1), [SentAlert("f", T0, False)])
        await clock.settle()
        assert clock.planned == 0
        history.record([moved(10)])
        await clock.advance(0.9)
        history.attempted(tried(20), [SentAlert("g", T0, False)])
        await clock.settle()
        assert clock.planned == 1  # once a second
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(live())


def test_an_idle_process_is_not_woken() -> None:
    clock = FakeClock(T0)
    history = made(clock=clock)
    slept: list[float] = []

    def call_later(seconds: float, call: Callable[[], object]) -> Timer:
        slept.append(seconds)
        return FakeClock.call_later(clock, seconds, call)

    clock.call_later = call_later  # type: ignore[method-assign]

    async def live() -> None:
        running = asyncio.create_task(history.run())
        await clock.advance(60)
        assert slept == []
        history.record([moved(0)])
        await clock.advance(60)
        history.attempted(tried(1), [SentAlert("f", T0, False)])
        await clock.advance(60)
        history.attempted(tried(2), [SentAlert("f", T0, False)])  # accepted once more: not worth a write
        await clock.advance(60)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(live())
    assert slept == [1.0, 1.0]
