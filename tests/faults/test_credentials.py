"""TLS and credentials end to end, with certificates made here: towards targets, Alertmanagers, and at its own door."""

from __future__ import annotations

import base64
import os
import ssl
from pathlib import Path

import bcrypt
import httpx
import pytest

from tests.faults.recording import RecordingAlertmanager
from tests.harness import Scene, Target, job, section
from tests.http_client.certificates import Authority, client_context
from tests.http_server import HttpReply, HttpRequest, LoopbackServer
from tests.servers import get_json, running, wait_for

pytestmark = pytest.mark.e2e

SECRETS = ("correct-horse", "battery-staple", "bearer-of-news")


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


class SecureTarget:
    """Metrics over TLS for those who show the right header; `authorization` may be changed."""

    def __init__(self, context: ssl.SSLContext, authorization: str):
        self.authorization = authorization
        self.value = 0.0
        self._server = LoopbackServer(self._page, context)
        self.address = self._server.address

    def _page(self, request: HttpRequest) -> HttpReply:
        if request.headers.get("Authorization") != self.authorization:
            return HttpReply(b"who are you?\n", 401)
        return HttpReply(b"e2e_breach %g\n" % self.value)

    def close(self) -> None:
        self._server.close()


class Pki:
    """An authority, with certificates for a server and for a client."""

    def __init__(self, directory: Path):
        self.directory = directory
        self.authority = Authority()
        self.authority.write(directory / "ca.pem")
        self.authority.issue(directory / "server.pem", directory / "server.key")
        self.authority.issue(directory / "client.pem", directory / "client.key", "rulepush")

    def server(self, *, client_certificate: bool = False) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.directory / "server.pem", self.directory / "server.key")
        if client_certificate:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.directory / "ca.pem")
        return context

    def client(self, *, certificate: bool = True) -> ssl.SSLContext:
        context = client_context(self.directory / "ca.pem")
        if certificate:
            context.load_cert_chain(self.directory / "client.pem", self.directory / "client.key")
        return context


def replace(path: Path, text: str) -> None:
    """Write a file as those do who rotate credentials."""
    path.with_suffix(".new").write_text(text)
    os.replace(path.with_suffix(".new"), path)


def shown(scene: Scene) -> str:
    """All that the process tells of itself."""
    pages = ["/api/v1/status/config", "/api/v1/targets", "/api/v1/alertmanagers", "/api/v1/status/flags", "/metrics"]
    texts = [httpx.get(scene.url + page, timeout=60, trust_env=False).text for page in pages]
    return "\n".join([scene.log(), *texts])


def test_targets_and_alertmanagers_behind_tls_and_passwords_that_are_rotated(tmp_path: Path) -> None:
    pki = Pki(tmp_path)
    target = SecureTarget(pki.server(client_certificate=True), basic("scraper", SECRETS[0]))
    alertmanager = RecordingAlertmanager(tls=pki.server(client_certificate=True), authorization=f"Bearer {SECRETS[2]}")
    (tmp_path / "password").write_text(SECRETS[0] + "\n")
    tls = "scheme: https, tls_config: {ca_file: ca.pem, cert_file: client.pem, key_file: client.key}"
    scene = Scene(
        tmp_path,
        [job("app", [target.address], f"{tls}, basic_auth: {{username: scraper, password_file: password}}")],
        [section([alertmanager.address], f"{tls}, timeout: 2s, authorization: {{credentials: {SECRETS[2]}}}")],
    )
    with scene.rulepush():
        target.value = 99
        wait_for("the alert", lambda: alertmanager.firing() == {"Breach"})
        target.authorization = basic("scraper", SECRETS[1])
        wait_for("refused", lambda: scene.targets()[target.address]["health"] == "down")
        assert "401" in scene.targets()[target.address]["lastError"]
        replace(tmp_path / "password", SECRETS[1])
        wait_for("in again", lambda: scene.targets()[target.address]["health"] == "up")
        wait_for("the alert again", lambda: alertmanager.firing() == {"Breach"})
        text = shown(scene)
        for secret in (*SECRETS, base64.b64encode(f"scraper:{SECRETS[0]}".encode()).decode()):
            assert secret not in text
        assert "&lt;secret&gt;" in text or "<secret>" in text or "\\u003csecret\\u003e" in text
    target.close()
    alertmanager.close()


def test_a_wrong_authority_fails_with_a_reason_and_works_once_the_file_is_right(tmp_path: Path) -> None:
    pki = Pki(tmp_path)
    Authority("another").write(tmp_path / "trusted.pem")
    app = Target()
    target = SecureTarget(pki.server(), basic("scraper", SECRETS[0]))
    alertmanager = RecordingAlertmanager(tls=pki.server(), authorization=basic("push", SECRETS[1]))
    tls = "scheme: https, tls_config: {ca_file: trusted.pem}"
    auth = "basic_auth: {{username: {}, password: {}}}"
    scene = Scene(
        tmp_path,
        [job("app", [target.address], f"{tls}, {auth.format('scraper', SECRETS[0])}"), job("plain", [app.address])],
        [section([alertmanager.address], f"{tls}, timeout: 2s, {auth.format('push', SECRETS[1])}")],
    )
    app.value = target.value = 99
    with scene.rulepush():
        wait_for("down", lambda: scene.targets()[target.address]["health"] == "down")
        assert "certificate" in scene.targets()[target.address]["lastError"]
        wait_for("it waits", lambda: scene.own("rulepush_outbox_alerts") == 1)
        wait_for("errors", lambda: scene.own("rulepush_notifications_errors_total") >= 1)
        assert alertmanager.posted == []
        replace(tmp_path / "trusted.pem", pki.authority.pem)
        wait_for("up", lambda: scene.targets()[target.address]["health"] == "up")
        wait_for("both", lambda: len(alertmanager.last()) == 2)
        assert all(secret not in shown(scene) for secret in SECRETS)
    target.close()
    alertmanager.close()
    app.close()


def test_plain_http_asked_of_tls_and_tls_asked_of_plain_http_say_so(tmp_path: Path) -> None:
    pki = Pki(tmp_path)
    secure, plain = SecureTarget(pki.server(), ""), Target()
    scene = Scene(
        tmp_path,
        [job("a", [secure.address]), job("b", [plain.address], "scheme: https, tls_config: {ca_file: ca.pem}")],
        [],
    )
    with scene.rulepush():
        wait_for("scrapes", lambda: all(t["health"] == "down" for t in scene.targets().values()))
        assert all(t["lastError"] for t in scene.targets().values())
        assert (
            "SSL" in scene.targets()[plain.address]["lastError"] or "tls" in scene.targets()[plain.address]["lastError"]
        )
    assert "Traceback" not in scene.log()
    secure.close()
    plain.close()


def test_its_own_door_asks_for_a_certificate_and_a_password(tmp_path: Path) -> None:
    pki = Pki(tmp_path)
    hashed = bcrypt.hashpw(SECRETS[0].encode(), bcrypt.gensalt(5)).decode()
    (tmp_path / "web.yml").write_text(
        "tls_server_config: {cert_file: server.pem, key_file: server.key, client_ca_file: ca.pem,"
        " client_auth_type: RequireAndVerifyClientCert}\n"
        f"basic_auth_users: {{admin: '{hashed}'}}\n"
    )
    app = Target()
    scene = Scene(tmp_path, [job("app", [app.address])], [])
    scene.flags += [f"--web.config.file={tmp_path / 'web.yml'}", "--web.enable-lifecycle"]
    url = scene.url.replace("http://", "https://")
    auth = ("admin", SECRETS[0])
    with (
        running(scene.command(), tmp_path / "rulepush.log") as server,
        httpx.Client(verify=pki.client(), trust_env=False, timeout=60) as known,
    ):
        wait_for("ready", lambda: known.get(f"{url}/-/ready", auth=auth).is_success)
        for path in ("/-/ready", "/-/healthy", "/metrics", "/api/v1/targets", "/api/v1/query?query=1", "/", "/nothing"):
            answer = known.get(url + path)
            assert answer.status_code == 401, path
            assert answer.headers["www-authenticate"].startswith("Basic"), path
            assert known.get(url + path, auth=("admin", "wrong")).status_code == 401, path
            assert known.get(url + path, auth=("nobody", SECRETS[0])).status_code == 401, path
        assert known.post(f"{url}/-/reload").status_code == 401
        assert known.post(f"{url}/-/quit").status_code == 401
        assert known.get(f"{url}/metrics", headers={"Authorization": "Basic !!!"}).status_code == 401
        assert known.get(f"{url}/metrics", headers={"Authorization": f"Bearer {SECRETS[0]}"}).status_code == 401
        assert known.get(f"{url}/metrics", auth=auth).status_code == 200
        assert known.post(f"{url}/-/reload", auth=auth).status_code == 200
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"{url}/metrics", auth=auth, verify=pki.client(certificate=False), trust_env=False, timeout=60)
        with pytest.raises(httpx.HTTPError):
            get_json(f"{scene.url}/api/v1/targets")
        assert known.get(f"{url}/metrics", auth=auth).status_code == 200, "a stranger upset it"
        assert known.post(f"{url}/-/quit", auth=auth).status_code == 200
        assert server.process is not None
        assert server.process.wait(60) == 0
    log = scene.log()
    assert SECRETS[0] not in log
    assert hashed not in log
    assert "Traceback" not in log
    app.close()
