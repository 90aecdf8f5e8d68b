"""label_replace() and label_join(). Source: Prometheus promql/functions.go; Go's regexp.Expand."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import numpy as np

from rulepush.errors import EvaluationError, RegexError
from rulepush.model.index import LabelIndex
from rulepush.model.labels import METRIC_NAME, Labels, is_valid_utf8_name
from rulepush.model.regex import Pattern, RegexMatch, compile_regex
from rulepush.promql.functions.registry import CallContext, Function, VectorFunction
from rulepush.promql.syntax.signature import STRING, VECTOR, Signature
from rulepush.promql.vectors.distinct import merge_duplicates
from rulepush.promql.vectors.matching import recent
from rulepush.promql.vectors.values import Vector

# What label_replace() and label_join() may make: nested, each can double the last one's values.
MAX_VALUE_CHARS: Final = 16 << 20  # of one value; Prometheus refuses labels at 16 MiB, too
MAX_RESULT_CHARS: Final = 64 << 20  # of all values of one call

_VARIABLE: Final = re.compile(r"\$(?:\$|\{(\w+)\}|(\w+))?")


def _label_replace(ctx: CallContext, vector: Vector, target: str, replacement: str, source: str, regex: str) -> Vector:
    try:
        pattern = compile_regex(regex)
    except RegexError:
        raise EvaluationError(f"invalid regular expression in label_replace(): {regex}") from None
    if not is_valid_utf8_name(target):
        raise EvaluationError(f"invalid destination label name in label_replace(): {target}")

    def compute() -> tuple[LabelIndex, tuple[int, ...]]:
        changed: list[int] = []
        out: list[Labels] = []
        size = _ResultSize("label_replace")
        for row, labels in enumerate(vector.index.labels):
            match = pattern.fullmatch(labels.get(source))
            if match is None:
                out.append(labels)
                continue
            changed.append(row)
            value = expand_replacement(replacement, match, pattern)
            size.add(len(value))
            out.append(labels.with_({target: value}))
        return LabelIndex(out), tuple(changed)

    index, rows = recent(vector.index, "label_replace", (target, replacement, source, regex), compute)
    return _relabelled(vector, index, rows if target == METRIC_NAME else ())


def _label_join(ctx: CallContext, vector: Vector, target: str, separator: str, *sources: str) -> Vector:
    for source in sources:
        if not is_valid_utf8_name(source):
            raise EvaluationError(f"invalid source label name in label_join(): {source}")
    if not is_valid_utf8_name(target):
        raise EvaluationError(f"invalid destination label name in label_join(): {target}")

    def compute() -> LabelIndex:
        out: list[Labels] = []
        size = _ResultSize("label_join")
        for labels in vector.index.labels:
            parts = [labels.get(source) for source in sources]
            size.add(sum(map(len, parts)) + len(separator) * max(0, len(parts) - 1))
            out.append(labels.with_({target: separator.join(parts)}))
        return LabelIndex(out)

    index = recent(vector.index, "label_join", (target, separator, sources), compute)
    return _relabelled(vector, index, range(len(index)) if target == METRIC_NAME else ())


def _relabelled(vector: Vector, index: LabelIndex, named: Sequence[int]) -> Vector:
    """The vector under other labels. Rows in `named` got a metric name that a late removal must keep. Rows that became
    equal are one series, which is an error where two of them meet."""
    drop = vector.drop_name
    if drop is not None and len(named):
        drop = drop.copy()
        drop[np.asarray(named, np.intp)] = False
    return merge_duplicates(Vector(index, vector.values, vector.present, drop, vector.order))


class _ResultSize:
    """The characters of the label values that one call has made."""

    def __init__(self, function: str):
        self._function = function
        self._chars = 0

    def add(self, chars: int) -> None:
        """Raises EvaluationError when a value, or all of them, are too long."""
        self._chars += chars
        if chars > MAX_VALUE_CHARS or self._chars > MAX_RESULT_CHARS:
            raise _too_long(self._function)


def _too_long(function: str) -> EvaluationError:
    return EvaluationError(f"the label values made by {function}() are too long")


def expand_replacement(template: str, match: RegexMatch, pattern: Pattern) -> str:
    """Go's regexp.Expand: `$1`, `${1}`, `$name`, `$$`; the longest name counts, an unknown one is empty, and a `$`
    that starts none of these stays. Raises EvaluationError when the value would exceed MAX_VALUE_CHARS."""
    made = 0

    def variable(found: re.Match[str]) -> str:
        nonlocal made
        value = group(found)
        made += len(value)
        if made > MAX_VALUE_CHARS:  # before it is joined: one replacement may name a group thousands of times
            raise _too_long("label_replace")
        return value

    def group(found: re.Match[str]) -> str:
        name = found.group(1) or found.group(2)
        if name is None:
            return "$"
        if name.isascii() and name.isdigit() and (name == "0" or not name.startswith("0")):
            number = int(name)
            return (match.group(number) or "") if number <= pattern.groups else ""
        return (match.group(name) or "") if name in pattern.groupindex else ""

    return _VARIABLE.sub(variable, template) if "$" in template else template


LABELS: Final[dict[str, Function]] = {
    "label_join": VectorFunction("label_join", Signature((VECTOR, STRING, STRING, STRING), variadic=-1), _label_join),
    "label_replace": VectorFunction(
        "label_replace", Signature((VECTOR, STRING, STRING, STRING, STRING)), _label_replace
    ),
}
