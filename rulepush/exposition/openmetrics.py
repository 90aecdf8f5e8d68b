"""OpenMetrics 1.0 text, as Prometheus reads it from a target.

Source: prometheus model/textparse/openmetricslex.l and openmetricsparse.go, version 3. It is strict about blanks and
`# EOF`, and does not check what a scraper need not know (order of families, suffixes by type): `check metrics
--format openmetrics` does that. Exemplars are parsed and skipped.
"""

from __future__ import annotations

import math
import re
from typing import Final

from rulepush.errors import ExpositionError
from rulepush.exposition.entries import Exposition, FamilyMetadata, ParsedSample
from rulepush.exposition.literals import show, to_ms, unescape_help
from rulepush.exposition.scanner import METRIC_TOKEN, QUOTED_NAME_TOKEN, USUAL_SERIES, Pairs, Scanner

_VALUE_QUOTED: Final = re.compile(rb'"(?:\\[^\n]|[^\\"\n])*"')
_SPACED: Final = re.compile(rb" [^ \n]+")
_META: Final = re.compile(rb"# (HELP|TYPE|UNIT) ")
_EOF: Final = re.compile(rb"# EOF\n?")
_TEXT: Final = re.compile(rb" [^\n]*\n")
_EXEMPLAR: Final = re.compile(rb" # \{")
_TYPES: Final = frozenset(
    (b"counter", b"gauge", b"histogram", b"gaugehistogram", b"summary", b"info", b"stateset", b"unknown")
)
_USUAL: Final = re.compile(USUAL_SERIES + rb"([^ \n]+)\n")


def parse_openmetrics(body: bytes) -> Exposition:
    """Parse a whole body, `# EOF` included. Raises ExpositionError at the first thing wrong."""
    parser = OpenMetricsParser(body)
    found = Exposition()
    while parser.next(found):
        pass
    return found


def parse_openmetrics_line(line: bytes, family_type: str = "") -> ParsedSample | None:
    """One line without its newline: its sample, None for metadata and `# EOF`. Raises ExpositionError."""
    parser = OpenMetricsParser(line + b"\n")
    parser.family_type = family_type
    found = Exposition()
    if parser.next(found) and parser.pos < len(parser.body):
        raise ExpositionError(1, "more than one entry in a line")
    return found.samples[0] if found.samples else None


class OpenMetricsParser(Scanner):
    """Walks over the entries of a body."""

    value_token = _VALUE_QUOTED

    def __init__(self, body: bytes):
        super().__init__(body)

    def next(self, into: Exposition) -> bool:
        """Read one entry into `into`; False at `# EOF`."""
        self.start = self.token = self.pos
        usual = _USUAL.match(self.body, self.pos)
        if usual is not None and self.usual(usual, into):
            return True
        if self.pos >= len(self.body) or self.body[self.pos] == 0:
            self.fail("data does not end with # EOF")
        if self.take(_EOF):
            if self.pos < len(self.body):
                self.fail("unexpected data after # EOF")
            return False
        found = _META.match(self.body, self.pos)
        if found is not None:
            self.pos = found.end()
            self._metadata(found[1].decode("ascii"), into)
        else:
            self._sample(into)
        return True

    def _metadata(self, kind: str, into: Exposition) -> None:
        token = self.take(METRIC_TOKEN) or self.take(QUOTED_NAME_TOKEN)
        if token is None:
            self.unexpected(f"expected metric name after {kind}")
        text = self.take(_TEXT)
        if text is None:
            self.unexpected(f"expected text in {kind}")
        text, name = text[1:-1], self.name_of(token)
        meta = into.metadata.get(name)
        if meta is None:
            meta = into.metadata[name] = FamilyMetadata()
        if kind == "TYPE":
            if text not in _TYPES:
                self.fail(f"invalid metric type {show(text)}")
            meta.type = self.family_type = text.decode("ascii")
            self.family_name = name
            return
        try:
            decoded = text.decode("utf-8")
        except UnicodeDecodeError:
            self.fail(f"help text {show(text)} is not a valid utf8 string")
        if kind == "HELP":
            meta.help = unescape_help(text)
            return
        if decoded and not name.endswith("_" + decoded):
            self.fail(f'unit "{decoded}" not a suffix of metric "{name}"')
        meta.unit = self.family_unit = decoded

    def _sample(self, into: Exposition) -> None:
        pairs = self.series()
        key = self.body[self.start : self.pos]
        value = self._value("metric")
        ts = self._timestamp()
        if self.take(_EXEMPLAR):
            self._exemplar()
        elif not self.take_byte(b"\n"):
            if self.pos >= len(self.body):
                self.fail("data does not end with # EOF")
            self.unexpected("expected next entry after timestamp" if ts is not None else "expected a new record")
        into.samples.append(ParsedSample(key, self.checked(pairs), value, ts, self.line_of(self.start)))

    def _value(self, after: str) -> float:
        text = self.take(_SPACED)
        if text is None:
            self.unexpected(f"expected value after {after}")
        return self.number(text[1:])

    def _timestamp(self) -> int | None:
        if _EXEMPLAR.match(self.body, self.pos):
            return None
        text = self.take(_SPACED)
        if text is None:
            return None
        seconds = self.number(text[1:])
        if math.isnan(seconds) or math.isinf(seconds):
            self.fail(f"invalid timestamp {seconds:f}")
        return to_ms(seconds)

    def _exemplar(self) -> None:
        pairs: Pairs = []
        self.labels(pairs, _VALUE_QUOTED, may_name=False)
        self._value("exemplar labels")
        text = self.take(_SPACED)
        if text is not None:
            seconds = self.number(text[1:])
            if math.isnan(seconds) or math.isinf(seconds):
                self.fail(f"invalid exemplar timestamp {seconds:f}")
        if not self.take_byte(b"\n"):
            self.unexpected("expected next entry after exemplar")
