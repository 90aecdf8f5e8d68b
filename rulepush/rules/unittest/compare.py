"""Compares expected samples and alerts with the actual ones, and describes the difference."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rulepush.histogram.sample import HistogramSample
from rulepush.histogram.text import histogram_literal
from rulepush.model.labels import ALERT_NAME, Labels
from rulepush.model.sample import Sample
from rulepush.rules.api import format_value

FoundAlert = tuple[Labels, tuple[tuple[str, str], ...]]
"""Labels and annotations, sorted by name."""


def same_value(a: float, b: float, fuzzy: bool) -> bool:
    """`fuzzy`: neighbouring floats count as the same. NaN is NaN (promtool can never expect one)."""
    if a == b or (a != a and b != b):
        return True
    return fuzzy and b in (math.nextafter(a, math.inf), math.nextafter(a, -math.inf))


def compare_samples(expected: Sequence[Sample], got: Sequence[Sample], fuzzy: bool) -> list[str]:
    """Lines that describe the difference, empty when there is none. The order of the elements is ignored."""
    want = sorted(expected, key=lambda s: s.labels)
    have = sorted(got, key=lambda s: s.labels)
    if len(want) == len(have) and all(
        a.labels == b.labels and _same(a, b, fuzzy) for a, b in zip(want, have, strict=True)
    ):
        return []
    lines = [f"    exp: {_samples(want)}", f"    got: {_samples(have)}"]
    if len(want) <= 1 and len(have) <= 1:
        return lines
    left = list(have)
    differences = []
    for sample in want:
        match = next((s for s in left if s.labels == sample.labels), None)
        if match is None:
            differences.append(f"- {_sample(sample)}")
            continue
        left.remove(match)
        if not _same(sample, match, fuzzy):
            differences.append(f"~ {sample.labels} expected {_value(sample)}, got {_value(match)}")
    differences += [f"+ {_sample(s)}" for s in left]
    return [*lines, "    diff (- missing, + unexpected, ~ different):", *(f"      {d}" for d in differences)]


def _samples(samples: Sequence[Sample]) -> str:
    return ", ".join(_sample(s) for s in samples) or "nil"


def _sample(sample: Sample) -> str:
    return f"{sample.labels} {_value(sample)}"


def _same(a: Sample, b: Sample, fuzzy: bool) -> bool:
    """Histograms are the same when they are written alike."""
    if isinstance(a, HistogramSample) or isinstance(b, HistogramSample):
        return _value(a) == _value(b)
    return same_value(a.value, b.value, fuzzy)


def _value(sample: Sample) -> str:
    return histogram_literal(sample.histogram) if isinstance(sample, HistogramSample) else _number(sample.value)


def _number(value: float) -> str:
    return format_value(value).upper() if math.isfinite(value) else format_value(value)


def compare_alerts(expected: Sequence[FoundAlert], got: Sequence[FoundAlert]) -> list[str]:
    """Lines that describe the difference, empty when there is none. The order of the elements is ignored."""
    want, have = sorted(expected), sorted(got)
    if want == have:
        return []
    lines = ["    exp:" + _alerts(want) + ",", "    got:" + _alerts(have)]
    missing = [a for a in want if a not in have]
    extra = [a for a in have if a not in want]
    differences: list[str] = []
    for alert in missing:
        nearest = min(extra, key=lambda other: _distance(alert, other), default=None)
        if nearest is None:
            differences.append(f"- {alert[0]}")
            continue
        extra.remove(nearest)
        differences.append(f"~ {alert[0]}")
        differences += _pair_differences("label", alert[0].pairs, nearest[0].pairs)
        differences += _pair_differences("annotation", alert[1], nearest[1])
    differences += [f"+ {alert[0]}" for alert in extra]
    return [*lines, "    diff (- missing, + unexpected, ~ different):", *(f"      {d}" for d in differences)]


def _distance(a: FoundAlert, b: FoundAlert) -> int:
    labels = {p for p in set(a[0].pairs) ^ set(b[0].pairs) if p[0] != ALERT_NAME}
    return len(labels) * 4 + len(set(a[1]) ^ set(b[1]))


def _pair_differences(what: str, expected: Sequence[tuple[str, str]], got: Sequence[tuple[str, str]]) -> list[str]:
    want, have = dict(expected), dict(got)
    out = []
    for name in sorted(want.keys() | have.keys()):
        a, b = want.get(name), have.get(name)
        if a != b:
            shown = ("nothing" if a is None else repr(a), "nothing" if b is None else repr(b))
            out.append(f"    {what} {name}: expected {shown[0]}")
            out.append(f"    {' ' * len(f'{what} {name}:')} got      {shown[1]}")
    return out


def _alerts(alerts: Sequence[FoundAlert]) -> str:
    if not alerts:
        return "[]"
    lines = []
    for i, (labels, notes) in enumerate(alerts):
        texts = ", ".join(f"{name}={text!r}" for name, text in notes)
        lines += [f"        {i}:", f"          Labels:{labels}", f"          Annotations:{{{texts}}}"]
    return "[\n" + "\n".join(lines) + "\n        ]"
