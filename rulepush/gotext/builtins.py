"""The functions that text/template itself defines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import quote_plus

from rulepush.gotext.compare import eq, ge, gt, le, lt, ne
from rulepush.gotext.gofmt import go_format_value, sprint, sprintf, sprintln
from rulepush.gotext.values import (
    ANY,
    NO_VALUE,
    STRING,
    VALUE,
    CallError,
    Function,
    GoKind,
    GoType,
    kind_of,
    truth,
    type_of,
    zero_of,
)

_HTML: Final = str.maketrans({"\x00": "�", '"': "&#34;", "'": "&#39;", "&": "&amp;", "<": "&lt;", ">": "&gt;"})
_JS: Final = {
    "\\": "\\\\",
    "'": "\\'",
    '"': '\\"',
    "<": "\\u003C",
    ">": "\\u003E",
    "&": "\\u0026",
    "=": "\\u003D",
}


def _pointed(value: object) -> GoType:
    """A value's type, seen through a pointer."""
    go_type = type_of(value)
    return go_type.elem if go_type.kind is GoKind.POINTER and go_type.elem is not None else go_type


def _length(item: object) -> int:
    match kind_of(item):
        case GoKind.STRING:
            return len(str(item).encode("utf-8", "surrogateescape"))
        case GoKind.MAP | GoKind.SLICE:
            return len(item)  # type: ignore[arg-type]
        case GoKind.INVALID:
            raise CallError("reflect: call of reflect.Value.Type on zero Value")
        case _:
            raise CallError(f"len of type {_pointed(item)}")


def _index_number(index: object, size: int) -> int:
    if index is None or index is NO_VALUE:
        raise CallError("cannot index slice/array with nil")
    if kind_of(index) not in (GoKind.INT, GoKind.UINT8):
        raise CallError(f"cannot index slice/array with type {type_of(index)}")
    number = int(index)  # type: ignore[call-overload]
    if number < 0 or number > size:
        raise CallError(f"index out of range: {number}")
    return int(number)


def _index(item: object, *indexes: object) -> object:
    if item is None or item is NO_VALUE:
        raise CallError("index of untyped nil")
    for index in indexes:
        item = _index_once(item, index)
    return item


def _index_once(item: object, index: object) -> object:
    kind = kind_of(item)
    if kind is GoKind.STRING:
        data = str(item).encode("utf-8", "surrogateescape")
        number = _index_number(index, len(data) - 1)
        return data[number]
    if kind is GoKind.SLICE and isinstance(item, Sequence):
        return item[_index_number(index, len(item) - 1)]
    if kind is GoKind.MAP and isinstance(item, Mapping):
        if index is None or index is NO_VALUE:
            raise CallError("value is nil; should be of type string")
        if kind_of(index) is not GoKind.STRING:
            raise CallError(f"value has type {type_of(index)}; should be string")
        if index in item:
            return item[index]
        return zero_of(type_of(item).elem)
    if kind is GoKind.INVALID:
        raise CallError("index of nil pointer")
    raise CallError(f"can't index item of type {_pointed(item)}")


def _slice(item: object, *indexes: object) -> object:
    if item is None or item is NO_VALUE:
        raise CallError("slice of untyped nil")
    if len(indexes) > 3:
        raise CallError(f"too many slice indexes: {len(indexes)}")
    kind = kind_of(item)
    if kind is GoKind.STRING:
        if len(indexes) == 3:
            raise CallError("cannot 3-index slice a string")
        data = str(item).encode("utf-8", "surrogateescape")
        low, high = _slice_bounds(indexes, len(data))
        return data[low:high].decode("utf-8", "surrogateescape")
    if kind is GoKind.SLICE and isinstance(item, Sequence):
        low, high = _slice_bounds(indexes, len(item))
        return item[low:high]
    raise CallError(f"can't slice item of type {_pointed(item)}")


def _slice_bounds(indexes: Sequence[object], size: int) -> tuple[int, int]:
    numbers = [_index_number(i, size) for i in indexes]
    bounds = [*numbers, *(0, size)[len(numbers) :]][:2]
    if bounds[0] > bounds[1]:
        raise CallError(f"invalid slice index: {bounds[0]} > {bounds[1]}")
    if len(numbers) == 3 and bounds[1] > numbers[2]:
        raise CallError(f"invalid slice index: {bounds[1]} > {numbers[2]}")
    return bounds[0], bounds[1]


def _call(function: object, *_: object) -> object:
    if function is None or function is NO_VALUE:
        raise CallError("call of nil")
    raise CallError(f"non-function {go_format_value(function)} of type {type_of(function)}")


def html_escape(text: str) -> str:
    """template.HTMLEscapeString."""
    return text.translate(_HTML)


def js_escape(text: str) -> str:
    """template.JSEscapeString."""
    return "".join(map(_js_char, text))


def _js_char(char: str) -> str:
    if char in _JS:
        return _JS[char]
    code = ord(char)
    if code < 0x20 or (code >= 0x7F and not char.isprintable() and not 0xDC80 <= code <= 0xDCFF):
        return f"\\u{code:04X}"
    return char


def url_escape(text: str) -> str:
    """url.QueryEscape: a space becomes `+`; letters, digits and `-_.~` stay."""
    return quote_plus(text.encode("utf-8", "surrogateescape"), safe="~")


def _joined(*args: object) -> str:
    """What html, js and urlquery escape: a string as it is, anything else as Sprint writes it."""
    if len(args) == 1 and isinstance(args[0], str):
        return str(args[0])
    return sprint(["<no value>" if a is NO_VALUE or a is None else a for a in args])


_LEFT_RIGHT: Final = (VALUE, VALUE)

BUILTINS: Final[Mapping[str, Function]] = {
    "and": Function(lambda *a: a[-1], (VALUE, VALUE), variadic=True, short_circuit=False),
    "call": Function(_call, (VALUE, VALUE), variadic=True),
    "eq": Function(eq, (VALUE, VALUE), variadic=True),
    "ge": Function(ge, _LEFT_RIGHT),
    "gt": Function(gt, _LEFT_RIGHT),
    "html": Function(lambda *a: html_escape(_joined(*a)), (ANY,), variadic=True),
    "index": Function(_index, (VALUE, VALUE), variadic=True),
    "js": Function(lambda *a: js_escape(_joined(*a)), (ANY,), variadic=True),
    "le": Function(le, _LEFT_RIGHT),
    "len": Function(_length, (VALUE,)),
    "lt": Function(lt, _LEFT_RIGHT),
    "ne": Function(ne, _LEFT_RIGHT),
    "not": Function(lambda v: not truth(v), (VALUE,)),
    "or": Function(lambda *a: a[-1], (VALUE, VALUE), variadic=True, short_circuit=True),
    "print": Function(lambda *a: sprint(a), (ANY,), variadic=True),
    "printf": Function(lambda form, *a: sprintf(form, a), (STRING, ANY), variadic=True),
    "println": Function(lambda *a: sprintln(a), (ANY,), variadic=True),
    "slice": Function(_slice, (VALUE, VALUE), variadic=True),
    "urlquery": Function(lambda *a: url_escape(_joined(*a)), (ANY,), variadic=True),
}
