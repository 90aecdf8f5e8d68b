"""Heartbeat: calls one receiver, as long as rulepush can tell of alerts. Each has a task of its own: one that is slow
delays no other."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, urlsplit

from rulepush.clock import Clock
from rulepush.config.sections import HeartbeatConfig
from rulepush.delivery import HeartbeatState, HeartbeatStatus
from rulepush.heartbeat.answer import heartbeat_fault
from rulepush.heartbeat.work import FaultKind, WorkFault
from rulepush.http_client.exchange import exchange
from rulepush.notifier.reasons import unreachable

if TYPE_CHECKING:
    from rulepush.http_client.on_demand import AnyClient

log = logging.getLogger("rulepush.heartbeat")

# Pauses before a try is repeated (s): five calls a minute are what healthchecks.io takes.
_PAUSES: Final = (1.0, 3.0, 9.0, 27.0)
_PAUSE: Final = 60.0
RECHECK_SECONDS: Final = 15.0
_MIN_SECRET: Final = 4  # characters
_MIN_TOKEN: Final = 8  # of a piece of the path: shorter ones are words such as "ping"
_MAX_TEXT: Final = 400

Check = Callable[[], Awaitable[WorkFault | None]]
"""What does not work now; None: all does."""


class Heartbeat:
    """`run` until cancelled. Its URL is a secret: who knows the path can pretend that all is well."""

    def __init__(self, config: HeartbeatConfig, client: AnyClient, clock: Clock, check: Check):
        self.config = config
        self.client = client
        self._clock = clock
        self._check = check
        self._secrets = _secrets_of(config)
        self.sent = self.failed = self.withheld = 0
        self._last_success = 0
        self._fault: WorkFault | None = WorkFault(FaultKind.STARTING, "nothing is known yet")
        self._withheld_since = clock.now()
        self._counted_at: float | None = None  # when a withheld one was last counted
        self._error = ""
        self._failing_since = 0
        self._tries = 0

    def status(self) -> HeartbeatStatus:
        """How it stands now."""
        parts = urlsplit(self.config.url.reveal())
        host = parts.netloc.rpartition("@")[2]
        return HeartbeatStatus(
            name=self.config.name,
            server=f"{parts.scheme}://{host}",
            interval_ms=self.config.interval_ms,
            state=self._state(),
            sent=self.sent,
            failed=self.failed,
            withheld=self.withheld,
            last_success=self._last_success,
            since=self._withheld_since if self._fault is not None else self._failing_since,
            reason=self._fault.text if self._fault is not None else self._error,
        )

    def _state(self) -> HeartbeatState:
        if self._fault is not None:
            return HeartbeatState.STARTING if self._fault.kind is FaultKind.STARTING else HeartbeatState.WITHHELD
        if self._error:
            return HeartbeatState.NOT_RECEIVED
        return HeartbeatState.BEATING if self._last_success else HeartbeatState.STARTING

    async def run(self) -> None:
        """Send, until cancelled. A try that fails is repeated within the interval, if all works then."""
        interval = self.config.interval_ms / 1000
        while True:
            began = self._clock.monotonic()
            pause = await self._beat(interval)
            await self._clock.sleep(max(0.0, began + pause - self._clock.monotonic()))

    async def _beat(self, interval: float) -> float:
        """One look, and one call if all works. Returns the seconds from its beginning to the next."""
        try:
            fault = await self._check()
        except Exception as e:  # a bug in rulepush must not stop the process
            log.exception("the check before a heartbeat crashed: name=%s", self.config.name)
            fault = WorkFault(FaultKind.INTERNAL, f"internal error: {type(e).__name__}")
        if fault is not None:
            self._withhold(fault, interval)
            return min(interval, RECHECK_SECONDS)
        self._goes_on()
        error = await self._call()
        if not error:
            self._received()
            return interval
        self._not_received(error)
        pause = _PAUSES[self._tries - 1] if self._tries <= len(_PAUSES) else _PAUSE
        return min(pause, interval)

    async def _call(self) -> str:
        """Why it was not received, "" when it was."""
        config = self.config
        url, seconds = config.url.reveal(), config.timeout_ms / 1000
        headers = {"Content-Type": _content_type(config.body)} if config.body else {}
        try:
            got = await exchange(
                self.client,
                config.method,
                url,
                config.body.encode(),
                headers,
                seconds,
                self._secrets,
                idempotent=config.method != "HEAD",  # whose answer has the length of a body that does not come
            )
        except TimeoutError:
            return f"no answer within {seconds:g}s"
        except Exception as e:
            import httpx

            if not isinstance(e, httpx.HTTPError):
                log.exception("a heartbeat crashed: name=%s", config.name)
                return f"internal error: {type(e).__name__}"
            return self._masked(unreachable(e, url))
        return self._masked(heartbeat_fault(got))

    def _masked(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "<secret>")
        return text[:_MAX_TEXT]

    def _withhold(self, fault: WorkFault, interval: float) -> None:
        before, self._fault = self._fault, fault
        now = self._clock.monotonic()
        if self._counted_at is None or now - self._counted_at >= interval:
            self._counted_at = now
            self.withheld += fault.kind is not FaultKind.STARTING
        if before is not None and before.kind is fault.kind:
            return
        if before is None or before.kind is FaultKind.STARTING:
            self._withheld_since = self._clock.now()
        if fault.kind is not FaultKind.STARTING:
            log.warning("the heartbeat is withheld: name=%s err=%s", self.config.name, fault.text)

    def _goes_on(self) -> None:
        fault, self._fault, self._counted_at = self._fault, None, None
        if fault is not None and fault.kind is not FaultKind.STARTING:
            seconds = (self._clock.now() - self._withheld_since) / 1000
            log.info("the heartbeat goes on, it was withheld for %.0fs: name=%s", seconds, self.config.name)

    def _received(self) -> None:
        now = self._clock.now()
        if self._error:
            seconds = (now - self._failing_since) / 1000
            log.info("the heartbeat is received again after %.0fs: name=%s", seconds, self.config.name)
        elif not self._last_success:
            log.info("the first heartbeat is received: name=%s", self.config.name)
        self.sent += 1
        self._last_success, self._error, self._failing_since, self._tries = now, "", 0, 0

    def _not_received(self, error: str) -> None:
        if not self._error:
            self._failing_since = self._clock.now()
            log.warning("the heartbeat is not received, it is tried again: name=%s err=%s", self.config.name, error)
        self.failed += 1
        self._tries += 1
        self._error = error


def _content_type(body: str) -> str:
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return "text/plain; charset=utf-8"
    return "application/json"


def _secrets_of(config: HeartbeatConfig) -> tuple[str, ...]:
    """What of the URL must appear nowhere, the longest first: receivers and redirects quote it, whole or in parts."""
    parts = urlsplit(config.url.reveal())
    whole = {parts.path, parts.path.strip("/"), parts.query, parts.fragment, parts.password or "", config.body}
    pieces = {*parts.path.split("/"), *(value for _, value in parse_qsl(parts.query))}
    texts = {t for t in whole if len(t) >= _MIN_SECRET} | {t for t in pieces if len(t) >= _MIN_TOKEN}
    return tuple(sorted(texts, key=len, reverse=True))
