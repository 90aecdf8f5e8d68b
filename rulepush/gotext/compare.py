"""eq, ne, lt, le, gt and ge, as text/template compares: by basic kind, never across kinds."""

from __future__ import annotations

from collections.abc import Mapping

from rulepush.gotext.gofmt import go_format_value
from rulepush.gotext.values import NO_VALUE, CallError, GoKind, GoValue, kind_of, type_of

_INCOMPATIBLE = "incompatible types for comparison"
_INVALID = "invalid type for comparison"
_BASIC = {
    GoKind.BOOL: "bool",
    GoKind.INT: "int",
    GoKind.UINT8: "int",  # signed and unsigned compare with each other
    GoKind.FLOAT: "float",
    GoKind.STRING: "string",
}


def _basic(value: object) -> str | None:
    if isinstance(value, GoValue) and value.go_type.kind is GoKind.POINTER:
        return None
    return _BASIC.get(kind_of(value))


def eq(first: object, *others: object) -> bool:
    """Whether the first equals any of the others."""
    if not others:
        raise CallError("missing argument for comparison")
    return any(_equal(first, other) for other in others)


def _equal(left: object, right: object) -> bool:
    left_kind, right_kind = _basic(left), _basic(right)
    if left_kind != right_kind:
        if _is_nothing(left) or _is_nothing(right):
            return False
        raise CallError(_INCOMPATIBLE)
    if left_kind is not None:
        return bool(left == right)
    if _is_nothing(left) or _is_nothing(right):
        return _is_nothing(left) and _is_nothing(right)
    for value in (left, right):
        if isinstance(value, Mapping | list | tuple) or kind_of(value) in (GoKind.MAP, GoKind.SLICE):
            raise CallError(f"non-comparable type {go_format_value(value)}: {type_of(value)}")
    return left is right or left == right


def _is_nothing(value: object) -> bool:
    return value is None or value is NO_VALUE


def ne(left: object, right: object) -> bool:
    """Not equal."""
    return not _equal(left, right)


def lt(left: object, right: object) -> bool:
    """Less: numbers and strings of one kind only."""
    left_kind, right_kind = _basic(left), _basic(right)
    if left_kind is None or right_kind is None:
        raise CallError(_INVALID)
    if left_kind != right_kind:
        raise CallError(_INCOMPATIBLE)
    if left_kind == "bool":
        raise CallError(_INVALID)
    if isinstance(left, str) and isinstance(right, str):
        return left.encode("utf-8", "surrogateescape") < right.encode("utf-8", "surrogateescape")
    return bool(left < right)  # type: ignore[operator]


def le(left: object, right: object) -> bool:
    """Less or equal."""
    return lt(left, right) or _equal(left, right)


def gt(left: object, right: object) -> bool:
    """Defined in Go as "not less or equal", so NaN is greater than everything, itself included."""
    return not le(left, right)


def ge(left: object, right: object) -> bool:
    """Defined in Go as "not less"."""
    return not lt(left, right)
