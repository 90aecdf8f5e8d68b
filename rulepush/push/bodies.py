"""The body of a push as metric families. Pushgateway itself reads only the text format; OpenMetrics is an addition."""

from __future__ import annotations

from typing import Final

from rulepush.errors import ExpositionError, PushError
from rulepush.exposition import FamilyMetadata, Format, ParsedSample, parse_body
from rulepush.exposition.expfmt import parse_expfmt
from rulepush.exposition.families import FamilyBuilder, FamilyType, LabelPairs, ParsedFamilies, build_families
from rulepush.model.floats import parse_float
from rulepush.model.labels import METRIC_NAME

_SIMPLE: Final = {
    "counter": FamilyType.COUNTER,
    "gauge": FamilyType.GAUGE,
    "info": FamilyType.GAUGE,
    "stateset": FamilyType.GAUGE,
}
_COMPOUND: Final = {"histogram": FamilyType.HISTOGRAM, "summary": FamilyType.SUMMARY}
_PARTS: Final = {
    FamilyType.HISTOGRAM: {"_bucket": "le", "_sum": "", "_count": ""},
    FamilyType.SUMMARY: {"": "quantile", "_sum": "", "_count": ""},
}
_SUFFIXES: Final = ("_total", "_created", "_bucket", "_sum", "_count", "_info", "_gsum", "_gcount")


def parse_push_text(body: bytes) -> ParsedFamilies:
    """Parse a body in the text format. Raises PushError 400 in Pushgateway's words."""
    try:
        return parse_expfmt(body)
    except ExpositionError as e:
        raise PushError(400, f"text format parsing error in line {e.line}: {e.message}") from None


def parse_push_openmetrics(body: bytes) -> ParsedFamilies:
    """Parse an OpenMetrics body. Families are named as the text format names them: a counter by its `_total` sample.

    Raises PushError 400.
    """
    try:
        exposition = parse_body(body, Format.OPENMETRICS)
    except ExpositionError as e:
        raise PushError(400, f"OpenMetrics parsing error in line {e.line}: {e.message}") from None
    simple: dict[str, FamilyBuilder] = {}
    compound: dict[str, FamilyBuilder] = {}
    timestamps = False
    for sample in exposition.samples:
        timestamps |= sample.ts is not None
        base, suffix, meta = _family_of(sample.name, exposition.metadata)
        kind = _COMPOUND.get(meta.type)
        if kind is not None and suffix in _PARTS[kind]:
            family = compound.setdefault(base, FamilyBuilder(base, kind, meta.help))
            _add_part(family, sample, suffix, _PARTS[kind][suffix])
            continue
        kind = FamilyType.GAUGE if suffix == "_created" else _SIMPLE.get(meta.type, FamilyType.UNTYPED)
        family = simple.setdefault(sample.name, FamilyBuilder(sample.name, kind, meta.help))
        family.metric(_pairs(sample, "")).value = sample.value
    # Where a simple and a compound family have one name, the compound one is kept.
    return ParsedFamilies(build_families({**simple, **compound}), timestamps)


def _family_of(name: str, metadata: dict[str, FamilyMetadata]) -> tuple[str, str, FamilyMetadata]:
    """(family, suffix, metadata) of a sample's name."""
    if name in metadata:
        return name, "", metadata[name]
    for suffix in _SUFFIXES:
        base = name.removesuffix(suffix)
        if base != name and base in metadata:
            return base, suffix, metadata[base]
    return name, "", FamilyMetadata()


def _add_part(family: FamilyBuilder, sample: ParsedSample, suffix: str, bound_label: str) -> None:
    metric = family.metric(_pairs(sample, bound_label))
    if suffix == "_sum":
        metric.value = sample.value
    elif suffix == "_count":
        metric.count = sample.value
    else:
        text = dict(sample.pairs).get(bound_label, "")
        try:
            bound = parse_float(text)
        except ValueError:
            message = f"OpenMetrics parsing error in line {sample.line}: {bound_label} is not a number: {text!r}"
            raise PushError(400, message) from None
        metric.parts.append((bound, sample.value))


def _pairs(sample: ParsedSample, without: str) -> LabelPairs:
    return tuple(sorted((n, v) for n, v in sample.pairs if n not in (METRIC_NAME, without)))
