"""The calendar: hour(), day_of_week() and the like, of a vector of Unix seconds or of the evaluation time, in UTC."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from rulepush.model.arrays import Floats, Ints
from rulepush.promql.functions.registry import CallContext, Function, VectorFunction
from rulepush.promql.functions.scalars import one_row
from rulepush.promql.syntax.signature import VECTOR, Signature
from rulepush.promql.vectors.native import floats_of
from rulepush.promql.vectors.values import Vector, drop_names

# What Go's int64(NaN) is on amd64, seen as a time: 292277026596-12-04 15:30:08, a Sunday.
_BROKEN: Final = {
    "day_of_month": 4.0,
    "day_of_week": 0.0,
    "day_of_year": 339.0,
    "days_in_month": 31.0,
    "hour": 15.0,
    "minute": 30.0,
    "month": 12.0,
    "year": 292277026596.0,
}
_MAX_SECONDS: Final = 9.2e18


def _months(seconds: Ints) -> Ints:
    """Months since 1970-01."""
    months: Ints = seconds.astype("datetime64[s]").astype("datetime64[M]").astype(np.int64)
    return months


def _days_of_months(months: Ints) -> Ints:
    """Days from 1970-01-01 to the first of the month."""
    days: Ints = months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    return days


def _day_of_month(seconds: Ints) -> Ints:
    return seconds // 86400 - _days_of_months(_months(seconds)) + 1


def _day_of_week(seconds: Ints) -> Ints:
    return (seconds // 86400 + 4) % 7  # 1970-01-01 was a Thursday


def _day_of_year(seconds: Ints) -> Ints:
    return seconds // 86400 - _days_of_months(_months(seconds) // 12 * 12) + 1


def _days_in_month(seconds: Ints) -> Ints:
    months = _months(seconds)
    return _days_of_months(months + 1) - _days_of_months(months)


def _hour(seconds: Ints) -> Ints:
    return seconds % 86400 // 3600


def _minute(seconds: Ints) -> Ints:
    return seconds % 3600 // 60


def _month(seconds: Ints) -> Ints:
    return _months(seconds) % 12 + 1


def _year(seconds: Ints) -> Ints:
    return _months(seconds) // 12 + 1970


def _calendar(name: str, field: Callable[[Ints], Ints]) -> VectorFunction:
    def of_values(values: Floats) -> Floats:
        usable = np.abs(values) < _MAX_SECONDS  # NaN is not
        seconds = np.trunc(np.where(usable, values, 0.0)).astype(np.int64)
        return np.where(usable, field(seconds), _BROKEN[name])

    def call(ctx: CallContext, vector: Vector | None = None) -> Vector:
        if vector is None:
            return one_row(of_values((ctx.steps // 1000).astype(np.float64)))
        if ctx.boxes:
            vector = floats_of(vector, ctx.boxes)
        values = of_values(vector.values)
        result = Vector(vector.index, values, vector.present, vector.drop_name, vector.order)
        return drop_names(result, ctx.delayed_name_removal)

    return VectorFunction(name, Signature((VECTOR,), variadic=1), call)


CALENDAR: Final[dict[str, Function]] = {
    "day_of_month": _calendar("day_of_month", _day_of_month),
    "day_of_week": _calendar("day_of_week", _day_of_week),
    "day_of_year": _calendar("day_of_year", _day_of_year),
    "days_in_month": _calendar("days_in_month", _days_in_month),
    "hour": _calendar("hour", _hour),
    "minute": _calendar("minute", _minute),
    "month": _calendar("month", _month),
    "year": _calendar("year", _year),
}
