"""Reading a body line by line with what is known of its lines."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Final, Generic, TypeVar

import numpy as np

from rulepush.errors import ExpositionError
from rulepush.exposition import Format, ParsedSample, declared_type, each_sample, parse_line
from rulepush.exposition.literals import parse_value, to_ms
from rulepush.scrape.layout import to_floats
from rulepush.storage.table import Floats

E = TypeVar("E")

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
    """

    keys: Sequence[bytes]
    entries: Sequence[E]
    values: Floats
    times: Mapping[int, int]
    at: Sequence[int]
    silent: Mapping[bytes, None]
    regular: bool


def read_known_body(
    body: bytes,
    lines: list[bytes],
    fmt: Format,
    known: Mapping[bytes, E],
    silent: Mapping[bytes, None],
    resolve: Callable[[ParsedSample], E],
) -> ParsedLines[E]:
    """Read `lines` (of `body`): a known key costs a split and a look-up, any other line is parsed and resolved.

    Raises ExpositionError for a body that does not parse as a whole.
    """
    if b"\0" in body or (fmt is Format.OPENMETRICS and not _ends_well(lines)):
        return _read_whole(body, fmt, resolve)
    parts = zip(*map(bytes.rpartition, lines, repeat(b" ")), strict=True)
    keys, _, texts = (list(part) for part in parts)
    entries: list[E | None] = list(map(known.get, keys))
    quiet: dict[bytes, None] = {}
    times: dict[int, int] = {}
    values: dict[int, float] = {}
    regular = True
    parsed: dict[bytes, E] = {}
    family_type = ""
    comments: list[bytes] = []  # since family_type was found out: any of them may be a TYPE line
    for n in [n for n, entry in enumerate(entries) if entry is None]:
        line = lines[n]
        if fmt is Format.OPENMETRICS and not line and n == len(lines) - 1:
            continue  # what follows the last newline; a blank line elsewhere is an error
        if line in silent:
            quiet[line] = None
            if b"TYPE" in line:
                comments.append(line)
            continue
        more = _with_more(line, keys[n], texts[n], fmt, known)
        if more is not None:
            regular = False
            keys[n], entries[n], texts[n], time = more
        else:
            try:
                # Only a new line needs to know its type, so the lines that may tell it are read when one comes.
                family_type = next(filter(None, (declared_type(c, fmt) for c in reversed(comments))), family_type)
                comments.clear()
                sample = parse_line(line, fmt, family_type)
            except ExpositionError:
                return _read_whole(body, fmt, resolve)  # a quoted newline, or an error that needs its line
            if sample is None:
                quiet[line] = None
                if b"TYPE" in line:
                    comments.append(line)
                continue
            regular = regular and sample.key == keys[n]
            entry = parsed.get(sample.key)
            if entry is None:
                entry = parsed[sample.key] = resolve(sample)
            keys[n], entries[n], texts[n], time = sample.key, entry, b"0", sample.ts
            values[n] = sample.value
        if time is not None:
            times[n] = time
    at = [n for n, entry in enumerate(entries) if entry is not None]
    numbers = to_floats([texts[n] for n in at])
    if numbers is None:
        return _read_whole(body, fmt, resolve)
    position = {n: i for i, n in enumerate(at)} if values or times else {}
    for n, value in values.items():
        numbers[position[n]] = value
    found = [entry for entry in entries if entry is not None]
    timed = {position[n]: time for n, time in times.items()}
    return ParsedLines([keys[n] for n in at], found, numbers, timed, at, quiet, regular)


def _read_whole(body: bytes, fmt: Format, resolve: Callable[[ParsedSample], E]) -> ParsedLines[E]:
    """The exact way, which knows of newlines inside quotes and says which line is wrong."""
    keys: list[bytes] = []
    entries: list[E] = []
    values: list[float] = []
    times: dict[int, int] = {}
    at: list[int] = []
    for i, sample in enumerate(each_sample(body, fmt)):
        keys.append(sample.key)
        entries.append(resolve(sample))
        values.append(sample.value)
        at.append(sample.line - 1)
        if sample.ts is not None:
            times[i] = sample.ts
    silent = {line: None for line in body.split(b"\n") if line.startswith(b"#")}
    return ParsedLines(keys, entries, np.array(values, np.float64), times, at, silent, regular=False)


def _ends_well(lines: list[bytes]) -> bool:
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
    if fmt is Format.TEXT:
        return (key, entry, value, int(text)) if _TEXT_TIME.fullmatch(text) else None
    return (key, entry, value, to_ms(parse_value(text))) if _finite(text) else None


def _finite(text: bytes) -> bool:
    try:
        return math.isfinite(parse_value(text))
    except ValueError:
        return False
