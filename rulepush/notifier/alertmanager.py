"""One POST to one Alertmanager, and what its answer means."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

import httpx

from rulepush.notifier.wire import WireAlert, encode_batch


class Outcome(Enum):
    """What to do with a batch after an attempt."""

    ACCEPTED = "accepted"
    RETRY = "retry"  # nothing wrong with the alerts: the network, the server, or our credentials
    REFUSED = "refused"  # Alertmanager says the content is bad


@dataclass(frozen=True, slots=True)
class Answer:
    """`retry_after` in seconds, when the server asked for it; `reason` is for the log."""

    outcome: Outcome
    reason: str = ""
    retry_after: float | None = None


# The answers that blame the alerts themselves. Other 4xx (401, 403, 404, 429, ...) blame the configuration or the
# moment: the alerts must wait, not be thrown away for it.
_REFUSALS = frozenset((400, 413, 422))
_MOST_READ: Final = 4096  # bytes of an answer: its status says what to do, the text is for the log


class Alertmanager:
    """`url` is the whole URL of the alerts endpoint, `timeout` in seconds."""

    def __init__(self, client: httpx.AsyncClient, url: str, timeout: float):
        self._client = client
        self._timeout = timeout
        self.url = url

    async def post(self, alerts: Sequence[WireAlert]) -> Answer:
        """Send one batch. Never raises for what the network or the server does."""
        try:
            async with asyncio.timeout(self._timeout):  # httpx' own starts anew at every byte that comes
                response, text = await self._exchange(encode_batch(alerts))
        except (TimeoutError, httpx.TimeoutException):
            return Answer(Outcome.RETRY, f"no answer within {self._timeout:g}s")
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as e:
            return Answer(Outcome.RETRY, str(e) or type(e).__name__)
        if response.is_success:
            return Answer(Outcome.ACCEPTED)
        reason = f"HTTP status {response.status_code} {response.reason_phrase}: {text[:300].strip()}"
        if response.status_code in _REFUSALS:
            return Answer(Outcome.REFUSED, reason)
        return Answer(Outcome.RETRY, reason, _retry_after(response))

    async def _exchange(self, body: bytes) -> tuple[httpx.Response, str]:
        """The answer and the beginning of its text; what comes beyond that is not read."""
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        text = b""
        async with self._client.stream("POST", self.url, content=body, headers=headers, timeout=self._timeout) as r:
            assert isinstance(r.stream, httpx.AsyncByteStream)
            async for part in r.stream:
                text += part[:_MOST_READ]
                if len(text) >= _MOST_READ:
                    break
        return r, text.decode(errors="replace")


def _retry_after(response: httpx.Response) -> float | None:
    """The seconds of a Retry-After header, at most five minutes; a date form is ignored."""
    try:
        seconds = float(response.headers.get("Retry-After", ""))
    except ValueError:
        return None
    return min(max(seconds, 0.0), 300.0) if seconds == seconds else None
