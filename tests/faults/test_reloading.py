"""Reloads of good and bad files under alerts that fire, by signal and by request."""

from __future__ import annotations

import os
import signal
from itertools import product
from pathlib import Path

import httpx
import pytest

from tests.faults.recording import RecordingAlertmanager
from tests.harness import RULES, Scene, Target, job, section
from tests.http_server import HttpReply
from tests.servers import Server, get_json, wait_for

pytestmark = pytest.mark.e2e

GOOD = (
    RULES
    + """
  - alert: Long
    expr: min_over_time(e2e_breach[30s]) > 50
  - alert: Waiting
    expr: e2e_breach > 50
    for: 1h
"""
)
BAD_FILES = {
    "rule": ("rules.yml", GOOD.replace("e2e_breach > 50", "e2e_breach >"), "rules.yml:"),
    "YAML": ("prometheus.yml", "scrape_configs: [{job_name: app", "prometheus.yml"),
    "unknown key": ("prometheus.yml", "scrape_config: []\n", "scrape_config"),
    "not text": ("prometheus.yml", "\x00\x01", "prometheus.yml"),
    "template": ("rules.yml", GOOD.replace("$value", "$nonsense"), "nonsense"),
}


def hup(server: Server) -> None:
    assert server.process is not None
    os.kill(server.process.pid, signal.SIGHUP)


def reload(scene: Scene) -> httpx.Response:
    return httpx.post(f"{scene.url}/-/reload", timeout=60, trust_env=False)


def active_at(scene: Scene, job: str = "app") -> dict[str, str]:
    alerts = get_json(f"{scene.url}/api/v1/alerts")["data"]["alerts"]
    return {a["labels"]["alertname"]: a["activeAt"] for a in alerts if a["labels"]["job"] == job}


def test_a_bad_file_changes_nothing_and_says_why(tmp_path: Path) -> None:
    app, good = Target(), RecordingAlertmanager()
    away = RecordingAlertmanager(lambda _: HttpReply(status=503))
    app.value = 99
    scene = Scene(tmp_path, [job("app", [app.address])], [section([good.address, away.address])], GOOD)
    scene.flags.append("--web.enable-lifecycle")
    with scene.rulepush() as server:
        wait_for("alerts", lambda: {"Breach", "Long"} <= good.firing())
        wait_for("all of them wait", lambda: scene.own("rulepush_outbox_alerts") == 2)
        before = active_at(scene)
        for (name, (file, text, reason)), by in product(BAD_FILES.items(), ("request", "signal")):
            samples, logged = scene.own("rulepush_head_samples"), len(scene.log())
            (tmp_path / file).write_text(text)
            if by == "request":
                answer = reload(scene)
                assert answer.status_code == 500, name
                assert answer.text.startswith("failed to reload config: "), name
                assert reason in answer.text
            else:
                hup(server)
            wait_for(f"the failure: {name}", lambda: scene.own("rulepush_config_last_reload_successful") == 0)
            log = scene.log()[logged:]
            assert "configuration not reloaded, the running one stays" in log, name
            assert reason in log
            assert active_at(scene) == before, name
            assert scene.own("rulepush_head_samples") >= samples, name
            assert scene.own("rulepush_outbox_alerts") == 2, name
            assert {p.starts_at for p in good.of("Long")} == {good.of("Long")[0].starts_at}, name
            scene.configure([job("app", [app.address])], [section([good.address, away.address])], GOOD)
            hup(server)
            wait_for(f"a good file: {name}", lambda: scene.own("rulepush_config_last_reload_successful") == 1)
            assert active_at(scene) == before, name
        away.judge = lambda _: HttpReply()
        wait_for("what waited", lambda: away.firing() == {"Breach", "Long"})
        app.value = 0
        wait_for("resolutions", lambda: not good.firing() and not away.firing())
    for one in (good, away):
        one.close()
    app.close()


def test_a_good_reload_keeps_the_states_of_unchanged_rules_and_moves_what_changed(tmp_path: Path) -> None:
    first, second = Target(), Target()
    one, other = RecordingAlertmanager(), RecordingAlertmanager()
    first.value = second.value = 99
    scene = Scene(tmp_path, [job("app", [first.address])], [section([one.address])], GOOD)
    scene.flags.append("--web.enable-lifecycle")
    with scene.rulepush() as server:
        wait_for("alerts", lambda: {"Breach", "Long"} <= one.firing())
        before = active_at(scene)
        assert before.keys() == {"Breach", "Long", "Waiting"}
        rules = GOOD.replace("alert: Breach", "alert: Renamed") + "  - {alert: New, expr: e2e_breach > 50}\n"
        scene.configure(
            [job("app", [first.address]), job("more", [second.address])],
            [section([one.address]), section([other.address])],
            rules,
        )
        assert reload(scene).status_code == 200
        wait_for("the new target", lambda: scene.targets()[second.address]["health"] == "up")
        wait_for("the new one", lambda: {"Renamed", "Long", "New"} <= other.firing() & one.firing())
        after = active_at(scene)
        assert (after["Long"], after["Waiting"]) == (before["Long"], before["Waiting"])
        assert {p.starts_at for p in one.of("Long") if p.labels.get("job") == "app"} == {one.of("Long")[0].starts_at}
        scene.configure([job("more", [second.address])], [section([other.address])], rules)
        hup(server)
        gone = [p for p in one.of("Long") if p.labels.get("job") == "app"]
        assert not any(p.resolved for p in gone)

        def ended() -> bool:
            last = [p for p in other.of("Renamed") if p.labels.get("job") == "app"][-1]
            return last.resolved

        wait_for("the alerts of a job that is gone", ended)
        assert "more" in {p.labels.get("job") for p in other.last().values() if not p.resolved}
    for am in (one, other):
        am.close()
    for target in (first, second):
        target.close()


def test_many_reloads_at_once_leave_one_of_everything(tmp_path: Path) -> None:
    app, alertmanager = Target(), RecordingAlertmanager()
    app.value = 99
    scene = Scene(tmp_path, [job("app", [app.address])], [section([alertmanager.address])], GOOD)
    scene.flags.append("--web.enable-lifecycle")
    with scene.rulepush() as server:
        wait_for("alerts", lambda: {"Breach", "Long"} <= alertmanager.firing())
        before = active_at(scene)
        for i in range(20):
            extra = f"honor_labels: {str(i % 2 == 0).lower()}"
            sections = [section([alertmanager.address], f"timeout: {1 + i}s")]
            scene.configure([job("app", [app.address], extra)], sections, GOOD)
            hup(server)
            assert reload(scene).status_code == 200
        assert active_at(scene) == before
        assert scene.own("rulepush_targets") == 1
        assert scene.own("rulepush_alertmanagers") == 1
        sent = len(alertmanager.posted)
        wait_for("sendings go on", lambda: len(alertmanager.posted) > sent)
        assert not any(p.resolved for p in alertmanager.posted)
    assert "Traceback" not in scene.log()
    alertmanager.close()
    app.close()
