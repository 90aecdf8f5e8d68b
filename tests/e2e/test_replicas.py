"""Two rulepush with one configuration in front of a real Alertmanager, as docs/operations.md sets them up."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from rulepush.model.timestamps import parse_rfc3339
from tests.harness import Bench
from tests.http_server import HttpReply, HttpRequest, LoopbackServer
from tests.servers import Server, alertmanager_command, free_port, get_json, rulepush_command, running, wait_for

pytestmark = pytest.mark.e2e


class _Pager:
    """A webhook that remembers what it was notified of: the status of each alert, in order."""

    def __init__(self) -> None:
        self.received: list[tuple[str, dict[str, str]]] = []
        self._server = LoopbackServer(self._take)
        self.url = f"http://{self._server.address}/"

    def _take(self, request: HttpRequest) -> HttpReply:
        self.received += [(alert["status"], alert["labels"]) for alert in json.loads(request.body)["alerts"]]
        return HttpReply()

    def statuses(self) -> list[str]:
        return [status for status, _ in self.received]

    def close(self) -> None:
        self._server.close()


class _Pair:
    """Replicas "a" and "b": the same file, each with its own name, port and state."""

    def __init__(self, directory: Path):
        self.bench = Bench(directory)
        self.pager = _Pager()
        self.ports = {"a": free_port(), "b": free_port()}
        config = directory / "prometheus.yml"
        config.write_text(
            config.read_text()
            .replace("{site: e2e}", '{site: e2e, replica: "${REPLICA}"}')
            .replace("alerting:\n", "alerting:\n  alert_relabel_configs: [{regex: replica, action: labeldrop}]\n")
        )

    @contextlib.contextmanager
    def alertmanager(self) -> Iterator[None]:
        route = "{receiver: pager, group_by: [alertname], group_wait: 0s, group_interval: 1s, repeat_interval: 1h}"
        config = f"route: {route}\nreceivers: [{{name: pager, webhook_configs: [{{url: '{self.pager.url}'}}]}}]\n"
        port = self.bench.ports[0]
        command = alertmanager_command(self.bench.directory / "am", port, config)
        with running(command, self.bench.directory / "am.log", f"http://127.0.0.1:{port}/-/ready"):
            yield

    @contextlib.contextmanager
    def replica(self, name: str) -> Iterator[Server]:
        command = rulepush_command(
            "run",
            f"--config.file={self.bench.directory / 'prometheus.yml'}",
            f"--storage.path={self.bench.directory / name}",
            f"--web.listen-address=127.0.0.1:{self.ports[name]}",
            "--rules.alert.resend-delay=1s",
        )
        ready = f"http://127.0.0.1:{self.ports[name]}/-/ready"
        with running(["env", f"REPLICA={name}", *command], self.bench.directory / f"{name}.log", ready) as server:
            yield server

    def is_firing(self, name: str) -> bool:
        return [alert["state"] for alert in self._alerts(name)] == ["firing"]

    def is_quiet(self, name: str) -> bool:
        return self._alerts(name) == []

    def _alerts(self, name: str) -> list[dict[str, Any]]:
        alerts: list[dict[str, Any]] = get_json(f"http://127.0.0.1:{self.ports[name]}/api/v1/alerts")["data"]["alerts"]
        return alerts


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[_Pair]:
    made = _Pair(tmp_path)
    yield made
    made.pager.close()
    made.bench.target.close()


def test_an_alert_of_both_is_one_alert_and_outlives_either(pair: _Pair) -> None:
    bench = pair.bench
    with pair.alertmanager(), pair.replica("b"):
        with pair.replica("a") as first:
            bench.target.value = 99
            for name in ("a", "b"):
                wait_for(f"firing at {name}", partial(pair.is_firing, name))
            wait_for("the notification", lambda: pair.pager.statuses() == ["firing"])
            (alert,) = bench.received()
            assert alert["labels"]["site"] == "e2e"
            assert "replica" not in alert["labels"]
            first.kill()
        # The other one keeps it alive: what "a" sent last would have ended by itself after four resends.
        begin = time.monotonic()
        wait_for("resends of the other", lambda: time.monotonic() - begin > 6)
        assert len(bench.received()) == 1
        assert pair.pager.statuses() == ["firing"]
        with pair.replica("a"):
            wait_for("firing again", partial(pair.is_firing, "a"))
            (again,) = bench.received()
            assert again["fingerprint"] == alert["fingerprint"]
            assert abs(parse_rfc3339(again["startsAt"]) - parse_rfc3339(alert["startsAt"])) < 2000
            bench.target.value = 0
            wait_for("resolution", lambda: not bench.received())
            for name in ("a", "b"):
                wait_for(f"resolved at {name}", partial(pair.is_quiet, name))
            begin = time.monotonic()
            wait_for("everything that could follow", lambda: time.monotonic() - begin > 4)
    statuses = pair.pager.statuses()
    assert statuses[0] == "firing"
    assert statuses[-1] == "resolved"
    # When one saw the end a moment before the other, Alertmanager may notify twice; but not more than that.
    assert len(statuses) in (2, 4)
