"""What every discovery produces, and the interfaces between a discovery and its callers."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from rulepush.clock import Clock
from rulepush.discovery.reporter import DiscoveryReporter
from rulepush.discovery.shared import SharedParts
from rulepush.model.labels import EMPTY_LABELS, Labels

ADDRESS: Final = "__address__"


@dataclass(frozen=True, slots=True)
class TargetGroup:
    """Targets that share labels. `source` names the group within its discoverer; each target has `__address__`."""

    source: str
    targets: tuple[Labels, ...]
    labels: Labels = EMPTY_LABELS

    def merged(self) -> tuple[Labels, ...]:
        """The label set of each target; its own labels win over the group's."""
        if not self.labels:
            return self.targets
        shared = self.labels.as_dict()
        return tuple(Labels({**shared, **dict(target)}) for target in self.targets)


SourceKey = tuple[int, str]
"""A group among those of all discoveries of the process: the number of its running discovery, and its source there."""

GroupChanges = Mapping[SourceKey, TargetGroup | None]
"""What became of groups: the new or changed one, or None for one that has ended. The others stay."""


class GroupSink(Protocol):
    """Takes what a discoverer finds. Within one discoverer the source of each group is its own.

    What was not given yet is unknown: a discoverer that lists and then watches gives its first list whole, and from
    then on only what changes, so that the cost follows the change.
    """

    def replace(self, groups: Sequence[TargetGroup]) -> None:
        """All groups that there are; those that are not among them have ended."""
        ...

    def update(self, groups: Iterable[TargetGroup] = (), gone: Iterable[str] = ()) -> None:
        """These groups are new or changed, and those with the sources `gone` have ended; the others stay."""
        ...


class Discoverer(Protocol):
    """Finds targets until it is cancelled."""

    async def run(self, sink: GroupSink) -> None:
        """Give `sink` the groups, each time they change. Failures are reported, not raised: the last good groups
        stay."""
        ...


@dataclass(frozen=True, slots=True)
class Environment:
    """Dependencies of discoverers. `shared` holds what discoverers of different configurations use together;
    `chance` gives numbers from 0 to 1, for the waits of Backoff; `settle_s` is how long changes are gathered before
    they take effect, in seconds (5 as in Prometheus' discovery manager); `series_came` is called with a number of new
    series, or of as much else that lives long, for the search for garbage to leave it out."""

    clock: Clock
    reporter: DiscoveryReporter
    user_agent: str = "rulepush"
    shared: SharedParts = field(default_factory=SharedParts, compare=False, repr=False)
    chance: Callable[[], float] = random.random
    settle_s: float = 5.0
    series_came: Callable[[int], object] = field(default=lambda _count: None, compare=False, repr=False)


class SdConfig(Protocol):
    """The settings of one discovery; frozen and hashable: equal ones have one running discoverer, over a reload too."""

    @property
    def kind(self) -> str:
        """The key's first part: `static` of `static_configs`, `dns` of `dns_sd_configs`."""
        ...

    def discoverer(self, env: Environment) -> Discoverer:
        """Build the discoverer of these targets."""
        ...
