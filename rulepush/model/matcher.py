"""Matcher: one `name op "value"` of a selector."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum
from functools import lru_cache
from typing import Final

from rulepush.model.labels import METRIC_NAME, Labels, quote_label_value, quote_name
from rulepush.model.regex import Pattern, compile_regex


class MatchOp(Enum):
    """The four operators of a selector."""

    EQUAL = "="
    NOT_EQUAL = "!="
    REGEX = "=~"
    NOT_REGEX = "!~"

    @property
    def opposite(self) -> MatchOp:
        """The operator that takes what this one refuses."""
        return _OPPOSITE[self]


_OPPOSITE: Final = {
    MatchOp.EQUAL: MatchOp.NOT_EQUAL,
    MatchOp.NOT_EQUAL: MatchOp.EQUAL,
    MatchOp.REGEX: MatchOp.NOT_REGEX,
    MatchOp.NOT_REGEX: MatchOp.REGEX,
}


class Matcher:
    """Immutable. Raises RegexError when its pattern is not RE2."""

    __slots__ = ("_hash", "_pattern", "_seen", "name", "op", "value")

    def __init__(self, name: str, op: MatchOp, value: str):
        self.name = name
        self.op = op
        self.value = value
        self._hash = hash((name, op.value, value))  # a selector is looked up at every evaluation
        self._pattern: Pattern | None = None
        self._seen: dict[str, bool] = {}  # label values repeat; RE2 through Python costs more than a dict
        if op in (MatchOp.REGEX, MatchOp.NOT_REGEX):
            self._pattern = compile_regex(value, captures=False)

    def matches(self, value: str) -> bool:
        """Whether a label value ("" for an absent label) satisfies this matcher."""
        if self._pattern is None:
            return (value == self.value) is (self.op is MatchOp.EQUAL)
        known = self._seen.get(value)
        if known is None:
            known = (self._pattern.fullmatch(value) is not None) is (self.op is MatchOp.REGEX)
            if len(self._seen) < 4096:
                self._seen[value] = known
        return known

    def matches_labels(self, labels: Labels) -> bool:
        """Whether a label set satisfies this matcher."""
        return self.matches(labels.get(self.name))

    @property
    def matches_empty(self) -> bool:
        """Whether a series without this label satisfies it."""
        return self.matches("")

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Matcher) and self._key() == other._key())

    def __hash__(self) -> int:
        return self._hash

    def _key(self) -> tuple[str, MatchOp, str]:
        return (self.name, self.op, self.value)

    def __str__(self) -> str:
        return f"{quote_name(self.name)}{self.op.value}{quote_label_value(self.value)}"

    def __repr__(self) -> str:
        return f"Matcher({self})"


Matchers = tuple[Matcher, ...]
"""A selector: all of them hold."""


def may_name(matchers: Iterable[Matcher], name: str) -> bool:
    """Whether a metric of this name may satisfy all of them."""
    return all(m.matches(name) for m in matchers if m.name == METRIC_NAME)


@lru_cache(maxsize=4_096)  # asked for the same selectors at every evaluation
def only_metric_name(matchers: Matchers) -> str | None:
    """The only metric name that may satisfy all of them, where `=` demands one; None when there may be several, or
    none."""
    name = exact_metric_name(matchers)
    return name if name is not None and may_name(matchers, name) else None


def exact_metric_name(matchers: Iterable[Matcher]) -> str | None:
    """The metric name that a selector demands with `=`; None when it may match several names."""
    return next((m.value for m in matchers if m.name == METRIC_NAME and m.op is MatchOp.EQUAL), None)


def selector_text(matchers: Sequence[Matcher]) -> str:
    """A selector as PromQL writes it: `name{label="value"}`."""
    name = exact_metric_name(matchers)
    rest = [str(m) for m in matchers if not (m.name == METRIC_NAME and m.op is MatchOp.EQUAL)]
    if name is None:
        return "{" + ",".join(rest) + "}"
    return name + ("{" + ",".join(rest) + "}" if rest else "")
