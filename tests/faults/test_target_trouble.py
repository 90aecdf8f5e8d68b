"""Targets that fail in every way: `up` is 0, lastError says why, memory is bounded, and a healthy target of the same
job still alerts in time."""

from __future__ import annotations

import functools
import gzip
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.faults.misbehaving import Asked, Misbehaving, reply
from tests.faults.recording import RecordingAlertmanager
from tests.harness import RULES, Scene, Target, job, memory_peak_mb, section
from tests.servers import wait_for

pytestmark = pytest.mark.e2e

GOOD = b"e2e_breach 99\n"


@functools.cache  # made where it is served: four seconds of work that importing this module need not wait for
def huge(name: str) -> bytes:
    """A gigabyte or less, compressed."""
    match name:
        case "bomb":
            return gzip.compress(b"e2e_breach 99\n" + (b"#" * 999 + b"\n") * 1_000_000, 1)
        case "lines":  # 96 MB of lines that no rule needs
            return gzip.compress(b"e2e_other 1\n" * 8_000_000, 1)
        case "newlines":
            return gzip.compress(b"\n" * 200_000_000, 1)
        case _:
            return gzip.compress(b'e2e_breach{a="' + b"x" * 50_000_000, 1)


@dataclass(frozen=True)
class Fault:
    """How a target behaves and what lastError must say."""

    answer: Callable[[Misbehaving, Asked], None]
    error: str


def hang(server: Misbehaving, asked: Asked) -> None:
    server.closed.wait()


def trickle(server: Misbehaving, asked: Asked) -> None:
    asked.connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n" + GOOD)
    while not server.closed.wait(0.1):
        asked.connection.sendall(b"#")


def trickle_headers(server: Misbehaving, asked: Asked) -> None:
    asked.connection.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
    while not server.closed.wait(0.1):
        asked.connection.sendall(b"x")


def endless_headers(server: Misbehaving, asked: Asked) -> None:
    asked.connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        asked.connection.sendall(b"X-Long: " + b"x" * 60_000 + b"\r\n")


def redirect_in_a_loop(_: Misbehaving, asked: Asked) -> None:
    asked.connection.sendall(reply("302 Found", headers=f"Location: /metrics?{len(asked.path)}"))


def gigabyte(_: Misbehaving, asked: Asked) -> None:
    asked.connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n" + GOOD)
    chunk = b"# " + b"x" * 1_000_000 + b"\n"
    for _i in range(1000):
        asked.connection.sendall(chunk)


def half_a_body(_: Misbehaving, asked: Asked) -> None:
    asked.connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5000\r\n\r\n" + GOOD)


def half_a_chunk(_: Misbehaving, asked: Asked) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
    asked.connection.sendall(head + b"%x\r\n%s\r\nfff\r\nhalf" % (len(GOOD), GOOD))


def close_at_once(_: Misbehaving, asked: Asked) -> None:
    asked.connection.close()


def not_http(_: Misbehaving, asked: Asked) -> None:
    asked.connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")


def says(status: str, body: bytes, headers: str = "Content-Type: text/plain") -> Callable[[Misbehaving, Asked], None]:
    return lambda _, asked: asked.connection.sendall(reply(status, body, headers))


ZIPPED = "Content-Type: text/plain\r\nContent-Encoding: gzip"


def says_huge(name: str) -> Callable[[Misbehaving, Asked], None]:
    return lambda _, asked: asked.connection.sendall(reply("200 OK", huge(name), ZIPPED))


FAULTS: dict[str, Fault] = {
    "hang": Fault(hang, "context deadline exceeded"),
    "trickle": Fault(trickle, "context deadline exceeded"),
    "trickled headers": Fault(trickle_headers, "context deadline exceeded"),
    "endless headers": Fault(endless_headers, "Get "),
    "redirects": Fault(redirect_in_a_loop, "stopped after 10 redirects"),
    "half a body": Fault(half_a_body, "peer closed connection"),
    "half a chunk": Fault(half_a_chunk, "peer closed connection"),
    "closed at once": Fault(close_at_once, "isconnected"),
    "not HTTP": Fault(not_http, "Get "),
    "UTF-8": Fault(says("200 OK", b'e2e_breach{a="\xff\xfe"} 99\n'), "invalid UTF-8 label value"),
    "UTF-8 in a name": Fault(says("200 OK", b"e2e_\xffbreach 99\n"), "while parsing"),
    "half a line": Fault(says("200 OK", b'e2e_breach 99\ne2e_breach{a="b'), "line 2"),
    "HTML": Fault(says("200 OK", b"<html>login</html>", "Content-Type: text/html"), "text/html"),
    "HTML as text": Fault(says("200 OK", b"<html>login</html>"), "line 1"),
    "404": Fault(says("404 Not Found", b"no"), "server returned HTTP status 404 Not Found"),
    "503": Fault(says("503 Busy", GOOD), "server returned HTTP status 503"),
    "gzip, not": Fault(says("200 OK", GOOD, ZIPPED), "gzip"),
    "gzip, cut": Fault(says("200 OK", gzip.compress(GOOD * 100)[:-12], ZIPPED), "unexpected EOF"),
}


def down_for_its_reason(scene: Scene, bad: Misbehaving, fault: Fault) -> dict[str, Any] | None:
    """The target, once it is: on a busy machine eleven redirects may take longer than the second of a scrape."""
    found = scene.targets()[bad.address]
    assert found["health"] == "down", fault
    return found if fault.error in found["lastError"] else None


def serve(fault: Fault) -> Misbehaving:
    server = Misbehaving(lambda asked: None)
    server.answer = lambda asked: fault.answer(server, asked)
    return server


@pytest.mark.alone
def test_a_target_that_fails_is_down_with_a_reason_and_the_healthy_one_alerts_in_time(tmp_path: Path) -> None:
    bad = {name: serve(fault) for name, fault in FAULTS.items()}
    app, alertmanager = Target(), RecordingAlertmanager()
    addresses = [app.address, *(b.address for b in bad.values())]
    rules = RULES + "  - {record: keeps, expr: up}\n"
    scene = Scene(tmp_path, [job("app", addresses)], [section([alertmanager.address])], rules)
    with scene.rulepush() as server:
        wait_for("every scrape", lambda: all(t["health"] != "unknown" for t in scene.targets().values()))
        assert scene.targets()[app.address]["health"] == "up"
        for name, fault in FAULTS.items():
            found = wait_for(f"the reason of {name}", partial(down_for_its_reason, scene, bad[name], fault))
            assert len(found["lastError"]) < 500, name
        app.value = 99
        turned = time.time() * 1000
        alert = wait_for("the alert", lambda: alertmanager.of("Breach"))[0]
        assert alert.at - turned < 3500, "targets that fail held up a healthy one"
        assert alert.labels.get("instance") == app.address
        assert scene.value("up") == {a: float(a == app.address) for a in addresses}
        assert scene.states() == {app.address: "firing"}, "a scrape that failed half-way left samples"
        assert memory_peak_mb(server) < 200
        for one in bad.values():
            one.answer = lambda asked: asked.connection.sendall(reply("200 OK", GOOD))
        wait_for("all up", lambda: all(t["health"] == "up" for t in scene.targets().values()))
        wait_for("all alerts", lambda: len(alertmanager.last()) == len(addresses))
        assert {t["lastError"] for t in scene.targets().values()} == {""}
    assert "Traceback" not in scene.log()
    for one in bad.values():
        one.close()
    app.close()
    alertmanager.close()


HUGE: dict[str, tuple[str, Fault]] = {
    "1 GB, limited": ("body_size_limit: 1MB", Fault(gigabyte, "body size limit exceeded")),
    "1 GB": ("", Fault(gigabyte, "body size limit exceeded")),
    "bomb, limited": ("body_size_limit: 1MB", Fault(says_huge("bomb"), "body size limit exceeded")),
    "bomb": ("", Fault(says_huge("bomb"), "body size limit exceeded")),
    "lines": ("", Fault(says_huge("lines"), "more than 524288 lines")),
    "newlines": ("", Fault(says_huge("newlines"), "more than 524288 lines")),
    "one line": ("", Fault(says_huge("one line"), "a line of more than 1 MiB")),
}


@pytest.mark.alone
@pytest.mark.parametrize("name", HUGE)
def test_a_huge_body_costs_bounded_memory_and_little_time(tmp_path: Path, name: str) -> None:
    extra, fault = HUGE[name]
    bad, app, alertmanager = serve(fault), Target(), RecordingAlertmanager()
    jobs = [job("app", [app.address, bad.address], extra)]
    scene = Scene(tmp_path, jobs, [section([alertmanager.address])])
    if name.removesuffix(", limited") in ("bomb", "lines", "newlines", "one line"):
        huge(name.removesuffix(", limited"))  # before anything waits for it
    with scene.rulepush() as server:
        wait_for("a failed scrape", lambda: scene.targets()[bad.address]["health"] == "down")
        assert fault.error in scene.targets()[bad.address]["lastError"]
        app.value = 99
        turned = time.time() * 1000
        alert = wait_for("the alert", lambda: alertmanager.of("Breach"))[0]
        assert alert.at - turned < 4000
        assert memory_peak_mb(server) < 250
        assert len(scene.targets()[bad.address]["lastError"]) < 500
    assert "Traceback" not in scene.log()
    bad.close()
    app.close()
    alertmanager.close()
