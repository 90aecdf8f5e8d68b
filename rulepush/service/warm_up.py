"""WarmUp: how much the data of a moment proves, after the start or after the time jumped.

What was scraped last before may be lost, and what was missed is missing from every window.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from rulepush.service.clock_watch import ClockWatch
from rulepush.service.scraping import Jobs

_FRESH_WITHIN_MS: Final = 120_000


class WarmUp:
    """What rules are told of their data. Nobody waits for ever: a discovery may not answer."""

    def __init__(
        self, jobs: Jobs, clock_watch: ClockWatch, lookback_delta_ms: int, received_within: Callable[[], int | None]
    ):
        """`received_within()`: the time (ms) in which what is not scraped has surely come twice; None: nobody knows."""
        self._jobs = jobs
        self._clock_watch = clock_watch
        self._lookback_delta_ms = lookback_delta_ms
        self._received_within = received_within

    def fresh(self, ts: int, needs_two: bool) -> bool:
        """Whether what is there at `ts` (ms) is true: every target was scraped since, or twice for what `needs_two`
        samples in a range to be there.

        Until then the newest sample of a series may be older than one that was lost, and `absent(rate(...))` finds
        nothing. Waits for the time in which a target is surely scraped, at most two minutes.
        """
        jobs, scrapes = self._jobs, 2 if needs_two else 1
        within = min(scrapes * jobs.longest_scrape_ms, _FRESH_WITHIN_MS)
        # The time first: it is asked for every rule, for ever, and to ask all targets takes long where they are many.
        return self._over(ts, within) or _reached(jobs.complete_since if needs_two else jobs.scraped_since, ts)

    def settled(self, ts: int) -> bool:
        """Whether what is missing at `ts` (ms) is gone: every target was scraped twice since, as `rate` needs.

        What is written to us remotely comes when its sender tries again. Waits for the look-back delta: after that the
        samples from before no longer count.
        """
        if self._over(ts, self._lookback_delta_ms):
            return True
        received = self._received_within()
        return (
            received is not None
            and ts >= self._clock_watch.since + received
            and _reached(self._jobs.complete_since, ts)
        )

    def _over(self, ts: int, within_ms: int) -> bool:
        """Whether nobody waits any longer."""
        return ts - self._clock_watch.since > within_ms


def _reached(moment: int | None, ts: int) -> bool:
    return moment is not None and ts >= moment
