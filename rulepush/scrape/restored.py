"""RestoredSeries: the series that targets wrote before a restart.

What the journal brought back has no stale marker: a series that went away meanwhile would be seen for the whole
look-back delta, and what fires on it would start over. So its target's first scrape decides, see ScrapeCache.
"""

from __future__ import annotations

from collections.abc import Container, Iterable

from rulepush.model.labels import INSTANCE, JOB, Labels
from rulepush.scrape.report import EXTRA_METRICS, METRICS


class RestoredSeries:
    """Filled once, after the restart; each series goes to the first target whose labels it has."""

    def __init__(self) -> None:
        self._left: dict[tuple[str, str], list[Labels]] = {}

    def add(self, series: Iterable[Labels], written: Container[str]) -> None:
        """Series that have no end yet. Metrics `written` by rules, and the report series of a scrape, are not the
        target's, though they may have its labels."""
        for labels in series:
            name = labels.name
            if name not in written and name not in METRICS and name not in EXTRA_METRICS:
                self._left.setdefault((labels.get(JOB), labels.get(INSTANCE)), []).append(labels)

    def __bool__(self) -> bool:
        return bool(self._left)

    def take(self, target: Labels) -> list[Labels]:
        """The series that a target with these labels wrote. No other target gets them."""
        key = (target.get(JOB), target.get(INSTANCE))
        taken: list[Labels] = []
        rest: list[Labels] = []
        for labels in self._left.pop(key, ()):
            (taken if all(labels.get(n) == v for n, v in target) else rest).append(labels)
        if rest:
            self._left[key] = rest
        return taken
