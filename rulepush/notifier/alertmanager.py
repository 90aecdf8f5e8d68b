"""One POST to one Alertmanager, and what its answer means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from rulepush.http_client.exchange import exchange
from rulepush.notifier.reasons import misplaced, network_failure, no_acceptance, refusal
from rulepush.notifier.wire import WireAlert, encode_batch

if TYPE_CHECKING:
    from rulepush.http_client.on_demand import AnyClient


class PostOutcome(Enum):
    """What to do with a batch after an attempt."""

    ACCEPTED = "accepted"
    RETRY = "retry"  # the fault is not in the alerts: network, server, or our credentials
    REFUSED = "refused"  # Alertmanager says the content is bad


@dataclass(frozen=True, slots=True)
class PostResponse:
    """`retry_after` in seconds, when the server asked for it; `reason` is for the log. `status` is that of HTTP, 0
    where nothing answered, for the record: it does not say what to do."""

    outcome: PostOutcome
    reason: str = ""
    retry_after: float | None = None
    status: int = field(default=0, compare=False)


# The statuses that mean the alerts themselves are invalid. Other 4xx (401, 403, 404, 429, ...) mean a wrong setting or
# a temporary fault: the alerts must wait, not be dropped.
_REFUSALS = frozenset((400, 413, 422))


class Alertmanager:
    """`url` is the whole URL of the alerts endpoint, `timeout` in seconds."""

    def __init__(self, client: AnyClient, url: str, timeout: float):
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
        except Exception as e:
            import httpx

            if not isinstance(e, httpx.HTTPError):
                raise
            return PostResponse(PostOutcome.RETRY, network_failure(e, self.url))
        if got.is_success:
            fault = no_acceptance(got.text)
            return PostResponse(PostOutcome.RETRY if fault else PostOutcome.ACCEPTED, fault, status=got.status)
        if got.status in _REFUSALS and not misplaced(got):
            return PostResponse(PostOutcome.REFUSED, got.described(), status=got.status)
        retry_after = _retry_after(got.headers.get("retry-after", ""))
        return PostResponse(PostOutcome.RETRY, refusal(got, self.url), retry_after, got.status)


def _retry_after(text: str) -> float | None:
    """The seconds of a Retry-After header, at most five minutes; a date form is ignored."""
    try:
        seconds = float(text)
    except ValueError:
        return None
    return min(max(seconds, 0.0), 300.0) if seconds == seconds else None
