"""Alerts that go through their lives while rulepush is killed at random moments, and what must be true of them.

The next change comes only when Alertmanager has received the last one, so that each phase of each alert is one episode:
one `startsAt`, and one end. That is the view of a run without kills, and what the record is held against.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from tests.faults.recording import Posted, RecordingAlertmanager
from tests.harness import Scene, job, section
from tests.http_server import HttpReply, LoopbackServer
from tests.servers import Server

RULES = """
groups:
- name: lives
  rules:
  - {alert: Now, expr: life > 0}
  - {alert: Late, expr: life > 0, for: 3s}
  - {alert: Window, expr: "min_over_time(life[3s]) > 0"}
  - {alert: Rate, expr: "rate(work_total[5s]) > 0"}
  - {alert: Never, expr: life < 0}
"""
FOR_MS = {"Now": 0, "Late": 3000, "Window": 0, "Rate": 0}
SERIES = 4
# A sample carries the moment of the grid, and the target is asked a little later, on a busy machine a second.
TOLERANCE_MS = 1500
PATIENCE_SECONDS = 40.0
LONGEST_LIFE_SECONDS = 7.0


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass
class Phase:
    """The condition of a series held from `on` to `off`, in ms; None: it still does."""

    on: int
    off: int | None = None


@dataclass
class Series:
    """The truth about one series. `work` is how many ms the condition held in all former phases."""

    number: int
    phases: list[Phase] = field(default_factory=list)
    next_change: float | None = None
    waits_since: float = 0.0  # monotonic, of the last change; only counts while no next one is planned

    @property
    def holds(self) -> bool:
        return bool(self.phases) and self.phases[-1].off is None

    def waiting_seconds(self) -> float:
        """Seconds since the change that Alertmanager has not received yet, 0 when it has received all."""
        return time.monotonic() - self.waits_since if self.next_change is None and self.phases else 0.0

    def lines(self) -> str:
        """As the target tells it."""
        work = sum((phase.off or now_ms()) - phase.on for phase in self.phases)
        return f'life{{n="{self.number}"}} {int(self.holds)}\nwork_total{{n="{self.number}"}} {work / 1000}\n'


class LivingTarget:
    """Tells the truth about its series."""

    def __init__(self, series: list[Series]):
        self._server = LoopbackServer(lambda _: HttpReply("".join(one.lines() for one in series).encode()))
        self.address = self._server.address

    def close(self) -> None:
        self._server.close()


class Lives:
    """One rulepush, its target and its Alertmanager, which refuses one POST of five for the moment."""

    def __init__(self, directory: Path, seed: int):
        self.rng = random.Random(seed)
        self.series = [Series(n) for n in range(SERIES)]
        self.target = LivingTarget(self.series)
        moods = random.Random(seed + 1)
        self.alertmanager = RecordingAlertmanager(lambda _: HttpReply(status=503 if moods.random() < 0.2 else 200))
        directory.mkdir()
        self.scene = Scene(
            directory, [job("app", [self.target.address])], [section([self.alertmanager.address])], RULES
        )
        # Only what must be sent is sent: no regular resend hides an alert that was lost.
        self.scene.flags = ["--rules.alert.resend-delay=1h"]
        self.kills = 0

    def run(self, kills: int) -> list[str]:
        """Everything that was wrong."""
        server: Server | None = None
        try:
            for self.kills in range(1, kills + 1):
                server = self._start(server)
                self._live(self.rng.uniform(0, LONGEST_LIFE_SECONDS))
                server.kill()
            self._start(server)
            self._settle()
        except TimeoutError as e:
            return [str(e), *self.problems()]
        finally:
            if server is not None:
                server.close()
            self.target.close()
            self.alertmanager.close()
        return self.problems()

    def _start(self, server: Server | None) -> Server:
        if server is None:
            return Server(self.scene.command(), self.scene.directory / "rulepush.log")
        server.start()
        return server

    def _live(self, seconds: float) -> None:
        """Runs for `seconds`; longer if by then a change has been on its way for long: what a row of short lives
        delayed arrives now, what was lost does not."""
        moment = time.monotonic() + seconds
        while time.monotonic() < moment:
            self._step()
            time.sleep(0.02)
        late = [one for one in self.series if one.waiting_seconds() > PATIENCE_SECONDS]
        self._wait_for(late, f"after kill {self.kills}")

    def _settle(self) -> None:
        """Without further kills or changes, Alertmanager comes to know the truth."""
        self._wait_for(self.series, "at the end")

    def _wait_for(self, series: list[Series], when: str) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while missing := [one for one in series if not self._received(one)]:
            if time.monotonic() > deadline:
                states = [f"series {one.number} {'fires' if one.holds else 'is over'}" for one in missing]
                raise TimeoutError(f"{when}: not received: {', '.join(states)}: {self.alertmanager.last()}")
            time.sleep(0.05)

    def _step(self) -> None:
        for one in self.series:
            if one.next_change is None and self._received(one):
                one.next_change = time.monotonic() + self.rng.uniform(0, 1.5)
            if one.next_change is not None and time.monotonic() >= one.next_change:
                if one.holds:
                    one.phases[-1].off = now_ms()
                else:
                    one.phases.append(Phase(now_ms()))
                one.next_change, one.waits_since = None, time.monotonic()

    def _received(self, one: Series) -> bool:
        """Whether Alertmanager knows of the present phase of the series."""
        last = {p.name: p for p in self.alertmanager.last().values() if p.labels.get("n") == str(one.number)}
        if one.holds:
            since = one.phases[-1].on - TOLERANCE_MS
            return all(name in last and not last[name].resolved and last[name].starts_at >= since for name in FOR_MS)
        return all(p.resolved for p in last.values())

    # --- the record against the truth

    def problems(self) -> list[str]:
        """Lost, doubled, faked, or out of order."""
        found = [f"a rule that is never true fired: {p}" for p in self.alertmanager.of("Never")]
        for one in self.series:
            for name in FOR_MS:
                record = [p for p in self.alertmanager.of(name) if p.labels.get("n") == str(one.number)]
                found += [f"{name} of series {one.number}: {text}" for text in check(name, one.phases, record)]
        return found


def check(name: str, phases: list[Phase], record: list[Posted]) -> list[str]:
    """What is wrong with the posts of one alert, in the order they came."""
    found = []
    starts = list(dict.fromkeys(p.starts_at for p in record))
    if starts != sorted(starts) or any(a.starts_at > b.starts_at for a, b in pairwise(record)):
        found.append("an older episode was sent after a newer one")
    if len(starts) != len(phases):
        found.append(f"{len(phases)} phases, but {len(starts)} episodes")
    for phase, start in zip(phases, starts, strict=False):
        episode = [p for p in record if p.starts_at == start]
        if start < phase.on + FOR_MS[name] - TOLERANCE_MS:
            found.append(f"fired {phase.on + FOR_MS[name] - start} ms too early")
        if phase.off is not None and start > phase.off + TOLERANCE_MS:
            found.append(f"fired {start - phase.off} ms after it was over")
        ended = False
        for p in episode:
            if ended and not p.resolved:
                found.append("fires again after its end, with the same start")
            ended = ended or p.resolved
            if p.resolved and (phase.off is None or p.ends_at < phase.off - TOLERANCE_MS):
                found.append("resolved while the condition held")
        if phase.off is not None and not ended:
            found.append("its end was never sent")
    return found
