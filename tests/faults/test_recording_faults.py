"""The recording of a real process: over `kill -9`, and on a disk that is full."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from rulepush.recorded.events import Origin, RecordedBlock, RecordedEvaluation, RecordedStart
from rulepush.recorded.recording import Recording
from tests.faults.lives import now_ms
from tests.faults.test_state_files import Story, disk, story
from tests.harness import job, section
from tests.http_server import HttpReply, LoopbackServer
from tests.servers import wait_for

pytestmark = pytest.mark.e2e

AT_MOST_LOST_MS = 10_000
EVER = (0, 1 << 62)


def record(one: Story) -> None:
    config = one.scene.directory / "prometheus.yml"
    config.write_text(config.read_text() + "storage: {record: {}}\n")


def breaches(recording: Recording, start: int) -> list[tuple[int, float]]:
    """(time, value) of what the target said in scrapes that came from `start` on. (What is in memory at a start is told
    again.)"""
    return [
        (s.ts, s.value)
        for event in recording.events(start, EVER[1])
        if isinstance(event, RecordedBlock) and event.origin is Origin.SCRAPE and event.source != "memory"
        for s in event.block.samples()
        if s.labels.name == "e2e_breach"
    ]


def test_a_kill_loses_ten_seconds_at_most_and_what_is_before_stays_readable(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "state" / "recording")
    with story(tmp_path) as one:
        record(one)
        for life in range(3):
            began = now_ms()
            one.app.value = life
            with one.scene.rulepush() as server:
                what = f"two flushes of life {life}"

                def written(began: int = began) -> bool:
                    return (recording.bounds() or (0, 0))[1] > began + 6_000

                wait_for(what, written)
                server.kill()
                killed = now_ms()
            _, last = recording.bounds() or (0, 0)
            assert killed - last <= AT_MOST_LOST_MS
            said = breaches(recording, began)
            assert {value for _, value in said} == {float(life)}
            gaps = [later - at for (at, _), (later, _) in pairwise(said)]
            assert max(gaps) <= 2000  # a busy machine may leave one scrape out
        events = list(recording.events(*EVER))
    assert sum(isinstance(e, RecordedStart) for e in events) == 3
    assert sum(isinstance(e, RecordedEvaluation) for e in events) > 3 * 4
    assert recording.problems == ()


@contextlib.contextmanager
def noise() -> Iterator[str]:
    """The address of a target whose values cannot be compressed: each flush needs room."""
    rng = random.Random(1)
    server = LoopbackServer(lambda _: HttpReply("".join(f"noise_{n} {rng.random()!r}\n" for n in range(1000)).encode()))
    try:
        yield server.address
    finally:
        server.close()


def test_a_disk_that_is_full_stops_the_recording_and_no_alert(tmp_path: Path) -> None:
    with disk(tmp_path / "disk") as small, noise() as loud, story(tmp_path, tmp_path / "disk" / "state") as one:
        one.scene.configure(
            [job("app", [one.app.address]), job("noise", [loud])], [section([one.alertmanager.address])]
        )
        record(one)
        with one.scene.rulepush():
            recording = Recording(tmp_path / "disk" / "state" / "recording")
            wait_for("a flush", recording.bounds)
            small.fill()
            wait_for("the recording has stopped", lambda: one.scene.own("rulepush_recording_up") == 0)
            one.goes_through()
            assert "recording stopped, alerting goes on" in one.scene.log()
            assert "No space left" in one.scene.log()
            before = recording.bounds()
            small.free()
            one.goes_through()
            assert recording.bounds() == before  # it is tried again once a minute; what is there can be read
