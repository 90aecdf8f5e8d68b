"""The style sheet: colours that can be read, in light and in dark."""

from __future__ import annotations

import re

import pytest

from rulepush.site.assets import assets

CSS = assets()["style.css"].content.decode()
ON = [
    ("fg", "bg"),
    ("fg", "soft"),
    ("muted", "bg"),
    ("muted", "soft"),
    ("link", "bg"),
    ("link", "soft"),
    ("bg", "link"),  # the words on a button
    ("red", "red-bg"),
    ("amber", "amber-bg"),
    ("green", "green-bg"),
    ("blue", "blue-bg"),
]


def colours(dark: bool) -> dict[str, str]:
    """The variables by name; in dark those of light that it does not change."""
    light, _, rest = CSS.partition("@media (prefers-color-scheme: dark)")
    found = dict(re.findall(r"--([\w-]+): (#[0-9a-f]+);", light.partition("}")[0]))
    if dark:
        found |= dict(re.findall(r"--([\w-]+): (#[0-9a-f]+);", rest.partition("}")[0]))
    return found


def luminance(colour: str) -> float:
    """Relative luminance. Source: WCAG 2.2, "relative luminance"."""
    digits = colour.removeprefix("#")
    if len(digits) == 3:
        digits = "".join(d + d for d in digits)
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize(("text", "ground"), ON)
def test_words_stand_out_from_their_ground(text: str, ground: str, dark: bool) -> None:
    known = colours(dark)
    low, high = sorted((luminance(known[text]), luminance(known[ground])))
    assert (high + 0.05) / (low + 0.05) >= 4.5, "WCAG AA"


def test_dark_has_colours_of_its_own() -> None:
    light, dark = colours(False), colours(True)
    assert light["bg"] == "#fff"
    assert luminance(dark["bg"]) < 0.05


def test_nothing_of_the_style_sheet_comes_from_elsewhere() -> None:
    assert "url(" not in CSS
    assert "@import" not in CSS
