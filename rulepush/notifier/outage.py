"""The log lines of an outage of an Alertmanager: at once, then once a minute, and at its end. Pure."""

from __future__ import annotations

from typing import Final

REMIND_SECONDS: Final = 60.0
MAX_REASONS: Final = 3  # lines between two reminders: the text of an error may change at each attempt


class OutageLog:
    """The outage of one Alertmanager. Times are seconds of a monotonic clock."""

    def __init__(self) -> None:
        self.reason = ""  # of the last failure; "" while there is no outage
        self._since = 0.0
        self._logged_at = 0.0
        self._logged: set[str] = set()

    def failed(self, now: float, reason: str, waiting: int) -> str:
        """An attempt failed for `reason`; `waiting` alerts are kept. Returns the line to log, "" for none."""
        if not self.reason:
            self._since = self._logged_at = now
            self._logged.clear()
        self.reason = reason
        if reason not in self._logged and len(self._logged) < MAX_REASONS:
            self._logged.add(reason)
            return self._line(now, waiting)
        return self.reminder(now, waiting)

    def until_reminder(self, now: float) -> float:
        """Seconds until the next `reminder`."""
        return max(0.0, self._logged_at + REMIND_SECONDS - now)

    def reminder(self, now: float, waiting: int) -> str:
        """The line to log when the outage was last logged a minute ago or longer, else ""."""
        if self.until_reminder(now) > 0:
            return ""
        self._logged_at = now
        self._logged = {self.reason}
        return self._line(now, waiting)

    def ended(self, now: float) -> str:
        """An attempt succeeded. Returns the line to log, "" where there was no outage."""
        if not self.reason:
            return ""
        self.reason = ""
        return f"Alertmanager accepts alerts again after {now - self._since:.0f}s"

    def _line(self, now: float, waiting: int) -> str:
        alerts = "1 alert waits" if waiting == 1 else f"{waiting} alerts wait"
        return f"alerts are not delivered, {alerts}, failing for {now - self._since:.0f}s"
