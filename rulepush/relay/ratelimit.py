"""The rate limit of a robot. Pure: every method takes `ts` in milliseconds."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

_MARGIN_MS: Final = 1000
"""The robot counts messages when they arrive, this when they are answered: the network may shift a window."""


@dataclass(frozen=True, slots=True)
class RateWindow:
    """At most `count` messages in any `span_ms`."""

    count: int
    span_ms: int


class RateLimit:
    """A sliding window, of which `reserved` messages are kept for digests, spread evenly over it.

    Without them a burst would use up the window, and the next notification would wait for most of a minute; with them,
    a digest is sent every `span / reserved`. `pace` is a second, short window that only delays messages.
    """

    def __init__(self, window: RateWindow, reserved: int, pace: RateWindow | None = None):
        self._window = window
        self._reserved = reserved
        self._pace = pace
        self._sent: deque[int] = deque()
        self._blocked_until = 0
        self._digest_at = 0

    def may_send(self, ts: int, messages: int = 1) -> bool:
        """Whether so many messages may be sent now, without those that are reserved."""
        return ts >= self._blocked_until and self._free(ts) - self._reserved >= messages

    def digest_due(self, ts: int) -> int:
        """The earliest time at which a digest may be sent: `ts` or later."""
        due = max(ts, self._blocked_until, self._digest_at)
        self._forget(ts)
        if len(self._sent) >= self._window.count:
            due = max(due, self._sent[-self._window.count] + self._window.span_ms + _MARGIN_MS)
        return due

    def pause(self, ts: int) -> int:
        """Milliseconds to wait before the next message, because of `pace`."""
        if self._pace is None:
            return 0
        recent = [t for t in self._sent if t > ts - self._pace.span_ms]
        return max(recent[-self._pace.count] + self._pace.span_ms - ts, 1) if len(recent) >= self._pace.count else 0

    def record(self, ts: int) -> None:
        """A message was answered at `ts`."""
        self._sent.append(ts)
        self._forget(ts)

    def record_digest(self, ts: int) -> None:
        """A digest was sent: the next one is due `span / reserved` later."""
        self._digest_at = ts + self._window.span_ms // max(self._reserved, 1)

    def block_until(self, until: int) -> None:
        """The robot refuses all messages until then (ms)."""
        self._blocked_until = max(self._blocked_until, until)

    def _free(self, ts: int) -> int:
        self._forget(ts)
        return self._window.count - len(self._sent)

    def _forget(self, ts: int) -> None:
        edge = ts - self._window.span_ms - _MARGIN_MS
        while self._sent and (self._sent[0] <= edge or self._sent[0] > ts + _MARGIN_MS):
            self._sent.popleft()  # out of the window, or recorded before the clock was set back
