"""The number that an expression compares with, found in its text and replaced there: the rest stays as written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from rulepush.errors import ParseError
from rulepush.promql import Query, parse_expr
from rulepush.rules.thresholds import Threshold, constant_of, thresholds

_LONGEST: Final = 60  # characters of a number, which may be computed: `80 / 100`


@dataclass(frozen=True, slots=True)
class ThresholdNumber:
    """`query.text[start:end]` is the number of `compared`."""

    query: Query
    compared: Threshold
    start: int
    end: int

    @property
    def text(self) -> str:
        """The number as it is written."""
        return self.query.text[self.start : self.end]

    def replaced(self, number: str) -> Query:
        """The expression with another number. Raises ParseError where `number` is none."""
        if constant_of(parse_expr(number)) is None:
            raise ParseError(f"{number!r} is not a number")
        text = self.query.text
        # In parentheses where it is computed: `m > 2 + 3` is `m > (2 + 3)`, but `m > 2 or 3` is something else.
        inserted = number.strip() if _is_plain(number.strip()) else f"({number.strip()})"
        return parse_expr(text[: self.start] + inserted + text[self.end :])


def threshold_number(query: Query) -> ThresholdNumber | None:
    """The first comparison with a number, one that decides before others; None where there is none, or where its place
    in the text cannot be told."""
    known = [one for one in thresholds(query) if one.constant is not None]
    for one in sorted(known, key=lambda one: not one.decides):
        start = one.threshold.root.pos
        end = _end_of(query.text, start, one.threshold.canonical)
        if end is not None:
            return ThresholdNumber(query, one, start, end)
    return None


def _end_of(text: str, start: int, canonical: str) -> int | None:
    """Where the expression ends that begins at `start`: a node knows only its beginning."""
    line = text[start : start + _LONGEST].partition("#")[0]
    for length in range(len(line), 0, -1):
        if line[length - 1].isspace():
            continue
        try:
            if parse_expr(line[:length]).canonical == canonical:
                return start + length
        except ParseError:
            continue
    return None


def _is_plain(number: str) -> bool:
    return number.lstrip("+-").replace(".", "").isalnum()
