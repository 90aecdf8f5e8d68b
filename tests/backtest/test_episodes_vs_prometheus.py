"""Episodes found in the samples of a real Prometheus are those that its own rules made of them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from rulepush.backtest.backtest import BacktestOptions, backtest
from rulepush.backtest.episodes import Episode
from rulepush.backtest.sources.selectors import NeededSeries
from rulepush.backtest.sources.server import RawSampleWay
from rulepush.backtest.unittest.episode_test import UnitTestSettings, episode_test
from rulepush.backtest.unittest.write import write_unit_test
from rulepush.model.labels import ALERT_NAME, METRIC_NAME, Labels
from rulepush.model.sample import is_stale
from rulepush.rules.rulefmt import load_rule_files
from rulepush.rules.specs import RuleGroup
from tests.backtest.loading import Refusing, needed, points_of, prometheus, source
from tests.backtest.test_unit_test import under_promtool
from tests.http_server import HttpReply, HttpRequest, LoopbackServer
from tests.servers import get_json, wait_for

# A scrape of its server that comes late puts a sample into another second, and an episode no test can tell.
pytestmark = [pytest.mark.e2e, pytest.mark.alone]

INTERVAL = 1000
# The evaluations of the server are known to the milliseconds that it takes to begin one.
SAME_MS = 250
RULES = """\
groups:
- name: night
  rules:
  - {record: 'room:temp:max', expr: 'max by (room) (temp)'}
  - {alert: Hot, expr: 'room:temp:max > 80', for: 3s, annotations: {v: '{{ $value }}'}}
  - {alert: Errors, expr: 'rate(errors_total[5s]) > 20', for: 2s}
  - {alert: NoBeat, expr: 'absent(beat)', for: 2s}
  - {alert: Down, expr: 'up == 0', for: 2s, keep_firing_for: 3s}
  - {alert: Warm, expr: 'temp > 80', labels: {severity: 'info'}}
  - {alert: Never, expr: 'temp > 80', for: 30s}
"""
ENDS_S = 36.0
ALERTS_THAT_FIRED = {"Hot", "Errors", "NoBeat", "Down", "Warm"}
# Rules whose alerts end, or begin, with the end of a series.
BY_ENDED_SERIES = {"NoBeat", "Hot", "Warm", "Never", "Errors"}


class Target:
    """Gets hot twice, has errors, loses its heartbeat and is down for a while, in the course of half a minute."""

    def __init__(self) -> None:
        self.began: float | None = None  # cool and sound until then
        self.server = LoopbackServer(self._reply)

    @property
    def age(self) -> float:
        return 0.0 if self.began is None else time.monotonic() - self.began

    def _reply(self, _request: HttpRequest) -> HttpReply:
        age = self.age
        if 24 <= age < 29:
            return HttpReply(status=500)
        hot = 5 <= age < 13 or 15 <= age < 17
        errors = age + 60 * max(0.0, min(age, 18) - 11)
        lines = [f'temp{{room="a"}} {90 + age if hot else 10}', 'temp{room="b"} 5', f"errors_total {errors}"]
        if not 8 <= age < 16:
            lines.append(f"beat {age}")
        return HttpReply(("\n".join(lines) + "\n").encode())


@dataclass
class LivedNight:
    url: str
    groups: tuple[RuleGroup, ...]
    start: int
    end: int


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LivedNight]:
    home = tmp_path_factory.mktemp("night")
    (home / "rules.yml").write_text(RULES)
    target = Target()
    config = (
        "global: {scrape_interval: 1s, evaluation_interval: 1s, external_labels: {site: hz1}}\n"
        f"rule_files: [{home / 'rules.yml'}]\n"
        f"scrape_configs: [{{job_name: app, static_configs: [{{targets: ['{target.server.address}']}}]}}]\n"
    )
    with prometheus(home, config) as url:
        start = wait_for("the first evaluations", lambda: _first_alert_free_evaluation(url))
        target.began = time.monotonic()
        wait_for("the end of the night", lambda: target.age > ENDS_S and not _firing(url), 60)
        yield LivedNight(url, load_rule_files([str(home / "rules.yml")]), start, int(time.time() * 1000) - 2 * INTERVAL)
    target.server.close()


def _first_alert_free_evaluation(url: str) -> int:
    found = get_json(f"{url}/api/v1/query", query="room:temp:max")["data"]["result"]
    return int(found[0]["value"][0] * 1000) + 2 * INTERVAL


def _firing(url: str) -> bool:
    return bool(get_json(f"{url}/api/v1/query", query='ALERTS{alertstate="firing"}')["data"]["result"])


Lived = list[tuple[Labels, int, int]]
"""(labels, fired at, ended at) of each firing alert, in ms."""


def made_by_prometheus(night: LivedNight) -> Lived:
    """Out of its ALERTS: from the first sample to the stale marker."""
    found: Lived = []
    with source(night.url, needed('ALERTS{alertstate="firing"}')) as alerts:
        for labels, samples in points_of(alerts.events(night.start, night.end)).items():
            since: int | None = None
            for ts, value in samples:
                if not is_stale(value):
                    since = ts if since is None else since
                elif since is not None:
                    found.append((labels.without((METRIC_NAME, "alertstate")), since, ts))
                    since = None
            assert since is None, f"{labels} has no end"
    return sorted(found, key=lambda e: (e[0], e[1]))


def replayed(night: LivedNight, refused: dict[str, httpx.Response] | None = None) -> tuple[RawSampleWay, list[Episode]]:
    need = NeededSeries.of_rules([night.groups])
    names = [group.name for group in night.groups]
    with source(night.url, need, Refusing(refused or {}), group_names=names) as samples:
        report = backtest(samples, night.groups, BacktestOptions(start=night.start, end=night.end))
        assert report.stopped is None
        return samples.way, list(report.episodes)


def as_lived(episodes: list[Episode]) -> Lived:
    fired = [(e.labels, e.fired_at, e.ended_at) for e in episodes if e.fired_at is not None and e.ended_at is not None]
    return sorted(fired, key=lambda e: (e[0], e[1]))


def assert_same(ours: Lived, theirs: Lived) -> None:
    assert [labels for labels, _, _ in ours] == [labels for labels, _, _ in theirs]
    for (labels, fired, ended), (_, their_fired, their_ended) in zip(ours, theirs, strict=True):
        assert abs(fired - their_fired) < SAME_MS, (labels, fired - their_fired)
        assert abs(ended - their_ended) < SAME_MS, (labels, ended - their_ended)


def test_the_episodes_are_those_of_prometheus_itself(lived: LivedNight) -> None:
    theirs = made_by_prometheus(lived)
    assert {labels.get(ALERT_NAME) for labels, _, _ in theirs} == ALERTS_THAT_FIRED
    way, episodes = replayed(lived)
    assert way is RawSampleWay.REMOTE_READ
    assert_same(as_lived(episodes), theirs)
    assert {e.rule.name for e in episodes if e.fired_at is None} >= {"Never"}


def test_without_remote_read_those_that_end_with_a_value_are_the_same(lived: LivedNight) -> None:
    way, episodes = replayed(lived, {"/api/v1/read": httpx.Response(404)})
    assert way is RawSampleWay.QUERY
    theirs = [e for e in made_by_prometheus(lived) if e[0].get(ALERT_NAME) not in {"NoBeat"}]
    assert_same(as_lived([e for e in episodes if e.rule.name != "NoBeat"]), theirs)


def test_each_episode_becomes_a_test_that_promtool_passes(lived: LivedNight, tmp_path: Path) -> None:
    need = NeededSeries.of_rules([lived.groups])
    with source(lived.url, need, group_names=[g.name for g in lived.groups]) as samples:
        report = backtest(samples, lived.groups, BacktestOptions(start=lived.start, end=lived.end))
        settings = UnitTestSettings(report.until)
        tests = [episode_test(samples, lived.groups, e, INTERVAL, settings) for e in report.episodes]
    written = write_unit_test(str(tmp_path / "night_test.yml"), tests, settings)
    assert written.problems == ()
    assert len(tests) >= len(ALERTS_THAT_FIRED)
    result = under_promtool(tmp_path / "night_test.yml")
    assert result.returncode == 0, result.stderr
