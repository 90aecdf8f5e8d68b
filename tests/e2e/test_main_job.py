"""The main job on real servers: a target, rulepush, a real Alertmanager, all on loopback."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.servers import (
    Server,
    alertmanager_command,
    binary,
    free_port,
    get_json,
    rulepush_command,
    running,
    wait_for,
)

pytestmark = pytest.mark.e2e

RULES = """
groups:
- name: e2e
  rules:
  - alert: Breach
    expr: e2e_breach > 50
    for: {hold}
    labels: {{severity: critical}}
    annotations: {{summary: "{{{{ $labels.instance }}}} is at {{{{ $value }}}}"}}
"""


class Target:
    """A page of metrics with one value that the test turns."""

    def __init__(self) -> None:
        self.value = 0.0
        self.broken = False
        target = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = b"# TYPE e2e_breach gauge\ne2e_breach %g\n" % target.value
                self.send_response(500 if target.broken else 200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Bench:
    """One rulepush with its files, a target, and the ports of the Alertmanagers."""

    def __init__(self, directory: Path, alertmanagers: int = 1, hold: str = "0s"):
        self.directory = directory
        self.target = Target()
        self.ports = [free_port() for _ in range(alertmanagers)]
        self.port = free_port()
        (directory / "rules.yml").write_text(RULES.format(hold=hold))
        targets = ", ".join(f"'127.0.0.1:{p}'" for p in self.ports)
        (directory / "prometheus.yml").write_text(
            f"""
global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s, external_labels: {{site: e2e}}}}
rule_files: [rules.yml]
scrape_configs:
- job_name: app
  static_configs: [{{targets: ['{self.target.address}']}}]
alerting:
  alertmanagers:
  - static_configs: [{{targets: [{targets}]}}]
"""
        )

    def command(self) -> list[str]:
        return rulepush_command(
            "run",
            f"--config.file={self.directory / 'prometheus.yml'}",
            f"--storage.path={self.directory / 'state'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--rules.alert.resend-delay=2s",
        )

    @contextlib.contextmanager
    def rulepush(self) -> Iterator[Server]:
        ready = f"http://127.0.0.1:{self.port}/-/ready"
        with running(self.command(), self.directory / "rulepush.log", ready) as server:
            yield server

    @contextlib.contextmanager
    def alertmanager(self, n: int = 0) -> Iterator[Server]:
        command = alertmanager_command(self.directory / f"am{n}", self.ports[n])
        ready = f"http://127.0.0.1:{self.ports[n]}/-/ready"
        with running(command, self.directory / f"am{n}.log", ready) as server:
            yield server

    def received(self, n: int = 0) -> list[dict[str, Any]]:
        """Active alerts as this Alertmanager's API lists them."""
        alerts: list[dict[str, Any]] = get_json(f"http://127.0.0.1:{self.ports[n]}/api/v2/alerts")
        return alerts

    def states(self) -> list[str]:
        """The alerts' states as rulepush's API lists them."""
        return [a["state"] for a in get_json(f"http://127.0.0.1:{self.port}/api/v1/alerts")["data"]["alerts"]]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path


def test_an_alert_goes_its_whole_way_and_stops_cleanly(directory: Path) -> None:
    bench = Bench(directory, hold="2s")
    with bench.alertmanager(), bench.rulepush() as server:
        bench.target.value = 99
        wait_for("pending", lambda: bench.states() == ["pending"])
        assert bench.received() == []
        wait_for("firing", lambda: bench.states() == ["firing"])
        alert = wait_for("the alert at Alertmanager", bench.received)[0]
        assert alert["labels"] == {
            "alertname": "Breach",
            "severity": "critical",
            "job": "app",
            "instance": bench.target.address,
            "site": "e2e",
        }
        assert alert["annotations"] == {"summary": f"{bench.target.address} is at 99"}
        assert alert["generatorURL"].endswith("/graph?g0.expr=e2e_breach+%3E+50&g0.tab=1")
        assert alert["startsAt"] < alert["endsAt"]
        bench.target.value = 0
        wait_for("resolution", lambda: not bench.received())
        started = time.monotonic()
        assert server.terminate() == 0
        assert time.monotonic() - started < 10


def test_two_alertmanagers_both_get_every_alert(directory: Path) -> None:
    bench = Bench(directory, alertmanagers=2)
    with bench.alertmanager(0), bench.alertmanager(1), bench.rulepush():
        bench.target.value = 99
        for n in (0, 1):
            wait_for(f"the alert at Alertmanager {n}", lambda n=n: bench.received(n))  # type: ignore[misc]


def test_an_alertmanager_that_was_away_misses_nothing(directory: Path) -> None:
    bench = Bench(directory)
    with bench.rulepush():
        with bench.alertmanager():
            bench.target.value = 99
            wait_for("the alert", bench.received)
        # Alertmanager is down while the alert resolves: it must hear so when it is back.
        bench.target.value = 0
        wait_for("resolved here", lambda: bench.states() == [])
        with bench.alertmanager():
            wait_for("resolution there", lambda: not bench.received(), 30)


def test_a_firing_alert_is_the_same_alert_after_sigkill(directory: Path) -> None:
    bench = Bench(directory)
    with bench.alertmanager():
        with bench.rulepush() as server:
            bench.target.value = 99
            before = wait_for("the alert", bench.received)[0]
            server.kill()
        with bench.rulepush():
            wait_for("firing again", lambda: bench.states() == ["firing"])
            after = wait_for("a resend", lambda: [a for a in bench.received() if a["updatedAt"] > before["updatedAt"]])
            assert after[0]["startsAt"] == before["startsAt"]
            assert after[0]["fingerprint"] == before["fingerprint"]


def test_a_pending_clock_goes_on_after_sigkill(directory: Path) -> None:
    bench = Bench(directory, hold="12s")
    with bench.alertmanager():
        with bench.rulepush() as server:
            bench.target.value = 99
            wait_for("pending", lambda: bench.states() == ["pending"])
            alerts = get_json(f"http://127.0.0.1:{bench.port}/api/v1/alerts")["data"]["alerts"]
            server.kill()
        with bench.rulepush():
            wait_for("pending or firing", lambda: bench.states() in (["pending"], ["firing"]))
            again = get_json(f"http://127.0.0.1:{bench.port}/api/v1/alerts")["data"]["alerts"]
            assert again[0]["activeAt"] == alerts[0]["activeAt"]
            wait_for("firing", lambda: bench.states() == ["firing"])


def test_a_resolution_outlives_sigkill(directory: Path) -> None:
    bench = Bench(directory)
    with bench.rulepush() as server:
        with bench.alertmanager():
            bench.target.value = 99
            wait_for("the alert", bench.received)
        bench.target.value = 0
        wait_for("resolved here", lambda: bench.states() == [])
        server.kill()
    with bench.alertmanager(), bench.rulepush():
        wait_for("resolution there", lambda: not bench.received(), 30)


def test_a_real_exporter_is_watched(directory: Path) -> None:
    exporter = binary("prometheus-node-exporter")
    bench = Bench(directory)
    port = free_port()
    (directory / "rules.yml").write_text(
        "groups: [{name: node, rules: [{alert: Load, expr: node_load1 >= 0 and on(instance) node_boot_time_seconds}]}]"
    )
    config = (directory / "prometheus.yml").read_text().replace(bench.target.address, f"127.0.0.1:{port}")
    (directory / "prometheus.yml").write_text(config)
    command = [exporter, f"--web.listen-address=127.0.0.1:{port}"]
    ready = f"http://127.0.0.1:{port}/"
    with running(command, directory / "exporter.log", ready), bench.alertmanager(), bench.rulepush():
        alert = wait_for("the alert", bench.received)[0]
        assert alert["labels"]["instance"] == f"127.0.0.1:{port}"
        targets = get_json(f"http://127.0.0.1:{bench.port}/api/v1/targets")["data"]["activeTargets"]
        assert [t["health"] for t in targets] == ["up"]
