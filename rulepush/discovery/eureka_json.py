"""The list of applications in JSON, as Eureka's Jackson and XStream codecs write it; servers without XML send it.

A list of thousands of instances has megabytes, and to decode it whole would hold the event loop for seconds. So it is
walked down to the instances, and these are decoded one by one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Iterator
from typing import Any, Final

from rulepush.discovery.eureka_answer import (
    TEXTS,
    EurekaApplication,
    EurekaInstance,
    EurekaPort,
    parse_boolean,
    parse_integer,
)
from rulepush.discovery.group_format import json_faults
from rulepush.errors import DiscoveryError
from rulepush.model.json_text import parse_json

_SPACE: Final = re.compile(r"[ \t\n\r]*")
_FORM: Final = 'expected {"applications": {"application": [...]}}'


def applications_of_json(body: bytes) -> Generator[None, None, list[EurekaApplication]]:
    """The applications of an answer. Each step is the work of one instance. Raises DiscoveryError."""
    with json_faults():
        walk = _Walk(body.decode("utf-8-sig"))
        apps: list[EurekaApplication] | None = None
        if walk.next() != "{":
            walk.value()
        else:
            for name in walk.members():
                if name == "applications":
                    apps = yield from _applications(walk)
                else:
                    walk.value()
        walk.end()
        if apps is None:
            raise DiscoveryError(_FORM)
        return apps


def _applications(walk: _Walk) -> Generator[None, None, list[EurekaApplication] | None]:
    if walk.next() != "{":
        walk.value()
        return None
    apps: list[EurekaApplication] = []
    for name in walk.members():
        if name != "application":
            walk.value()
            continue
        apps = []
        for _ in walk.several("application"):
            apps.append((yield from _application(walk)))
    return apps


def _application(walk: _Walk) -> Generator[None, None, EurekaApplication]:
    app, told = EurekaApplication(), dict[str, Any]()
    for name in walk.members():
        if name != "instance":
            told[name] = walk.value()
            continue
        app.instances = []
        for _ in walk.several("instance"):
            app.instances.append(_instance(walk.value()))
            yield
    app.name = _text(told, "name")
    return app


class _Walk:
    """A text, and how far it is read. Raises json.JSONDecodeError, or DiscoveryError for what is not expected."""

    def __init__(self, text: str):
        self._text = text
        self._at = 0
        self._decode = json.JSONDecoder().raw_decode

    def next(self) -> str:
        """The first character of what follows, "" at the end."""
        self._at = _SPACE.match(self._text, self._at).end()  # type: ignore[union-attr]
        return self._text[self._at : self._at + 1]

    def value(self) -> Any:
        """Read on past a value."""
        self.next()
        begin = self._at
        found, self._at = self._decode(self._text, begin)
        # As parse_json, which is dear: only where there may be half a surrogate pair.
        if self._text.find("\\u", begin, self._at) >= 0:
            return parse_json(self._text[begin : self._at])
        return found

    def members(self) -> Iterator[str]:
        """The name of each member of an object, whose value the caller reads before it asks for the next."""
        for _ in self._parts("{", "}"):
            if self.next() != '"':
                raise self._fault("Expecting property name enclosed in double quotes")
            name = self.value()
            if self.next() != ":":
                raise self._fault("Expecting ':' delimiter")
            self._at += 1
            yield name

    def several(self, name: str) -> Iterator[None]:
        """Each object of a list, which the caller reads; XStream writes one without a list, none as an empty text."""
        if self.next() == "[":
            for _ in self._parts("[", "]"):
                if self.next() != "{":
                    self.value()
                    raise DiscoveryError(f"{name}: expected an object")
                yield
        elif self.next() == "{":
            yield
        elif self.value() not in (None, ""):
            raise DiscoveryError(f"{name}: expected an object")

    def _parts(self, opens: str, closes: str) -> Iterator[None]:
        """What stands between brackets, and between commas."""
        assert self.next() == opens
        self._at += 1
        if self.next() == closes:
            self._at += 1
            return
        while True:
            yield
            found = self.next()
            if found not in (",", closes):
                raise self._fault("Expecting ',' delimiter")
            self._at += 1
            if found == closes:
                return

    def end(self) -> None:
        """There must be nothing more."""
        if self.next():
            raise self._fault("Extra data")

    def _fault(self, message: str) -> json.JSONDecodeError:
        return json.JSONDecodeError(message, self._text, self._at)


def _instance(found: dict[str, Any]) -> EurekaInstance:
    instance = EurekaInstance(
        {name: _text(found, name) for name in TEXTS},
        _port(found, "port"),
        _port(found, "securePort"),
        parse_integer("countryId", _text(found, "countryId"), DiscoveryError),
        metadata=_entries(found.get("metadata")),
    )
    center = found.get("dataCenterInfo")
    if center is not None:
        center = _object(center, "dataCenterInfo")
        instance.data_center = _text(center, "name")
        instance.data_center_metadata = _entries(center.get("metadata"))
    return instance


def _port(found: dict[str, Any], name: str) -> EurekaPort | None:
    port = found.get(name)
    if port is None:
        return None
    port = _object(port, name)
    return EurekaPort(
        parse_integer(name, _text(port, "$"), DiscoveryError),
        parse_boolean(f"{name}: enabled", _text(port, "@enabled"), DiscoveryError),
    )


def _entries(found: Any) -> dict[str, str]:
    """Metadata; `@class` stands for an attribute of the element in XML."""
    if found is None:
        return {}
    return {name: _text(found, name) for name in _object(found, "metadata") if not name.startswith("@")}


def _object(found: Any, name: str) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise DiscoveryError(f"{name}: expected an object")
    return found


def _text(found: dict[str, Any], name: str) -> str:
    value = found.get(name)
    match value:
        case None:
            return ""
        case str():
            return value
        case bool() | int() | float():
            return json.dumps(value)
        case _:
            raise DiscoveryError(f"{name}: expected a text")
