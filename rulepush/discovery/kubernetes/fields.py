"""ObjectFields: a JSON object of the API, read field by field."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar, cast

T = TypeVar("T")

_NOTHING: Final[dict[str, Any]] = {}
_KINDS: Final = {
    str: "a text",
    bool: "true or false",
    int: "a number",
    float: "a number",
    list: "a list",
    dict: "an object",
}


class ObjectFields:
    """Reads one JSON object. Missing and null are empty, as in Go; another type raises ValueError with the path."""

    __slots__ = ("_fields", "where")

    def __init__(self, fields: Mapping[str, Any], where: str = ""):
        if not isinstance(fields, dict):
            raise ValueError(f"{where or 'an item'}: expected an object, got {_kind(fields)}")
        self._fields = fields
        self.where = where

    def _path(self, key: str) -> str:
        return f"{self.where}.{key}" if self.where else key

    def _wrong(self, key: str, expected: str, value: object) -> ValueError:
        return ValueError(f"{self._path(key)}: expected {expected}, got {_kind(value)}")

    def has(self, key: str) -> bool:
        """Whether it is there with a value."""
        return self._fields.get(key) is not None

    def text(self, key: str) -> str:
        """A text, "" when it is absent."""
        value = self._fields.get(key)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self._wrong(key, "a text", value)
        return value

    def number(self, key: str) -> int | None:
        """A whole number."""
        value = self._fields.get(key)
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool):
            raise self._wrong(key, "a whole number", value)
        return value

    def flag(self, key: str) -> bool | None:
        """A boolean."""
        value = self._fields.get(key)
        if value is None or isinstance(value, bool):
            return value
        raise self._wrong(key, "true or false", value)

    def texts(self, key: str) -> dict[str, str]:
        """A mapping of texts to texts; a null in it is an empty text."""
        value = self._object(key)
        for name, text in value.items():
            if not isinstance(text, str | None):
                raise self._wrong(f"{key}[{name!r}]", "a text", text)
        return value if None not in value.values() else {name: text or "" for name, text in value.items()}

    def section(self, key: str) -> ObjectFields:
        """An object, an empty one when it is absent."""
        return ObjectFields(self._object(key), self._path(key))

    def sections(self, key: str) -> Iterator[ObjectFields]:
        """The objects of a list."""
        for i, item in enumerate(self._items(key)):
            yield ObjectFields(_NOTHING if item is None else item, f"{self._path(key)}[{i}]")

    def records(self, key: str, project: Callable[[ObjectFields], T]) -> tuple[T, ...]:
        """The records of the objects of a list; a PieceDecoder may have made them already."""
        made = self._fields.get(key)
        return made if type(made) is tuple else tuple(map(project, self.sections(key)))

    def record(self, key: str, project: Callable[[ObjectFields], T]) -> T:
        """The record of an object; a SteadyFieldDecoder may have made it already."""
        made = self._fields.get(key)
        return project(self.section(key)) if made is None or type(made) in _KINDS else cast(T, made)

    def text_list(self, key: str) -> list[str]:
        """A list of texts."""
        items = self._items(key)
        for i, item in enumerate(items):
            if not isinstance(item, str):
                raise self._wrong(f"{key}[{i}]", "a text", item)
        return list(items)

    def _object(self, key: str) -> dict[str, Any]:
        value = self._fields.get(key)
        if value is None:
            return _NOTHING
        if not isinstance(value, dict):
            raise self._wrong(key, "an object", value)
        return value

    def _items(self, key: str) -> Sequence[Any]:
        value = self._fields.get(key)
        if value is None:
            return ()
        if not isinstance(value, list):
            raise self._wrong(key, "a list", value)
        return value


def _kind(value: object) -> str:
    return "null" if value is None else _KINDS.get(type(value), type(value).__name__)


def object_key(metadata: Mapping[str, Any]) -> str:
    """The key of an object, from its `metadata`."""
    namespace = metadata.get("namespace")
    name: str = metadata["name"]
    return f"{namespace}/{name}" if namespace else name
