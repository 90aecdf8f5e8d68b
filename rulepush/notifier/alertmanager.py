"""One POST to one Alertmanager, and what its answer means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import httpx

from rulepush.http_client.client import reason
from rulepush.http_client.exchange import exchange
from rulepush.notifier.wire import WireAlert, encode_batch


class PostOutcome(Enum):
    """What to do with a batch after an attempt."""

    ACCEPTED = "accepted"
    RETRY = "retry"  # nothing wrong with the alerts: the network, the server, or our credentials
    REFUSED = "refused"  # Alertmanager says the content is bad


@dataclass(frozen=True, slots=True)
class PostResponse:
    """`retry_after` in seconds, when the server asked for it; `reason` is for the log."""

    outcome: PostOutcome
    reason: str = ""
    retry_after: float | None = None


# The answers that blame the alerts themselves. Other 4xx (401, 403, 404, 429, ...) blame the configuration or the
# moment: the alerts must wait, not be thrown away for it.
_REFUSALS = frozenset((400, 413, 422))


class Alertmanager:
    """`url` is the whole URL of the alerts endpoint, `timeout` in seconds."""

    def __init__(self, client: httpx.AsyncClient, url: str, timeout: float):
        self._client = client
        self._timeout = timeout
        self.url = url

    async def post(self, alerts: Sequence[WireAlert]) -> PostResponse:
        """Send one batch. Never raises for what the network or the server does."""
        headers = {"Content-Type": "application/json"}
        try:
            got = await exchange(
                self._client, "POST", self.url, encode_batch(alerts), headers, self._timeout, idempotent=True
            )
        except TimeoutError:
            return PostResponse(PostOutcome.RETRY, f"no answer within {self._timeout:g}s")
        except httpx.HTTPError as e:
            return PostResponse(PostOutcome.RETRY, reason(e))
        if got.is_success:
            return PostResponse(PostOutcome.ACCEPTED)
        if got.status in _REFUSALS:
            return PostResponse(PostOutcome.REFUSED, got.described())
        return PostResponse(PostOutcome.RETRY, got.described(), _retry_after(got.headers.get("Retry-After", "")))


def _retry_after(text: str) -> float | None:
    """The seconds of a Retry-After header, at most five minutes; a date form is ignored."""
    try:
        seconds = float(text)
    except ValueError:
        return None
    return min(max(seconds, 0.0), 300.0) if seconds == seconds else None
