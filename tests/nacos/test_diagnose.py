"""What the error of a failed scrape means, by the scraper's own texts."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from rulepush.errors import ScrapeError
from rulepush.exposition.content_type import choose_format
from rulepush.http_client.build import build_client
from rulepush.http_client.config import HTTPClientConfig
from rulepush.nacos.diagnose import SUGGESTIONS, diagnose_scrape
from rulepush.scrape.fetch import Fetcher
from tests.http_client.certificates import Authority
from tests.http_server import HttpReply, HttpRequest, LoopbackServer

NACOS = "http://n:8848/nacos/actuator/prometheus"


def error_of(url: str) -> str:
    """Of a scrape that fails."""

    async def go() -> str:
        client = build_client(HTTPClientConfig(), "test")
        try:
            fetched = await Fetcher(client, "*/*").fetch(url, 5_000)
            choose_format(fetched.content_type, None)
        except ScrapeError as e:
            return str(e)
        finally:
            await client.aclose()
        raise AssertionError("the scrape is good")

    return asyncio.run(go())


def reply(request: HttpRequest) -> HttpReply:
    if request.path.endswith("/login"):
        return HttpReply(b"<html>Sign in</html>", content_type="text/html; charset=utf-8")
    if request.path == "/away":
        return HttpReply(status=302, headers={"Location": "http://127.0.0.1:1/login"})
    return HttpReply(status=int(request.path.rpartition("/")[2]))


@pytest.fixture(scope="module")
def plain() -> Iterator[str]:
    server = LoopbackServer(reply)
    yield server.address
    server.close()


@pytest.fixture(scope="module")
def over_tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    directory: Path = tmp_path_factory.mktemp("tls")
    Authority().issue(directory / "cert", directory / "key")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "cert", directory / "key")
    server = LoopbackServer(reply, context)
    yield server.address
    server.close()


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("nacos/login", "A gateway or login page stands between, or the path is wrong"),
        ("nacos/403", "Nacos itself asks for none here while nacos.security.ignore.urls holds /actuator/**"),
        ("nacos/404", "Set metrics_path: /nacos/actuator/prometheus for Nacos"),
        ("actuator/login", "Spring Security sends whom it does not know to its login page"),
        ("actuator/403", "Spring Security refuses it: permit the path there"),
        ("actuator/404", "Of the endpoints of a Spring Boot application only /actuator/prometheus has metrics"),
        ("login", "a page for people answers: is the path right (metrics_path)"),
        ("403", "Give the scrape job the credentials of a user who may read it"),
        ("404", "/actuator/prometheus for Spring Boot, /metrics for most others."),
        ("406", "set scrape_protocols: [PrometheusText0.0.4] in the job"),
        ("503", "A proxy answers, and the server behind it does not: is it running?"),
        ("400", "A server that wants https answers so to http: try scheme: https."),
        ("500", "The log of the server says why."),
    ],
)
def test_an_answer_that_is_no_metrics(plain: str, path: str, hint: str) -> None:
    url = f"http://{plain}/{path}"
    suggestion = diagnose_scrape(url, error_of(url)).suggestion
    assert hint in suggestion
    assert suggestion in SUGGESTIONS


def test_a_redirect_to_where_nothing_listens(plain: str) -> None:
    url = f"http://{plain}/away"
    assert "Nothing listens there" in diagnose_scrape(url, error_of(url)).suggestion


def test_tls_on_a_plain_port_and_plain_http_on_a_tls_port(plain: str, over_tls: str) -> None:
    url = f"https://{plain}/200"
    assert "It does not speak TLS there: scheme: http is meant." in diagnose_scrape(url, error_of(url)).suggestion
    url = f"http://{over_tls}/200"
    assert "scheme: https" in diagnose_scrape(url, error_of(url)).suggestion
    url = f"https://{over_tls}/200"
    assert "tls_config.ca_file" in diagnose_scrape(url, error_of(url)).suggestion


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (f'Get "{NACOS}": context deadline exceeded', "raise scrape_timeout if it is slow"),
        (f'Get "{NACOS}": name or service not known', "The name does not resolve from here."),
        ("server returned HTTP status 404 Not Found", "management.endpoints.web.exposure.include=prometheus"),
        ("target_limit exceeded (number of targets: 9, limit: 5)", "raise target_limit"),
        ("sample limit exceeded", "drop more by metric_relabel_configs"),
        ("body size limit exceeded", "Raise body_size_limit"),
        ("line 7: invalid value", "check metrics"),
        (
            "non-compliant scrape target sending blank Content-Type and no fallback_scrape_protocol specified for"
            " target",
            "Set fallback_scrape_protocol: PrometheusText0.0.4",
        ),
        (
            'received unsupported Content-Type "application/xml" and no fallback_scrape_protocol specified for target',
            "check metrics",
        ),
    ],
)
def test_other_errors(error: str, hint: str) -> None:
    suggestion = diagnose_scrape(NACOS, error).suggestion
    assert hint in suggestion
    assert suggestion in SUGGESTIONS


@pytest.mark.parametrize(
    "url",
    [
        "http://n/nacos/prometheus",
        "http://n:8080/nacos/actuator/prometheus",
        "http://n/actuator/prometheus",
        "http://n/actuator/metrics",
        "http://n:8848/actuator/prometheus",
        "http://n/metrics",
        NACOS,
    ],
)
def test_each_suggestion_is_among_those_that_are_translated(url: str) -> None:
    for status in (400, 401, 403, 404, 406, 500, 502, 503):
        assert diagnose_scrape(url, f"server returned HTTP status {status} X").suggestion in SUGGESTIONS
    for kind in ("text/html", "application/json", "application/xml"):
        error = f'received unsupported Content-Type "{kind}" and no fallback_scrape_protocol specified for target'
        assert diagnose_scrape(url, error).suggestion in SUGGESTIONS
    assert diagnose_scrape(url, f'Get "{url}": connection refused').suggestion in SUGGESTIONS


@pytest.mark.parametrize(
    "url", ["http://shop:8080/actuator/prometheus", "http://shop/app/actuator", "http://n/metrics"]
)
def test_whoever_asks_no_nacos_hears_nothing_of_it(url: str) -> None:
    errors = [f"server returned HTTP status {status} X" for status in (400, 401, 403, 404, 406, 500, 502, 503)]
    errors += [
        f'received unsupported Content-Type "{kind}" and no fallback_scrape_protocol specified for target'
        for kind in ("text/html", "application/json", "application/xml")
    ]
    errors += [f'Get "{url}": {reason}' for reason in ("connection refused", "context deadline exceeded")]
    for error in errors:
        suggestion = diagnose_scrape(url, error).suggestion
        assert "nacos" not in suggestion.lower(), error
        assert "8848" not in suggestion, error


def test_the_usual_ports_are_named_by_what_was_asked() -> None:
    refused = 'Get "http://x": connection refused'
    assert "Nacos: 8848" in diagnose_scrape(NACOS, refused).suggestion
    assert "server.port, 8080 unless set" in diagnose_scrape("http://s:1/actuator/prometheus", refused).suggestion
    assert diagnose_scrape("http://s:1/metrics", refused).suggestion == (
        "Nothing listens there: is the server running, and is it this port?"
    )


def test_what_is_not_known_has_no_hint() -> None:
    assert diagnose_scrape(NACOS, "internal error: KeyError: 'refused'").suggestion == ""
    assert diagnose_scrape(NACOS, "label_limit exceeded (metric: x, number of labels: 9, limit: 2)").suggestion == ""


def test_a_release_that_was_built_without_metrics_is_named() -> None:
    error = "server returned HTTP status 404 Not Found"
    assert "This is Nacos 3.0.0, which was built without" in diagnose_scrape(NACOS, error, "3.0.0").suggestion
