"""promtool's advice on metric names (client_golang promlint), from a parsed body."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from rulepush.exposition.entries import Exposition, Format
from rulepush.model.labels import METRIC_NAME

_CAMEL_CASE: Final = re.compile(r"[a-z][A-Z]")
_TYPES: Final = ("counter", "gauge", "summary", "histogram", "gauge_histogram")
_BASE_UNITS: Final = (
    "amperes",
    "bytes",
    "celsius",
    "grams",
    "joules",
    "kelvin",
    "meters",
    "metres",
    "seconds",
    "volts",
)
_UNITS: Final = {unit: unit for unit in _BASE_UNITS} | {
    "minutes": "seconds",
    "hours": "seconds",
    "days": "seconds",
    "weeks": "seconds",
    "kelvins": "kelvin",
    "fahrenheit": "celsius",
    "rankine": "celsius",
    "inches": "meters",
    "yards": "meters",
    "miles": "meters",
    "bits": "bytes",
    "calories": "joules",
    "pounds": "grams",
    "ounces": "grams",
}
_PREFIXES: Final = (
    *("pico", "nano", "micro", "milli", "centi", "deci", "deca", "hecto", "kilo", "kibi", "mega", "mibi", "giga"),
    *("gibi", "tera", "tebi", "peta", "pebi"),
)
_ABBREVIATIONS: Final = ("s", "ms", "us", "ns", "sec", "b", "kb", "mb", "gb", "tb", "pb", "m", "h", "d")


@dataclass(frozen=True, slots=True, order=True)
class Advice:
    """One piece of advice on one metric family."""

    metric: str
    text: str

    def __str__(self) -> str:
        return f"{self.metric} {self.text}"


@dataclass(slots=True)
class _Family:
    name: str
    type: str = "unknown"
    help: str = ""
    labels: set[str] = field(default_factory=set)
    repeated: bool = False


def lint(found: Exposition, fmt: Format) -> list[Advice]:
    """All advice, sorted by metric."""
    advice = [Advice(f.name, text) for f in _families(found, fmt) for text in _advise(f, fmt)]
    return sorted(set(advice))


def _families(found: Exposition, fmt: Format) -> list[_Family]:
    families = {name: _Family(name, meta.type or "unknown", meta.help) for name, meta in found.metadata.items()}
    seen: set[tuple[tuple[str, str], ...]] = set()
    for sample in found.samples:
        name = _family_name(sample.name, families, fmt)
        family = families.setdefault(name, _Family(name))
        family.labels.update(label for label, _ in sample.pairs if label != METRIC_NAME)
        if family.type == "histogram" and sample.name.endswith("_bucket"):
            family.labels.discard("le")
        pairs = tuple(sorted(sample.pairs))
        family.repeated = family.repeated or pairs in seen
        seen.add(pairs)
    return list(families.values())


def _family_name(name: str, families: dict[str, _Family], fmt: Format) -> str:
    if name in families:
        return name
    parts = {"summary": ("_count", "_sum"), "histogram": ("_count", "_sum", "_bucket")}
    if fmt is Format.OPENMETRICS:
        parts |= {
            "summary": ("_count", "_sum", "_created"),
            "histogram": ("_count", "_sum", "_bucket", "_created"),
            "counter": ("_total", "_created"),
            "gaugehistogram": ("_gcount", "_gsum", "_bucket"),
            "info": ("_info",),
        }
    for type_, suffixes in parts.items():
        for suffix in suffixes:
            family = families.get(name.removesuffix(suffix)) if name.endswith(suffix) else None
            if family is not None and family.type == type_:
                return family.name
    return name


def _advise(family: _Family, fmt: Format) -> Iterator[str]:
    name, lower = family.name, family.name.lower()
    if not family.help.strip():
        yield "no help text"
    if family.type == "counter" and not name.endswith("_total") and fmt is Format.TEXT:
        yield 'counter metrics should have "_total" suffix'
    yield from _reserved(family)
    unit, base = _unit(name)
    if unit != base:
        yield f'use base unit "{base}" instead of "{unit}"'
    for type_ in _TYPES:
        if f"_{type_}_" in lower or lower.endswith(f"_{type_}"):
            yield f"metric name should not include type '{type_}'"
    if ":" in name:
        yield "metric names should not contain ':'"
    if _CAMEL_CASE.search(name):
        yield "metric names should be written in 'snake_case' not 'camelCase'"
    if any(_CAMEL_CASE.search(label) for label in family.labels):
        yield "label names should be written in 'snake_case' not 'camelCase'"
    if any(f"_{short}_" in lower or lower.endswith(f"_{short}") for short in _ABBREVIATIONS):
        yield "metric names should not contain abbreviated units"
    if family.repeated:
        yield "metric not unique"


def _reserved(family: _Family) -> Iterator[str]:
    """Suffixes and labels that belong to other types; a metric without a type may have them."""
    name, type_ = family.name, family.type
    if type_ == "unknown":
        return
    histogram = type_ in ("histogram", "gaugehistogram")
    if type_ != "counter" and name.endswith("_total"):
        yield 'non-counter metrics should not have "_total" suffix'
    if not histogram and name.endswith("_bucket"):
        yield 'non-histogram metrics should not have "_bucket" suffix'
    for suffix in ("_count", "_sum"):
        if not histogram and type_ != "summary" and name.endswith(suffix):
            yield f'non-histogram and non-summary metrics should not have "{suffix}" suffix'
    if not histogram and "le" in family.labels:
        yield 'non-histogram metrics should not have "le" label'
    if type_ != "summary" and "quantile" in family.labels:
        yield 'non-summary metrics should not have "quantile" label'


def _unit(name: str) -> tuple[str, str]:
    """The unit in a name and its base unit, both "" when there is none."""
    for word in name.split("_"):
        if word in _UNITS:
            return word, _UNITS[word]
        for prefix in _PREFIXES:
            if word.startswith(prefix) and word.removeprefix(prefix) in _UNITS:
                return word, _UNITS[word.removeprefix(prefix)]
    return "", ""
