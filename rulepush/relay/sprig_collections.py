"""Sprig's lists, maps, JSON and types.

Sources: Masterminds/sprig 3.3, imdario/mergo, encoding/json.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Any, Final

from rulepush.gotext.builtins import BUILTINS
from rulepush.gotext.gofmt import go_format_value
from rulepush.gotext.gotime import Time, format_rfc3339_nano
from rulepush.gotext.limits import OutputBudget
from rulepush.gotext.values import (
    ANY,
    ANY_MAP,
    ANY_SLICE,
    INT,
    NO_VALUE,
    STRING,
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
from rulepush.relay.sprig_values import MAX_ITEMS, as_list, list_of, map_of, to_int

_MAX_DEPTH: Final = 50
_INTS: Final = GoType("[]int", GoKind.SLICE, INT)
_KINDS: Final = {GoKind.FLOAT: "float64", GoKind.POINTER: "ptr", GoKind.INVALID: "invalid"}


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
        ours, theirs = list_of(left), list_of(right)
        return len(ours) == len(theirs) and all(deep_equal(a, b, budget) for a, b in zip(ours, theirs, strict=True))
    return kind_of(left) is kind_of(right) and left == right


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _merge(overwrite: bool) -> Callable[..., object]:
    def merge(target: object, *sources: object) -> object:
        entries, budget = _own(target), OutputBudget()
        for source in sources:
            _merge_into(entries, map_of(source), overwrite, budget, 0)
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
        entries = map_of(found)
        if not isinstance(key, str) or key not in entries:
            return fallback
        found = entries[key]
    return found


def _chunk(size: int, items: object) -> GoSlice:
    found = list_of(items)
    if size <= 0:
        raise CallError("runtime error: integer divide by zero")
    return as_list(as_list(found[i : i + size]) for i in range(0, len(found), size))


def _slice(items: object, *bounds: object) -> object:
    """Sprig's for lists, text/template's for texts."""
    if isinstance(items, str):
        return BUILTINS["slice"].call(items, *bounds)
    found = list_of(items)
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


_A: Final = (ANY,)
_S: Final = (STRING,)
_APPEND: Final = Function(lambda items, v: as_list([*list_of(items), v]), (ANY, ANY))  # sprig calls it by two names

COLLECTION_FUNCTIONS: Final[Mapping[str, Function]] = {
    "append": _APPEND,
    "chunk": Function(_chunk, (INT, ANY)),
    "compact": Function(lambda items: as_list(v for v in list_of(items) if truth(v)), _A),
    "deepCopy": Function(lambda value: _copy(value, {}), _A),
    "merge": Function(_merge(overwrite=False), (ANY, ANY), variadic=True),
    "mergeOverwrite": Function(_merge(overwrite=True), (ANY, ANY), variadic=True),
    "push": _APPEND,
    "slice": Function(_slice, (ANY, ANY), variadic=True),
    "seq": Function(_seq, (INT,), variadic=True),
    "until": Function(lambda count: _until(0, count, -1 if count < 0 else 1), (INT,)),
    "untilStep": Function(_until, (INT, INT, INT)),
    # lists and maps
    "all": Function(lambda *v: all(map(truth, v)), _A, variadic=True),
    "any": Function(lambda *v: any(map(truth, v)), _A, variadic=True),
    "concat": Function(lambda *lists: as_list(v for items in lists for v in list_of(items)), _A, variadic=True),
    "deepEqual": Function(deep_equal, (ANY, ANY)),
    "dig": Function(_dig, _A, variadic=True),
    "omit": Function(
        lambda m, *keys: GoMap({k: v for k, v in map_of(m).items() if k not in keys}, ANY_MAP), (ANY, STRING), True
    ),
    "pick": Function(
        lambda m, *keys: GoMap({k: map_of(m)[k] for k in keys if k in map_of(m)}, ANY_MAP), (ANY, STRING), True
    ),
    "pluck": Function(
        lambda key, *maps: as_list(map_of(m)[key] for m in maps if key in map_of(m)), (STRING, ANY), variadic=True
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
