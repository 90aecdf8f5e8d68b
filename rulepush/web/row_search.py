"""Finding the series of a query's selectors, a slice at a time, so that no query holds the event loop for long."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import numpy as np

from rulepush.errors import QueryLimitError
from rulepush.model.labels import METRIC_NAME, Labels
from rulepush.model.matcher import Matcher, Matchers, exact_metric_name, may_name
from rulepush.storage.head import Head
from rulepush.storage.incomplete import SelectorRead
from rulepush.storage.table import Int64s, Table

MAX_COMPARISONS: Final = 5_000_000  # of a label with a matcher, for one query: about two seconds, in slices
MAX_SELECTORS: Final = 1000  # what each costs in the one turn that copies adds up
SLICE: Final = 20_000  # comparisons between two turns of the event loop: about 10 ms


class TableRows:
    """The rows of one table that satisfy a selector, as far as they were checked. `labels` are theirs."""

    __slots__ = ("_layout", "_rest", "_rows", "_seen", "labels", "table")

    def __init__(self, table: Table, matchers: Matchers):
        self.table = table
        self._rest = [m for m in matchers if m.name != METRIC_NAME]
        self._layout = table.layout
        self._seen = 0
        self._rows: list[int] = []
        self.labels: list[Labels] = []

    @property
    def is_done(self) -> bool:
        """Whether every row was checked, and none has moved since."""
        return self._layout == self.table.layout and self._seen == len(self.table)

    @property
    def rows(self) -> Int64s:
        """Their numbers, ascending."""
        return np.array(self._rows, np.int64)

    def advance(self, comparisons: int) -> int:
        """Check further rows, at least one. Returns the number of comparisons made."""
        if self._layout != self.table.layout:
            self._layout, self._seen, self._rows, self.labels = self.table.layout, 0, [], []
        rest, first, cost = self._rest, self._seen, 1 + len(self._rest)
        self._seen = min(len(self.table), first + max(1, comparisons // cost))
        for row, labels in enumerate(self.table.labels[first : self._seen], first):
            if all(m.matches_labels(labels) for m in rest):
                self._rows.append(row)
                self.labels.append(labels)
        return (self._seen - first) * cost


class RowSearch:
    """The series of some selectors in the head. Go through `steps`, with turns of the event loop in between; then
    `found` gives what is true at that moment."""

    def __init__(self, head: Head, selectors: Iterable[Sequence[Matcher]], a_step: int = SLICE):
        """`a_step`: comparisons in one step. Raises QueryLimitError when the search would exceed MAX_COMPARISONS."""
        self._head = head
        self._a_step = a_step
        distinct = dict.fromkeys(map(tuple, selectors))
        if len(distinct) > MAX_SELECTORS:
            raise QueryLimitError(f"the query has more than {MAX_SELECTORS:,} different selectors")
        if sum((1 + len(matchers)) * (1 + head.candidates(matchers)) for matchers in distinct) > MAX_COMPARISONS:
            raise QueryLimitError("the selectors of the query have too many series to compare")
        self._tables: list[Table] = []
        self._parts: dict[Matchers, list[TableRows]] = {matchers: [] for matchers in distinct}

    def steps(self) -> Iterator[None]:
        """Check every series of every selector once; a yield ends a slice."""
        self._tables = list(self._head.tables())
        a_step, named = self._a_step, {table.name: table for table in self._tables}
        spent = 0
        for matchers, parts in self._parts.items():
            name = exact_metric_name(matchers)
            tables = self._tables if name is None else [named[name]] if name in named else []
            for table in tables:
                spent += 1 + len(matchers)
                if may_name(matchers, table.name):
                    part = TableRows(table, matchers)
                    parts.append(part)
                    while not part.is_done:
                        spent += part.advance(a_step - spent)
                        if spent >= a_step:
                            yield
                            spent = 0
                if spent >= a_step:
                    yield
                    spent = 0

    def tables(self) -> list[Table]:
        """The tables in which a series of any selector was found."""
        return list(dict.fromkeys(part.table for parts in self._parts.values() for part in parts if part.labels))

    def held_since(
        self, uses: Iterable[SelectorRead], start: int, lookback_delta_ms: int, began: int
    ) -> dict[Matchers, int]:
        """The time (ms) from which on the newest sample of each series of a selector is in memory, at this moment: for
        those where it matters, when a query is evaluated from `start` on. A series that was removed may have been read
        for the look-back delta after its newest sample, unless that was its end. `began` is when this process did: of
        what was removed before nothing is known."""
        removed = max(self._head.ended_at, max(self._head.gone_at, began) + lookback_delta_ms)
        found, held = self.found(), dict[Matchers, int]()
        for use in uses:
            at = (start if use.since_ms is None else use.since_ms) - use.lookback_ms + lookback_delta_ms
            parts = [part for part in found[use.matchers] if part.labels]
            if use.ranged or use.matchers in held or at < removed:
                continue
            if any(part.table.kept_from() > at - lookback_delta_ms for part in parts):
                times = (part.table.held_since(part.rows) for part in parts)
                held[use.matchers] = max([removed, *(ts for ts in times if ts is not None)])
        return held

    def found(self) -> dict[Matchers, list[TableRows]]:
        """The rows of each selector, a part a table, at this moment: what has changed since is checked again."""
        tables = list(self._head.tables())
        if tables != self._tables:
            before, now = set(map(id, self._tables)), set(map(id, tables))
            new = [table for table in tables if id(table) not in before]
            for matchers, parts in self._parts.items():
                parts[:] = [part for part in parts if id(part.table) in now]
                parts += [TableRows(table, matchers) for table in new if may_name(matchers, table.name)]
            self._tables = tables
        for parts in self._parts.values():
            for part in parts:
                while not part.is_done:
                    part.advance(MAX_COMPARISONS)
        return self._parts
