"""The main job on real servers: a target, rulepush, a real Alertmanager, all on loopback."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import pytest

from rulepush.model.fingerprint import fingerprint
from rulepush.model.labels import Labels
from tests.harness import Bench
from tests.servers import binary, free_port, get_json, running, wait_for

pytestmark = pytest.mark.e2e


def test_an_alert_goes_its_whole_way_and_stops_cleanly(tmp_path: Path) -> None:
    bench = Bench(tmp_path, hold="2s")
    with bench.alertmanager(), bench.rulepush() as server:
        bench.target.value = 99
        wait_for("pending", lambda: bench.states() == {bench.target.address: "pending"})
        assert bench.received() == []
        wait_for("firing", lambda: bench.states() == {bench.target.address: "firing"})
        alert = wait_for("the alert at Alertmanager", bench.received)[0]
        assert alert["labels"] == {
            "alertname": "Breach",
            "severity": "critical",
            "job": "app",
            "instance": bench.target.address,
            "site": "e2e",
        }
        assert alert["annotations"] == {"summary": f"{bench.target.address} is at 99"}
        of_rule = fingerprint(Labels(alert["labels"]).without(["site"]))
        assert alert["generatorURL"].endswith(f"/graph?g0.expr=e2e_breach+%3E+50&g0.tab=1&alert={of_rule}")
        assert alert["startsAt"] < alert["endsAt"]
        bench.target.value = 0
        wait_for("resolution", lambda: not bench.received())
        started = time.monotonic()
        assert server.terminate() == 0
        assert time.monotonic() - started < 10


def test_two_alertmanagers_both_get_every_alert(tmp_path: Path) -> None:
    bench = Bench(tmp_path, alertmanagers=2)
    with bench.alertmanager(0), bench.alertmanager(1), bench.rulepush():
        bench.target.value = 99
        for n in (0, 1):
            wait_for(f"the alert at Alertmanager {n}", partial(bench.received, n))


def test_an_alertmanager_that_was_away_misses_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    with bench.rulepush():
        with bench.alertmanager():
            bench.target.value = 99
            wait_for("the alert", bench.received)
        # Alertmanager is down while the alert resolves: it must hear so when it is back.
        bench.target.value = 0
        wait_for("resolved here", lambda: bench.states() == {})
        with bench.alertmanager():
            wait_for("resolution there", lambda: not bench.received())


def test_a_firing_alert_is_the_same_alert_after_sigkill(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    with bench.alertmanager():
        with bench.rulepush() as server:
            bench.target.value = 99
            before = wait_for("the alert", bench.received)[0]
            server.kill()
        with bench.rulepush():
            wait_for("firing again", lambda: bench.states() == {bench.target.address: "firing"})
            after = wait_for("a resend", lambda: [a for a in bench.received() if a["updatedAt"] > before["updatedAt"]])
            assert after[0]["startsAt"] == before["startsAt"]
            assert after[0]["fingerprint"] == before["fingerprint"]


def test_a_pending_clock_goes_on_after_sigkill(tmp_path: Path) -> None:
    bench = Bench(tmp_path, hold="12s")
    with bench.alertmanager():
        with bench.rulepush() as server:
            bench.target.value = 99
            wait_for("pending", lambda: bench.states() == {bench.target.address: "pending"})
            alerts = get_json(f"http://127.0.0.1:{bench.port}/api/v1/alerts")["data"]["alerts"]
            server.kill()
        with bench.rulepush():
            wait_for("pending or firing", lambda: bench.states())
            again = get_json(f"http://127.0.0.1:{bench.port}/api/v1/alerts")["data"]["alerts"]
            assert again[0]["activeAt"] == alerts[0]["activeAt"]
            wait_for("firing", lambda: bench.states() == {bench.target.address: "firing"})


def test_a_resolution_outlives_sigkill(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    with bench.rulepush() as server:
        with bench.alertmanager():
            bench.target.value = 99
            wait_for("the alert", bench.received)
        bench.target.value = 0
        wait_for("resolved here", lambda: bench.states() == {})
        server.kill()
    with bench.alertmanager(), bench.rulepush():
        wait_for("resolution there", lambda: not bench.received())


def test_a_real_exporter_is_watched(tmp_path: Path) -> None:
    exporter = binary("prometheus-node-exporter")
    bench = Bench(tmp_path)
    port = free_port()
    (tmp_path / "rules.yml").write_text(
        "groups: [{name: node, rules: [{alert: Load, expr: node_load1 >= 0 and on(instance) node_boot_time_seconds}]}]"
    )
    config = (tmp_path / "prometheus.yml").read_text().replace(bench.target.address, f"127.0.0.1:{port}")
    (tmp_path / "prometheus.yml").write_text(config)
    command = [exporter, f"--web.listen-address=127.0.0.1:{port}"]
    ready = f"http://127.0.0.1:{port}/"
    with running(command, tmp_path / "exporter.log", ready), bench.alertmanager(), bench.rulepush():
        alert = wait_for("the alert", bench.received)[0]
        assert alert["labels"]["instance"] == f"127.0.0.1:{port}"
        targets = get_json(f"http://127.0.0.1:{bench.port}/api/v1/targets")["data"]["activeTargets"]
        assert [t["health"] for t in targets] == ["up"]
