"""The packs that we ship have no problem on the servers that they are for."""

from __future__ import annotations

from pathlib import Path

import pytest

from rulepush.exposition import Format
from rulepush.livecheck import Level, LiveData, LiveReport, analyse, live_rules
from rulepush.model.labels import Labels
from rulepush.nacos.fake_server import FakeNacos
from rulepush.packs import pack
from rulepush.rules.rulefmt import load_rule_files
from tests.fakes import FakeClock
from tests.livecheck.bodies import NOW, answer
from tests.needs import shared


def _report(packs: tuple[str, ...], *bodies: bytes, fmt: Format = Format.TEXT, target: Labels) -> LiveReport:
    groups = load_rule_files(str(pack(name)) for name in packs)
    rules = live_rules(groups, lambda file: Path(file).read_text(encoding="utf-8").splitlines())
    return analyse(rules, LiveData([answer(*bodies, fmt=fmt, target=target)]))


def _complaints(report: LiveReport) -> dict[str, list[str]]:
    return {
        r.rule.name: [f.message for f in r.findings if f.level is not Level.NOTE]
        for r in report.rules
        if r.level in (Level.PROBLEM, Level.FIRES)
    }


@pytest.mark.parametrize("sample", ["nacos-1.4-real.prom", "nacos24-synthetic.prom"])
def test_all_packs_are_quiet_on_a_nacos_server(sample: str) -> None:
    body = shared(f"samples/{sample}").read_bytes()
    packs = ("nacos", "jvm", "spring-boot")
    report = _report(packs, body, body, body, target=Labels.of(job="nacos", instance="n1:8848"))
    assert _complaints(report) == {}
    assert len(report.rules) == 73


def test_the_jvm_and_spring_packs_are_quiet_on_a_boot_3_application() -> None:
    body = shared("samples/boot34om-synthetic.prom").read_bytes()
    target = Labels.of(job="orders", instance="o1:8080")
    assert _complaints(_report(("jvm", "spring-boot"), body, fmt=Format.OPENMETRICS, target=target)) == {}


@pytest.mark.parametrize("version", ["1.3.2", "1.4", "2.0", "2.2", "2.4", "3.0", "3.2"])
def test_all_packs_are_quiet_on_a_simulated_server_of_each_release(version: str) -> None:
    fake = FakeNacos(version, clock=FakeClock(NOW))
    bodies = [fake.body(ts) for ts in range(NOW - 600_000, NOW + 1, 15_000)]
    report = _report(("nacos", "jvm", "spring-boot"), *bodies, target=Labels.of(job="nacos", instance="n1:8848"))
    assert _complaints(report) == {}


def test_what_goes_wrong_on_the_simulated_server_is_seen() -> None:
    fake = FakeNacos("2.4", clock=FakeClock(NOW))
    bodies = [fake.body(NOW - 600_000 + 15_000 * i) for i in range(30)]
    fake.push_failures += 40
    fake.long_connections = 3
    fake.notify_tasks = 900
    fake.exceptions[("config", "db")] = 1
    bodies += [fake.body(NOW - 150_000 + 15_000 * i) for i in range(11)]
    report = _report(("nacos",), *bodies, target=Labels.of(job="nacos", instance="n1:8848"))
    assert set(_complaints(report)) == {
        "NacosPushFailing",
        "NacosLongConnectionsDropped",
        "NacosConfigTaskBacklog",
        "NacosDatabaseErrors",
    }
