"""Decoding events by pieces: of an object that lists hundreds of addresses, only what is new is decoded and read; of a
pod only its status, for most events are about that.

When one pod of a service changes, the API sends all addresses of the service again. Go writes the fields of an object
in one order and without spaces, so that the entries of such a list can be cut apart without decoding them: a text with
these quotes is nowhere inside of a string. What does not look so, or is none when it was cut, is decoded as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final, Protocol

from rulepush.discovery.kubernetes.decoding import decode_json, decode_text, without_managed_fields
from rulepush.discovery.kubernetes.fields import ObjectFields, object_key

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

    def decoder(self) -> EventDecoder:
        """For one watch."""
        return PieceDecoder(self)


@dataclass(frozen=True, slots=True)
class SteadyField:
    """A field of an object, itself an object, that stays while others change. `begins` is the text before it
    (`,"spec":`), `follows` the text after it (`,"status":{`), `project` makes its record."""

    name: str
    begins: bytes
    follows: bytes
    project: Callable[[ObjectFields], Any]

    def decoder(self) -> EventDecoder:
        """For one watch."""
        return SteadyFieldDecoder(self)


class EventDecoder(Protocol):
    """Decodes the events of one watch, and remembers what comes again."""

    def decode(self, line: bytes) -> Any:
        """The event. In its object, records may stand for what was cut: see `record` and `records` of ObjectFields.
        Raises as decode_json does."""
        ...


class PieceDecoder:
    """Decodes the events of one watch. It holds, for each object that has changed, the text of each of its entries, and
    its record; that of an equal text is the same one."""

    def __init__(self, pieces: PieceFormat):
        self._pieces = pieces
        self._known: dict[str, dict[bytes, Any]] = {}  # the object's key -> text -> record

    def decode(self, line: bytes) -> Any:
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
        key = object_key(made["metadata"])
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


class SteadyFieldDecoder:
    """Holds, for each object that has changed, a digest of the text of its field, and the record."""

    def __init__(self, steady: SteadyField):
        self._steady = steady
        self._known: dict[str, tuple[bytes, Any]] = {}  # the object's key -> digest, record

    def decode(self, line: bytes) -> Any:
        body, steady = without_managed_fields(line), self._steady
        at = body.find(steady.begins + b"{")
        begin = at + len(steady.begins)
        end = body.find(_CLOSED + steady.follows, begin) + 1 if at >= 0 else 0
        if end:
            try:
                return self._joined(body[:at] + body[end:], body[begin:end])
            except (ValueError, LookupError, TypeError, AttributeError):
                pass  # as in PieceDecoder
        return decode_json(line)

    def _joined(self, rest: bytes, text: bytes) -> Any:
        event = decode_text(rest)
        made, name = event["object"], self._steady.name
        key = object_key(made["metadata"])
        if name in made:
            raise ValueError("the field is elsewhere")
        digest = blake2b(text, digest_size=16).digest()
        known = self._known.get(key)
        if known is None or known[0] != digest:
            known = (digest, self._steady.project(ObjectFields(decode_text(text), name)))
        if event["type"] == "DELETED":
            self._known.pop(key, None)
        else:
            self._known[key] = known
        made[name] = known[1]
        return event


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
