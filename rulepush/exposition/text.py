"""The text format 0.0.4, with exactly the leniencies of Prometheus' own parser.

Source: prometheus model/textparse/promlex.l and promparse.go, version 3. Blanks are free between tokens, commas
between labels are optional, a quoted string may hold a raw newline, the last newline may be missing, families may
mix, and a line need not have a blank before its value.
"""

from __future__ import annotations

import re
from typing import Final

from rulepush.exposition.entries import Exposition, FamilyMetadata, ParsedSample
from rulepush.exposition.literals import show, unescape_help
from rulepush.exposition.scanner import METRIC_TOKEN, QUOTED_NAME_TOKEN, USUAL_SERIES, Scanner

_VALUE: Final = re.compile(rb"[^{ \t\n]+")
_TIMESTAMP: Final = re.compile(rb"[0-9]+")
_META: Final = re.compile(rb"(HELP|TYPE)[\t ]+")
_ALL_META: Final = re.compile(rb"(HELP|TYPE|UNIT)[\t ]+")
_REST: Final = re.compile(rb"[^\n]*")
_TYPES: Final = frozenset(("counter", "gauge", "histogram", "summary", "untyped"))
_MAX_INT64: Final = (1 << 63) - 1
_MAX_DIGITS: Final = len(str(_MAX_INT64))

_USUAL: Final = re.compile(USUAL_SERIES + rb"([^{ \t\n]+)(?: ([0-9]{1,18}))?\n")


def parse_text(body: bytes) -> Exposition:
    """Parse a whole body. Raises ExpositionError at the first thing wrong."""
    parser = TextParser(body)
    found = Exposition()
    while parser.next(found):
        pass
    return found


def parse_text_line(line: bytes, family_type: str = "") -> ParsedSample | None:
    """One line without its newline: its sample, None for a comment or a blank line. Raises ExpositionError."""
    parser = TextParser(line)
    parser.family_type = family_type
    found = Exposition()
    parser.next(found)
    return found.samples[0] if found.samples else None


class TextParser(Scanner):
    """Walks over the entries of a body."""

    free_blanks = True
    commas_required = False
    names_tokens = True
    meta = _META
    types = _TYPES

    def __init__(self, body: bytes):
        super().__init__(body + b"\n")  # Prometheus appends one, too

    def next(self, into: Exposition) -> bool:
        """Read one entry into `into`; False at the end."""
        body, pos = self.body, self.pos
        usual = _USUAL.match(body, pos)
        if usual is not None and self.usual(usual, into):
            return True
        while True:
            self.start = self.pos
            self.skip_blanks()
            if not self.take_byte(b"\n"):
                break
        # A NUL where an entry would begin ends the body, for Prometheus' lexer takes it for the end.
        if self.pos >= len(body) or body[self.pos] == 0:
            return False
        if self.take_byte(b"#"):
            self._comment(into)
        else:
            self._sample(into)
        return True

    # --- comments and metadata

    def _comment(self, into: Exposition) -> None:
        self.skip_blanks()
        if self.body.startswith(b"\0", self.pos):  # as where an entry would begin: see `next`
            self.pos = len(self.body)
            return
        if self.body[self.pos - 1] == ord("#"):
            self._end_of_comment()
            return
        found = self.meta.match(self.body, self.pos)
        if found is None:
            self._end_of_comment()
            return
        self.token, self.pos = self.pos, found.end()
        kind = found[1]
        token = self.take(METRIC_TOKEN) or self.take(QUOTED_NAME_TOKEN)
        if token is None:
            self.unexpected(f"expected metric name after {kind.decode('ascii')}")
        if self.body.startswith(b"\0", self.pos):
            self.token, self.pos = self.pos, self.pos + 1
            self.unexpected("linebreak expected after metadata", "EOF")
        text = (self.take(_REST) or b"")[1:]
        name = self.name_of(token)
        meta = into.metadata.get(name)
        if meta is None:
            meta = into.metadata[name] = FamilyMetadata()
        if kind == b"TYPE":
            if text.decode("latin-1") not in self.types:
                self.fail(f"invalid metric type {show(text)}")
            meta.type = self.family_type = "unknown" if text == b"untyped" else text.decode("ascii")
            self.family_name = name
        elif kind == b"UNIT":
            meta.unit = self.family_unit = text.decode("utf-8", "replace")
        else:
            try:
                text.decode("utf-8")
            except UnicodeDecodeError:
                self.fail(f"help text {show(text)} is not a valid utf8 string")
            meta.help = unescape_help(text)
        self.take_byte(b"\n")

    def _end_of_comment(self) -> None:
        self.take(_REST)
        self.take_byte(b"\n")

    # --- samples

    def _sample(self, into: Exposition) -> None:
        begin = self.token = self.pos
        pairs = self.series()
        self.skip_blanks()
        value_at = self.pos
        text = self.take(_VALUE)
        if text is None:
            self.unexpected("expected value after metric", self.token_name())
        value = self.number(text)
        ts = self._timestamp()
        space = self.body[value_at - 1 : value_at] == b" "
        key = self.body[begin : value_at - 1 if space else value_at]
        into.samples.append(ParsedSample(key, self.checked(pairs), value, ts, self.line_of(self.start)))

    def _timestamp(self) -> int | None:
        self.skip_blanks()
        digits = self.take(_TIMESTAMP)
        if digits is None:
            if not self.take_byte(b"\n"):
                self.unexpected("expected timestamp or new record")
            return None
        number = digits.lstrip(b"0") or b"0"
        if len(number) > _MAX_DIGITS or int(number) > _MAX_INT64:  # Python refuses to read thousands of digits
            whole = show(self.body[self.start : self.pos])
            self.fail(f"strconv.ParseInt: parsing {show(digits)}: value out of range while parsing: {whole}")
        self.skip_blanks()
        if not self.take_byte(b"\n"):
            self.unexpected("expected next entry after timestamp")
        return int(number)


class TranslatedParser(TextParser):
    """Reads what translators of bodies write: the same with all of the metadata that protobuf and OpenMetrics have."""

    meta = _ALL_META
    types = _TYPES | {"gaugehistogram", "info", "stateset", "unknown"}
