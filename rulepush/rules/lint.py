"""What `check rules` advises against, although Prometheus loads it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from rulepush.rules.specs import Pairs, RuleGroup


def duplicate_rules(groups: Iterable[RuleGroup]) -> list[tuple[str, Pairs]]:
    """(name, labels) of the rules that are there more than once, sorted: they overwrite each other's results."""
    own: list[tuple[str, Pairs]] = [(rule.name, rule.labels) for group in groups for rule in group.rules]
    return sorted(key for key, count in Counter(own).items() if count > 1)
