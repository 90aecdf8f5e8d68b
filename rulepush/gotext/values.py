"""Go's values as templates see them, in Python's types.

    string        str (bytes that are no UTF-8 as lone surrogates, see goquote)      named string types: GoString
    int, int64    int                                                                time.Duration: gotime.Duration
    float64       float                        bool   bool                           nil    None
    map           GoMap (a plain dict is a map[string]interface {})
    slice         GoSlice (a plain list or tuple is a []interface {})
    struct        a subclass of GoObject

`NO_VALUE` is reflect's zero Value: what a pipeline has when there is nothing, printed as `<no value>`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, ClassVar, Final


class GoKind(Enum):
    """reflect.Kind, as far as templates can tell kinds apart."""

    INVALID = auto()
    BOOL = auto()
    INT = auto()
    UINT8 = auto()
    FLOAT = auto()
    STRING = auto()
    SLICE = auto()
    MAP = auto()
    STRUCT = auto()
    POINTER = auto()
    INTERFACE = auto()


@dataclass(frozen=True, slots=True)
class GoType:
    """A type: `name` is what error messages and %T print, `elem` the element of a slice, a map or a pointer."""

    name: str
    kind: GoKind
    elem: GoType | None = None

    def __str__(self) -> str:
        return self.name


BOOL: Final = GoType("bool", GoKind.BOOL)
INT: Final = GoType("int", GoKind.INT)
INT64: Final = GoType("int64", GoKind.INT)
UINT8: Final = GoType("uint8", GoKind.UINT8)
FLOAT64: Final = GoType("float64", GoKind.FLOAT)
STRING: Final = GoType("string", GoKind.STRING)
ANY: Final = GoType("interface {}", GoKind.INTERFACE)
VALUE: Final = GoType("reflect.Value", GoKind.STRUCT)
"""The parameter type of Go's own comparison and index functions: takes even nothing."""
STRING_MAP: Final = GoType("map[string]string", GoKind.MAP, STRING)
ANY_MAP: Final = GoType("map[string]interface {}", GoKind.MAP, ANY)
ANY_SLICE: Final = GoType("[]interface {}", GoKind.SLICE, ANY)
STRING_SLICE: Final = GoType("[]string", GoKind.SLICE, STRING)


class CallError(Exception):
    """A function of a template returned an error; its text is Go's."""


@dataclass(frozen=True, slots=True)
class Function:
    """A function or method with Go's signature. `call` gets checked and converted values; it raises CallError.

    With `variadic`, the last of `params` is the element type of the rest of the arguments. Methods take their
    receiver as a first Python argument that `params` does not name.
    """

    call: Callable[..., Any]
    params: tuple[GoType, ...] = ()
    variadic: bool = False
    short_circuit: bool | None = None  # `or`: True, `and`: False, all other functions: None
    cost: int = 1  # steps of the template's budget
    runs_template: bool = False  # `tmpl`: the interpreter runs the named template in place of `call`


class _NoValue:
    def __repr__(self) -> str:
        return "<no value>"


NO_VALUE: Final = _NoValue()


class GoValue:
    """What carries its own type and methods: maps, slices, structs and named basic types."""

    TYPE: ClassVar[GoType]
    METHODS: ClassVar[Mapping[str, Function]] = {}

    @property
    def go_type(self) -> GoType:
        return type(self).TYPE

    def go_string(self) -> str | None:
        """What fmt.Stringer's String() answers; None for a type without it."""
        return None


class GoString(GoValue, str):
    """A named string type."""

    TYPE = GoType("template.HTML", GoKind.STRING)


class GoObject(GoValue):
    """A struct, or a pointer to one (TYPE.kind POINTER, TYPE.elem the struct). `fields` in the order of declaration."""

    INTERFACE_FIELDS: ClassVar[frozenset[str]] = frozenset()  # those declared as interface {}

    def fields(self) -> Mapping[str, object]:
        raise NotImplementedError


class GoMap(GoValue, Mapping[str, Any]):
    """A map with string keys."""

    TYPE = STRING_MAP

    def __init__(self, entries: Mapping[str, Any], go_type: GoType | None = None):
        self._entries = entries
        self._type = go_type or type(self).TYPE

    @property
    def go_type(self) -> GoType:
        return self._type

    def mutable(self) -> MutableMapping[str, Any]:
        """The entries themselves, for functions that change a map in place."""
        if not isinstance(self._entries, MutableMapping):
            self._entries = dict(self._entries)
        return self._entries

    def __getitem__(self, key: str) -> Any:
        return self._entries[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


class GoSlice(GoValue, Sequence[Any]):
    """A slice."""

    TYPE = ANY_SLICE

    def __init__(self, items: Sequence[Any], go_type: GoType | None = None):
        self._items = items
        self._type = go_type or type(self).TYPE

    @property
    def go_type(self) -> GoType:
        return self._type

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return type(self)(self._items[index], self._type)
        return self._items[index]

    def __len__(self) -> int:
        return len(self._items)


_BASIC: Final[dict[type, GoType]] = {str: STRING, float: FLOAT64, int: INT, bool: BOOL, dict: ANY_MAP}
_BASIC_LIKE: Final = {list: ANY_SLICE, tuple: ANY_SLICE, type(None): ANY}


def type_of(value: object) -> GoType:
    """The Go type of a value; `interface {}` for nil. Raises TypeError for what no template may see."""
    found = _BASIC.get(type(value)) or _BASIC_LIKE.get(type(value))
    if found is not None:
        return found
    if isinstance(value, GoValue):
        return value.go_type
    raise TypeError(f"{type(value).__name__} is no value for a template")


def kind_of(value: object) -> GoKind:
    """The kind, seen through pointers (a pointer to a struct is a struct here)."""
    if value is NO_VALUE or value is None:
        return GoKind.INVALID
    go_type = type_of(value)
    if go_type.kind is GoKind.POINTER and go_type.elem is not None:
        return go_type.elem.kind
    return go_type.kind


def zero_of(go_type: GoType | None) -> object:
    """The zero value of a type, for a missing key of a map."""
    match go_type.kind if go_type is not None else GoKind.INTERFACE:
        case GoKind.STRING:
            return ""
        case GoKind.INT | GoKind.UINT8:
            return 0
        case GoKind.FLOAT:
            return 0.0
        case GoKind.BOOL:
            return False
        case GoKind.SLICE:
            return GoSlice((), go_type)
        case GoKind.MAP:
            return GoMap({}, go_type)
        case _:
            return None


def truth(value: object) -> bool:
    """Go's template.IsTrue: empty, zero, nil and nothing are false; a struct is true."""
    match kind_of(value):
        case GoKind.INVALID:
            return False
        case GoKind.STRUCT:
            return True
        case _:
            return bool(value)


def assignable(value: object, param: GoType) -> bool:
    """Whether Go would take the value for the parameter as it is."""
    if param.kind is GoKind.INTERFACE or param is VALUE:
        return True
    actual = type_of(value)
    return actual == param or actual.name == param.name
