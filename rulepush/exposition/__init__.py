"""The texts that a scraped endpoint answers: bytes to samples. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from rulepush.exposition.entries import Exposition, FamilyMetadata, Format, ParsedSample
from rulepush.exposition.openmetrics import OpenMetricsParser, parse_openmetrics, parse_openmetrics_line
from rulepush.exposition.text import TextParser, parse_text, parse_text_line

__all__ = [
    "Exposition",
    "FamilyMetadata",
    "Format",
    "ParsedSample",
    "declared_type",
    "each_sample",
    "parse_body",
    "parse_line",
]


def parse_body(body: bytes, fmt: Format) -> Exposition:
    """A whole body. Raises ExpositionError: then nothing of it may be used."""
    return parse_openmetrics(body) if fmt is Format.OPENMETRICS else parse_text(body)


def each_sample(body: bytes, fmt: Format) -> Iterator[ParsedSample]:
    """The samples of a body one by one, never all of them in memory. Raises ExpositionError where it is wrong."""
    parser = OpenMetricsParser(body) if fmt is Format.OPENMETRICS else TextParser(body)
    found = Exposition()
    while parser.next(found):
        yield from found.samples
        found.samples.clear()


def parse_line(line: bytes, fmt: Format, family_type: str = "") -> ParsedSample | None:
    """One line without its newline: None when it holds no sample. `family_type` is what the last TYPE line before it
    said. Raises ExpositionError (with line 1)."""
    return (parse_openmetrics_line if fmt is Format.OPENMETRICS else parse_text_line)(line, family_type)


def declared_type(line: bytes, fmt: Format) -> str | None:
    """The type that a TYPE line without its newline says; None for any other line."""
    parser = OpenMetricsParser(line + b"\n") if fmt is Format.OPENMETRICS else TextParser(line)
    found = Exposition()
    parser.next(found)
    return next((meta.type for meta in found.metadata.values() if meta.type), None)
