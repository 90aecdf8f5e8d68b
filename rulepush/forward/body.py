"""Samples as the body of a push to a Pushgateway: text, or protobuf where there are native histograms. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from rulepush.errors import ExpositionError, PushError
from rulepush.exposition import FamilyMetadata
from rulepush.exposition.expfmt import parse_expfmt
from rulepush.exposition.families import FamilyType, LabelPairs, Metric, MetricFamily
from rulepush.exposition.negotiation import PROTOBUF_TYPE
from rulepush.histogram.classic import cumulative_buckets
from rulepush.histogram.histogram import CounterResetHint
from rulepush.histogram.sample import HistogramSample
from rulepush.model.floats import format_float_g
from rulepush.model.labels import METRIC_NAME, Labels, is_legacy_label_name, is_legacy_metric_name
from rulepush.model.sample import Sample, is_stale
from rulepush.push.client import CONTENT_TYPE
from rulepush.relabel.relabel import RelabelConfig, relabel

if TYPE_CHECKING:
    from rulepush.histogram.histogram import FloatHistogram

_TYPES: Final = frozenset(("counter", "gauge", "histogram", "summary"))
_PARTS: Final = {"histogram": ("_bucket", "_sum", "_count"), "summary": ("_sum", "_count"), "counter": ("_total",)}
_ESCAPE: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
_ESCAPE_HELP: Final = str.maketrans({"\\": r"\\", "\n": r"\n"})


class Line(NamedTuple):
    """A series as it is pushed: the metric name, the whole line up to the value, and the other labels."""

    name: str
    start: str
    pairs: LabelPairs


class PushBody:
    """One push: the samples of a group's targets, each family and each series once; the first one wins."""

    def __init__(self) -> None:
        self._families: dict[str, list[str]] = {}
        self._comments: dict[str, str] = {}
        self._written: set[str] = set()
        self._natives: dict[str, MetricFamily] = {}

    @property
    def content_type(self) -> str:
        """What `encode` gives."""
        return PROTOBUF_TYPE if self._natives else CONTENT_TYPE

    def add(self, line: Line, value: float, metadata: Mapping[str, FamilyMetadata]) -> None:
        """One sample."""
        name, start, _ = line
        if start in self._written:
            return
        self._written.add(start)
        family = _family(name, metadata)
        if family not in self._families:
            known = metadata.get(family) or metadata.get(family.removesuffix("_total"))
            self._families[family], self._comments[family] = [], _comments(family, known)
        self._families[family].append(f"{start} {format_float_g(value)}\n")

    def add_histogram(self, line: Line, histogram: FloatHistogram, metadata: Mapping[str, FamilyMetadata]) -> None:
        """One native histogram; one with custom buckets becomes a classic one."""
        if line.start in self._written:
            return
        self._written.add(line.start)
        if line.name not in self._natives:
            gauge = histogram.counter_reset_hint is CounterResetHint.GAUGE
            kind = FamilyType.GAUGE_HISTOGRAM if gauge else FamilyType.HISTOGRAM
            known = metadata.get(line.name)
            self._natives[line.name] = MetricFamily(line.name, kind, "" if known is None else known.help, ())
        if histogram.uses_custom_buckets:
            made = Metric(line.pairs, histogram.sum, histogram.count, tuple(cumulative_buckets(histogram)))
        else:
            made = Metric(line.pairs, histogram.sum, histogram.count, native=histogram)
        family = self._natives[line.name]
        self._natives[line.name] = replace(family, metrics=(*family.metrics, made))

    def encode(self) -> bytes:
        """The body. Raises PushError for what no Pushgateway takes."""
        text = "".join(self._comments[f] + "".join(lines) for f, lines in self._families.items()).encode()
        if not self._natives:
            return text
        from rulepush.exposition.protobuf.write import family_message  # only where there are native histograms

        try:
            families = parse_expfmt(text).families
        except ExpositionError as e:
            raise PushError(400, f"the scrape cannot be pushed: {e}") from None
        for name, family in self._natives.items():
            families[name] = _together(families[name], family) if name in families else family
        return b"".join(map(family_message, families.values()))


def _together(classic: MetricFamily, native: MetricFamily) -> MetricFamily:
    """A family whose classic series are pushed, too. Of one that has floats under its own name these stay: to a
    Pushgateway a family has one type."""
    if not classic.type.has_buckets:
        return classic
    of_classic = {metric.pairs: metric for metric in classic.metrics}
    for metric in native.metrics:
        beside = of_classic.get(metric.pairs)
        of_classic[metric.pairs] = metric if beside is None or metric.parts else replace(metric, parts=beside.parts)
    return replace(native, metrics=tuple(of_classic.values()))


class Lines:
    """The lines of one target: a sample's labels -> the start of its line, None when it is not pushed. Relabelled and
    written once per series."""

    def __init__(self, relabel_configs: Sequence[RelabelConfig]):
        self._configs = tuple(relabel_configs)
        self._known: dict[Labels, Line | None] = {}

    def write(self, body: PushBody, samples: Iterable[Sample], metadata: Mapping[str, FamilyMetadata]) -> None:
        """Add these samples, except stale ones. Evicts every series that is not among them."""
        known: dict[Labels, Line | None] = {}
        for s in samples:
            line = known[s.labels] = self._known[s.labels] if s.labels in self._known else self._make(s.labels)
            if line is None:
                continue
            if isinstance(s, HistogramSample):
                if not s.histogram.is_stale:
                    body.add_histogram(line, s.histogram, metadata)
            elif not is_stale(s.value):
                body.add(line, s.value, metadata)
        self._known = known

    def _make(self, labels: Labels) -> Line | None:
        sent = relabel(labels, self._configs)
        if sent is None or not is_legacy_metric_name(sent.name):
            return None
        pairs = [(n, v) for n, v in sent if n != METRIC_NAME]
        if any(n.startswith("__") or not is_legacy_label_name(n) for n, _ in pairs):
            return None  # a Pushgateway would refuse the whole body for it
        inner = ",".join(f'{n}="{v.translate(_ESCAPE)}"' for n, v in pairs)
        return Line(sent.name, f"{sent.name}{{{inner}}}", tuple(pairs))


def _family(name: str, metadata: Mapping[str, FamilyMetadata]) -> str:
    """The family under whose TYPE a sample stands in the text format."""
    if name not in metadata:
        for kind, suffixes in _PARTS.items():
            for suffix in suffixes:
                base = name.removesuffix(suffix)
                # A counter of OpenMetrics is named without its `_total`; in the text format the sample names it.
                if base != name and base in metadata and metadata[base].type == kind:
                    return name if kind == "counter" else base
    return name


def _comments(family: str, known: FamilyMetadata | None) -> str:
    if known is None:
        return ""
    text = f"# HELP {family} {known.help.translate(_ESCAPE_HELP)}\n" if known.help else ""
    return text + (f"# TYPE {family} {known.type}\n" if known.type in _TYPES else "")
