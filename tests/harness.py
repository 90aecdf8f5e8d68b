"""A rulepush process on loopback, with targets and Alertmanagers, as the end-to-end and fault tests set it up."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.http_server import HttpReply, HttpRequest, LoopbackServer
from tests.servers import Server, alertmanager_command, free_port, get_json, rulepush_command, running

RULES = """
groups:
- name: faults
  rules:
  - alert: Breach
    expr: e2e_breach > 50
    annotations: {summary: "at {{ $value }}"}
  - alert: Never
    expr: e2e_breach < -1
"""

BREACH = """
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


def section(addresses: Sequence[str], extra: str = "timeout: 1s") -> str:
    """One `alertmanagers` section, in flow style."""
    return f"{{static_configs: [{{targets: {list(addresses)}}}], {extra}}}"


def job(name: str, addresses: Sequence[str], extra: str = "") -> str:
    """One job with static targets, in flow style."""
    return f"{{job_name: {name}, static_configs: [{{targets: {list(addresses)}}}]{', ' if extra else ''}{extra}}}"


class Scene:
    """A rulepush process with its files; every interval is one second.

    `jobs` and `alertmanagers` are items of their lists, `external_labels` a mapping, all in YAML's flow style. Write
    again with `configure`.
    """

    external_labels = "{}"

    def __init__(self, directory: Path, jobs: Sequence[str], alertmanagers: Sequence[str], rules: str = RULES):
        self.directory = directory
        self.port = free_port()
        self.flags = ["--rules.alert.resend-delay=2s"]
        self.url = f"http://127.0.0.1:{self.port}"
        self.state: Path | None = directory / "state"
        self.configure(jobs, alertmanagers, rules)

    def configure(self, jobs: Sequence[str], alertmanagers: Sequence[str], rules: str = RULES) -> None:
        """Write the configuration file and the rule file."""
        labels = f"external_labels: {self.external_labels}"
        lines = [
            f"global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s, {labels}}}",
            "rule_files: [rules.yml]",
            "scrape_configs:",
            *(f"- {one}" for one in jobs),
        ]
        if alertmanagers:
            lines += ["alerting:", "  alertmanagers:", *(f"  - {one}" for one in alertmanagers)]
        (self.directory / "prometheus.yml").write_text("\n".join(lines) + "\n")
        (self.directory / "rules.yml").write_text(rules)

    def command(self) -> list[str]:
        state = [f"--storage.path={self.state}"] if self.state else []
        return rulepush_command(
            "run",
            f"--config.file={self.directory / 'prometheus.yml'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            *state,
            *self.flags,
        )

    @contextlib.contextmanager
    def rulepush(self) -> Iterator[Server]:
        """The process, ready, for the length of the block."""
        with running(self.command(), self.directory / "rulepush.log", f"{self.url}/-/ready") as server:
            yield server

    def log(self) -> str:
        """What it logged so far."""
        return (self.directory / "rulepush.log").read_text(errors="replace")

    def targets(self) -> dict[str, dict[str, Any]]:
        """The active targets of the API, by instance."""
        active = get_json(f"{self.url}/api/v1/targets")["data"]["activeTargets"]
        return {t["labels"]["instance"]: t for t in active}

    def states(self) -> dict[str, str]:
        """State of each active alert, by instance (by alertname where it has none)."""
        alerts = get_json(f"{self.url}/api/v1/alerts")["data"]["alerts"]
        return {a["labels"].get("instance", a["labels"]["alertname"]): a["state"] for a in alerts}

    def value(self, expr: str) -> dict[str, float]:
        """An instant query's result by instance."""
        result = get_json(f"{self.url}/api/v1/query", query=expr)["data"]["result"]
        return {r["metric"].get("instance", ""): float(r["value"][1]) for r in result}

    def own(self, name: str, **labels: str) -> float:
        """The sum of an own metric over the samples that have these labels."""
        text = httpx.get(f"{self.url}/metrics", timeout=60, trust_env=False).text
        return sum(
            s.value
            for family in text_string_to_metric_families(text)
            for s in family.samples
            if s.name == name and labels.items() <= s.labels.items()
        )


class Bench(Scene):
    """A Scene with one target, and the ports of real Alertmanagers. The alert's `for` is `hold`."""

    external_labels = "{site: e2e}"

    def __init__(self, directory: Path, alertmanagers: int = 1, hold: str = "0s"):
        self.target = Target()
        self.ports = [free_port() for _ in range(alertmanagers)]
        targets = section([f"127.0.0.1:{port}" for port in self.ports], "timeout: 10s")
        super().__init__(directory, [job("app", [self.target.address])], [targets], BREACH.format(hold=hold))

    @contextlib.contextmanager
    def alertmanager(self, n: int = 0) -> Iterator[Server]:
        """The process, ready, for the length of the block."""
        command = alertmanager_command(self.directory / f"am{n}", self.ports[n])
        ready = f"http://127.0.0.1:{self.ports[n]}/-/ready"
        with running(command, self.directory / f"am{n}.log", ready) as server:
            yield server

    def received(self, n: int = 0) -> list[dict[str, Any]]:
        """Active alerts as this Alertmanager's API lists them."""
        alerts: list[dict[str, Any]] = get_json(f"http://127.0.0.1:{self.ports[n]}/api/v2/alerts")
        return alerts


def memory_peak_mb(server: Server) -> float:
    """The largest resident set that the process has had, in MB (proc(5), VmHWM)."""
    assert server.process is not None
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM:"))
