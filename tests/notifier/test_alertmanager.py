import asyncio
import json
import socket
from collections.abc import Callable

import httpx
import pytest

from rulepush.http_client.build import build_client
from rulepush.model.labels import Labels
from rulepush.notifier.alertmanager import Alertmanager, PostOutcome, PostResponse
from rulepush.notifier.wire import WireAlert, dump_alert, load_alert, relabelled
from tests.http_server import HttpReply, LoopbackServer

ALERT = WireAlert(
    Labels.of(alertname="A", job="nacos"),
    (("summary", "坏了"),),
    1_700_000_000_123,
    1_700_000_060_000,
    "http://g",
    True,
)


def post(handler: Callable[[httpx.Request], httpx.Response], url: str = "http://am:9093/api/v2/alerts") -> PostResponse:
    async def main() -> PostResponse:
        async with httpx.AsyncClient(transport=httpx.MockTransport(handler)) as client:
            return await Alertmanager(client, url, 10.0).post([ALERT])

    return asyncio.run(main())


def test_the_body_is_what_the_v2_api_takes() -> None:
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200)

    assert post(handler).outcome is PostOutcome.ACCEPTED
    assert seen[0].headers["content-type"] == "application/json"
    assert json.loads(seen[0].content) == [
        {
            "labels": {"alertname": "A", "job": "nacos"},
            "annotations": {"summary": "坏了"},
            "startsAt": "2023-11-14T22:13:20.123Z",
            "endsAt": "2023-11-14T22:14:20Z",
            "generatorURL": "http://g",
        }
    ]


def test_what_an_answer_means() -> None:
    def outcome(status: int) -> PostOutcome:
        return post(lambda _: httpx.Response(status)).outcome

    outcomes = {status: outcome(status) for status in (200, 400, 401, 404, 429, 500)}
    assert outcomes == {
        200: PostOutcome.ACCEPTED,
        400: PostOutcome.REFUSED,
        401: PostOutcome.RETRY,
        404: PostOutcome.RETRY,
        429: PostOutcome.RETRY,
        500: PostOutcome.RETRY,
    }


def test_network_trouble_is_an_answer_not_an_exception() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("connection refused", request=request)

    def hang(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("", request=request)

    def reset(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadError("connection reset by peer", request=request)

    assert post(refuse) == retry("not reached: connection refused: nothing listens at this address")
    assert post(hang) == retry("no answer within 10s")
    assert post(reset) == retry("connection reset by peer")


def retry(reason: str) -> PostResponse:
    return PostResponse(PostOutcome.RETRY, reason)


def post_for_real(url: str) -> PostResponse:
    async def main() -> PostResponse:
        async with build_client() as client:
            return await Alertmanager(client, url, 5.0).post([ALERT])

    return asyncio.run(main())


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_port_where_nothing_listens_is_not_reached(host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    got = post_for_real(f"http://{host}:{port}/api/v2/alerts")
    assert got == retry("not reached: connection refused: nothing listens at this address")


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_what_is_not_reached_after_a_redirect_is_not_called_the_alertmanager(status: int) -> None:
    elsewhere = "https://sso.invalid/login"
    server = LoopbackServer(lambda _: HttpReply(status=status, headers={"Location": elsewhere}))
    try:
        got = post_for_real(f"http://{server.address}/api/v2/alerts")
    finally:
        server.close()
    assert got.outcome is PostOutcome.RETRY
    assert got.reason.startswith(f"redirected to {elsewhere}: not reached: name not found: sso.invalid: ")


def test_a_name_that_is_not_found_is_said_so() -> None:
    got = post_for_real("http://u:secret@alertmanager.invalid:9093/api/v2/alerts")
    assert got.outcome is PostOutcome.RETRY
    assert got.reason.startswith("not reached: name not found: alertmanager.invalid:9093: ")


def test_a_server_that_does_not_speak_tls_was_reached() -> None:
    server = LoopbackServer(lambda _: HttpReply())
    try:
        got = post_for_real(f"https://{server.address}/api/v2/alerts")
    finally:
        server.close()
    assert got.outcome is PostOutcome.RETRY
    assert got.reason.startswith("tls: ")


@pytest.mark.parametrize(
    ("status", "path", "reason"),
    [
        (404, "/api/v1/api/v2/alerts", "refused with 404 Not Found: leave /api/v1 out of path_prefix"),
        (404, "/am/api/v2/api/v2/alerts", "refused with 404 Not Found: leave /api/v2 out of path_prefix"),
        (404, "/am/api/v2/alerts", "refused with 404 Not Found: there is no Alertmanager API here: check path_prefix"),
        (
            401,
            "/api/v2/alerts",
            "refused with 401 Unauthorized: it wants credentials, or refuses the ones given: check basic_auth, "
            "authorization or oauth2",
        ),
        (403, "/api/v2/alerts", "refused with 403 Forbidden: these credentials may not post alerts"),
        (503, "/api/v2/alerts", "failed with 503 Service Unavailable"),
        (302, "/api/v2/alerts", "redirected with 302 Found"),
    ],
)
def test_a_status_is_reported_in_words(status: int, path: str, reason: str) -> None:
    def answer(text: str) -> PostResponse:
        return post(lambda _: httpx.Response(status, text=text), "http://am:9093" + path)

    assert answer("") == retry(reason)
    assert answer("<html><body>long page") == retry(reason)
    assert answer("because\n") == retry(reason + ": because")


@pytest.mark.parametrize("body", ["", "\n", "{}", "ok", "null", '{"status":"success"}', '{"code":200,"errcode":0}'])
def test_an_acceptance_is_recognised(body: str) -> None:
    assert post(lambda _: httpx.Response(200, text=body)) == PostResponse(PostOutcome.ACCEPTED)


@pytest.mark.parametrize(
    "body", ["<!DOCTYPE html><html>", "\ufeff\n <html>", '{"status":"error"}', '{"code":401}', '{"success":false}']
)
def test_a_200_that_accepts_nothing_keeps_the_alerts(body: str) -> None:
    got = post(lambda _: httpx.Response(200, text=body))
    assert got.outcome is PostOutcome.RETRY
    assert "instead of accepting the alerts" in got.reason


def test_retry_after_is_read_and_bounded() -> None:
    assert post(lambda _: httpx.Response(503, headers={"Retry-After": "9"})).retry_after == 9.0
    assert post(lambda _: httpx.Response(503, headers={"Retry-After": "999999"})).retry_after == 300.0
    assert post(lambda _: httpx.Response(503, headers={"Retry-After": "soon"})).retry_after is None


def test_an_alert_survives_the_state_database() -> None:
    assert load_alert(dump_alert(ALERT)) == ALERT


def test_relabelling_may_change_or_drop_an_alert() -> None:
    changed = relabelled(ALERT, lambda labels: labels.without(["job"]))
    assert changed is not None
    assert changed.labels == Labels.of(alertname="A")
    assert relabelled(ALERT, lambda _: None) is None
    assert relabelled(ALERT, lambda _: Labels()) is None


def test_the_status_is_told_for_the_record() -> None:
    assert post(lambda _: httpx.Response(200)).status == 200
    assert post(lambda _: httpx.Response(400)).status == 400
    assert post(lambda _: httpx.Response(503)).status == 503

    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    assert post(refuse).status == 0
