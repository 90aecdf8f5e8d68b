"""`rulepush explain` against a real server on loopback, and what it says where there is none."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from starlette.routing import BaseRoute

from rulepush.__main__ import main
from rulepush.web.listener import bind
from rulepush.web.security import WebConfigReloader, WebSecurity
from rulepush.web.server import WebServer, build_app
from tests.http_server import HttpReply, LoopbackServer
from tests.servers import free_port
from tests.web.app_parts import Parts

# bcrypt of "secret", with 4 rounds
USERS = 'basic_auth_users: {{oncall: "{hash}"}}\n'


@contextmanager
def serving(routes: Sequence[BaseRoute], security: WebSecurity | None = None) -> Iterator[str]:
    """A rulepush server for these routes, in a thread; gives its URL."""
    started = threading.Event()
    found: list[tuple[asyncio.AbstractEventLoop, WebServer]] = []

    async def serve() -> None:
        listener = bind("127.0.0.1:0")
        server = WebServer(build_app(routes, security or WebSecurity()), listener, security or WebSecurity())
        address.append(f"http://127.0.0.1:{listener.getsockname()[1]}")
        found.append((asyncio.get_running_loop(), server))
        started.set()
        await server.run()

    address: list[str] = []
    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert started.wait(60)
    yield address[0]
    loop, server = found[0]
    loop.call_soon_threadsafe(server.stop)
    thread.join(60)
    assert not thread.is_alive()


@contextmanager
def replying(reply: HttpReply) -> Iterator[str]:
    """A server that answers everything with this."""
    server = LoopbackServer(lambda _: reply)
    yield f"http://{server.address}"
    server.close()


@pytest.fixture
def rulepush() -> Iterator[str]:
    with serving(Parts().routes()) as url:
        yield url


def explain(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    code = main(["explain", *words])
    out = capsys.readouterr()
    return code, out.out, out.err


def failure(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The one message of a command that fails with exit code 1 and prints nothing else."""
    code, out, err = explain(capsys, *words)
    assert (code, out) == (1, "")
    assert err.startswith("rulepush explain: ")
    assert err.count("\n") == 1
    return err.removeprefix("rulepush explain: ").rstrip("\n")


def test_a_rule_of_a_running_server(capsys: pytest.CaptureFixture[str], rulepush: str) -> None:
    code, out, err = explain(capsys, "QueueLong", "--url", rulepush)
    assert (code, err) == (0, "")
    assert out.startswith("QueueLong: pending\n")
    assert "fires at the evaluation of 2023-11-14T22:43:35Z" in " ".join(out.split())
    assert '  |  {instance="app:1", job="app", q="a<b>"} = 7\n' in out


def test_states_and_reasons_have_colours_where_there_are_colours(
    capsys: pytest.CaptureFixture[str], rulepush: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, plain, _ = explain(capsys, "QueueLong", "--url", rulepush)
    monkeypatch.setenv("CLICOLOR_FORCE", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    _, out, _ = explain(capsys, "QueueLong", "--url", rulepush)
    assert out.startswith("QueueLong: \x1b[33mpending\x1b[0m\n")
    assert "\x1b[1mwhy\x1b[0m: " in out
    assert "\n  \x1b[33mpending\x1b[0m " in out
    assert re.sub(r"\x1b\[\d*m", "", out) == plain


def test_the_url_needs_no_scheme(capsys: pytest.CaptureFixture[str], rulepush: str) -> None:
    assert explain(capsys, "Never", "--url", rulepush.removeprefix("http://"))[0] == 0


def test_json_is_what_the_api_answers(capsys: pytest.CaptureFixture[str], rulepush: str) -> None:
    code, out, _ = explain(capsys, "Never", "--url", rulepush, "--format", "json")
    assert code == 0
    (rule,) = json.loads(out)["rules"]
    assert (rule["name"], rule["tree"]["missed"][0]["difference"]) == ("Never", "999999993")


def test_labels_choose_what_is_listed(capsys: pytest.CaptureFixture[str], rulepush: str) -> None:
    _, out, _ = explain(capsys, "Down", "--url", rulepush, "--labels", "job=app", "instance=app:1")
    assert "alerts" not in out
    assert 'dropped: {instance="app:1", job="app"}' in out
    assert "down:1" not in out


def test_a_terminal_obeys_nothing_of_what_a_target_or_a_server_says(capsys: pytest.CaptureFixture[str]) -> None:
    rules = r"""groups: [{name: g, rules: [{alert: Up, expr: up == 1, labels: {x: "\e[31m\x9b2J\u202eevil"}}]}]"""
    with serving(Parts(rules=rules).routes()) as url:
        _, out, _ = explain(capsys, "Up", "--url", url)
    assert r'x="\x1b[31m\x9b2J\u202eevil"' in out
    assert "\x1b" not in out
    body = b'{"status":"error","errorType":"bad_data","error":"\\u001b]0;title\\u0007"}'
    with replying(HttpReply(body, 400, "application/json")) as url:
        assert r"\x1b]0;title\x07" in failure(capsys, "Up", "--url", url)


def test_an_unknown_rule_gets_near_names(capsys: pytest.CaptureFixture[str], rulepush: str) -> None:
    message = failure(capsys, "QueLong", "--url", rulepush)
    assert message == "no rule is called 'QueLong': did you mean QueueLong?"


def test_bad_labels_are_refused_before_anything_is_asked(capsys: pytest.CaptureFixture[str]) -> None:
    message = failure(capsys, "Down", "--url", "http://127.0.0.1:1", "--labels", "job")
    assert message == "--labels 'job': expected NAME=VALUE"


def test_a_server_that_is_away(capsys: pytest.CaptureFixture[str]) -> None:
    url = f"http://user:pass@127.0.0.1:{free_port()}"
    message = failure(capsys, "Down", "--url", url)
    assert "cannot be reached: connection refused. --url says where rulepush listens" in message
    assert "pass" not in message


def test_prometheus_does_not_have_it(capsys: pytest.CaptureFixture[str]) -> None:
    with replying(HttpReply(b"404 page not found\n", 404, "text/plain; charset=utf-8")) as url:
        message = failure(capsys, "Down", "--url", url)
    assert message.startswith(f"{url} answered 404: it has no /api/v1/rules/explain. Prometheus and older releases ")


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (HttpReply(b"<html>log in</html>", 200, "text/html"), "answered with text/html, not as rulepush's API does"),
        (HttpReply(b"<html>", 502, "text/html"), "answered 502 with text/html, not as rulepush's API does"),
        (HttpReply(b"{}", 200, "application/json"), "answered with application/json, not as rulepush's API does"),
        (HttpReply(b"", 401), "answered 401: credentials are needed"),
        (HttpReply(b"", 302, headers={"Location": "/login"}), "redirects to /login: ask there, with --url"),
        (
            HttpReply(b'{"status":"success","data":{"rules":[{"name":"x"}]}}', 200, "application/json"),
            "answered what this release cannot read: not an explanation: KeyError: 'type'",
        ),
    ],
)
def test_other_servers_and_answers(capsys: pytest.CaptureFixture[str], reply: HttpReply, text: str) -> None:
    with replying(reply) as url:
        assert text in failure(capsys, "Down", "--url", url)


def test_password_and_headers(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    bcrypt = pytest.importorskip("bcrypt")
    path = tmp_path / "web.yml"
    path.write_text(USERS.format(hash=bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()))
    with serving(Parts().routes(), WebConfigReloader(str(path)).security) as url:
        assert "answered 401: credentials are needed" in failure(capsys, "Down", "--url", url)
        assert explain(capsys, "Down", "--url", url.replace("://", "://oncall:secret@"))[0] == 0
        assert explain(capsys, "Down", "--url", url, "--header", "Authorization: Basic b25jYWxsOnNlY3JldA==")[0] == 0
    assert (
        failure(capsys, "Down", "--header", "bad") == "--header: expected NAME: VALUE on one line, the name was 'bad'"
    )


def test_without_a_server_one_scrape_is_enough(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    body = b"# TYPE heap gauge\nheap 0.5\n# TYPE limit gauge\nlimit 1\n"
    target = LoopbackServer(lambda _: HttpReply(body))
    (tmp_path / "rules.yml").write_text(
        "groups: [{name: g, rules: [{record: 'j:heap', expr: sum by (job) (heap)},"
        " {alert: High, expr: 'j:heap > 0.8'}, {alert: Typo, expr: heep > 1}]}]"
    )
    config = tmp_path / "prometheus.yml"
    config.write_text(
        "rule_files: [rules.yml]\nscrape_configs:\n"
        f"- {{job_name: app, static_configs: [{{targets: ['{target.address}']}}]}}\n"
    )
    code, out, _ = explain(capsys, "High", "--config.file", str(config))
    assert code == 0
    assert out.startswith("High: not asked of a running rulepush\n")
    assert 'the nearest: {job="app"}: 0.5 is 0.3 under 0.8 (37.5 %)' in out
    _, out, _ = explain(capsys, "Typo", "--config.file", str(config))
    assert "-> Did you mean heap?" in out
    assert failure(capsys, "Hihg", "--config.file", str(config)) == "no rule is called 'Hihg': did you mean High?"
    target.close()
    assert failure(capsys, "High", "--config.file", str(config)) == (
        f"no target of {config} could be scraped: `rulepush check live` says why"
    )
