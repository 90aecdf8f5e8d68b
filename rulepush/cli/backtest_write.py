"""`rulepush backtest --write-test`: unit tests out of the episodes of a backtest."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Final

from rulepush.backtest.episodes import Episode
from rulepush.backtest.replay import ReplayOptions
from rulepush.backtest.report import BacktestReport
from rulepush.backtest.source import EventSource
from rulepush.backtest.unittest.episode_test import UnitTestSettings, episode_test
from rulepush.backtest.unittest.write import WrittenTest, write_unit_test
from rulepush.cli.options import OptionContainer, positive_int
from rulepush.errors import SampleSourceError
from rulepush.rules.specs import RuleGroup

MOST_EPISODES: Final = 50


def add_write_options(p: OptionContainer) -> None:
    """`--write-test` and `--episode`."""
    p.add_argument(
        "--write-test",
        metavar="FILE",
        help="Write a unit test for promtool and `rulepush test rules` that shows the episodes: the series that "
        "mattered, and the alerts just before and after they fired and resolved.",
    )
    p.add_argument(
        "--episode",
        type=positive_int,
        action="append",
        default=[],
        metavar="N",
        help="Write only this episode of the report, counted from 1; can be repeated. Defaults to all that fired.",
    )


def write_test(
    args: argparse.Namespace,
    source: EventSource,
    groups: Sequence[RuleGroup],
    report: BacktestReport,
    options: ReplayOptions,
) -> WrittenTest:
    """Write the file that `--write-test` names. Raises SampleSourceError."""
    settings = UnitTestSettings(report.until, options.external_labels, options.external_url)
    tests = []
    for episode in chosen_episodes(report.episodes, args.episode):
        interval_ms = report.intervals[episode.rule.file, episode.rule.group]
        tests.append(episode_test(source, groups, episode, interval_ms, settings))
    return write_unit_test(args.write_test, tests, settings)


def chosen_episodes(episodes: Sequence[Episode], numbers: Sequence[int]) -> list[Episode]:
    """Those with these numbers, from 1 on; all that fired when there are none. Raises SampleSourceError."""
    for number in numbers:
        if number > len(episodes):
            raise SampleSourceError(f"--episode {number}: the report has {len(episodes)} episodes")
    if numbers:
        return [episodes[number - 1] for number in dict.fromkeys(numbers)]
    fired = [e for e in episodes if e.fired_at is not None]
    if not fired:
        raise SampleSourceError(
            "--write-test: no alert fired, so there is nothing to show (--episode takes a pending one)"
        )
    if len(fired) > MOST_EPISODES:
        raise SampleSourceError(
            f"--write-test: {len(fired)} episodes are more than the {MOST_EPISODES} that one file takes: choose some "
            "with --episode"
        )
    return fired


def written_text(written: WrittenTest) -> str:
    """What became of it, for a terminal."""
    tests = "1 test" if written.tests == 1 else f"{written.tests} tests"
    series = "1 series" if written.series == 1 else f"{written.series} series"
    lines = [f"wrote {written.file}: {tests} with {series}"]
    if written.problems:
        lines[0] += ", but not everything can be shown:"
        lines += [f"  {problem}" for problem in written.problems]
    else:
        lines[0] += "; `rulepush test rules` passes"
    lines += [f"  note: {note}" for note in written.notes]
    return "\n".join(lines) + "\n"
