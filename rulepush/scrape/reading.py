"""Reading a body line by line with what is known of its lines."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Final, Generic, TypeVar

import numpy as np

from rulepush.errors import ExpositionError
from rulepush.exposition import DeclaredTypeAndUnit, Format, declared_type, each_sample, parse_line
from rulepush.exposition.literals import parse_value, to_ms
from rulepush.model.arrays import Floats
from rulepush.scrape.interner import BodyTemplate, Interner, WrittenSeries
from rulepush.scrape.layout import to_floats
from rulepush.slices import Slices

E = TypeVar("E")

_CHUNK_LINES: Final = 2_000
_PARSES_PER_SLICE: Final = 32  # lines that are parsed, about a millisecond
_RESOLVED_PER_SLICE: Final = 128

_TEXT_TIME: Final = re.compile(rb"[0-9]{1,18}")
_EXEMPLAR: Final = re.compile(rb' # \{(?:[a-zA-Z_][a-zA-Z0-9_]*="[ !#-\[\]-~]*"(?:,|(?=\})))*\} ([^ ]+)(?: ([^ ]+))?')
_EOF: Final = b"# EOF"


@dataclass(frozen=True, slots=True)
class ParsedLines(Generic[E]):
    """A body that parsed: one item of `keys`, `entries`, `values` and `at` a sample, in its order.

    `values`   float64[n]
    `times`    explicit timestamps in ms, by position among the samples
    `at`       the index of a sample's line
    `silent`   the lines without a sample, in order
    `regular`  whether every line of a sample is `key value`
    `written`  what each of the lines means that were new
    `template` the body of another target that said the same
    """

    keys: Sequence[bytes]
    entries: Sequence[E]
    values: Floats
    times: Mapping[int, int]
    at: Sequence[int]
    silent: Mapping[bytes, None]
    regular: bool
    written: Mapping[bytes, WrittenSeries] = field(default_factory=dict)
    template: BodyTemplate | None = None


def read_as_before(
    body: bytes, lines: list[bytes], template: BodyTemplate, resolve: Callable[[WrittenSeries], E]
) -> Slices[ParsedLines[E] | None]:
    """Read a body that says what another target said before; None when it says something else."""
    pattern = template.lines
    texts = pattern.texts(lines, len(body))
    numbers = None if texts is None else to_floats(texts)
    if numbers is None:
        return None
    entries: list[E] = []
    for begin in range(0, len(template.written), _RESOLVED_PER_SLICE):
        entries += map(resolve, template.written[begin : begin + _RESOLVED_PER_SLICE])
        yield
    return ParsedLines(pattern.keys, entries, numbers, {}, (), template.silent, regular=True, template=template)


def read_known_body(
    body: bytes,
    lines: list[bytes],
    fmt: Format,
    known: Mapping[bytes, E],
    silent: Mapping[bytes, None],
    resolve: Callable[[WrittenSeries], E],
    interner: Interner,
    *,
    type_and_unit: bool = False,
) -> Slices[ParsedLines[E]]:
    """Read `lines` (of `body`): a known key costs a split and a look-up, any other line is resolved, and parsed if no
    target had it before.

    A generator: between its slices of about a millisecond the caller may do something else, and its return value is
    the result. Raises ExpositionError for a body that does not parse as a whole. With `type_and_unit` series have these
    as labels.
    """
    if b"\0" in body or (fmt is Format.OPENMETRICS and not ends_well(lines)):
        return (yield from _read_whole(body, fmt, resolve, interner, type_and_unit=type_and_unit))
    if type_and_unit and _declarations(lines) != _declarations(silent):
        known = {}  # a line that is the same may be another series
    reader = _LineReader(fmt, known, silent, resolve, interner, DeclaredTypeAndUnit(fmt) if type_and_unit else None)
    for begin in range(0, len(lines), _CHUNK_LINES):
        chunk = lines[begin : begin + _CHUNK_LINES]
        if not (yield from reader.read(chunk, begin, is_last=begin + _CHUNK_LINES >= len(lines))):
            # A quoted newline, or an error that needs its line.
            return (yield from _read_whole(body, fmt, resolve, interner, type_and_unit=type_and_unit))
    return reader.result()


def _declarations(lines: Iterable[bytes]) -> list[bytes]:
    """The lines that may declare types and units, each once."""
    return list(dict.fromkeys(line for line in lines if line.lstrip().startswith(b"#") and _declares(line)))


def _declares(line: bytes) -> bool:
    return b"TYPE" in line or b"UNIT" in line


class _LineReader(Generic[E]):
    """Reads the lines of a body, some at a time."""

    def __init__(
        self,
        fmt: Format,
        known: Mapping[bytes, E],
        silent: Mapping[bytes, None],
        resolve: Callable[[WrittenSeries], E],
        interner: Interner,
        declared: DeclaredTypeAndUnit | None = None,
    ):
        self._fmt = fmt
        self._known = known
        self._silent = silent
        self._resolve = resolve
        self._interner = interner
        self._declared = declared  # None when types and units are no labels
        self._keys: list[bytes] = []
        self._entries: list[E] = []
        self._numbers: list[Floats] = []
        self._times: dict[int, int] = {}
        self._at: list[int] = []
        self._quiet: dict[bytes, None] = {}
        self._regular = True
        self._parsed: dict[bytes, E] = {}
        self._written: dict[bytes, WrittenSeries] = {}
        self._family_type = ""
        self._comments: list[bytes] = []  # since _family_type was found out: one of them may be a TYPE line

    def result(self) -> ParsedLines[E]:
        """What was read."""
        numbers = np.concatenate(self._numbers) if self._numbers else np.empty(0)
        return ParsedLines(
            self._keys,
            self._entries,
            numbers,
            self._times,
            self._at,
            self._quiet,
            regular=self._regular,
            written=self._written,
        )

    def read(self, lines: list[bytes], begin: int, *, is_last: bool) -> Slices[bool]:
        """Read the lines from index `begin` on; False when the body must be read as a whole."""
        fmt, known, interner = self._fmt, self._known, self._interner
        parts = zip(*map(bytes.rpartition, lines, repeat(b" ")), strict=True)
        keys, _, texts = (list(part) for part in parts)
        entries: list[E | None] = list(map(known.get, keys))
        times: dict[int, int] = {}
        values: dict[int, float] = {}
        for count, n in enumerate([n for n, entry in enumerate(entries) if entry is None], 1):
            if not count % _PARSES_PER_SLICE:
                yield
            line = lines[n]
            if fmt is Format.OPENMETRICS and not line and is_last and n == len(lines) - 1:
                continue  # what follows the last newline; a blank line elsewhere is an error
            if line in self._silent or interner.silent(fmt, line) is not None:
                self._silence(line)
                continue
            family_type = self._type_here()
            declared = self._declared
            context = family_type if declared is None else declared.key
            written = interner.series(fmt, context, keys[n])
            if written is not None:
                entries[n] = self._entry(keys[n], written)
                continue
            more = _with_more(line, keys[n], texts[n], fmt, known)
            if more is not None:
                self._regular = False
                keys[n], entries[n], texts[n], time = more
            else:
                try:
                    sample = parse_line(line, fmt, family_type)
                except ExpositionError:
                    return False
                if sample is None:
                    interner.learn_silent(fmt, line, declared_type(line, fmt) or "")
                    self._silence(line)
                    continue
                self._regular = self._regular and sample.key == keys[n]
                pairs = sample.pairs if declared is None else declared.labelled(sample.pairs)
                written = interner.learn(fmt, context, sample.key, pairs)
                keys[n], entries[n], texts[n], time = sample.key, self._entry(sample.key, written), b"0", sample.ts
                values[n] = sample.value
            if time is not None:
                times[n] = time
        at = [n for n, entry in enumerate(entries) if entry is not None]
        numbers = to_floats([texts[n] for n in at])
        if numbers is None:
            return False
        position = {n: i for i, n in enumerate(at)} if values or times else {}
        for n, value in values.items():
            numbers[position[n]] = value
        before = len(self._keys)
        self._keys += [keys[n] for n in at]
        self._entries += [entry for entry in entries if entry is not None]
        self._numbers.append(numbers)
        self._times |= {before + position[n]: time for n, time in times.items()}
        self._at += [begin + n for n in at]
        yield
        return True

    def _silence(self, line: bytes) -> None:
        self._quiet[line] = None
        if _declares(line):
            self._comments.append(line)

    def _type_here(self) -> str:
        """What the last TYPE line said. Only a new line needs to know, so those lines are read when one comes."""
        if self._declared is not None:
            for line in self._comments:
                self._declared.read(line)
            self._comments.clear()
            return self._declared.type
        for line in self._comments:
            declared = self._interner.silent(self._fmt, line)
            if declared is None:
                declared = declared_type(line, self._fmt)
            self._family_type = declared or self._family_type
        self._comments.clear()
        return self._family_type

    def _entry(self, key: bytes, written: WrittenSeries) -> E:
        entry = self._parsed.get(key)
        if entry is None:
            entry = self._parsed[key] = self._resolve(written)
            self._written[key] = written
        return entry


def declared_before(lines: Sequence[bytes], index: int, fmt: Format, interner: Interner) -> str:
    """What the last TYPE line before a line says."""
    for line in reversed(lines[:index]):
        if line.startswith(b"#") and b"TYPE" in line:
            declared = interner.silent(fmt, line)
            if declared is None:
                declared = declared_type(line, fmt)
            if declared:
                return declared
    return ""


def _read_whole(
    body: bytes, fmt: Format, resolve: Callable[[WrittenSeries], E], interner: Interner, *, type_and_unit: bool
) -> Slices[ParsedLines[E]]:
    """The exact way, which knows of newlines inside quotes and says which line is wrong."""
    keys: list[bytes] = []
    entries: list[E] = []
    values: list[float] = []
    times: dict[int, int] = {}
    at: list[int] = []
    for i, sample in enumerate(each_sample(body, fmt, type_and_unit=type_and_unit)):
        if not i % _PARSES_PER_SLICE:
            yield
        keys.append(sample.key)
        entries.append(resolve(interner.written(sample.pairs)))
        values.append(sample.value)
        at.append(sample.line - 1)
        if sample.ts is not None:
            times[i] = sample.ts
    silent = {line: None for line in body.split(b"\n") if line.startswith(b"#")}
    return ParsedLines(keys, entries, np.array(values, np.float64), times, at, silent, regular=False)


def ends_well(lines: list[bytes]) -> bool:
    """Whether `# EOF` is the last line of an OpenMetrics body, and no other is."""
    last = lines[-2] if lines[-1] == b"" and len(lines) > 1 else lines[-1]
    return last == _EOF and lines.count(_EOF) == 1


def _with_more(
    line: bytes, key: bytes, text: bytes, fmt: Format, known: Mapping[bytes, E]
) -> tuple[bytes, E, bytes, int | None] | None:
    """A known key that is followed by more than a value: (key, entry, value, time), or None."""
    if fmt is Format.OPENMETRICS and (cut := line.rfind(b" # {")) > 0:
        exemplar = _EXEMPLAR.fullmatch(line, cut)
        if exemplar is None or not all(_finite(part) for part in exemplar.groups() if part is not None):
            return None
        key, _, text = line[:cut].rpartition(b" ")
        entry = known.get(key)
        if entry is not None:
            return key, entry, text, None
    key, _, value = key.rpartition(b" ")
    entry = known.get(key)
    if entry is None:
        return None
    if fmt is not Format.OPENMETRICS:
        return (key, entry, value, int(text)) if _TEXT_TIME.fullmatch(text) else None
    return (key, entry, value, to_ms(parse_value(text))) if _finite(text) else None


def _finite(text: bytes) -> bool:
    try:
        return math.isfinite(parse_value(text))
    except ValueError:
        return False
