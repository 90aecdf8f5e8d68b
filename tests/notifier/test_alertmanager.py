import asyncio
import json
from collections.abc import Callable

import httpx

from rulepush.model.labels import Labels
from rulepush.notifier.alertmanager import Alertmanager, PostOutcome, PostResponse
from rulepush.notifier.wire import WireAlert, dump_alert, load_alert, relabelled

ALERT = WireAlert(
    Labels.of(alertname="A", job="nacos"),
    (("summary", "坏了"),),
    1_700_000_000_123,
    1_700_000_060_000,
    "http://g",
    True,
)


def post(handler: Callable[[httpx.Request], httpx.Response]) -> PostResponse:
    async def main() -> PostResponse:
        async with httpx.AsyncClient(transport=httpx.MockTransport(handler)) as client:
            return await Alertmanager(client, "http://am:9093/api/v2/alerts", 10.0).post([ALERT])

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

    assert post(refuse) == PostResponse(PostOutcome.RETRY, "connection refused")
    assert post(hang) == PostResponse(PostOutcome.RETRY, "no answer within 10s")


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
