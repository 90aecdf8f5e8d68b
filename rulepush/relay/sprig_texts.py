"""Sprig's texts, patterns, URLs, paths, checksums and decimals.

Sources: Masterminds/sprig 3.3, goutils, huandu/xstrings, shopspring/decimal.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import math
import posixpath
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from typing import Final, Protocol, cast
from urllib.parse import unquote, urlsplit

from rulepush.gotext.gofmt import go_format_value
from rulepush.gotext.values import (
    ANY,
    ANY_MAP,
    FLOAT64,
    INT,
    STRING,
    STRING_SLICE,
    CallError,
    Function,
    GoMap,
    GoSlice,
)
from rulepush.model.regex import RegexMatch
from rulepush.relay.sprig_values import (
    MAX_ITEMS,
    check_length,
    map_of,
    numbered,
    regex_call,
    split_text,
    to_float64,
    to_int,
)
from rulepush.template.goregex import compile_go


def _exact(value: object) -> Fraction:
    number = to_float64(value)
    if not math.isfinite(number):
        raise CallError(f"Cannot create a Decimal from {number}")
    return Fraction(repr(number))


def _decimal(step: Callable[[Fraction, Fraction], Fraction], first: object | None = None) -> Callable[..., float]:
    """Sprig's arithmetic with shopspring/decimal: exact, but for a division to 16 decimal places."""

    def run(*values: object) -> float:
        if len(values) > 1000:
            raise CallError("too many numbers")
        rest = list(values if first is not None else values[1:])
        result = _exact(first if first is not None else values[0])
        for value in rest:
            result = step(result, _exact(value))
        try:
            return float(result)
        except OverflowError:
            return math.inf if result > 0 else -math.inf

    return run


def _divided(left: Fraction, right: Fraction) -> Fraction:
    if right == 0:
        raise CallError("decimal division by 0")
    scaled = abs(left / right) * 10**16
    whole = (scaled.numerator * 2 + scaled.denominator) // (2 * scaled.denominator)
    return Fraction(whole if (left < 0) == (right < 0) else -whole, 10**16)


def _round(value: object, digits: int, *on: float) -> float:
    number, power = to_float64(value), 10.0 ** max(min(digits, 300), -300)
    scaled = number * power
    if not math.isfinite(scaled):
        return number
    fraction = math.modf(scaled)[0]
    return (math.ceil(scaled) if fraction >= (on[0] if on else 0.5) else math.floor(scaled)) / power


def _wrap(width: int, separator: str, text: str) -> str:
    """goutils.WrapCustom, long words wrapped."""
    width, separator = max(width, 1), separator or "\n"
    data, out, at, size = text, [], 0, 0
    while len(data) - at > width:
        if data[at] == " ":
            at += 1
            continue
        space = data.rfind(" ", at, at + width + 1)
        end = space if space >= at else at + width
        out.append(data[at:end])
        size += end - at + len(separator)
        check_length(size)
        at = end + 1 if space >= at else end
    return separator.join([*out, data[at:]])


def _abbrev_both(left: int, right: int, text: str) -> str:
    """goutils.AbbreviateFull."""
    if right < 4 or (left > 0 and right < 7) or len(text) <= right:
        return text
    offset = min(left, len(text))
    if len(text) - offset < right - 3:
        offset = len(text) - (right - 3)
    if offset <= 4:
        return text[: right - 3] + "..."
    if offset + right - 3 < len(text):
        return "..." + text[offset : offset + right - 6] + "..."
    return "..." + text[len(text) - (right - 3) :]


def _swapcase(text: str) -> str:
    return "".join(c.lower() if c.isupper() or c.istitle() else c.upper() if len(c.upper()) == 1 else c for c in text)


_WORD: Final = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+[0-9]*|[A-Z]+|[0-9]+[a-z]*|[^\W_]+")


def _lower_words(connector: str) -> Callable[[str], str]:
    def run(text: str) -> str:
        pieces = re.split(r"([^\w\s-]+)", text)
        return "".join(
            p if i % 2 else connector.join(w.lower() for w in _WORD.findall(p)) for i, p in enumerate(pieces)
        )

    return run


def _camelcase(text: str) -> str:
    """xstrings.ToPascalCase: a capital after each `_`, `-` or space, which go; what leads stays."""
    lead = re.match(r"[\s_-]*", text)
    start = lead.end() if lead is not None else 0
    words = re.split(r"[\s_-]+", text[start:])
    return text[:start] + "".join(w[:1].upper() + w[1:].lower() for w in words)


def _initials(text: str) -> str:
    return "".join(word[0] for word in text.split())


def _digest(name: str) -> Callable[[str], str]:
    return lambda text: hashlib.new(name, text.encode("utf-8", "surrogateescape")).hexdigest()


def _b32_decode(text: str) -> str:
    try:
        return base64.b32decode(text).decode("utf-8", "surrogateescape")
    except binascii.Error:
        return "illegal base32 data at input byte 0"


class _Searcher(Protocol):
    def search(self, text: str, pos: int, /) -> RegexMatch | None: ...


def _matches(pattern: str, text: str) -> Iterator[RegexMatch]:
    """All matches as Go counts them: no empty one right after another. Raises RegexError."""
    searcher = cast(_Searcher, compile_go(pattern))
    at, last_end = 0, -1
    while at <= len(text):
        match = searcher.search(text, at)
        if match is None:
            return
        if match.end() > match.start() or match.start() != last_end:
            yield match
        last_end = match.end()
        at = match.end() if match.end() > at else at + 1


def _find_all(pattern: str, text: str, limit: int) -> GoSlice:
    found: list[str] = []
    for match in _matches(pattern, text):
        if len(found) == limit or len(found) >= MAX_ITEMS:
            break
        found.append(match.group() or "")
    return GoSlice(found, STRING_SLICE)


def _literally(pattern: str, text: str, new: str) -> str:
    out, at, size = [], 0, len(text)
    for match in _matches(pattern, text):
        out += [text[at : match.start()], new]
        at, size = match.end(), size + len(new)
        check_length(size)
    return "".join([*out, text[at:]])


def _regex_split(pattern: str, text: str, limit: int) -> GoSlice:
    """regexp.Split."""
    if limit == 0:
        return GoSlice((), STRING_SLICE)
    if pattern and not text:
        return GoSlice([""], STRING_SLICE)
    out: list[str] = []
    begin = end = 0
    for match in _matches(pattern, text):
        if (limit > 0 and len(out) == limit - 1) or len(out) >= MAX_ITEMS:
            break
        end = match.start()
        if match.end() != 0:
            out.append(text[begin:end])
        begin = match.end()
    if end != len(text):
        out.append(text[begin:])
    return GoSlice(out, STRING_SLICE)


def _url_parse(url: str) -> GoMap:
    try:
        parts = urlsplit(url)
        hostname = parts.netloc.rpartition("@")[2]
        name = hostname[1 : hostname.index("]")] if hostname.startswith("[") else hostname.partition(":")[0]
    except ValueError as e:
        raise CallError(f"unable to parse url: {e}") from None
    opaque = parts.path if parts.scheme and not parts.netloc and not parts.path.startswith("/") else ""
    user = parts.netloc.rpartition("@")[0]
    found = {
        "scheme": parts.scheme,
        "host": hostname,
        "hostname": name,
        "path": "" if opaque else unquote(parts.path),
        "query": parts.query,
        "opaque": opaque,
        "fragment": unquote(parts.fragment),
        "userinfo": user,
    }
    return GoMap(found, ANY_MAP)


def _url_join(value: object) -> str:
    entries = map_of(value)
    found = {k: entries.get(k, "") for k in ("scheme", "host", "path", "query", "opaque", "fragment", "userinfo")}
    text = {k: str(v) for k, v in found.items() if isinstance(v, str)}
    if len(text) < len(found):
        raise CallError("unable to parse a key of the map: it must be a string")
    out = f"{text['scheme']}:" if text["scheme"] else ""
    if text["opaque"]:
        out += text["opaque"]
    else:
        if text["host"] or text["userinfo"]:
            out += "//" + (f"{text['userinfo']}@" if text["userinfo"] else "") + text["host"]
            out += "/" if text["path"] and not text["path"].startswith("/") else ""
        out += text["path"].replace(" ", "%20")
    return out + (f"?{text['query']}" if text["query"] else "") + (f"#{text['fragment']}" if text["fragment"] else "")


def _base(path: str) -> str:
    return path if not path.strip("/") and path else posixpath.basename(path.rstrip("/")) or "."


def _clean(path: str) -> str:
    return "/" + posixpath.normpath(path).lstrip("/") if path.startswith("/") else posixpath.normpath(path)


def _ext(path: str) -> str:
    name = path.rpartition("/")[2]
    return name[name.rindex(".") :] if "." in name else ""


def _fail(message: str) -> object:
    raise CallError(message)


_PATHS: Final[Mapping[str, Callable[[str], object]]] = {
    "base": _base,
    "clean": _clean,
    "dir": lambda path: _clean(path.rpartition("/")[0] + ("/" if path.startswith("/") else "")) if "/" in path else ".",
    "ext": _ext,
    "isAbs": lambda path: path.startswith("/"),
}


_A: Final = (ANY,)
_S: Final = (STRING,)
_S2: Final = (STRING, STRING)
_S3: Final = (STRING, STRING, STRING)
TEXT_FUNCTIONS: Final[Mapping[str, Function]] = {
    "regexFindAll": Function(regex_call(_find_all), (STRING, STRING, INT)),
    "regexReplaceAllLiteral": Function(regex_call(_literally), _S3),
    "regexSplit": Function(regex_call(_regex_split), (STRING, STRING, INT)),
    **{name: Function(call, _S) for name, call in _PATHS.items()},
    **{f"os{name[0].upper()}{name[1:]}": Function(call, _S) for name, call in _PATHS.items()},
    # texts
    "abbrevboth": Function(_abbrev_both, (INT, INT, STRING)),
    "adler32sum": Function(lambda text: str(zlib.adler32(text.encode("utf-8", "surrogateescape"))), _S),
    "b32dec": Function(_b32_decode, _S),
    "b32enc": Function(lambda text: base64.b32encode(text.encode("utf-8", "surrogateescape")).decode(), _S),
    "camelcase": Function(_camelcase, _S),
    "fail": Function(_fail, _S),
    "hello": Function(lambda: "Hello!"),
    "initials": Function(_initials, _S),
    "kebabcase": Function(_lower_words("-"), _S),
    "regexQuoteMeta": Function(lambda text: re.sub(r"([\\.+*?()|\[\]{}^$])", r"\\\1", text), _S),
    "sha1sum": Function(_digest("sha1"), _S),
    "sha256sum": Function(_digest("sha256"), _S),
    "sha512sum": Function(_digest("sha512"), _S),
    "snakecase": Function(_lower_words("_"), _S),
    "splitn": Function(lambda sep, n, text: numbered(split_text(sep, text, n)), (STRING, INT, STRING)),
    "swapcase": Function(_swapcase, _S),
    "trimall": Function(lambda cut, text: text.strip(cut), _S2),
    "urlJoin": Function(_url_join, _A),
    "urlParse": Function(_url_parse, _S),
    "wrap": Function(lambda width, text: _wrap(width, "\n", text), (INT, STRING)),
    "wrapWith": Function(_wrap, (INT, STRING, STRING)),
    # numbers
    "add1f": Function(_decimal(lambda a, b: a + b, first=1), _A),
    "addf": Function(_decimal(lambda a, b: a + b, first=0), _A, variadic=True),
    "atoi": Function(lambda text: int(text) if re.fullmatch(r"[+-]?[0-9]{1,18}", text) else 0, _S),
    "biggest": Function(lambda a, *v: max(map(to_int, (a, *v))), (ANY, ANY), variadic=True),
    "divf": Function(_decimal(_divided), (ANY, ANY), variadic=True),
    "maxf": Function(lambda a, *v: max(map(to_float64, (a, *v))), (ANY, ANY), variadic=True),
    "minf": Function(lambda a, *v: min(map(to_float64, (a, *v))), (ANY, ANY), variadic=True),
    "mulf": Function(_decimal(lambda a, b: a * b), (ANY, ANY), variadic=True),
    "round": Function(_round, (ANY, INT, FLOAT64), variadic=True),
    "subf": Function(_decimal(lambda a, b: a - b), (ANY, ANY), variadic=True),
    "toDecimal": Function(
        lambda v: int(go_format_value(v), 8) if re.fullmatch("-?[0-7]{1,20}", go_format_value(v)) else 0, _A
    ),
}
