"""`rulepush backtest`: what rules would have done with what was recorded."""

from __future__ import annotations

import argparse
import json
import re
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Final

from rulepush.backtest import BacktestOptions, BacktestReport, EventSource, Progress, ReplayOptions, Stopped, backtests
from rulepush.backtest.compare import compare
from rulepush.backtest.sources.server import ServerSource
from rulepush.backtest.text import backtest_text
from rulepush.backtest.wire import report_json
from rulepush.cli.backtest_source import add_source_options, opened_source
from rulepush.cli.backtest_write import add_write_options, write_test, written_text
from rulepush.cli.options import Subparsers, add_command, add_config_file, directory_path, positive_duration_ms
from rulepush.cli.progress import shown_progress
from rulepush.cli.terminal import Ink, InkRules, coloured, inked, terminal_json, terminal_text
from rulepush.clock import Clock, SystemClock
from rulepush.config import load_config
from rulepush.config.sections import Config
from rulepush.errors import ConfigError, RulepushError
from rulepush.model.durations import parse_duration
from rulepush.model.labels import Labels
from rulepush.model.timestamps import format_rfc3339, parse_time
from rulepush.recorded.recording import Recording
from rulepush.recorded.records import DIRECTORY
from rulepush.rules.rulefmt import load_rule_files
from rulepush.rules.specs import RuleGroup

_INTERRUPTED: Final = 130
_ON_ENGINE: Final = "{} of datasources, whose samples are on their engines: --from-url URL tries these rules there"
_INKS: Final[InkRules] = (
    (re.compile("but: .*"), Ink.WARNING),
    (re.compile("no alert was pending or fired|evaluated from .*"), Ink.STRONG),
    (re.compile(r"  (\S+): fired "), Ink.ERROR),
    (re.compile(r"  (\S+): pending only "), Ink.WARNING),
    (re.compile(r"  (\S+): failed "), Ink.ERROR),
    (re.compile("rules that lack data"), Ink.WARNING),
)
_LATEST_MS: Final = 253_402_300_799_000  # 9999-12-31T23:59:59Z, the last second that RFC 3339 has


class BacktestError(RulepushError):
    """What keeps the command from trying anything, in one message."""


def add_parser(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """Rules, where the samples come from, and the range."""
    p = add_command(
        subparsers,
        "backtest",
        """Evaluate rules over recorded samples, and print every alert that would have been pending or firing.

The samples are those that a rulepush with `storage.record` has kept below its --storage.path; it may be running. Rules
are evaluated at the moments at which it evaluated, with the same `for`, `keep_firing_for`, templates and restarts. Or
they come from a server with the Prometheus HTTP API (--from-url), or from a file (--from-file).""",
        {
            0: "The rules were tried, whether an alert fired or not.",
            1: "A file is wrong, there are no samples, or a unit test cannot show what happened.",
            _INTERRUPTED: "Interrupted: what was found until then is printed.",
        },
        [
            "rulepush backtest --rules new.yml --storage.path /var/lib/rulepush --since 12h",
            "rulepush backtest --rules new.yml --against old.yml --storage.path /var/lib/rulepush",
            "rulepush backtest --config.file prometheus.yml --storage.path /var/lib/rulepush --from 2h --to 1h",
            "rulepush backtest --rules new.yml --from-url http://prometheus:9090 --since 1d",
            "rulepush backtest --rules new.yml --from-file dump.gz --write-test new_test.yml --episode 3",
        ],
    )
    p.add_argument(
        "--rules",
        nargs="+",
        action="extend",
        default=[],
        metavar="FILE",
        help="Rule files to try; can be repeated. Defaults to those of --config.file.",
    )
    p.add_argument(
        "--against",
        nargs="+",
        action="extend",
        default=[],
        metavar="FILE",
        help="Rule files of the version before: print what fires otherwise.",
    )
    add_config_file(
        p,
        "Configuration file: its external labels, evaluation interval and hold_on_scrape_failure are used, and its "
        "rule files where --rules names none.",
    )
    p.add_argument(
        "--storage.path",
        dest="storage_path",
        type=directory_path,
        metavar="DIR",
        help="Directory of the rulepush that has recorded.",
    )
    add_source_options(p)
    p.add_argument(
        "--from",
        dest="from_",
        metavar="TIME",
        help="Start of the range: RFC 3339, Unix seconds, or a duration ago such as 2h. Defaults to all that there is.",
    )
    p.add_argument("--to", metavar="TIME", help="End of the range, in the same notation. Defaults to now.")
    p.add_argument("--since", metavar="DURATION", help="The same as --from with a duration: 12h for the last 12 hours.")
    p.add_argument(
        "--interval",
        type=positive_duration_ms,
        metavar="DURATION",
        help="Evaluate every group this often. Defaults to the interval of the group, or of the configuration, or that "
        "of the recording.",
    )
    p.add_argument("--format", choices=["text", "json"], default="text", help="Format of the report.")
    add_write_options(p)
    p.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """0 when the rules were tried."""
    written = None
    try:
        asked = asked_of(args, SystemClock())
        with _source(args, asked) as source:
            if args.config_file is None and isinstance(source, ServerSource):
                asked = asked.with_external_labels(source.external_labels)
            reports = _tried(asked, source)
            _refuse_without_samples(reports[0], args)
            if args.write_test and reports[0].stopped is not Stopped.ASKED:
                written = write_test(args, source, asked.versions[0], reports[0], asked.options.replay)
    except ConfigError as e:
        print(inked(terminal_text(str(e)), Ink.ERROR, sys.stderr), file=sys.stderr)
        return 1
    except RulepushError as e:
        print(inked(terminal_text(f"rulepush backtest: {e}"), Ink.ERROR, sys.stderr), file=sys.stderr)
        return 1
    except OSError as e:
        text = f"{e.filename}: {e.strerror}" if e.filename else str(e)
        print(inked(terminal_text(f"rulepush backtest: {text}"), Ink.ERROR, sys.stderr), file=sys.stderr)
        return 1
    compared = compare(reports[0], reports[1]) if len(reports) > 1 else None
    if args.format == "json":
        print(terminal_json(json.dumps(report_json(reports[0], compared), ensure_ascii=False, indent=2)))
    else:
        print(coloured(terminal_text(backtest_text(reports[0], compared)), _INKS, sys.stdout), end="")
    if written is not None:
        print(terminal_text(written_text(written)), end="", file=sys.stderr, flush=True)
    if reports[0].stopped is Stopped.ASKED:
        return _INTERRUPTED
    return 1 if written is not None and written.problems else 0


@dataclass(frozen=True, slots=True)
class AskedBacktest:
    """What the command line asks for: the versions of the rules, the newest first, and the options."""

    versions: list[tuple[RuleGroup, ...]]
    options: BacktestOptions

    def with_external_labels(self, labels: Labels) -> AskedBacktest:
        """The same with these, for the templates."""
        replay = replace(self.options.replay, external_labels=labels)
        return AskedBacktest(self.versions, replace(self.options, replay=replay))


def asked_of(args: argparse.Namespace, clock: Clock) -> AskedBacktest:
    """Raises ConfigError and BacktestError."""
    config = load_config(args.config_file) if args.config_file else None
    files = args.rules or (list(config.rule_files) if config is not None else [])
    elsewhere = [f for s in config.datasources for f in s.rule_files] if config is not None and not args.rules else []
    if args.from_url:  # the engine has their samples, and what it has recorded
        files += elsewhere
    elif elsewhere and files:
        print(f"rulepush backtest: not tried: {_ON_ENGINE.format(', '.join(elsewhere))}", file=sys.stderr)
    if not files:
        where = f"{args.config_file} has no rule_files" if config is not None else "there is no --config.file"
        if elsewhere:
            where = _ON_ENGINE.format(", ".join(elsewhere))
        raise BacktestError(f"no rules to try: --rules names none, and {where}")
    versions = [load_rule_files(files)]
    if args.against:
        versions.append(load_rule_files(args.against))
    if not any(group.rules for group in versions[0]):
        raise BacktestError(f"no rules to try: there is none in {', '.join(files)}")
    if args.episode and not args.write_test:
        raise BacktestError("--episode chooses what --write-test writes, which is not given")
    now = clock.now()
    start, end = _range(args, now)
    return AskedBacktest(versions, BacktestOptions(start, end, _replay_options(args, config), latest=now))


def _replay_options(args: argparse.Namespace, config: Config | None) -> ReplayOptions:
    if config is None:
        return ReplayOptions(interval_ms=args.interval)
    return ReplayOptions(
        interval_ms=args.interval,
        default_interval_ms=config.global_.evaluation_interval_ms,
        query_offset_ms=config.global_.rule_query_offset_ms,
        external_labels=config.global_.external_labels,
        hold_ms=config.alerting.hold_on_scrape_failure_ms,
        out_of_order_ms=config.storage.out_of_order_window_ms,
    )


def _range(args: argparse.Namespace, now: int) -> tuple[int | None, int | None]:
    if args.since is not None and args.from_ is not None:
        raise BacktestError("--since and --from both say where to start: give one of them")
    start = _moment("--from", args.from_, now)
    if args.since is not None:
        try:
            start = now - parse_duration(args.since)
        except ValueError:
            raise BacktestError(f"--since {args.since!r} is not a duration such as 12h or 1h30m") from None
    end = _moment("--to", args.to, now)
    if start is not None and start > now:
        raise BacktestError(f"the range begins at {format_rfc3339(start)}, which is in the future")
    if start is not None and end is not None and start >= end:
        raise BacktestError(
            f"the range is empty: it begins at {format_rfc3339(start)} and ends at {format_rfc3339(end)}"
        )
    return start, end


def _moment(flag: str, text: str | None, now: int) -> int | None:
    """A time, or how long ago it was."""
    if text is None:
        return None
    try:
        moment = parse_time(text)
    except ValueError:
        pass
    else:
        if not 0 <= moment <= _LATEST_MS:
            hint = "; these are milliseconds: give seconds" if 0 <= moment // 1000 <= _LATEST_MS else ""
            raise BacktestError(f"{flag} {text!r} is not a time between the years 1970 and 9999{hint}")
        return moment
    try:
        return now - parse_duration(text)
    except ValueError:
        raise BacktestError(
            f"{flag} {text!r} is not a time: write 2026-11-29T02:00:00Z, Unix seconds, or how long ago, such as 2h"
        ) from None


@contextmanager
def _source(args: argparse.Namespace, asked: AskedBacktest) -> Iterator[EventSource]:
    if [args.storage_path, args.from_url, args.from_file].count(None) != 2:
        raise BacktestError(
            "where the samples come from is said by one of --storage.path (the directory of the rulepush that has "
            "recorded), --from-url and --from-file"
        )
    if args.from_url is None and (args.http_config_file or args.header or args.ca_file):
        raise BacktestError("--http.config.file, --header and --ca-file are for --from-url, which is not given")
    if args.storage_path is not None:
        yield _recording(args.storage_path / DIRECTORY)
        return
    with opened_source(args, asked.versions, asked.options.start) as source:
        yield source


def _recording(directory: Path) -> Recording:
    recording = Recording(directory)
    if recording.bounds() is None:
        what = "has nothing yet" if directory.is_dir() else "does not exist"
        raise BacktestError(
            f"nothing is recorded: {directory} {what}. `storage: {{record: {{}}}}` in the configuration of "
            "`rulepush run` turns recording on"
        )
    return recording


def _refuse_without_samples(report: BacktestReport, args: argparse.Namespace) -> None:
    """Raises BacktestError when nothing was evaluated, for the range has no data: that no alert fired would be no
    news."""
    if report.first is not None or report.stopped is not None:
        return
    if report.recorded is None:
        since = format_rfc3339(report.start)
        raise BacktestError(f"{args.from_url} has no sample since {since} of what the rules read")
    first, last = report.recorded
    if report.end < first or report.start > last:
        where = args.storage_path or args.from_url or args.from_file
        raise BacktestError(
            f"{where} has no samples from {format_rfc3339(report.start)} to {format_rfc3339(report.end)}: those that "
            f"it has are from {format_rfc3339(first)} to {format_rfc3339(last)}"
        )


def _tried(asked: AskedBacktest, source: EventSource) -> list[BacktestReport]:
    with _interrupts() as interrupted, shown_progress(sys.stderr) as line:

        def show(progress: Progress) -> None:
            line.show(progress.part, format_rfc3339(progress.at // 1000 * 1000))

        return backtests(source, asked.versions, asked.options, show if line.visible else None, interrupted)


@contextmanager
def _interrupts() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C was pressed meanwhile; the second time it ends the process."""
    pressed: list[int] = []
    before = signal.getsignal(signal.SIGINT)

    def press(number: int, _frame: FrameType | None) -> None:
        pressed.append(number)
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, press)
    try:
        yield lambda: bool(pressed)
    finally:
        signal.signal(signal.SIGINT, before)
