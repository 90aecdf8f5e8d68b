"""ClockWatch: notices when time did not run evenly for this process.

The wall clock was set, or the process stood still (a suspended machine, a paused container). What was not scraped
meanwhile is missing from every window, so an alert that is missing from a result proves nothing for a while, and `for`
clocks cannot simply go on: to the rules it is as though the process had been restarted.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from rulepush.clock import Clock

log = logging.getLogger("rulepush.main")

_CHECK_SECONDS: Final = 5.0
_BACKWARD_TOLERANCE_MS: Final = 1_000  # NTP's slewing never goes back, its steps are larger
_FORWARD_TOLERANCE_MS: Final = 5_000
_PAUSE_TOLERANCE_MS: Final = 5_000  # the event loop itself may be busy for seconds


class ClockWatch:
    """`run` checks every few seconds; code that is about to rely on the time calls `check` too.

    `since` is the wall time (ms) from which on time has run evenly, `jumps` counts how often it did not. That the clock
    was set shows beside the monotonic one, however long ago the last check was; so does a suspended machine, for the
    monotonic clock stands still meanwhile (clock_gettime(2)).
    """

    def __init__(self, clock: Clock, on_jump: Callable[[], object]):
        """`on_jump` is called at once when a jump is noticed."""
        self._clock = clock
        self._on_jump = on_jump
        self._checked_at = self.since = clock.now()
        self._monotonic = clock.monotonic()
        self.jumps = 0

    def check(self) -> None:
        """Compare the clocks with the last check."""
        now, monotonic = self._clock.now(), self._clock.monotonic()
        passed, ran = now - self._checked_at, (monotonic - self._monotonic) * 1000
        self._checked_at, self._monotonic = now, monotonic
        even = -_BACKWARD_TOLERANCE_MS <= passed - ran <= _FORWARD_TOLERANCE_MS
        if even and ran <= _CHECK_SECONDS * 1000 + _PAUSE_TOLERANCE_MS:
            return
        self.since = now
        self.jumps += 1
        log.warning("the clock was set, or the process stood still: by_ms=%d", passed)
        self._on_jump()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            # Counted from the last check, whoever made it: where rules are evaluated as often as that, the process need
            # not wake up for this alone.
            left = self._monotonic + _CHECK_SECONDS - self._clock.monotonic()
            if left <= 0:
                self.check()
                left = _CHECK_SECONDS
            await self._clock.sleep(left)
