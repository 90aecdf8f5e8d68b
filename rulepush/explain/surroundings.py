"""What an explanation knows beside the samples: the targets, what they expose, and what the other rules write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from rulepush.livecheck.seen import LiveData
from rulepush.model.labels import INSTANCE, JOB, Labels
from rulepush.model.matcher import Matcher


@dataclass(frozen=True, slots=True)
class TargetView:
    """A target as it stands. `down_since` in ms, 0 while it answers; `scraped`: whether a scrape of it was over."""

    job: str
    url: str
    labels: Labels
    down_since: int = 0
    error: str = ""
    scraped: bool = True


@dataclass(frozen=True, slots=True)
class RecordedMetric:
    """A metric that a recording rule writes, and the metrics that it is made of."""

    rule: str
    group: str
    sources: frozenset[str] = frozenset()


class TransitionView(Protocol):
    """A change of an alert's state: when (ms), and why in words."""

    @property
    def ts(self) -> int: ...
    @property
    def described(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Surroundings:
    """`seen` holds the last good body of each target; None where there is none. `relabelled` are metrics that some
    target exposes and metric_relabel_configs drops; `unread` is how many targets were too many to look at;
    `transitions` has the last change of each alert that is remembered, by its labels."""

    targets: Sequence[TargetView] = ()
    seen: LiveData | None = None
    recorded: Mapping[str, RecordedMetric] = field(default_factory=dict)
    relabelled: frozenset[str] = frozenset()
    unread: int = 0
    transitions: Mapping[Labels, TransitionView] = field(default_factory=dict)

    @property
    def sources(self) -> Mapping[str, frozenset[str]]:
        """`livecheck.names.Recorded`."""
        return {name: found.sources for name, found in self.recorded.items()}

    def targets_of(self, matchers: Sequence[Matcher]) -> list[TargetView]:
        """The targets that a selector does not exclude by one of their labels."""
        return [
            target
            for target in self.targets
            if all(m.matches_labels(target.labels) for m in matchers if m.name in (JOB, INSTANCE))
        ]

    def targets_with(self, labels: Labels) -> list[TargetView]:
        """The targets that series with these labels may come from; `job` and `instance` say it, what is absent of them
        restricts nothing."""
        job, instance = labels.get(JOB), labels.get(INSTANCE)
        return [
            target
            for target in self.targets
            if (not job or target.labels.get(JOB) == job) and (not instance or target.labels.get(INSTANCE) == instance)
        ]
