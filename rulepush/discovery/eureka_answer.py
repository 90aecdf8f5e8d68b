"""The list of applications as a Eureka server answers it in XML; eureka_json.py reads it in JSON.

XML is what Prometheus reads, so it is read as Go's encoding/xml reads it into the structs of Prometheus'
discovery/eureka/client.go: elements by their local name, each where it belongs, others passed over; numbers and
booleans in Go's spelling; the value of a metadata entry is its inner XML as it was sent, `&amp;` included.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final
from xml.parsers import expat

from rulepush.errors import DiscoveryError

_MAX_DEPTH: Final = 100  # Eureka's own answers have six levels
_ENDS_EARLY: Final = expat.errors.codes[expat.errors.XML_ERROR_NO_ELEMENTS]
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,19}")
_TRUE: Final = frozenset(("1", "t", "T", "TRUE", "true", "True"))  # strconv.ParseBool
_FALSE: Final = frozenset(("0", "f", "F", "FALSE", "false", "False"))
_TAG: Final = re.compile(rb"""<(?:"[^"]*"|'[^']*'|[^'">])*>""")


@dataclass(slots=True)
class EurekaPort:
    """`port` or `securePort` of an instance."""

    number: int = 0
    enabled: bool = False


@dataclass(slots=True)
class EurekaInstance:
    """One `instance`. `texts` are its plain elements by name; a port that was not sent is None, and so is the name of
    the data centre."""

    texts: dict[str, str] = field(default_factory=dict)
    port: EurekaPort | None = None
    secure_port: EurekaPort | None = None
    country_id: int = 0
    data_center: str | None = None
    data_center_metadata: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class EurekaApplication:
    """One `application`."""

    name: str = ""
    instances: list[EurekaInstance] = field(default_factory=list)


TEXTS: Final = (
    "hostName",
    "homePageUrl",
    "statusPageUrl",
    "healthCheckUrl",
    "ipAddr",
    "vipAddress",
    "secureVipAddress",
    "status",
    "instanceId",
)

# What may stand in what, and is read; "value" is an element whose text counts, "entry" one whose inner XML does.
_PLACES: Final[Mapping[str, Mapping[str, str]]] = {
    "": {"applications": "applications"},
    "applications": {"application": "application"},
    "application": {"name": "value", "instance": "instance"},
    "instance": {
        **dict.fromkeys((*TEXTS, "countryId"), "value"),
        "port": "value",
        "securePort": "value",
        "dataCenterInfo": "dataCenterInfo",
        "metadata": "metadata",
    },
    "dataCenterInfo": {"name": "value", "metadata": "metadata"},
}
_NOTHING: Final[Mapping[str, str]] = {}


class ApplicationsXml:
    """Reads the XML piece by piece, so that thousands of instances do not hold the event loop.

    Safe against hostile answers: the parser (expat) is not recursive and loads nothing; a document type declaration,
    without which there are no entities to expand, is refused; depth is bounded here, and size by the caller.
    `feed` and `close` raise DiscoveryError.
    """

    def __init__(self) -> None:
        self._apps: list[EurekaApplication] = []
        self._recognised = False
        self._path: list[tuple[str, str]] = []  # (place, local name) of each open element
        self._text: list[str] = []  # of the open "value"
        self._enabled = False  # the attribute of the open port
        self._entry_at = -1  # the offset of the open "entry"
        self._raw = bytearray()  # what may still be inner XML, from offset _raw_at on
        self._raw_at = 0
        parser = expat.ParserCreate("utf-8")
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.StartDoctypeDeclHandler = self._doctype
        self._parser = parser

    def feed(self, part: bytes) -> None:
        """Read on."""
        self._raw += part
        self._parse(part, False)
        done = self._entry_at if self._entry_at >= 0 else self._parser.CurrentByteIndex
        if done > self._raw_at:
            del self._raw[: done - self._raw_at]
            self._raw_at = done

    @property
    def recognised(self) -> bool:
        """Whether it began as a list of applications."""
        return self._recognised

    def close(self) -> list[EurekaApplication]:
        """The applications, in the order of the answer."""
        self._parse(b"", True)
        return self._apps

    def _parse(self, part: bytes, last: bool) -> None:
        try:
            self._parser.Parse(part, last)
        except expat.ExpatError as e:
            if last and e.code == _ENDS_EARLY:
                raise DiscoveryError("the answer ends before </applications>: it was cut off on its way") from None
            raise DiscoveryError(f"line {e.lineno}: not valid XML: {expat.ErrorString(e.code)}") from None

    def _fault(self, message: str) -> DiscoveryError:
        return DiscoveryError(f"line {self._parser.CurrentLineNumber}: {message}")

    def _doctype(self, *_: object) -> None:
        raise self._fault("has a document type declaration (<!DOCTYPE>), which Eureka does not send")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        space, _, local = name.partition(":")
        local = local if space and local else name
        if len(self._path) >= _MAX_DEPTH:
            raise self._fault("nested too deeply")
        above = self._path[-1][0] if self._path else ""
        place = "entry" if above == "metadata" else _PLACES.get(above, _NOTHING).get(local, "other")
        self._path.append((place, local))
        if place == "value":
            self._text.clear()
            self._listen(True)
            if local in ("port", "securePort"):
                self._enabled = parse_boolean(f"{local}: enabled", attributes.get("enabled", ""), self._fault)
        elif above == "value":
            self._listen(False)
        elif place == "entry":
            self._entry_at = self._parser.CurrentByteIndex
        elif place == "instance":
            self._apps[-1].instances.append(EurekaInstance())
        elif place == "application":
            self._apps.append(EurekaApplication())
        elif place == "dataCenterInfo":
            instance = self._apps[-1].instances[-1]
            instance.data_center = instance.data_center or ""
        elif not above:
            if place == "other":
                raise self._fault(f"expected <applications>, got <{name[:80]}>")
            self._recognised = True

    def _end(self, _: str) -> None:
        place, local = self._path.pop()
        if place == "value":
            self._listen(False)
            self._take(self._path[-1][0], local, "".join(self._text))
        elif place == "entry":
            into = self._apps[-1].instances[-1]
            of_data_center = self._path[-2][0] == "dataCenterInfo"
            (into.data_center_metadata if of_data_center else into.metadata)[local] = self._inner_xml()
            self._entry_at = -1
        elif self._path and self._path[-1][0] == "value":
            self._listen(True)

    def _listen(self, on: bool) -> None:
        """Text is taken of values only: most of it is the space between elements."""
        self._parser.CharacterDataHandler = self._text.append if on else None

    def _take(self, owner: str, local: str, text: str) -> None:
        if owner == "application":
            self._apps[-1].name = text
            return
        instance = self._apps[-1].instances[-1]
        if owner == "dataCenterInfo":
            instance.data_center = text
        elif local == "countryId":
            instance.country_id = parse_integer(local, text, self._fault)
        elif local == "port":
            instance.port = EurekaPort(parse_integer(local, text, self._fault), self._enabled)
        elif local == "securePort":
            instance.secure_port = EurekaPort(parse_integer(local, text, self._fault), self._enabled)
        else:
            instance.texts[local] = text

    def _inner_xml(self) -> str:
        start, end = self._entry_at - self._raw_at, self._parser.CurrentByteIndex - self._raw_at
        if start == end:  # <a/>
            return ""
        tag = _TAG.match(self._raw, start, end)
        return self._raw[tag.end() if tag else start : end].decode("utf-8")


def parse_integer(name: str, text: str, fault: Callable[[str], DiscoveryError]) -> int:
    """strconv.ParseInt of the trimmed text; nothing at all is 0, as in encoding/xml. Raises what `fault` makes."""
    if text == "":
        return 0
    trimmed = text.strip()
    number = int(trimmed) if _INTEGER.fullmatch(trimmed) else 1 << 63
    if not -(1 << 63) <= number < 1 << 63:
        raise fault(f"{name}: {text[:40]!r} is not a number")
    return number


def parse_boolean(name: str, text: str, fault: Callable[[str], DiscoveryError]) -> bool:
    """strconv.ParseBool of the trimmed text; nothing at all is false. Raises what `fault` makes of a message."""
    trimmed = text.strip()
    if trimmed not in _TRUE and trimmed not in _FALSE and text != "":
        raise fault(f"{name}: {text[:40]!r} is neither true nor false")
    return trimmed in _TRUE
