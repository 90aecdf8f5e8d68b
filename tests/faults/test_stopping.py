"""SIGTERM and Ctrl-C while everything hangs: it stops within ten seconds, and what was pending is sent or saved."""

from __future__ import annotations

import signal
import socket
import threading
import time
from pathlib import Path

import httpx
import pytest

from tests.faults.misbehaving import Asked, Misbehaving
from tests.faults.recording import Posted, RecordingAlertmanager
from tests.harness import Scene, Target, job, section
from tests.http_server import HttpReply
from tests.servers import Server, wait_for

pytestmark = pytest.mark.e2e


def hanging() -> Misbehaving:
    server = Misbehaving(lambda asked: None)

    def hang(asked: Asked) -> None:
        server.closed.wait()

    server.answer = hang
    return server


def stop(server: Server, number: int) -> float:
    """Seconds until it was gone; it must leave with 0."""
    assert server.process is not None
    begun = time.monotonic()
    server.process.send_signal(number)
    assert server.process.wait(60) == 0
    return time.monotonic() - begun


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_in_time_and_saves_what_it_cannot_send(tmp_path: Path, number: int) -> None:
    app, stuck, silent = Target(), hanging(), hanging()
    slow_path = "timeout: 60s"

    def slowly(_: list[Posted]) -> HttpReply:
        time.sleep(1)  # the server's own slowness; nothing waits for it but rulepush
        return HttpReply()

    good = RecordingAlertmanager(slowly)
    scene = Scene(
        tmp_path, [job("app", [app.address, stuck.address])], [section([good.address, silent.address], slow_path)]
    )
    with scene.rulepush() as server:
        app.value = 99
        wait_for("the alert", lambda: good.firing() == {"Breach"})
        app.value = 0
        wait_for("resolved here", lambda: scene.states() == {})
        assert stop(server, number) < 10
    log = scene.log()
    assert "rulepush has stopped" in log
    assert 'they go out after the next start" alerts=1' in log
    assert "Traceback" not in log
    assert good.of("Breach")[-1].resolved, "what could be sent in time was not"
    # The one that hung receives it after the next start.
    received: list[bytes] = []

    def receive(asked: Asked) -> None:
        received.append(asked.body)
        asked.connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    silent.answer = receive
    with scene.rulepush() as server:
        wait_for("the resolution", lambda: any(b'"Breach"' in body for body in received))
        assert stop(server, number) < 10
    for one in (stuck, silent):
        one.close()
    good.close()
    app.close()


class WaitingClient:
    """Waits for the answer of one query: `outcome` is its text, or why there is none."""

    def __init__(self, url: str, query: str):
        self.outcome = ""
        self._url = f"{url}/api/v1/query"
        self._query = query
        self._thread = threading.Thread(target=self._ask)
        self._thread.start()

    def _ask(self) -> None:
        try:
            answer = httpx.post(self._url, data={"query": self._query}, timeout=60, trust_env=False)
            self.outcome = answer.text
        except httpx.HTTPError as e:
            self.outcome = f"no answer: {e}"

    def wait(self) -> str:
        self._thread.join(30)
        assert not self._thread.is_alive()
        return self.outcome


LONG_QUERY = "max_over_time(sum_over_time(vector(1)[10h:1s])[10h:1s])"  # takes a minute and more


def test_a_query_that_takes_long_does_not_hold_up_the_stop(tmp_path: Path) -> None:
    app, alertmanager = Target(), RecordingAlertmanager()
    scene = Scene(tmp_path, [job("app", [app.address])], [section([alertmanager.address])])
    with scene.rulepush() as server:
        before = scene.own("process_cpu_seconds_total")
        client = WaitingClient(scene.url, LONG_QUERY)
        wait_for("the query", lambda: scene.own("rulepush_queries_total") == 1)
        wait_for("the query to be under way", lambda: scene.own("process_cpu_seconds_total") > before + 1, 60)
        assert client.outcome == "", "it was to run for long"
        assert stop(server, signal.SIGTERM) < 10
    assert '"success"' not in client.wait()
    assert scene.log().splitlines()[-1].endswith('msg="rulepush has stopped"')
    assert "Traceback" not in scene.log()
    app.close()
    alertmanager.close()


def test_it_stops_at_once_when_nothing_hangs_and_twice_is_not_worse(tmp_path: Path) -> None:
    app, alertmanager = Target(), RecordingAlertmanager()
    scene = Scene(tmp_path, [job("app", [app.address])], [section([alertmanager.address])])
    with scene.rulepush() as server:
        app.value = 99
        wait_for("the alert", lambda: alertmanager.firing() == {"Breach"})
        assert server.process is not None
        server.process.send_signal(signal.SIGTERM)
        assert stop(server, signal.SIGTERM) < 5
    assert "Traceback" not in scene.log()
    app.close()
    alertmanager.close()


def test_a_client_that_holds_its_connection_does_not_hold_up_the_stop(tmp_path: Path) -> None:
    app, alertmanager = Target(), RecordingAlertmanager()
    scene = Scene(tmp_path, [job("app", [app.address])], [section([alertmanager.address])])
    with scene.rulepush() as server, socket.create_connection(("127.0.0.1", scene.port)) as half_a_request:
        half_a_request.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n")
        with socket.create_connection(("127.0.0.1", scene.port)) as half_a_body:
            half_a_body.sendall(b"POST /api/v1/query HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nquery")
            assert stop(server, signal.SIGTERM) < 10
    assert "rulepush has stopped" in scene.log()
    app.close()
    alertmanager.close()
