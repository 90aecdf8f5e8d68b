"""Decoding events by pieces: of an object that lists hundreds of addresses, only what is new is decoded and read.

When one pod of a service changes, the API sends all addresses of the service again. Go writes the fields of an object
in one order and without spaces, so that the entries of such a list can be cut apart without decoding them: a text with
these quotes is nowhere inside of a string. What does not look so, or is none when it was cut, is decoded as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rulepush.discovery.kubernetes.decoding import decode_json, decode_text, without_managed_fields
from rulepush.discovery.kubernetes.fields import ObjectFields

_CLOSED: Final = b"}"


@dataclass(frozen=True, slots=True)
class PieceFormat:
    """Where the entries are that make most of an object.

    `first` begins a list of them (`[{"ip":`), `between` ends one and begins the next (`},{"ip":`), one of `ends` comes
    after the last (`}],"ports":`). `lists` tells in which containers of the object, under which keys, there may be such
    lists. `project` makes the record of an entry.
    """

    first: bytes
    between: bytes
    ends: tuple[bytes, ...]
    lists: Callable[[Any], Iterable[tuple[dict[str, Any], str]]]
    project: Callable[[ObjectFields], Any]


class PieceDecoder:
    """Decodes the events of one watch. It holds, for each object that has changed, the text of each of its entries, and
    its record; that of an equal text is the same one."""

    def __init__(self, pieces: PieceFormat):
        self._pieces = pieces
        self._known: dict[str, dict[bytes, Any]] = {}  # the object's key -> text -> record

    def decode(self, line: bytes) -> Any:
        """The event. In its object, a tuple of records stands for each list that was cut: see ObjectFields.records.
        Raises as decode_json does."""
        body = without_managed_fields(line)
        rest, lists = _cut(body, self._pieces)
        if lists:
            try:
                return self._joined(rest, lists)
            except (ValueError, LookupError, TypeError, AttributeError):
                pass  # another order of fields, or what is no such object: then it is told by the whole
        return decode_json(line)

    def _joined(self, rest: bytes, lists: Sequence[Sequence[bytes]]) -> Any:
        event = decode_text(rest)
        made = event["object"]
        meta = made["metadata"]
        key = f"{meta.get('namespace')}/{meta['name']}"
        before, now = self._known.get(key, {}), dict[bytes, Any]()
        found = [tuple(self._record(text, before, now) for text in texts) for texts in lists]
        used = 0
        for holder, name in self._pieces.lists(made):
            number = holder.get(name)
            if type(number) is int:
                holder[name] = found[number]
                used += 1
        if used != len(found):
            raise ValueError("a list is elsewhere")
        if event["type"] == "DELETED":
            self._known.pop(key, None)
        else:
            self._known[key] = now
        return event

    def _record(self, text: bytes, before: dict[bytes, Any], now: dict[bytes, Any]) -> Any:
        record = now.get(text) or before.get(text)
        if record is None:
            pieces = self._pieces
            record = pieces.project(ObjectFields(decode_text(pieces.first[1:] + text + _CLOSED)))
        now[text] = record
        return record


def _cut(body: bytes, pieces: PieceFormat) -> tuple[bytes, list[list[bytes]]]:
    """The text with a number in place of each list, and the entries of each: without what is in `first` and `between`
    of them, and without the last brace."""
    parts: list[bytes] = []
    lists: list[list[bytes]] = []
    at = 0
    while (begin := body.find(pieces.first, at)) >= 0:
        ends = [end for text in pieces.ends if (end := body.find(text, begin)) >= 0]
        if not ends:
            break
        end = min(ends)
        parts += (body[at:begin], b"%d" % len(lists))
        lists.append(body[begin + len(pieces.first) : end].split(pieces.between))
        at = end + 2
    return b"".join((*parts, body[at:])), lists
