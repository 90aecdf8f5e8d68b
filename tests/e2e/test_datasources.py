"""Rules of a datasource on a real VictoriaMetrics and a real Prometheus, beside the same rules in memory."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.fleet import QUERY_OFFSET_S, Fleet
from tests.engines import ENGINES, RealEngine, engine
from tests.servers import get_json, wait_for

pytestmark = pytest.mark.e2e

RULES = """
groups:
- name: chain-WHERE
  rules:
  - {record: "job:breach:max_WHERE", expr: max by (job) (e2e_breach)}
  - {alert: Recorded, expr: "job:breach:max_WHERE > 50", labels: {where: WHERE}}
  - {alert: RecordedRange, expr: "max_over_time(job:breach:max_WHERE[3s]) > 50", labels: {where: WHERE}}
- name: plain-WHERE
  rules:
  - alert: Now
    expr: e2e_breach > 50
    labels: {where: WHERE, n: '{{ with query "count(e2e_breach)" }}{{ . | first | value }}{{ end }}'}
    annotations: {max: '{{ with query "max(e2e_breach)" }}{{ . | first | value }}{{ end }}'}
  - {alert: Late, expr: e2e_breach > 50, for: 3s, labels: {where: WHERE}}
  - {alert: Kept, expr: e2e_breach > 50, keep_firing_for: 4s, labels: {where: WHERE}}
  - {alert: Range, expr: "max_over_time(e2e_breach[3s]) > 50", labels: {where: WHERE}}
  - {alert: Never, expr: e2e_breach < -1, labels: {where: WHERE}}
"""
NAMES = {"Recorded", "RecordedRange", "Now", "Late", "Kept", "Range"}


@pytest.fixture(params=ENGINES)
def real(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RealEngine]:
    with engine(request.param, tmp_path / "engine") as made:
        yield made


@pytest.fixture
def fleet(real: RealEngine, tmp_path: Path) -> Iterator[Fleet]:
    made = Fleet(tmp_path, real, RULES)
    with contextlib.closing(made):
        yield made


def test_the_same_rules_in_memory_and_on_the_engine_give_the_same_alerts(fleet: Fleet, real: RealEngine) -> None:
    fleet.external_labels = "{site: hz1}"
    fleet.reconfigure()
    with fleet.rulepush():
        wait_for("samples on the engine", lambda: real.ask('e2e_breach{site="hz1"}'))
        for value in (99.0, 0.0) * 2:
            fleet.target.value = value
            wanted = NAMES if value else set()
            for where in ("memory", "engine"):
                wait_for(f"{value:g} in {where}", partial(has_fired, fleet, where, wanted))
        health = {r["health"] for g in fleet.groups() for r in g["rules"]}
        assert health == {"ok"}
        missed = {g["name"]: evaluations_missed(fleet, g) for g in fleet.groups()}
    phases = {where: episodes(fleet, where) for where in ("memory", "engine")}
    assert set(phases["memory"]) == NAMES
    assert set(phases["engine"]) == NAMES
    for name in NAMES:
        memory, on_engine = phases["memory"][name], phases["engine"][name]
        assert len(memory) == len(on_engine) == 2, (name, memory, on_engine)
        for (start, end), (start_there, end_there) in zip(memory, on_engine, strict=True):
            # Rules of both groups are evaluated once a second, those on the engine on samples from before the offset.
            # What an evaluation would have found that a busy machine had no time for, comes with the next.
            group = "chain" if name.startswith("Recorded") else "plain"
            least = -1000 * (1 + missed[f"{group}-memory"])
            most = 1000 * (QUERY_OFFSET_S + 1 + missed[f"{group}-engine"])
            assert least <= start_there - start <= most, (name, start_there - start, missed)
            assert least <= end_there - end <= most, (name, end_there - end, missed)
    posts = [p for p in fleet.alertmanager.of("Now") if p.labels.get("where") == "engine"]
    assert {p.labels.get("n") for p in posts} == {"1"}
    assert "99" in {p.annotations["max"] for p in posts}


def evaluations_missed(fleet: Fleet, group: dict[str, Any]) -> float:
    key = f"{group['file']};{group['name']}"
    assert fleet.own("rulepush_rule_group_iterations_total", rule_group=key) > 0
    return fleet.own("rulepush_rule_group_iterations_missed_total", rule_group=key)


def has_fired(fleet: Fleet, where: str, names: set[str]) -> bool:
    return fleet.fired(where) == names


def episodes(fleet: Fleet, where: str) -> dict[str, list[tuple[int, int]]]:
    """Start and end of every phase of each alert, as Alertmanager was told."""
    found: dict[str, dict[int, int]] = {}
    for p in fleet.alertmanager.posted:
        if p.labels.get("where") == where and p.resolved:
            found.setdefault(p.name, {})[p.starts_at] = p.ends_at
    return {name: sorted(ends.items()) for name, ends in found.items()}


def test_recorded_series_and_alerts_arrive_at_the_engine_and_end_there(fleet: Fleet, real: RealEngine) -> None:
    with fleet.rulepush():
        wait_for("the recorded series", lambda: real.ask("job:breach:max_engine"))
        fleet.target.value = 99
        firing = 'ALERTS{alertname="Now", where="engine", alertstate="firing"}'
        wait_for("ALERTS", lambda: real.ask(firing))
        (since,) = real.ask('ALERTS_FOR_STATE{alertname="Now", where="engine"}')
        assert time.time() - 600 < float(since["value"][1]) < time.time()
        fleet.target.value = 0
        # Without stale markers both would be there for five minutes more.
        wait_for("the end of ALERTS", lambda: not real.ask(firing))
        fleet.target.broken = True
        wait_for("the end of the recorded series", lambda: not real.ask("job:breach:max_engine"))


def test_the_rules_of_a_datasource_are_shown_with_their_health(fleet: Fleet, real: RealEngine) -> None:
    with fleet.rulepush():
        wait_for("an evaluation", lambda: all(g["lastEvaluation"] > "1970" for g in fleet.groups()))
        real.server.kill()
        wait_for("the failure", lambda: fleet.rule("plain-engine", "Never")["health"] == "err")
        wait_for("its reason", lambda: "not reached" in fleet.rule("plain-engine", "Never")["lastError"])
        assert get_json(f"{fleet.url}/api/v1/query", query="up")["status"] == "success"


def test_a_rule_of_the_engine_is_explained_with_what_the_engine_has(fleet: Fleet) -> None:
    fleet.target.value = 40
    with fleet.rulepush():

        def part() -> list[str]:
            found = get_json(f"{fleet.url}/api/v1/rules/explain", name="Now", group="plain-engine")["data"]["rules"]
            return [json.dumps(row) for row in found[0]["tree"]["parts"][0]["rows"]]

        (row,) = wait_for("what is read on the engine", part)
        assert fleet.target.address in row
        assert "40" in row.replace(fleet.target.address, "")
