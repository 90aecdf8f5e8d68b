"""The first mistakes with `rulepush init nacos`: each has one message that says where and what to do. A server that
does not answer yet is a warning, for it may come; what cannot be meant ends it with nothing written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rulepush.__main__ import main
from rulepush.clock import SystemClock
from rulepush.init.setup import NewFile
from rulepush.init.write import WriteError, write_files
from rulepush.nacos.fake_server import METRICS_PATH, FakeNacos
from tests.http_server import HttpReply, HttpRequest, LoopbackServer
from tests.servers import free_port

HTML = HttpReply(b"<html><title>Sign in</title></html>", 200, "text/html")
ALERTMANAGER = HttpReply(b'{"cluster":{"status":"ready"},"versionInfo":{"version":"0.33.1"}}', 200, "application/json")


def _nacos(request: HttpRequest) -> HttpReply:
    if request.path == METRICS_PATH:
        return HttpReply(FakeNacos("2.4.3").body(SystemClock().now()))
    return HttpReply(b"{}", 404, "application/json")


def _login_elsewhere(request: HttpRequest) -> HttpReply:
    return HTML if request.path == "/login" else HttpReply(status=302, headers={"Location": "/login"})


@contextmanager
def _serving(reply: Callable[[HttpRequest], HttpReply]) -> Iterator[str]:
    server = LoopbackServer(reply)
    try:
        yield server.address
    finally:
        server.close()


def _warnings(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Each with its suggestion, on one line."""
    return [text.replace("\n", " ") for text in capsys.readouterr().err.split("warning: ") if text]


def _init(tmp_path: Path, server: str, *words: str) -> int:
    line = [
        "init",
        "nacos",
        "--server",
        server,
        "--dir",
        str(tmp_path / "out"),
        "--external-url",
        "http://10.0.0.5:9095",
    ]
    return main([*line, *words])


@pytest.mark.parametrize(
    ("reply", "path", "words"),
    [
        (
            lambda _: HttpReply(b"{}", 404),
            "",
            ("HTTP 404 at /nacos/actuator/prometheus", "exposure.include=prometheus"),
        ),
        (lambda _: HttpReply(b"", 501), "", ("HTTP 501 at /nacos/actuator/prometheus", "exposure.include=prometheus")),
        (lambda _: HttpReply(b"", 403), "", ("HTTP 403", "--server http://USER:PASSWORD@HOST")),
        (lambda _: HttpReply(b"", 401), "", ("HTTP 401", "--server http://USER:PASSWORD@HOST")),
        (lambda _: HttpReply(b"", 400), "", ("HTTP 400", "--server https://")),
        (lambda _: HttpReply(b"", 503), "", ("HTTP 503", "is it running?")),
        (lambda _: HttpReply(b"{}", 200, "application/json"), "", ("with JSON instead", "main port (8848)?")),
        (lambda _: HttpReply(b"up 1\n"), "", ("none of Nacos", "main port (8848)?", "rulepush init spring-boot")),
        (lambda _: HTML, "", ("web page instead of metrics", "login page")),
        (_login_elsewhere, "", ("web page instead of metrics", "login page")),
        (_nacos, "/nacso", ("HTTP 404 at /nacso/actuator/prometheus", "It is at another path: --server http://")),
        (_nacos, "/nacos/v1/console", ("HTTP 404", "It is at another path: --server http://")),
    ],
    ids=[
        "no metrics",
        "501",
        "403",
        "401",
        "https",
        "dead behind a proxy",
        "JSON",
        "another app",
        "page",
        "redirect",
        "typo",
        "console's API",
    ],
)
def test_a_nacos_that_gives_no_metrics_is_one_warning_that_says_what_to_do(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    reply: Callable[[HttpRequest], HttpReply],
    path: str,
    words: tuple[str, ...],
) -> None:
    with _serving(reply) as address:
        assert _init(tmp_path, f"http://{address}{path}") == 0
        assert (tmp_path / "out" / "prometheus.yml").exists()
        (warning,) = _warnings(capsys)
    assert warning.startswith(f"Nacos at http://{address}{path or '/nacos'} gives no metrics yet: ")
    assert all(word in warning for word in words), warning


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("127.0.0.1:{port}", ("connection refused", "is it this port (Nacos: 8848)?")),
        ("naocs.invalid:8848", ("Nacos at http://naocs.invalid:8848/nacos", "does not resolve")),
    ],
    ids=["wrong port", "typo in the host"],
)
def test_a_nacos_that_is_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], address: str, words: tuple[str, ...]
) -> None:
    assert _init(tmp_path, address.format(port=free_port())) == 0
    (warning,) = _warnings(capsys)
    assert all(word in warning for word in words), warning


def test_a_context_at_the_root_is_suggested_in_a_way_that_works(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def at_root(request: HttpRequest) -> HttpReply:
        if request.path == METRICS_PATH.removeprefix("/nacos"):
            return HttpReply(FakeNacos("2.4.3").body(SystemClock().now()))
        return HttpReply(b"{}", 404, "application/json")

    with _serving(at_root) as address:
        assert _init(tmp_path, address) == 0
        (warning,) = _warnings(capsys)
        suggested = warning.split("--server ")[1].strip()
        assert _init(tmp_path, suggested, "--force") == 0
        assert _warnings(capsys) == []


def test_wrong_credentials_are_told_from_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with _serving(lambda _: HttpReply(b"", 401)) as address:
        assert _init(tmp_path, f"http://me:hidden@{address}") == 0
    said = capsys.readouterr()
    assert "does not take the user and password" in said.err
    assert "hidden" not in said.out + said.err


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (lambda _: HttpReply(b"", 404), ("404",)),
        (lambda _: HttpReply(b"", 403), ("403",)),
        (lambda _: HTML, ("Alertmanager",)),
        (_login_elsewhere, ("Alertmanager",)),
        (None, ("refused",)),
    ],
    ids=["404", "403", "page", "redirect", "dead"],
)
def test_an_alertmanager_that_cannot_take_alerts_is_one_warning(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    reply: Callable[[HttpRequest], HttpReply] | None,
    words: tuple[str, ...],
) -> None:
    with _serving(reply or _nacos) as alertmanager, _serving(_nacos) as nacos:
        at = alertmanager if reply else f"127.0.0.1:{free_port()}"
        assert _init(tmp_path, nacos, "--alertmanager", at) == 0
    (warning,) = _warnings(capsys)
    assert warning.startswith(f"Alertmanager at http://{at} cannot take alerts yet: ")
    assert all(word in warning for word in words), warning


@pytest.mark.parametrize("flag", ["--server", "--alertmanager", "--external-url"])
def test_what_is_no_url_ends_it_with_the_flag_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flag: str
) -> None:
    assert _init(tmp_path, "127.0.0.1:1", flag, "http://host:port") == 1
    said = capsys.readouterr()
    assert said.err.startswith(f"rulepush: {flag}: 'http://host:port' is not a URL")
    assert said.err.count("\n") == 1
    assert said.out == ""
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("flag", ["--server", "--alertmanager", "--external-url"])
@pytest.mark.parametrize("password", ["p4ss/word", "12/word"])
def test_a_password_with_a_slash_is_not_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flag: str, password: str
) -> None:
    assert _init(tmp_path, "127.0.0.1:1", flag, f"http://admin:{password}@host:8848") == 1
    said = capsys.readouterr()
    assert said.err.startswith(f"rulepush: {flag}: 'http://host:8848' is not a URL such as ")
    assert "; in a user or a password, / is written %2F" in said.err
    assert "word'" not in said.err
    assert "p4ss" not in said.err
    assert said.out == ""


def test_no_server_at_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _init(tmp_path, " , ") == 1
    assert "rulepush: --server: no URL is given" in capsys.readouterr().err


def test_a_directory_that_cannot_be_written_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Not even root makes one there."""
    with _serving(_nacos) as nacos:
        words = ["init", "nacos", "--server", nacos, "--external-url", "10.0.0.5", "--dir", "/sys/kernel/rulepush"]
        assert main(words) == 1
    said = capsys.readouterr().err
    assert said.startswith("rulepush: cannot write to /sys/kernel/rulepush: ")
    assert "nothing was written; --dir chooses another one" in said


def test_existing_files_are_named_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "compose.yaml").write_text("mine")
    (out / "README.md").write_text("mine")
    with _serving(_nacos) as nacos:
        assert _init(tmp_path, nacos) == 1
    assert f"rulepush: {out} has compose.yaml, README.md already" in capsys.readouterr().err
    assert sorted(p.name for p in out.iterdir()) == ["README.md", "compose.yaml"]


FILES = [NewFile("one.yml", "1"), NewFile("rules/two.yml", "2"), NewFile("three.yml", "3")]


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("in_the_way", ["rules", "three.yml/", "new/rules"])
def test_nothing_is_half_written(tmp_path: Path, in_the_way: str, force: bool) -> None:
    """A file where a directory is needed, and the other way around."""
    directory = tmp_path / "new" if in_the_way.startswith("new") else tmp_path
    blocker = tmp_path / in_the_way
    if in_the_way.endswith("/"):
        blocker.mkdir()
    else:
        blocker.parent.mkdir(exist_ok=True)
        blocker.write_text("")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(WriteError, match="nothing was written"):
        write_files(directory, FILES, force=force)
    assert sorted(tmp_path.rglob("*")) == before


def test_directories_that_were_made_go_again(tmp_path: Path) -> None:
    (tmp_path / "one.yml").write_text("before")
    (tmp_path / "three.yml").mkdir()
    with pytest.raises(WriteError, match=r"three\.yml"):
        write_files(tmp_path, FILES, force=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["one.yml", "three.yml"]
    assert (tmp_path / "one.yml").read_text() == "before"
