"""The plan of a target's body: where each kept value goes, as long as the series and their order stay the same.

Most endpoints answer the same series in the same order at every scrape. Then all lines are split, compared with the
plan and converted by a few calls that run in C, and each table takes its values in one numpy assignment.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass
from itertools import repeat
from operator import itemgetter
from typing import Any, Final

import numpy as np

from rulepush.exposition.literals import parse_value
from rulepush.model.arrays import Floats
from rulepush.model.labels import Labels
from rulepush.storage.head import Head
from rulepush.storage.table import Int64s, Rows, Table, as_rows

_PLAIN: Final = b"0123456789+-.eE "
_HASH: Final = ord("#")
_MAX_PARTS: Final = 4
_MAX_CHANGES: Final = 100  # series that come and go at a time; with more the body is read line by line
_STEP_LINES: Final = 64


class TargetSeries:
    """A series of a target: its labels, and where its samples go (None when no rule wants it)."""

    __slots__ = ("labels", "layout", "row", "table", "wanted_in")

    def __init__(self, labels: Labels, wanted_in: int | None = None):
        """`wanted_in` is the epoch of the head in which its demand was asked, and wants the series."""
        self.labels = labels
        self.wanted_in = wanted_in
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
    """The series of one table: `parts` are rows, and which positions of a list of values go to them."""

    def __init__(self, table: Table, members: dict[TargetSeries, int]):
        """`members` are series that have found their row, and their positions."""
        self.table = table
        self.layout = table.layout
        self.members = members
        self.parts: list[tuple[Rows, Rows]] | None = None  # None when `members` has changed

    def build(self) -> list[tuple[Rows, Rows]]:
        """Rows that follow each other make a part of their own, for numpy takes a slice five times as fast."""
        rows = [series.row for series in self.members]
        positions = list(self.members.values())
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

    def append(self, ts: int, values: Floats) -> tuple[int, int]:
        """Append values[position] of every series at `ts`. Returns (out of order, duplicate)."""
        late = duplicate = 0
        append_rows = self._head.append_rows
        for group in self._current():
            for rows, positions in group.parts if group.parts is not None else group.build():
                refused = append_rows(group.table, rows, ts, values[positions])
                late, duplicate = late + refused[0], duplicate + refused[1]
        return late, duplicate

    def add(self, series: TargetSeries, position: int) -> None:
        """One more series."""
        self._new[series] = position

    def discard(self, series: TargetSeries) -> None:
        """One less."""
        self._new.pop(series, None)
        group = self._groups.get(id(series.table))
        if group is not None and group.members.pop(series, None) is not None:
            group.parts = None
            if not group.members:
                del self._groups[id(series.table)]

    def _current(self) -> Iterable[TableGroup]:
        for key, group in list(self._groups.items()):
            if group.layout != group.table.layout:  # its rows have moved, or the table has left the head
                self._new |= group.members
                del self._groups[key]
        if self._new:
            self._place()
        return self._groups.values()

    def _place(self) -> None:
        new, self._new = self._new, {}
        for series, position in new.items():
            if not series.locate(self._head) or series.table is None:
                continue
            group = self._groups.get(id(series.table))
            if group is None:
                group = self._groups[id(series.table)] = TableGroup(series.table, {})
            group.members[series] = position
            group.parts = None


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

    `at`        the indices of the lines that hold samples
    `keys`      what stands before their values, the same objects as before where they are known
    `texts`     their values
    `source`    int64[n]: the place of each among the samples of the body before, -1 when it is new
    `removed`   the places of those that are gone
    `inserted`  the places of those that are new
    """

    at: list[int]
    keys: tuple[bytes, ...]
    texts: tuple[bytes, ...]
    source: Int64s
    removed: list[int]
    inserted: list[int]


class BodyLayout:
    """What is known of a body whose lines of values all have the form `key value`.

    Each of its series has a slot in the list of values. As long as no series came or went, that is its place in the
    body; a series that comes takes a free slot, so that nothing changes for the others.
    """

    def __init__(
        self,
        lines: Sequence[bytes],
        at: Sequence[int],
        keys: Sequence[bytes],
        placement: Placement,
        live: dict[TargetSeries, None],
        counts: ScrapeBodyStats,
    ):
        """`at` are the indices in `lines` that hold samples, `keys` what stands before their values."""
        others = sorted(set(range(len(lines))).difference(at))
        self._line_count = len(lines)
        self._samples_of = _getter(at)
        self._others_of = _getter(others)
        self._others = self._others_of(lines)
        self.keys = tuple(keys)
        self._fixed_size = self._count_fixed()
        self._slots: Int64s | None = None  # int64[samples], None for 0, 1, 2, ...
        self._slot_count = len(keys)
        self._free: list[int] = []
        self.placement = placement
        self.live = live
        self.counts = counts

    def values(self, lines: list[bytes], size: int) -> Floats | None:
        """The values of a body of `size` bytes with the same series in the same order, by slot; None when it is not
        that."""
        if len(lines) != self._line_count or self._others_of(lines) != self._others:
            return None
        # A line that does not begin with its key stays as it is, and then what is left of the body is too long.
        texts = tuple(map(bytes.removeprefix, self._samples_of(lines), self.keys))
        joined = b"\n".join(texts)
        if len(joined) != size - self._fixed_size:
            return None
        # What is left of each must be one blank, before the value: more is a time, or takes a closer look.
        blanks = joined.count(b"\n ") + joined.startswith(b" ")
        if not blanks == joined.count(b" ") == len(texts):
            return None
        numbers = to_floats(texts)
        return None if numbers is None else self.by_slot(numbers)

    def _count_fixed(self) -> int:
        """How much longer such a body is than its values, joined by newlines."""
        fixed = sum(map(len, self._others)) + sum(map(len, self.keys))
        return fixed + self._line_count - len(self.keys)

    def by_slot(self, numbers: Floats) -> Floats:
        """Values in the order of the body, put in the order of the slots."""
        if self._slots is None:
            return numbers
        values = np.zeros(self._slot_count)
        values[self._slots] = numbers
        return values

    def compare(self, lines: list[bytes], known: Container[bytes]) -> BodyChange | None:
        """How a body differs; None when it does so by more than a few series. `known` are `keys`, quick to look up."""
        at = [i for i, line in enumerate(lines) if line and line[0] != _HASH]
        if not at or len(lines) - len(at) != len(self._others):
            return None
        if tuple(line for line in lines if not line or line[0] == _HASH) != self._others:
            return None
        parts = map(bytes.rpartition, _getter(at)(lines), repeat(b" "))
        keys, _, texts = zip(*parts, strict=True)
        before = self.keys
        same: list[bytes] = []
        source: list[int] = []
        removed: list[int] = []
        inserted: list[int] = []
        i = j = 0
        while j < len(keys):
            step = min(_STEP_LINES, len(keys) - j)
            if keys[j : j + step] != before[i : i + step]:
                step = next((k for k in range(step) if i + k == len(before) or keys[j + k] != before[i + k]), step)
            same += before[i : i + step]
            source += range(i, i + step)
            i, j = i + step, j + step
            if step == _STEP_LINES or j == len(keys):
                continue
            if keys[j] in known:
                try:
                    found = before.index(keys[j], i)
                except ValueError:
                    return None  # it stands at another place than before
                removed += range(i, found)
                i = found
            else:
                inserted.append(j)
                same.append(keys[j])
                source.append(-1)
                j += 1
            if len(removed) + len(inserted) > _MAX_CHANGES:
                return None
        removed += range(i, len(before))
        if len(removed) + len(inserted) > _MAX_CHANGES:
            return None
        return BodyChange(at, tuple(same), texts, np.array(source, np.int64), removed, inserted)

    def follow(self, change: BodyChange, lines: list[bytes], counts: ScrapeBodyStats) -> None:
        """Become the layout of the body that differs so. Its new series get slots: see `slot_of`. `placement` and
        `live` are the caller's to change."""
        slots = np.arange(self._slot_count) if self._slots is None else self._slots
        self._free += slots[change.removed].tolist()
        following = slots[change.source]
        for j in change.inserted:
            if not self._free:
                self._free.append(self._slot_count)
                self._slot_count += 1
            following[j] = self._free.pop()
        self._slots = following
        others = sorted(set(range(len(lines))).difference(change.at))
        self._line_count = len(lines)
        self._samples_of, self._others_of = _getter(change.at), _getter(others)
        self.keys, self.counts = change.keys, counts
        self._fixed_size = self._count_fixed()

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


def _getter(indices: Sequence[int]) -> Callable[[Sequence[bytes]], tuple[bytes, ...]]:
    if not indices:
        return lambda lines: ()
    get: Any = itemgetter(*indices)
    if len(indices) == 1:
        return lambda lines: (get(lines),)
    return get  # type: ignore[no-any-return]
