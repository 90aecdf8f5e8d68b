"""The texts that a scraped endpoint answers: bytes to samples. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from rulepush.errors import ProtobufError
from rulepush.exposition.entries import Exposition, FamilyMetadata, Format, ParsedSample
from rulepush.exposition.openmetrics import OpenMetricsParser, parse_openmetrics, parse_openmetrics_line
from rulepush.exposition.text import TextParser, TranslatedParser, parse_text, parse_text_line
from rulepush.exposition.type_and_unit import with_type_and_unit

if TYPE_CHECKING:
    from rulepush.exposition.entries import HistogramScraping
    from rulepush.exposition.translated import TranslatedBody

__all__ = [
    "DeclaredTypeAndUnit",
    "Exposition",
    "FamilyMetadata",
    "Format",
    "ParsedSample",
    "declared_type",
    "each_sample",
    "parse_body",
    "parse_line",
    "readable_body",
    "translated_body",
]


def readable_body(body: bytes, fmt: Format) -> bytes:
    """A body as the functions below read it: one in protobuf as lines. Raises ProtobufError. (A scrape, which takes
    native histograms too, has its own way.)"""
    if fmt is not Format.PROTOBUF:
        return body
    from rulepush.exposition.protobuf.translate import translated

    done = translated(body)
    if done.error:
        raise ProtobufError(done.error)
    return done.text


def translated_body(body: bytes, fmt: Format, scraping: HistogramScraping) -> TranslatedBody:
    """A body as lines of Format.PROTOBUF, and its native histograms. Raises ProtobufError or ExpositionError."""
    if fmt is Format.PROTOBUF:
        from rulepush.exposition.protobuf.translate import translated

        done = translated(body, scraping)
    else:
        from rulepush.exposition.custom_buckets import custom_bucket_body

        done = custom_bucket_body(body, fmt, scraping)
    if done.error:
        raise ProtobufError(done.error)
    return done


def parse_body(body: bytes, fmt: Format) -> Exposition:
    """A whole body. Raises ExpositionError: then nothing of it may be used."""
    if fmt is Format.PROTOBUF:
        return _all_entries(TranslatedParser(body))
    return parse_openmetrics(body) if fmt is Format.OPENMETRICS else parse_text(body)


def each_sample(body: bytes, fmt: Format, *, type_and_unit: bool = False) -> Iterator[ParsedSample]:
    """The samples of a body one by one, never all of them in memory. With `type_and_unit` they have these as labels.
    Raises ExpositionError where it is wrong."""
    parser = _parser(body, fmt)
    found = Exposition()
    while parser.next(found):
        if type_and_unit:
            for sample in found.samples:
                yield replace(sample, pairs=with_type_and_unit(sample.pairs, parser.family_type, parser.family_unit))
        else:
            yield from found.samples
        found.samples.clear()


def parse_line(line: bytes, fmt: Format, family_type: str = "") -> ParsedSample | None:
    """One line without its newline: None when it holds no sample. `family_type` is what the last TYPE line before it
    said. Raises ExpositionError (with line 1)."""
    return (parse_openmetrics_line if fmt is Format.OPENMETRICS else parse_text_line)(line, family_type)


def declared_type(line: bytes, fmt: Format) -> str | None:
    """The type that a TYPE line without its newline says; None for any other line."""
    parser = _parser(line + b"\n" if fmt is Format.OPENMETRICS else line, fmt)
    found = Exposition()
    parser.next(found)
    return next((meta.type for meta in found.metadata.values() if meta.type), None)


class DeclaredTypeAndUnit:
    """What the TYPE and UNIT lines so far say of the samples that follow, for readers that go line by line."""

    __slots__ = ("_fmt", "type", "unit")

    def __init__(self, fmt: Format):
        self._fmt = fmt
        self.type = ""
        self.unit = ""

    @property
    def key(self) -> str:
        """Equal where both are, and never equal to a type."""
        return f"{self.type}\0{self.unit}"

    def read(self, line: bytes) -> None:
        """Any line without its newline, but one with a sample."""
        parser = _parser(line + b"\n" if self._fmt is Format.OPENMETRICS else line, self._fmt)
        parser.family_type, parser.family_unit = self.type, self.unit
        parser.next(Exposition())
        self.type, self.unit = parser.family_type, parser.family_unit

    def labelled(self, pairs: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
        """The pairs of a sample with type and unit among them."""
        return with_type_and_unit(pairs, self.type, self.unit)


def _parser(body: bytes, fmt: Format) -> OpenMetricsParser | TextParser:
    if fmt is Format.OPENMETRICS:
        return OpenMetricsParser(body)
    return TranslatedParser(body) if fmt is Format.PROTOBUF else TextParser(body)


def _all_entries(parser: TextParser) -> Exposition:
    found = Exposition()
    while parser.next(found):
        pass
    return found
