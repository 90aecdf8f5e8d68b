"""More of sprig: lists, maps, decimals, types, paths, URLs, JSON, checksums.

Sources: Masterminds/sprig 3.3, goutils, huandu/xstrings, shopspring/decimal, imdario/mergo.

Everything that grows is bounded: a list or map has at most MAX_ITEMS entries, a text MAX_TEXT characters.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import math
import posixpath
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from fractions import Fraction
from typing import Any, Final, Protocol, cast
from urllib.parse import unquote, urlsplit

from rulepush.errors import RegexError
from rulepush.gotext.builtins import BUILTINS
from rulepush.gotext.gofmt import go_format_value
from rulepush.gotext.gotime import Time, format_rfc3339_nano
from rulepush.gotext.limits import MAX_TEXT, OutputBudget
from rulepush.gotext.values import (
    ANY,
    ANY_MAP,
    ANY_SLICE,
    FLOAT64,
    INT,
    NO_VALUE,
    STRING,
    STRING_SLICE,
    CallError,
    Function,
    GoKind,
    GoMap,
    GoObject,
    GoSlice,
    GoType,
    kind_of,
    truth,
    type_of,
)
from rulepush.model.regex import RegexMatch
from rulepush.template.goregex import compile_go

MAX_ITEMS: Final = 100_000
_MAX_DEPTH: Final = 50
_INTS: Final = GoType("[]int", GoKind.SLICE, INT)
_KINDS: Final = {GoKind.FLOAT: "float64", GoKind.POINTER: "ptr", GoKind.INVALID: "invalid"}


def as_list(items: Iterable[Any], go_type: GoType = ANY_SLICE) -> GoSlice:
    """A slice of at most MAX_ITEMS. Raises CallError."""
    out: list[Any] = []
    for item in items:
        if len(out) >= MAX_ITEMS:
            raise CallError(f"the list has more than {MAX_ITEMS} elements")
        out.append(item)
    return GoSlice(out, go_type)


def _sequence(value: object) -> Sequence[Any]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise CallError(f"expected a list, got {go_format_value(value)}")
    return value


def _mapping(value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise CallError(f"expected a map, got {go_format_value(value)}")
    return value


def _own(value: object) -> MutableMapping[str, Any]:
    """The entries of a map that a template made; labels and annotations cannot be changed."""
    if not isinstance(value, GoMap) or value.go_type is not ANY_MAP:
        raise CallError(f"expected a map[string]interface {{}}, got {go_format_value(value)}")
    return value.mutable()


def _set(target: object, key: str, value: object) -> object:
    entries = _own(target)
    if len(entries) >= MAX_ITEMS and key not in entries:
        raise CallError(f"the map has more than {MAX_ITEMS} entries")
    entries[key] = value
    return target


def _unset(target: object, key: str) -> object:
    _own(target).pop(key, None)
    return target


def deep_equal(left: object, right: object, budget: OutputBudget | None = None) -> bool:
    """reflect.DeepEqual. Bounded, for lists may hold each other many times."""
    budget = budget or OutputBudget()
    budget.take("")
    if left is right:
        return True
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return left.keys() == right.keys() and all(deep_equal(left[k], right[k], budget) for k in left)
    if _is_list(left) and _is_list(right):
        ours, theirs = _sequence(left), _sequence(right)
        return len(ours) == len(theirs) and all(deep_equal(a, b, budget) for a, b in zip(ours, theirs, strict=True))
    return kind_of(left) is kind_of(right) and left == right


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _merge(overwrite: bool) -> Callable[..., object]:
    def merge(target: object, *sources: object) -> object:
        entries, budget = _own(target), OutputBudget()
        for source in sources:
            _merge_into(entries, _mapping(source), overwrite, budget, 0)
        return target

    return merge


def _merge_into(
    entries: MutableMapping[str, Any], source: Mapping[str, Any], overwrite: bool, budget: OutputBudget, depth: int
) -> None:
    """mergo.Merge: maps within are merged too; an empty value there counts as none."""
    if depth > _MAX_DEPTH:
        raise CallError("maps are nested too deep to be merged")
    for key, value in list(source.items()):
        budget.take(key)
        there = entries.get(key)
        if isinstance(there, GoMap) and there.go_type is ANY_MAP and isinstance(value, Mapping):
            _merge_into(there.mutable(), value, overwrite, budget, depth + 1)
        elif key not in entries or overwrite or not truth(there):
            entries[key] = value


def _copy(value: object, known: dict[int, object], depth: int = 0) -> object:
    if depth > _MAX_DEPTH:
        raise CallError("the value is nested too deep to be copied")
    if id(value) in known:
        return known[id(value)]
    copied: object = value
    if isinstance(value, GoMap):
        copied = GoMap({k: _copy(v, known, depth + 1) for k, v in value.items()}, value.go_type)
    elif isinstance(value, GoSlice):
        copied = GoSlice([_copy(v, known, depth + 1) for v in value], value.go_type)
    known[id(value)] = copied
    return copied


def _dig(*args: object) -> object:
    if len(args) < 3:
        raise CallError("dig needs at least three arguments")
    *keys, fallback, found = args
    for key in keys:
        entries = _mapping(found)
        if not isinstance(key, str) or key not in entries:
            return fallback
        found = entries[key]
    return found


def _chunk(size: int, items: object) -> GoSlice:
    found = _sequence(items)
    if size <= 0:
        raise CallError("runtime error: integer divide by zero")
    return as_list(as_list(found[i : i + size]) for i in range(0, len(found), size))


def _slice(items: object, *bounds: object) -> object:
    """Sprig's for lists, text/template's for texts."""
    if isinstance(items, str):
        return BUILTINS["slice"].call(items, *bounds)
    found = _sequence(items)
    start = to_int(bounds[0]) if bounds else 0
    end = to_int(bounds[1]) if len(bounds) > 1 else len(found)
    if not 0 <= start <= end <= len(found):
        raise CallError("reflect.Value.Slice: slice index out of bounds")
    return found[start:end]


def _until(start: int, stop: int, step: int) -> GoSlice:
    if (stop < start) == (step >= 0) or step == 0:
        return GoSlice((), _INTS)
    return as_list(range(start, stop, step), _INTS)


def _seq(*params: int) -> str:
    if len(params) == 1:
        step = -1 if params[0] < 1 else 1
        numbers = _until(1, params[0] + step, step)
    elif len(params) == 2:
        step = -1 if params[1] < params[0] else 1
        numbers = _until(params[0], params[1] + step, step)
    elif len(params) == 3:
        start, step, end = params
        if end < start and step > 0:
            return ""
        numbers = _until(start, end + (-1 if end < start else 1), step)
    else:
        return ""
    return " ".join(map(str, numbers))


# -- numbers


def to_int(value: object) -> int:
    """cast.ToInt64: 0 for what is no number."""
    if isinstance(value, bool | int):
        return int(value)
    if isinstance(value, float):
        return int(value) if math.isfinite(value) else 0
    if isinstance(value, str):
        text = re.sub(r"\.0*$", "", value) if re.search(r"\.0+$", value) else value
        if re.fullmatch(r"[+-]?0[0-7]+", text):
            return int(text, 8)
        try:
            number = int(text, 0)
        except ValueError:
            return 0
        return number if -(1 << 63) <= number < 1 << 63 else 0
    return 0


def to_float(value: object) -> float:
    """cast.ToFloat64: 0 for what is no number."""
    if isinstance(value, str | bool | int | float):
        try:
            return float(value)
        except (ValueError, OverflowError):
            return 0.0
    return 0.0


def _exact(value: object) -> Fraction:
    number = to_float(value)
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
    number, power = to_float(value), 10.0 ** max(min(digits, 300), -300)
    scaled = number * power
    if not math.isfinite(scaled):
        return number
    fraction = math.modf(scaled)[0]
    return (math.ceil(scaled) if fraction >= (on[0] if on else 0.5) else math.floor(scaled)) / power


# -- texts


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
        if size > MAX_TEXT:
            raise CallError(f"the text is longer than {MAX_TEXT} characters")
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


# -- patterns


def _pattern(call: Callable[..., Any]) -> Callable[..., Any]:
    def run(*args: Any) -> Any:
        try:
            return call(*args)
        except RegexError as e:
            raise CallError(str(e)) from None

    return run


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
        if size > MAX_TEXT:
            raise CallError(f"the text is longer than {MAX_TEXT} characters")
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


def _split(separator: str, text: str, limit: int) -> GoMap:
    if limit == 0:
        return GoMap({})
    parts = text.split(separator, limit - 1 if limit > 0 else -1) if separator else list(text)
    return GoMap({f"_{i}": part for i, part in enumerate(parts)})


# -- URLs and paths


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
    entries = _mapping(value)
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


# -- JSON and types


def _plain(value: object, budget: OutputBudget, depth: int = 0) -> object:
    """A value for json.dumps. Raises CallError where it holds itself, or holds others too often."""
    budget.take("")
    if depth > _MAX_DEPTH:
        raise CallError("json: the value is nested too deep")
    if isinstance(value, Time):
        return format_rfc3339_nano(value)
    if isinstance(value, str):
        return budget.take(str(value))
    if isinstance(value, Mapping):
        return {budget.take(k): _plain(value[k], budget, depth + 1) for k in sorted(value)}
    if isinstance(value, Sequence):
        return [_plain(v, budget, depth + 1) for v in value]
    if isinstance(value, GoObject):
        return {k: _plain(v, budget, depth + 1) for k, v in value.fields().items()}
    if isinstance(value, float):
        if not math.isfinite(value):
            raise CallError(f"json: unsupported value: {value}")
        return int(value) if value == int(value) and abs(value) < 1e21 else value
    return None if value is NO_VALUE or value is None else int(value) if kind_of(value) is GoKind.INT else value  # type: ignore[call-overload]


def _exponents(text: str) -> str:
    """Exponents as Go's encoder writes them, `1e-7`; those in texts stay."""
    parts = re.split(r'("(?:[^"\\]|\\.)*")', text)
    return "".join(p if i % 2 else re.sub(r"e([+-])0([0-9])", r"e\1\2", p) for i, p in enumerate(parts))


def _json(indent: int | None = None, raw: bool = False, must: bool = True) -> Callable[[object], str]:
    def run(value: object) -> str:
        try:
            plain = _plain(value, OutputBudget())
        except CallError:
            if must:
                raise
            return ""
        separators = (",", ":") if indent is None else (",", ": ")
        text = _exponents(json.dumps(plain, ensure_ascii=False, separators=separators, indent=indent))
        if raw:
            return text
        for char in "<>&\u2028\u2029":
            text = text.replace(char, f"\\u{ord(char):04x}")
        return text

    return run


def _from_json(must: bool) -> Callable[[str], object]:
    def run(text: str) -> object:
        try:
            return _go_value(json.loads(text, parse_int=float))
        except (ValueError, RecursionError) as e:
            if must:
                raise CallError(f"invalid JSON: {e}") from None
            return None

    return run


def _go_value(value: Any) -> object:
    if isinstance(value, dict):
        return GoMap({k: _go_value(v) for k, v in value.items()}, ANY_MAP)
    return GoSlice([_go_value(v) for v in value], ANY_SLICE) if isinstance(value, list) else value


def _type_name(value: object) -> str:
    return "<nil>" if value is None or value is NO_VALUE else str(type_of(value))


def _kind_name(value: object) -> str:
    if value is None or value is NO_VALUE:
        return "invalid"
    go_type = type_of(value)
    return go_type.name if go_type.name in ("int64", "uint8") else _KINDS.get(go_type.kind, go_type.kind.name.lower())


def _fail(message: str) -> object:
    raise CallError(message)


_A: Final = (ANY,)
_S: Final = (STRING,)
_S2: Final = (STRING, STRING)
_S3: Final = (STRING, STRING, STRING)
_SAME_WITH_MUST: Final = {
    "append": Function(lambda items, v: as_list([*_sequence(items), v]), (ANY, ANY)),
    "chunk": Function(_chunk, (INT, ANY)),
    "compact": Function(lambda items: as_list(v for v in _sequence(items) if truth(v)), _A),
    "deepCopy": Function(lambda value: _copy(value, {}), _A),
    "merge": Function(_merge(overwrite=False), (ANY, ANY), variadic=True),
    "mergeOverwrite": Function(_merge(overwrite=True), (ANY, ANY), variadic=True),
    "push": Function(lambda items, v: as_list([*_sequence(items), v]), (ANY, ANY)),
    "regexFindAll": Function(_pattern(_find_all), (STRING, STRING, INT)),
    "regexReplaceAllLiteral": Function(_pattern(_literally), _S3),
    "regexSplit": Function(_pattern(_regex_split), (STRING, STRING, INT)),
    "slice": Function(_slice, (ANY, ANY), variadic=True),
}
_PATHS: Final[Mapping[str, Callable[[str], object]]] = {
    "base": _base,
    "clean": _clean,
    "dir": lambda path: _clean(path.rpartition("/")[0] + ("/" if path.startswith("/") else "")) if "/" in path else ".",
    "ext": _ext,
    "isAbs": lambda path: path.startswith("/"),
}

EXTRA_FUNCTIONS: Final[Mapping[str, Function]] = {
    **_SAME_WITH_MUST,
    **{f"must{name[0].upper()}{name[1:]}": function for name, function in _SAME_WITH_MUST.items()},
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
    "splitn": Function(lambda sep, n, text: _split(sep, text, n), (STRING, INT, STRING)),
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
    "maxf": Function(lambda a, *v: max(map(to_float, (a, *v))), (ANY, ANY), variadic=True),
    "minf": Function(lambda a, *v: min(map(to_float, (a, *v))), (ANY, ANY), variadic=True),
    "mulf": Function(_decimal(lambda a, b: a * b), (ANY, ANY), variadic=True),
    "round": Function(_round, (ANY, INT, FLOAT64), variadic=True),
    "seq": Function(_seq, (INT,), variadic=True),
    "subf": Function(_decimal(lambda a, b: a - b), (ANY, ANY), variadic=True),
    "toDecimal": Function(
        lambda v: int(go_format_value(v), 8) if re.fullmatch("-?[0-7]{1,20}", go_format_value(v)) else 0, _A
    ),
    "until": Function(lambda count: _until(0, count, -1 if count < 0 else 1), (INT,)),
    "untilStep": Function(_until, (INT, INT, INT)),
    # lists and maps
    "all": Function(lambda *v: all(map(truth, v)), _A, variadic=True),
    "any": Function(lambda *v: any(map(truth, v)), _A, variadic=True),
    "concat": Function(lambda *lists: as_list(v for items in lists for v in _sequence(items)), _A, variadic=True),
    "deepEqual": Function(deep_equal, (ANY, ANY)),
    "dig": Function(_dig, _A, variadic=True),
    "omit": Function(
        lambda m, *keys: GoMap({k: v for k, v in _mapping(m).items() if k not in keys}, ANY_MAP), (ANY, STRING), True
    ),
    "pick": Function(
        lambda m, *keys: GoMap({k: _mapping(m)[k] for k in keys if k in _mapping(m)}, ANY_MAP), (ANY, STRING), True
    ),
    "pluck": Function(
        lambda key, *maps: as_list(_mapping(m)[key] for m in maps if key in _mapping(m)), (STRING, ANY), variadic=True
    ),
    "set": Function(_set, (ANY, STRING, ANY)),
    "tuple": Function(lambda *v: as_list(v), _A, variadic=True),
    "unset": Function(_unset, (ANY, STRING)),
    # JSON and types
    "fromJson": Function(_from_json(must=False), _S),
    "kindIs": Function(lambda name, value: _kind_name(value) == name, (STRING, ANY)),
    "kindOf": Function(_kind_name, _A),
    "mustFromJson": Function(_from_json(must=True), _S),
    "mustToJson": Function(_json(), _A),
    "mustToPrettyJson": Function(_json(indent=2), _A),
    "mustToRawJson": Function(_json(raw=True), _A),
    "toJson": Function(_json(must=False), _A),
    "toPrettyJson": Function(_json(indent=2, must=False), _A),
    "toRawJson": Function(_json(raw=True), _A),
    "typeIs": Function(lambda name, value: _type_name(value) == name, (STRING, ANY)),
    "typeIsLike": Function(lambda name, value: _type_name(value) in (name, f"*{name}"), (STRING, ANY)),
    "typeOf": Function(_type_name, _A),
}
