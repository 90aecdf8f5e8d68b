"""OverloadWatch: whether rulepush keeps up with its scrapes, shown in its log and its own metrics.

A moment of the grid that cannot be kept is left out and counted. The targets did nothing wrong, so their `up` and their
series stay as they are; but the operator must learn of it.
"""

from __future__ import annotations

import logging
from typing import Final

from rulepush.clock import Clock

log = logging.getLogger("rulepush.scrape")

WINDOW_SECONDS: Final = 60


class OverloadWatch:
    """The loops of the targets call `started` and `left_out`. The figures are of the last minute."""

    def __init__(self, clock: Clock):
        self._clock = clock
        self._began = clock.now()
        self._scrapes = self._skipped = 0  # since _began
        self._latest_ms = 0.0
        self._former_latest_ms = 0.0  # in the window before
        self._former_scrapes = self._former_skipped = 0

    def started(self, late_ms: float) -> None:
        """A scrape began so long after its planned time."""
        self._scrapes += 1
        self._latest_ms = max(self._latest_ms, late_ms)

    def left_out(self, moments: int) -> None:
        """So many moments of a target passed before it could be scraped."""
        self._skipped += moments

    @property
    def lateness_s(self) -> float:
        """By how much the latest scrape of the last minute or two began late, in seconds."""
        return max(self._latest_ms, self._former_latest_ms) / 1000

    @property
    def overloaded(self) -> bool:
        """Whether scrapes were left out within the last minute or two."""
        return self._skipped + self._former_skipped > 0

    def described(self) -> str:
        """Of the present minute, and the one before; "" when rulepush keeps up."""
        if not self.overloaded:
            return ""
        skipped, scrapes = self._skipped + self._former_skipped, self._scrapes + self._former_scrapes
        return f"{skipped} left out and {scrapes} done lately, the latest {self.lateness_s:.1f} s late"

    async def run(self) -> None:
        """Say once a minute that rulepush is overloaded, and when it is no more; until cancelled."""
        while True:
            await self._clock.sleep(WINDOW_SECONDS)
            self._close_window()

    def _close_window(self) -> None:
        seconds = max(1, (self._clock.now() - self._began) // 1000)
        if self._skipped:
            log.warning(
                "rulepush is overloaded, scrapes are skipped: skipped=%d done=%d within_s=%d latest_by_s=%.1f; "
                "give it more CPU, raise scrape_interval, or shard its targets",
                self._skipped,
                self._scrapes,
                seconds,
                self._latest_ms / 1000,
            )
        elif self._former_skipped:
            log.info("rulepush keeps up with its scrapes again: done=%d within_s=%d", self._scrapes, seconds)
        self._former_skipped, self._former_scrapes = self._skipped, self._scrapes
        self._former_latest_ms = self._latest_ms
        self._began, self._scrapes, self._skipped, self._latest_ms = self._clock.now(), 0, 0, 0.0
