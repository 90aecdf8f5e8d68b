"""FloatHistogram: a native histogram. Source: Prometheus model/histogram/float_histogram.go."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Final

import numpy as np

from rulepush.histogram.buckets import NO_BUCKETS, Buckets
from rulepush.histogram.go_floats import go_divide
from rulepush.histogram.schema import CUSTOM_SCHEMA
from rulepush.model.arrays import Floats, Ints
from rulepush.model.sample import STALE, is_stale


class CounterResetHint(IntEnum):
    """What is known of a counter reset between the histogram before and this one, with Prometheus' numbers."""

    UNKNOWN = 0  # UnknownCounterReset: the counts must be compared
    RESET = 1  # CounterReset: there was one
    NOT_RESET = 2  # NotCounterReset: there was none
    GAUGE = 3  # GaugeType: a gauge histogram, which knows no resets


@dataclass(frozen=True, slots=True, eq=False)
class FloatHistogram:
    """A native histogram; integer histograms become one as they come in.

    `schema` -4 to 8, or CUSTOM_SCHEMA with `custom_values`, finite upper bounds that ascend; then there are neither a
    zero bucket nor negative buckets. `zero_threshold` is the width of the zero bucket, [-threshold, threshold]. `sum`
    is the stale marker in a stale histogram. Negative buckets count from zero downwards.
    """

    schema: int = 0
    count: float = 0.0
    sum: float = 0.0
    zero_threshold: float = 0.0
    zero_count: float = 0.0
    positive: Buckets = NO_BUCKETS
    negative: Buckets = NO_BUCKETS
    custom_values: tuple[float, ...] = ()
    counter_reset_hint: CounterResetHint = CounterResetHint.UNKNOWN

    @property
    def uses_custom_buckets(self) -> bool:
        """Whether it was made of a classic histogram (NHCB)."""
        return self.schema == CUSTOM_SCHEMA

    @property
    def is_stale(self) -> bool:
        """Whether it marks the end of a series."""
        return is_stale(self.sum)

    @property
    def bucket_count(self) -> int:
        """How many buckets there are, without the zero bucket."""
        return len(self.positive) + len(self.negative)

    @property
    def size(self) -> int:
        """How many float samples it counts for in limits and statistics: its bytes as Prometheus counts them (Size),
        over the 16 of a float sample (promql/value.go, totalHPointSize)."""
        spans = len(self.positive.spans()) + len(self.negative.spans())
        size = 168 + 8 * (spans + self.bucket_count + len(self.custom_values))
        return (size + 8) // 16

    def __repr__(self) -> str:
        parts = [f"{name}={value!r}" for name, value, default in self._fields() if value is not default]
        return f"FloatHistogram({', '.join(parts)})"

    def _fields(self) -> list[tuple[str, object, object]]:
        return [(name, getattr(self, name), getattr(EMPTY, name)) for name in self.__dataclass_fields__]

    def equals(self, other: FloatHistogram) -> bool:
        """Equals, PromQL's `==`: the same bits in all numbers and the same buckets, even those of 0; the counter reset
        hint may differ. Both should be compacted."""
        if self is other:
            return True
        return (
            self.schema == other.schema
            and _same_bits(self.count, other.count)
            and _same_bits(self.sum, other.sum)
            and self.zero_threshold == other.zero_threshold
            and _same_bits(self.zero_count, other.zero_count)
            and (not self.uses_custom_buckets or self.custom_values == other.custom_values)
            and _same_buckets(self.negative, other.negative)
            and _same_buckets(self.positive, other.positive)
        )

    def __eq__(self, other: object) -> bool:
        """`equals`, and the same counter reset hint."""
        if not isinstance(other, FloatHistogram):
            return NotImplemented
        return self.counter_reset_hint is other.counter_reset_hint and self.equals(other)

    __hash__ = None  # type: ignore[assignment]

    def with_hint(self, hint: CounterResetHint) -> FloatHistogram:
        """The same with another counter reset hint."""
        return self if self.counter_reset_hint is hint else replace(self, counter_reset_hint=hint)

    def at_start(self) -> FloatHistogram:
        """The empty histogram with which its series begins (AppendHistogramSTZeroSample): a counter reset."""
        return FloatHistogram(
            schema=self.schema,
            zero_threshold=self.zero_threshold,
            custom_values=self.custom_values,
            counter_reset_hint=CounterResetHint.RESET,
        )

    @np.errstate(all="ignore")
    def multiplied(self, factor: float) -> FloatHistogram:
        """Mul: every count and the sum times `factor`; a negative one makes it a gauge."""
        return replace(
            self,
            zero_count=self.zero_count * factor,
            count=self.count * factor,
            sum=self.sum * factor,
            positive=self.positive.with_counts(self.positive.counts * factor),
            negative=self.negative.with_counts(self.negative.counts * factor),
            counter_reset_hint=CounterResetHint.GAUGE if factor < 0 else self.counter_reset_hint,
        )

    @np.errstate(all="ignore")
    def divided(self, divisor: float) -> FloatHistogram:
        """Div: as `multiplied`; division by 0 removes the buckets."""
        zero = divisor == 0
        return replace(
            self,
            zero_count=go_divide(self.zero_count, divisor),
            count=go_divide(self.count, divisor),
            sum=go_divide(self.sum, divisor),
            positive=NO_BUCKETS if zero else self.positive.with_counts(self.positive.counts / divisor),
            negative=NO_BUCKETS if zero else self.negative.with_counts(self.negative.counts / divisor),
            counter_reset_hint=CounterResetHint.GAUGE if divisor < 0 else self.counter_reset_hint,
        )

    def negated(self) -> FloatHistogram:
        """Unary minus: times -1, so a gauge."""
        return self.multiplied(-1.0)

    def compacted(self) -> FloatHistogram:
        """Compact(0): without the buckets of 0."""
        positive, negative = self.positive.compacted(), self.negative.compacted()
        if positive is self.positive and negative is self.negative:
            return self
        return replace(self, positive=positive, negative=negative)

    def has_overflow(self) -> bool:
        """HasOverflow: whether any number in it is infinite."""
        return (
            math.isinf(self.zero_count)
            or math.isinf(self.count)
            or math.isinf(self.sum)
            or bool(np.isinf(self.positive.counts).any())
            or bool(np.isinf(self.negative.counts).any())
            or any(map(math.isinf, self.custom_values))
        )


def stale_histogram() -> FloatHistogram:
    """The stale marker of a series of histograms."""
    return FloatHistogram(sum=STALE)


def _same_bits(a: float, b: float) -> bool:
    if a != a or b != b:
        return _bits(a) == _bits(b)
    return a == b and math.copysign(1.0, a) == math.copysign(1.0, b)


def _bits(value: float) -> int:
    return int(np.float64(value).view(np.int64))


def _same_buckets(mine: Buckets, other: Buckets) -> bool:
    return mine.same_layout(other) and bool((_as_bits(mine.counts) == _as_bits(other.counts)).all())


def _as_bits(counts: Floats) -> Ints:
    return np.ascontiguousarray(counts).view(np.int64)


EMPTY: Final = FloatHistogram()
