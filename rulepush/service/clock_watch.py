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

_LOOK_SECONDS: Final = 1.0
_BACK_MS: Final = 1_000  # NTP's slewing never goes back, its steps are larger
_STILL_MS: Final = 5_000  # a busy moment of our own may last seconds


class ClockWatch:
    """`run` looks every second; whoever is about to rely on the time calls `look` too.

    `since` is the wall time (ms) from which on time has run evenly, `breaks` counts how often it did not.
    """

    def __init__(self, clock: Clock, broke: Callable[[], object]):
        """`broke` is called at once when a break is noticed."""
        self._clock = clock
        self._broke = broke
        self._seen = self.since = clock.now()
        self.breaks = 0

    def look(self) -> None:
        """Compare the wall clock with the last look."""
        now = self._clock.now()
        before, self._seen = self._seen, now
        if -_BACK_MS <= now - before <= _LOOK_SECONDS * 1000 + _STILL_MS:
            return
        self.since = now
        self.breaks += 1
        log.warning("the clock was set, or the process stood still: by_ms=%d", now - before)
        self._broke()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._clock.sleep(_LOOK_SECONDS)
            self.look()
