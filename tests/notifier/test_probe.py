"""Asking an Alertmanager whether it can take alerts: what each wrong address answers, in words."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import httpx
import pytest

from rulepush.http_client.build import build_client
from rulepush.http_client.config import NO_CLIENT_SETTINGS
from rulepush.http_client.on_demand import ClientOnDemand
from rulepush.notifier.alertmanager import Alertmanager, PostOutcome, PostResponse
from rulepush.notifier.probe import AlertmanagerProbe, probe_alertmanager
from tests.http_server import HttpReply, LoopbackServer
from tests.needs import binary
from tests.notifier.test_alertmanager import ALERT
from tests.servers import alertmanager_command, free_port, running

# As api/v2/openapi.yaml of prometheus/alertmanager has alertmanagerStatus.
STATUS = json.dumps(
    {
        "cluster": {"peers": [], "status": "disabled"},
        "config": {"original": "route: {receiver: none}\n" + "#" * 50_000},
        "uptime": "2026-11-29T19:18:27.624Z",
        "versionInfo": {"version": "0.27.0", "branch": "HEAD"},
    }
)
NOT_FOUND = httpx.Response(404, text="404 page not found\n")
Answers = dict[str, httpx.Response]


def ask(answers: Answers, url: str = "http://am:9093/api/v2/alerts") -> AlertmanagerProbe:
    """`answers` by path; anything else is 404."""
    return ask_with(lambda request: answers.get(request.url.path, NOT_FOUND), url)


def ask_with(
    handler: Callable[[httpx.Request], httpx.Response], url: str = "http://am:9093/api/v2/alerts"
) -> AlertmanagerProbe:
    async def go() -> AlertmanagerProbe:
        async with build_client(transport=httpx.MockTransport(handler)) as client:
            return await probe_alertmanager(client, url, 10.0)

    return asyncio.run(go())


def page(title: str) -> httpx.Response:
    return httpx.Response(200, html=f"<!DOCTYPE html>\n<html><head><title>\n{title} </title></head></html>")


def metrics(program: str, version: str) -> httpx.Response:
    labels = f'branch="HEAD",goversion="go1.22",version="{version}"'
    return httpx.Response(200, text=f"go_goroutines 12\n{program}_build_info{{{labels}}} 1\n")


def test_an_alertmanager_is_asked_for_its_status_and_gets_no_alert() -> None:
    seen: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(f"{request.method} {request.url.path}")
        return httpx.Response(200, text=STATUS)

    assert ask_with(handler, "http://am:9093/am/api/v2/alerts") == AlertmanagerProbe("", "0.27.0", 200)
    assert seen == ["GET /am/api/v2/status"]


@pytest.mark.parametrize(
    ("answers", "url", "fault"),
    [
        (
            {},
            "http://am:9093/api/v2/alerts",
            "refused with 404 Not Found: there is no Alertmanager API here: check path_prefix: 404 page not found",
        ),
        (
            {"/api/v2/status": httpx.Response(200, text=STATUS)},
            "http://am:9093/api/v1/api/v2/alerts",
            "refused with 404 Not Found: leave /api/v1 out of path_prefix",
        ),
        (
            {"/api/v2/status": httpx.Response(200, text=STATUS)},
            "http://am:9093/wrong/api/v2/alerts",
            "refused with 404 Not Found: leave path_prefix out",
        ),
        (
            {
                "/": httpx.Response(302, headers={"Location": "/am"}),
                "/am": page("Alertmanager"),
                "/am/api/v2/status": httpx.Response(200, text=STATUS),
            },
            "http://am:9093/api/v2/alerts",
            "refused with 404 Not Found: Alertmanager's API is there with path_prefix: /am",
        ),
        (
            {"/metrics": metrics("prometheus", "3.5.3")},
            "http://am:9090/api/v2/alerts",
            "refused with 404 Not Found: this is a Prometheus 3.5.3, not an Alertmanager",
        ),
        (
            {"/metrics": metrics("pushgateway", "1.11.2")},
            "http://am:9091/wrong/api/v2/alerts",
            "refused with 404 Not Found: this is a Pushgateway 1.11.2, not an Alertmanager",
        ),
        (
            {"/metrics": metrics("rulepush", "1.0")},
            "http://am:9095/api/v2/alerts",
            "refused with 404 Not Found: this is a rulepush 1.0, not an Alertmanager",
        ),
        (
            {"/metrics": metrics("alertmanager", "0.15.3")},
            "http://am:9093/api/v2/alerts",
            "refused with 404 Not Found: this is an Alertmanager 0.15.3, which has no API v2 there: 0.16 or later is "
            "needed",
        ),
        (
            {"/api/v2/status": page("Sign  in")},
            "http://am:9093/api/v2/alerts",
            "answered with a page \"Sign in\" instead of Alertmanager's status: check that this is an Alertmanager's "
            "address",
        ),
        (
            {"/api/v2/status": page("Grafana"), "/metrics": metrics("grafana", "11.2.0")},
            "http://am:3000/api/v2/alerts",
            'answered with a page "Grafana" instead of Alertmanager\'s status: this is a Grafana 11.2.0, not an '
            "Alertmanager",
        ),
        (
            {"/api/v2/status": httpx.Response(200, json={"code": 401, "msg": "no token"})},
            "http://am:9093/api/v2/alerts",
            "answered with something else instead of Alertmanager's status: check that this is an Alertmanager's "
            'address: {"code":401,"msg":"no token"}',
        ),
        (
            {"/api/v2/status": httpx.Response(302, headers={"Location": "/login?next=x"}), "/login": page("Login")},
            "http://am:9093/api/v2/alerts",
            "redirected by status 302 to http://am:9093/login?next=x, which sends no body on: not delivered",
        ),
        (
            {"/api/v2/status": httpx.Response(307, headers={"Location": "/login"}), "/login": page("Login")},
            "http://am:9093/api/v2/alerts",
            'redirected to http://am:9093/login: answered with a page "Login" instead of Alertmanager\'s status: check '
            "that this is an Alertmanager's address",
        ),
        (
            {"/api/v2/status": httpx.Response(401)},
            "http://am:9093/api/v2/alerts",
            "refused with 401 Unauthorized: it wants credentials, or refuses the ones given: check basic_auth, "
            "authorization or oauth2",
        ),
        (
            {"/api/v2/status": httpx.Response(503, text="starting")},
            "http://am:9093/api/v2/alerts",
            "failed with 503 Service Unavailable: starting",
        ),
        (
            {"/api/v2/status": httpx.Response(400, text='unsupported path requested: "/api/v2/status"')},
            "http://vm:8880/api/v2/alerts",
            "refused with 400 Bad Request: this is a server of VictoriaMetrics, not an Alertmanager",
        ),
        (
            {"/api/v2/status": httpx.Response(400, text="Client sent an HTTP request to an HTTPS server.\n")},
            "http://am:9093/api/v2/alerts",
            "refused with 400 Bad Request: it wants https: set scheme: https",
        ),
    ],
)
def test_what_is_no_alertmanager_is_said_with_what_to_change(answers: Answers, url: str, fault: str) -> None:
    assert ask(answers, url).fault == fault


def test_where_nobody_reads_it_nothing_else_is_asked_about() -> None:
    seen: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.path)
        return NOT_FOUND

    async def go() -> AlertmanagerProbe:
        async with build_client(transport=httpx.MockTransport(handler)) as client:
            return await probe_alertmanager(client, "http://am/x/api/v2/alerts", 10.0, identify=False)

    assert asyncio.run(go()).status == 404
    assert seen == ["/x/api/v2/status"]


def test_a_redirect_that_keeps_the_body_leads_to_the_alertmanager() -> None:
    answers = {
        "/api/v2/status": httpx.Response(308, headers={"Location": "/am/api/v2/status"}),
        "/am/api/v2/status": httpx.Response(200, text=STATUS),
    }
    assert ask(answers) == AlertmanagerProbe("", "0.27.0", 200)


def test_a_server_that_hangs_gets_its_timeout_and_no_more() -> None:
    def hang(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("", request=request)

    assert ask_with(hang).fault == "no answer within 10s"


def test_the_address_of_an_answer_shows_no_password() -> None:
    answers = {"/api/v2/status": httpx.Response(302, headers={"Location": "/login?token=hush"}), "/login": page("x")}
    fault = ask(answers, "http://user:pass0@am:9093/api/v2/alerts").fault
    assert "/login" in fault
    assert "pass0" not in fault
    assert "hush" not in fault


def for_real(url: str) -> tuple[AlertmanagerProbe, PostResponse]:
    """What the probe says, and what becomes of an alert that is posted there."""

    async def go() -> tuple[AlertmanagerProbe, PostResponse]:
        client = ClientOnDemand(NO_CLIENT_SETTINGS, "rulepush", build_client)
        try:
            return await probe_alertmanager(client, url, 5.0), await Alertmanager(client, url, 5.0).post([ALERT])
        finally:
            await client.aclose()

    return asyncio.run(go())


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_what_is_not_reached_has_the_words_of_the_log(scheme: str) -> None:
    for host in ("alertmanager.invalid:9093", f"127.0.0.1:{free_port()}"):
        probe, posted = for_real(f"{scheme}://{host}/api/v2/alerts")
        assert probe.fault.startswith("not reached: ")
        assert probe.fault == posted.reason


def test_https_to_a_plain_server_names_the_scheme() -> None:
    server = LoopbackServer(lambda _: HttpReply())
    try:
        probe, posted = for_real(f"https://{server.address}/api/v2/alerts")
    finally:
        server.close()
    assert probe.fault.endswith("it does not speak TLS there: scheme: http is meant")
    assert probe.fault == posted.reason


def test_a_server_that_refuses_anything_with_400_says_nothing_about_the_alerts() -> None:
    """Go's net/http, server.go: `Client sent an HTTP request to an HTTPS server.`"""
    text = b"Client sent an HTTP request to an HTTPS server.\n"
    server = LoopbackServer(lambda _: HttpReply(text, 400))
    try:
        _, posted = for_real(f"http://{server.address}/api/v2/alerts")
    finally:
        server.close()
    assert posted.outcome is PostOutcome.RETRY
    assert "set scheme: https" in posted.reason


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Real servers of each kind, by name, as `http://host:port`."""
    path = tmp_path_factory.mktemp("servers")
    (path / "prometheus.yml").write_text("global: {}\n")
    commands: dict[str, Callable[[int], list[str]]] = {
        "alertmanager": lambda port: alertmanager_command(path / "am", port),
        "prefixed": lambda port: [
            *alertmanager_command(path / "am2", port),
            f"--web.external-url=http://127.0.0.1:{port}/am",
        ],
        "prometheus": lambda port: [
            binary("prometheus"),
            f"--config.file={path / 'prometheus.yml'}",
            f"--storage.tsdb.path={path / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        "pushgateway": lambda port: [binary("prometheus-pushgateway"), f"--web.listen-address=127.0.0.1:{port}"],
        "victoria": lambda port: [
            binary("victoria-metrics"),
            f"-storageDataPath={path / 'vm'}",
            f"-httpListenAddr=127.0.0.1:{port}",
        ],
    }
    found = {}
    with ExitStack() as stack:
        for name, command in commands.items():
            port = free_port()
            ready = f"http://127.0.0.1:{port}{'/am' if name == 'prefixed' else ''}/metrics"
            stack.enter_context(running(command(port), path / f"{name}.log", ready))
            found[name] = f"http://127.0.0.1:{port}"
        yield found


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("server", "prefix", "fault"),
    [
        ("alertmanager", "", ""),
        ("prefixed", "/am", ""),
        ("alertmanager", "/api/v1", "refused with 404 Not Found: leave /api/v1 out of path_prefix"),
        ("alertmanager", "/wrong", "refused with 404 Not Found: leave path_prefix out"),
        ("prefixed", "", "refused with 404 Not Found: Alertmanager's API is there with path_prefix: /am"),
        ("prometheus", "", "refused with 404 Not Found: this is a Prometheus "),
        ("pushgateway", "", "refused with 404 Not Found: this is a Pushgateway "),
        ("victoria", "", "refused with 400 Bad Request: this is a server of VictoriaMetrics, not an Alertmanager"),
    ],
)
def test_real_servers_are_told_apart(servers: dict[str, str], server: str, prefix: str, fault: str) -> None:
    probe, posted = for_real(f"{servers[server]}{prefix}/api/v2/alerts")
    assert probe.fault.startswith(fault)
    assert bool(probe.version) == (not fault) == (not probe.fault)
    assert posted.outcome is (PostOutcome.RETRY if fault else PostOutcome.ACCEPTED)
