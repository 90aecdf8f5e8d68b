"""When was recorded, and when was not."""

from __future__ import annotations

from pathlib import Path

import pytest

from rulepush.model.timestamps import UNKNOWN_TIME
from rulepush.recorded.events import RecordedEvaluation, RecordedStart
from rulepush.recorded.recording import Recording
from rulepush.recorded.records import list_segments
from tests.fakes import FakeClock
from tests.recorded.recordings import ANY, EVER, scrape, series, write, writer

S = 1000
OF = series(2)


def test_nothing_is_recorded_where_there_is_nothing(tmp_path: Path) -> None:
    assert Recording(tmp_path / "none").spans(60 * S) == []
    (tmp_path / "some").mkdir()
    assert Recording(tmp_path / "some").spans(60 * S) == []


def test_a_gap_is_what_is_longer_than_asked(tmp_path: Path) -> None:
    for first in (0, 70, 300):
        write(tmp_path, (scrape((first + k) * S, OF, [1.0, 2.0]) for k in range(0, 20, 10)))
    assert Recording(tmp_path).spans(60 * S) == [(0, 80 * S), (300 * S, 310 * S)]
    assert Recording(tmp_path).spans(59 * S) == [(0, 10 * S), (70 * S, 80 * S), (300 * S, 310 * S)]
    assert Recording(tmp_path).spans(300 * S) == [(0, 310 * S)]


def test_every_event_counts(tmp_path: Path) -> None:
    write(tmp_path, [RecordedStart(5), scrape(10 * S, OF, [1.0, 2.0]), RecordedEvaluation(20 * S, "f", "g", S, 0)])
    assert Recording(tmp_path).spans(60 * S) == [(5, 20 * S)]


def test_what_was_found_damaged_is_missing(tmp_path: Path) -> None:
    made = writer(tmp_path, FakeClock())
    for k in range(10):
        made.record(scrape(k * S, OF, [float(k), 2.0]))
        made.flush()
    made.close()
    (segment,) = list_segments(tmp_path)
    content = bytearray(segment.path.read_bytes())
    content[-3] ^= 1  # in the last record
    segment.path.write_bytes(content)
    recording = Recording(tmp_path)
    assert recording.select([ANY], *EVER).counts.tolist() == [9, 9]
    assert recording.spans(60 * S) == [(0, 8 * S), (UNKNOWN_TIME, UNKNOWN_TIME)]


@pytest.mark.parametrize("is_set_aside", [False, True])
def test_damage_is_a_gap_however_short_it_is(tmp_path: Path, is_set_aside: bool) -> None:
    for first in (0, 10):
        write(tmp_path, (scrape((first + k) * S, OF, [1.0, 2.0]) for k in range(10)))
    path = list_segments(tmp_path)[0].path
    content = bytearray(path.read_bytes())
    content[-3] ^= 1  # in the last record of the first segment
    path.write_bytes(content)
    if is_set_aside:
        made = writer(tmp_path, FakeClock())
        for _ in range(3):  # each looks at one segment
            made.flush()
        assert path.with_suffix(".damaged").exists()
    recording = Recording(tmp_path)
    assert recording.select([ANY], *EVER).counts.tolist() == [19, 19]
    assert recording.spans(60 * S) == [(0, 8 * S), (10 * S, 19 * S)]
