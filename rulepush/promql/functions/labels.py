"""label_replace() and label_join(). Source: Prometheus promql/functions.go; Go's regexp.Expand."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable
from typing import Final

import numpy as np

from rulepush.errors import EvaluationError, RegexError
from rulepush.model.columns import WHOLE, RowNumbers, each_distinct, only, without
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

    def replaced(labels: Labels) -> str | None:
        ctx.check_time()  # a short expression can ask for 100,000 groups in each of thousands of values
        match = pattern.fullmatch(labels.get(source))
        return None if match is None else expand_replacement(replacement, match, pattern)

    key = (target, replacement, source, regex)
    call = "label_replace"
    index, rows = recent(
        vector.index, call, key, lambda: _with_label(vector.index, target, (source,), replaced, call, key)
    )
    return _relabelled(vector, index, rows if target == METRIC_NAME else ())


def _label_join(ctx: CallContext, vector: Vector, target: str, separator: str, *sources: str) -> Vector:
    for source in sources:
        if not is_valid_utf8_name(source):
            raise EvaluationError(f"invalid source label name in label_join(): {source}")
    if not is_valid_utf8_name(target):
        raise EvaluationError(f"invalid destination label name in label_join(): {target}")

    def joined(labels: Labels) -> str:
        ctx.check_time()
        parts = [labels.get(source) for source in sources]
        if sum(map(len, parts)) + len(separator) * max(0, len(parts) - 1) > MAX_VALUE_CHARS:
            raise _too_long("label_join")  # before it is made
        return separator.join(parts)

    key = (target, separator, sources)
    call = "label_join"
    index, rows = recent(vector.index, call, key, lambda: _with_label(vector.index, target, sources, joined, call, key))
    return _relabelled(vector, index, rows if target == METRIC_NAME else ())


def _with_label(
    index: LabelIndex,
    target: str,
    sources: tuple[str, ...],
    value_of: Callable[[Labels], str | None],
    call: str,
    key: Hashable,
) -> tuple[LabelIndex, RowNumbers]:
    """(the rows with `target` set to what `value_of` makes of the labels `sources`, the rows where it gave a value).
    Raises EvaluationError when all values together are too long."""
    made = 0

    def value(code: int) -> str | None:
        nonlocal made
        text = value_of(pool.labels[code])
        made += len(text or "")
        if made > MAX_RESULT_CHARS:  # before the next one is made
            raise _too_long(call)
        return text

    pool, found = index.reduced(only(sources))
    values, of_row = each_distinct(found, value)
    changed = np.array([text is not None for text in values], np.bool_)[of_row]
    sizes = np.array([len(text or "") for text in values], np.int64)
    if sizes[of_row].sum() > MAX_RESULT_CHARS:
        raise _too_long(call)
    added = pool.numbers([Labels({target: text or ""}) for text in values])
    _, codes = index.reduced(without((target,)), pool)
    _, whole = index.reduced(WHOLE, pool)
    codes = np.where(changed, pool.joined((call, key), codes, added[of_row]), whole)
    return LabelIndex.pooled(pool, codes), np.flatnonzero(changed)


def _relabelled(vector: Vector, index: LabelIndex, named: RowNumbers | tuple[()]) -> Vector:
    """The vector under other labels. Rows in `named` got a metric name that a late removal must keep. Rows that became
    equal are one series, which is an error where two of them meet."""
    drop = vector.drop_name
    if drop is not None and len(named):
        drop = drop.copy()
        drop[np.asarray(named, np.intp)] = False
    return merge_duplicates(Vector(index, vector.values, vector.present, drop, vector.order))


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
