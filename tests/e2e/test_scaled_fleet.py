"""Scraping shards, a real VictoriaMetrics, evaluators of rules and a real Alertmanager: examples/fleet, reduced."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from rulepush.model.labels import Labels
from rulepush.scrape.sharding import ScrapeSharding
from tests.http_server import HttpReply, HttpRequest, LoopbackServer
from tests.servers import (
    Server,
    alertmanager_command,
    answers,
    binary,
    free_port,
    get_json,
    rulepush_command,
    running,
    wait_for,
)

pytestmark = [pytest.mark.e2e, pytest.mark.alone]

TARGETS = 300
PATIENCE_S = 60  # a bound for each step, on a machine that others use as well
SHARD_BY = "instance"
RULES = """
groups:
- name: breach
  rules:
  - {alert: Breach, expr: fleet_breach > 50}
- name: lost
  rules:
  - {alert: TargetsLost, expr: 'count(up{job="apps"}) != 300'}
- name: down
  rules:
  - {alert: AppDown, expr: 'up{job="apps"} == 0'}
- name: absent
  rules:
  - {alert: AppsAbsent, expr: 'absent(fleet_breach)'}
"""
# Not a loopback address for rulepush, which every shard would scrape, but one for the kernel.
SAME_MACHINE = "0.0.0.0"


class _Apps:
    """All targets on one port: `/t/7` is app-7. A request is answered on a connection that stays open."""

    def __init__(self) -> None:
        self.breached: set[int] = set()
        self.port = free_port()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        serving = asyncio.start_server(self._answer, "127.0.0.1", self.port, backlog=1024)
        self._server = asyncio.run_coroutine_threadsafe(serving, self._loop).result(5)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                asked = await reader.readuntil(b"\r\n\r\n")
                number = int(asked.split(b" ", 2)[1].rpartition(b"/")[2])
                body = b"# TYPE fleet_breach gauge\nfleet_breach %d\n" % (99 if number in self.breached else 0)
                head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: %d\r\n\r\n"
                writer.write(head.encode() % len(body) + body)
        writer.close()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)


class _Setup:
    """Everything on loopback; `notified` is what the receiver of Alertmanager got, in order: (status, name, app)."""

    def __init__(self, directory: Path):
        self.directory = directory
        self.apps = _Apps()
        self.notified: list[tuple[str, str, str]] = []
        self._pager = LoopbackServer(self._take)
        self.engine, self.alertmanager = free_port(), free_port()
        self.shard_ports: dict[int, int] = {}
        self.servers = contextlib.ExitStack()
        self._write()

    def _take(self, request: HttpRequest) -> HttpReply:
        for alert in json.loads(request.body)["alerts"]:
            labels = alert["labels"]
            self.notified.append((alert["status"], labels["alertname"], labels.get("instance", "")))
        return HttpReply()

    def _write(self) -> None:
        write = f"remote_write: [{{name: central, url: 'http://127.0.0.1:{self.engine}/api/v1/write', "
        write += "queue_config: {batch_send_deadline: 500ms}}]\n"
        groups = "".join(
            f"  - targets: ['{SAME_MACHINE}:{self.apps.port}']\n"
            f"    labels: {{instance: app-{i}, __metrics_path__: /t/{i}}}\n"
            for i in range(TARGETS)
        )
        (self.directory / "scrape.yml").write_text(
            "global: {scrape_interval: 3s, scrape_timeout: 3s}\n"
            + write
            + f"scrape_configs:\n- job_name: apps\n  static_configs:\n{groups}"
        )
        (self.directory / "rules.yml").write_text(RULES)
        (self.directory / "evaluate.yml").write_text(
            "global: {evaluation_interval: 1s}\n"
            f"datasources: [{{name: central, url: 'http://127.0.0.1:{self.engine}', rule_files: [rules.yml], "
            "query_offset: 4s, write_to: central}]\n"
            f"alerting: {{alertmanagers: [{{static_configs: [{{targets: ['127.0.0.1:{self.alertmanager}']}}]}}]}}\n"
            + write
        )

    def start(self, command: list[str], name: str, ready: str = "") -> Server:
        return self.servers.enter_context(running(command, self.directory / f"{name}.log", ready or None))

    def start_stores(self) -> None:
        engine = f"http://127.0.0.1:{self.engine}"
        command = [
            binary("victoria-metrics"),
            f"-storageDataPath={self.directory}/victoria",
            f"-httpListenAddr=127.0.0.1:{self.engine}",
            "-search.latencyOffset=0s",
            "-dedup.minScrapeInterval=3s",
        ]
        self.start(command, "victoria", f"{engine}/health")
        route = "{receiver: pager, group_by: [alertname], group_wait: 0s, group_interval: 1s, repeat_interval: 1h}"
        pager = f"[{{name: pager, webhook_configs: [{{url: 'http://{self._pager.address}/'}}]}}]"
        config = f"route: {route}\nreceivers: {pager}\n"
        command = alertmanager_command(self.directory / "am", self.alertmanager, config)
        self.start(command, "alertmanager", f"http://127.0.0.1:{self.alertmanager}/-/ready")

    def shards(self, count: int, *indexes: int) -> list[Server]:
        """Start these shards at the same time."""
        started = [self._shard(index, count) for index in indexes]
        for index in indexes:
            wait_for(f"shard {index}", partial(answers, self._ready(self.shard_ports[index])), PATIENCE_S)
        return started

    def _shard(self, index: int, count: int) -> Server:
        port = self.shard_ports[index] = free_port()
        flags = (f"--scrape.shard={index}/{count}", "--scrape.shard-replicas=2", f"--scrape.shard-by={SHARD_BY}")
        return self._rulepush(f"shard-{index}", "scrape.yml", port, *flags)

    def evaluators(self, count: int) -> None:
        """Start all evaluators at the same time."""
        ports = [free_port() for _ in range(count)]
        for index, port in enumerate(ports):
            peers = (f"--web.peers=http://127.0.0.1:{other}" for other in ports if other != port)
            flags = (f"--rules.shard={index}/{count}", *peers)
            self._rulepush(f"evaluator-{index}", "evaluate.yml", port, *flags)
        for port in ports:
            wait_for("the evaluator", partial(answers, self._ready(port)), PATIENCE_S)

    def _ready(self, port: int) -> str:
        return f"http://127.0.0.1:{port}/-/ready"

    def _rulepush(self, name: str, config: str, port: int, *flags: str) -> Server:
        command = rulepush_command(
            "run",
            f"--config.file={self.directory / config}",
            f"--storage.path={self.directory / name}",
            f"--web.listen-address=127.0.0.1:{port}",
            *flags,
        )
        return self.start(command, name)

    def scraped(self, index: int) -> int:
        """How many targets a shard has."""
        return len(get_json(f"http://127.0.0.1:{self.shard_ports[index]}/api/v1/targets")["data"]["activeTargets"])

    def known(self) -> int:
        """How many targets the engine has seen up."""
        answer = get_json(f"http://127.0.0.1:{self.engine}/api/v1/query", query='count(up{job="apps"} == 1)')
        return int(answer["data"]["result"][0]["value"][1])

    def is_notified(self, status: str, apps: set[int]) -> bool:
        return {(status, "Breach", f"app-{i}") for i in apps} <= set(self.notified)

    def close(self) -> None:
        self.servers.close()
        self._pager.close()
        self.apps.close()


@pytest.fixture
def setup(tmp_path: Path) -> Iterator[_Setup]:
    made = _Setup(tmp_path)
    yield made
    made.close()


def first_of_each_shard(count: int, start: int) -> set[int]:
    """For each shard one app whose first shard it is, from `start` on."""
    sharding = ScrapeSharding(0, count, by=(SHARD_BY,))
    found: dict[int, int] = {}
    for i in range(start, start + 50):
        found.setdefault(sharding.owners(Labels.of(instance=f"app-{i}"))[0], i)
    return set(found.values())


def test_a_shard_that_dies_and_one_that_is_added_cost_no_alert_and_make_none(setup: _Setup) -> None:
    setup.start_stores()
    shards = setup.shards(3, 0, 1, 2)
    wait_for("all targets on the engine", lambda: setup.known() == TARGETS, PATIENCE_S)
    assert sum(setup.scraped(i) for i in range(3)) == 2 * TARGETS
    settled = time.monotonic() + 5  # the evaluators look back by the offset
    wait_for("samples as old as the offset", lambda: time.monotonic() > settled)
    setup.evaluators(2)

    before, meanwhile, after = (first_of_each_shard(n, s) for n, s in ((3, 0), (3, 50), (4, 100)))
    setup.apps.breached |= before
    wait_for("the alerts of all shards", lambda: setup.is_notified("firing", before), PATIENCE_S)

    shards[1].kill()
    setup.apps.breached |= meanwhile
    wait_for("alerts of the targets of the dead shard, too", lambda: setup.is_notified("firing", meanwhile), PATIENCE_S)

    setup.shards(4, 1, 3)  # the dead one again, and the new one; then the others, by their new number
    shards[0].close()
    shards[2].close()
    setup.shards(4, 0, 2)
    assert sum(setup.scraped(i) for i in range(4)) == 2 * TARGETS
    setup.apps.breached |= after
    wait_for("alerts with four shards", lambda: setup.is_notified("firing", after), PATIENCE_S)

    everything = before | meanwhile | after
    setup.apps.breached.clear()
    wait_for("the end of all", lambda: setup.is_notified("resolved", everything), PATIENCE_S)
    wanted = Counter((status, "Breach", f"app-{i}") for status in ("firing", "resolved") for i in everything)
    told = Counter(dict.fromkeys(setup.notified, 1))
    assert told == wanted, "none is false, none is lost"
    changes = [(app, status) for status, _, app in setup.notified]
    for i in everything:
        phases = re.sub(r"(.)\1+", r"\1", "".join(status[0] for app, status in changes if app == f"app-{i}"))
        assert phases == "fr", f"app-{i} fired once and ended once"
