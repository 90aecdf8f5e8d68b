"""What the history is asked, and what it answers. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from rulepush.model.fingerprint import fingerprint
from rulepush.model.floats import format_float
from rulepush.model.matcher import Matcher
from rulepush.model.timestamps import format_rfc3339
from rulepush.rules.transition import Transition

DEFAULT_LIMIT: Final = 1_000
MAX_LIMIT: Final = 10_000


@dataclass(frozen=True, slots=True)
class HistoryFilter:
    """Which transitions: empty texts and None restrict nothing. The name of an alert is that of its rule.

    `start` and `end` are ms, both inclusive. `matchers` has one entry a selector, any of which may match the labels; a
    transition of a rule itself has none, and passes only where there is no selector. `limit` keeps the newest.
    `rules_own` leaves out those of alerts.
    """

    start: int | None = None
    end: int | None = None
    fingerprint: str = ""
    alertname: str = ""
    file: str = ""
    group: str = ""
    rule: str = ""
    matchers: Sequence[Sequence[Matcher]] = ()
    rules_own: bool = False
    limit: int = DEFAULT_LIMIT

    def passes(self, one: Transition) -> bool:
        """Whether the transition is asked for."""
        labels = one.labels
        return (
            (self.start is None or one.ts >= self.start)
            and (self.end is None or one.ts <= self.end)
            and (not self.file or one.rule.file == self.file)
            and (not self.group or one.rule.group == self.group)
            and (not self.rule or one.rule.name == self.rule)
            and (not self.alertname or one.rule.name == self.alertname)
            and not (self.rules_own and len(labels))
            and (not self.fingerprint or (len(labels) > 0 and fingerprint(labels) == self.fingerprint))
            and (
                not self.matchers
                or (len(labels) > 0 and any(all(m.matches_labels(labels) for m in some) for some in self.matchers))
            )
        )


@dataclass(frozen=True, slots=True)
class HistoryAnswer:
    """The newest first. `is_cut`: there are more than the limit."""

    found: Sequence[Transition]
    is_cut: bool = False


def transition_json(one: Transition) -> dict[str, Any]:
    """One transition of `/api/v1/alerts/history`. Times as in `/api/v1/alerts`, numbers as in query results."""
    return {
        "timestamp": format_rfc3339(one.ts),
        "fingerprint": fingerprint(one.labels) if len(one.labels) else "",
        "labels": one.labels.as_dict(),
        "file": one.rule.file,
        "group": one.rule.group,
        "rule": one.rule.name,
        "from": one.was,
        "to": one.now,
        "reason": one.reason.value,
        "description": one.described,
        "value": None if one.value is None else format_float(one.value),
    }
