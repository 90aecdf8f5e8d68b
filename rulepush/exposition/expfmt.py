"""The text format as Pushgateway reads it, into metric families.

Source: prometheus/common expfmt/text_parse.go (TextParser), whose error texts are kept. The format is that of `text.py`
but the program and its verdicts are others, and a push has to get Pushgateway's. Stricter: a family has one TYPE line,
before its samples, and one HELP line; the body ends with a newline; no entry spans two lines; commas between labels are
required; an unknown escape is an error. Laxer: a quoted name may stand without braces, TYPE is read in either case,
timestamps may be negative. Tokens, line numbers and floats are the scanner's.

Unlike there, braces without a metric name are an error (TextParser adds such a sample to the metric of the line before,
or crashes), and a label that stands before the name in braces is never taken for a bound.
"""

from __future__ import annotations

import math
import re
from typing import Final

from rulepush.exposition.families import FamilyBuilder, FamilyType, MetricBuilder, ParsedFamilies, build_families
from rulepush.exposition.literals import parse_value
from rulepush.exposition.scanner import LABEL_TOKEN, METRIC_TOKEN, USUAL_SERIES, Pairs, Scanner, usual_labels
from rulepush.gotext.goquote import go_quote, quote_char
from rulepush.model.labels import METRIC_NAME, is_legacy_label_name, is_legacy_metric_name

_WORD: Final = re.compile(rb"[^ \t\n]*")
_REST: Final = re.compile(rb"[^\n]*")
_INTEGER: Final = re.compile(rb"[+-]?[0-9]{1,1000}")  # Python refuses to read many thousand digits
_UNESCAPED: Final = re.compile(rb'[^"\\\n]+')
_ESCAPES: Final = {b"\\": b"\\", b"n": b"\n", b'"': b'"'}
_USUAL: Final = re.compile(USUAL_SERIES + rb"([^ \t\n]+)\n")
_SUFFIXES: Final = ("_count", "_sum", "_bucket")
_TYPES: Final = {kind.value: kind for kind in FamilyType} | {"GAUGEHISTOGRAM": FamilyType.GAUGE_HISTOGRAM}


def parse_expfmt(body: bytes) -> ParsedFamilies:
    """Parse a whole body. Raises ExpositionError at the first thing wrong, in Pushgateway's words."""
    parser = ExpfmtParser(body)
    while parser.next():
        pass
    return ParsedFamilies(build_families(parser.families), parser.timestamps)


class ExpfmtParser(Scanner):
    """Walks over the lines of a body and collects their families."""

    free_blanks = True

    def __init__(self, body: bytes):
        super().__init__(body)
        self.families: dict[str, FamilyBuilder] = {}
        self.timestamps = False

    def next(self) -> bool:
        """Read one line with its newline; False at the end."""
        self.start = self.pos
        usual = _USUAL.match(self.body, self.pos)
        if usual is not None and self._usual_sample(usual):
            return True
        self.skip_blanks()
        if self.pos >= len(self.body):  # the one place where the body may end
            return False
        if self.take_byte(b"#"):
            self._comment()
        elif not self.take_byte(b"\n"):
            self._sample()
        return True

    # --- tokens

    def _peek(self) -> bytes:
        """The byte at the present position; in a line there must be one."""
        if self.pos >= len(self.body):
            self.fail("unexpected end of input stream")
        return self.body[self.pos : self.pos + 1]

    def _peek_quoted(self) -> str:
        return quote_char(self._peek()[0])

    def _token(self, token: re.Pattern[bytes]) -> bytes:
        """A token that may be empty."""
        text = self.take(token) or b""
        self._peek()
        return text

    def _name(self, bare: re.Pattern[bytes], what: str) -> bytes:
        """A name, bare or quoted or one after the other (`a"b"` is `ab`); empty where there is none."""
        name = self._token(bare)
        if self.take_byte(b'"'):
            name = self._unescaped(b'"', what, name)
            self._peek()
        return name

    def _unescaped(self, end: bytes, what: str, begun: bytes = b"") -> bytes:
        """`begun` and the text up to `end`, which is taken, its escapes replaced."""
        text = begun
        while True:
            text += self.take(_UNESCAPED) or b""
            byte = self._peek()
            self.pos += 1
            if byte == end:
                return text
            if byte == b"\\":
                escaped = self._peek()
                if escaped not in _ESCAPES:
                    self.fail(f"invalid escape sequence '\\{chr(escaped[0])}'")
                self.pos += 1
                text += _ESCAPES[escaped]
            elif byte == b"\n":
                self.fail(f"{what} {_quote(text)} contains unescaped new-line")
            else:
                text += byte

    def _rest(self) -> bytes:
        """What is left of the line, which is taken with its newline. Backslashes are dropped."""
        text = self._token(_REST)
        self.pos += 1
        return text.replace(b"\\", b"")

    # --- comments

    def _comment(self) -> None:
        self.skip_blanks()
        keyword = self._token(_WORD)
        if self.take_byte(b"\n"):
            return
        if keyword not in (b"HELP", b"TYPE"):
            self._rest()
            return
        self.skip_blanks()
        self._peek()
        name = self._name(METRIC_TOKEN, "metric name")
        if self.take_byte(b"\n"):
            return
        if self._peek() not in b" \t":
            self.fail("invalid metric name in comment")
        family = self._family(name)
        self.skip_blanks()
        self._peek()
        if self.take_byte(b"\n"):
            return
        if keyword == b"HELP":
            if family.help is not None:
                self.fail(f"second HELP line for metric name {go_quote(family.name)}")
            family.help = self._unescaped(b"\n", "help text").decode("utf-8", "replace")
            return
        if family.type is not None:
            self.fail(f"second TYPE line for metric name {go_quote(family.name)}, or TYPE reported after samples")
        word = self._rest()
        family.type = _TYPES.get(word.decode("utf-8", "replace").upper())
        if family.type is None:
            self.fail(f"unknown metric type {_quote(word)}")

    # --- samples

    def _family(self, token: bytes) -> FamilyBuilder:
        """The family that a name belongs to: its own, or the summary or histogram that it is a part of. Quoted or not,
        the name must be a legacy one, as it must for Pushgateway without its flag --push.enable-utf8-names."""
        name = token.decode("utf-8", "surrogateescape")
        if not is_legacy_metric_name(name):
            self.fail(f"invalid metric name {go_quote(name)}")
        family = self.families.get(name)
        if family is not None:
            return family
        base = next((name.removesuffix(s) for s in _SUFFIXES if name.endswith(s) and name != s), "")
        owner = self.families.get(base)
        if owner is not None and owner.type is not None:
            parts = _SUFFIXES if owner.type.has_buckets else _SUFFIXES[:2] if owner.type.compound else ()
            if name.endswith(parts):
                return owner
        family = self.families[name] = FamilyBuilder(name)
        return family

    def _sampled(self, token: bytes) -> FamilyBuilder:
        """The family of a sample: from its first sample on its type is fixed."""
        family = self._family(token)
        family.type = family.type or FamilyType.UNTYPED
        return family

    def _usual_sample(self, found: re.Match[bytes]) -> bool:
        """Read what `_USUAL` matched; False when the long way must read it or say what is wrong."""
        token, inside, text = found.group(1, 2, 3)
        pairs = [] if inside is None or b"\\" in inside else usual_labels(inside)
        if pairs is None or (inside and not pairs):
            return False
        labels = dict(pairs)
        try:
            value = parse_value(text)
            family = self._sampled(token)
            bound_text = labels.pop(family.type.bound_label or "", None) if family.type is not None else None
            bound = math.nan if bound_text is None else parse_value(bound_text.encode())
        except ValueError:
            return False
        if METRIC_NAME in labels or len(labels) + (bound_text is not None) < len(pairs):
            return False
        self._assign(family, family.metric(tuple(sorted(labels.items()))), token.decode("ascii"), bound, value)
        self.pos = found.end()
        return True

    def _sample(self) -> None:
        name, family = b"", None
        if self._peek() != b"{":
            name = self._name(METRIC_TOKEN, "metric name")
            if not name:
                self.fail("invalid metric name")
            family = self._sampled(name)
            self.skip_blanks()
        pairs: Pairs = []
        bound = math.nan
        self._peek()
        if self.take_byte(b"{"):
            name, family, bound = self._braces(name, family, pairs)
            self.skip_blanks()
        if family is None:
            self.fail("invalid metric name")
        text = self._token(_WORD)
        try:
            value = parse_value(text)
        except ValueError:
            self.fail(f"expected float as value, got {_quote(text)}")
        self._assign(family, family.metric(tuple(sorted(pairs))), name.decode("ascii"), bound, value)
        if not self.take_byte(b"\n"):
            self._timestamp()

    def _assign(self, family: FamilyBuilder, metric: MetricBuilder, name: str, bound: float, value: float) -> None:
        if family.type is None or not family.type.compound or (name != family.name and name.endswith("_sum")):
            metric.value = value
        elif name != family.name and name.endswith("_count"):
            if family.type.has_buckets:
                metric.count = self._population(family, value, "count")
            else:
                metric.count = float(math.trunc(value)) if math.isfinite(value) else value
        elif not math.isnan(bound):
            if family.type.has_buckets:
                value = self._population(family, value, "bucket population")
            metric.parts.append((bound, value))

    def _population(self, family: FamilyBuilder, value: float, what: str) -> float:
        """The count of a histogram or of a bucket, which may be a fraction."""
        if value < 0:
            self.fail(f"negative {what} for histogram {go_quote(family.name)}")
        return value

    def _timestamp(self) -> None:
        self.skip_blanks()
        text = self._token(_WORD)
        if _INTEGER.fullmatch(text) is None or not -(1 << 63) <= int(text) < 1 << 63:
            self.fail(f"expected integer as timestamp, got {_quote(text)}")
        self.timestamps = True
        rest = self._rest()
        if rest:
            self.fail(f"spurious string after timestamp: {_quote(rest)}")

    def _braces(
        self, metric: bytes, family: FamilyBuilder | None, pairs: Pairs
    ) -> tuple[bytes, FamilyBuilder | None, float]:
        """Read labels up to and with the closing brace into `pairs`.

        Returns the metric's name and its family, which may stand among the labels when none stood before them, and
        the bound (`le`, `quantile`) or NaN.
        """
        may_name, bound = family is None, math.nan
        names: set[str] = set()
        while True:
            self.skip_blanks()
            self._peek()
            if self.take_byte(b"}"):
                return metric, family, bound
            token = self._name(LABEL_TOKEN, "label name")
            if not token:
                self.fail(f"invalid label name for metric {_quoted_name(family)}")
            self.skip_blanks()
            byte = self._peek()
            if byte != b"=" and may_name:
                if family is not None:
                    self.fail(f"multiple metric names for metric {_quoted_name(family)}")
                if byte not in b",}":
                    self.fail(f"unexpected end of metric name {self._peek_quoted()}")
                metric, family = token, self._sampled(token)
                self.take_byte(b",")
                continue
            if byte != b"=":
                self.fail(f"expected '=' after label name, found {self._peek_quoted()}")
            self.pos += 1
            name = self._label_name(token)
            is_bound = family is not None and family.type is not None and name == family.type.bound_label
            if not is_bound and name in names:
                self.fail(f"duplicate label names for metric {_quoted_name(family)}")
            value = self._label_value()
            if is_bound:
                bound = self._bound(name, value)
            else:
                names.add(name)
                pairs.append((name, value))
            self.skip_blanks()
            if self._peek() not in b",}":
                self.fail(f"unexpected end of label value {go_quote(value)}")
            self.take_byte(b",")

    def _label_name(self, token: bytes) -> str:
        name = token.decode("utf-8", "surrogateescape")
        if name == METRIC_NAME:
            self.fail(f'label name "{METRIC_NAME}" is reserved')
        if not is_legacy_label_name(name):
            self.fail(f"invalid label name {go_quote(name)}")
        return name

    def _label_value(self) -> str:
        self.skip_blanks()
        if self._peek() != b'"':
            self.fail(f"expected '\"' at start of label value, found {self._peek_quoted()}")
        self.pos += 1
        value = self._unescaped(b'"', "label value")
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            self.fail(f"invalid label value {_quote(value)}")

    def _bound(self, label: str, value: str) -> float:
        try:
            return parse_value(value.encode())
        except ValueError:
            self.fail(f"expected float as value for '{label}' label, got {go_quote(value)}")


def _quoted_name(family: FamilyBuilder | None) -> str:
    return go_quote(family.name if family is not None else "")


def _quote(text: bytes) -> str:
    return go_quote(text.decode("utf-8", "surrogateescape"))
