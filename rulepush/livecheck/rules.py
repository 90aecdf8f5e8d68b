"""The rules that `check live` checks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from rulepush.promql import Query
from rulepush.rules.specs import AlertingSpec, RuleGroup

# In the comment above a rule: what it reads may be missing without that being a problem.
OPTIONAL_MARK: Final = "rulepush: optional"


@dataclass(frozen=True, slots=True)
class LiveRule:
    """One rule and its position."""

    name: str
    query: Query
    file: str = ""
    line: int = 0
    group: str = ""
    alert: bool = True
    for_ms: int = 0
    optional: bool = False


def live_rules(groups: Iterable[RuleGroup], read_lines: Callable[[str], Sequence[str]]) -> list[LiveRule]:
    """The rules of checked groups. `read_lines(file)` gives the lines of a rule file, for the comments above rules."""
    rules = []
    for group in groups:
        lines = read_lines(group.file)
        for spec in group.rules:
            alerting = isinstance(spec, AlertingSpec)
            rules.append(
                LiveRule(
                    name=spec.name,
                    query=spec.query,
                    file=group.file,
                    line=spec.line,
                    group=group.name,
                    alert=alerting,
                    for_ms=spec.for_ms if isinstance(spec, AlertingSpec) else 0,
                    optional=_marked(lines, spec.line),
                )
            )
    return rules


def _marked(lines: Sequence[str], line: int) -> bool:
    """Whether the comment that ends right above `line` (1-based) contains the mark."""
    at = line - 2
    while at >= 0 and lines[at].lstrip().startswith("#"):
        if OPTIONAL_MARK in lines[at]:
            return True
        at -= 1
    return False
