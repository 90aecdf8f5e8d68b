"""What `rulepush push` says when its push is not taken. The answers are those of the real servers; where these can be
had, they give them themselves."""

from __future__ import annotations

import asyncio
import io
import os
import pty
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from rulepush.__main__ import main
from rulepush.errors import PushError
from rulepush.push.client import PushRequest, push
from rulepush.push.closed import closed_push_routes
from tests.fakes import FakeClock
from tests.push.fixtures import receiver
from tests.servers import alertmanager_command, binary, free_port, running

NEEDED = "a rulepush that runs with --web.enable-push-receiver, or a Pushgateway"
KEY = (("job", "j"),)


def said(transport: httpx.AsyncBaseTransport, url: str = "http://gw") -> tuple[int, str]:
    """Status and text of the PushError, after one attempt."""

    async def run() -> None:
        async with httpx.AsyncClient(transport=transport) as client:
            await push(client, PushRequest(url, KEY, "PUT", b"a 1\n"), FakeClock())

    with pytest.raises(PushError) as e:
        asyncio.run(run())
    return e.value.status, str(e.value)


def answering(*answers: tuple[str, httpx.Response]) -> httpx.MockTransport:
    """Answers a path that ends so."""

    def handler(request: httpx.Request) -> httpx.Response:
        for ending, answer in answers:
            if request.url.path.endswith(ending):
                return answer
        return httpx.Response(404, text="404 page not found\n")

    return httpx.MockTransport(handler)


def test_a_closed_door_names_the_flag() -> None:
    app = Starlette(routes=closed_push_routes())
    status, text = said(httpx.ASGITransport(app))
    assert (status, text) == (
        404,
        "http://gw answered 404: the push receiver is off: start rulepush with --web.enable-push-receiver",
    )


def test_an_older_rulepush_with_a_closed_door_is_known_by_its_build() -> None:
    build = httpx.Response(200, json={"status": "success", "data": {"version": "0.1.0", "goVersion": "python3.11.7"}})
    _, text = said(answering(("/api/v1/status/buildinfo", build)), "http://gw/prefix/")
    assert text.endswith("; this is rulepush, and its push receiver is off: start it with --web.enable-push-receiver")


def test_what_takes_no_pushes_and_is_not_known_is_said_so() -> None:
    _, text = said(answering())
    assert text == (
        "http://gw answered 404: 404 page not found; nothing takes pushes there: are port and path right? It should be "
        + NEEDED
    )


@pytest.mark.parametrize("status", [200, 404, 403])
def test_a_page_of_html_is_no_acceptance_and_not_shown(status: int) -> None:
    page = "<!DOCTYPE html><html><head><title>\n Sign in </title></head>" + "<p>x</p>" * 100
    answer = httpx.Response(status, text=page, headers={"Content-Type": "text/html; charset=utf-8"})
    code, text = said(answering(("", answer)))
    assert code == max(status, 300)
    assert text.startswith(
        f'http://gw answered {status} with a page of HTML ("Sign in"): not a push receiver, or a login page before it'
    )
    assert "<" not in text


def test_a_document_store_is_no_receiver() -> None:
    """Elasticsearch 7 and later take it as document x of index metrics."""
    answer = httpx.Response(201, json={"_index": "metrics", "result": "created"})
    code, text = said(answering(("", answer)))
    assert code == 300
    assert text == f"http://gw answered 201 with a JSON document: this is not a push receiver, but {NEEDED} is needed"


def test_a_redirect_is_named_without_its_secrets() -> None:
    answer = httpx.Response(302, headers={"Location": "https://user:hunter2@login.example/?next=x"})
    code, text = said(answering(("", answer)))
    assert code == 302
    assert "redirects to https://login.example/?next=x (status 302), which is not followed: a login page?" in text


@pytest.mark.parametrize(
    ("answer", "advice"),
    [
        (httpx.Response(401, text="Unauthorized\n"), "user and password go into the URL"),
        (httpx.Response(400, text="Client sent an HTTP request to an HTTPS server.\n"), "(use https://)"),
        (httpx.Response(400, text='unsupported path requested: "/x"'), "ends with /api/v1/import/prometheus"),
    ],
)
def test_other_answers_come_with_advice(answer: httpx.Response, advice: str) -> None:
    assert advice in said(answering(("", answer)))[1]


@pytest.mark.parametrize("method", ["put", "post"])
@pytest.mark.parametrize("body", [b"", b"\n \n", b"# only a comment\n"])
def test_without_metrics_nothing_is_sent(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, body: bytes, method: str
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(body)))
    with receiver() as r:
        assert main(["push", "--job", "j", "--method", method, r.url]) == 1
        assert len(r.groups) == 0
    assert capsys.readouterr().err == (
        "rulepush push: no metrics on standard input: nothing is pushed (--allow-empty pushes an empty group)\n"
    )


def test_an_empty_group_can_be_pushed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "empty"
    file.touch()
    with receiver() as r:
        assert main(["push", "--job", "j", "--allow-empty", "--file", str(file), r.url]) == 0
        assert len(r.groups) == 1
        assert main(["push", "--job", "k", "--file", str(file), r.url]) == 1
        assert len(r.groups) == 1


def test_a_terminal_is_not_read(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    master, terminal = pty.openpty()
    with os.fdopen(master, "rb", buffering=0), os.fdopen(terminal) as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        assert main(["push", "--job", "j", "http://127.0.0.1:1"]) == 2
    assert "standard input is a terminal: pipe metrics into it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("rulepush:9095", "rulepush:9095: a URL begins with http:// or https://\n"),
        ("./backup.sh", "./backup.sh: a URL begins with http:// or https:// (a command stands behind --)\n"),
        ("ftp://rulepush", "ftp://rulepush: not an http:// or https:// URL\n"),
        ("http://", "http://: not an http:// or https:// URL\n"),
        (
            "http://admin:12/word@host",
            "http://host: not an http:// or https:// URL; in a user or a password, / is written %2F, # is %23, ? is "
            "%3F\n",
        ),
        (
            "http://u:pw@gw:9091/metrics/job/x",
            "http://gw:9091/metrics/job/x: leave /metrics/job/... out, --job and --label say it: http://gw:9091\n",
        ),
    ],
)
def test_a_url_that_is_none_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, url: str, complaint: str
) -> None:
    monkeypatch.setenv("RULEPUSH_PUSH_URL", url)
    assert main(["push", "--job", "j", "--file", "/nowhere"]) == 1
    assert main(["push", "--job", "j", "--file", "/nowhere", url]) == 1
    assert capsys.readouterr().err == f"rulepush push: {complaint}" * 2


def test_the_url_can_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "m"
    file.write_text("a 1\n")
    with receiver() as r:
        monkeypatch.setenv("RULEPUSH_PUSH_URL", r.url)
        assert main(["push", "--job", "j", "--file", str(file)]) == 0
        assert len(r.groups) == 1


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["push", "--job", "j", "http://x", "./a.sh"], "unrecognized arguments: ./a.sh (a command stands behind --)"),
        (["push", "--job", "j", "--"], "no command behind --"),
    ],
)
def test_a_command_stands_behind_two_dashes(
    capsys: pytest.CaptureFixture[str], words: list[str], complaint: str
) -> None:
    with pytest.raises(SystemExit):
        main(words)
    assert complaint in capsys.readouterr().err


def pushed_to(url: str, tmp_path: Path) -> int:
    file = tmp_path / "m"
    file.write_text("a 1\n")
    return main(["push", "--job", "j", "--retries", "0", "--timeout", "5", "--file", str(file), url])


def test_prometheus_and_alertmanager_are_known_by_what_they_answer(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    ports = free_port(), free_port()
    urls = [f"http://127.0.0.1:{port}" for port in ports]
    (tmp_path / "prometheus.yml").write_text("scrape_configs: []\n")
    prometheus = [
        binary("prometheus"),
        f"--config.file={tmp_path / 'prometheus.yml'}",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address=127.0.0.1:{ports[0]}",
    ]
    with (
        running(prometheus, tmp_path / "p.log", urls[0] + "/-/ready"),
        running(alertmanager_command(tmp_path / "am", ports[1]), tmp_path / "a.log", urls[1] + "/-/ready"),
    ):
        assert [pushed_to(url, tmp_path) for url in urls] == [1, 1]
        lines = capsys.readouterr().err.splitlines()
        assert lines[0].endswith(f"; this is Prometheus, which takes no pushes: push to {NEEDED}")
        assert lines[1].endswith(f"; this is Alertmanager, which takes alerts and no metrics: push to {NEEDED}")
        assert pushed_to(f"https://127.0.0.1:{ports[0]}", tmp_path) == 1
        assert capsys.readouterr().err.endswith("(this port does not speak TLS: use http://)\n")


def test_a_host_that_there_is_not(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert pushed_to("http://rulepush.invalid:9095", tmp_path) == 1
    assert "(is the name of the host right?)" in capsys.readouterr().err


def test_a_port_where_nothing_listens(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    assert pushed_to(url, tmp_path) == 1
    assert capsys.readouterr().err == (
        f"rulepush push: {url} cannot be reached: connection refused (nothing listens there: is the port right, and is "
        f"it {NEEDED}?)\n"
    )
