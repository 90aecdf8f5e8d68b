"""A running rulepush with everything that a page may have to show, all on loopback.

One target has the values that the test turns, one has a crowd of 300 series, one dies while its alert fires, and one
was never there. One Alertmanager takes what it gets, and one refuses it.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import httpx

from tests.harness import Scene, job, section
from tests.http_server import HttpReply, HttpRequest, LoopbackServer
from tests.servers import free_port, get_json, wait_for

CROWD: Final = 300
HOSTILE: Final = "<script>document.title='broken in'</script><b>\"'&"
"""A label value and an annotation that a page must show as text."""
CHINESE: Final = "队列太长了，请检查消费者是否还在运行"

DROP_GONE: Final = (
    "relabel_configs: [{source_labels: [__address__], regex: '(.*):.*', target_label: host}, "
    "{source_labels: [__address__], regex: 'gone.*', action: drop}]"
)
RULES: Final = """
groups:
- name: states
  rules:
  - alert: QueueLong
    expr: queue_jobs > 100
    labels: {severity: critical}
    annotations:
      summary: "{{ $labels.queue }} has {{ $value }} jobs that wait, and nobody takes them"
      summary_zh: "队列太长了，请检查消费者是否还在运行：{{ $labels.queue }}"
      description: "Consumers are gone or too slow. Look at their logs first, then at the database that they write to."
      runbook_url: "https://runbooks.example/queue-long?queue={{ $labels.queue }}"
      dashboard_url: "http://grafana.example/d/queues"
      evil_url: "javascript:document.title='broken in'"
  - alert: QueueGrows
    expr: queue_jobs > 50
    for: 3h
    labels: {severity: warning}
    annotations: {summary: "{{ $labels.queue }} is at {{ $value }} jobs", summary_zh: "队列在变长"}
  - alert: QueueRefuses
    expr: queue_refused > 0
    labels: {severity: warning}
    annotations: {summary: "{{ $labels.queue }} refuses jobs"}
  - alert: NodeFails
    expr: node_bad == 1
    labels: {severity: critical}
    annotations: {summary: "{{ $labels.instance }} is bad"}
  - alert: Hostile
    expr: hostile > 0
    labels: {severity: info}
    annotations: {summary: "{{ $labels.text }}", description: "{{ $labels.text }} at {{ $value }}"}
  - alert: CannotBeEvaluated
    expr: queue_jobs / on() queue_jobs > 1
    labels: {severity: critical}
    annotations: {summary: "never seen"}
  - alert: Quiet
    expr: queue_jobs > 1e9
    labels: {severity: warning}
    annotations: {summary: "never fires"}
  - alert: TargetDown
    expr: up == 0
    for: 30m
    labels: {severity: warning}
    annotations: {summary: "{{ $labels.instance }} cannot be scraped"}
  - {record: "queue:jobs:sum", expr: sum(queue_jobs)}
- name: crowd
  rules:
  - alert: Crowded
    expr: crowd_level > 10
    labels: {severity: warning}
    annotations: {summary: "shard {{ $labels.shard }} is at {{ $value }}"}
- name: heartbeat
  rules:
  - alert: Watchdog
    expr: vector(1)
    labels: {severity: none}
    annotations: {summary: "Always fires, so that its absence is noticed"}
"""


@dataclass
class Metrics:
    """A target: its page is made of `lines`, and `alive` tells whether it answers."""

    lines: dict[str, float] = field(default_factory=dict)
    alive: bool = True

    def __post_init__(self) -> None:
        self._server = LoopbackServer(self._page)
        self.address = self._server.address

    def _page(self, _: HttpRequest) -> HttpReply:
        text = "".join(f"{series} {value:g}\n" for series, value in dict(self.lines).items())
        return HttpReply(text.encode(), 200 if self.alive else 503)

    def close(self) -> None:
        self._server.close()


class RecordingAlertmanager:
    """Takes alerts at /api/v2/alerts and remembers them; with `refuse` it answers 400 and this text instead.

    Written after prometheus/alertmanager api/v2/api.go: 200 and no body, or 400 and the reason as a JSON string.
    """

    def __init__(self, refuse: str = ""):
        self.refuse = refuse
        self._lock = threading.Lock()
        self._alerts: dict[str, dict[str, Any]] = {}
        self._server = LoopbackServer(self._answer, keep_alive=True)
        self.address = self._server.address

    def _answer(self, request: HttpRequest) -> HttpReply:
        if request.path != "/api/v2/alerts":
            return HttpReply(status=404)
        if self.refuse:
            return HttpReply(json.dumps(self.refuse).encode(), 400, "application/json")
        with self._lock:
            for alert in json.loads(request.body):
                self._alerts[json.dumps(alert["labels"], sort_keys=True)] = alert
        return HttpReply(content_type="application/json")

    def received(self) -> list[dict[str, Any]]:
        """The newest state of each alert."""
        with self._lock:
            return list(self._alerts.values())

    def close(self) -> None:
        self._server.close()


class Stage(Scene):
    """The process and its surroundings. `alert_path(name)` is what its alert's generatorURL says."""

    external_labels = "{site: stage}"

    def __init__(self, directory: Path):
        self.queues = Metrics({'queue_jobs{queue="mail"}': 250, 'queue_jobs{queue="print"}': 70, "queue_refused": 1})
        self.queues.lines[f'hostile{{text="{_escaped(HOSTILE)}"}}'] = 1
        self.queues.lines[f'hostile{{text="{CHINESE}"}}'] = 1
        self.crowd = Metrics({f'crowd_level{{shard="{i:03d}"}}': 11.0 + i for i in range(CROWD)})
        self.node = Metrics({"node_bad": 1})
        self.alertmanager = RecordingAlertmanager()
        self.refusing = RecordingAlertmanager(refuse="no receiver matches <b>these</b> labels")
        jobs = [
            job("queues", [self.queues.address]),
            job("crowd", [self.crowd.address]),
            job("nodes", [self.node.address, f"127.0.0.1:{free_port()}", "gone.example:80"], DROP_GONE),
        ]
        # Few alerts go to the one that refuses: it is offered one after the other.
        few = "alert_relabel_configs: [{source_labels: [alertname], regex: 'Queue.*|NodeFails', action: keep}]"
        alertmanagers = [section([self.alertmanager.address]), section([self.refusing.address], f"timeout: 1s, {few}")]
        super().__init__(directory, jobs, alertmanagers, RULES)
        self.flags += ["--web.enable-target-bodies", "--web.enable-push-receiver"]
        config = directory / "prometheus.yml"
        text = config.read_text().replace("alerting:\n", "alerting:\n  hold_on_scrape_failure: 1h\n")
        config.write_text(f"{text}storage: {{record: {{}}}}\n")

    @contextlib.contextmanager
    def shown(self) -> Iterator[Stage]:
        """The process in the state that the pages are looked at: everything fires, QueueRefuses is resolved, the node
        is held."""
        with self.rulepush():
            wait_for("the alerts", lambda: len(self._of("firing")) >= CROWD + 6)
            self._push("nightly", "backup_size_bytes 5\n")
            wait_for("delivery", lambda: len(self.alertmanager.received()) >= CROWD)
            self.queues.lines["queue_refused"] = 0
            self.node.alive = False
            wait_for("the resolution", lambda: not self._named("QueueRefuses"))
            wait_for("the held alert", lambda: "heldSince" in self._named("NodeFails")[0])
            yield self

    def _push(self, name: str, body: str) -> None:
        httpx.put(f"{self.url}/metrics/job/{name}", content=body).raise_for_status()

    def page(self, path: str, **params: str) -> str:
        """The URL of a page."""
        query = "&".join(f"{name}={quote(value)}" for name, value in params.items())
        return f"{self.url}{path}{'?' if query else ''}{query}"

    def generator_url(self, name: str) -> str:
        """Where the link of a notification leads: what Alertmanager was told."""
        return next(str(a["generatorURL"]) for a in self.alertmanager.received() if a["labels"]["alertname"] == name)

    def close(self) -> None:
        """Stop the surroundings."""
        for server in (self.queues, self.crowd, self.node, self.alertmanager, self.refusing):
            server.close()

    def _alerts(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = get_json(f"{self.url}/api/v1/alerts")["data"]["alerts"]
        return found

    def _of(self, state: str) -> list[dict[str, Any]]:
        return [a for a in self._alerts() if a["state"] == state]

    def _named(self, name: str) -> list[dict[str, Any]]:
        return [a for a in self._alerts() if a["labels"]["alertname"] == name]


def _escaped(text: str) -> str:
    """A label value as the exposition format writes it."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
