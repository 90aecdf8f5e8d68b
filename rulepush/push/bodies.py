"""OpenMetrics bodies as metric families. Pushgateway itself reads only the text format."""

from __future__ import annotations

from typing import Final

from rulepush.errors import ExpositionError, PushError
from rulepush.exposition import FamilyMetadata, Format, ParsedSample, parse_body
from rulepush.exposition.expfmt import ParsedBody
from rulepush.exposition.families import FamilyType, Metric, MetricFamily, Pairs
from rulepush.model.floats import parse_float
from rulepush.model.labels import METRIC_NAME

_COMPOUND: Final = {"histogram": FamilyType.HISTOGRAM, "summary": FamilyType.SUMMARY}
_SIMPLE: Final = {
    "counter": FamilyType.COUNTER,
    "gauge": FamilyType.GAUGE,
    "info": FamilyType.GAUGE,
    "stateset": FamilyType.GAUGE,
}
_PARTS: Final = {
    FamilyType.HISTOGRAM: {"_bucket": "le", "_sum": "", "_count": ""},
    FamilyType.SUMMARY: {"": "quantile", "_sum": "", "_count": ""},
}
_SUFFIXES: Final = ("_total", "_created", "_bucket", "_sum", "_count", "_info", "_gsum", "_gcount")


def parse_openmetrics_families(body: bytes) -> ParsedBody:
    """Parse a whole body. Families are named as the text format names them: a counter by its `_total` sample.

    Raises PushError 400.
    """
    try:
        exposition = parse_body(body, Format.OPENMETRICS)
    except ExpositionError as e:
        raise PushError(400, f"OpenMetrics parsing error in line {e.line}: {e.message}") from None
    simple: dict[str, tuple[FamilyType, str, list[Metric]]] = {}
    compound: dict[str, tuple[FamilyType, str, dict[Pairs, Metric]]] = {}
    timestamps = False
    for sample in exposition.samples:
        timestamps |= sample.ts is not None
        name = sample.name
        base, suffix, meta = _family_of(name, exposition.metadata)
        kind = _COMPOUND.get(meta.type)
        if kind is not None and suffix in _PARTS[kind]:
            _, _, metrics = compound.setdefault(base, (kind, meta.help, {}))
            _add_part(metrics, sample, kind, suffix)
            continue
        kind = FamilyType.GAUGE if suffix == "_created" else _SIMPLE.get(meta.type, FamilyType.UNTYPED)
        simple.setdefault(name, (kind, meta.help, []))[2].append(Metric(_pairs(sample, ""), sample.value))
    families = {n: MetricFamily(n, kind, text, tuple(m)) for n, (kind, text, m) in simple.items()}
    families |= {n: MetricFamily(n, kind, text, tuple(m.values())) for n, (kind, text, m) in compound.items()}
    return ParsedBody(families, timestamps)


def _family_of(name: str, metadata: dict[str, FamilyMetadata]) -> tuple[str, str, FamilyMetadata]:
    """(family, suffix, metadata) of a sample's name."""
    if name in metadata:
        return name, "", metadata[name]
    for suffix in _SUFFIXES:
        base = name.removesuffix(suffix)
        if base != name and base in metadata:
            return base, suffix, metadata[base]
    return name, "", FamilyMetadata()


def _add_part(metrics: dict[Pairs, Metric], sample: ParsedSample, kind: FamilyType, suffix: str) -> None:
    label = _PARTS[kind][suffix]
    pairs = _pairs(sample, label)
    old = metrics.get(pairs, Metric(pairs, 0.0))
    if suffix == "_sum":
        metrics[pairs] = Metric(pairs, sample.value, old.count, old.parts)
    elif suffix == "_count":
        metrics[pairs] = Metric(pairs, old.value, sample.value, old.parts)
    else:
        text = dict(sample.pairs).get(label, "")
        try:
            bound = parse_float(text)
        except ValueError:
            raise PushError(
                400, f"OpenMetrics parsing error in line {sample.line}: {label} is no number: {text!r}"
            ) from None
        metrics[pairs] = Metric(pairs, old.value, old.count, (*old.parts, (bound, sample.value)))


def _pairs(sample: ParsedSample, without: str) -> Pairs:
    return tuple(sorted((n, v) for n, v in sample.pairs if n not in (METRIC_NAME, without)))
