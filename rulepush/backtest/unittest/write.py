"""The unit test file: written, and run with `rulepush test rules`' own code before anyone is told that it passes."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from rulepush.backtest.unittest.episode_test import EpisodeTest, UnitTestSettings
from rulepush.backtest.unittest.grid import notation
from rulepush.errors import ConfigError, SampleSourceError
from rulepush.model.durations import format_duration
from rulepush.model.labels import ALERT_NAME
from rulepush.model.timestamps import format_rfc3339
from rulepush.rules.unittest import load_test_file, run_test_file

_SIMPLE: Final = re.compile(r"[ -&(-~]*")  # printable, without a single quote
_START_SINCE: Final = "3.9"


@dataclass(frozen=True, slots=True)
class WrittenTest:
    """`problems`: why it does not pass, or does not show the episode; empty when it does. `notes` is what to know of
    it."""

    file: str
    tests: int
    series: int
    problems: tuple[str, ...]
    notes: tuple[str, ...]


def write_unit_test(file: str, tests: Sequence[EpisodeTest], settings: UnitTestSettings) -> WrittenTest:
    """Write the tests, which must have one interval, and run them. Raises SampleSourceError when that cannot be."""
    intervals = {test.grid.interval_ms for test in tests}
    if len(intervals) != 1:
        raise SampleSourceError(
            "a unit test file has one evaluation_interval, and the groups of these episodes have several: "
            + ", ".join(format_duration(i) for i in sorted(intervals))
        )
    text = "\n".join(_lines(file, tests, settings)) + "\n"
    try:
        Path(file).write_text(text, encoding="utf-8")
    except OSError as e:
        raise SampleSourceError(f"{file}: {e.strerror or e}") from None
    problems = [f"{_title(test)}: {test.problem}" for test in tests if test.problem]
    notes = [f"{_title(test)}: {note}" for test in tests for note in test.notes]
    if any(test.start_ms is not None for test in tests):
        notes.append(f"its rules go by the clock: the test has a start_timestamp, which promtool {_START_SINCE} knows")
    return WrittenTest(
        file,
        len(tests),
        sum(len(test.series) for test in tests),
        tuple(problems or _failures(file)),
        tuple(notes),
    )


def _failures(file: str) -> list[str]:
    try:
        return [" ".join(text.split()) for text in run_test_file(load_test_file(file)).failures]
    except ConfigError as e:
        return [str(p) for p in e.problems]


def _lines(file: str, tests: Sequence[EpisodeTest], settings: UnitTestSettings) -> Iterator[str]:
    yield "# Written by `rulepush backtest --write-test` out of what happened."
    yield "rule_files:"
    directory = os.path.dirname(os.path.abspath(file))
    for rule_file in dict.fromkeys(f for test in tests for f in test.rules.files):
        yield f"- {_text(glob.escape(os.path.relpath(os.path.abspath(rule_file), directory)))}"
    order = list(dict.fromkeys(group.name for test in tests for group in test.rules.groups))
    if len(order) > 1:  # promtool's own order is that of a Go map
        yield "group_eval_order:"
        yield from (f"- {_text(name)}" for name in order)
    yield f"evaluation_interval: {format_duration(tests[0].grid.interval_ms)}"
    yield "tests:"
    for test in tests:
        yield from _test_lines(test, settings)


def _test_lines(test: EpisodeTest, settings: UnitTestSettings) -> Iterator[str]:
    episode = test.episode
    yield f"# From {format_rfc3339(test.grid.start)} on. The alert:"
    yield from (f"#   {text}" for text in _story(test))
    yield f"- name: {_text(_title(test))}"
    yield f"  interval: {format_duration(test.grid.step_ms)}"
    if test.start_ms is not None:
        yield f"  start_timestamp: {_text(format_rfc3339(test.start_ms))}"
    if settings.external_labels:
        yield "  external_labels:"
        yield from (f"    {_text(name)}: {_text(value)}" for name, value in settings.external_labels)
    if settings.external_url:
        yield f"  external_url: {_text(settings.external_url)}"
    yield "  input_series:" if test.series else "  input_series: []"
    for labels, cells in test.series.items():
        yield f"  - series: {_text(str(labels))}"
        yield f"    values: {_text(notation(cells))}"
    yield "  alert_rule_test:"
    for at, expected in test.checks:
        yield f"  - eval_time: {format_duration(at)}"
        yield f"    alertname: {_text(episode.rule.name)}"
        yield "    exp_alerts:" if expected else "    exp_alerts: []"
        for alert, texts in expected:
            pairs = [p for p in alert if p[0] != ALERT_NAME]
            yield "    - exp_labels:" if pairs else "    - exp_labels: {}"
            yield from (f"        {_text(name)}: {_text(value)}" for name, value in pairs)
            yield "      exp_annotations:" if texts else "      exp_annotations: {}"
            yield from (f"        {_text(name)}: {_text(value)}" for name, value in texts)


def _story(test: EpisodeTest) -> Iterator[str]:
    episode = test.episode
    yield f"pending since {format_rfc3339(episode.pending_since)}"
    yield "never fired" if episode.fired_at is None else f"fired at {format_rfc3339(episode.fired_at)}"
    if episode.ended_at is not None:
        yield f"ended at {format_rfc3339(episode.ended_at)}"


def _title(test: EpisodeTest) -> str:
    labels = test.episode.labels.without((ALERT_NAME,))
    return f"{test.episode.rule.name}{labels if labels else ''}"


def _text(value: str) -> str:
    """A text in quotes, on one line."""
    if _SIMPLE.fullmatch(value):
        return f"'{value}'"
    dumped: str = yaml.safe_dump(value, default_style='"', width=1 << 30, allow_unicode=True)
    return dumped.strip()
