"""What the relay answers when it is asked for its record, or what is there instead of it."""

from __future__ import annotations

import asyncio
import base64

import httpx
import pytest

from rulepush.deliverytest.asked import AskedRelay, NotAnswered, RelayDelivery
from rulepush.http_client.build import build_client

PASSWORD = "c4na7y"


def _ask(url: str, answer: httpx.Response | Exception) -> tuple[list[RelayDelivery], list[httpx.Request]]:
    """What is read from this answer, and the request that was sent."""
    requests: list[httpx.Request] = []

    def reply(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def main() -> list[RelayDelivery]:
        async with build_client(transport=httpx.MockTransport(reply)) as client:
            return await AskedRelay(client, url, 1.0).deliveries("5e17")

    return asyncio.run(main()), requests


def test_the_password_in_the_url_is_sent_and_not_shown() -> None:
    told = {"target": "ops", "status": "resolved", "fate": "later", "reason": "busy", "at": "x"}
    url = f"http://ann:{PASSWORD}@relay:8060/x/"
    found, [request] = _ask(url, httpx.Response(200, json={"deliveries": [told]}))
    assert found == [RelayDelivery("ops", False, "later", "busy")]
    assert str(request.url).endswith("relay:8060/x/dingtalk/deliveries?test_id=5e17")
    expected = base64.b64encode(f"ann:{PASSWORD}".encode()).decode()
    assert request.headers["Authorization"] == f"Basic {expected}"
    assert AskedRelay(httpx.AsyncClient(), url, 1.0).shown == "http://relay:8060/x"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (httpx.Response(401), "401: it wants a password: --relay http://user:password@HOST:PORT"),
        (httpx.Response(404, text="Not Found"), "there is no relay of this version at this address"),
        (httpx.Response(200, json={"x": 1}), "there is no relay of this version at this address"),
        (httpx.Response(200, json=[1]), "there is no relay of this version at this address"),
        (httpx.Response(200, json={"deliveries": [1]}), "there is no relay of this version at this address"),
        (httpx.Response(200, text="<html>"), "answered with something else than JSON"),
        (httpx.Response(500, text="boom"), "failed with 500 Internal Server Error: boom"),
        (httpx.ConnectError("[Errno 111] Connection refused"), "not reached: "),
        (httpx.ReadTimeout("late"), "no answer within 1s"),
    ],
)
def test_what_is_no_record_is_told_without_the_password(answer: httpx.Response | Exception, said: str) -> None:
    with pytest.raises(NotAnswered) as caught:
        _ask(f"http://ann:{PASSWORD}@relay:8060", answer)
    assert str(caught.value).startswith(said)
    assert PASSWORD not in str(caught.value)
