"""What a real process recorded, replayed: transition by transition what its history says, with `kill -9` in between.

RULEPUSH_LIVES and RULEPUSH_SEED choose how many lives the process has, and which.
"""

from __future__ import annotations

import os
import random
import threading
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from rulepush.backtest import Replay, ReplayOptions, Survey
from rulepush.history.rows import HistoryFilter
from rulepush.history.store import DEFAULT_BOUNDS, SCHEMA, HistoryTables
from rulepush.model.labels import Labels
from rulepush.recorded.recording import Recording
from rulepush.rules.rulefmt import load_rule_files
from rulepush.rules.transition import Transition
from rulepush.storage.database import Database
from tests.harness import Scene, job
from tests.http_server import HttpReply, LoopbackServer
from tests.servers import wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.alone]

LIVES = int(os.environ.get("RULEPUSH_LIVES", "3"))
SEED = int(os.environ.get("RULEPUSH_SEED", "20261129"))
CHANGES = 8  # of the target, in each life
SERIES = 3
# No rule looks back over a range of what rules wrote: a kill loses seconds of it in the recording, one in the journal.
RULES = """
groups:
- name: lives
  rules:
  - {alert: Now, expr: life > 0}
  - {alert: Late, expr: life > 0, for: 2s}
  - {alert: LongLate, expr: life > 0, for: 20s}
  - {alert: Kept, expr: life > 0, keep_firing_for: 3s}
  - {alert: LongKept, expr: life > 0, for: 1s, keep_firing_for: 25s}
  - {alert: Window, expr: "max_over_time(life[4s]) > 0", labels: {seen: "{{ $value }}"}}
  - {alert: Rate, expr: "rate(work_total[6s]) > 0.5"}
  - {alert: Gone, expr: 'absent(life{n="0"})', for: 1s}
  - {alert: Failed, expr: up == 0}
  - {alert: Few, expr: "count_over_time(up[10s]) < 6"}
- name: sums
  rules:
  - {record: lives, expr: sum(life)}
  - {alert: Many, expr: lives > 1, for: 1s}
  - {alert: Seen, expr: 'ALERTS{alertname="Now", alertstate="firing"}', for: 1s}
"""


@dataclass
class ChangingTarget:
    """Answers differently every few scrapes: values change, series go, the whole target fails."""

    rng: random.Random
    values: list[int] = field(default_factory=lambda: [0] * SERIES)
    missing: set[int] = field(default_factory=set)
    broken: bool = False
    hits: int = 0

    def __post_init__(self) -> None:
        self._changes = threading.Lock()
        self._work = 0
        self._server = LoopbackServer(lambda _: self._answer())
        self.address = self._server.address

    def _answer(self) -> HttpReply:
        with self._changes:
            self.hits += 1
            self._work += sum(self.values)
            lines = [f'life{{n="{n}"}} {v}\n' for n, v in enumerate(self.values) if n not in self.missing]
            return HttpReply(f"{''.join(lines)}work_total {self._work}\n".encode(), 500 if self.broken else 200)

    def change(self) -> None:
        """One thing becomes different."""
        with self._changes:
            what, n = self.rng.random(), self.rng.randrange(SERIES)
            self.broken = what > 0.9
            if what > 0.7:
                self.missing ^= {n}
            else:
                self.values[n] = 0 if self.values[n] else self.rng.randrange(1, 4)

    def scraped(self, times: int) -> None:
        """Wait for so many scrapes."""
        until = self.hits + times
        wait_for(f"{times} scrapes", lambda: self.hits >= until, 10 + 3 * times)

    def close(self) -> None:
        self._server.close()


def history(directory: Path) -> list[Transition]:
    """What the service tells, in its order."""
    database = Database(directory / "history.db", SCHEMA)
    try:
        found = HistoryTables(database, DEFAULT_BOUNDS).find(HistoryFilter(limit=10_000)).found
    finally:
        database.close()
    return list(reversed(found))


def replayed(directory: Path, rules: Path) -> list[Transition]:
    """What the recording gives."""
    events = list(Recording(directory / "recording").events(0, 1 << 62))
    moved: list[Transition] = []
    replay = Replay(load_rule_files([str(rules)]), ReplayOptions(), Survey.of(events[:200]), moved.extend)
    for event in events:
        replay.take(event)
    replay.finish(events[-1].at)
    return moved


def reaches(recording: Recording, at: int) -> bool:
    """Whether it goes on behind `at` (ms)."""
    bounds = recording.bounds()
    return bounds is not None and bounds[1] > at


def told(one: Transition) -> tuple[int, str, Labels, str, str, str]:
    return one.ts, one.rule.name, one.labels, one.was, one.now, one.reason.value


def test_a_recording_replayed_says_what_the_service_did(tmp_path: Path) -> None:
    rng = random.Random(SEED)
    target = ChangingTarget(rng)
    scene = Scene(tmp_path, [job("app", [target.address])], [], RULES)
    config = tmp_path / "prometheus.yml"
    config.write_text(config.read_text() + "storage: {record: {}}\n")
    state = tmp_path / "state"
    recording = Recording(state / "recording")
    try:
        for _ in range(LIVES):
            with scene.rulepush() as server:
                for _ in range(CHANGES):
                    target.change()
                    target.scraped(rng.randrange(1, 6))
                # All short waits of the rules end; the long ones go on over the kill. Then both files have it.
                target.scraped(8)
                wait_for("it is written", partial(reaches, recording, history(state)[-1].ts))
                target.scraped(2)  # the journal has, too, what the recording has; of what is newer, it alone has a part
                server.kill()
    finally:
        target.close()
    lived = [told(t) for t in history(state) if len(t.labels)]
    again = [told(t) for t in replayed(state, tmp_path / "rules.yml") if len(t.labels)]
    missing, extra = Counter(lived) - Counter(again), Counter(again) - Counter(lived)
    shown = [f"only lived:    {one}" for one in missing] + [f"only replayed: {one}" for one in extra]
    assert not shown, f"seed {SEED}, {len(lived)} transitions:\n" + "\n".join(map(str, sorted(shown)))
    assert len(lived) > 20 * LIVES, "the alerts hardly lived"
    assert {one[5] for one in lived} >= {"condition_true", "for_elapsed", "kept_firing", "restored", "series_gone"}
