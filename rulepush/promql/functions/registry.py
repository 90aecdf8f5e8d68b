"""What a PromQL function is to the engine: a name, its argument types, and one of three kinds of implementation.

RangeFunction    reads one range selector (or subquery); a kernel over the RangeWindow of one step
InstantFunction  elementwise mathematics on an instant vector; a kernel over values[n, T]
VectorFunction   everything else; receives its arguments evaluated, and a CallContext for the rest

Each family file has one literal table of these; `functions/__init__.py` merges the tables.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from rulepush.model.arrays import Bools, Floats, Ints
from rulepush.promql.syntax.signature import Signature

if TYPE_CHECKING:
    from rulepush.histogram.boxes import Boxes
    from rulepush.promql.vectors.values import Value
    from rulepush.promql.vectors.windows import RangeWindow


RangeKernel = Callable[..., tuple[Floats, Bools]]  # (w: RangeWindow, *float) -> values[n], present[n]
InstantKernel = Callable[..., Floats]  # (values[n, T], *float64[T]) -> values[n, T]


class AnnotationSink(Protocol):
    """Where annotations go. `text` carries its prefix (`PromQL warning: ...`); the sink appends the position of
    `node` in the query, as in `(1:25)`. The same text is kept once."""

    @property
    def type_labels(self) -> bool:
        """Whether series have their type as a label."""
        ...

    def warn(self, text: str, node: Any) -> None: ...
    def info(self, text: str, node: Any) -> None: ...
    def counted_warning(self, text: str, node: Any) -> None: ...
    def forced_monotonicity(
        self, text: str, node: Any, ts: int, min_bucket: float, max_bucket: float, max_diff: float
    ) -> None:
        """An info whose repetitions are merged: extremes over buckets, differences and times, and their number."""
        ...


class CallContext(Protocol):
    """What a VectorFunction may use beside its evaluated arguments.

    `steps`   int64[T], the evaluation timestamps in ms; T = 1 for an instant query
    `args`    the AST nodes of the arguments, parentheses stripped (absent() reads matchers from them)
    `node`    the AST node of the call itself
    `is_range`  whether this is a range query (sort() warns then)
    `boxes`   the histograms of all values; false when there is none
    `start`, `end`, `interval`  bounds and step of the query in ms (interval 0 for an instant query)
    """

    @property
    def steps(self) -> Ints: ...
    @property
    def args(self) -> tuple[Any, ...]: ...
    @property
    def node(self) -> Any: ...
    @property
    def is_range(self) -> bool: ...
    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...
    @property
    def interval(self) -> int: ...
    @property
    def notes(self) -> AnnotationSink: ...
    @property
    def boxes(self) -> Boxes: ...
    @property
    def delayed_name_removal(self) -> bool: ...
    def check_time(self) -> None:
        """To be called in loops over labels. Raises QueryLimitError when the time of the query is over."""


RangeNote = Callable[["RangeWindow", Bools, tuple[float, ...], AnnotationSink, Any, tuple[Any, ...]], None]


@dataclass(frozen=True, slots=True)
class RangeFunction:
    """A function of one range vector, and scalars evaluated at each step.

    `kernel(w, *scalars)` is called per step, scalars in the order of the arguments, the range vector left out. Where
    there are few series and many steps, the windows of many steps are the rows of one call: each row stands alone.
    `range_arg` is the position of the range vector among the arguments.
    `note(w, present, scalars, notes, call_node, arg_nodes)`, where set, is called after the kernel of each step.
    `drop_name`: whether the metric name is removed from the result.
    `anchored`, `smoothed`: the kernels for ranges with these modifiers; None where it does not take them.
    `absolute_times`: whether the result contains times of samples, so that it changes when all times are moved.
    The kernel may raise EvaluationError (an impossible parameter).
    """

    name: str
    signature: Signature
    kernel: RangeKernel
    drop_name: bool = True
    range_arg: int = 0
    note: RangeNote | None = None
    anchored: RangeKernel | None = None
    smoothed: RangeKernel | None = None
    absolute_times: bool = False


@dataclass(frozen=True, slots=True)
class InstantFunction:
    """Elementwise: `kernel(values[n, T], *scalars[T]) -> values[n, T]`, presence unchanged, metric name removed.
    The engine leaves native histograms out.

    The kernel must not change its input, and ignores absent entries, whatever they hold.
    """

    name: str
    signature: Signature
    kernel: InstantKernel
    drop_name: bool = True


@dataclass(frozen=True, slots=True)
class VectorFunction:
    """`call(ctx, *args) -> Value`: arguments evaluated by type: Vector, Scalar, str; for a range vector argument
    (absent_over_time alone) the engine hands the Vector of `present_over_time` over it."""

    name: str
    signature: Signature
    call: Callable[..., Value]


Function = RangeFunction | InstantFunction | VectorFunction
