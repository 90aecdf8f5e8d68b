"""One POST to one remote write receiver, and what its answer means."""

from __future__ import annotations

import contextlib
import email.utils
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from rulepush import __version__
from rulepush.config.sections import RemoteWriteConfig, RemoteWriteMessage
from rulepush.http_client.exchange import exchange

if TYPE_CHECKING:
    from rulepush.http_client.on_demand import AnyClient

log = logging.getLogger("rulepush.remote")

_RETRY_AFTER_MAX: Final = 300.0  # seconds
_HEADERS: Final = {
    RemoteWriteMessage.V1: {
        "Content-Type": "application/x-protobuf",
        "X-Prometheus-Remote-Write-Version": "0.1.0",
    },
    RemoteWriteMessage.V2: {
        "Content-Type": "application/x-protobuf;proto=io.prometheus.write.v2.Request",
        "X-Prometheus-Remote-Write-Version": "2.0.0",
    },
}
_WRITTEN: Final = "x-prometheus-remote-write-samples-written"


class WriteOutcome(Enum):
    """What to do with a request after an attempt."""

    SENT = "sent"
    RETRY = "retry"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class WriteResponse:
    """`retry_after` in seconds, when the receiver asked for it; `reason` is for the log."""

    outcome: WriteOutcome
    reason: str = ""
    retry_after: float | None = None


class Endpoint:
    """`client` carries credentials, TLS and proxy."""

    def __init__(self, config: RemoteWriteConfig, client: AnyClient):
        self.name = config.name
        self._url = config.url.reveal()
        self._timeout = config.remote_timeout_ms / 1000
        self._client = client
        self._extra = dict(config.headers)
        self._warned = False
        self._connections = _Connections()

    async def post(self, body: bytes, protocol: RemoteWriteMessage, attempt: int, now: int) -> WriteResponse:
        """Send one body. `attempt` counts from 0, `now` in ms. Never raises for what network or receiver do."""
        headers = {
            **self._extra,
            **_HEADERS[protocol],
            "Content-Encoding": "snappy",
            "User-Agent": f"rulepush/{__version__}",
        }
        if attempt:
            headers["Retry-Attempt"] = str(attempt)
        try:
            # What a receiver has twice it keeps once: the same samples at the same times.
            with self._connections.one() as owner:
                got = await exchange(
                    self._client,
                    "POST",
                    self._url,
                    body,
                    headers,
                    self._timeout,
                    self._extra.values(),
                    idempotent=True,
                    owner=owner,
                )
        except TimeoutError:
            return WriteResponse(WriteOutcome.RETRY, f"no answer within {self._timeout:g}s")
        except Exception as e:
            import httpx

            if not isinstance(e, httpx.HTTPError):
                raise
            from rulepush.http_client.client import reason

            return WriteResponse(WriteOutcome.RETRY, reason(e))
        if got.is_success:
            if protocol is RemoteWriteMessage.V2 and _WRITTEN not in got.headers and not self._warned:
                self._warned = True
                log.warning(
                    "the receiver does not say what it wrote; does it speak remote write 2.0? remote=%s", self.name
                )
            return WriteResponse(WriteOutcome.SENT)
        if got.status >= 500 or got.status == 429:
            return WriteResponse(
                WriteOutcome.RETRY, got.described(), retry_after(got.headers.get("retry-after", ""), now)
            )
        return WriteResponse(WriteOutcome.REFUSED, got.described())


class _Connections:
    """Each shard that sends has one of its own while it does, and the next one takes it over."""

    def __init__(self) -> None:
        self._free: list[object] = []

    @contextlib.contextmanager
    def one(self) -> Iterator[object]:
        """Who owns the connection."""
        owner = self._free.pop() if self._free else object()
        try:
            yield owner
        finally:
            self._free.append(owner)


def retry_after(text: str, now: int) -> float | None:
    """The seconds that a Retry-After header asks for, five minutes at most; None when it does not. `now` in ms."""
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(text).timestamp() - now / 1000
        except (ValueError, OverflowError):
            return None
    return min(max(seconds, 0.0), _RETRY_AFTER_MAX) if seconds == seconds else None
