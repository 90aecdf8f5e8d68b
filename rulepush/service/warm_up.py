"""WarmUp: whether rules may act on the data yet, after the start or after the time jumped.

The newest samples before the stop may be lost, and what was missed is missing from every window. What rules do until
then is in `rules/recovery.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from rulepush.service.clock_watch import ClockWatch
from rulepush.service.scraping import Jobs

_MAX_WAIT_TO_FIRE_MS: Final = 120_000


class WarmUp:
    """Whether rules may fire and resolve. Both waits are bounded, because a discovery may never answer."""

    def __init__(
        self, jobs: Jobs, clock_watch: ClockWatch, lookback_delta_ms: int, received_within: Callable[[], int | None]
    ):
        """`received_within()`: the time (ms) in which what is not scraped has surely come twice; None: not known."""
        self._jobs = jobs
        self._clock_watch = clock_watch
        self._lookback_delta_ms = lookback_delta_ms
        self._received_within = received_within

    def may_fire(self, ts: int, needs_two: bool) -> bool:
        """Whether what is there at `ts` (ms) is true: every target was scraped since, or twice for a rule that
        `needs_two` samples in a range.

        Until then the newest sample of a series may be older than one that was lost, and `absent(rate(...))` finds
        nothing. Waits for the time in which a target is surely scraped, at most two minutes. While scrapes are left
        out, for there is too much to do, no time is sure.
        """
        jobs, scrapes = self._jobs, 2 if needs_two else 1
        within = _MAX_WAIT_TO_FIRE_MS
        if not jobs.overload.overloaded:
            within = min(scrapes * jobs.longest_scrape_ms, within)
        # The deadline first: it is O(1), and asking every target is O(targets), for each rule and evaluation.
        return self._waited(ts, within) or _reached(jobs.complete_since if needs_two else jobs.scraped_since, ts)

    def may_resolve(self, ts: int) -> bool:
        """Whether what is missing at `ts` (ms) is gone: every target was scraped twice since, as `rate` needs.

        What comes by remote write comes when its sender tries again. Waits for the look-back delta: after that the
        samples from before no longer count.
        """
        if self._waited(ts, self._lookback_delta_ms):
            return True
        received = self._received_within()
        return (
            received is not None
            and ts >= self._clock_watch.since + received
            and _reached(self._jobs.complete_since, ts)
        )

    def _waited(self, ts: int, within_ms: int) -> bool:
        """Whether the wait is over, whatever was scraped."""
        return ts - self._clock_watch.since > within_ms


def _reached(moment: int | None, ts: int) -> bool:
    return moment is not None and ts >= moment
