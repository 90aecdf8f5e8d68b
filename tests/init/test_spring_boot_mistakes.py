"""The first mistakes with a Spring Boot application: what `check live --target` and `init spring-boot` answer, once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rulepush.__main__ import main
from tests.http_server import HttpReply, HttpRequest, LoopbackServer
from tests.spring_boot import BootApp

ACTUATOR = "/actuator/prometheus"
JSON = "application/json"
PAGE = HttpReply(b"<html><title>Please sign in</title></html>", content_type="text/html;charset=UTF-8")
# Spring Boot's BasicErrorController and the links of its actuator.
NOT_FOUND = HttpReply(b'{"timestamp":"2026-11-29T19:00:00Z","status":404,"error":"Not Found"}', 404, JSON)
LINKS = HttpReply(
    b'{"_links":{"self":{"href":"http://shop/actuator"},"health":{"href":"http://shop/actuator/health"}}}',
    content_type="application/vnd.spring-boot.actuator.v3+json",
)


def login_page(request: HttpRequest) -> HttpReply:
    """Spring Security's form login: LoginUrlAuthenticationEntryPoint redirects, the page answers 200."""
    return PAGE if request.path == "/login" else HttpReply(status=302, headers={"Location": "/login"})


def not_exposed(request: HttpRequest) -> HttpReply:
    """The actuator with its default, health alone, and no endpoint prometheus."""
    return LINKS if request.path == "/actuator" else NOT_FOUND


MISTAKES: list[tuple[Callable[[HttpRequest], HttpReply], str, str]] = [
    (
        lambda _: HttpReply(status=401),
        "HTTP 401: credentials are needed",
        "Spring Security refuses it: permit the path",
    ),
    (lambda _: HttpReply(status=403), "HTTP 403: credentials are needed", 'EndpointRequest.to("prometheus")'),
    (login_page, "HTTP 200 with a web page instead of metrics", "sends whom it does not know to its login page"),
    (lambda _: PAGE, "HTTP 200 with a web page instead of metrics", "that of management.server.port"),
    (not_exposed, f"HTTP 404 at {ACTUATOR}, ", "lists health, but no prometheus: add the dependency"),
    (lambda _: NOT_FOUND, f"HTTP 404 at {ACTUATOR}, ", "Give the URL with its path. A Spring Boot application has"),
    (lambda _: HttpReply(status=500), "HTTP status 500", "The log of the server says why."),
    (lambda _: HttpReply(status=503), "HTTP 503: a proxy answers", "the server behind it does not: is it running?"),
    (lambda _: HttpReply(status=400), "HTTP 400", "try scheme: https"),
]
NAMES = ["401", "403", "login page", "HTML", "not exposed", "no actuator", "500", "503", "https"]


@contextmanager
def answering(reply: Callable[[HttpRequest], HttpReply]) -> Iterator[str]:
    server = LoopbackServer(reply)
    try:
        yield server.address
    finally:
        server.close()


@pytest.mark.parametrize(("reply", "message", "advice"), MISTAKES, ids=NAMES)
def test_check_live_says_what_is_wrong_and_what_to_do(
    reply: Callable[[HttpRequest], HttpReply], message: str, advice: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with answering(reply) as address:
        assert main(["check", "live", "--target", f"http://{address}"]) == 1
    out = capsys.readouterr().out
    assert f"target http://{address}{ACTUATOR} (127.0.0.1): {message}" in out
    assert out.count(advice) == 1
    assert "8848" not in out


@pytest.mark.parametrize(("reply", "message", "advice"), MISTAKES, ids=NAMES)
def test_init_says_the_same_and_writes_what_it_was_asked_for(
    reply: Callable[[HttpRequest], HttpReply],
    message: str,
    advice: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with answering(reply) as address:
        assert main(["init", "spring-boot", "--target", address, "--dir", str(tmp_path), "--lang", "en"]) == 0
    err = capsys.readouterr().err
    assert f"warning: http://{address}{ACTUATOR} gives no metrics yet: {message}" in err
    assert err.count(advice) == 1
    assert "8848" not in err
    assert f'metrics_path: "{ACTUATOR}"' in (tmp_path / "prometheus.yml").read_text()


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["init", "springboot", "--target", "shop"], "(did you mean spring-boot?)"),
        (["init", "spring-boot", "--traget", "shop"], "--traget (did you mean --target?)"),
        (["check", "lvie", "--target", "shop"], "(did you mean live?)"),
        (["init", "--target", "shop"], "unrecognized arguments: --target"),
    ],
)
def test_a_misspelt_word_is_the_one_that_is_named(
    words: list[str], answer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert stopped.value.code == 2
    assert answer in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    "url", ["htp://shop:8080", "http:/shop:8080", "https:shop", "http://shop:808O", "http://:8080"]
)
def test_a_misspelt_url_is_asked_for_again(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "live", "--target", url]) == 1
    assert capsys.readouterr().err == (
        f"rulepush: --target: {url!r} is not a URL such as http://127.0.0.1:8080/actuator/prometheus\n"
    )


@pytest.mark.parametrize("path", ["/actuator", "/actuator/metrics"])
def test_an_endpoint_for_people_is_not_the_metrics(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    with answering(lambda _: LINKS) as address:
        assert main(["check", "live", "--target", f"{address}{path}"]) == 1
    out = capsys.readouterr().out
    assert "HTTP 200 with JSON instead of metrics" in out
    assert "only /actuator/prometheus has metrics in Prometheus' format: set metrics_path to that." in out


@pytest.mark.parametrize("directory", ["/proc/alerts", os.devnull])
def test_a_directory_that_cannot_be_written_is_named(directory: str, capsys: pytest.CaptureFixture[str]) -> None:
    body = BootApp().body()
    with answering(lambda r: HttpReply(body) if r.path == ACTUATOR else NOT_FOUND) as address:
        assert main(["init", "spring-boot", "--target", address, "--dir", directory, "--lang", "en"]) == 1
    err = capsys.readouterr().err
    assert directory in err
    assert "nothing was written" in err
    assert "--dir" in err
