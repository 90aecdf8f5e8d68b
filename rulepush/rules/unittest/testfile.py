"""The format of a unit test file, strictly read: every problem with its line."""

from __future__ import annotations

import glob
import math
import os
from dataclasses import dataclass
from typing import Final

import yaml

from rulepush.errors import ConfigError
from rulepush.model.floats import parse_float
from rulepush.model.labels import Labels
from rulepush.model.timestamps import parse_time
from rulepush.yaml.nodes import LoadSession, MapReader, SourceFile, kind, line_of, read_yaml

DEFAULT_INTERVAL_MS: Final = 60_000
_YAML_FLOATS: Final = {".nan": math.nan, ".inf": math.inf, "+.inf": math.inf, "-.inf": -math.inf}


@dataclass(frozen=True, slots=True)
class InputSeries:
    """`series` and `values` as written."""

    series: str
    values: str
    line: int


@dataclass(frozen=True, slots=True)
class ExpectedAlert:
    """`labels` without `alertname`."""

    labels: Labels
    annotations: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class AlertCheck:
    """Which alerts of a name fire at a time (ms from the start of the scenario)."""

    eval_time_ms: int
    alertname: str
    expected: tuple[ExpectedAlert, ...]
    line: int


@dataclass(frozen=True, slots=True)
class ExpectedSample:
    """`labels` as written; with `histogram`, `value` does not count."""

    labels: str
    value: float
    histogram: str
    line: int


@dataclass(frozen=True, slots=True)
class ExprCheck:
    """What an expression gives at a time (ms from the start of the scenario)."""

    expr: str
    eval_time_ms: int
    expected: tuple[ExpectedSample, ...]
    line: int


@dataclass(frozen=True, slots=True)
class Scenario:
    """One entry of `tests`. `name` is "" when it has none. `start_ms` is the time of its first evaluation."""

    name: str
    number: int
    interval_ms: int
    start_ms: int
    input_series: tuple[InputSeries, ...]
    alert_checks: tuple[AlertCheck, ...]
    expr_checks: tuple[ExprCheck, ...]
    external_labels: Labels
    external_url: str
    line: int

    @property
    def title(self) -> str:
        """As promtool calls it."""
        return self.name or f"unnamed#{self.number}"

    @property
    def last_eval_ms(self) -> int:
        """The latest time that anything is expected at, from the start."""
        times = [c.eval_time_ms for c in self.alert_checks] + [c.eval_time_ms for c in self.expr_checks]
        return max(times, default=0)


@dataclass(frozen=True, slots=True)
class UnitTestFile:
    """`rule_files` has its globs resolved; `unmatched` are those that match nothing."""

    name: str
    rule_files: tuple[str, ...]
    unmatched: tuple[str, ...]
    interval_ms: int
    fuzzy: bool
    group_order: tuple[str, ...]
    scenarios: tuple[Scenario, ...]


def load_test_file(path: str, *, ignore_unknown: bool = False) -> UnitTestFile:
    """Raises ConfigError with every problem."""
    reading = LoadSession()
    source, root = read_yaml(path, reading)
    if root is not None and not isinstance(root, yaml.MappingNode):
        source.problem(line_of(root), f"expected a mapping with the key 'tests', got {kind(root)}")
    file = None
    if isinstance(root, yaml.MappingNode):
        file = _Reader(source, ignore_unknown).file(MapReader(source, root))
    if reading.problems:
        raise ConfigError(sorted(reading.problems, key=lambda p: p.line))
    return file or UnitTestFile(path, (), (), DEFAULT_INTERVAL_MS, False, (), ())


class _Reader:
    def __init__(self, source: SourceFile, ignore_unknown: bool):
        self._source = source
        self._ignore_unknown = ignore_unknown

    def _finish(self, reader: MapReader) -> None:
        if not self._ignore_unknown:
            reader.finish()

    def file(self, reader: MapReader) -> UnitTestFile:
        rule_files, unmatched = self._glob(reader.texts("rule_files"))
        interval = reader.duration("evaluation_interval") or DEFAULT_INTERVAL_MS
        order = reader.texts("group_eval_order")
        for name in sorted({n for n in order if order.count(n) > 1}):
            reader.problem(f"group name repeated in evaluation order: {name}", "group_eval_order")
        scenarios = tuple(self._scenario(r, i, interval) for i, r in enumerate(reader.sections("tests")))
        fuzzy = reader.flag("fuzzy_compare")
        self._finish(reader)
        return UnitTestFile(self._source.name, rule_files, unmatched, interval, fuzzy, order, scenarios)

    def _glob(self, patterns: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """(files, patterns without any); relative ones start at the test file's directory."""
        directory = os.path.dirname(self._source.name)
        files: dict[str, None] = {}
        unmatched = []
        for pattern in patterns:
            path = os.path.join(directory, pattern)
            found = sorted(glob.glob(path))
            files |= dict.fromkeys(found)
            if not found:
                unmatched.append(path)
        return tuple(files), tuple(unmatched)

    def _scenario(self, reader: MapReader, number: int, default_interval: int) -> Scenario:
        scenario = Scenario(
            name=reader.text("name"),
            number=number,
            interval_ms=reader.duration("interval") or default_interval,
            start_ms=self._start(reader),
            input_series=tuple(self._series(r) for r in reader.sections("input_series")),
            alert_checks=tuple(self._alert_check(r) for r in reader.sections("alert_rule_test")),
            expr_checks=tuple(self._expr_check(r) for r in reader.sections("promql_expr_test")),
            external_labels=reader.labels("external_labels"),
            external_url=reader.text("external_url"),
            line=reader.line,
        )
        self._finish(reader)
        return scenario

    def _start(self, reader: MapReader) -> int:
        text = reader.text("start_timestamp")
        try:
            return parse_time(text) if text else 0
        except (ValueError, OverflowError):
            reader.problem(f"start_timestamp: expected RFC 3339 or Unix seconds, got {text!r}", "start_timestamp")
            return 0

    def _series(self, reader: MapReader) -> InputSeries:
        series = InputSeries(reader.text("series"), reader.text("values"), reader.line)
        self._finish(reader)
        return series

    def _alert_check(self, reader: MapReader) -> AlertCheck:
        eval_time, name = reader.duration("eval_time"), reader.text("alertname")
        if not name:
            reader.problem("an item under alert_rule_test misses required attribute alertname")
        expected = []
        for inner in reader.sections("exp_alerts"):
            annotations = tuple(sorted(inner.text_map("exp_annotations").items()))
            expected.append(ExpectedAlert(Labels(inner.text_map("exp_labels")), annotations))
            self._finish(inner)
        self._finish(reader)
        return AlertCheck(eval_time, name, tuple(expected), reader.line)

    def _expr_check(self, reader: MapReader) -> ExprCheck:
        expr, eval_time = reader.text("expr"), reader.duration("eval_time")
        expected = []
        for inner in reader.sections("exp_samples"):
            value = self._number(inner)
            expected.append(ExpectedSample(inner.text("labels"), value, inner.text("histogram"), inner.line))
            self._finish(inner)
        self._finish(reader)
        return ExprCheck(expr, eval_time, tuple(expected), reader.line)

    def _number(self, reader: MapReader) -> float:
        """YAML's own notation for what is not finite, and Prometheus'."""
        text = reader.text("value", "0")
        try:
            special = _YAML_FLOATS.get(text.lower())
            return parse_float(text) if special is None else special
        except (ValueError, OverflowError):
            reader.problem(f"value: expected a number, got {text!r}", "value")
            return 0.0
