"""Samples as the body of a push to a Pushgateway, in the text format. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from rulepush.exposition import FamilyMetadata
from rulepush.model.floats import format_float_g
from rulepush.model.labels import METRIC_NAME, Labels, is_legacy_label_name, is_legacy_metric_name
from rulepush.model.sample import Sample, is_stale
from rulepush.relabel.relabel import RelabelConfig, relabel

_TYPES: Final = frozenset(("counter", "gauge", "histogram", "summary"))
_PARTS: Final = {"histogram": ("_bucket", "_sum", "_count"), "summary": ("_sum", "_count"), "counter": ("_total",)}
_ESCAPE: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
_ESCAPE_HELP: Final = str.maketrans({"\\": r"\\", "\n": r"\n"})

Line = tuple[str, str]
"""The metric name, and the whole line up to the value."""


class PushBody:
    """The text of one push: the samples of a group's targets, each family and each series once; the first one wins."""

    def __init__(self) -> None:
        self._families: dict[str, list[str]] = {}
        self._comments: dict[str, str] = {}
        self._written: set[str] = set()

    def add(self, line: Line, value: float, metadata: Mapping[str, FamilyMetadata]) -> None:
        """One sample."""
        name, start = line
        if start in self._written:
            return
        self._written.add(start)
        family = _family(name, metadata)
        if family not in self._families:
            known = metadata.get(family) or metadata.get(family.removesuffix("_total"))
            self._families[family], self._comments[family] = [], _comments(family, known)
        self._families[family].append(f"{start} {format_float_g(value)}\n")

    def encode(self) -> bytes:
        """The body."""
        return "".join(self._comments[f] + "".join(lines) for f, lines in self._families.items()).encode()


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
            if line is not None and not is_stale(s.value):
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
        return sent.name, f"{sent.name}{{{inner}}}"


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
