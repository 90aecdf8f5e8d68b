"""Runs a script: every `eval` is a case that passes or fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Final

from rulepush.errors import ParseError, PromQLError
from rulepush.promql.eval.engine import Engine
from rulepush.promql.eval.evaluation import EngineOptions
from rulepush.promql.eval.result import QueryResult
from rulepush.promql.query import Query, parse_expr
from rulepush.promql.syntax import ast
from rulepush.promql.syntax.durations import depends_on_query
from rulepush.promql.syntax.signature import ValueType
from rulepush.promql.testscript.classic import custom_histograms
from rulepush.promql.testscript.compare import Mismatch, compare, compare_scalar, compare_vector
from rulepush.promql.testscript.script import Clear, Eval, Expect, Expectation, Load, ScriptProblem, parse_script
from rulepush.promql.testscript.series import NativeCell
from rulepush.promql.testscript.variants import pinned_variants
from rulepush.storage.demand import Demand
from rulepush.storage.head import Head

_MINUTE: Final = 60_000
_FOREVER_MS: Final = 1 << 53
# As Prometheus' runner sets its engine: subqueries without a step take one minute, names are removed late.
OPTIONS: Final = EngineOptions(default_step_ms=_MINUTE, delayed_name_removal=True)


class CaseOutcome(Enum):
    """How a case ended."""

    PASSED = "passed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class CaseResult:
    """`line` of the `eval`, its first line as `header`; `expected`, `got` and how the query was
    asked (`variant`) of a failure."""

    line: int
    header: str
    outcome: CaseOutcome
    expected: str = ""
    got: str = ""
    variant: str = ""


def run_script(text: str) -> Iterator[CaseResult]:
    """The result of each case, in order. A line that cannot be understood is a failed case."""
    bench = _Bench()
    for command in parse_script(text):
        match command:
            case Clear():
                bench.clear()
            case Load():
                bench.load(command)
            case Eval():
                yield bench.run(command)
            case ScriptProblem(line, message):
                yield CaseResult(line, "script", CaseOutcome.FAILED, expected="a line of a test script", got=message)


class _Bench:
    """The loaded data, and an engine."""

    def __init__(self) -> None:
        self._engine = Engine(OPTIONS)
        self._head = _empty_head()
        self._starts = _empty_head()

    def clear(self) -> None:
        self._head, self._starts = _empty_head(), _empty_head()

    def load(self, load: Load) -> None:
        for line in load.sample_lines():
            for i, cell in enumerate(line.cells()):
                if isinstance(cell, float):
                    self._head.append(line.labels, i * load.gap_ms, cell)
                elif isinstance(cell, NativeCell):
                    self._head.append_histogram(line.labels, i * load.gap_ms, cell.histogram)
        for labels, line in load.start_lines().items():
            for i, cell in enumerate(line.cells()):
                if isinstance(cell, float):
                    self._starts.append(labels, i * load.gap_ms, i * load.gap_ms + cell)
        if load.with_nhcb:
            for labels, ts, histogram in custom_histograms(load):
                self._head.append_histogram(labels, ts, histogram)

    def run(self, case: Eval) -> CaseResult:
        try:
            self._check(case)
        except Mismatch as e:
            return CaseResult(case.line, case.header, CaseOutcome.FAILED, e.expected, e.got, e.variant)
        return CaseResult(case.line, case.header, CaseOutcome.PASSED)

    def _check(self, case: Eval) -> None:
        try:
            query = parse_expr(case.expr)
        except ParseError as e:
            _check_failure(case, e)
            return
        if case.is_range:
            self._check_range(case, query)
            return
        self._check_instant(case, query, case.grid.start, "")
        for text, ts in pinned_variants(query.root, case.grid.start):
            self._check_instant(case, parse_expr(text), ts, f"as {text} at {ts / 1000:g}s")

    def _check_range(self, case: Eval, query: Query) -> None:
        grid = case.grid
        try:
            result = self._engine.range(
                query, grid.start, grid.end, grid.step, self._head.querier(), starts=self._starts
            )
        except PromQLError as e:
            _check_failure(case, e)
            return
        _check_success(case, result)
        compare(case, result)

    def _asked(self, query: Query, start: int, end: int, step: int) -> QueryResult:
        return self._engine.range(query, start, end, step, self._head, starts=self._starts)

    def _check_instant(self, case: Eval, query: Query, ts: int, variant: str) -> None:
        with _variant(variant):
            try:
                result = self._engine.instant(query, ts, self._head.querier(), starts=self._starts)
            except PromQLError as e:
                _check_failure(case, e)
                return
            _check_success(case, result)
            compare(case, result)
        if query.value_type not in (ValueType.VECTOR, ValueType.SCALAR) or _depends_on_range(query.root):
            return
        with _variant(f"{variant} in a range query".strip()):
            self._check_middle_step(case, query, ts)

    def _check_middle_step(self, case: Eval, query: Query, ts: int) -> None:
        """The same answer comes from a range query of three steps, the middle of which is `ts`."""
        try:
            result = self._engine.range(
                query, ts - _MINUTE, ts + _MINUTE, _MINUTE, self._head.querier(), starts=self._starts
            )
        except PromQLError as e:
            raise Mismatch("a result", f"the error {str(e)!r}") from None
        if case.expecting(Expectation.ORDERED):
            return  # a range query is always sorted by labels
        samples = [
            series.sample(place)
            for series in result.series()
            for place, when in enumerate(series.times.tolist())
            if when == ts
        ]
        if query.value_type is ValueType.SCALAR:
            compare_scalar(case, samples[0].value)
        else:
            compare_vector(case, samples)


@contextmanager
def _variant(variant: str) -> Iterator[None]:
    """Note on a Mismatch how the query was asked."""
    try:
        yield
    except Mismatch as e:
        e.variant = variant
        raise


def _empty_head() -> Head:
    return Head(Demand.keep_all(_FOREVER_MS))


def _depends_on_range(root: ast.Node) -> bool:
    """Whether it asks for the bounds of the query, which differ when it is asked as a range."""
    if depends_on_query(root) or (isinstance(root, ast.Call) and root.name in ("start", "end", "step", "range")):
        return True
    return any(_depends_on_range(child) for child in ast.children(root))


def _check_failure(case: Eval, error: PromQLError) -> None:
    """The query failed: as expected? Raises Mismatch."""
    wanted = case.expecting(Expectation.FAIL)
    if not wanted:
        raise Mismatch("a result", f"the error {str(error)!r}")
    for expect in wanted:
        if not expect.matches(str(error)):
            raise Mismatch(f"an error {expect.wanted!r}", repr(str(error)))


def _check_success(case: Eval, result: QueryResult) -> None:
    """The query answered: with the annotations that are expected? Raises Mismatch."""
    if case.expecting(Expectation.FAIL):
        raise Mismatch("an error", "a result")
    said = result.annotations
    _check_texts(case.expecting(Expectation.WARN), said.warnings, "warning")
    _check_texts(case.expecting(Expectation.INFO), said.infos, "info")
    if case.expecting(Expectation.NO_WARN) and said.warnings:
        raise Mismatch("no warning", "; ".join(said.warnings))
    if case.expecting(Expectation.NO_INFO) and said.infos:
        raise Mismatch("no info", "; ".join(said.infos))


def _check_texts(wanted: tuple[Expect, ...], said: tuple[str, ...], kind: str) -> None:
    """Every expectation is met by some text, and every text was expected; all is well when nothing was asked for."""
    if not wanted:
        return
    got = "; ".join(said) or "none"
    for expect in wanted:
        if not any(expect.matches(text) for text in said):
            raise Mismatch(f"the {kind} {expect.wanted!r}" if expect.wanted else f"some {kind}", got)
    for text in said:
        if not any(expect.matches(text) for expect in wanted):
            raise Mismatch(f"no other {kind}", text)
