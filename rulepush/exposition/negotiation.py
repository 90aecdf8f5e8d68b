"""Which exposition format a client takes, and how names are written in it.

Sources: prometheus/common expfmt/encode.go (Negotiate, before 0.70: `*/*` is text) and model/metric.go (EscapeName).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from rulepush.model.labels import is_legacy_metric_name


class NameEscaping(StrEnum):
    """How names that are no legacy ones are written, by the name in Accept and Content-Type."""

    ALLOW_UTF8 = "allow-utf-8"  # as they are
    UNDERSCORES = "underscores"
    DOTS = "dots"
    VALUES = "values"


@dataclass(frozen=True, slots=True)
class ExpositionFormat:
    """The delimited protobuf format, or the text format 0.0.4."""

    protobuf: bool
    escaping: NameEscaping

    @property
    def content_type(self) -> str:
        """The header."""
        return (PROTOBUF_TYPE if self.protobuf else _TEXT_TYPE) + f"; escaping={self.escaping.value}"


_TEXT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_PROTOBUF: Final = "application/vnd.google.protobuf"
_MESSAGE: Final = "io.prometheus.client.MetricFamily"
PROTOBUF_TYPE: Final = f"{_PROTOBUF}; proto={_MESSAGE}; encoding=delimited"
"""The Content-Type of delimited families."""
_SCHEMES: Final = {scheme.value: scheme for scheme in NameEscaping}


def negotiated(accept: str) -> ExpositionFormat:
    """The first format of an Accept header, by quality, that is written here; the text format when there is none. The
    escaping is the last one named up to there."""
    clauses = []
    for clause in accept.split(","):
        media_type, *params = (part.strip() for part in clause.split(";"))
        given = {name.strip().lower(): value.strip() for name, _, value in (param.partition("=") for param in params)}
        clauses.append((_quality(given.get("q", "")), media_type.lower(), given))
    escaping = NameEscaping.UNDERSCORES
    for _, media_type, given in sorted(clauses, key=lambda one: -one[0]):
        escaping = _SCHEMES.get(given.get("escaping", ""), escaping)
        if media_type == _PROTOBUF and _is_delimited(given):
            return ExpositionFormat(True, escaping)
        if media_type == "text/plain" and given.get("version", "") in ("", "0.0.4"):
            break
    return ExpositionFormat(False, escaping)


def _is_delimited(given: Mapping[str, str]) -> bool:
    # The protobuf text formats, which Prometheus writes, too, are for people: they get the text format.
    return given.get("proto") == _MESSAGE and given.get("encoding") == "delimited"


def _quality(text: str) -> float:
    try:
        return float(text) if text else 1.0
    except ValueError:
        return 0.0


def escape_name(name: str, escaping: NameEscaping) -> str:
    """The name of a metric or label as it is written; legacy ones stay."""
    if escaping is NameEscaping.ALLOW_UTF8 or is_legacy_metric_name(name):
        return name
    legacy = [
        char == ":" or (char.isascii() and (char.isalpha() or (char.isdigit() and at > 0)))
        for at, char in enumerate(name)
    ]
    if escaping is NameEscaping.UNDERSCORES:
        return "".join(char if keep else "_" for char, keep in zip(name, legacy, strict=True))
    if escaping is NameEscaping.DOTS:
        dotted = {".": "_dot_"}
        return "".join(char if keep else dotted.get(char, "__") for char, keep in zip(name, legacy, strict=True))
    written = ("__" if char == "_" else f"_{ord(char):x}_" for char in name)
    return "U__" + "".join(char if keep else code for char, keep, code in zip(name, legacy, written, strict=True))
