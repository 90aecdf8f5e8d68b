"""Discoveries that fail in every way: the last good list stays, and the next good one is taken."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import httpx
import pytest

from tests.faults.misbehaving import Asked, Misbehaving, reply
from tests.faults.recording import RecordingAlertmanager
from tests.harness import RULES, Scene, Target, section
from tests.needs import not_permitted
from tests.servers import wait_for

pytestmark = pytest.mark.e2e

JSON = "Content-Type: application/json"
Mode = Callable[[Misbehaving, Asked], None]


def groups(*addresses: str) -> bytes:
    return json.dumps([{"targets": list(addresses)}]).encode()


def says(status: str, body: bytes, headers: str = JSON) -> Mode:
    return lambda _, asked: asked.connection.sendall(reply(status, body, headers))


def hang(server: Misbehaving, asked: Asked) -> None:
    server.closed.wait(5)


def trickle(server: Misbehaving, asked: Asked) -> None:
    asked.connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n[")
    for _ in range(200):
        asked.connection.sendall(b" ")
        if server.closed.wait(0.1):
            return


def flood(server: Misbehaving, asked: Asked) -> None:
    asked.connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n[")
    for _ in range(300):
        asked.connection.sendall(b" " * 1_000_000)


def cut(_: Misbehaving, asked: Asked) -> None:
    asked.connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n[]")


MODES: dict[str, Mode] = {
    "500": says("500 No", b"[]"),
    "404": says("404 No", groups("127.0.0.1:1")),
    "HTML": says("200 OK", b"<html>", "Content-Type: text/html"),
    "half a list": says("200 OK", groups("127.0.0.1:1")[:-3]),
    "not a list": says("200 OK", b'{"targets": []}'),
    "deep": says("200 OK", b"[" * 100_000),
    "numbers": says("200 OK", b"[1e999999]"),
    "not UTF-8": says("200 OK", b'[{"targets": ["\xff"]}]'),
    "bad gzip": says("200 OK", b"[]", JSON + "\r\nContent-Encoding: gzip"),
    "redirects": says("302 No", b"", "Location: /again"),
    "closed": lambda _, asked: asked.connection.close(),
    "cut": cut,
    "hang": hang,
    "trickle": trickle,
    "flood": flood,
}


class Answers:
    """An http_sd service that fails as `mode` says, or gives `addresses`."""

    def __init__(self, *addresses: str):
        self.addresses = list(addresses)
        self.mode: Mode | None = None
        self.server = Misbehaving(self._answer)

    def _answer(self, asked: Asked) -> None:
        if self.mode is not None:
            self.mode(self.server, asked)
        else:
            asked.connection.sendall(reply("200 OK", groups(*self.addresses), JSON))


def fails(scene: Scene, mechanism: str, how: str, times: int) -> None:
    """Wait for more refreshes that failed."""
    before = scene.own("rulepush_discovery_failures_total", mechanism=mechanism)
    now = partial(scene.own, "rulepush_discovery_failures_total", mechanism=mechanism)
    wait_for(f"failures: {how}", lambda: now() >= before + times)


def sd_job(name: str, sd: str) -> str:
    return f"{{job_name: {name}, {sd}}}"


def test_http_services_that_fail_change_nothing_for_targets_and_alertmanagers(tmp_path: Path) -> None:
    apps = [Target(), Target()]
    apps[0].value = apps[1].value = 99
    alertmanager = RecordingAlertmanager()
    found, receivers = Answers(apps[0].address), Answers(alertmanager.address)
    sd = "http_sd_configs: [{{url: 'http://{}/sd', refresh_interval: 1s}}]"
    scene = Scene(
        tmp_path,
        [sd_job("app", sd.format(found.server.address))],
        [f"{{{sd.format(receivers.server.address)}, timeout: 1s}}"],
    )
    with scene.rulepush():
        wait_for("the alert", lambda: alertmanager.firing() == {"Breach"})
        for name, mode in MODES.items():
            found.mode = receivers.mode = mode
            fails(scene, "http", name, 2)
            assert set(scene.targets()) == {apps[0].address}, name
            assert scene.own("rulepush_alertmanagers") == 1, name
        sent = len(alertmanager.posted)
        wait_for("it is sent again", lambda: len(alertmanager.posted) > sent)
        found.mode = receivers.mode = None
        found.addresses.append(apps[1].address)
        wait_for("a new target", lambda: len(alertmanager.last()) == 2)
        assert not any(p.resolved for p in alertmanager.posted)
        assert "its last good list of targets stays" in scene.log()
        assert "works again" in scene.log()
        odd = groups(apps[0].address)[:-2] + b', "labels": {"half": "\\ud800"}}]'
        found.mode = says("200 OK", odd)  # JSON that Python reads and nothing can write
        wait_for("an odd label", lambda: "\ufffd" in {p.labels.get("half") for p in alertmanager.posted})
        assert len(httpx.get(f"{scene.url}/metrics", timeout=60, trust_env=False).text) > 1000
    assert "Traceback" not in scene.log()
    for answers in (found, receivers):
        answers.server.close()
    alertmanager.close()
    for app in apps:
        app.close()


BAD_FILES: dict[str, bytes] = {
    "half": groups("127.0.0.1:1")[:-2],
    "not a list": b"{}",
    "binary": bytes(range(256)),
    "unknown key": b'[{"target": ["a:1"]}]',
    "deep": b"[" * 100_000,
}


def test_bad_and_missing_files_keep_the_last_good_list(tmp_path: Path) -> None:
    apps = [Target(), Target()]
    apps[0].value = apps[1].value = 99
    alertmanager = RecordingAlertmanager()
    (tmp_path / "targets.json").write_bytes(groups(apps[0].address))
    (tmp_path / "am.json").write_bytes(groups(alertmanager.address))
    sd = "file_sd_configs: [{{files: [{}], refresh_interval: 1s}}]"
    scene = Scene(tmp_path, [sd_job("app", sd.format("targets.json"))], [f"{{{sd.format('am.json')}, timeout: 1s}}"])
    with scene.rulepush():
        wait_for("the alert", lambda: alertmanager.firing() == {"Breach"})
        for name, text in BAD_FILES.items():
            for file in ("targets.json", "am.json"):
                (tmp_path / "new").write_bytes(text)
                os.replace(tmp_path / "new", tmp_path / file)
            fails(scene, "file", name, 2)
            assert set(scene.targets()) == {apps[0].address}, name
        (tmp_path / "am.json").write_bytes(groups(alertmanager.address))
        (tmp_path / "targets.json").write_bytes(groups(apps[0].address, apps[1].address))
        wait_for("a new target", lambda: len(alertmanager.last()) == 2)
        assert not any(p.resolved for p in alertmanager.posted)
    assert "Traceback" not in scene.log()
    alertmanager.close()
    for app in apps:
        app.close()


class Names:
    """A DNS server on a loopback address of its own, at port 53, which resolv.conf cannot change."""

    ADDRESS = "127.77.53.53"

    def __init__(self) -> None:
        self.mode = "good"
        self.addresses = ["127.0.0.1"]
        self.asked = 0
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.bind((self.ADDRESS, 53))
        except OSError as e:
            not_permitted(f"answering at port 53: {e}")
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                data, peer = self._socket.recvfrom(4096)
                self.asked += 1
                answer = self._answer(data)
                if answer is not None:
                    self._socket.sendto(answer, peer)

    def _answer(self, data: bytes) -> bytes | None:
        if self.mode == "silent":
            return None
        query = dns.message.from_wire(data)
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.RA
        if self.mode == "good":
            name = query.question[0].name.to_text()
            answer.answer.append(dns.rrset.from_text(name, 1, "IN", "A", *self.addresses))
        else:
            answer.set_rcode(dns.rcode.from_text(self.mode))
        return answer.to_wire()

    def close(self) -> None:
        self._socket.close()


class PrivateNames(Scene):
    """A scene whose process has a resolv.conf of its own."""

    def command(self) -> list[str]:
        resolv = self.directory / "resolv.conf"
        resolv.write_text(f"nameserver {Names.ADDRESS}\noptions timeout:1 attempts:1\n")
        mount = f'mount --bind {resolv} /etc/resolv.conf && exec "$@"'
        return ["unshare", "--mount", "sh", "-c", mount, "sh", *super().command()]


@contextlib.contextmanager
def names() -> Iterator[Names]:
    allowed: Sequence[str] = ["unshare", "--mount", "true"]
    if shutil.which("unshare") is None or subprocess.run(allowed, capture_output=True, check=False).returncode:
        not_permitted("mounting a resolv.conf")
    server = Names()
    try:
        yield server
    finally:
        server.close()


def test_dns_servers_that_fail_keep_the_last_good_list(tmp_path: Path) -> None:
    app, alertmanager = Target(), RecordingAlertmanager()
    app.value = 99
    port = app.address.rpartition(":")[2]
    sd = f"dns_sd_configs: [{{names: [app.test], type: A, port: {port}, refresh_interval: 1s}}]"
    with names() as server:
        scene = PrivateNames(tmp_path, [sd_job("app", sd)], [section([alertmanager.address])], RULES)
        with scene.rulepush():
            wait_for("the alert", lambda: alertmanager.firing() == {"Breach"})
            for mode in ("SERVFAIL", "REFUSED", "silent"):
                server.mode = mode
                fails(scene, "dns", mode, 1)
                assert set(scene.targets()) == {app.address}, mode
            server.mode = "good"
            server.addresses.append("127.0.0.2")
            wait_for("a new target", lambda: len(scene.targets()) == 2)
            assert not any(p.resolved for p in alertmanager.posted)
        assert "Traceback" not in scene.log()
    app.close()
    alertmanager.close()
