"""The plan of a target's body: where each kept value goes, as long as the series and their order stay the same.

Most endpoints answer the same series in the same order at every scrape. Then all lines are split, compared with the
plan and converted by a few calls that run in C, and each table takes its values in one numpy assignment.
"""

from __future__ import annotations

from array import array
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Final

import numpy as np

from rulepush.exposition.literals import parse_value
from rulepush.histogram.boxes import Boxes
from rulepush.model.arrays import Floats
from rulepush.model.labels import Labels
from rulepush.scrape.body_histograms import BodyHistograms
from rulepush.storage.head import Head
from rulepush.storage.table import Int64s, Rows, Table, as_rows

_PLAIN: Final = b"0123456789+-.eE "
_HASH: Final = ord("#")
_MAX_PARTS: Final = 4
_MAX_CHANGES: Final = 100  # series that come and go at a time; with more the body is read line by line
_STEP_LINES: Final = 64
_INVERTED: Final = bytes([1, 0]) + bytes(254)
_BLANK: Final = b"\n"
_NEW: Final = np.array([-1])


class TargetSeries:
    """A series of a target: its labels, and where its samples go (None when no rule wants it). `live`: it gets a stale
    marker when it goes."""

    __slots__ = ("labels", "layout", "live", "row", "table", "wanted_in")

    def __init__(self, labels: Labels, wanted_in: int | None = None):
        """`wanted_in` is the epoch of the head in which its demand was asked, and wants the series."""
        self.labels = labels
        self.wanted_in = wanted_in
        self.live = False
        self.table: Table | None = None
        self.layout = 0
        self.row = 0

    def locate(self, head: Head) -> bool:
        """Find the row, again if rows have moved; False when the series is not wanted."""
        table = self.table
        if table is None or table.layout != self.layout:
            table = self.table = head.table_for(self.labels, wanted=self.wanted_in == head.epoch)
            if table is None:
                return False
            self.layout = table.layout
            self.row = table.row(self.labels)
        return True


class TableGroup:
    """The series of one table, if any: `parts` are rows, and which positions of a list of values go to them.

    There are as many members as series in the process, and they are read only when some came or went: a list and an
    array take a sixth of what a dict would.
    """

    def __init__(self, table: Table):
        self.table = table
        self.layout = table.layout
        self.parts: list[tuple[Rows, Rows]] | None = None  # None when the members have changed
        self._series: list[TargetSeries] = []
        self._positions = array("i")
        self._gone: set[TargetSeries] = set()  # still in the list

    def add(self, series: TargetSeries, position: int) -> None:
        """One more member: a series that has found its row."""
        if series in self._gone:
            self._drop_gone()
        self._series.append(series)
        self._positions.append(position)
        self.parts = None

    def discard(self, series: TargetSeries) -> None:
        """One less."""
        self._gone.add(series)
        self.parts = None

    def members(self) -> dict[TargetSeries, int]:
        """Each with its position."""
        self._drop_gone()
        return dict(zip(self._series, self._positions, strict=True))

    def _drop_gone(self) -> None:
        if self._gone:
            stays = [series not in self._gone for series in self._series]
            self._series = list(compress(self._series, stays))
            self._positions = array("i", compress(self._positions, stays))
            self._gone.clear()

    def build(self) -> list[tuple[Rows, Rows]]:
        """Rows that follow each other make a part of their own, for numpy takes a slice five times as fast."""
        self._drop_gone()
        rows, positions = [series.row for series in self._series], self._positions.tolist()
        starts = [i for i in range(1, len(rows)) if rows[i] != rows[i - 1] + 1]
        if len(starts) >= _MAX_PARTS:
            self.parts = [(as_rows(rows), as_rows(positions))]
        else:
            cuts = list(zip([0, *starts], [*starts, len(rows)], strict=True)) if rows else []
            self.parts = [(as_rows(rows[i:j]), as_rows(positions[i:j])) for i, j in cuts]
        return self.parts


class Placement:
    """Which positions of a list of values go to which rows."""

    def __init__(self, head: Head, placed: Iterable[tuple[TargetSeries, int]]):
        self._head = head
        self._new = dict(placed)  # not in a group yet
        self._groups: dict[int, TableGroup] = {}  # by id of the table

    def append(self, ts: int, values: Floats, boxes: Boxes | None = None) -> tuple[int, int]:
        """Append values[position] of every series at `ts`; `boxes` has the histograms among them. Returns (out of
        order, duplicate)."""
        late = duplicate = 0
        append_rows = self._head.append_rows
        for group in self._current():
            for rows, positions in group.parts or group.build():
                out_of_order, twice = append_rows(group.table, rows, ts, values[positions], boxes)
                late += out_of_order
                duplicate += twice
        return late, duplicate

    def add(self, series: TargetSeries, position: int) -> None:
        """One more series."""
        self._new[series] = position

    def discard(self, series: TargetSeries) -> None:
        """One less."""
        self._new.pop(series, None)
        group = self._groups.get(id(series.table))
        if group is not None:
            group.discard(series)

    def _current(self) -> Iterable[TableGroup]:
        for key, group in list(self._groups.items()):
            if group.layout != group.table.layout:  # its rows have moved, or the table has left the head
                self._new |= group.members()
                del self._groups[key]
        if self._new:
            self._place()
        return self._groups.values()

    def _place(self) -> None:
        new, self._new = self._new, {}
        self._locate_fresh(new)
        for series, position in new.items():
            if not series.locate(self._head) or series.table is None:
                continue
            group = self._groups.get(id(series.table))
            if group is None:
                group = self._groups[id(series.table)] = TableGroup(series.table)
            group.add(series, position)

    def _locate_fresh(self, new: Iterable[TargetSeries]) -> None:
        """Those that no table had yet get their rows together, a metric at a time."""
        epoch = self._head.epoch
        by_name: dict[str, list[TargetSeries]] = {}
        for series in new:
            if series.table is None and series.wanted_in == epoch:
                by_name.setdefault(series.labels.name, []).append(series)
        for name, found in by_name.items():
            table = self._head.wanted_table(name)
            for series, row in zip(found, table.add_rows([series.labels for series in found]), strict=True):
                series.table, series.layout, series.row = table, table.layout, row


@dataclass(frozen=True, slots=True)
class ScrapeBodyStats:
    """How a body counts in the series that a scrape reports of itself."""

    scraped: int = 0
    post_relabel: int = 0
    wanted: int = 0
    duplicates: int = 0


@dataclass(frozen=True, slots=True)
class BodyChange:
    """How a body differs from the one before it, when all that differs is which series there are.

    `lines`     the pattern of the body that differs; its keys are the same objects as before where they are known
    `texts`     what stands after its keys
    `source`    int64[n]: the place of each of its samples among those of the body before, -1 when it is new
    `removed`   the places of those that are gone
    `inserted`  the places of those that are new, and `inserted_at` the indices of their lines
    """

    lines: BodyLines
    texts: tuple[bytes, ...]
    source: Int64s
    removed: list[int]
    inserted: list[int]
    inserted_at: list[int]


class BodyLines:
    """The pattern of a body whose lines of values all have the form `key value`. Immutable, so that targets of the
    same application may share one.

    `keys`    what stands before the values, in order
    `others`  the lines without a value, in order
    `is_sample`  one byte a line: 1 where it holds a sample, else 0
    """

    __slots__ = ("_fixed_size", "_is_other", "_prefixes", "is_sample", "keys", "others")

    def __init__(self, keys: tuple[bytes, ...], others: tuple[bytes, ...], is_sample: bytes):
        self.keys = keys
        self.others = others
        self.is_sample = is_sample
        self._is_other = is_sample.translate(_INVERTED)
        # How much longer such a body is than its values, joined by newlines.
        self._fixed_size = sum(map(len, others)) + sum(map(len, keys)) + len(is_sample) - len(keys)
        self._prefixes: list[bytes] | None = None

    @classmethod
    def of(cls, lines: Sequence[bytes], at: Sequence[int], keys: Sequence[bytes]) -> BodyLines:
        """`at` are the indices in `lines` that hold samples, `keys` what stands before their values."""
        is_sample = bytearray(len(lines))
        for i in at:
            is_sample[i] = 1
        others = tuple(compress(lines, is_sample.translate(_INVERTED)))
        return cls(tuple(keys), others, bytes(is_sample))

    def texts(self, lines: list[bytes], size: int) -> tuple[bytes, ...] | None:
        """What stands after the keys in a body of `size` bytes that has this pattern, a blank and a value each; None
        when it has not."""
        if len(lines) != len(self.is_sample) or tuple(compress(lines, self._is_other)) != self.others:
            return None
        # A line that does not begin with its key stays as it is, and then what is left of the body is too long.
        texts = tuple(map(bytes.removeprefix, compress(lines, self.is_sample), self.keys))
        joined = b"\n".join(texts)
        if len(joined) != size - self._fixed_size:
            return None
        # What is left of each must be one blank, before the value: more is a time, or takes a closer look.
        blanks = joined.count(b"\n ") + joined.startswith(b" ")
        return texts if blanks == joined.count(b" ") == len(texts) else None

    def compare(self, lines: list[bytes], size: int, known: Container[bytes]) -> BodyChange | None:
        """How a body of `size` bytes differs; None when it does so by more than a few series. `known` are `keys`, quick
        to look up.

        Stretches of lines that begin as before are found by a few calls in C. That they are what they seem to be is
        seen afterwards, by `texts` of the pattern that comes of it.
        """
        prefixes, is_sample = self._lines_begin(), self.is_sample
        keys: list[bytes] = []
        mask: list[bytes] = []
        begin: list[bytes] = []
        source: list[Int64s] = []
        removed: list[int] = []
        inserted: list[int] = []
        inserted_at: list[int] = []
        i = j = place = 0
        while j < len(lines):
            same = _common(lines, j, prefixes, i)
            if same:
                count = is_sample.count(1, i, i + same)
                keys += self.keys[place : place + count]
                mask.append(is_sample[i : i + same])
                begin += prefixes[i : i + same]
                source.append(np.arange(place, place + count))
                i, j, place = i + same, j + same, place + count
                continue
            line = lines[j]
            silent = not line or line[0] == _HASH
            key = line or _BLANK if silent else line.rpartition(b" ")[0]
            if not line and i < len(prefixes) and prefixes[i] == _BLANK:
                mask.append(b"\0")
                begin.append(_BLANK)
                i, j = i + 1, j + 1
            elif silent or key in known:
                try:
                    found = prefixes.index(key, i)
                except ValueError:
                    return None  # it stands at another place than before, or is a new comment
                if is_sample.count(0, i, found):
                    return None
                removed += range(place, place + found - i)
                i, place = found, place + found - i
            else:
                inserted.append(len(keys))
                inserted_at.append(j)
                keys.append(key)
                mask.append(b"\1")
                begin.append(key)
                source.append(_NEW)
                j += 1
            if len(removed) + len(inserted) > _MAX_CHANGES:
                return None
        removed += range(place, len(self.keys))
        if is_sample.count(0, i) or len(removed) + len(inserted) > _MAX_CHANGES or not keys:
            return None
        made = BodyLines(tuple(keys), self.others, b"".join(mask))
        texts = made.texts(lines, size)
        if texts is None:
            return None
        made._prefixes = begin
        return BodyChange(made, texts, np.concatenate(source), removed, inserted, inserted_at)

    def _lines_begin(self) -> list[bytes]:
        """What each line begins with; the lines without a value whole, and of a blank line what none begins with."""
        if self._prefixes is None:
            samples, others = iter(self.keys), iter(self.others)
            self._prefixes = [next(samples) if sample else next(others) or _BLANK for sample in self.is_sample]
        return self._prefixes


class BodyLayout:
    """What is known of a body that has the pattern `lines`.

    Each of its series has a slot in the list of values. As long as no series came or went, that is its place in the
    body; a series that comes takes a free slot, so that nothing changes for the others.
    """

    def __init__(self, lines: BodyLines, placement: Placement, counts: ScrapeBodyStats):
        self.lines = lines
        self._slots: Int64s | None = None  # int64[samples], None for 0, 1, 2, ...
        self._slot_count = len(lines.keys)
        self._free: list[int] = []
        self.placement = placement
        self.counts = counts

    def values(self, lines: list[bytes], size: int, histograms: BodyHistograms | None = None) -> Floats | None:
        """The values of a body of `size` bytes with the same series in the same order, by slot; None when it is not
        that."""
        texts = self.lines.texts(lines, size)
        numbers = None if texts is None else to_floats(texts)
        if numbers is None:
            return None
        if histograms is not None:
            histograms.put(numbers)
        return self.by_slot(numbers)

    def by_slot(self, numbers: Floats) -> Floats:
        """Values in the order of the body, put in the order of the slots."""
        if self._slots is None:
            return numbers
        values = np.zeros(self._slot_count)
        values[self._slots] = numbers
        return values

    def follow(self, change: BodyChange, counts: ScrapeBodyStats) -> None:
        """Become the layout of the body that differs so. Its new series get slots: see `slot_of`. `placement` is
        the caller's to change."""
        slots = np.arange(self._slot_count) if self._slots is None else self._slots
        self._free += slots[change.removed].tolist()
        following = slots[change.source]
        for j in change.inserted:
            if not self._free:
                self._free.append(self._slot_count)
                self._slot_count += 1
            following[j] = self._free.pop()
        self._slots = following
        self.lines, self.counts = change.lines, counts

    def slot_of(self, place: int) -> int:
        """The slot of the sample at this place in the body."""
        return place if self._slots is None else int(self._slots[place])


def to_floats(texts: Sequence[bytes]) -> Floats | None:
    """Many values at once, float64[n]; None when one of them is not what `parse_value` accepts. A blank may stand
    before each."""
    try:
        values = np.fromiter(map(float, texts), np.float64, len(texts))
        # float() is more lenient than Go: what is not plainly a number is checked one by one.
        if b" ".join(texts).translate(None, _PLAIN):
            for text in texts:
                if text.translate(None, _PLAIN):
                    parse_value(text.removeprefix(b" "))
        if np.isinf(values).any():
            for i in np.flatnonzero(np.isinf(values)).tolist():
                parse_value(texts[i].removeprefix(b" "))  # an overflow is an error, a written infinity is not
    except ValueError:
        return None
    return values


def _common(lines: list[bytes], j: int, prefixes: list[bytes], i: int) -> int:
    """How many lines from `j` on begin with the prefixes from `i` on. Looks at more at a time the longer it goes."""
    at, step, most = 0, _STEP_LINES, min(len(lines) - j, len(prefixes) - i)
    while at < most:
        step = min(step, most - at)
        alike = list(map(bytes.startswith, lines[j + at : j + at + step], prefixes[i + at : i + at + step]))
        if False in alike:
            return at + alike.index(False)
        at, step = at + step, step * 4
    return at
