from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rulepush.clock import Timer
from rulepush.model.labels import Labels
from rulepush.model.matcher import Matcher, MatchOp
from rulepush.model.sample import STALE, is_stale
from rulepush.storage.database import Database
from rulepush.storage.demand import Demand, ManualDemand, Retention
from rulepush.storage.demand_history import DemandHistory
from rulepush.storage.head import Head
from rulepush.storage.journal import MAX_UNWRITTEN, SCHEMA, SMALL, Offload, SampleJournal
from rulepush.storage.journal_batch import BatchColumns, decode_labels, encode_labels, shelf_life
from rulepush.storage.table import Int64s
from tests.fakes import FakeClock

MINUTE = 60_000
ANY = Matcher("__name__", MatchOp.REGEX, ".+")


async def inline(call: Callable[..., bool], *args: object, **options: object) -> bool:
    """An Offload without a thread."""
    return call(*args, **options)


class Life:
    """One life of a process on a state file."""

    def __init__(self, path: Path, clock: FakeClock, demand: Demand | None = None, offload: Offload = inline):
        self.clock = clock
        self.head = Head(demand or Demand.keep_all(5 * MINUTE))
        self.database = Database(path, SCHEMA, any_thread=True, checkpoints=False)
        self.demands = DemandHistory(self.head.demand, clock.now())
        self.journal = SampleJournal(self.head, self.demands, self.database, clock, offload)
        self.restored = self.journal.restore(clock.now())

    def append(self, name: str, value: float, **labels: str) -> bool:
        return bool(self.head.append(Labels({"__name__": name, **labels}), self.clock.now(), value))

    def run(self, seconds: float, each_second: Callable[[], object] = lambda: None) -> None:
        """Let the journal write for a while; then the process is killed."""

        async def act() -> None:
            task = asyncio.ensure_future(self.journal.run())
            for _ in range(int(seconds)):
                each_second()
                await self.clock.advance(1)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        asyncio.run(act())

    def values(self) -> dict[str, list[float | str]]:
        s = self.head.select([ANY], 0, 2**62)
        return {
            str(labels): ["stale" if is_stale(v) else v for v in s.values[i, : s.counts[i]].tolist()]
            for i, labels in enumerate(s.index.labels)
        }


def test_after_a_kill_the_samples_are_there_again(tmp_path: Path) -> None:
    clock = FakeClock()
    first = Life(tmp_path / "s.db", clock)
    counter = iter(range(100))

    def scrape() -> None:
        n = next(counter)
        first.append("a", n, x="ü")
        table = first.head.table_for(Labels({"__name__": "m", "i": "0"}))
        assert table is not None
        rows = np.array([table.row(Labels({"__name__": "m", "i": str(i)})) for i in range(3)])
        first.head.append_rows(table, rows, clock.now(), np.array([n, STALE, -n]))

    first.run(5, scrape)
    second = Life(tmp_path / "s.db", clock)
    assert second.values() == first.values()
    assert (second.restored.series, second.restored.samples) == (4, 20)
    assert first.journal.stats.written == 20


def test_series_go_on_over_several_lives(tmp_path: Path) -> None:
    clock = FakeClock()
    for life in range(4):
        process = Life(tmp_path / "s.db", clock)
        assert process.restored.samples == life * 2
        process.run(2, lambda process=process: process.append("a", process.clock.now()))  # type: ignore[misc]
        process.append(f"only_{life}", 1.0)
        process.head.append(Labels.of(__name__="unwritten"), clock.now(), 1.0)
    assert len(Life(tmp_path / "s.db", clock).values()["a"]) == 8


def test_a_clean_stop_loses_nothing(tmp_path: Path) -> None:
    clock = FakeClock()
    first = Life(tmp_path / "s.db", clock)
    first.append("a", 1.0)
    first.journal.close()
    assert Life(tmp_path / "s.db", clock).values() == {"a": [1.0]}


def test_what_is_beyond_the_look_back_or_no_longer_wanted_does_not_come_back(tmp_path: Path) -> None:
    clock = FakeClock()
    first = Life(tmp_path / "s.db", clock)
    first.append("a", 1.0)
    first.append("b", 1.0)
    first.run(2)
    assert list(Life(tmp_path / "s.db", clock, Demand.of([ManualDemand.metric("b", MINUTE)])).values()) == ["b"]
    clock.set_wall(clock.now() + 10 * MINUTE)
    assert Life(tmp_path / "s.db", clock).values() == {}


def test_samples_of_the_future_do_not_come_back(tmp_path: Path) -> None:
    clock = FakeClock()
    first = Life(tmp_path / "s.db", clock)
    first.append("a", 1.0)
    first.run(2)
    clock.set_wall(clock.now() - 60 * MINUTE)
    second = Life(tmp_path / "s.db", clock)
    assert second.values() == {}
    assert second.append("a", 2.0)


def test_the_file_does_not_grow_with_time(tmp_path: Path) -> None:
    clock = FakeClock()
    life = Life(
        tmp_path / "s.db",
        clock,
        Demand.of([ManualDemand.metric("a", MINUTE), ManualDemand.metric("long", 60 * MINUTE)]),
    )

    def scrape() -> None:
        life.append("a", 1.0)
        life.append("a", 1.0, generation=str(clock.now() // MINUTE))
        life.append("long", 1.0)
        if clock.now() % MINUTE < 1000:
            life.head.truncate(clock.now())

    life.run(1800, scrape)
    rows = life.database.read("SELECT count(*), sum(length(samples)) FROM batches")[0]
    assert rows[0] < 1800 + 7 * 60  # all of `long`, and five minutes and a little of `a`
    (series,) = life.database.read("SELECT count(*) FROM series")[0]
    assert series < 25  # 2 that live, and the generations of less than the last twelve minutes
    again = Life(tmp_path / "s.db", clock, Demand.of([ManualDemand.metric("long", 60 * MINUTE)]))
    assert len(again.values()["long"]) == 1800


def test_fixed_times_are_kept(tmp_path: Path) -> None:
    clock = FakeClock()
    start = clock.now()
    demand = Demand.of([ManualDemand(ManualDemand.metric("a", 0).matchers, 5000, since_ms=start + 10_000)])
    life = Life(tmp_path / "s.db", clock, demand)
    life.run(1500, lambda: life.append("a", (clock.now() - start) / 1000))
    kept = Life(tmp_path / "s.db", clock, demand).values()["a"]
    assert {float(i) for i in range(5, 16)} <= set(kept)
    assert len(kept) < 400


def test_nothing_wakes_the_process_while_there_is_nothing_to_write(tmp_path: Path) -> None:
    class CountingClock(FakeClock):
        sleeps = 0

        async def sleep(self, seconds: float) -> None:
            self.sleeps += 1
            await super().sleep(seconds)

        def call_later(self, seconds: float, call: Callable[[], object]) -> Timer:
            self.sleeps += 1
            return super().call_later(seconds, call)

    clock = CountingClock()
    life = Life(tmp_path / "s.db", clock)
    life.run(10)
    assert clock.sleeps == 0
    moments = iter([False, False, True, *[False] * 7])
    life.run(10, lambda: next(moments) and life.append("a", 1.0))
    assert clock.sleeps == 1
    assert Life(tmp_path / "s.db", clock).values() == {"a": [1.0]}


def test_a_sample_is_on_disk_a_second_after_it_came(tmp_path: Path) -> None:
    clock = FakeClock()
    life = Life(tmp_path / "s.db", clock)
    moments = iter([False] * 5 + [True])
    life.run(6, lambda: next(moments) and life.append("a", 1.0))
    assert Life(tmp_path / "s.db", clock).values() == {"a": [1.0]}


def test_samples_are_on_disk_at_once_when_no_more_are_expected_but_once_a_second(tmp_path: Path) -> None:
    clock = FakeClock()
    life = Life(tmp_path / "s.db", clock)

    def on_disk() -> int:
        return len(Life(tmp_path / "s.db", clock).values().get("a", ()))

    async def act() -> None:
        task = asyncio.ensure_future(life.journal.run())
        for wait_s, there, planned in ((0, 1, 0), (0.3, 1, 1), (0.6, 1, 1), (0.11, 4, 0), (5, 5, 0)):
            await clock.advance(wait_s)
            life.append("a", 1.0)
            await clock.settle()
            life.journal.write_soon()
            await clock.settle()
            assert (on_disk(), clock.planned) == (there, planned), wait_s
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(act())


def test_what_could_not_be_written_is_tried_again_in_its_time_and_not_at_each_evaluation(tmp_path: Path) -> None:
    clock = FakeClock()
    blocked = tmp_path / "file"
    blocked.write_text("not a directory")
    life = Life(blocked / "s.db", clock)

    async def act() -> None:
        task = asyncio.ensure_future(life.journal.run())
        life.append("a", 1.0)
        await clock.advance(1)
        assert life.journal.stats.failures == 1
        await clock.advance(1.5)
        life.journal.write_soon()
        await clock.settle()
        assert life.journal.stats.failures == 1
        await clock.advance(0.5)
        assert life.journal.stats.failures == 2
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(act())


def test_only_a_small_batch_is_written_in_the_event_loop(tmp_path: Path) -> None:
    """What may wait for the disk, or for another process, is for the thread."""
    clock = FakeClock()
    path = tmp_path / "s.db"
    in_thread: list[int] = []

    async def offload(call: Callable[..., bool], *args: object, **options: object) -> bool:
        in_thread.append(clock.now())
        return call(*args, **options)

    life = Life(path, clock, offload=offload)
    table = life.head.table_for(Labels.of(__name__="m"))
    assert table is not None
    few = np.array([table.row(Labels({"__name__": "m", "i": str(i)})) for i in range(SMALL // 2)])
    many = np.array([table.row(Labels({"__name__": "m", "i": str(i)})) for i in range(SMALL + 1)])

    def threads(rows: Int64s, seconds: float) -> int:
        in_thread.clear()
        life.run(seconds, lambda: life.head.append_rows(table, rows, clock.now(), np.zeros(len(rows))))
        return len(in_thread)

    assert threads(few, 3) >= 1  # the file begins, with all that is in memory
    assert threads(few, 5) == 0
    assert threads(many, 5) == 5
    assert threads(few, 2) == 0
    assert threads(few[:1], 60) == 1  # what is too old is deleted
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert threads(few[:1], 8) == 2  # 2 s and 6 s after what failed in the loop
    assert life.journal.stats.failures == 3
    other.execute("ROLLBACK")
    other.close()
    assert threads(few[:1], 8) == 1
    assert threads(few[:1], 8) == 0


def test_what_is_only_appended_gets_into_the_database_in_the_end(tmp_path: Path) -> None:
    clock = FakeClock()
    life = Life(tmp_path / "s.db", clock)
    table = life.head.table_for(Labels.of(__name__="m"))
    assert table is not None
    rows = np.array([table.row(Labels({"__name__": "m", "i": str(i)})) for i in range(SMALL // 2)])
    random = np.random.default_rng(1)
    sizes: list[int] = []

    def scrape() -> None:
        life.head.append_rows(table, rows, clock.now(), random.random(len(rows)))
        life.head.truncate(clock.now())
        sizes.append((tmp_path / "s.db-wal").stat().st_size)

    life.run(900, scrape)
    assert max(sizes) < 8 << 20  # 900 such batches take 14 MiB
    assert (tmp_path / "s.db").stat().st_size > 1 << 20


def test_a_file_that_is_broken_while_in_use_begins_anew_with_all_that_is_in_memory(tmp_path: Path) -> None:
    clock = FakeClock()
    path = tmp_path / "s.db"
    life = Life(path, clock)
    life.append("a", 1.0)
    life.run(2)
    for suffix in ("", "-wal", "-shm"):
        name = Path(f"{path}{suffix}")
        if name.exists():
            with open(name, "r+b") as f:
                f.write(os.urandom(max(4096, name.stat().st_size)))
    life.run(30, lambda: life.append("b", 1.0))
    life.journal.close()
    life.database.close()
    assert list(tmp_path.glob("s.db.corrupt-*"))
    again = Life(path, clock).values()
    assert again["a"] == [1.0]
    assert len(again["b"]) == 30


def test_a_file_that_is_removed_while_in_use_begins_anew_with_all_that_is_in_memory(tmp_path: Path) -> None:
    clock = FakeClock()
    path = tmp_path / "state" / "s.db"
    life = Life(path, clock)
    life.append("a", 1.0)
    life.run(2)
    shutil.rmtree(path.parent)
    life.run(20, lambda: life.append("b", 1.0))
    again = Life(path, clock).values()
    assert again["a"] == [1.0]
    assert len(again["b"]) >= 15


def test_a_file_that_was_broken_before_the_start_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    path.write_bytes(b"this is no database at all" * 1000)
    clock = FakeClock()
    life = Life(path, clock)
    life.append("a", 1.0)
    life.run(2)
    assert Life(path, clock).values() == {"a": [1.0]}
    assert list(tmp_path.glob("s.db.corrupt-*"))


def test_while_the_file_is_locked_samples_wait_and_are_written_later(tmp_path: Path) -> None:
    clock = FakeClock()
    path = tmp_path / "s.db"
    life = Life(path, clock)
    life.append("a", 1.0)
    life.run(2)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    life.run(4, lambda: life.append("a", 2.0))
    assert life.journal.stats.failures >= 1
    assert len(life.head.select([ANY], 0, 2**62).index) == 1  # alerting goes on
    other.execute("ROLLBACK")
    other.close()
    life.run(10)
    assert Life(path, clock).values() == {"a": [1.0, 2.0, 2.0, 2.0, 2.0]}


def test_samples_are_given_up_when_the_file_cannot_be_written_for_too_long(tmp_path: Path) -> None:
    clock = FakeClock()
    blocked = tmp_path / "file"
    blocked.write_text("not a directory")
    life = Life(blocked / "s.db", clock)
    n = MAX_UNWRITTEN // 4
    names = [Labels({"__name__": "m", "i": str(i)}) for i in range(1000)]
    table = life.head.table_for(names[0])
    assert table is not None
    rows = np.array([table.row(name) for name in names])

    def burst() -> None:
        for k in range(n // 1000):
            life.head.append_rows(table, rows, clock.now() + k, np.zeros(1000))

    life.run(8, burst)
    assert life.journal.stats.lost >= n
    assert life.journal.stats.written == 0


def test_a_series_outlives_the_batch_that_it_came_with(tmp_path: Path) -> None:
    """A series is written with its first batch. When that is given up, later samples still need to know its labels."""
    clock = FakeClock()
    path = tmp_path / "s.db"
    life = Life(path, clock)
    life.append("before", 1.0)
    life.run(2)  # from here on the file is known: only what is new is written
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    names = [Labels({"__name__": "m", "i": str(i)}) for i in range(1000)]
    table = life.head.table_for(names[0])
    assert table is not None
    rows = np.array([table.row(name) for name in names])

    def burst() -> None:
        for k in range(MAX_UNWRITTEN // 4000):
            life.head.append_rows(table, rows, clock.now() + k, np.zeros(1000))

    life.run(8, burst)
    assert life.journal.stats.lost > 0
    other.execute("ROLLBACK")
    other.close()
    life.run(60)
    again = Life(path, clock)
    assert again.restored.series == 1001


@pytest.mark.parametrize(
    ("ids", "times", "values"),
    [
        ([1, 4_000_000_000], [1 << 50, -5], [STALE, -0.0]),
        ([], [], []),
        ([7, 3, 3], [5, 5, 5], [0.1, 1e300, 2.0]),
        ([1, 2, 3, 4], [9, 9, 8, 9], [1.0, 2.0, 3.0, 4.0]),
        ([0], [0], [0.0]),
    ],
)
def test_blobs_survive_the_round_trip(ids: list[int], times: list[int], values: list[float]) -> None:
    columns = BatchColumns(np.array(ids, np.int64), np.array(times, np.int64), np.array(values, np.float64))
    again = BatchColumns.decode(columns.encode())
    assert again.ids.tolist() == ids
    assert again.times.tolist() == times
    assert again.values.tobytes() == columns.values.tobytes()
    assert [part.dtype.name for part in (again.ids, again.times, again.values)] == ["int64", "int64", "float64"]


def test_a_blob_of_one_scrape_takes_little_more_than_its_values() -> None:
    rng = np.random.default_rng(1)
    values = rng.random(10_000)
    columns = BatchColumns(np.arange(50_000, 60_000), np.full(10_000, 1 << 40), values)
    assert len(columns.encode()) < values.nbytes * 1.02


def test_labels_survive_the_round_trip() -> None:
    labels = Labels({"__name__": "a", "ü": 'q"\n'})
    assert decode_labels(encode_labels(labels)) == labels


def packed(*numbers: int) -> bytes:
    return zlib.compress(np.array(numbers, "<u4").tobytes())


@pytest.mark.parametrize(
    "blob",
    [
        b"",
        b"x",
        BatchColumns(np.array([1]), np.array([1]), np.array([1.0])).encode()[:-3],
        packed(),
        packed(1),
        packed(1, 0, 0, 0),
        packed(1, 1, 2, 0, 0, 0, 0, 0),  # its time begins behind its end
        packed(2, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),  # times in the wrong order
        packed(1, 2**32 - 1),
    ],
)
def test_a_broken_blob_is_a_value_error(blob: bytes) -> None:
    with pytest.raises(ValueError, match="not a batch of samples"):
        BatchColumns.decode(blob)


def test_a_broken_batch_costs_only_itself(tmp_path: Path) -> None:
    clock = FakeClock()
    life = Life(tmp_path / "s.db", clock)
    life.run(3, lambda: life.append("a", 1.0))
    life.database.write([("UPDATE batches SET samples = 'x' WHERE id = (SELECT max(id) FROM batches)", [()])])
    life.database.write([("INSERT INTO series VALUES (99, '[1]')", [()])])
    assert Life(tmp_path / "s.db", clock).values() == {"a": [1.0, 1.0]}


def test_shelf_lives_are_few() -> None:
    assert shelf_life(Retention(0)) == 5 * MINUTE
    assert shelf_life(Retention(5 * MINUTE)) == 10 * MINUTE
    assert shelf_life(Retention(24 * 60 * MINUTE)) == 5 * 512 * MINUTE
