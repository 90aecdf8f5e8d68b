"""What the log says of an Alertmanager that does not take alerts: at once, then once a minute, and at its end; of one
that refuses many, the first few and a count a minute. Pure: times are seconds of a monotonic clock."""

from __future__ import annotations

from collections import deque
from typing import Final

REMIND_SECONDS: Final = 60.0
MAX_LINES: Final = 3  # within a minute, beside the reminder: reasons may change, and outages end, at each attempt
_EARLY: Final = 0.05  # a timer may come so much before its time


class OutageLog:
    """The outage of one Alertmanager."""

    def __init__(self) -> None:
        self.reason = ""  # of the last failure; "" while there is no outage
        self._since = 0.0
        self._due = 0.0  # the next reminder
        self._logged: set[str] = set()  # reasons since the last reminder
        self._lines: deque[float] = deque(maxlen=MAX_LINES)
        self._told = False  # whether the log has something of this outage, so that it needs its end

    def failed(self, now: float, reason: str, waiting: int) -> str:
        """An attempt failed for `reason`; `waiting` alerts are kept. Returns the line to log, "" for none."""
        if not self.reason:
            self._since, self._due, self._told = now, now + REMIND_SECONDS, False
            self._logged.clear()
        self.reason = reason
        if reason in self._logged:
            return ""
        if len(self._lines) == MAX_LINES and now - self._lines[0] < REMIND_SECONDS:
            return ""
        self._lines.append(now)
        self._logged.add(reason)
        self._told = True
        return self._line(now, waiting)

    def until_reminder(self, now: float) -> float:
        """Seconds until the next `reminder`."""
        return max(0.0, self._due - now)

    def reminder(self, now: float, waiting: int) -> str:
        """The line to log when a minute has passed, else "". While nothing waits, nothing is tried, and nothing is
        known."""
        if not self.reason or now + _EARLY < self._due:
            return ""
        while self._due <= now + _EARLY:
            self._due += REMIND_SECONDS
        if not waiting:
            return ""
        self._logged = {self.reason}
        self._told = True
        return self._line(now, waiting)

    def ended(self, now: float) -> str:
        """An attempt succeeded. Returns the line to log, "" where there was no outage that was told of."""
        if not self.reason:
            return ""
        self.reason = ""
        return f"Alertmanager accepts alerts again after {now - self._since:.0f}s" if self._told else ""

    def _line(self, now: float, waiting: int) -> str:
        alerts = "1 alert waits" if waiting == 1 else f"{waiting} alerts wait"
        return f"alerts are not delivered, {alerts}, failing for {now - self._since:.0f}s"


class RefusalLog:
    """The alerts that one Alertmanager refuses."""

    def __init__(self) -> None:
        self.more = 0  # that were not logged one by one since the last count
        self._began: float | None = None
        self._lines = 0

    def refused(self, now: float) -> bool:
        """An alert was refused; whether it is logged."""
        if self._began is None:
            self._began = now
        self._lines += 1
        if self._lines <= MAX_LINES:
            return True
        self.more += 1
        return False

    def until_count(self, now: float) -> float:
        """Seconds until the next `count`."""
        return 0.0 if self._began is None else max(0.0, self._began + REMIND_SECONDS - now)

    def count(self) -> str:
        """The minute is over: the line to log, "" for none."""
        more, self.more, self._lines, self._began = self.more, 0, 0, None
        alerts = "1 more alert" if more == 1 else f"{more} more alerts"
        return f"Alertmanager refused {alerts} within a minute" if more else ""
