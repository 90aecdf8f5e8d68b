"""Features that a case needs and rulepush does not have. A case is skipped only when its query reads such data or
names such a feature."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from rulepush.model.labels import Labels
from rulepush.promql.functions.extended import reach
from rulepush.promql.functions.info import info_selector
from rulepush.promql.syntax import ast
from rulepush.promql.testscript.script import Eval, Load, StepRange

START_TIMES: Final = "start timestamps (@st)"
TYPE_AND_UNIT: Final = "the feature flag type-and-unit-labels"

_STRINGS: Final = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'|`[^`]*`')
_READS_START_TIMES: Final = frozenset(("rate", "increase", "irate", "resets"))
_METADATA: Final = ("__type__", "__unit__")
_LOOKBACK_MS: Final = 300_000


def syntax_needed(expr: str) -> str | None:
    """The missing feature that an expression which does not parse uses; None when it is just invalid."""
    text = _STRINGS.sub('""', expr)
    if "start_timestamp(" in text:
        return START_TIMES
    return None


@dataclass(frozen=True, slots=True)
class _Read:
    """One selector and what it reads: the newest sample of (ts - look-back, ts] at the times of `grid`, or, when
    `ranged`, all samples in (start, end]. `reader` is the call that takes its samples as they are."""

    selector: ast.VectorSelector
    ranged: bool
    grid: StepRange
    span: int
    reader: str | None


class Missing:
    """The data of a script that could not be loaded as written."""

    def __init__(self) -> None:
        self._started: set[Labels] = set()
        self._metadata: set[Labels] = set()

    def clear(self) -> None:
        """Forget everything: the script has cleared its data."""
        self.__init__()  # type: ignore[misc]

    def note(self, load: Load) -> None:
        """Remember what of `load` is missing or incomplete."""
        self._started |= {line.labels for line in load.series if line.start_times}
        for line in load.sample_lines():
            if any(name in line.labels for name in _METADATA):
                self._metadata.add(line.labels)

    def needed_by(self, case: Eval, root: ast.Node) -> str | None:
        """What the case would read, or expects, that is not there."""
        if not self._started:
            return None
        reads = _reads(root, case.grid, case.grid, None)
        if any(read.reader in _READS_START_TIMES and _selects(read, self._started) for read in reads):
            return START_TIMES
        return None

    def needs_metadata_labels(self, case: Eval, root: ast.Node) -> bool:
        """Whether the answer may depend on `__type__` and `__unit__` being part of a series' name: some selected
        series has them."""
        return any(_selects(read, self._metadata) for read in _reads(root, case.grid, case.grid, None))

    def matches_metadata_labels(self, case: Eval, root: ast.Node) -> bool:
        """Whether they take part in matching two vectors."""
        return self.needs_metadata_labels(case, root) and _matches_by_metadata(root)


def without_metadata(labels: Labels) -> Labels:
    """The labels without `__type__` and `__unit__`."""
    return labels.without(_METADATA)


def _selects(read: _Read, series: set[Labels]) -> bool:
    return any(all(m.matches_labels(labels) for m in read.selector.matchers) for labels in series)


def _reads(node: ast.Node, grid: StepRange, query: StepRange, reader: str | None) -> Iterator[_Read]:
    """Every selector under `node`, which is evaluated at the steps of `grid`."""
    match node:
        case ast.VectorSelector():
            moved = _moved(grid, query, node.at, node.offset_ms)
            if node.extended is ast.Extended.SMOOTHED and reader != "timestamp":
                yield _Read(node, True, replace(moved, end=moved.end + _LOOKBACK_MS), _LOOKBACK_MS, reader)
            else:
                yield _Read(node, False, moved, _LOOKBACK_MS, reader)
        case ast.MatrixSelector(selector, span):
            moved = _moved(grid, query, selector.at, selector.offset_ms)
            back, ahead = reach(selector, _LOOKBACK_MS)
            yield _Read(selector, True, replace(moved, end=moved.end + ahead), span + back, reader)
        case ast.Subquery(expr, span, step, offset, at):
            moved = _moved(grid, query, at, offset)
            every = step or 60_000
            first = (moved.start - span) // every * every + every
            if first <= moved.end:
                yield from _reads(expr, StepRange(first, moved.end, every), query, None)
        case ast.Call("info", args):  # the second argument selects the info series, which are read as the first is
            yield from _reads(ast.unwrap(args[0]), grid, query, "info")
            info = info_selector(node)
            moved = _moved(grid, query, info.at, info.offset_ms)
            yield _Read(ast.VectorSelector("", info.matchers), False, moved, _LOOKBACK_MS, "info")
        case ast.Call(name, args):
            for arg in args:
                yield from _reads(ast.unwrap(arg), grid, query, name)
        case _:
            for child in ast.children(node):
                yield from _reads(child, grid, query, None)


def _moved(grid: StepRange, query: StepRange, at: int | ast.At | None, offset: int) -> StepRange:
    if at is not None:
        fixed = at if isinstance(at, int) else query.start if at is ast.At.START else query.end
        return StepRange(fixed - offset, fixed - offset, 0)
    return StepRange(grid.start - offset, grid.end - offset, grid.step)


def _matches_by_metadata(node: ast.Node) -> bool:
    match node:
        case ast.Binary(_, lhs, rhs, matching) if matching is not None and not matching.on:
            if _carries_metadata(lhs) or _carries_metadata(rhs):
                return True
    return any(_matches_by_metadata(child) for child in ast.children(node))


def _carries_metadata(node: ast.Node) -> bool:
    """Whether the labels of its series come through to the value of `node`."""
    match node:
        case ast.VectorSelector() | ast.MatrixSelector():
            return True
        case ast.Aggregate(_, expr, _, _, without):
            return without and _carries_metadata(expr)
        case _:
            return any(_carries_metadata(child) for child in ast.children(node))
