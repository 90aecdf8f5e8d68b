"""`rulepush health`, against real servers: rulepush and its relay as processes, and small ones that answer wrongly."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import bcrypt
import pytest

from rulepush.__main__ import main
from rulepush.cli.health import asked_url, listening_url, url_of_command_line
from tests.http_client.certificates import Authority
from tests.http_server import HttpReply, HttpRequest, LoopbackServer
from tests.servers import free_port, rulepush_command, running, wait_for

HEALTHY = HttpReply(b"rulepush is Healthy.\n")
PAGE = HttpReply(b"<html>Log in to rulepush</html>", content_type="text/html")


@pytest.fixture(autouse=True)
def without_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RULEPUSH_HEALTH_URL", raising=False)


@pytest.fixture
def serve() -> Iterator[Callable[[HttpReply], str]]:
    """Starts a server that gives one answer to everything; returns its address."""
    servers = []

    def start(reply: HttpReply) -> str:
        servers.append(LoopbackServer(lambda _: reply))
        return servers[-1].address

    yield start
    for server in servers:
        server.close()


def health(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    """The exit code, and the one line, from wherever it was printed."""
    code = main(["health", *words])
    shown = capsys.readouterr()
    text = shown.err if code else shown.out
    assert shown.out + shown.err == text
    assert text.count("\n") == 1
    return code, text.strip()


def test_a_server_with_tls_a_prefix_passwords_and_client_certificates_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    authority = Authority()
    ca = str(authority.write(tmp_path / "ca.pem"))
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    authority.issue(cert, key)
    digest = bcrypt.hashpw(b"s3:cret", bcrypt.gensalt(4)).decode()
    web = tmp_path / "web.yml"
    web.write_text(
        f"tls_server_config:\n  cert_file: {cert}\n  key_file: {key}\n  client_ca_file: {ca}\n"
        f"  client_auth_type: RequireAndVerifyClientCert\nbasic_auth_users: {{mon: '{digest}'}}\n"
    )
    (tmp_path / "prometheus.yml").write_text("scrape_configs: []\n")
    port = free_port()
    flags = [
        f"--config.file={tmp_path / 'prometheus.yml'}",
        f"--web.listen-address=127.0.0.1:{port}",
        f"--web.config.file={web}",
        "--web.external-url=https://example.com/deep/",
    ]
    url = f"https://mon:s3%3Acret@127.0.0.1:{port}/deep"
    client = ["--ca-file", ca, "--cert-file", str(cert), "--key-file", str(key)]
    with running(rulepush_command("run", *flags), tmp_path / "log"):
        wait_for("the server", lambda: main(["health", "--ready", url, *client]) == 0)
        capsys.readouterr()
        assert health(capsys, url, *client) == (0, f"https://127.0.0.1:{port}/deep: healthy")
        assert health(capsys, "--ready", url, *client) == (0, f"https://127.0.0.1:{port}/deep: ready")
        # The flags of the server say as much; no password, so what it says is that it is there.
        code, text = health(capsys, *flags[1:3], "--web.route-prefix=/deep", *client)
        assert (code, text) == (
            0,
            f"https://127.0.0.1:{port}/deep: healthy: it answers, and wants a user and a password",
        )
        code, text = health(capsys, url)
        assert (code, text.partition(": healthy: ")[2]) == (
            0,
            "it answers in TLS, and wants a client certificate (--cert-file)",
        )
        code, text = health(capsys, "--ready", url)
        assert (code, "it wants a client certificate" in text) == (1, True)
        code, text = health(capsys, url.replace("s3%3Acret", "wrong"), *client)
        assert (code, "401: the user or the password is not right" in text, "wrong" in text) == (1, True, False)
        code, text = health(capsys, f"https://mon:s3%3Acret@127.0.0.1:{port}", *client)
        assert (code, "with a route prefix, give the URL with its path" in text) == (1, True)
        code, text = health(capsys, f"http://127.0.0.1:{port}/deep")
        assert (code, "does it speak TLS (https://)?" in text) == (1, True)


def test_the_relay_is_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.yml").write_text(
        "targets: {ops: {url: 'https://oapi.dingtalk.com/robot/send?access_token=x'}}\n"
    )
    url = f"http://127.0.0.1:{free_port()}"
    command = rulepush_command(
        "dingtalk", f"--config.file={tmp_path / 'config.yml'}", f"--web.listen-address={url.removeprefix('http://')}"
    )
    with running(command, tmp_path / "log", f"{url}/-/healthy"):
        assert health(capsys, url) == (0, f"{url}: healthy")
        assert health(capsys, f"{url}/-/healthy", "--ready") == (0, f"{url}/-/healthy: ready")


@pytest.mark.parametrize(
    ("reply", "words", "text"),
    [
        (PAGE, (), "/-/healthy is answered with 200, but not by rulepush: another server, or a login page"),
        (HttpReply(status=302, headers={"Location": "/login"}), (), "/-/healthy is redirected (302)"),
        (HttpReply(status=403), (), "/-/healthy is answered with 403"),
        (HttpReply(status=503), ("--ready",), "not ready"),
        (HttpReply(status=401), ("--ready",), "refused with 401: it wants a user and a password"),
        (HttpReply(status=401), ("--header", "Authorization: Bearer x"), "refused with 401: the user or the password"),
        (HEALTHY, ("--ready",), "/-/ready is answered with 200, but not by rulepush"),
        (HEALTHY, ("--header", "nonsense"), "--header: expected NAME: VALUE"),
    ],
)
def test_an_answer_of_another_kind_is_not_healthy(
    serve: Callable[[HttpReply], str],
    capsys: pytest.CaptureFixture[str],
    reply: HttpReply,
    words: tuple[str, ...],
    text: str,
) -> None:
    address = serve(reply)
    code, shown = health(capsys, f"http://{address}", *words)
    assert (code, shown.partition(f"rulepush health: http://{address}: ")[2].startswith(text)) == (1, True), shown


def test_what_cannot_be_asked_is_told_in_words(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for words, text in {
        (f"http://127.0.0.1:{(port := free_port())}",): f"connection refused: nothing listens on port {port}",
        ("http://rulepush.invalid",): "name not found",
        ("ftp://127.0.0.1",): "not a URL such as",
        ("http://127.0.0.1:port",): "not a URL such as",
        ("https://127.0.0.1", "--ca-file", str(tmp_path / "none.pem")): "none.pem cannot be used: No such file",
    }.items():
        code, shown = health(capsys, *words)
        assert (code, text in shown) == (1, True), shown


def test_a_server_that_says_nothing_is_given_up_in_time(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        code, shown = health(capsys, f"127.0.0.1:{silent.getsockname()[1]}", "--timeout", "0.2")
    assert (code, shown.endswith("no answer within 0.2s")) == (1, True)


def test_a_certificate_is_verified_when_its_authority_is_given(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    authority = Authority()
    authority.issue(tmp_path / "cert.pem", tmp_path / "key.pem", "rulepush.example.com")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    server = LoopbackServer(lambda _: HEALTHY, context)
    try:
        url = f"https://{server.address}"
        assert health(capsys, url)[0] == 0
        for ca in (authority, Authority("another")):
            ca.write(tmp_path / "ca.pem")
            code, shown = health(capsys, url, "--ca-file", str(tmp_path / "ca.pem"))
            assert (code, "its certificate is not trusted: " in shown) == (1, True)
        assert health(capsys, url, "--ca-file", str(tmp_path / "ca.pem"), "--insecure")[0] == 0
    finally:
        server.close()


def test_headers_and_the_user_of_the_url_are_sent_and_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[HttpRequest] = []

    def reply(request: HttpRequest) -> HttpReply:
        asked.append(request)
        return HEALTHY

    server = LoopbackServer(reply)
    try:
        words = (f"http://mon:p%40ss@{server.address}/x/", "--header", "X-Tenant: a")
        assert health(capsys, *words) == (0, f"http://{server.address}/x/: healthy")
    finally:
        server.close()
    assert (asked[0].path, asked[0].headers["X-Tenant"]) == ("/x/-/healthy", "a")
    assert asked[0].headers["Authorization"] == "Basic bW9uOnBAc3M="


def test_the_environment_names_the_server(
    serve: Callable[[HttpReply], str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RULEPUSH_HEALTH_URL", address := serve(HEALTHY))
    assert health(capsys) == (0, f"{address}: healthy")
    assert health(capsys, f"http://127.0.0.1:{free_port()}")[0] == 1


@pytest.mark.parametrize(
    ("line", "url"),
    [
        ("/usr/bin/tini -- /opt/rulepush/bin/rulepush run --web.listen-address=0.0.0.0:9095", "http://127.0.0.1:9095"),
        ("/opt/rulepush/bin/python3 /opt/rulepush/bin/rulepush dingtalk --config.file c.yml", "http://127.0.0.1:8060"),
        ("rulepush dingtalk --web.listen-address :81", "http://127.0.0.1:81"),
        ("python -m rulepush run --web.listen-address [::]:80", "http://[::1]:80"),
        ("rulepush run --web.external-url=https://x/a/b/", "http://127.0.0.1:9095/a/b"),
        ("rulepush run --web.external-url=https://x/a/b --web.route-prefix=/", "http://127.0.0.1:9095"),
        ("/sbin/init splash", ""),
        ("run rulepush dingtalk2", ""),
        ("rulepush check config", ""),
    ],
)
def test_the_command_line_of_a_container_tells_where_it_listens(line: str, url: str) -> None:
    assert url_of_command_line([*line.split(), ""]) == url


@pytest.mark.parametrize(
    ("text", "scheme"),
    [
        ("tls_server_config:\n  cert_file: x\n", "https"),
        ("{basic_auth_users: {}, 'tls_server_config': {cert: x}}", "https"),
        ("# tls_server_config: as an example\nbasic_auth_users: {}\n", "http"),
        ("", "http"),
    ],
)
def test_the_web_configuration_tells_whether_there_is_tls(tmp_path: Path, text: str, scheme: str) -> None:
    (tmp_path / "web.yml").write_text(text)
    assert listening_url("0.0.0.0:1", str(tmp_path / "web.yml"), "") == f"{scheme}://127.0.0.1:1"


def test_a_url_is_shown_without_its_secrets() -> None:
    assert asked_url("https://a:b@c@host:1/p?token=x") == "https://host:1/p"


def test_it_imports_little() -> None:
    """Every half a minute beside the service: what costs more than the request stays out."""
    ask = (
        "import sys; from rulepush.__main__ import main; main(['health', 'http://127.0.0.1:1']); "
        "heavy = {'asyncio', 'ssl', 'httpx', 'numpy', 'yaml', 'logging', 'json', 'dataclasses', 'http.client'}; "
        "print(*sorted(heavy & sys.modules.keys()))"
    )
    # Without site: what a development install imports there is no part of it.
    where = [p for p in sys.path if p]
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path[:0] = {where!r}; {ask}"],
        capture_output=True,
        check=True,
        text=True,
    )
    assert (done.stdout.strip(), "connection refused" in done.stderr) == ("", True)
