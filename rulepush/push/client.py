"""Pushing a group, to rulepush or to a Pushgateway, with retries."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import httpx

from rulepush.clock import Clock
from rulepush.errors import PushError
from rulepush.http_client.client import reason, shown_url
from rulepush.http_client.exchange import exchange
from rulepush.push.refusals import failure_advice, refusal_text, was_taken, who_answers
from rulepush.push.url import GroupKey, encode_push_path

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_BACKOFF: Final = 0.5  # seconds before the first retry; doubled each time
_BACKOFF_MAX: Final = 10.0
_BUSY: Final = frozenset((408, 425, 429))


@dataclass(frozen=True, slots=True)
class PushRequest:
    """One push. `method` is PUT, POST or DELETE; `url` the base URL of the receiver, `timeout` in seconds."""

    url: str
    key: GroupKey
    method: str
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    timeout: float = 10.0


async def push(
    client: httpx.AsyncClient,
    request: PushRequest,
    clock: Clock,
    retries: int = 0,
    on_retry: Callable[[str, float], None] = lambda reason, pause: None,
    jitter: Callable[[], float] = random.random,
) -> None:
    """Send until it is accepted. Raises PushError (status 0 when there was no answer) when it is refused, or when
    the receiver could not be reached `retries` + 1 times. `on_retry` gets the reason and the pause in seconds."""
    attempt = 0
    while True:
        error = await _once(client, request)
        if error is None:
            return
        if attempt >= retries or not (error.status == 0 or error.status >= 500 or error.status in _BUSY):
            raise error
        pause = min(_BACKOFF_MAX, _BACKOFF * 2.0**attempt) * (0.5 + 0.5 * jitter())
        on_retry(str(error), pause)
        await clock.sleep(pause)
        attempt += 1


async def _once(client: httpx.AsyncClient, request: PushRequest) -> PushError | None:
    base = request.url.rstrip("/")
    headers = {"Content-Type": CONTENT_TYPE, **request.headers}
    shown = shown_url(request.url)
    path = encode_push_path(request.key)
    try:
        answer = await exchange(client, request.method, base + path, request.body, headers, request.timeout)
    except TimeoutError:
        return PushError(0, f"{shown} cannot be reached: no answer within {request.timeout:g}s")
    except httpx.UnsupportedProtocol as e:
        return PushError(400, f"{shown}: {e}")
    except httpx.HTTPError as e:
        why = reason(e)
        return PushError(0, f"{shown} cannot be reached: {why}{failure_advice(base, why)}")
    if was_taken(answer):
        return None
    who = await who_answers(client, base, answer)
    # A success that is none has the status of a refusal: it is not tried again.
    return PushError(max(answer.status, 300), f"{shown} {refusal_text(answer)}{who and '; '}{who}")
