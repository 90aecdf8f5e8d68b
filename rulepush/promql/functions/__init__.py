"""Every PromQL function, by name. A new one is a kernel in its family's file and a row in that file's table."""

from __future__ import annotations

from typing import Final

from rulepush.promql.functions.absent import ABSENT
from rulepush.promql.functions.histogram import HISTOGRAM
from rulepush.promql.functions.info import INFO
from rulepush.promql.functions.labels import LABELS
from rulepush.promql.functions.math import MATH
from rulepush.promql.functions.over_time import OVER_TIME
from rulepush.promql.functions.rates import RATES
from rulepush.promql.functions.registry import Function
from rulepush.promql.functions.regression import REGRESSION
from rulepush.promql.functions.scalars import SCALARS
from rulepush.promql.functions.sorting import SORTING
from rulepush.promql.functions.time import CALENDAR
from rulepush.promql.functions.trig import TRIG

FUNCTIONS: Final[dict[str, Function]] = {
    **ABSENT,
    **CALENDAR,
    **HISTOGRAM,
    **INFO,
    **LABELS,
    **MATH,
    **OVER_TIME,
    **RATES,
    **REGRESSION,
    **SCALARS,
    **SORTING,
    **TRIG,
}
