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

_CHECK_SECONDS: Final = 1.0
_BACKWARD_TOLERANCE_MS: Final = 1_000  # NTP's slewing never goes back, its steps are larger
_PAUSE_TOLERANCE_MS: Final = 5_000  # the event loop itself may be busy for seconds


class ClockWatch:
    """`run` checks every second; code that is about to rely on the time calls `check` too.

    `since` is the wall time (ms) from which on time has run evenly, `jumps` counts how often it did not.
    """

    def __init__(self, clock: Clock, on_jump: Callable[[], object]):
        """`on_jump` is called at once when a jump is noticed."""
        self._clock = clock
        self._on_jump = on_jump
        self._checked_at = self.since = clock.now()
        self.jumps = 0

    def check(self) -> None:
        """Compare the wall clock with the last check."""
        now = self._clock.now()
        before, self._checked_at = self._checked_at, now
        if -_BACKWARD_TOLERANCE_MS <= now - before <= _CHECK_SECONDS * 1000 + _PAUSE_TOLERANCE_MS:
            return
        self.since = now
        self.jumps += 1
        log.warning("the clock was set, or the process stood still: by_ms=%d", now - before)
        self._on_jump()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._clock.sleep(_CHECK_SECONDS)
            self.check()
