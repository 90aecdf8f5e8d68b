"""Rules of a datasource while the engine is away, hangs, or answers wrong, and rulepush is killed or reloaded.

Times are scaled: alerts are sent every second and hold for four (six while the engine is away) at Alertmanager, so that
an outage of 15 seconds is to them what one of several minutes is to the defaults.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs

import httpx
import pytest

from tests.e2e.fleet import Fleet
from tests.engines import RealEngine, engine
from tests.http_server import HttpReply, HttpRequest, LoopbackServer
from tests.servers import Server, wait_for

pytestmark = pytest.mark.e2e

OUTAGE_S = 15.0
RULES = """
groups:
- name: g-WHERE
  rules:
  - {alert: Now, expr: e2e_breach > 50, labels: {where: WHERE}}
  - {alert: Late, expr: e2e_breach > 50, for: 12s, labels: {where: WHERE}}
"""


@pytest.fixture
def real(tmp_path: Path) -> Iterator[RealEngine]:
    with engine("victoria", tmp_path / "engine") as made:
        yield made


@pytest.fixture
def fleet(real: RealEngine, tmp_path: Path) -> Iterator[Fleet]:
    made = Fleet(tmp_path, real, RULES, in_memory=False)
    made.flags = ["--rules.alert.resend-delay=1s"]
    with contextlib.closing(made):
        yield made


def watch(fleet: Fleet, seconds: float) -> None:
    """For that long, Alertmanager must show the alert as active."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert "Now" in fleet.fired("engine"), [p for p in fleet.alertmanager.posted if p.name == "Now"][-3:]
        assert "Now" in fleet.alertmanager.firing(), "it ended at Alertmanager by itself"
        time.sleep(0.1)


def begin(fleet: Fleet) -> None:
    fleet.target.value = 99
    wait_for("the alert", lambda: fleet.fired("engine") == {"Now"})


@pytest.mark.parametrize("how", ["killed", "hangs"])
def test_while_the_engine_is_away_no_alert_ends_and_for_clocks_go_on(fleet: Fleet, real: RealEngine, how: str) -> None:
    with fleet.rulepush():
        begin(fleet)
        process = real.server.process
        assert process is not None
        if how == "killed":
            real.server.kill()
        else:
            os.kill(process.pid, signal.SIGSTOP)
        watch(fleet, OUTAGE_S)
        assert fleet.fired("engine") == {"Now"}, "nobody knows whether the other condition still holds"
        assert fleet.rule("g-engine", "Late")["alerts"][0]["state"] == "pending"
        if how == "killed":
            real.start()
        else:
            os.kill(process.pid, signal.SIGCONT)
        wait_for("the alert whose `for` is over", lambda: fleet.fired("engine") == {"Now", "Late"})
        watch(fleet, 3)
        (since,) = {p.starts_at for p in fleet.alertmanager.of("Now")}
        (late,) = {p.starts_at for p in fleet.alertmanager.of("Late")}
        assert late - since >= 12_000
        fleet.target.value = 0
        wait_for("the end", lambda: not fleet.fired("engine"))
        assert {p.starts_at for p in fleet.alertmanager.of("Now")} == {since}


def test_rulepush_killed_and_started_while_the_engine_is_away_sends_the_alert_on(
    fleet: Fleet, real: RealEngine
) -> None:
    with contextlib.ExitStack() as stack:
        server: Server = stack.enter_context(fleet.rulepush())
        begin(fleet)
        real.server.kill()
        watch(fleet, 3)
        server.kill()
        before = len(fleet.alertmanager.of("Now"))
        server.start()
        wait_for("the alert of the new process", lambda: len(fleet.alertmanager.of("Now")) > before)
        watch(fleet, OUTAGE_S)
        real.start()
        watch(fleet, 5)
        assert len({p.starts_at for p in fleet.alertmanager.of("Now")}) == 1
        fleet.target.value = 0
        wait_for("the end", lambda: not fleet.fired("engine"), 60)


def test_after_the_hold_alertmanager_ends_the_alert_and_it_fires_on_when_the_engine_is_back(
    fleet: Fleet, real: RealEngine
) -> None:
    fleet.flags += ["--rules.datasource.hold=4s"]
    with fleet.rulepush():
        begin(fleet)
        since = fleet.alertmanager.of("Now")[0].starts_at
        real.server.kill()
        wait_for("its end at Alertmanager", lambda: "Now" not in fleet.alertmanager.firing())
        assert fleet.rule("g-engine", "Now")["state"] == "firing"
        assert not [p for p in fleet.alertmanager.of("Now") if p.resolved], "rulepush says no end that it does not know"
        real.start()
        wait_for("the alert again", lambda: "Now" in fleet.alertmanager.firing())
        assert {p.starts_at for p in fleet.alertmanager.of("Now")} == {since}


class FakeEngine:
    """Answers every query with one element, or with none; takes remote writes. The answers have the form
    of prometheus web/api/v1/api.go."""

    def __init__(self) -> None:
        self.holds = True
        self.slow: set[str] = set()
        self.released = threading.Event()
        self.asked: list[str] = []
        self._server = LoopbackServer(self._answer)
        self.url = f"http://{self._server.address}"
        self.ready = self.url

    def _answer(self, request: HttpRequest) -> HttpReply:
        if request.path.endswith("/write"):
            return HttpReply(status=204)
        query = parse_qs(request.body.decode())["query"][0]
        self.asked.append(query)
        if query in self.slow:
            self.released.wait(30)
        result = [{"metric": {"a": "1"}, "value": [1, "99"]}] if self.holds else []
        body = {"status": "success", "data": {"resultType": "vector", "result": result}}
        return HttpReply(json.dumps(body).encode(), content_type="application/json")

    def close(self) -> None:
        self.released.set()
        self._server.close()


TWO = """
groups:
- {name: slow, rules: [{alert: Slow, expr: slow > 0}, {alert: Behind, expr: behind > 0}]}
- {name: quick, rules: [{alert: Quick, expr: quick > 0}]}
"""


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[tuple[FakeEngine, Fleet]]:
    made = FakeEngine()
    with contextlib.closing(made):
        fleet = Fleet(tmp_path, made, TWO, in_memory=False, query_offset="0s")
        with contextlib.closing(fleet):
            fleet.flags = ["--rules.alert.resend-delay=1s", "--web.enable-lifecycle"]
            yield made, fleet


def test_a_slow_rule_delays_no_other_group_and_its_own_goes_on(fake: tuple[FakeEngine, Fleet]) -> None:
    engine_, fleet = fake
    engine_.slow.add("slow > 0")
    with fleet.rulepush():
        wait_for("the alert behind the slow rule", lambda: fleet.alertmanager.of("Behind"))
        asked = engine_.asked.count("quick > 0")
        begin_ = time.monotonic()
        wait_for("evaluations of the other group", lambda: engine_.asked.count("quick > 0") >= asked + 6)
        assert time.monotonic() - begin_ < 10
        assert "no answer within" in fleet.rule("slow", "Slow")["lastError"]
        assert not fleet.alertmanager.of("Slow")


def test_a_reload_during_an_evaluation_keeps_every_alert(fake: tuple[FakeEngine, Fleet]) -> None:
    engine_, fleet = fake
    with fleet.rulepush():
        wait_for("the alerts", lambda: fleet.alertmanager.firing() == {"Slow", "Behind", "Quick"})
        engine_.slow.add("slow > 0")
        wait_for("a question that hangs", lambda: engine_.asked[-1:] == ["slow > 0"] or None)
        fleet.rules = TWO.replace("quick > 0", "quick > 1")
        fleet.reconfigure()
        assert httpx.post(f"{fleet.url}/-/reload", trust_env=False, timeout=60).status_code == 200
        engine_.slow.clear()
        engine_.released.set()
        wait_for("the new rule", lambda: "quick > 1" in engine_.asked)
        end = time.monotonic() + 5
        while time.monotonic() < end:
            assert fleet.alertmanager.firing() == {"Slow", "Behind", "Quick"}
            time.sleep(0.1)
        assert not [p for p in fleet.alertmanager.posted if p.resolved]
        engine_.holds = False
        wait_for("the end", lambda: not fleet.alertmanager.firing())


def test_rules_that_move_from_memory_to_the_engine_keep_their_alerts(fake: tuple[FakeEngine, Fleet]) -> None:
    engine_, fleet = fake
    expr = 'label_replace(vector(99), "a", "1", "", "")'
    rule = f"groups: [{{name: g, rules: [{{alert: Moved, expr: '{expr}'}}]}}]"
    (fleet.directory / "r.yml").write_text(rule)
    config = fleet.directory / "prometheus.yml"
    text = config.read_text()
    config.write_text(text.replace("rule_files: []", "rule_files: [r.yml]"))
    with fleet.rulepush():
        wait_for("the alert", lambda: fleet.alertmanager.of("Moved"))
        assert expr not in engine_.asked
        config.write_text(text.replace("rule_files: [engine.yml]", "rule_files: [engine.yml, r.yml]"))
        assert httpx.post(f"{fleet.url}/-/reload", trust_env=False, timeout=60).status_code == 200
        wait_for("evaluations there", lambda: engine_.asked.count(expr) >= 3)
        sent = len(fleet.alertmanager.of("Moved"))
        wait_for("the alert from there", lambda: len(fleet.alertmanager.of("Moved")) > sent)
        assert len({p.starts_at for p in fleet.alertmanager.of("Moved")}) == 1
        assert not [p for p in fleet.alertmanager.of("Moved") if p.resolved]


def test_a_datasource_that_the_configuration_drops_leaves_its_alerts_as_removed_rules_do(
    fake: tuple[FakeEngine, Fleet],
) -> None:
    _, fleet = fake
    config = fleet.directory / "prometheus.yml"
    with fleet.rulepush():
        wait_for("the alerts", lambda: fleet.alertmanager.firing() == {"Slow", "Behind", "Quick"})
        config.write_text(config.read_text().partition("datasources:")[0])
        assert httpx.post(f"{fleet.url}/-/reload", trust_env=False, timeout=60).status_code == 200
        assert fleet.groups() == []
        wait_for("their ends at Alertmanager, by endsAt", lambda: not fleet.alertmanager.firing())
        assert not [p for p in fleet.alertmanager.posted if p.resolved]
