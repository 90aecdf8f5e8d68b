"""Sprig's functions for conditions, numbers, times, and the simple ones for texts and lists. The others are in
`sprig_texts.py` and `sprig_collections.py`.

Left out on purpose: `env` and `expandenv` (a template must not read secrets of the process), random and cryptographic
functions. What needs the time or the zone is bound for each message, see `bound_sprig_functions`.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, tzinfo
from typing import Any, Final

from rulepush.gotext.gofmt import go_format_value
from rulepush.gotext.goquote import go_quote
from rulepush.gotext.gotime import ZERO_TIME, Duration, Time, round_duration
from rulepush.gotext.gotime_parse import parse_go_duration, parse_go_time
from rulepush.gotext.values import (
    ANY,
    ANY_MAP,
    BOOL,
    INT,
    STRING,
    STRING_SLICE,
    CallError,
    Function,
    GoMap,
    GoSlice,
    GoType,
    truth,
)
from rulepush.relay.sprig_collections import deep_equal
from rulepush.relay.sprig_values import (
    as_list,
    check_length,
    list_of,
    map_of,
    numbered,
    regex_call,
    split_text,
    to_float64,
    to_int,
)
from rulepush.relay.template_data import zone
from rulepush.template.goregex import compile_go, replace_all
from rulepush.template.prometheus import title, to_lower, to_upper

_INT_BITS: Final = 1 << 64
_HALF: Final = 1 << 63
_MAX_NESTED: Final = 1000
_MAX_REPEAT: Final = 100_000


def _wrap(number: int) -> int:
    """int64 arithmetic wraps around."""
    return (number + _HALF) % _INT_BITS - _HALF


def _divide(a: object, b: object) -> int:
    left, right = to_int(a), to_int(b)
    if right == 0:
        raise CallError("runtime error: integer divide by zero")
    quotient = abs(left) // abs(right)
    return quotient if (left < 0) == (right < 0) else -quotient


def _modulo(a: object, b: object) -> int:
    return to_int(a) - to_int(b) * _divide(a, b)


def _product(*values: object) -> int:
    result = 1
    for value in values:
        result = _wrap(result * to_int(value))
    return result


def _text(value: object) -> str:
    return str(value) if isinstance(value, str) else go_format_value(value)


def _texts(value: object) -> list[str]:
    return [_text(v) for v in list_of(value) if v is not None]


def _joined(separator: str, items: object) -> str:
    """Of a list of anything; what is no list stands for itself."""
    if isinstance(items, str) or not isinstance(items, Sequence):
        return "" if items is None else _text(items)
    texts = _texts(items)
    check_length(len(separator) * len(texts))
    return separator.join(texts)


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


def _replace(old: str, new: str, text: str) -> str:
    check_length(text.count(old) * len(new))
    return text.replace(old, new)


def _indent(spaces: int, text: str) -> str:
    pad = _repeat(max(spaces, 0), " ")
    return pad + _replace("\n", "\n" + pad, text)


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


def _local_date(layout: str, value: object, local: tzinfo) -> str:
    return _moment(value).in_zone(local).format(layout)


def _date_in_zone(layout: str, value: object, name: str) -> str:
    return _moment(value).in_zone(_zone(name)).format(layout)


def _duration(value: object) -> str:
    return Duration(to_int(value) * 1_000_000_000).go_string()


def _duration_round(value: object, now: int) -> str:
    """The largest unit: `2h`, `5m`. Of a time, what has passed since; exactly one hour is `60m`, as in sprig."""
    if isinstance(value, Time):
        nanoseconds = now - value.nanoseconds
    elif isinstance(value, str):
        try:
            nanoseconds = int(parse_go_duration(value))
        except ValueError:
            nanoseconds = 0
    else:
        nanoseconds = to_int(value)
    size = abs(nanoseconds)
    for unit, seconds in (("y", 31_536_000), ("mo", 2_592_000), ("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)):
        if size > seconds * 1_000_000_000:
            return f"{size // (seconds * 1_000_000_000)}{unit}"
    return "0s"


def _must_date_modify(text: str, value: object) -> Time:
    moment = _moment(value)
    try:
        return moment.at(moment.nanoseconds + parse_go_duration(text))
    except ValueError as e:
        raise CallError(str(e)) from None


def _date_modify(text: str, value: object) -> Time:
    """Moved by a duration; as it is where that is none."""
    moment = _moment(value)
    try:
        return _must_date_modify(text, moment)
    except CallError:
        return moment


def _must_to_date(layout: str, text: str, local: tzinfo) -> Time:
    try:
        return parse_go_time(layout, text, local)
    except ValueError as e:
        raise CallError(str(e)) from None


def _to_date(layout: str, text: str, local: tzinfo) -> Time:
    try:
        return _must_to_date(layout, text, local)
    except CallError:
        return Time(ZERO_TIME, local=local)


def _dict(*values: object) -> GoMap:
    pairs = {}
    for i in range(0, len(values), 2):
        pairs[_text(values[i])] = values[i + 1] if i + 1 < len(values) else ""
    return GoMap(pairs, ANY_MAP)


def _list(*values: object) -> GoSlice:
    return as_list(values)


def _strings(items: Sequence[str]) -> GoSlice:
    return GoSlice(list(items), STRING_SLICE)


def _find(pattern: str, text: str) -> str:
    match = compile_go(pattern).search(text)
    return (match.group() or "") if match is not None else ""


def _b64_decode(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode("utf-8", "surrogateescape")
    except binascii.Error as e:
        return str(e)


def _unbound(*_: object) -> object:
    raise CallError("not available here")


BOUND_PARAMS: Final[Mapping[str, tuple[GoType, ...]]] = {
    "ago": (ANY,),
    "date": (STRING, ANY),
    "durationRound": (ANY,),
    "htmlDate": (ANY,),
    "mustToDate": (STRING, STRING),
    "now": (),
    "toDate": (STRING, STRING),
}
"""The functions that need the time or the zone, with their parameters."""

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
    "replace": Function(_replace, (STRING, STRING, STRING)),
    "split": Function(lambda sep, text: numbered(split_text(sep, text)), _S2),
    "splitList": Function(lambda sep, text: _strings(split_text(sep, text)), _S2),
    "squote": Function(lambda *v: " ".join(f"'{_text(x)}'" for x in v if x is not None), (ANY,), variadic=True),
    "substr": Function(_substr, (INT, INT, STRING)),
    "title": Function(title, _S1),
    "toString": Function(_text, (ANY,)),
    "join": Function(lambda separator, items: _joined(separator, items), (STRING, ANY)),
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
    "dateModify": Function(_date_modify, (STRING, ANY)),
    "date_modify": Function(_date_modify, (STRING, ANY)),
    "mustDateModify": Function(_must_date_modify, (STRING, ANY)),
    "must_date_modify": Function(_must_date_modify, (STRING, ANY)),
    "htmlDateInZone": Function(lambda value, name: _date_in_zone("2006-01-02", value, name), (ANY, STRING)),
    "dateInZone": Function(_date_in_zone, (STRING, ANY, STRING)),
    "date_in_zone": Function(_date_in_zone, (STRING, ANY, STRING)),
    "duration": Function(_duration, (ANY,)),
    "unixEpoch": Function(lambda value: str(_moment(value).nanoseconds // 1_000_000_000), (ANY,)),
    # numbers
    "add": Function(lambda *v: _wrap(sum(map(to_int, v))), (ANY,), variadic=True),
    "add1": Function(lambda v: _wrap(to_int(v) + 1), (ANY,)),
    "ceil": Function(lambda v: _whole(math.ceil, v), (ANY,)),
    "div": Function(_divide, (ANY, ANY)),
    "float64": Function(to_float64, (ANY,)),
    "floor": Function(lambda v: _whole(math.floor, v), (ANY,)),
    "int": Function(to_int, (ANY,)),
    "int64": Function(to_int, (ANY,)),
    "max": Function(lambda a, *v: max(map(to_int, (a, *v))), (ANY, ANY), variadic=True),
    "min": Function(lambda a, *v: min(map(to_int, (a, *v))), (ANY, ANY), variadic=True),
    "mod": Function(_modulo, (ANY, ANY)),
    "mul": Function(_product, (ANY,), variadic=True),
    "sub": Function(lambda a, b: _wrap(to_int(a) - to_int(b)), (ANY, ANY)),
    # lists and maps
    "dict": Function(_dict, (ANY,), variadic=True),
    "first": Function(lambda items: list_of(items)[0] if len(list_of(items)) else None, (ANY,)),
    "get": Function(lambda m, key: map_of(m).get(key, ""), (ANY, STRING)),
    "has": Function(lambda needle, items: any(deep_equal(needle, v) for v in list_of(items)), (ANY, ANY)),
    "hasKey": Function(lambda m, key: key in map_of(m), (ANY, STRING)),
    "initial": Function(lambda items: _list(*list(list_of(items))[:-1]), (ANY,)),
    "keys": Function(lambda *maps: _strings([k for m in maps for k in sorted(map_of(m))]), (ANY,), variadic=True),
    "last": Function(lambda items: list_of(items)[-1] if len(list_of(items)) else None, (ANY,)),
    "list": Function(_list, (ANY,), variadic=True),
    "prepend": Function(lambda items, v: _list(v, *list_of(items)), (ANY, ANY)),
    "rest": Function(lambda items: _list(*list(list_of(items))[1:]), (ANY,)),
    "reverse": Function(lambda items: _list(*reversed(list(list_of(items)))), (ANY,)),
    "sortAlpha": Function(lambda items: _strings(sorted(_texts(items))), (ANY,)),
    "uniq": Function(lambda items: _list(*_unique(list_of(items))), (ANY,)),
    "values": Function(lambda m: _list(*(map_of(m)[k] for k in sorted(map_of(m)))), (ANY,)),
    "without": Function(
        lambda items, *drop: _list(*(v for v in list_of(items) if not any(deep_equal(v, d) for d in drop))),
        (ANY, ANY),
        True,
    ),
    # patterns and encodings
    "b64dec": Function(_b64_decode, _S1),
    "b64enc": Function(lambda text: base64.b64encode(text.encode("utf-8", "surrogateescape")).decode(), _S1),
    "regexFind": Function(regex_call(_find), _S2),
    "regexMatch": Function(regex_call(lambda p, text: compile_go(p).search(text) is not None), _S2),
    "regexReplaceAll": Function(regex_call(lambda p, text, new: replace_all(p, new, text)), (STRING, STRING, STRING)),
    # bound_functions gives these their time
    **{name: Function(_unbound, params) for name, params in BOUND_PARAMS.items()},
}


def _whole(how: Callable[[float], int], value: object) -> float:
    number = to_float64(value)
    return float(how(number)) if math.isfinite(number) else number


def _unique(items: Sequence[Any]) -> list[Any]:
    """Without repetitions. Lists and maps have no hash, so there may be few of them only."""
    seen: set[tuple[type, Any]] = set()
    nested: list[Any] = []
    out: list[Any] = []
    for item in items:
        if item is None or isinstance(item, str | int | float):
            if (type(item), item) in seen:
                continue
            seen.add((type(item), item))
        else:
            if any(deep_equal(item, known) for known in nested):
                continue
            nested.append(item)
            if len(nested) > _MAX_NESTED:
                raise CallError(f"more than {_MAX_NESTED} lists and maps to compare")
        out.append(item)
    return out


def bound_sprig_functions(now: int, local: tzinfo = UTC) -> dict[str, Function]:
    """The functions that need the time, in milliseconds since the epoch, or the zone that Go calls Local."""
    nanoseconds = now * 1_000_000

    def ago(value: object) -> str:
        elapsed = nanoseconds - _moment(value).nanoseconds
        return Duration(round_duration(elapsed, 1_000_000_000)).go_string()

    calls: dict[str, Callable[..., object]] = {
        "ago": ago,
        "date": lambda layout, value: _local_date(layout, value, local),
        "durationRound": lambda value: _duration_round(value, nanoseconds),
        "htmlDate": lambda value: _local_date("2006-01-02", value, local),
        "mustToDate": lambda layout, text: _must_to_date(layout, text, local),
        "now": lambda: Time(nanoseconds, local, local=local),
        "toDate": lambda layout, text: _to_date(layout, text, local),
    }
    return {name: Function(call, BOUND_PARAMS[name]) for name, call in calls.items()}
