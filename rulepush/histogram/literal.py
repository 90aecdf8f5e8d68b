"""Literals of histograms in test scripts and rule tests: `{{schema:1 count:3 sum:4.5 buckets:[1 2]}}+{{..}}x5`.

Source: Prometheus promql/parser: generated_parser.y (series_item, histogram_series_value), lex.go (lexHistogram),
parse.go (buildHistogramFromMap, histogramsSeries).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat
from typing import Final, TypeVar

from rulepush.histogram.adding import add, subtract
from rulepush.histogram.buckets import NO_BUCKETS, Buckets
from rulepush.histogram.errors import HistogramError, InvalidHistogram
from rulepush.histogram.histogram import CounterResetHint, FloatHistogram
from rulepush.histogram.schema import CUSTOM_SCHEMA, MAX_SCHEMA, MIN_SCHEMA, is_valid_schema
from rulepush.histogram.text import HINT_WORDS
from rulepush.model.floats import parse_float

_OPEN: Final = "{{"
_HINTS: Final = {word: hint for hint, word in HINT_WORDS.items()}
_NUMBERS: Final = ("count", "sum", "z_bucket", "z_bucket_w")
_WHOLE: Final = ("schema", "offset", "n_offset")
_LISTS: Final = ("buckets", "n_buckets", "custom_values")
_KEYS: Final = frozenset((*_NUMBERS, *_WHOLE, *_LISTS, "counter_reset_hint"))
_SPACE: Final = re.compile(r"[ \t\r\n]+")
_KEY: Final = re.compile(r"([A-Za-z_]*)(:?)")
_UNSIGNED: Final = (
    r"(?:0[xX][0-9a-fA-F]+|(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[iI][nN][fF]|[nN][aA][nN])"
)
_NUMBER: Final = re.compile(rf"-?{_UNSIGNED}(?![0-9A-Za-z_.])")
_INTEGER: Final = re.compile(r"-?[0-9]+(?![0-9A-Za-z_.])")
_WORD: Final = re.compile(r"[A-Za-z_]+")
_TIMES: Final = re.compile(r"x([0-9]+)")
_MAX_TIMES: Final = (1 << 64) - 1  # Go's uint64
_T = TypeVar("_T")
_INT32: Final = range(-(1 << 31), 1 << 31)


@dataclass(frozen=True, slots=True)
class HistogramRun:
    """`count` histograms that one word of a series stands for: `first`, then each `step` added to the one before, or
    subtracted. `hint_set`: whether the counter reset hint was written, and so is to be compared."""

    first: FloatHistogram
    count: int = 1
    step: FloatHistogram | None = None
    falls: bool = False
    hint_set: bool = False

    def cells(self) -> Iterator[FloatHistogram]:
        """Each histogram in turn; not spelled out before, for `x10000000` is written where a hundred are compared."""
        if self.step is None:
            yield from repeat(self.first, self.count)
            return
        combine, cell = subtract if self.falls else add, self.first
        for i in range(self.count):
            if i:
                cell = combine(cell, self.step).histogram
            yield cell


def parse_histogram(text: str) -> FloatHistogram:
    """One literal and nothing else. Raises InvalidHistogram."""
    h, at, _ = _parse(text, 0)
    if at != len(text):
        raise InvalidHistogram(f"unexpected {text[at : at + 20]!r} after the histogram, which ends with '}}}}'")
    return h


def parse_histogram_item(text: str, at: int = 0) -> tuple[HistogramRun, int]:
    """(a literal with its expansion at text[at:], which begins with `{{`; where it ends). Raises InvalidHistogram."""
    first, at, hint_set = _parse(text, at)
    step: FloatHistogram | None = None
    sign = text[at : at + 1]
    if sign in ("+", "-"):
        if not text.startswith(_OPEN, at + 1):
            raise InvalidHistogram(
                f"unexpected {text[at : at + 20]!r} after a histogram, expected '{sign}{{{{..}}}}x5'"
            )
        step, at, hint_set = _parse(text, at + 1)
    times = _TIMES.match(text, at)
    if times is None:
        if step is not None:
            raise InvalidHistogram(f"unexpected {text[at : at + 20]!r} after '{sign}{{{{..}}}}', expected 'x'")
        return HistogramRun(first, hint_set=hint_set), at
    count = int(times.group(1)) if len(times.group(1)) <= 20 else _MAX_TIMES + 1
    if count > _MAX_TIMES:
        raise InvalidHistogram(f"invalid repetition in series values: {times.group(1)}: value out of range")
    if step is not None and count:
        _check_step(first, step)
    return HistogramRun(first, count + 1, step, sign == "-", hint_set), times.end()


def _check_step(first: FloatHistogram, step: FloatHistogram) -> None:
    if first.schema > step.schema:
        raise InvalidHistogram(
            f"error combining histograms: cannot merge from schema {step.schema} to {first.schema}: "
            "write the step with the schema of the first histogram, or a higher one"
        )
    try:
        add(first, step)
    except HistogramError as e:
        raise InvalidHistogram(f"error combining histograms: {e}") from None


def _parse(text: str, at: int) -> tuple[FloatHistogram, int, bool]:
    """(histogram, where it ends, whether it has a counter reset hint)."""
    if not text.startswith(_OPEN, at):
        raise InvalidHistogram(f"unexpected {text[at : at + 20]!r}, expected a histogram like '{{{{count:1 sum:2}}}}'")
    at += len(_OPEN)
    found: dict[str, object] = {}
    space = _SPACE.match(text, at)
    if space and text.startswith("}}", space.end()):
        at = space.end()
    while not text.startswith("}}", at):
        key, at = _key(text, at)
        if key in found:
            raise InvalidHistogram(f'duplicate key "{key}" in histogram')
        found[key], at = _value(key, text, at)
        space = _SPACE.match(text, at)
        if space:
            at = space.end()
        elif not text.startswith("}}", at):
            raise InvalidHistogram(f"unexpected {_rest(text, at)} after {key}, expected a space or '}}}}'")
    return _build(found), at + 2, "counter_reset_hint" in found


def _rest(text: str, at: int) -> str:
    return repr(text[at : at + 20]) if at < len(text) else "end of input"


def _key(text: str, at: int) -> tuple[str, int]:
    match = _KEY.match(text, at)
    word, colon = match.groups() if match else ("", "")
    key = word.lower()
    if key not in _KEYS:
        raise InvalidHistogram(
            f"unexpected {repr(word) if word else _rest(text, at)} in histogram description, "
            "expected histogram description key, e.g. buckets:[5 10 7]"
        )
    if not colon or match is None:
        raise InvalidHistogram(f"missing `:` for histogram descriptor {word!r}")
    return key, match.end()


def _value(key: str, text: str, at: int) -> tuple[object, int]:
    if key in _WHOLE:
        match = _INTEGER.match(text, at)
        if match is None or int(match.group()) not in _INT32:
            raise InvalidHistogram(f"unexpected {_rest(text, at)} in histogram description, {key} is a whole number")
        return int(match.group()), match.end()
    if key in _LISTS:
        return _list(key, text, at)
    if key in _NUMBERS:
        return _number(key, text, at)
    word = _WORD.match(text, at)
    hint = _HINTS.get(word.group().lower()) if word else None
    if word is None or hint is None:
        raise InvalidHistogram(
            f"unexpected {_rest(text, at)} in histogram description, {key} is one of {', '.join(_HINTS)}"
        )
    return hint, word.end()


def _number(key: str, text: str, at: int) -> tuple[float, int]:
    match = _NUMBER.match(text, at)
    if match is None or (key == "z_bucket_w" and match.group().startswith("-")):
        what = "a number of 0 or more" if key == "z_bucket_w" else "a number"
        raise InvalidHistogram(f"unexpected {_rest(text, at)} in histogram description, {key} is {what}")
    word = match.group()
    if "x" in word or "X" in word:
        return float(int(word, 16)), match.end()
    return parse_float(word), match.end()


def _list(key: str, text: str, at: int) -> tuple[list[float], int]:
    if not text.startswith("[", at):
        raise InvalidHistogram(f"unexpected {_rest(text, at)} in histogram description, expected {key}:[5 10 7]")
    numbers: list[float] = []
    at += 1
    while not text.startswith("]", at):
        number, at = _number(key, text, at)
        numbers.append(number)
        space = _SPACE.match(text, at)
        if space:
            at = space.end()
        elif not text.startswith("]", at):
            raise InvalidHistogram(f"unexpected {_rest(text, at)} in {key}, expected a space or ']'")
    if not numbers and key != "custom_values":  # which a histogram of one bucket is written with
        raise InvalidHistogram(f"no number in {key}:[]: leave it out, or write at least one")
    return numbers, at + 1


def _build(found: dict[str, object]) -> FloatHistogram:
    schema = _get(found, "schema", 0)
    if not is_valid_schema(schema):
        raise InvalidHistogram(
            f"no histogram has schema {schema}: it is {MIN_SCHEMA} to {MAX_SCHEMA}, or {CUSTOM_SCHEMA} with "
            "custom_values"
        )
    positive = _buckets(found, "buckets", "offset")
    negative = _buckets(found, "n_buckets", "n_offset")
    bounds = tuple(_get(found, "custom_values", list[float]()))
    if schema == CUSTOM_SCHEMA:
        if len(negative):
            raise InvalidHistogram("custom buckets: must not have negative spans")
        if len(positive) and not 0 <= int(positive.indexes[0]) <= int(positive.indexes[-1]) <= len(bounds):
            raise InvalidHistogram(
                f"buckets {int(positive.indexes[0])} to {int(positive.indexes[-1])} do not fit {len(bounds)} "
                f"custom_values, which make buckets 0 to {len(bounds)}"
            )
    return FloatHistogram(
        schema=schema,
        count=_get(found, "count", 0.0),
        sum=_get(found, "sum", 0.0),
        zero_threshold=_get(found, "z_bucket_w", 0.0),
        zero_count=_get(found, "z_bucket", 0.0),
        positive=positive,
        negative=negative,
        custom_values=bounds,
        counter_reset_hint=_get(found, "counter_reset_hint", CounterResetHint.UNKNOWN),
    )


def _get(found: dict[str, object], key: str, default: _T) -> _T:
    value = found.get(key, default)
    assert isinstance(value, type(default))
    return value


def _buckets(found: dict[str, object], key: str, offset: str) -> Buckets:
    counts = _get(found, key, list[float]())
    return Buckets.at(_get(found, offset, 0), counts) if counts else NO_BUCKETS
