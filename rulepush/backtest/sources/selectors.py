"""Which series a replay of rules needs from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from rulepush.model.labels import Labels
from rulepush.model.matcher import Matchers, exact_metric_name, selector_text
from rulepush.rules.group import ALERT_SERIES
from rulepush.rules.specs import RecordingSpec, RuleGroup, demanded
from rulepush.storage.demand import exactly_named

_SHOWN: Final = 3
_ALL_ALERTS: Final = (exactly_named("ALERTS"),)


class NeededSeries:
    """The selectors of rules and of the queries in their templates."""

    def __init__(self, selectors: Iterable[Matchers], recorded: Iterable[str] = ()):
        """`recorded`: the names of the metrics that recording rules of the test write."""
        self.selectors = _widest(selectors)
        self._by_rules = frozenset(recorded) | frozenset(ALERT_SERIES)

    @classmethod
    def of_rules(cls, versions: Iterable[Sequence[RuleGroup]]) -> NeededSeries:
        """What the rules of each version need and do not record themselves."""
        selectors: list[Matchers] = []
        recorded: set[str] = set()
        for groups in versions:
            rules = [rule for group in groups for rule in group.rules]
            made = {rule.name for rule in rules if isinstance(rule, RecordingSpec)}
            read = {use.matchers for rule in rules for use in rule.query.selectors()}
            selectors += [
                d.matchers
                for d in demanded(groups)
                if exact_metric_name(d.matchers) not in made
                # `demanded` has it for the API
                and (d.matchers != _ALL_ALERTS or d.matchers in read)
            ]
            recorded |= made
        return cls(selectors, recorded)

    def __str__(self) -> str:
        """The first few selectors, and how many more there are."""
        texts = [selector_text(s) for s in self.selectors]
        return ", ".join(texts[:_SHOWN]) + (f" and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else "")

    def wants(self, labels: Labels) -> bool:
        """Whether any selector reads this series."""
        return any(all(m.matches_labels(labels) for m in s) for s in self.selectors)

    def by_rule(self, labels: Labels) -> bool:
        """Whether a rule wrote this series: a replay makes it anew where one of its own rules does."""
        return labels.name in self._by_rules


def _widest(selectors: Iterable[Matchers]) -> tuple[Matchers, ...]:
    """Without those whose matchers include all matchers of another: that one brings their series, too."""
    sets = {frozenset(s): s for s in selectors}
    return tuple(s for key, s in sets.items() if not any(other < key for other in sets))
