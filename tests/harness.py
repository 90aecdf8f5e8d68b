"""One rulepush with a target and Alertmanagers, as the end-to-end and fault tests set it up."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.http_server import HttpReply, HttpRequest, LoopbackServer
from tests.servers import Server, alertmanager_command, free_port, get_json, rulepush_command, running

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
        self._server = LoopbackServer(self._page)
        self.address = self._server.address

    def _page(self, _: HttpRequest) -> HttpReply:
        return HttpReply(b"# TYPE e2e_breach gauge\ne2e_breach %g\n" % self.value, 500 if self.broken else 200)

    def close(self) -> None:
        self._server.close()


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
