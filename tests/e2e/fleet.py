"""A rulepush whose rules are evaluated in memory and, the same ones, on a real engine that it writes to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from tests.faults.recording import RecordingAlertmanager
from tests.harness import Scene, Target, job, section
from tests.servers import get_json

QUERY_OFFSET_S = 3
"""Remote write sends after 0.1 s here, and VictoriaMetrics shows what it took a second later."""


class HasUrl(Protocol):
    """An engine: HasUrl, or a fake one."""

    url: str


class Fleet(Scene):
    """A Scene with one target, an engine, and alerts that say `where` they come from: memory or engine."""

    def __init__(self, directory: Path, engine: HasUrl, rules: str, *, in_memory: bool = True, **more: object):
        self.engine = engine
        self.target = Target()
        self.alertmanager = RecordingAlertmanager()
        self.rules = rules
        self.in_memory = in_memory
        self.more = more
        super().__init__(directory, [job("app", [self.target.address])], [section([self.alertmanager.address])])

    def configure(self, jobs: Sequence[str], alertmanagers: Sequence[str], rules: str = "") -> None:
        """Write the configuration file and both rule files."""
        settings = {"query_offset": f"{QUERY_OFFSET_S}s", "write_to": "central", **self.more}
        pairs = ", ".join(f"{k}: {v}" for k, v in settings.items())
        lines = [
            f"global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s, "
            f"external_labels: {self.external_labels}}}",
            f"rule_files: [{'memory.yml' if self.in_memory else ''}]",
            "scrape_configs:",
            *(f"- {one}" for one in jobs),
            "alerting:",
            "  alertmanagers:",
            *(f"  - {one}" for one in alertmanagers),
            "remote_write:",
            f"- {{name: central, url: '{self.engine.url}/api/v1/write', queue_config: {{batch_send_deadline: 100ms}}}}",
            "datasources:",
            f"- {{name: central, url: '{self.engine.url}', rule_files: [engine.yml], {pairs}}}",
        ]
        (self.directory / "prometheus.yml").write_text("\n".join(lines) + "\n")
        for where in ("memory", "engine"):
            (self.directory / f"{where}.yml").write_text(self.rules.replace("WHERE", where))

    def fired(self, where: str) -> set[str]:
        """The names of the alerts that Alertmanager shows as active."""
        last = self.alertmanager.last().values()
        return {p.name for p in last if not p.resolved and p.labels.get("where") == where}

    def reconfigure(self) -> None:
        """Write the files again, as this object says now."""
        self.configure([job("app", [self.target.address])], [section([self.alertmanager.address])])

    def groups(self) -> list[dict[str, Any]]:
        """As /api/v1/rules has them."""
        found: list[dict[str, Any]] = get_json(f"{self.url}/api/v1/rules")["data"]["groups"]
        return found

    def rule(self, group: str, name: str) -> dict[str, Any]:
        """One of them."""
        return next(r for g in self.groups() if g["name"] == group for r in g["rules"] if r["name"] == name)

    def close(self) -> None:
        self.target.close()
        self.alertmanager.close()
