"""Annotations: what a query wants to say beside its result, in Prometheus' words (util/annotations/annotations.go)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

from rulepush.model.floats import format_float_g
from rulepush.model.labels import METADATA_NAMES, Labels, quote_label_value
from rulepush.model.timestamps import format_rfc3339
from rulepush.promql.syntax.ast import Node, Subquery, unwrap
from rulepush.promql.syntax.lexer import position

WARNING: Final = "PromQL warning: "
INFO: Final = "PromQL info: "
_COUNTER_SUFFIXES: Final = ("_total", "_sum", "_count", "_bucket")
_COUNTER_TYPES: Final = ("counter", "histogram")


def invalid_quantile(value: float) -> str:
    """The parameter of quantile() is not a quantile."""
    return f"{WARNING}quantile value should be between 0 and 1, got {format_float_g(value)}"


def invalid_ratio(value: float, cap: float) -> str:
    """The parameter of limit_ratio() is not a ratio."""
    got, to = format_float_g(value), format_float_g(cap)
    return f"{WARNING}ratio value should be between -1 and 1, got {got}, capping to {to}"


def possible_non_counter(name: str) -> str:
    """rate() or increase() of what is not called like a counter."""
    name = quote_label_value(name)
    return f"{INFO}metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {name}"


def counter_doubt(labels: Labels, *, type_labels: bool) -> str | None:
    """What there is to say when rate() or increase() gave a float for a series with these labels; None when it is a
    counter, or has no name. With `type_labels` its label `__type__` tells, else its name."""
    name = labels.name
    if not name:
        return None
    if not type_labels:
        return None if name.endswith(_COUNTER_SUFFIXES) else possible_non_counter(name)
    metric_type = labels.get(METADATA_NAMES[0])
    if metric_type in _COUNTER_TYPES:
        return None
    return (
        f'{INFO}metric might not be a counter, __type__ label is not set to "counter" or "histogram", got '
        f"{quote_label_value(metric_type)}: {quote_label_value(name)}"
    )


def start_time_overlap(name: str) -> str:
    """A start timestamp is before the sample before, and is not that one's."""
    return (
        f"{WARNING}sample has start time that overlaps with previous sample timestamp for metric "
        f"{quote_label_value(name)}"
    )


@dataclass(frozen=True, slots=True)
class Occurrences:
    """How often the same was said."""

    count: int = 1

    def merge(self, other: object) -> Occurrences:
        """Both together."""
        return Occurrences(self.count + other.count) if isinstance(other, Occurrences) else self

    def __str__(self) -> str:
        return f" ({self.count} occurrences)" if self.count > 1 else ""


@dataclass(frozen=True, slots=True)
class ForcedMonotonicity:
    """The extremes of the buckets that had to be made monotonic, over all samples of one metric."""

    min_ts: int
    max_ts: int
    min_bucket: float
    max_bucket: float
    max_diff: float
    count: int = 1

    def merge(self, other: object) -> ForcedMonotonicity:
        """Both together."""
        if not isinstance(other, ForcedMonotonicity):
            return self
        return ForcedMonotonicity(
            min(self.min_ts, other.min_ts),
            max(self.max_ts, other.max_ts),
            min(self.min_bucket, other.min_bucket),
            max(self.max_bucket, other.max_bucket),
            max(self.max_diff, other.max_diff),
            self.count + other.count,
        )

    def __str__(self) -> str:
        return (
            f", from buckets {format_float_g(self.min_bucket)} to {format_float_g(self.max_bucket)}, "
            f"with a max diff of {_two_digits(self.max_diff)}, over {self.count} samples "
            f"from {_second(self.min_ts)} to {_second(self.max_ts)}"
        )


def _second(ms: int) -> str:
    return format_rfc3339(ms // 1000 * 1000)


def _two_digits(value: float) -> str:
    return f"{value:.2g}"  # Go's %.2g and Python's agree, exponents have two digits in both


@dataclass(frozen=True, slots=True)
class Annotation:
    """One annotation. `pos` is the offset in the query that it speaks of; None, which is its start, when it speaks of a
    subquery: Prometheus puts a range without a position in its place (promql/engine.go, evalSubquery)."""

    text: str
    pos: int | None
    is_warning: bool
    forced: ForcedMonotonicity | Occurrences | None = None

    def shifted(self, by: int) -> Annotation:
        """The same, said of an expression that stands elsewhere."""
        return self if self.pos is None else replace(self, pos=self.pos + by)


def _place(node: Node) -> int | None:
    """Parentheses are left out, as Prometheus does before it evaluates what is in them."""
    node = unwrap(node)
    return None if isinstance(node, Subquery) else node.pos


class AnnotationSet:
    """The annotations of one evaluation. The same text is kept once, with the position given last."""

    def __init__(self, type_labels: bool = False) -> None:
        """`type_labels`: series have their type as a label, which says whether they are counters."""
        self.type_labels = type_labels
        self._notes: dict[str, Annotation] = {}

    def warn(self, text: str, node: Node) -> None:
        """Add a warning about `node`; `text` has its prefix, the position is appended at the end."""
        self.add(Annotation(text, _place(node), True))

    def counted_warning(self, text: str, node: Node) -> None:
        """Add a warning whose repetitions are counted."""
        self.add(Annotation(text, _place(node), True, Occurrences()))

    def info(self, text: str, node: Node) -> None:
        """Add an info about `node`."""
        self.add(Annotation(text, _place(node), False))

    def forced_monotonicity(
        self, text: str, node: Node, ts: int, min_bucket: float, max_bucket: float, max_diff: float
    ) -> None:
        """Add an info about buckets that were made monotonic; repetitions are merged."""
        self.add(Annotation(text, _place(node), False, ForcedMonotonicity(ts, ts, min_bucket, max_bucket, max_diff)))

    def add(self, note: Annotation) -> None:
        """Add a note, merging it with one of the same text."""
        known = self._notes.get(note.text)
        if known is not None and known.forced is not None and note.forced is not None:
            note = replace(note, forced=known.forced.merge(note.forced))
        self._notes[note.text] = note

    def merge(self, notes: tuple[Annotation, ...], shift: int = 0) -> None:
        """Add all of `notes`, moved by `shift` characters."""
        for note in notes:
            self.add(note.shifted(shift))

    def __len__(self) -> int:
        return len(self._notes)

    def since(self, said: int) -> tuple[Annotation, ...]:
        """What was added after the first `said` notes."""
        return tuple(islice(self._notes.values(), said, None)) if len(self._notes) > said else ()

    def texts(self, query: str, warnings: bool) -> tuple[str, ...]:
        """The warnings (or the infos), each ending in its ` (line:column)` in `query`."""
        return tuple(
            f"{note.text}{note.forced or ''} ({position(query, note.pos or 0)})"
            for note in self._notes.values()
            if note.is_warning is warnings
        )
