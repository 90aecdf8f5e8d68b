"""Two shards of the rules, each with two replicas, on a real engine and a real Alertmanager; then three shards."""

from __future__ import annotations

import contextlib
import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.engines import RealEngine, engine
from tests.http_server import HttpReply, HttpRequest, LoopbackServer
from tests.servers import (
    Server,
    alertmanager_command,
    answers,
    free_port,
    get_json,
    rulepush_command,
    running,
    wait_for,
)

pytestmark = pytest.mark.e2e

GROUPS = 12
RESEND_S = 4
VALID_S = 4 * RESEND_S
"""After so long Alertmanager ends an alert that nobody sends again."""
FOR_S = 20
"""Longer: a shard that began the `for` clock anew would send too late."""


class _Shards:
    """Evaluators by port, all with one configuration in `directory`; `told` are the notifications that came."""

    def __init__(self, directory: Path, real: RealEngine):
        self.directory = directory
        self.told: list[tuple[str, str]] = []
        self.pager = LoopbackServer(self._take)
        self.alertmanager_port = free_port()
        self.ports = [free_port() for _ in range(4)]
        for i in range(GROUPS):  # one directory a team, as many have it: files and groups of one name
            team = directory / "rules" / f"team-{i}"
            team.mkdir(parents=True)
            rule = f"{{alert: Breach, expr: 'breach{{n=\"{i}\"}} > 50', for: {FOR_S}s, labels: {{team: 't{i}'}}}}"
            (team / "alerts.yml").write_text(f"groups: [{{name: alerts, rules: [{rule}]}}]\n")
        files = [f"rules/team-{i}/alerts.yml" for i in range(GROUPS)]
        (directory / "prometheus.yml").write_text(
            f"""
global: {{evaluation_interval: 1s, external_labels: {{replica: "${{REPLICA}}"}}}}
alerting:
  alert_relabel_configs: [{{regex: replica, action: labeldrop}}]
  alertmanagers: [{{static_configs: [{{targets: ["127.0.0.1:{self.alertmanager_port}"]}}]}}]
datasources: [{{name: central, url: '{real.url}', query_offset: 3s, write_to: central, rule_files: {files}}}]
remote_write: [{{name: central, url: '{real.url}/api/v1/write', queue_config: {{batch_send_deadline: 100ms}}}}]
"""
        )

    def _take(self, request: HttpRequest) -> HttpReply:
        self.told += [(a["status"], a["labels"]["team"]) for a in json.loads(request.body)["alerts"]]
        return HttpReply()

    @contextlib.contextmanager
    def alertmanager(self) -> Iterator[None]:
        route = "{receiver: pager, group_by: [team], group_wait: 0s, group_interval: 1s, repeat_interval: 1h}"
        url = f"http://{self.pager.address}/"
        config = f"route: {route}\nreceivers: [{{name: pager, webhook_configs: [{{url: '{url}'}}]}}]\n"
        port = self.alertmanager_port
        command = alertmanager_command(self.directory / "am", port, config)
        with running(command, self.directory / "am.log", f"http://127.0.0.1:{port}/-/ready"):
            yield

    def url(self, n: int) -> str:
        return f"http://127.0.0.1:{self.ports[n]}"

    @contextlib.contextmanager
    def evaluators(self, shards: Sequence[str]) -> Iterator[list[Server]]:
        """One for each shard, all peers; they start and stop at the same time, as after one change of the flag."""
        with contextlib.ExitStack() as started:
            servers = [self._start(n, shard, range(len(shards))) for n, shard in enumerate(shards)]
            for server in servers:
                started.callback(server.close)
            for n in range(len(shards)):
                wait_for(f"evaluator {n}", partial(answers, f"{self.url(n)}/-/ready"))
            yield servers
            for server in servers:
                assert server.process is not None
                server.process.terminate()

    def _start(self, n: int, shard: str, peers: Iterable[int]) -> Server:
        command = rulepush_command(
            "run",
            f"--config.file={self.directory / 'prometheus.yml'}",
            f"--storage.path={self.directory / f'state-{n}'}",
            f"--web.listen-address=127.0.0.1:{self.ports[n]}",
            f"--rules.alert.resend-delay={RESEND_S}s",
            f"--rules.shard={shard}",
            *(f"--web.peers={self.url(peer)}" for peer in peers),
        )
        return Server(["env", f"REPLICA={n}", *command], self.directory / f"evaluator-{n}.log")

    def own(self, n: int) -> set[str]:
        """The teams whose groups this evaluator has."""
        groups = get_json(f"{self.url(n)}/api/v1/rules", shard="own")["data"]["groups"]
        return {group["rules"][0]["labels"]["team"] for group in groups}

    def seen(self, n: int) -> tuple[dict[str, Any], Counter[int]]:
        """The answer of /api/v1/rules with every group, and by how many evaluators the groups and alerts are had."""
        answer: dict[str, Any] = get_json(f"{self.url(n)}/api/v1/rules")
        groups = answer["data"]["groups"]
        assert len(groups) == GROUPS
        alerts = get_json(f"{self.url(n)}/api/v1/alerts")["data"]["alerts"]
        assert {a["labels"]["team"] for a in alerts} == {f"t{i}" for i in range(GROUPS)}
        assert len(alerts) == GROUPS
        assert {a["state"] for a in alerts} == {"firing"}
        return answer, Counter(len(one["evaluators"]) for one in (*groups, *alerts))

    def active(self) -> list[str]:
        """The teams of the active alerts at Alertmanager, sorted."""
        alerts = get_json(f"http://127.0.0.1:{self.alertmanager_port}/api/v2/alerts")
        return sorted(alert["labels"]["team"] for alert in alerts)

    def wait_until_seen(self, n: int, had: dict[int, int]) -> dict[str, Any]:
        """Until this evaluator sees every group and alert so many times."""

        def complete() -> dict[str, Any] | None:
            with contextlib.suppress(AssertionError):
                answer, times = self.seen(n)
                return answer if times == Counter(had) else None
            return None

        return wait_for(f"the whole view at {n}", complete)


def feed(real: RealEngine) -> None:
    """One sample each, which the engine shows for five minutes."""
    lines = "".join(f'breach{{n="{i}"}} 99\n' for i in range(GROUPS))
    httpx.post(f"{real.url}/api/v1/import/prometheus", content=lines, trust_env=False, timeout=60).raise_for_status()
    wait_for("the samples", lambda: len(real.ask("breach")) == GROUPS)


def test_shards_with_replicas_show_all_and_a_group_that_moves_resolves_nothing(tmp_path: Path) -> None:
    everything = sorted(f"t{i}" for i in range(GROUPS))
    with contextlib.ExitStack() as stack:
        real = stack.enter_context(engine("victoria", tmp_path / "engine"))
        feed(real)
        shards = _Shards(tmp_path, real)
        stack.callback(shards.pager.close)
        stack.enter_context(shards.alertmanager())

        with shards.evaluators(("0/2", "1/2", "0/2", "1/2")) as servers:
            had = [shards.own(n) for n in range(4)]
            assert had[0] == had[2]
            assert had[1] == had[3]
            assert not had[0] & had[1]
            assert sorted(had[0] | had[1]) == everything
            assert had[0]
            assert had[1]
            for n in range(4):
                answer = shards.wait_until_seen(n, {2: 2 * GROUPS})
                assert "warnings" not in answer
            wait_for("one alert each", lambda: shards.active() == everything)
            page = httpx.get(
                f"{shards.url(1)}/alerts", headers={"Accept-Language": "en"}, trust_env=False, timeout=60
            ).text
            assert "On other evaluators" in page

            servers[0].kill()
            for n in (1, 2, 3):
                answer = shards.wait_until_seen(n, {1: 2 * len(had[0]), 2: 2 * len(had[1])})
                (warning,) = answer["warnings"]
                assert warning.startswith(f"peer {shards.url(0)} does not answer since ")
                assert warning.endswith("(shard 0/2, which another evaluator shows)")
            page = httpx.get(
                f"{shards.url(1)}/alerts", headers={"Accept-Language": "en"}, trust_env=False, timeout=60
            ).text
            assert f"Another evaluator of the rules does not answer: {shards.url(0)}" in page
            begin = time.monotonic()
            wait_for("what the killed one sent to run out", lambda: time.monotonic() - begin > VALID_S + 2, VALID_S + 5)
            assert shards.active() == everything

        with shards.evaluators(("0/3", "1/3", "2/3")):
            now = [shards.own(n) for n in range(3)]
            assert sorted(team for teams in now for team in teams) == everything
            assert now[0] <= had[0]
            assert now[1] <= had[1]
            assert now[2]
            for n in range(3):
                assert "warnings" not in shards.wait_until_seen(n, {1: 2 * GROUPS})
            begin = time.monotonic()
            wait_for(
                "what the former ones sent to run out", lambda: time.monotonic() - begin > VALID_S + 2, VALID_S + 5
            )
            assert shards.active() == everything
        assert sorted(team for status, team in shards.told if status == "firing") == everything
        assert [team for status, team in shards.told if status == "resolved"] == []
        assert sorted(team for status, team in shards.told if status == "firing") == everything
