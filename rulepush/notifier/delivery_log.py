"""DeliveryLog: writes what `outage` decides, when it is time for it: a request that hangs does not hold it up."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from rulepush.clock import Clock, Timer
from rulepush.notifier.outage import OutageLog, RefusalLog

log = logging.getLogger("rulepush.notifier")

_MAX_LABELS: Final = 400  # characters of an alert that is refused: its labels may be the reason


class DeliveryLog:
    """The log lines of one Alertmanager. `close` when nothing is sent any more; a failure after that is logged all the
    same, and reminders begin again with it."""

    def __init__(self, clock: Clock, url: str, waiting: Callable[[], int]):
        """`url` as it is shown; `waiting()` is how many alerts wait."""
        self._clock = clock
        self._url = url
        self._waiting = waiting
        self._outage = OutageLog()
        self._refusals = RefusalLog()
        self._last_refused = ("", "")  # alert and reason
        self._reminder: Timer | None = None
        self._count: Timer | None = None

    @property
    def reason(self) -> str:
        """Why the last attempt failed; "" when it did not."""
        return self._outage.reason

    def failed(self, reason: str) -> None:
        """An attempt failed."""
        now = self._clock.monotonic()
        self._warn(self._outage.failed(now, reason, self._waiting()))
        if self._reminder is None:
            self._reminder = self._clock.call_later(self._outage.until_reminder(now), self._remind)

    def answered(self) -> None:
        """An attempt did not fail."""
        if self._reminder is not None:
            self._reminder.cancel()
            self._reminder = None
        if line := self._outage.ended(self._clock.monotonic()):
            log.info("%s: url=%s", line, self._url)

    def refused(self, alert: str, reason: str) -> None:
        """An alert was refused for good."""
        now = self._clock.monotonic()
        alert = alert[:_MAX_LABELS]
        self._last_refused = alert, reason
        if self._refusals.refused(now):
            log.error("Alertmanager refuses an alert: url=%s alert=%s err=%s", self._url, alert, reason)
        if self._count is None:
            self._count = self._clock.call_later(self._refusals.until_count(now), self._log_count)

    def close(self) -> None:
        """Plan nothing any more; log what was not counted yet."""
        if self._reminder is not None:
            self._reminder.cancel()
            self._reminder = None
        if self._count is not None:
            self._count.cancel()
            self._log_count()

    def _remind(self) -> None:
        now = self._clock.monotonic()
        self._warn(self._outage.reminder(now, self._waiting()))
        self._reminder = self._clock.call_later(self._outage.until_reminder(now), self._remind)

    def _log_count(self) -> None:
        self._count = None
        if line := self._refusals.count():
            alert, reason = self._last_refused
            log.error("%s: url=%s last=%s err=%s", line, self._url, alert, reason)

    def _warn(self, line: str) -> None:
        if line:
            log.warning("%s: url=%s err=%s", line, self._url, self._outage.reason)
