"""Series that a release of Nacos exposes and never writes: a rule on one can never fire, and is named with a reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from rulepush.livecheck import Finding, FindingKind, Level, LiveData, LiveReport, LiveRule, analyse, live_rules
from rulepush.nacos.fake_server import FakeNacos
from rulepush.packs import pack
from rulepush.promql import parse_expr
from rulepush.rules.rulefmt import load_rule_files
from tests.fakes import FakeClock
from tests.livecheck.bodies import NOW, answer

LEADER = 'nacos_monitor{module="naming",name="leaderStatus"}'
DISK = 'increase(nacos_exception_total{name="disk"}[5m]) > 0'
BEAT = 'increase(nacos_exception_total{name="leaderSendBeatFailed"}[5m]) > 0'
TIMER = 'rate(nacos_monitor_seconds_sum{module="core"}[5m]) / rate(nacos_monitor_seconds_count{module="core"}[5m]) > 1'
TIMER_3 = TIMER.replace("_monitor_", "_monitor_summary_")


def _report(rules: list[LiveRule], *versions: str) -> LiveReport:
    bodies = [FakeNacos(version, clock=FakeClock(NOW)).body(NOW) for version in versions]
    return analyse(rules, LiveData([answer(body) for body in bodies]))


def _findings(expr: str, *versions: str) -> list[Finding]:
    return list(_report([LiveRule("Test", parse_expr(expr))], *versions).rules[0].findings)


@pytest.mark.parametrize("version", ["2.2", "2.3.0", "2.4", "2.5", "3.0", "3.2"])
@pytest.mark.parametrize("expr", [f"{LEADER} == 1", f"sum by (job) (changes({LEADER}[15m])) > 6", DISK, BEAT])
def test_what_nothing_writes_since_2_2_is_a_problem_there(version: str, expr: str) -> None:
    found = [f for f in _findings(expr, version) if f.kind is FindingKind.NEVER_COUNTED]
    assert [f.level for f in found] == [Level.PROBLEM]
    assert "Nacos 2.2.0 and later never" in found[0].message
    assert found[0].suggestion


@pytest.mark.parametrize("version", ["1.3.2", "1.4", "2.0", "2.1"])
@pytest.mark.parametrize("expr", [f"{LEADER} > 1", DISK, BEAT])
def test_before_2_2_it_is_reported_when_it_is_written(version: str, expr: str) -> None:
    found = _findings(expr, version)
    assert FindingKind.NEVER_COUNTED not in {f.kind for f in found}
    assert any("1.4.0 and later write it only while the cluster still has a member older" in f.message for f in found)
    assert all(f.level is Level.NOTE for f in found)


def test_one_server_that_writes_it_is_enough() -> None:
    assert FindingKind.NEVER_COUNTED not in {f.kind for f in _findings(DISK, "2.1", "2.4")}


@pytest.mark.parametrize(
    ("version", "expr"),
    [
        ("2.4", TIMER),
        ("3.0", TIMER_3),
        ("2.4", f"{TIMER} or {TIMER_3}"),
        ("3.0", f"{TIMER} or {TIMER_3}"),
        ("3.0", 'nacos_monitor{name="aliveLockCount"} > 100'),
        ("2.4", 'nacos_monitor{name=~"leaderStatus"} > 1'),
        ("1.4", 'rate(nacos_exception_total{name="unhealth"}[5m]) > 0'),
    ],
)
def test_what_no_release_writes_is_a_problem_everywhere(version: str, expr: str) -> None:
    found = [f for f in _findings(expr, version) if f.kind is FindingKind.NEVER_COUNTED]
    assert found
    assert {f.level for f in found} == {Level.PROBLEM}


@pytest.mark.parametrize(
    "expr",
    [
        'nacos_monitor{name=~"leaderStatus|ipCount"} > 1000',  # one of them is written
        f"({LEADER} == 1) or up == 0",  # the other side does it
        'nacos_monitor{name="emptyPush"} > 1000',
        'increase(nacos_exception_total{name="db"}[5m]) > 0',
    ],
)
def test_a_rule_that_also_reads_what_is_written_is_no_problem(expr: str) -> None:
    assert not [f for f in _findings(expr, "2.4") if f.level is Level.PROBLEM]


def test_it_is_seen_through_a_recording_rule() -> None:
    recorded = LiveRule("r", parse_expr("increase(nacos_exception_total[5m]) and on (instance) up"), alert=False)
    alerts = [LiveRule(name, parse_expr(f'r{{name="{name}"}} > 0')) for name in ("disk", "db")]
    _, disk, db = _report([recorded, *alerts], "2.4").rules
    assert disk.level is Level.PROBLEM
    assert db.level is None


def test_3_x_counts_requests_of_the_old_http_api_only() -> None:
    expr = 'increase(nacos_exception_total{name="nacos"}[5m]) > 0'
    assert any("for the v1 HTTP API of configurations only" in f.message for f in _findings(expr, "3.0"))
    assert not any("v1 HTTP API" in f.message for f in _findings(expr, "2.4"))


DEAD = {"NacosLeaderLost", "NacosLeaderFlapping", "NacosDiskErrors", "NacosLeaderBeatErrors"}


@pytest.mark.parametrize(
    ("version", "dead"), [("1.3.2", set()), ("2.1", set()), ("2.2", DEAD), ("2.4", DEAD), ("3.0", DEAD), ("3.2", DEAD)]
)
def test_rules_of_the_pack_that_can_never_fire_are_named_and_no_failure(version: str, dead: set[str]) -> None:
    groups = load_rule_files([str(pack("nacos"))])
    rules = live_rules(groups, lambda file: Path(file).read_text(encoding="utf-8").splitlines())
    report = _report(rules, version)
    assert {r.rule.name for r in report.rules if r.level is Level.NEVER} == dead
    assert report.ok
    assert all("never" in f.message for r in report.rules for f in r.findings if f.level is Level.NEVER)
