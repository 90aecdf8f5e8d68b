"""A process that records is killed, while this one reads."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rulepush.recorded.recording import Recording
from tests.recorded.recordings import EVER, read

RECORD = """
import sys
from itertools import count
from pathlib import Path
from rulepush.clock import SystemClock
from rulepush.recorded.writer import RecordingWriter
from tests.recorded.recordings import scrape, series

made = RecordingWriter(Path(sys.argv[1]), 86_400_000, 1 << 20, SystemClock())
of = series(200)
for i in count(int(sys.argv[2])):
    made.record(scrape(i, of, [float(i)] * 200))
    made.flush()
"""


@pytest.mark.parametrize("enough", [1, 50, 400])
def test_a_kill_costs_nothing_that_was_flushed(tmp_path: Path, enough: int) -> None:
    seen: list[int] = []
    for life in range(2):
        begun = len(seen)
        process = subprocess.Popen([sys.executable, "-c", RECORD, str(tmp_path), str(begun)])
        try:
            while len(seen) < begun + enough:  # read beside the writer
                assert process.poll() is None
                recording = Recording(tmp_path)
                found = [e.at for e in recording.events(*EVER)]
                assert found[: len(seen)] == seen
                assert found == list(range(len(found)))
                assert not recording.problems
                seen = found
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        after = [e.at for e in Recording(tmp_path).events(*EVER)]
        assert after[: len(seen)] == seen
        assert after == list(range(len(after)))
        assert len(list(tmp_path.glob("*.seg"))) >= life + 1
        seen = after
    assert "nan" not in repr(read(tmp_path))
