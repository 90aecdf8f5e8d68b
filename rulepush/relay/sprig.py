"""The part of the sprig library that notification templates use.

Left out on purpose: `env` and `expandenv` (a template must not read secrets of the process), random and cryptographic
functions, and those that change a value in place. `now` is bound for each message, see `bound_sprig_functions`.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, tzinfo
from typing import Any, Final

from rulepush.errors import RegexError
from rulepush.gotext.gofmt import go_format_value
from rulepush.gotext.goquote import go_quote
from rulepush.gotext.gotime import Duration, Time, round_duration
from rulepush.gotext.values import (
    ANY,
    ANY_MAP,
    ANY_SLICE,
    BOOL,
    INT,
    NO_VALUE,
    STRING,
    STRING_SLICE,
    CallError,
    Function,
    GoMap,
    GoObject,
    GoSlice,
    truth,
)
from rulepush.model.floats import parse_float
from rulepush.relay.template_data import zone
from rulepush.template.goregex import compile_go, replace_all
from rulepush.template.prometheus import title, to_lower, to_upper

_INT_BITS: Final = 1 << 64
_HALF: Final = 1 << 63
_MAX_REPEAT: Final = 100_000


def _wrap(number: int) -> int:
    """int64 arithmetic wraps around."""
    return (number + _HALF) % _INT_BITS - _HALF


def _to_int(value: object) -> int:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return int(value) if math.isfinite(value) else 0
    if isinstance(value, str):
        try:
            return _wrap(int(value, 0))
        except ValueError:
            return 0
    return 0


def _to_float(value: object) -> float:
    if isinstance(value, str):
        try:
            return parse_float(value)
        except ValueError:
            return 0.0
    return float(value) if isinstance(value, int | float) else 0.0


def _divide(a: object, b: object) -> int:
    left, right = _to_int(a), _to_int(b)
    if right == 0:
        raise CallError("runtime error: integer divide by zero")
    quotient = abs(left) // abs(right)
    return quotient if (left < 0) == (right < 0) else -quotient


def _modulo(a: object, b: object) -> int:
    return _to_int(a) - _to_int(b) * _divide(a, b)


def _product(*values: object) -> int:
    result = 1
    for value in values:
        result = _wrap(result * _to_int(value))
    return result


def _round(value: object, digits: int) -> float:
    number = _to_float(value)
    scale = 10.0 ** min(max(digits, -300), 300)
    scaled = number * scale
    if not math.isfinite(scaled):
        return number
    return (math.floor(scaled) + (1 if scaled - math.floor(scaled) >= 0.5 else 0)) / scale


def _text(value: object) -> str:
    return str(value) if isinstance(value, str) else go_format_value(value)


def _items(value: object) -> Sequence[Any]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise CallError(f"expected a list, got {go_format_value(value)}")
    return value


def _texts(value: object) -> list[str]:
    return [_text(v) for v in _items(value) if v is not None]


def _substr(start: int, end: int, text: str) -> str:
    data = text.encode("utf-8", "surrogateescape")
    if start < 0:
        cut = data[: max(end, 0)]
    elif end < 0 or end > len(data):
        cut = data[start:]
    else:
        cut = data[start:end]
    return cut.decode("utf-8", "surrogateescape")


def _trunc(length: int, text: str) -> str:
    data = text.encode("utf-8", "surrogateescape")
    cut = data[length:] if length < 0 and len(data) + length > 0 else data[:length] if length >= 0 else data
    return cut.decode("utf-8", "surrogateescape")


def _abbrev(width: int, text: str) -> str:
    return text if width < 4 or len(text) <= width else text[: width - 3] + "..."


def _repeat(count: int, text: str) -> str:
    if count < 0 or count * len(text) > _MAX_REPEAT:
        raise CallError(f"repeat count {count} is out of range")
    return text * count


def _indent(spaces: int, text: str) -> str:
    pad = _repeat(max(spaces, 0), " ")
    return pad + text.replace("\n", "\n" + pad)


def _default(fallback: object, *given: object) -> object:
    return given[0] if given and truth(given[0]) else fallback


def _coalesce(*values: object) -> object:
    return next((v for v in values if truth(v)), None)


def _zone(name: str) -> tzinfo:
    try:
        return zone(name)
    except ValueError:
        return UTC  # as sprig does


def _moment(value: object) -> Time:
    if isinstance(value, Time):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return Time(value * 1_000_000_000)
    raise CallError(f"expected a time, got {go_format_value(value)}")


def _date(layout: str, value: object) -> str:
    return _moment(value).format(layout)


def _date_in_zone(layout: str, value: object, name: str) -> str:
    return Time(_moment(value).nanoseconds, _zone(name)).format(layout)


def _duration(value: object) -> str:
    return Duration(_to_int(value) * 1_000_000_000).go_string()


def _duration_round(value: object) -> str:
    """The largest unit: `2h`, `5m`."""
    if isinstance(value, Duration):
        nanoseconds = int(value)
    elif isinstance(value, Time):
        raise CallError("durationRound needs a duration: subtract the times first")
    else:
        nanoseconds = _to_int(value)
    seconds = abs(nanoseconds) // 1_000_000_000
    for unit, size in (("y", 31_536_000), ("mo", 2_592_000), ("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return "0s"


def _dict(*values: object) -> GoMap:
    pairs = {}
    for i in range(0, len(values), 2):
        pairs[_text(values[i])] = values[i + 1] if i + 1 < len(values) else ""
    return GoMap(pairs, ANY_MAP)


def _mapping(value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise CallError(f"expected a map, got {go_format_value(value)}")
    return value


def _list(*values: object) -> GoSlice:
    return GoSlice(values, ANY_SLICE)


def _strings(items: Sequence[str]) -> GoSlice:
    return GoSlice(list(items), STRING_SLICE)


def _regex(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except RegexError as e:
        raise CallError(str(e)) from None


def _find(pattern: str, text: str) -> str:
    match = compile_go(pattern).search(text)
    return (match.group() or "") if match is not None else ""


def _b64_decode(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode("utf-8", "surrogateescape")
    except binascii.Error as e:
        return str(e)


def _to_json(value: object) -> str:
    return json.dumps(_plain(value), ensure_ascii=False, separators=(",", ":"), default=go_format_value)


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in sorted(value.items())}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(v) for v in value]
    if value is NO_VALUE:
        return None
    if isinstance(value, GoObject):
        return {k: _plain(v) for k, v in value.fields().items()}
    return value


_S1: Final = (STRING,)
_S2: Final = (STRING, STRING)

SPRIG_FUNCTIONS: Final[Mapping[str, Function]] = {
    # texts
    "abbrev": Function(_abbrev, (INT, STRING)),
    "cat": Function(lambda *v: " ".join(_text(x) for x in v if x is not None), (ANY,), variadic=True),
    "contains": Function(lambda part, text: part in text, _S2),
    "hasPrefix": Function(lambda part, text: text.startswith(part), _S2),
    "hasSuffix": Function(lambda part, text: text.endswith(part), _S2),
    "indent": Function(_indent, (INT, STRING)),
    "lower": Function(to_lower, _S1),
    "nindent": Function(lambda spaces, text: "\n" + _indent(spaces, text), (INT, STRING)),
    "nospace": Function(lambda text: "".join(text.split()), _S1),
    "plural": Function(lambda one, many, n: one if n == 1 else many, (STRING, STRING, INT)),
    "quote": Function(lambda *v: " ".join(go_quote(_text(x)) for x in v if x is not None), (ANY,), variadic=True),
    "repeat": Function(_repeat, (INT, STRING)),
    "replace": Function(lambda old, new, text: text.replace(old, new), (STRING, STRING, STRING)),
    "split": Function(lambda sep, text: GoMap({f"_{i}": part for i, part in enumerate(_split(sep, text))}), _S2),
    "splitList": Function(lambda sep, text: _strings(_split(sep, text)), _S2),
    "squote": Function(lambda *v: " ".join(f"'{_text(x)}'" for x in v if x is not None), (ANY,), variadic=True),
    "substr": Function(_substr, (INT, INT, STRING)),
    "title": Function(title, _S1),
    "toString": Function(_text, (ANY,)),
    "toStrings": Function(lambda items: _strings(_texts(items)), (ANY,)),
    "trim": Function(lambda text: text.strip(), _S1),
    "trimAll": Function(lambda cut, text: text.strip(cut), _S2),
    "trimPrefix": Function(lambda part, text: text.removeprefix(part), _S2),
    "trimSuffix": Function(lambda part, text: text.removesuffix(part), _S2),
    "trunc": Function(_trunc, (INT, STRING)),
    "untitle": Function(lambda text: text[:1].lower() + text[1:], _S1),
    "upper": Function(to_upper, _S1),
    # choices
    "coalesce": Function(_coalesce, (ANY,), variadic=True),
    "default": Function(_default, (ANY, ANY), variadic=True),
    "empty": Function(lambda value: not truth(value), (ANY,)),
    "ternary": Function(lambda yes, no, which: yes if which else no, (ANY, ANY, BOOL)),
    # times
    "date": Function(_date, (STRING, ANY)),
    "dateInZone": Function(_date_in_zone, (STRING, ANY, STRING)),
    "date_in_zone": Function(_date_in_zone, (STRING, ANY, STRING)),
    "duration": Function(_duration, (ANY,)),
    "durationRound": Function(_duration_round, (ANY,)),
    "htmlDate": Function(lambda value: _date("2006-01-02", value), (ANY,)),
    "unixEpoch": Function(lambda value: str(_moment(value).nanoseconds // 1_000_000_000), (ANY,)),
    # numbers
    "add": Function(lambda *v: _wrap(sum(map(_to_int, v))), (ANY,), variadic=True),
    "add1": Function(lambda v: _wrap(_to_int(v) + 1), (ANY,)),
    "ceil": Function(lambda v: _whole(math.ceil, v), (ANY,)),
    "div": Function(_divide, (ANY, ANY)),
    "float64": Function(_to_float, (ANY,)),
    "floor": Function(lambda v: _whole(math.floor, v), (ANY,)),
    "int": Function(_to_int, (ANY,)),
    "int64": Function(_to_int, (ANY,)),
    "max": Function(lambda a, *v: max(map(_to_int, (a, *v))), (ANY, ANY), variadic=True),
    "min": Function(lambda a, *v: min(map(_to_int, (a, *v))), (ANY, ANY), variadic=True),
    "mod": Function(_modulo, (ANY, ANY)),
    "mul": Function(_product, (ANY,), variadic=True),
    "round": Function(_round, (ANY, INT)),
    "sub": Function(lambda a, b: _wrap(_to_int(a) - _to_int(b)), (ANY, ANY)),
    # lists and maps
    "append": Function(lambda items, v: _list(*_items(items), v), (ANY, ANY)),
    "dict": Function(_dict, (ANY,), variadic=True),
    "first": Function(lambda items: _items(items)[0] if len(_items(items)) else None, (ANY,)),
    "get": Function(lambda m, key: _mapping(m).get(key, ""), (ANY, STRING)),
    "has": Function(lambda needle, items: needle in list(_items(items)), (ANY, ANY)),
    "hasKey": Function(lambda m, key: key in _mapping(m), (ANY, STRING)),
    "initial": Function(lambda items: _list(*list(_items(items))[:-1]), (ANY,)),
    "keys": Function(lambda m: _strings(sorted(_mapping(m))), (ANY,)),
    "last": Function(lambda items: _items(items)[-1] if len(_items(items)) else None, (ANY,)),
    "list": Function(_list, (ANY,), variadic=True),
    "prepend": Function(lambda items, v: _list(v, *_items(items)), (ANY, ANY)),
    "rest": Function(lambda items: _list(*list(_items(items))[1:]), (ANY,)),
    "reverse": Function(lambda items: _list(*reversed(list(_items(items)))), (ANY,)),
    "sortAlpha": Function(lambda items: _strings(sorted(_texts(items))), (ANY,)),
    "uniq": Function(lambda items: _list(*_unique(_items(items))), (ANY,)),
    "values": Function(lambda m: _list(*(_mapping(m)[k] for k in sorted(_mapping(m)))), (ANY,)),
    "without": Function(lambda items, *drop: _list(*(v for v in _items(items) if v not in drop)), (ANY, ANY), True),
    # patterns and encodings
    "b64dec": Function(_b64_decode, _S1),
    "b64enc": Function(lambda text: base64.b64encode(text.encode("utf-8", "surrogateescape")).decode(), _S1),
    "regexFind": Function(lambda pattern, text: _regex(lambda: _find(pattern, text)), _S2),
    "regexMatch": Function(lambda p, text: _regex(lambda: compile_go(p).search(text) is not None), _S2),
    "regexReplaceAll": Function(
        lambda p, text, new: _regex(lambda: replace_all(p, new, text)), (STRING, STRING, STRING)
    ),
    "toJson": Function(_to_json, (ANY,)),
    # bound_functions gives these their time
    "ago": Function(lambda value: "", (ANY,)),
    "now": Function(lambda: Time(0)),
}


def _split(separator: str, text: str) -> list[str]:
    return text.split(separator) if separator else list(text)


def _whole(how: Callable[[float], int], value: object) -> float:
    number = _to_float(value)
    return float(how(number)) if math.isfinite(number) else number


def _unique(items: Sequence[Any]) -> list[Any]:
    out: list[Any] = []
    for item in items:
        if item not in out:
            out.append(item)
    return out


def bound_sprig_functions(now: int) -> dict[str, Function]:
    """The functions that need the time, in milliseconds since the epoch."""
    nanoseconds = now * 1_000_000

    def ago(value: object) -> str:
        elapsed = nanoseconds - _moment(value).nanoseconds
        return Duration(round_duration(elapsed, 1_000_000_000)).go_string()

    return {"ago": Function(ago, (ANY,)), "now": Function(lambda: Time(nanoseconds))}
