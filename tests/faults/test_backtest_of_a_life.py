"""A real process that records, is killed and goes on: a replay of its recording tells the history that it tells."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import pytest

from rulepush.backtest import Replay, ReplayOptions, Survey
from rulepush.history.rows import transition_json
from rulepush.recorded.recording import Recording
from rulepush.rules.rulefmt import load_rule_files
from rulepush.rules.specs import RuleGroup
from rulepush.rules.transition import Transition
from tests.harness import Scene, Target, job
from tests.servers import get_json

pytestmark = pytest.mark.e2e

RULES = """
groups:
- name: lives
  rules:
  - {alert: High, expr: e2e_breach > 50}
  - {alert: Waits, expr: e2e_breach > 50, for: 3s, labels: {severity: page}}
  - {alert: Keeps, expr: e2e_breach > 50, keep_firing_for: 3s}
  - {record: 'job:breach:max', expr: max by (job) (e2e_breach)}
  - {alert: Recorded, expr: 'job:breach:max > 50', for: 1s}
- name: slow
  interval: 2s
  rules:
  - {alert: Down, expr: up == 0, for: 2s}
  - {alert: Changes, expr: 'changes(e2e_breach[6s]) > 1'}
"""
FLUSHED_S = 7  # what came is in the recording by then


def history(scene: Scene) -> list[dict[str, Any]]:
    """What the process tells, the oldest first."""
    answer = get_json(f"{scene.url}/api/v1/alerts/history", limit="10000")
    found: list[dict[str, Any]] = answer["data"]["transitions"]
    return found[::-1]


def live(targets: list[Target], rnd: random.Random, seconds: float) -> None:
    """Turn values and break targets, then leave all as it is until it is recorded."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        target = rnd.choice(targets)
        target.broken = rnd.random() < 0.25
        target.value = rnd.choice((10.0, 60.0, 70.0))
        time.sleep(rnd.uniform(0.3, 1.5))
    time.sleep(FLUSHED_S)


def replayed(recording: Recording, groups: tuple[RuleGroup, ...]) -> list[Transition]:
    """What a replay tells."""
    events = list(recording.events(0, 1 << 62))
    moved: list[Transition] = []
    replay = Replay(groups, ReplayOptions(default_interval_ms=1000), Survey.of(events), moved.extend)
    for event in events:
        replay.take(event)
    replay.finish(events[-1].at)
    return moved


def test_the_replay_of_a_recording_tells_the_history_of_the_process(tmp_path: Path) -> None:
    rnd = random.Random(7)
    targets = [Target(), Target()]
    scene = Scene(tmp_path, [job("app", [t.address for t in targets])], [], RULES)
    config = tmp_path / "prometheus.yml"
    config.write_text(config.read_text() + "storage: {record: {}}\n")
    try:
        with scene.rulepush() as server:
            live(targets, rnd, 12)
            server.kill()
        with scene.rulepush() as server:
            live(targets, rnd, 12)
            told = history(scene)
            server.terminate()
    finally:
        for target in targets:
            target.close()
    until = max(one["timestamp"] for one in told)
    recording = Recording(tmp_path / "state" / "recording")
    groups = load_rule_files([str(tmp_path / "rules.yml")])
    found = [transition_json(one) for one in replayed(recording, groups)]
    assert recording.problems == ()

    def comparable(one: dict[str, Any]) -> dict[str, Any]:
        """Restored alerts are told at the time at which the configuration was read, which nobody recorded."""
        return {**one, "timestamp": "" if one["reason"] == "restored" else one["timestamp"]}

    assert len(told) > 40
    assert {"for_elapsed", "kept_firing", "restored"} <= {one["reason"] for one in told}
    assert [comparable(one) for one in found if one["timestamp"] <= until] == [comparable(one) for one in told]
