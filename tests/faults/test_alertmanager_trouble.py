"""Alertmanagers that fail in every way: the others hear of an alert at once, and those hear of it when they recover."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.faults.misbehaving import Asked, Misbehaving, reply
from tests.faults.recording import Posted, RecordingAlertmanager
from tests.harness import Scene, Target, job, memory_peak_mb, section
from tests.http_server import HttpReply
from tests.servers import free_port, wait_for

pytestmark = pytest.mark.e2e

Mode = Callable[[Misbehaving, Asked], None]


@contextmanager
def target() -> Iterator[Target]:
    one = Target()
    try:
        yield one
    finally:
        one.close()


class BadAlertmanager(Misbehaving):
    """Fails in its own way until it recovers."""

    def __init__(self, mode: Mode):
        super().__init__(lambda asked: mode(self, asked))
        self.received = b""

    def asked_twice(self) -> bool:
        return self.asked >= 2

    def recover(self) -> None:
        def receive(asked: Asked) -> None:
            self.received += asked.body
            asked.connection.sendall(reply("200 OK"))

        self.answer = receive


def hang(server: Misbehaving, asked: Asked) -> None:
    server.closed.wait()


def cut_in_the_middle(_: Misbehaving, asked: Asked) -> None:
    asked.connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")


def close_at_once(_: Misbehaving, asked: Asked) -> None:
    asked.connection.close()


def garbage(_: Misbehaving, asked: Asked) -> None:
    asked.connection.sendall(b"\x16\x03\x01 what is this \xff\xfe\r\n\r\n")


def fail(_: Misbehaving, asked: Asked) -> None:
    asked.connection.sendall(reply("500 Internal Server Error", b"\xff" * 2000))


def forbid(_: Misbehaving, asked: Asked) -> None:
    asked.connection.sendall(reply("403 Forbidden", b"<html>", "Content-Type: text/html; charset=nonsense"))


def trickle(server: Misbehaving, asked: Asked) -> None:
    asked.connection.sendall(b"HTTP/1.1 503 Wait\r\nContent-Length: 1000000\r\n\r\n")
    while not server.closed.wait(0.2):
        asked.connection.sendall(b".")


def flood(server: Misbehaving, asked: Asked) -> None:
    asked.connection.sendall(b"HTTP/1.1 500 Flood\r\nContent-Length: 1000000000\r\n\r\n")
    for _ in range(1000):
        asked.connection.sendall(b"x" * 1_000_000)


def redirect_in_a_loop(_: Misbehaving, asked: Asked) -> None:
    asked.connection.sendall(reply("307 Loop", headers="Location: /api/v2/alerts"))


MODES: list[Mode] = [
    hang,
    cut_in_the_middle,
    close_at_once,
    garbage,
    fail,
    forbid,
    trickle,
    flood,
    redirect_in_a_loop,
]


@pytest.mark.alone
def test_ten_kinds_of_failure_hold_up_neither_the_good_one_nor_their_own_recovery(tmp_path: Path) -> None:
    bad = [BadAlertmanager(mode) for mode in MODES]
    good = RecordingAlertmanager()
    down = f"127.0.0.1:{free_port()}"
    everywhere = [*(b.address for b in bad), down, good.address]
    with target() as app:
        scene = Scene(tmp_path, [job("app", [app.address])], [section(everywhere)])
        with scene.rulepush() as server:
            wait_for("a scrape", lambda: scene.targets()[app.address]["health"] == "up")
            app.value = 99
            turned = time.time() * 1000
            first = wait_for("the alert at the good one", lambda: good.of("Breach"))[0]
            assert first.at - turned < 3000, "an Alertmanager that fails held up another"
            for one in bad:
                wait_for("two attempts", partial(one.asked_twice))
            for address in [*(b.address for b in bad), down]:
                url = f"http://{address}/api/v2/alerts"
                wait_for("errors", partial(scene.own, "rulepush_notifications_errors_total", alertmanager=url))
                assert scene.own("rulepush_outbox_alerts", alertmanager=url) == 1, url
                assert scene.own("rulepush_notifications_sent_total", alertmanager=url) == 0, url
                assert scene.own("rulepush_notifications_rejected_total", alertmanager=url) == 0, url
            assert memory_peak_mb(server) < 200
            for one in bad:
                one.recover()
            wait_for("all of them", lambda: all(b'"alertname":"Breach"' in one.received for one in bad))
            log = scene.log()
    for reason in ("failed with 500", "refused with 403", "no answer within 1s", "onnection"):
        assert reason in log, reason
    assert "Traceback" not in log
    for one in bad:
        one.close()
    good.close()


def test_one_alert_of_many_that_is_refused_is_counted_and_the_rest_goes_through(tmp_path: Path) -> None:
    apps = [Target() for _ in range(20)]
    bad = apps[7].address

    def judge(posted: list[Posted]) -> HttpReply:
        if any(p.labels.get("instance") == bad for p in posted):
            return HttpReply(b'{"code":400,"message":"bad label"}', 400)
        return HttpReply()

    alertmanager = RecordingAlertmanager(judge)
    scene = Scene(tmp_path, [job("app", [a.address for a in apps])], [section([alertmanager.address])])
    with scene.rulepush():
        wait_for("scrapes", lambda: all(t["health"] == "up" for t in scene.targets().values()))
        for app in apps:
            app.value = 99
        wait_for("the others", lambda: len(alertmanager.last()) == 19)
        wait_for("the refusal", lambda: scene.own("rulepush_notifications_rejected_total") >= 1)
        assert scene.own("rulepush_notifications_errors_total") == 0
        for app in apps:
            app.value = 0
        wait_for("resolutions", lambda: not alertmanager.firing())
        assert scene.own("rulepush_outbox_alerts") == 0
    assert "Alertmanager refuses an alert" in scene.log()
    assert bad not in {p.labels.get("instance") for p in alertmanager.last().values()}
    for app in apps:
        app.close()
    alertmanager.close()


@pytest.mark.parametrize(("wait", "least"), [("2", 1.9), ("0", 0.2), ("Fri, 31 Dec 1999 23:59:59 GMT", 0.2)])
def test_retry_after_is_kept_but_never_makes_a_storm(tmp_path: Path, wait: str, least: float) -> None:
    alertmanager = RecordingAlertmanager(lambda _: HttpReply(status=429, headers={"Retry-After": wait}))
    with target() as app:
        scene = Scene(tmp_path, [job("app", [app.address])], [section([alertmanager.address])])
        with scene.rulepush():
            app.value = 99
            wait_for("two attempts", lambda: len(alertmanager.asked_at) >= 3)
            alertmanager.judge = lambda _: HttpReply()
            wait_for("the alert", lambda: alertmanager.of("Breach"))
    gaps = [b - a for a, b in zip(alertmanager.asked_at[:3], alertmanager.asked_at[1:3], strict=False)]
    assert min(gaps) >= least, gaps
    alertmanager.close()
