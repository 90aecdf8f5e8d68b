"""Results in the order of operations of Prometheus and of Go's mathematics library. The expected values were computed
by Prometheus 3.5.3; see tests/e2e/test_promql_bits_vs_prometheus.py for random ones."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from rulepush.promql.functions.go_math import log2, power
from rulepush.promql.functions.welford import compensated_variances, variances


@pytest.mark.parametrize("variance", [variances, compensated_variances])
@pytest.mark.parametrize("masked", [False, True])
def test_few_rows_and_many_give_the_same_bits(variance: object, masked: bool) -> None:
    assert callable(variance)
    draw = np.random.default_rng(3)
    values = (draw.random((40, 17)) - 0.5) * 10.0 ** draw.integers(-5, 9, (40, 17))
    values[3, 4], values[5, 0], values[7, 1] = math.inf, math.nan, 1e308
    mask = draw.random((40, 17)) < 0.8 if masked else None
    if mask is not None:
        mask[9] = False
    one_by_one = [variance(values[i : i + 1], None if mask is None else mask[i : i + 1])[0] for i in range(40)]
    assert variance(values, mask).tolist() == pytest.approx(one_by_one, rel=0, abs=0, nan_ok=True)


@pytest.mark.parametrize("variance", [variances, compensated_variances])
def test_equal_values_have_no_variance(variance: object) -> None:
    assert callable(variance)
    assert variance(np.full((1, 9), 0.1), None).tolist() == [0.0]
    assert variance(np.full((30, 9), 0.1), None).tolist() == [0.0] * 30


def test_powers_are_those_of_c_in_all_but_the_last_bits() -> None:
    special = [0.0, -0.0, 1.0, -1.0, 2.0, -2.0, math.inf, -math.inf, math.nan, 1e-300, 1e300, 0.5, -8.0, 5e-324]
    exponents = [0.0, 1.0, -1.0, 2.0, -3.0, 0.5, -0.5, 1 / 3, 2.5, -4.75, 1023.0, -1074.0, 1e300, math.inf, -math.inf]
    draw = random.Random(1)
    x = np.array(special + [draw.lognormvariate(0, 20) for _ in range(200)])
    with np.errstate(all="ignore"):
        for y in [*exponents, math.nan]:
            expected = np.power(x, y).tolist()
            assert power(x, np.array([y])).tolist() == pytest.approx(expected, rel=1e-13, abs=0, nan_ok=True)


def test_a_power_is_made_of_squares() -> None:
    assert power(np.array([84442.18515250481]), np.array([3.0]))[0] == 602113534750363.8  # 602113534750363.9 in C


def test_logarithms_of_powers_of_two_are_exact() -> None:
    assert log2(np.array([8.0, 1.0, 0.125, 5e-324])).tolist() == [3.0, 0.0, -3.0, -1074.0]
