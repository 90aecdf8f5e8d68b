"""Runs the scenarios of a unit test file: input samples in, ticks of all groups, checks on what comes out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from rulepush.errors import ParseError, PromQLError, RuleFileError
from rulepush.histogram.boxes import Boxes
from rulepush.histogram.errors import HistogramError
from rulepush.histogram.literal import parse_histogram
from rulepush.histogram.sample import HistogramSample
from rulepush.histogram.text import format_histogram
from rulepush.model.durations import format_duration
from rulepush.model.floats import format_float
from rulepush.model.labels import ALERT_NAME, EMPTY_LABELS, Labels
from rulepush.model.sample import Sample, is_stale
from rulepush.promql import Engine, EngineOptions, ValueType, parse_expr
from rulepush.promql.testscript.series import Cell, NativeCell, SeriesLine, parse_series
from rulepush.rules.alert import AlertState
from rulepush.rules.context import RuleContext
from rulepush.rules.group import EvaluationGroup
from rulepush.rules.rulefmt import load_rule_files
from rulepush.rules.specs import RuleGroup
from rulepush.rules.unittest.compare import FoundAlert, compare_alerts, compare_samples
from rulepush.rules.unittest.testfile import AlertCheck, ExpectedSample, ExprCheck, Scenario, UnitTestFile
from rulepush.storage.demand import Demand
from rulepush.storage.head import Head

_FOREVER_MS: Final = 1 << 52


@dataclass(frozen=True, slots=True)
class ScenarioResult:
    """`failures` are texts of one or more lines; empty: it passed."""

    scenario: Scenario
    failures: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TestReport:
    """The results of one file. `problems`: why it could not run at all."""

    file: str
    results: tuple[ScenarioResult, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def failures(self) -> list[str]:
        """All problems and failures, in the order of the file."""
        return [*self.problems, *(text for result in self.results for text in result.failures)]


@dataclass(frozen=True, slots=True)
class TestOptions:
    """`debug` receives the lines of `--debug`; `wanted` selects scenarios by name."""

    wanted: Callable[[str], bool] = lambda _name: True
    debug: Callable[[str], None] | None = None
    ignore_unknown: bool = False
    delayed_name_removal: bool = False


def run_test_file(file: UnitTestFile, options: TestOptions = TestOptions()) -> TestReport:
    """Run every wanted scenario. Problems and failures are in the report; nothing is raised for them."""
    try:
        groups = load_rule_files(file.rule_files, ignore_unknown=options.ignore_unknown)
    except RuleFileError as e:
        return TestReport(file.name, problems=tuple(str(p) for p in e.problems))
    order = {name: i for i, name in enumerate(file.group_order)}
    groups = tuple(sorted(groups, key=lambda g: order.get(g.name, 0)))
    results = []
    for scenario in file.scenarios:
        if options.wanted(scenario.name):
            failures = _Run(file, scenario, groups, options).run()
            results.append(ScenarioResult(scenario, tuple(failures)))
    return TestReport(file.name, tuple(results))


@dataclass(slots=True)
class _Feed:
    """The samples of one input series, given out as time goes on: the i-th cell is due at start + i * step. Only what
    is due is ever made: a line may stand for more cells than memory can hold."""

    labels: Labels
    cells: Iterator[Cell]
    at: int = 0

    def due(self, count: int) -> Iterator[tuple[int, Cell]]:
        """(i, cell) of the first `count` cells that were not given out yet."""
        first, self.at = self.at, max(self.at, count)
        yield from enumerate(islice(self.cells, self.at - first), first)


class _Run:
    """One scenario."""

    def __init__(self, file: UnitTestFile, scenario: Scenario, groups: Iterable[RuleGroup], options: TestOptions):
        self._file = file
        self._scenario = scenario
        self._options = options
        self._head = Head(Demand.keep_all(_FOREVER_MS))
        self._engine = Engine(
            EngineOptions(default_step_ms=file.interval_ms, delayed_name_removal=options.delayed_name_removal)
        )
        context = RuleContext(
            self._engine,
            self._head,
            external_labels=scenario.external_labels,
            external_url=scenario.external_url,
        )
        self._groups = [EvaluationGroup(spec, context, scenario.interval_ms, 0) for spec in groups]
        self._feeds: list[_Feed] = []
        self._failures: list[str] = []

    def run(self) -> list[str]:
        """The failures."""
        scenario = self._scenario
        self._debug(f"DEBUG: Starting test {scenario.title}")
        if self._read_input() and self._tick_all():
            for check in scenario.expr_checks:
                self._check_expr(check)
        if self._options.debug is not None:
            self._dump()
        self._debug(f"DEBUG: Test {scenario.title} finished")
        return self._failures

    def _debug(self, text: str) -> None:
        if self._options.debug is not None:
            self._options.debug(text)

    def _fail(self, line: int, head: str, *more: str) -> None:
        name = f"    name: {self._scenario.name},\n" if self._scenario.name else ""
        rest = "".join(f"\n    {text}" for part in more for text in part.split("\n"))
        self._failures.append(f"{name}    {self._file.name}:{line}: {head}{rest}")

    def _read_input(self) -> bool:
        lines: dict[Labels, SeriesLine] = {}
        for series in self._scenario.input_series:
            try:
                line = parse_series(f"{series.series} {' '.join(series.values.split())}")
            except ValueError as e:
                self._fail(series.line, f"input series {series.series!r}: {e}")
                continue
            lines[line.labels] = line  # of a series that is given twice the last definition counts: loadCmd.set
        self._feeds = [_Feed(line.labels, line.cells()) for line in lines.values()]
        return not self._failures

    def _tick_all(self) -> bool:
        """Evaluate until the last check; false when a rule failed, which ends the scenario."""
        scenario, step = self._scenario, self._file.interval_ms
        checks = sorted(scenario.alert_checks, key=lambda c: c.eval_time_ms)
        last = scenario.last_eval_ms // step * step
        if not any(group.rules for group in self._groups):
            self._feed(scenario.start_ms + last)
            for check in checks:
                self._check_alerts(check)
            return True
        for offset in range(0, last + 1, step):
            ts = scenario.start_ms + offset
            self._feed(ts)
            failed = False
            for group in self._groups:
                group.evaluate(ts)
                for rule in group.rules:
                    if rule.status.last_error:
                        failed = True
                        text = f"rule: {rule.spec.name}, time: {format_duration(offset)}, err: {rule.status.last_error}"
                        self._fail(scenario.line, text)
            if failed:
                return False
            # A check between two evaluations sees the earlier one.
            while checks and checks[0].eval_time_ms < offset + step:
                self._check_alerts(checks.pop(0))
        return True

    def _feed(self, ts: int) -> None:
        """Append what is due up to `ts`."""
        start, step = self._scenario.start_ms, self._scenario.interval_ms
        due = (ts - start) // step + 1
        for feed in self._feeds:
            for i, cell in feed.due(due):
                if isinstance(cell, float):
                    self._head.append(feed.labels, start + i * step, cell)
                elif isinstance(cell, NativeCell):
                    self._head.append_histogram(feed.labels, start + i * step, cell.histogram)

    def _check_alerts(self, check: AlertCheck) -> None:
        got: list[FoundAlert] = [
            (alert.labels, tuple(sorted(alert.annotations)))
            for group in self._groups
            for rule in group.alerting_rules
            if rule.spec.name == check.alertname
            for alert in rule.alerts
            if alert.state is AlertState.FIRING
        ]
        expected = [(a.labels.with_({ALERT_NAME: check.alertname}), a.annotations) for a in check.expected]
        lines = compare_alerts(expected, got)
        if lines:
            self._fail(
                check.line, f"alertname: {check.alertname}, time: {format_duration(check.eval_time_ms)},", *lines
            )

    def _check_expr(self, check: ExprCheck) -> None:
        time = format_duration(check.eval_time_ms)
        head = f'expr: "{_one_line(check.expr)}", time: {time},'
        try:
            query = parse_expr(check.expr)
            if query.value_type not in (ValueType.VECTOR, ValueType.SCALAR):
                raise ParseError("rule result is not a vector or scalar")
            ts = self._scenario.start_ms + check.eval_time_ms
            got = self._engine.instant(query, ts, self._head.querier()).samples()
            expected = [_expected(e, ts) for e in check.expected]
        except PromQLError as e:
            self._fail(check.line, f"{head} err: {e}")
            return
        lines = compare_samples(expected, got, self._file.fuzzy)
        if lines:
            self._fail(check.line, head, *lines, *self._hint(check))

    def _hint(self, check: ExprCheck) -> list[str]:
        step = self._file.interval_ms
        if check.eval_time_ms % step == 0 or self._scenario.interval_ms >= step:
            return []
        last = self._scenario.last_eval_ms // step * step
        if check.eval_time_ms <= last:
            return []
        return [f"    (as in promtool, input is loaded up to the last evaluation only, here {format_duration(last)})"]

    def _dump(self) -> None:
        self._debug(
            f"DEBUG: Dump of all data (input_series and rules) at {format_duration(self._scenario.last_eval_ms)}:"
        )
        selection = parse_expr('{__name__=~".+"}').selectors()[0].matchers
        found = self._head.select(selection, 0, _FOREVER_MS)
        for i, labels in enumerate(found.index.labels):
            n = int(found.counts[i])
            points = zip(found.times[i, :n].tolist(), found.values[i, :n].tolist(), strict=True)
            shown = (f"{_shown(value, found.boxes)} @[{format_float(ts / 1000)}]" for ts, value in points)
            self._debug(f"{labels} => " + " ".join(shown))


def _expected(sample: ExpectedSample, ts: int) -> Sample:
    """Raises ParseError."""
    labels = _expected_labels(sample.labels)
    if not sample.histogram:
        return Sample(labels, ts, sample.value)
    try:
        return HistogramSample(labels, ts, 0.0, parse_histogram(sample.histogram.strip()))
    except HistogramError as e:
        raise ParseError(f'histogram "{sample.histogram}": {e}') from None


def _expected_labels(text: str) -> Labels:
    """Raises ParseError."""
    if not text.strip():
        return EMPTY_LABELS
    try:
        line = parse_series(text.strip())
    except ValueError as e:
        raise ParseError(f'labels "{text}": {e}') from None
    if line.runs or line.start_times:
        raise ParseError(f'labels "{text}": unexpected text after the labels')
    return line.labels


def _shown(value: float, boxes: Boxes | None) -> str:
    histogram = None if boxes is None else boxes.unbox(value)
    if histogram is not None:
        return format_histogram(histogram)
    return "stale" if is_stale(value) else format_float(value)


def _one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()
