"""The state of one evaluation: its steps, its data, its limits, and what it has to say."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np

from rulepush.errors import TOO_MANY_SAMPLES, QueryLimitError
from rulepush.histogram.boxes import Boxes, box_mask
from rulepush.model.arrays import Floats, Ints
from rulepush.model.labels import METRIC_NAME
from rulepush.promql.query import DEFAULT_LOOKBACK_MS, Query
from rulepush.promql.syntax import ast
from rulepush.promql.vectors.annotations import Annotation, AnnotationSet
from rulepush.promql.vectors.values import Value
from rulepush.storage.selection import Querier

if TYPE_CHECKING:
    from rulepush.histogram.histogram import FloatHistogram

TIMED_OUT: Final = "query timed out in expression evaluation"
UNSHARED: Final = (ast.Number, ast.Str, ast.Paren)  # to look them up costs more than to evaluate them
_HISTOGRAM_SAMPLES: Final = 11  # that a histogram without buckets counts for: 168 bytes, in those of a float sample


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """`default_step_ms` is the step of a subquery that names none: Prometheus takes the global evaluation interval.
    `timeout_ms` needs the engine's `monotonic`; 0 means no limit."""

    lookback_delta_ms: int = DEFAULT_LOOKBACK_MS
    max_samples: int = 50_000_000
    max_steps: int = 11_000
    timeout_ms: int = 120_000
    default_step_ms: int = 60_000
    delayed_name_removal: bool = False
    type_and_unit_labels: bool = False  # a counter is known by its label __type__, not by its name


Grid = tuple[int, int, int]
"""The first step (ms), the number of steps, the interval (ms)."""
Shared = tuple[Value, tuple[Annotation, ...], ast.Node]
"""A value, its annotations, and the node that it was evaluated for."""


class SharedResults:
    """The sub-expressions that were evaluated already, for one time and one state of the data.

    A group makes one for each evaluation and hands it to the engine with every rule. `worth` are those to remember, by
    their text (see `repeated`); None: all of them. When a rule has written series that later rules may read, call
    `forget` with their metric names.
    """

    __slots__ = ("_known", "boxes", "worth")

    def __init__(self, worth: frozenset[str] | None = None) -> None:
        self.worth = worth
        self._known: dict[Grid, dict[str, Shared]] = {}
        self.boxes = ComputedHistograms()

    def at(self, grid: Grid) -> dict[str, Shared]:
        """What is known at these steps, by the text of the expression."""
        known = self._known.get(grid)
        if known is None:
            known = self._known[grid] = {}
        return known

    def forget(self, metric_names: Iterable[str]) -> None:
        """Drop what may have read these metrics."""
        names = tuple(metric_names)
        if not names:
            return
        for known in self._known.values():
            stale = [text for text, (_, _, node) in known.items() if _may_read(node, names)]
            for text in stale:
                del known[text]


def repeated(queries: Iterable[Query]) -> frozenset[str]:
    """The sub-expressions that these queries, evaluated one after the other, have more than once: their texts. What is
    only within another one that is there twice does not count."""
    seen: set[str] = set()
    twice: set[str] = set()
    waiting = [query.root for query in queries]
    while waiting:
        node = waiting.pop()
        if not isinstance(node, UNSHARED):
            if node.text in seen:
                twice.add(node.text)
                continue
            seen.add(node.text)
        waiting.extend(ast.children(node))
    return frozenset(twice)


@lru_cache(maxsize=8_192)  # asked for the same nodes at every evaluation
def _may_read(node: ast.Node, names: tuple[str, ...]) -> bool:
    """Whether a selector under `node` may select one of these metrics."""
    uses = [[m for m in use.matchers if m.name == METRIC_NAME] for use in Query("", node).selectors()]
    return any(all(m.matches(name) for m in on_name) for on_name in uses for name in names)


class ComputedHistograms(Boxes):
    """The histograms of an evaluation. Those that it computes count as samples held, by their size; those that it reads
    are the storage's own.

    `limits` are those of the query that is evaluated. The engine sets them, as each query makes one of these.
    """

    __slots__ = ("limits",)
    limits: EvaluationLimits

    def box(self, histogram: FloatHistogram) -> float:
        """Raises QueryLimitError when there are too many."""
        self.limits.take(_HISTOGRAM_SAMPLES + histogram.bucket_count)
        return super().box(histogram)


def samples_in(values: Floats, boxes: Boxes) -> int:
    """How many samples the histograms among `values` count for beside the one that each is."""
    held = map(boxes.unbox, values[box_mask(values)].tolist())
    return sum(h.size - 1 for h in held if h is not None)


class QuerySamples:
    """How many samples a query read, as Prometheus' util/stats counts them: those that a selector found at a step, and
    those in the window of a range at a step.

    `per_step`  int64[T]: each step as if it were evaluated alone
    `held`      samples held in memory in all, as `max_samples` counts them
    """

    __slots__ = ("held", "per_step")

    def __init__(self) -> None:
        self.per_step: Ints = np.zeros(0, np.int64)
        self.held = 0

    @property
    def total(self) -> int:
        """Of all steps."""
        return int(self.per_step.sum())

    def begin(self, steps: int) -> None:
        """So many steps are evaluated."""
        self.per_step = np.zeros(steps, np.int64)


class EvaluationLimits:
    """What one query may use; shared by its subqueries."""

    def __init__(self, max_samples: int, deadline: float, monotonic: Callable[[], float] | None):
        self._max = self._left = max_samples
        self._deadline = deadline
        self._monotonic = monotonic

    def take(self, samples: int) -> None:
        """Account for samples held. Raises QueryLimitError when it is too many, or when the time is over."""
        self._left -= samples
        if self._left < 0:
            raise QueryLimitError(TOO_MANY_SAMPLES)
        if self._monotonic is not None and self._monotonic() > self._deadline:
            raise QueryLimitError(TIMED_OUT)

    @property
    def taken(self) -> int:
        """Samples held so far."""
        return self._max - self._left

    def check_time(self) -> None:
        """Raises QueryLimitError when the time is over."""
        if self._monotonic is not None and self._monotonic() > self._deadline:
            raise QueryLimitError(TIMED_OUT)


class Evaluation:
    """One grid of steps. A subquery evaluates its expression in an Evaluation of its own. Not to be changed.

    `steps`      int64[T] ms; `moments` the same as a list; `interval` ms between them, 0 for an instant query
    `first`, `last`  the bounds of the whole query, which start() and end() mean; the last step may lie before its end
    `shared`     what is remembered of other queries, and `known` its part for these steps
    `samples`    counts what is read, where that was asked for
    `root`       the whole query
    `starts`     the start timestamps of samples, where they are used
    `boxes`      the histograms of all values: empty, so false, in an evaluation that has met none
    """

    __slots__ = (
        "boxes",
        "first",
        "interval",
        "is_range",
        "known",
        "last",
        "limits",
        "moments",
        "notes",
        "options",
        "querier",
        "root",
        "samples",
        "shared",
        "starts",
        "steps",
    )

    def __init__(
        self,
        steps: Ints,
        interval: int,
        bounds: tuple[int, int] | None,
        querier: Querier,
        options: EngineOptions,
        limits: EvaluationLimits,
        notes: AnnotationSet,
        is_range: bool,
        shared: SharedResults | None,
        samples: QuerySamples | None,
        boxes: ComputedHistograms,
        root: ast.Node,
        starts: Querier | None,
    ):
        """`bounds` are those of `steps` when None."""
        moments: list[int] = steps.tolist()
        self.steps, self.interval, self.moments = steps, interval, moments
        self.first, self.last = (moments[0], moments[-1]) if bounds is None else bounds
        self.querier, self.options, self.limits, self.notes = querier, options, limits, notes
        self.is_range, self.shared, self.samples = is_range, shared, samples
        self.boxes, self.root, self.starts = boxes, root, starts
        if samples is not None:
            samples.begin(len(moments))
        self.known: dict[str, Shared] | None = None
        if shared is not None:
            self.known = shared.at((moments[0] if moments else 0, len(moments), interval))

    def within(self, start: int, end: int, interval: int, samples: QuerySamples | None = None) -> Evaluation:
        """The evaluation of a subquery; it may have no step. What it reads counts in `samples`. Raises QueryLimitError
        when it has too many."""
        if (end - start) // interval >= self.options.max_samples:
            raise QueryLimitError(TOO_MANY_SAMPLES)
        steps = np.arange(start, end + 1, interval, dtype=np.int64)
        return Evaluation(
            steps,
            interval,
            (self.first, self.last),
            self.querier,
            self.options,
            self.limits,
            self.notes,
            True,
            self.shared,
            samples,
            self.boxes,
            self.root,
            self.starts,
        )

    def pinned(self, at: int | ast.At | None) -> int | None:
        """The fixed time of an @ modifier, None without one."""
        if at is None or isinstance(at, int):
            return at
        return self.first if at is ast.At.START else self.last
