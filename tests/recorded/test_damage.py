from __future__ import annotations

import logging
import random
import shutil
from pathlib import Path

import pytest

from rulepush.model.labels import Labels
from rulepush.recorded.events import RecordedEvent, RecordedStart
from rulepush.recorded.recording import Recording
from rulepush.recorded.records import MAGIC
from tests.fakes import FakeClock
from tests.recorded.recordings import ANY, EVER, plain, read, rows, scrape, series, write, writer


def events(count: int = 6) -> list[RecordedEvent]:
    """A start, and scrapes of two sources with values and series that change."""
    made: list[RecordedEvent] = [RecordedStart(0)]
    for i in range(1, count):
        of = (*series(12), Labels({"__name__": "once", "i": str(i)}))
        made.append(scrape(i, of, [i * n / 8 for n in range(13)], f"source {i % 2}"))
    return made


def segment(directory: Path) -> Path:
    (path,) = directory.glob("*.seg")
    return path


def test_a_segment_cut_off_anywhere_gives_what_is_whole_before(tmp_path: Path) -> None:
    write(tmp_path, events())
    path = segment(tmp_path)
    whole = path.read_bytes()
    expected = [plain(e) for e in events()]
    found = []
    for size in range(len(whole) + 1):
        path.write_bytes(whole[:size])
        recording = Recording(tmp_path)
        got = [plain(e) for e in recording.events(*EVER)]
        assert got == expected[: len(got)]
        assert not recording.problems, "a torn tail is nothing to tell"
        found.append(len(got))
    assert found == sorted(found)
    assert found[-1] == len(expected)
    assert found[-2] == len(expected) - 1


def test_zeros_at_the_end_are_a_torn_tail(tmp_path: Path) -> None:
    """What a file system may leave after a power cut."""
    write(tmp_path, events())
    with segment(tmp_path).open("ab") as file:
        file.write(bytes(5_000))
    recording = Recording(tmp_path)
    assert [plain(e) for e in recording.events(*EVER)] == [plain(e) for e in events()]
    assert not recording.problems


def test_flipped_bits_cost_what_comes_after_them_and_give_no_wrong_value(tmp_path: Path) -> None:
    write(tmp_path, events())
    path = segment(tmp_path)
    whole = bytearray(path.read_bytes())
    expected = [plain(e) for e in events()]
    every = rows(Recording(tmp_path).select([ANY], *EVER))
    for bit in range(8 * len(whole)):
        if bit % 8 != bit // 8 % 8:  # one bit of each byte
            continue
        whole[bit // 8] ^= 1 << bit % 8
        path.write_bytes(whole)
        whole[bit // 8] ^= 1 << bit % 8
        recording = Recording(tmp_path)
        got = [plain(e) for e in recording.events(*EVER)]
        assert got == expected[: len(got)]
        assert len(got) < len(expected)
        assert len(recording.problems) == 1, "no flipped bit goes unnoticed"
        for labels, samples in rows(Recording(tmp_path).select([ANY], *EVER)).items():
            assert samples == every[labels][: len(samples)]


def test_bytes_of_chance_are_no_crash_and_no_value(tmp_path: Path) -> None:
    rng = random.Random(5)
    write(tmp_path, events())
    path = segment(tmp_path)
    whole = path.read_bytes()
    expected = [plain(e) for e in events()]
    for _ in range(200):
        at = rng.randrange(len(whole))
        path.write_bytes(whole[:at] + rng.randbytes(rng.randrange(1, 200)) + whole[at + rng.randrange(200) :])
        got = read(tmp_path)
        assert got == expected[: len(got)]
        Recording(tmp_path).series([ANY], *EVER)


def damaged_recording(directory: Path) -> tuple[Path, bytes]:
    """Two segments of earlier processes; the first is damaged in its last record."""
    write(directory, events())
    path = segment(directory)
    write(directory, [RecordedStart(100), scrape(101, series(3), [1, 2, 3])])
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    return path, bytes(content)


def test_a_damaged_segment_is_set_aside_and_told_and_the_rest_stays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, content = damaged_recording(tmp_path)
    made = writer(tmp_path, FakeClock())
    for _ in range(3):  # each looks at one segment
        made.flush()
    assert made.stats.damaged == 1
    assert made.up
    assert path.with_suffix(".damaged").read_bytes() == content
    (record,) = [r for r in caplog.records if r.levelno >= logging.ERROR]
    assert str(path) in record.getMessage()
    recording = Recording(tmp_path)
    assert [plain(e) for e in recording.events(*EVER)][:-2] == [plain(e) for e in events()[:-1]]
    assert [e.at for e in recording.events(*EVER)][-2:] == [100, 101]
    assert not recording.problems
    assert made.nbytes == sum(f.stat().st_size for f in tmp_path.iterdir())


def test_damage_that_a_reader_finds_is_set_aside_by_the_writer(tmp_path: Path) -> None:
    path, _ = damaged_recording(tmp_path)
    made = writer(tmp_path, FakeClock())
    made.flush()  # looks at the newest first
    recording = Recording(tmp_path, made.set_aside)
    assert [e.at for e in recording.events(*EVER)] == [0, 1, 2, 3, 4, 100, 101]
    assert made.stats.damaged == 1
    assert path.with_suffix(".damaged").exists()
    assert [e.at for e in Recording(tmp_path, made.set_aside).events(*EVER)] == [0, 1, 2, 3, 4, 100, 101]
    assert made.stats.damaged == 1


def test_the_segment_being_written_may_be_set_aside_too(tmp_path: Path) -> None:
    made = writer(tmp_path, FakeClock())
    for event in events():
        made.record(event)
        made.flush()
    path = segment(tmp_path)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert len(list(Recording(tmp_path, made.set_aside).events(*EVER))) == 5
    made.record(scrape(50, series(12), range(12)))
    made.close()
    assert [e.at for e in Recording(tmp_path).events(*EVER)] == [0, 1, 2, 3, 4, 50]


def test_a_file_of_another_version_is_set_aside_whole(tmp_path: Path) -> None:
    tmp_path.joinpath("00000001-5.seg").write_bytes(b"rprec 9\nsomething")
    made = writer(tmp_path, FakeClock())
    made.flush()
    assert [f.name for f in tmp_path.iterdir()] == ["00000001-5.damaged"]


def test_a_torn_tail_is_not_set_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "rulepush.recorded")
    write(tmp_path, events())
    path = segment(tmp_path)
    path.write_bytes(path.read_bytes()[:-3])
    made = writer(tmp_path, FakeClock())
    made.flush()
    assert made.stats.damaged == 0
    assert path.exists()
    assert [r.levelname for r in caplog.records] == ["DEBUG"]


def test_a_reader_outlives_the_files_it_reads(tmp_path: Path) -> None:
    for _ in range(3):
        write(tmp_path, events())
    recording = Recording(tmp_path)
    reading = recording.events(*EVER)
    next(reading)
    shutil.rmtree(tmp_path)
    assert [e.at for e in reading] == [1, 2, 3, 4, 5], "the segment that is open is read to its end"
    assert recording.bounds() is None
    assert not recording.problems


def test_a_reader_sees_what_was_flushed_meanwhile(tmp_path: Path) -> None:
    made = writer(tmp_path, FakeClock())
    recording = Recording(tmp_path)
    for i in range(5):
        made.record(scrape(i, series(20), [i] * 20))
        assert len(list(recording.events(*EVER))) == i
        made.flush()
        assert len(list(recording.events(*EVER))) == i + 1
        assert recording.bounds() == (0, i)
    made.close()


def test_a_segment_with_nothing_but_its_beginning_is_empty(tmp_path: Path) -> None:
    for size in range(len(MAGIC) + 1):
        tmp_path.joinpath(f"{size + 1:08d}-5.seg").write_bytes(MAGIC[:size])
    recording = Recording(tmp_path)
    assert list(recording.events(*EVER)) == []
    assert recording.problems == ()
