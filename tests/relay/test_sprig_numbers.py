"""Sprig's one cast to float64.

Sources: Masterminds/sprig numeric.go (toFloat64 is cast.ToFloat64), spf13/cast (a text is what strconv.ParseFloat takes
and 0 with any error), Go strconv/atof_test.go (underscores stand between digits, as in "1_23.50_0_0e+1_2").
"""

from __future__ import annotations

import math

import pytest

from rulepush.gotext.gotime import Duration
from rulepush.gotext.template import Template
from rulepush.relay.sprig import SPRIG_FUNCTIONS
from rulepush.relay.sprig_texts import TEXT_FUNCTIONS
from rulepush.relay.sprig_values import to_float64


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("1_000", 1000.0),
        ("1_23.50_0_0e+1_2", 1.235e14),
        ("_1", 0.0),
        ("1__0", 0.0),
        ("1_.5", 0.0),
        ("0x1p4", 16.0),
        ("0x10", 0.0),
        (" 1", 0.0),
        ("1e400", 0.0),
        ("-Inf", -math.inf),
        ("infinity", math.inf),
        ("-nan", 0.0),
        ("", 0.0),
        (True, 1.0),
        (7, 7.0),
        (Duration(5), 0.0),
        (None, 0.0),
        ([1], 0.0),
    ],
)
def test_a_number_is_what_gos_parse_float_takes_and_0_otherwise(value: object, number: float) -> None:
    assert to_float64(value) == number


def test_nan_is_read() -> None:
    assert math.isnan(to_float64("NaN"))


@pytest.mark.parametrize("call", ["float64 {}", "maxf {} 0", "addf {} 0", "floor {}", "round {} 0"])
def test_every_function_casts_alike(call: str) -> None:
    def result(text: str) -> str:
        return Template.parse("{{ " + call.format(f'"{text}"') + " }}", {**SPRIG_FUNCTIONS, **TEXT_FUNCTIONS}).execute(
            None
        )

    assert result("1_000") == "1000"
    assert result("0x1p4") == "16"
    assert result(" 1") == "0"
    assert result("1e400") == "0"
