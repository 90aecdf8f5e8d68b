"""How durations and numbers are written."""

from __future__ import annotations

import pytest

from rulepush.site.formats import rounded_duration, short_number
from rulepush.site.language import Language


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "0s"),
        (-5, "0s"),
        (750, "750ms"),
        (1_999, "1s"),
        (70_000, "1m10s"),
        (60_000, "1m"),
        (7_830_000, "2h10m"),
        (3_605_000, "1h"),
        (266_400_000, "3d2h"),
        (86_400_000 + 60_000, "1d"),
    ],
)
def test_durations_have_two_units_at_most(ms: int, text: str) -> None:
    assert rounded_duration(ms) == text


def test_durations_are_written_in_chinese() -> None:
    assert rounded_duration(7_830_000, Language.CHINESE) == "2小时10分"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.1 + 0.2, "0.3"),
        (12345678.0, "12345678"),
        (1234567.8, "1.23457e+06"),
        (0.0, "0"),
        (float("nan"), "NaN"),
        (float("inf"), "+Inf"),
        (3.0, "3"),
        (2.5e-9, "2.5e-09"),
    ],
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert short_number(value) == text
