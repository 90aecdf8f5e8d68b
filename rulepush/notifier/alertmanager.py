"""One POST to one Alertmanager, and what its answer means."""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Final

from rulepush.http_client.exchange import HTTPExchange, exchange
from rulepush.notifier.wire import WireAlert, encode_batch

if TYPE_CHECKING:
    import httpx

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
            return PostResponse(PostOutcome.RETRY, _network_failure(e, self.url))
        if got.is_success:
            fault = _no_acceptance(got.text)
            return PostResponse(PostOutcome.RETRY if fault else PostOutcome.ACCEPTED, fault, status=got.status)
        if got.status in _REFUSALS:
            return PostResponse(PostOutcome.REFUSED, got.described(), status=got.status)
        retry_after = _retry_after(got.headers.get("retry-after", ""))
        return PostResponse(PostOutcome.RETRY, _refusal(got, self.url), retry_after, got.status)


def _network_failure(e: httpx.HTTPError, url: str) -> str:
    """Describes the failure; "not reached" only where there was no connection."""
    from rulepush.http_client.client import failed_url

    failed = failed_url(e, url)
    return _failure(e, url) if failed == url else f"redirected to {failed}: {_failure(e, failed)}"


def _failure(e: httpx.HTTPError, url: str) -> str:
    import httpx

    from rulepush.http_client.client import reason

    if _caused_by(e, socket.gaierror):
        return f"not reached: name not found: {_split(url)[0]}: {reason(e)}"
    if isinstance(e, httpx.ProxyError):
        return f"not reached through the proxy: {reason(e)}"
    why = reason(e)
    if isinstance(e, httpx.ConnectError) and not why.startswith("tls:"):
        return f"not reached: {why}" + (": nothing listens at this address" if "refused" in why else "")
    return why


def _split(url: str) -> tuple[str, str]:
    """`http://u:p@host:9093/api/v2/alerts` -> ("host:9093", "/api/v2/alerts"), of any text: relabelling may give one
    that is no URL."""
    authority, slash, path = url.partition("://")[2].partition("/")
    return authority.rpartition("@")[2], slash + path


def _caused_by(e: BaseException | None, kind: type[BaseException]) -> bool:
    while e is not None and not isinstance(e, kind):
        e = e.__cause__ or e.__context__
    return e is not None


_HINTS: Final = {
    401: "it wants credentials, or refuses the ones given: check basic_auth, authorization or oauth2",
    403: "these credentials may not post alerts",
    404: "there is no Alertmanager API here: check path_prefix",
    405: "there is no Alertmanager API here: check path_prefix",
    407: "the proxy wants credentials",
    410: "this Alertmanager has no API v1 any more: leave api_version out",
    429: "too many requests",
}


def _refusal(got: HTTPExchange, url: str) -> str:
    """`refused with 404 Not Found: leave /api/v1 out of path_prefix: <their text>`."""
    hint = _HINTS.get(got.status, "")
    prefix = _split(url)[1].rpartition("/api/")[0]
    named = next((api for api in ("/api/v1", "/api/v2") if api in prefix), "")
    if got.status in (404, 405) and named:
        hint = f"leave {named} out of path_prefix"
    verb = "redirected with" if 300 <= got.status < 400 else "refused with" if got.status < 500 else "failed with"
    text = "" if _is_markup(got.text) else got.text[:300].strip()
    return ": ".join(part for part in (f"{verb} {got.status} {got.phrase}".rstrip(), hint, text) if part)


def _no_acceptance(text: str) -> str:
    """Why a 2xx accepted nothing, "" where it did. Alertmanager's body is empty; a login page, the page of another
    service, and gateways that put their error into a JSON object answer 200 as well."""
    if not text.strip():
        return ""
    if _is_markup(text):
        return "answered with a page instead of accepting the alerts: check that this is an Alertmanager's address"
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(answer, dict):
        return ""
    is_bad = (
        str(answer.get("status", "")).lower() in ("error", "fail", "failed")
        or answer.get("success") is False
        or bool(answer.get("error"))
        or answer.get("errcode", 0) not in (0, "0")
        or str(answer.get("code", 200))[:1] in ("4", "5")
    )
    return f"answered with an error instead of accepting the alerts: {text[:300].strip()}" if is_bad else ""


def _is_markup(text: str) -> bool:
    return text.lstrip("\ufeff \t\r\n").startswith("<")


def _retry_after(text: str) -> float | None:
    """The seconds of a Retry-After header, at most five minutes; a date form is ignored."""
    try:
        seconds = float(text)
    except ValueError:
        return None
    return min(max(seconds, 0.0), 300.0) if seconds == seconds else None
