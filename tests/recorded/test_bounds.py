"""What the recording keeps at most, and what happens when the disk is full."""

from __future__ import annotations

import errno
import logging
import random
import shutil
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat, starmap
from pathlib import Path
from typing import BinaryIO, cast

import pytest

from rulepush.model.timestamps import UNKNOWN_TIME
from rulepush.recorded.events import RecordedEvent
from rulepush.recorded.metrics import expose_recording
from rulepush.recorded.recording import Recording
from rulepush.recorded.writer import RecordingWriter
from rulepush.telemetry import Telemetry
from rulepush.web.recording_past import RecordingPast
from tests.fakes import FakeClock
from tests.recorded.recordings import DAY, EVER, MIB, read, scrape, series, writer

HOUR = 3_600_000
MINUTE = 60_000
START = FakeClock().now()


def ahead(clock: FakeClock, ms: int) -> None:
    clock.stall(ms / 1000)


def size_of(directory: Path) -> int:
    return sum(f.stat().st_size for f in directory.iterdir())


NOISY = series(1_000)


def noise(clock: FakeClock, rng: random.Random) -> RecordedEvent:
    """Values that cannot be compressed, of the same series as before: a scrape makes no labels anew either."""
    return scrape(clock.now(), NOISY, [rng.random() for _ in NOISY])


def test_what_is_older_than_the_retention_goes_within_a_segment(tmp_path: Path) -> None:
    clock = FakeClock()
    made = writer(tmp_path, clock, retention_ms=4 * HOUR)
    for _ in range(10 * 60):
        ahead(clock, MINUTE)
        made.record(scrape(clock.now(), series(10), range(10)))
        made.flush()
        found = Recording(tmp_path).bounds()
        assert found is not None
        if clock.now() > START + 4 * HOUR + MINUTE:
            assert 4 * HOUR - 1 <= clock.now() - found[0] <= 4 * HOUR + 4 * HOUR // 16 + MINUTE
    assert made.oldest == Recording(tmp_path).bounds()[0]  # type: ignore[index]


def test_what_is_larger_than_the_size_never_stays(tmp_path: Path) -> None:
    clock, rng = FakeClock(), random.Random(1)
    made = writer(tmp_path, clock, max_size=2 * MIB)
    for i in range(600):
        ahead(clock, 5_000)
        made.record(noise(clock, rng))
        made.flush()
        assert size_of(tmp_path) == made.nbytes <= 2 * MIB
        if i > 400:
            assert size_of(tmp_path) > 2 * MIB * 14 // 16
    ats = [e.at for e in Recording(tmp_path).events(*EVER)]
    assert ats == list(range(ats[0], clock.now() + 1, 5_000)), "the oldest went, and nothing between"


def test_a_burst_in_one_flush_keeps_the_bound(tmp_path: Path) -> None:
    clock, rng = FakeClock(), random.Random(1)
    made = writer(tmp_path, clock, max_size=MIB)
    for _ in range(500):
        made.record(noise(clock, rng))
    made.flush()
    assert size_of(tmp_path) == made.nbytes <= MIB
    assert made.stats.blocks == 500


def test_smaller_bounds_hold_from_the_next_flush_on(tmp_path: Path) -> None:
    clock, rng = FakeClock(), random.Random(1)
    made = writer(tmp_path, clock, max_size=4 * MIB)
    for _ in range(600):
        ahead(clock, MINUTE)
        made.record(noise(clock, rng))
        made.flush()
    assert size_of(tmp_path) > 3 * MIB
    made.configure(DAY, MIB)
    made.flush()
    assert size_of(tmp_path) <= MIB
    made.configure(10 * MINUTE, MIB)
    made.flush()
    assert min(e.at for e in Recording(tmp_path).events(*EVER)) > clock.now() - 2 * HOUR


def test_bounds_hold_from_the_start_on_for_what_an_earlier_process_left(tmp_path: Path) -> None:
    clock, rng = FakeClock(), random.Random(1)
    first = writer(tmp_path, clock, max_size=4 * MIB)
    for _ in range(600):
        ahead(clock, MINUTE)
        first.record(noise(clock, rng))
        first.flush()
    first.close()
    tmp_path.joinpath("00000001-5.part").write_bytes(b"left by a kill")
    tmp_path.joinpath("00000001-5.damaged").write_bytes(bytes(MIB // 2))
    second = writer(tmp_path, clock, max_size=MIB)
    second.flush()
    assert size_of(tmp_path) == second.nbytes <= MIB
    assert {f.suffix for f in tmp_path.iterdir()} == {".seg"}, "what is damaged counts, and goes by its age"
    assert second.oldest is not None


def test_a_clock_that_was_ahead_does_not_keep_segments_for_ever(tmp_path: Path) -> None:
    clock = FakeClock()
    made = writer(tmp_path, clock, retention_ms=4 * HOUR)
    clock.set_wall(START + 900 * HOUR)
    made.record(scrape(clock.now(), series(10), range(10)))
    made.flush()
    clock.set_wall(START)
    for _ in range(10):
        ahead(clock, HOUR)
        made.record(scrape(clock.now(), series(10), range(10)))
        made.flush()
    assert max(e.at for e in Recording(tmp_path).events(*EVER)) == clock.now()


def test_a_clock_that_was_behind_for_a_while_does_not_cost_what_was_recorded_before(tmp_path: Path) -> None:
    """As after a boot without a clock of its own, until the time is known."""
    clock = FakeClock()
    begun = clock.now()
    for at in (begun, 1_000, begun + HOUR):
        clock.set_wall(at)
        made = writer(tmp_path, clock)
        made.record(scrape(at, series(1), [1]))
        made.close()
    made = writer(tmp_path, clock)
    made.flush()
    assert begun in [e.at for e in Recording(tmp_path).events(*EVER)]
    clock.set_wall(begun + DAY + 2 * HOUR)
    made.record(scrape(clock.now(), series(1), [1]))
    made.flush()
    made.flush()  # removes what is too old
    ats = [e.at for e in Recording(tmp_path).events(*EVER)]
    assert ats == [begun + HOUR, clock.now()], "the last one ends when the next is begun"


def test_a_directory_with_the_name_of_a_segment_is_left_alone(tmp_path: Path) -> None:
    tmp_path.joinpath("00000098-5.seg").mkdir()
    made = writer(tmp_path, FakeClock())
    made.record(scrape(START, series(1), [1]))
    made.flush()
    assert made.up
    assert Recording(tmp_path).bounds() == (START, START)
    assert tmp_path.joinpath("00000098-5.seg").is_dir()


def test_what_is_dropped_while_the_recording_resumes_is_a_gap_too(tmp_path: Path) -> None:
    clock, disk = FakeClock(), Disk(0)

    def open_late(path: Path) -> BinaryIO:
        if disk.room:
            made.record(scrape(clock.now() + 1, series(1), [1]))  # the event loop goes on while a thread flushes
        return disk(path)

    made = RecordingWriter(tmp_path, DAY, 64 * MIB, clock, open_late)
    made.record(scrape(clock.now(), series(1), [1]))
    made.flush()
    disk.room = MIB
    ahead(clock, MINUTE)
    made.flush()
    assert made.up
    made.record(scrape(clock.now() + 2, series(1), [1]))
    made.close()
    assert [type(e).__name__ for e in Recording(tmp_path).events(*EVER)] == [
        "RecordedStart",
        "RecordedStart",
        "RecordedBlock",
    ]
    assert made.stats.dropped == 2
    resumed = clock.now()
    assert made.lost == ((resumed - MINUTE, resumed + 2),)


def test_a_reader_of_a_full_disk_is_told_what_is_lost_from_the_first_second_on(tmp_path: Path) -> None:
    clock, disk = FakeClock(), Disk(1 << 40)
    made = RecordingWriter(tmp_path, DAY, 64 * MIB, clock, disk)

    async def flush() -> None:
        return

    past = RecordingPast(Recording(tmp_path), flush, lambda: made.lost)
    begun = clock.now()

    def some(room: int) -> None:
        disk.room = room
        for _ in range(12):
            made.record(scrape(clock.now(), series(1), [1]))
            made.flush()
            ahead(clock, 5_000)

    some(1 << 40)
    assert past.spans(5 * MINUTE) == [(begun, begun + 55_000)]
    some(0)
    assert past.spans(5 * MINUTE) == [(begun, begun + 55_000), (UNKNOWN_TIME, UNKNOWN_TIME)]
    some(1 << 40)
    assert past.spans(5 * MINUTE) == [(begun, begun + MINUTE), (begun + 2 * MINUTE, begun + 2 * MINUTE + 55_000)]
    assert made.lost == ((begun + MINUTE, begun + 2 * MINUTE),)


def test_a_directory_that_somebody_removed_is_told_and_made_again(tmp_path: Path) -> None:
    clock = FakeClock()
    made = writer(tmp_path / "recording", clock)
    made.record(scrape(clock.now(), series(1), [1]))
    made.flush()
    shutil.rmtree(tmp_path / "recording")
    made.record(scrape(clock.now(), series(1), [1]))
    made.flush()
    assert not made.up
    assert "No such file" in made.last_error
    assert made.stats.dropped == 1
    ahead(clock, MINUTE)
    made.flush()
    assert made.up
    made.record(scrape(clock.now(), series(1), [1]))
    made.flush()
    assert len(read(tmp_path / "recording")) == 2
    assert size_of(tmp_path / "recording") == made.nbytes


class Disk:
    """An opener of files on a disk with `room` bytes: what is beyond is refused, a part of it may be written."""

    def __init__(self, room: int):
        self.room = room

    def __call__(self, path: Path) -> BinaryIO:
        return cast(BinaryIO, _File(self, path.open("xb", buffering=0)))


class _File:
    def __init__(self, disk: Disk, file: BinaryIO):
        self._disk, self._file = disk, file

    def write(self, part: memoryview) -> int:
        if not self._disk.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = self._file.write(part[: self._disk.room])
        self._disk.room -= taken
        return taken

    def close(self) -> None:
        self._file.close()


def metric(made: RecordingWriter, name: str) -> float:
    telemetry = Telemetry()
    expose_recording(telemetry, lambda: made)
    (line,) = [x for x in telemetry.render().decode().splitlines() if x.split(" ")[0] == name]
    return float(line.split()[1])


@pytest.mark.parametrize("room", [0, 1, 8, 9, 100, 20_000, 20_001])
def test_a_full_disk_stops_the_recording_until_there_is_room(
    tmp_path: Path, room: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    clock, rng, disk = FakeClock(), random.Random(1), Disk(room)
    made = RecordingWriter(tmp_path, DAY, 64 * MIB, clock, disk)
    for _ in range(20):
        ahead(clock, 5_000)
        made.record(noise(clock, rng))
        made.flush()
    assert metric(made, "rulepush_recording_up") == 0
    written = len(read(tmp_path))
    assert made.stats.blocks == written
    assert metric(made, "rulepush_recording_dropped_events_total") == 20 - written
    assert size_of(tmp_path) == made.nbytes, "nothing half written stays"
    assert [r.levelname for r in caplog.records] == ["ERROR"], "it is told once"
    assert "No space left" in caplog.text
    assert str(tmp_path) in caplog.text
    assert made.stopped_since is not None
    assert made.stopped_since <= clock.now()
    assert "No space left" in made.last_error

    disk.room = 1 << 40
    for _ in range(13):
        ahead(clock, 5_000)
        made.record(noise(clock, rng))
        made.flush()
    assert metric(made, "rulepush_recording_up") == 1
    assert [r.levelname for r in caplog.records] == ["ERROR", "INFO"]
    assert f"{made.stopped_since} {made.last_error}" == "None "
    after = read(tmp_path)[written:]
    assert "RecordedStart" in repr(after[0]), "a replay must know that something is missing before"
    assert "RecordedStart" not in repr(after[1:])
    assert len(after) > 1
    assert made.stats.blocks + made.stats.dropped == 33


def test_a_directory_that_cannot_be_written_is_tried_once_a_minute(tmp_path: Path) -> None:
    tmp_path.joinpath("file").write_text("")
    clock = FakeClock()
    made = writer(tmp_path / "file" / "recording", clock)
    made.record(scrape(clock.now(), series(1), [1]))
    made.flush()
    assert not made.up
    tmp_path.joinpath("file").unlink()
    ahead(clock, 59_000)
    made.flush()
    assert not made.up
    ahead(clock, 1_000)
    made.flush()
    assert made.up
    assert len(read(tmp_path / "file" / "recording")) == 1


def test_the_metrics_tell_what_is_recorded(tmp_path: Path) -> None:
    clock = FakeClock()
    made = writer(tmp_path, clock)
    telemetry = Telemetry()
    expose_recording(telemetry, lambda: made)
    assert b"\nrulepush_recording_oldest_timestamp_seconds " not in telemetry.render()
    made.record(scrape(clock.now(), series(10), range(10)))
    made.flush()
    assert metric(made, "rulepush_recording_samples_total") == 10
    assert metric(made, "rulepush_recording_blocks_total") == 1
    assert metric(made, "rulepush_recording_bytes") == size_of(tmp_path)
    assert metric(made, "rulepush_recording_oldest_timestamp_seconds") == START / 1000
    assert metric(made, "rulepush_recording_damaged_segments_total") == 0


def test_events_may_come_while_a_flush_is_under_way(tmp_path: Path) -> None:
    clock = FakeClock()
    made = writer(tmp_path, clock)
    of, count = series(3), 20_000
    with ThreadPoolExecutor(1) as thread:
        flushing = thread.submit(lambda: list(starmap(made.flush, repeat((), 200))))
        for n in range(count):
            made.record(scrape(clock.now(), of, [n, n, n]))
        flushing.result()
    made.close()
    assert (made.stats.blocks, made.stats.dropped, made.pending_samples) == (count, 0, 0)
    assert len(read(tmp_path)) == count


def test_memory_is_that_of_what_waits_and_of_the_series_of_the_segment(tmp_path: Path) -> None:
    clock = FakeClock()
    made = writer(tmp_path, clock)
    assert made.memory_bytes == 0
    for n in range(10):
        made.record(scrape(clock.now() + n, series(1000), [n] * 1000))
    waiting = made.memory_bytes
    assert waiting >= 10 * 1000 * 8
    made.flush()
    assert 1000 * 50 < made.memory_bytes < waiting * 2
