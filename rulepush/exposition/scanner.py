"""The scanning that the three grammars share: tokens by regular expression, errors in Prometheus' words."""

from __future__ import annotations

import math
import re
from typing import Final, NoReturn

from rulepush.errors import ExpositionError
from rulepush.exposition.entries import Exposition, ParsedSample
from rulepush.exposition.literals import parse_value, show, unescape
from rulepush.model.floats import format_float_openmetrics, parse_float
from rulepush.model.labels import METRIC_NAME

METRIC_TOKEN: Final = re.compile(rb"[a-zA-Z_:][a-zA-Z0-9_:]*")
LABEL_TOKEN: Final = re.compile(rb"[a-zA-Z_][a-zA-Z0-9_]*")
BLANKS: Final = re.compile(rb"[ \t]*")
QUOTED_TOKEN: Final = re.compile(rb'"(?:\\[^\n]|[^\\"])*"')
QUOTED_NAME_TOKEN: Final = re.compile(rb'"(?:\\[^\n\0]|[^\\"\0])*"')

# Nearly every line: a bare name, then labels in the usual spelling.
USUAL_SERIES: Final = (
    rb'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-zA-Z_][a-zA-Z0-9_]*="[^"\\\n]*(?:\\[^\n][^"\\\n]*)*"(?:,|(?=\})))*)\})? '
)
_USUAL_LABEL: Final = re.compile(rb'([a-zA-Z_][a-zA-Z0-9_]*)="([^"\\]*(?:\\.[^"\\]*)*)"')

_TOKEN_NAMES: Final = {"{": "BOPEN", "}": "BCLOSE", "=": "EQUAL", ",": "COMMA"}
# ParseFloat lets an underscore stand between two digits.
_UNDERSCORE: Final = re.compile(r"(?<=[0-9])_(?=[0-9])")
_HEX_UNDERSCORE: Final = re.compile(r"(?<=[0-9A-Fa-fxX])_(?=[0-9A-Fa-f])")
_BOUNDS: Final = {"histogram": "le", "summary": "quantile"}

Pairs = list[tuple[str, str]]


class Scanner:
    """A position in a body. `start` is where the present entry began, `token` where the present token did,
    `family_type` what the last TYPE line said, of `family_name`, and `family_unit` what the last UNIT line said,
    of whatever family: so it is in Prometheus.

    What Prometheus' lexers do differently is in the four class attributes.
    """

    free_blanks = False  # whether blanks may stand between tokens
    value_token: re.Pattern[bytes] = QUOTED_TOKEN
    commas_required = True
    names_tokens = False  # whether an error names the token that was found

    def __init__(self, body: bytes):
        self.body = body
        self.pos = 0
        self.start = 0
        self.token = 0
        self.family_type = ""
        self.family_name = ""
        self.family_unit = ""
        self._counted = (0, 1)  # a position and its line: counting goes on from there

    def line_of(self, pos: int) -> int:
        """The 1-based line of a position."""
        at, line = self._counted
        if pos < at:
            at, line = 0, 1
        line += self.body.count(b"\n", at, pos)
        self._counted = (pos, line)
        return line

    def usual(self, found: re.Match[bytes], into: Exposition) -> bool:
        """Read what `USUAL_SERIES + value (+ timestamp)` matched; False when the long way must say what is wrong."""
        name, inside, value = found.group(1, 2, 3)
        self.start = found.start()
        pairs = [(METRIC_NAME, name.decode("ascii"))]
        if inside:
            labels = usual_labels(inside)
            if labels is None:
                return False
            pairs += labels
        self.pos = found.end(3)
        number = self.number(value)
        self.pos = found.end()
        key = self.body[self.start : found.start(3) - 1]
        ts = found[4] if found.re.groups > 3 else None
        line = self.line_of(self.start)
        into.samples.append(ParsedSample(key, self.checked(pairs), number, None if ts is None else int(ts), line))
        return True

    def fail(self, message: str) -> NoReturn:
        """The entry is wrong."""
        raise ExpositionError(self.line_of(self.start), message)

    def unexpected(self, expected: str, got: str = "INVALID") -> NoReturn:
        """Something else stands at the present token."""
        end = min(len(self.body), max(self.pos, self.token) + 1)
        seen, whole = show(self.body[self.token : end]), show(self.body[self.start : end])
        self.fail(f'{expected}, got {seen} ("{got}") while parsing: {whole}')

    def skip_blanks(self) -> None:
        """Skip what may stand between tokens."""
        if self.free_blanks:
            found = BLANKS.match(self.body, self.pos)
            if found is not None:
                self.pos = found.end()

    def series(self) -> Pairs:
        """The name and the labels at the present position."""
        pairs: Pairs = []
        name = self.take(METRIC_TOKEN)
        if name is not None:
            pairs.append((METRIC_NAME, name.decode("ascii")))
            self.skip_blanks()
            if self.take_byte(b"{"):
                self.labels(pairs)
        elif self.take_byte(b"{"):
            self.labels(pairs)
        else:
            self.unexpected("expected a valid start token")
        if not any(n == METRIC_NAME for n, _ in pairs):
            self.fail(f"metric name not set while parsing: {show(self.body[self.start : self.pos])}")
        return pairs

    def labels(self, pairs: Pairs, names: re.Pattern[bytes] = QUOTED_NAME_TOKEN, *, may_name: bool = True) -> None:
        """The inside of braces into `pairs`, up to and with the closing one.

        `names` is a quoted label name. With `may_name`, a quoted string alone is the metric name. (Prometheus takes a
        bare word there, too, and cuts its ends off.)
        """
        named = bool(pairs)
        while True:
            self.skip_blanks()
            if self.take_byte(b"}"):
                return
            token = self.take(LABEL_TOKEN) or self.take(names)
            if token is None:
                self.unexpected("expected label name", self.token_name())
            self.skip_blanks()
            closes = self.take_byte(b"}")
            if closes or self.take_byte(b","):
                if not may_name or token[:1] != b'"':
                    self.unexpected("expected equal")
                if named:
                    self.fail(f"metric name already set while parsing: {show(self.body[self.start : self.pos])}")
                named = True
                pairs.insert(0, (METRIC_NAME, self.name_of(token)))
                if closes:
                    return
                continue
            if not self.take_byte(b"="):
                self.unexpected("expected equal", self.token_name())
            self.skip_blanks()
            value = self.take(self.value_token)
            if value is None:
                self.unexpected("expected label value", self.token_name())
            pairs.append((self.name_of(token), self.quoted(value)))
            self.skip_blanks()
            if not self.take_byte(b",") and self.commas_required:
                if self.take_byte(b"}"):
                    return
                self.unexpected("expected comma or brace close")

    def token_name(self) -> str:
        """How an error calls what stands here."""
        if not self.names_tokens:
            return "INVALID"
        if self.pos >= len(self.body):
            return "EOF"
        return _TOKEN_NAMES.get(chr(self.body[self.pos]), "INVALID")

    def take(self, token: re.Pattern[bytes]) -> bytes | None:
        """The token at the present position, or None."""
        self.token = self.pos
        found = token.match(self.body, self.pos)
        if found is None:
            return None
        self.pos = found.end()
        return found[0]

    def take_byte(self, byte: bytes) -> bool:
        """Whether this byte stands here; it is then taken."""
        self.token = self.pos
        if self.body.startswith(byte, self.pos):
            self.pos += 1
            return True
        return False

    def quoted(self, text: bytes) -> str:
        """The content of a label value token; it must be UTF-8."""
        try:
            return unescape(text[1:-1]).decode("utf-8")
        except UnicodeDecodeError:
            self.fail(f"invalid UTF-8 label value: {show(text)}")

    def name_of(self, token: bytes) -> str:
        """A name, bare or quoted."""
        if token[:1] != b'"':
            return token.decode("ascii")
        try:
            return unescape(token[1:-1]).decode("utf-8")
        except UnicodeDecodeError:
            self.fail(f"invalid metric name or label names: {show(token)}")

    def number(self, text: bytes) -> float:
        """A value or a timestamp in floating point."""
        try:
            return parse_value(text)
        except ValueError as e:
            self.fail(f"{e} while parsing: {show(self.body[self.start : self.pos])}")

    def checked(self, pairs: Pairs) -> tuple[tuple[str, str], ...]:
        """The pairs of one series: a name must be there, and none may come twice.

        Bounds are written as OpenMetrics does (`le="1"` becomes `le="1.0"`), so that a series is the same whichever
        text brought it. Source: prometheus model/textparse/promparse.go normalizeFloatsInLabelValues, since version 3.
        Like there, the last TYPE line decides, whatever name it had.
        """
        names = {name for name, _ in pairs}
        if METRIC_NAME not in names:
            self.fail(f"metric name not set while parsing: {show(self.body[self.start : self.pos])}")
        if len(names) != len(pairs):
            twice = next(name for i, (name, _) in enumerate(pairs) if name in {n for n, _ in pairs[:i]})
            self.fail(f'label name "{twice}" is not unique: invalid sample')
        bound = _BOUNDS.get(self.family_type)
        return tuple(pairs) if bound not in names else tuple((n, _bound(v) if n == bound else v) for n, v in pairs)


def usual_labels(inside: bytes) -> Pairs | None:
    """The pairs between the braces that `USUAL_SERIES` matched; None when a value is not UTF-8."""
    try:
        return [
            (k.decode("ascii"), (unescape(v) if b"\\" in v else v).decode("utf-8"))
            for k, v in _USUAL_LABEL.findall(inside)
        ]
    except UnicodeDecodeError:
        return None


def _bound(text: str) -> str:
    """formatOpenMetricsFloat(strconv.ParseFloat(text)); what Go cannot read, or finds out of range, stays."""
    digits = _HEX_UNDERSCORE if text.lstrip("+-")[:2].lower() == "0x" else _UNDERSCORE
    try:
        value = parse_float(digits.sub("", text) if "_" in text else text)
    except (ValueError, OverflowError):
        return text
    if math.isinf(value) and "inf" not in text.lower():
        return text
    return format_float_openmetrics(value or 0.0)
