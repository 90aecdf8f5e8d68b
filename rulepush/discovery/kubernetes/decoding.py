"""Decoding what the API sends: a list object by object, and none of it with the fields that make most of its size."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from rulepush.model.json_text import parse_json

_ITEMS: Final = '"items":['
_BETWEEN: Final = re.compile(r"[ \t\r\n,]*")


class ListPage:
    """One page of a list. Its objects are decoded one at a time: a page as a whole would take many times the memory of
    its text, and hold the event loop. Raises ValueError, LookupError, TypeError or RecursionError for what is none.

    `version` and `more`, the token of the next page ("": there is none), are there when `items` has ended.
    """

    def __init__(self, body: bytes | bytearray):
        self._body = body
        self.version = ""
        self.more = ""

    def items(self) -> Iterator[Mapping[str, Any]]:
        """Every object of the page, one twice perhaps."""
        try:
            yield from self._decoded(without_managed_fields(self._body).decode("utf-8", "replace"))
        except ValueError:  # they were cut badly, or the whole is no list
            yield from self._decoded(self._body.decode("utf-8", "replace"))

    def _decoded(self, text: str) -> Iterator[Mapping[str, Any]]:
        at = begin = text.find(_ITEMS) + len(_ITEMS)
        if begin < len(_ITEMS):  # `null`, or another one's order and spaces
            whole = _loads(text)
            yield from whole["items"] or ()
            self._take(whole)
            return
        decode = json.JSONDecoder().raw_decode
        while True:
            at = _BETWEEN.match(text, at).end()  # type: ignore[union-attr]
            if text[at : at + 1] == "]":
                break
            item, end = decode(text, at)
            yield _loads(text[at:end]) if _may_have_surrogates(text, at, end) else item
            at = end
        self._take(_loads(text[:begin] + text[at:]))

    def _take(self, whole: Mapping[str, Any]) -> None:
        meta = whole["metadata"]
        self.version, self.more = str(meta["resourceVersion"]), str(meta.get("continue") or "")


def decode_json(body: bytes) -> Any:
    """An answer or event. Half of most objects are their `managedFields`, which nothing here needs: they are left out
    before they are decoded, for that costs more than all the rest."""
    try:
        return decode_text(without_managed_fields(body))
    except ValueError:  # they were cut badly, or the whole is no JSON
        return decode_text(body)


def decode_text(body: bytes) -> Any:
    """JSON, whatever it is."""
    return _loads(body.decode("utf-8", "replace"))


_MANAGED: Final = b',"managedFields":[{'
_MANAGED_END: Final = b"}]"  # there are no lists in it


def without_managed_fields(body: bytes | bytearray) -> bytes:
    """JSON as Go writes it, without the `managedFields` of objects."""
    kept: list[bytes | bytearray] = []
    at = 0
    while True:
        begin = body.find(_MANAGED, at)
        end = body.find(_MANAGED_END, begin) if begin >= 0 else -1
        if end < 0:
            break
        kept.append(body[at:begin])
        at = end + 2
    return b"".join((*kept, body[at:]))


def _loads(text: str) -> Any:
    """As parse_json, at a third of its cost: Go escapes `<`, `>` and `&`, but never writes surrogates."""
    return parse_json(text) if _may_have_surrogates(text, 0, len(text)) else json.loads(text)


def _may_have_surrogates(text: str, begin: int, end: int) -> bool:
    return text.find("\\ud", begin, end) >= 0 or text.find("\\uD", begin, end) >= 0
