"""What scraping counts of itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class ScrapeStats:
    """Sums over all targets since the start.

    `samples_kept` went into the head, `samples_not_wanted` no rule needs; the rest of `samples_scraped` was dropped by
    metric relabelling or came twice.
    """

    scrapes: int = 0
    failed: int = 0
    seconds: float = 0.0
    body_bytes: int = 0
    samples_scraped: int = 0
    samples_kept: int = 0
    samples_not_wanted: int = 0
    out_of_order: int = 0
    duplicates: int = 0
    skipped_slow_target: int = 0  # scrapes that did not take place: the one before waited so long for its target,
    skipped_overloaded: int = 0  # rulepush had too much to do,
    skipped_time_jump: int = 0  # or the clock jumped

    @property
    def skipped(self) -> int:
        """Scrapes that did not take place, for whatever reason."""
        return self.skipped_slow_target + self.skipped_overloaded + self.skipped_time_jump
