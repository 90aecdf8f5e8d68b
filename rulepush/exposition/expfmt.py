"""The text format as Pushgateway reads it: stricter than a scraper, with its own error texts.

Source: prometheus/common expfmt/text_parse.go. A family has one TYPE, before its samples, and one HELP; the body ends
with a newline; no entry spans two lines. Timestamps are noted, because a push must not have any.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Final, Never

from rulepush.errors import PushError
from rulepush.exposition.families import FamilyType, Metric, MetricFamily, Pairs
from rulepush.model.floats import parse_float
from rulepush.model.labels import METRIC_NAME, quote_label_value

_BLANKS: Final = re.compile(r"[ \t]*")
_METRIC: Final = re.compile(r"(?:[a-zA-Z_:][a-zA-Z0-9_:]*)?")
_LABEL: Final = re.compile(r"(?:[a-zA-Z_][a-zA-Z0-9_]*)?")
_WORD: Final = re.compile(r"[^ \t\n]*")
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,1000}")
_PLAIN_VALUE: Final = re.compile(r'[^"\\\n]*')
_SUFFIXES: Final = ("_count", "_sum", "_bucket")
_ESCAPES: Final = {"\\": "\\", "n": "\n", '"': '"'}


@dataclass(slots=True)
class _Metric:
    pairs: Pairs
    value: float = 0.0
    count: float = 0.0
    parts: list[tuple[float, float]] = field(default_factory=list)


@dataclass(slots=True)
class _Family:
    name: str
    type: FamilyType | None = None
    help: str | None = None
    metrics: list[_Metric] = field(default_factory=list)
    compound: dict[Pairs, _Metric] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ParsedBody:
    """The families of a body by name, and whether any sample had a timestamp."""

    families: dict[str, MetricFamily]
    timestamps: bool


def parse_families(body: bytes) -> ParsedBody:
    """Parse a whole body. Raises PushError 400 in Pushgateway's words."""
    parser = _Parser()
    lines = body.decode("utf-8", "surrogateescape").split("\n")
    for number, line in enumerate(lines, 1):
        last = number == len(lines)
        if not last or line.strip(" \t"):
            parser.line(number, line if last else line + "\n")
    families = {
        f.name: MetricFamily(
            f.name,
            f.type or FamilyType.UNTYPED,
            f.help or "",
            tuple(Metric(m.pairs, m.value, m.count, tuple(m.parts)) for m in f.metrics),
        )
        for f in parser.families.values()
        if f.metrics
    }
    return ParsedBody(families, parser.timestamps)


class _Parser:
    def __init__(self) -> None:
        self.families: dict[str, _Family] = {}
        self.timestamps = False
        self._number = 0
        self._text = ""
        self._pos = 0

    def line(self, number: int, text: str) -> None:
        """One line with its newline; without it, reading on past its end is the end of the body."""
        self._number, self._text, self._pos = number, text, 0
        self._blanks()
        first = self._peek()
        if first == "#":
            self._pos += 1
            self._comment()
        elif first != "\n":
            self._sample()

    # --- tokens

    def _fail(self, message: str) -> Never:
        text = f"text format parsing error in line {self._number}: {message}"
        raise PushError(400, text.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))

    def _peek(self) -> str:
        if self._pos >= len(self._text):
            self._fail("unexpected end of input stream")
        return self._text[self._pos]

    def _take(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._pos)
        if found is None:
            return ""
        self._pos = found.end()
        return found[0]

    def _blanks(self) -> None:
        self._take(_BLANKS)

    def _token(self, pattern: re.Pattern[str], what: str) -> str:
        """A name, bare or quoted; "" where there is none."""
        if self._peek() != '"':
            return self._take(pattern)
        return self._quoted(f"{what} name")

    def _metric_name(self, token: str) -> str:
        """Quoted or not, a name must be one of the old scheme, as Pushgateway has it without its flag
        --push.enable-utf8-names."""
        if _METRIC.fullmatch(token) is None:
            self._fail(f"invalid metric name {quote_label_value(token)}")
        return token

    def _rest(self) -> str:
        text = self._text[self._pos :]
        if not text.endswith("\n"):
            self._fail("unexpected end of input stream")
        return text[:-1]

    # --- comments

    def _comment(self) -> None:
        self._blanks()
        keyword = self._take(_WORD)
        if self._peek() == "\n":
            return
        if keyword not in ("HELP", "TYPE"):
            self._rest()
            return
        self._blanks()
        name = self._metric_name(self._token(_METRIC, "metric"))
        if self._peek() == "\n":
            return
        if self._peek() not in " \t":
            self._fail("invalid metric name in comment")
        family = self._family(name)
        self._blanks()
        if self._peek() == "\n":
            return
        if keyword == "HELP":
            if family.help is not None:
                self._fail(f"second HELP line for metric name {quote_label_value(family.name)}")
            family.help = self._help(self._rest())
            return
        if family.type is not None:
            self._fail(
                f"second TYPE line for metric name {quote_label_value(family.name)}, or TYPE reported after samples"
            )
        word = self._rest()
        try:
            family.type = FamilyType(word.upper())
        except ValueError:
            self._fail(f"unknown metric type {quote_label_value(word)}")

    def _help(self, text: str) -> str:
        def escape(found: re.Match[str]) -> str:
            if found[1] not in ("\\", "n"):
                self._fail(f"invalid escape sequence '\\{found[1]}'")
            return _ESCAPES[found[1]]

        return re.sub(r"\\(.?)", escape, text).encode("utf-8", "surrogateescape").decode("utf-8", "replace")

    # --- samples

    def _family(self, name: str) -> _Family:
        """The family that a name belongs to: its own, or the summary or histogram that it is a part of."""
        family = self.families.get(name)
        if family is not None:
            return family
        base = next((name.removesuffix(s) for s in _SUFFIXES if name.endswith(s) and name != s), "")
        owner = self.families.get(base)
        if owner is not None and (
            owner.type is FamilyType.HISTOGRAM or (owner.type is FamilyType.SUMMARY and not name.endswith("_bucket"))
        ):
            return owner
        family = self.families[name] = _Family(name)
        return family

    def _sample(self) -> None:
        name = self._metric_name(self._token(_METRIC, "metric"))
        pairs: list[tuple[str, str]] = []
        bound = math.nan
        self._peek()
        if name:
            self._blanks()
        if self._peek() == "{":
            self._pos += 1
            name, bound = self._labels(name, pairs)
            self._blanks()
        if not name:
            self._fail("invalid metric name")
        family = self._sampled(name)
        metric = self._metric(family, tuple(sorted(pairs)))
        text = self._take(_WORD)
        try:
            if any(c in text for c in "pPxX_"):
                raise ValueError
            value = parse_float(text)
        except ValueError:
            self._fail(f"expected float as value, got {quote_label_value(text)}")
        end = self._peek()
        self._assign(family, metric, name, bound, value)
        if end != "\n":
            self._timestamp()

    def _sampled(self, name: str) -> _Family:
        """The family of a sample; from its first sample on its type is settled."""
        family = self._family(name)
        family.type = family.type or FamilyType.UNTYPED
        return family

    def _metric(self, family: _Family, pairs: Pairs) -> _Metric:
        known = family.compound.get(pairs) if family.type and family.type.compound else None
        if known is not None:
            return known
        metric = family.compound[pairs] = _Metric(pairs)
        family.metrics.append(metric)
        return metric

    @staticmethod
    def _assign(family: _Family, metric: _Metric, name: str, bound: float, value: float) -> None:
        if family.type is None or not family.type.compound:
            metric.value = value
        elif name != family.name and name.endswith("_count"):
            metric.count = _whole(value)
        elif name != family.name and name.endswith("_sum"):
            metric.value = value
        elif not math.isnan(bound):
            metric.parts.append((bound, _whole(value) if family.type is FamilyType.HISTOGRAM else value))

    def _timestamp(self) -> None:
        self._blanks()
        text = self._take(_WORD)
        if _INTEGER.fullmatch(text) is None or not -(1 << 63) <= int(text) < 1 << 63:
            self._fail(f"expected integer as timestamp, got {quote_label_value(text)}")
        self.timestamps = True
        rest = self._rest()
        if rest:
            self._fail(f"spurious string after timestamp: {quote_label_value(rest)}")

    def _labels(self, name: str, pairs: list[tuple[str, str]]) -> tuple[str, float]:
        """Read up to and with the closing brace into `pairs`. Returns the metric's name, which may stand among the
        labels when `name` is empty, and the bound (`le`, `quantile`) or NaN."""
        before, metric, special = bool(name), name, self._special(name)
        names: set[str] = set()
        bound = math.nan
        while True:
            self._blanks()
            if self._peek() == "}":
                self._pos += 1
                return metric, bound
            name = self._token(_LABEL, "label")
            self._peek()
            if not name:
                self._fail(f"invalid label name for metric {quote_label_value(metric)}")
            if name == METRIC_NAME:
                self._fail(f'label name "{METRIC_NAME}" is reserved')
            self._blanks()
            if self._peek() != "=" and not before:
                if metric:
                    self._fail(f"multiple metric names for metric {quote_label_value(metric)}")
                if self._peek() not in ",}":
                    self._fail(f"unexpected end of metric name {_char(self._peek())}")
                metric = self._metric_name(name)
                special = self._special(metric)
                self._pos += self._peek() == ","
                continue
            if _LABEL.fullmatch(name) is None:
                self._fail(f"invalid label name {quote_label_value(name)}")
            if self._peek() != "=":
                self._fail(f"expected '=' after label name, found {_char(self._peek())}")
            if name in names:
                self._fail(f"duplicate label names for metric {quote_label_value(metric)}")
            self._pos += 1
            value = self._label_value()
            if name == special:
                try:
                    bound = parse_float(value)
                except ValueError:
                    self._fail(f"expected float as value for '{special}' label, got {quote_label_value(value)}")
            else:
                names.add(name)
                pairs.append((name, value))
            self._blanks()
            if self._peek() == ",":
                self._pos += 1
            elif self._peek() != "}":
                self._fail(f"unexpected end of label value {quote_label_value(value)}")

    def _special(self, name: str) -> str | None:
        """The label that is a bound in samples of this name."""
        kind = self._sampled(name).type if name else None
        return {FamilyType.SUMMARY: "quantile", FamilyType.HISTOGRAM: "le"}.get(kind or FamilyType.UNTYPED)

    def _label_value(self) -> str:
        self._blanks()
        if self._peek() != '"':
            self._fail(f"expected '\"' at start of label value, found {_char(self._peek())}")
        return self._quoted("label value")

    def _quoted(self, what: str) -> str:
        """The text between the quote_label_value that stands here and the next one."""
        self._pos += 1
        value = ""
        while True:
            value += self._take(_PLAIN_VALUE)
            stop = self._peek()
            self._pos += 1
            if stop == '"':
                break
            if stop == "\n":
                self._fail(f"{what} {quote_label_value(value)} contains unescaped new-line")
            escaped = self._peek()
            if escaped not in _ESCAPES:
                self._fail(f"invalid escape sequence '\\{escaped}'")
            value += _ESCAPES[escaped]
            self._pos += 1
        if any("\udc80" <= c <= "\udcff" for c in value):
            shown = re.sub("[\udc80-\udcff]", lambda c: f"\\x{ord(c[0]) & 0xFF:02x}", value)
            self._fail(f'invalid {what} "{shown}"')
        return value


def _whole(value: float) -> float:
    """Counts are whole numbers in Pushgateway's model."""
    return float(math.trunc(value)) if math.isfinite(value) else value


def _char(c: str) -> str:
    """One character as Go's %q prints a byte."""
    return {"\n": r"'\n'", "\t": r"'\t'", "'": r"'\''", "\\": r"'\\'"}.get(c, f"'{c}'")
