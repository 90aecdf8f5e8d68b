"""A replay does what the service did, transition by transition: random fleets, random rules, restarts in between."""

from __future__ import annotations

import logging
import random
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from rulepush.backtest import Replay, ReplayOptions, Survey
from rulepush.model.labels import Labels
from rulepush.recorded.events import RecordedEvent
from rulepush.rules.specs import RuleGroup
from rulepush.rules.state import SCHEMA, SqliteAlertStates
from rulepush.rules.transition import Transition
from rulepush.storage.database import Database
from tests.backtest.world import T0, LiveService, M, RandomFleet, S, specs

RULES = [
    "{alert: A, expr: m > 3}",
    "{alert: A, expr: m > 4, labels: {severity: page}}",
    "{alert: For, expr: m > 2, for: 1m, annotations: {s: '{{ $labels.i }} is {{ $value }}'}}",
    "{alert: Keep, expr: m > 3, keep_firing_for: 1m}",
    "{alert: Both, expr: m >= 3, for: 30s, keep_firing_for: 45s, labels: {l: '{{ $labels.instance }}'}}",
    "{alert: Down, expr: up == 0, for: 30s}",
    "{alert: Absent, expr: 'absent(m{i=\"2\"})', for: 30s}",
    "{alert: Rate, expr: 'rate(c_total[1m]) > 0.5'}",
    '{alert: NoRate, expr: \'absent(rate(c_total{i="1",instance="t0:80"}[1m]))\'}',
    "{alert: Sum, expr: 'sum by (i) (m) > 6', for: 30s}",
    "{alert: Written, expr: w > 1, for: 15s}",
    "{alert: Less, expr: m < 1 and on (instance) up == 1, for: 1m}",
    "{alert: Over, expr: 'max_over_time(m[2m]) > 4 unless on (instance) up == 0'}",
    "{alert: Sub, expr: 'avg_over_time(sum(m)[1m:15s]) > 5'}",
    '{alert: Meta, expr: \'count(ALERTS{alertname="For", alertstate="firing"}) > 0\', for: 30s}',
    "{alert: Asks, expr: m > 4, annotations: {s: '{{ query \"sum(m)\" | first | value }}'}}",
    "{alert: Wrong, expr: 'm > on (job) group_left () m'}",
    "{alert: Past, expr: 'm - m offset 1m > 1'}",
    "{record: 'i:m:sum', expr: sum by (i) (m)}",
    "{alert: Recorded, expr: 'i:m:sum > 5', for: 15s}",
    "{record: 'w:max', expr: max(w)}",
    "{alert: RecordedLate, expr: 'w:max > 1'}",
]


def file_of(rules: Sequence[str], name: str, interval: str, limit: int) -> str:
    """A rule file with one group."""
    return f"groups: [{{name: {name}, interval: {interval}, limit: {limit}, rules: [{', '.join(rules)}]}}]"


def lived(groups: Sequence[RuleGroup], seed: int, hold_ms: int, window_ms: int, ticks: int = 120) -> LiveService:
    """A service over so many scrapes, with a stop or two."""
    rnd = random.Random(seed)
    with tempfile.TemporaryDirectory() as directory:
        states = SqliteAlertStates(Database(Path(directory) / "alerts.db", SCHEMA))
        live = LiveService(groups, states, hold_ms=hold_ms, out_of_order_ms=window_ms, external_labels=EXTERNAL)
        fleet = RandomFleet(seed, targets=rnd.randrange(1, 4))
        base = T0 - T0 % (30 * S)
        live.start(base - 2 * S)
        k = 0
        while k < ticks:
            ts = base + k * 15 * S
            late = []
            for block, is_late in fleet.scrape(ts):
                if is_late:
                    late.append(block)
                else:
                    live.bring(block)
            written = fleet.written(ts)
            if written is not None:
                live.bring(written)
            live.evaluate(ts)
            for block in late:
                live.bring(block)
            k += 1
            if rnd.random() < 0.02:
                k += rnd.randrange(1, 60)
                live.start(base + k * 15 * S - 2 * S)
        return live


EXTERNAL = Labels.of(site="hz1")


def replayed(
    events: Sequence[RecordedEvent], groups: Sequence[RuleGroup], options: ReplayOptions
) -> tuple[list[Transition], Replay]:
    """What a replay tells."""
    moved: list[Transition] = []
    replay = Replay(groups, options, Survey.of(events[:200]), moved.extend)
    for event in events:
        replay.take(event)
    replay.finish(events[-1].at)
    return moved, replay


# To shrink an example costs minutes, and a seed is as good as another.
FEW = settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
seeds = st.integers(0, 1 << 30)
some_rules = st.lists(st.sampled_from(RULES), min_size=1, max_size=6, unique=True)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """The services of the examples log what they do."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@FEW
@given(
    seed=seeds,
    first=some_rules,
    second=some_rules,
    hold_ms=st.sampled_from([0, 0, 1 * M]),
    window_ms=st.sampled_from([0, 1 * M]),
    limit=st.sampled_from([0, 0, 0, 2]),
)
def test_a_replay_gives_the_transitions_and_the_notifications_of_the_service(
    seed: int, first: list[str], second: list[str], hold_ms: int, window_ms: int, limit: int
) -> None:
    groups = specs(file_of(first, "a", "15s", limit), "a.yml") + specs(file_of(second, "b", "30s", 0), "b.yml")
    live = lived(groups, seed, hold_ms, window_ms)
    options = ReplayOptions(
        external_labels=EXTERNAL, hold_ms=hold_ms, out_of_order_ms=window_ms, default_interval_ms=15 * S
    )
    moved, replay = replayed(live.events, groups, options)
    assert moved == live.moved
    sent: Counter[tuple[str, str]] = Counter()
    for episode in (e for run in replay.rules for e in run.episodes()):
        sent[str(episode.labels), "firing"] += episode.sent_firing
        sent[str(episode.labels), "inactive"] += episode.sent_resolved
    assert +sent == Counter((labels, state) for _, labels, state in live.sent)


@FEW
@given(seed=seeds, second=some_rules)
def test_what_other_rules_of_the_service_wrote_is_read_from_the_recording(seed: int, second: list[str]) -> None:
    wrote = [rule for rule in RULES if "record:" in rule or "{alert: For," in rule]
    reads = [rule for rule in RULES if "{alert: Meta," in rule or "{alert: Recorded" in rule]
    second = [rule for rule in second if rule not in wrote and rule not in reads] + reads
    a = specs(file_of(wrote, "a", "15s", 0), "a.yml")
    b = specs(file_of(second, "b", "30s", 0), "b.yml")
    live = lived(a + b, seed, 0, 0)
    moved, _ = replayed(live.events, b, ReplayOptions(external_labels=EXTERNAL, default_interval_ms=15 * S))
    assert moved == [change for change in live.moved if change.rule.group == "b"]
