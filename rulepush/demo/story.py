"""The script of the demo: the life of one alert, each step printed when it happens."""

from __future__ import annotations

import asyncio
import sys
import textwrap
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from rulepush.demo.fake_dingtalk import ShownMessage
from rulepush.demo.receiver import ReceivedNotification
from rulepush.demo.stage import FOR_S, INTERVAL_S, Stage

ALERT: Final = "NacosConfigTaskBacklog"
HEALTHY: Final = 0.0
BACKLOG: Final = 450.0
LIFE_SECONDS: Final = 60.0

INTRODUCTION: Final = f"""\
rulepush demo: the life of one alert, on this machine alone.

  simulated Nacos --scraped every {INTERVAL_S}s--> rulepush --pushed--> Alertmanager --> DingTalk relay --> robot

Nacos can only be scraped. rulepush evaluates rules/nacos.yml in memory and pushes what fires. The rules are the real
ones, but for their `for`, which is {FOR_S}s here so that you need not wait.
"""


@dataclass(slots=True)
class StoryProgress:
    """What has arrived at the end of the chain so far."""

    arrivals: list[ReceivedNotification] = field(default_factory=list)
    messages: list[ShownMessage] = field(default_factory=list)

    def clear(self) -> None:
        self.arrivals.clear()
        self.messages.clear()

    def arrived(self, *, resolved: bool) -> bool:
        """Whether Alertmanager has notified of the demo's alert in this state."""
        return any(a.name == ALERT and a.resolved is resolved for a in self.arrivals)


class Narrator:
    """Prints lines with the seconds since the start."""

    def __init__(self, write: Callable[[str], object] = sys.stdout.write):
        self._write = write
        self._start = time.monotonic()

    def say(self, who: str, text: str) -> None:
        """One line: when, who, what."""
        self._write(f"{time.monotonic() - self._start:6.1f}s  {who:<13} {text}\n")
        sys.stdout.flush()

    def plain(self, text: str) -> None:
        """Print text as it is."""
        self._write(text + "\n")
        sys.stdout.flush()


async def show_one_life(stage: Stage, progress: StoryProgress, narrator: Narrator) -> bool:
    """Break the simulated Nacos, heal it, and print what follows. False when a step did not happen in time."""
    progress.clear()
    try:
        async with asyncio.timeout(LIFE_SECONDS):
            await _life(stage, progress, narrator)
    except TimeoutError:
        narrator.say("demo", f"the next step did not come within {LIFE_SECONDS:.0f}s: something is broken")
        return False
    return True


async def _life(stage: Stage, progress: StoryProgress, narrator: Narrator) -> None:
    say = narrator.say
    await _until(
        lambda: stage.app.ingestion.jobs.scraped_since is not None and stage.app.ingestion.jobs.target_count > 0
    )
    await _until(lambda: _state(stage) == "inactive")
    say("rulepush", f"INACTIVE   {ALERT}: Nacos is healthy, notifyTask = {HEALTHY:.0f}")
    stage.nacos.notify_tasks = BACKLOG
    say("Nacos", f"           gets into trouble: {BACKLOG:.0f} configuration notifications wait to be sent")
    sent = _sent(stage)
    await _until(lambda: _state(stage) == "pending")
    say("rulepush", f"PENDING    the rule's expression is true; it must stay so for {FOR_S}s")
    await _until(lambda: _state(stage) == "firing")
    say("rulepush", "FIRING     it did")
    await _until(lambda: _sent(stage) > sent)
    say("rulepush", "PUSHED     POST /api/v2/alerts, accepted")
    await _until(lambda: progress.arrived(resolved=False))
    say("Alertmanager", "RECEIVED   the alert is active, receivers are notified")
    await _until(lambda: len(progress.messages) > 0)
    say("DingTalk", "SHOWN      the on-call group reads:")
    narrator.plain(_quoted(progress.messages[0].text))
    stage.nacos.notify_tasks = HEALTHY
    say("Nacos", f"           recovers: notifyTask = {HEALTHY:.0f}")
    sent = _sent(stage)
    await _until(lambda: _state(stage) == "inactive")
    say("rulepush", "RESOLVED   the expression is no longer true")
    await _until(lambda: _sent(stage) > sent)
    say("rulepush", "PUSHED     the resolution, accepted")
    await _until(lambda: progress.arrived(resolved=True))
    say("Alertmanager", "RECEIVED   the alert is over, receivers are notified")
    await _until(lambda: len(progress.messages) > 1)
    say("DingTalk", "SHOWN      the on-call group reads:")
    narrator.plain(_quoted(progress.messages[-1].text))


def _state(stage: Stage) -> str:
    return next((r.state.value for r in stage.app.alerting.groups.alerting_rules() if r.spec.name == ALERT), "missing")


def _sent(stage: Stage) -> int:
    return sum(loop.counts.sent for loop in stage.app.alerting.notifier.loops)


async def _until(condition: Callable[[], bool]) -> None:
    # Polled, because none of the parts has an event for each of these steps.
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.05)


def _quoted(text: str) -> str:
    return textwrap.indent(text.strip(), " " * 22 + "| ", lambda line: True)
