"""`rulepush test rules`: run unit tests for rules. As `promtool test rules`."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable
from datetime import datetime

from rulepush.cli.options import (
    DELAYED_NAME_REMOVAL,
    Subparsers,
    add_command,
    add_enable_feature,
    add_ignore_unknown_fields,
    feature_names,
)
from rulepush.cli.progress import ProgressLine, shown_progress
from rulepush.cli.terminal import VERDICTS, coloured
from rulepush.errors import ConfigError, RegexError
from rulepush.model.regex import compile_regex
from rulepush.rules.unittest import TestReport, load_test_file, run_test_file
from rulepush.rules.unittest.junit import junit_xml
from rulepush.rules.unittest.runner import TestOptions


def add_parser(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """promtool's flags."""
    p = add_command(
        subparsers,
        "rules",
        "Run unit tests for rules, in promtool's format.",
        {0: "All tests passed.", 1: "At least one test failed, or a file cannot be used."},
        ["rulepush test rules --junit results.xml tests/*.yml"],
    )
    p.add_argument("files", nargs="+", metavar="FILE", help="Unit test files to run.")
    p.add_argument(
        "--run",
        action="append",
        default=[],
        metavar="REGEX",
        help="Run only tests whose name matches the regular expression; can be repeated.",
    )
    p.add_argument("--junit", default="", metavar="FILE", help="Also write the results as JUnit XML to this file.")
    p.add_argument("--debug", action="store_true", help="Print when tests start and end, and all data of their series.")
    p.add_argument("--diff", action="store_true", help="No effect: differences are always printed.")
    add_ignore_unknown_fields(p)
    add_enable_feature(p)
    p.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Run every file; the failures go to standard error."""
    try:
        wanted = _wanted(args.run)
    except RegexError as e:
        print(f"rulepush: --run: {e}", file=sys.stderr)
        return 1
    # The report has every failing rule; the log would only repeat it.
    logging.getLogger("rulepush").addHandler(logging.NullHandler())
    options = TestOptions(
        wanted,
        print if args.debug else None,
        args.ignore_unknown_fields,
        DELAYED_NAME_REMOVAL in feature_names(args.features),
    )
    reports = []
    with shown_progress(sys.stderr, wanted=not args.debug) as line:
        for i, name in enumerate(args.files):
            print(f"Unit Testing:  {name}", flush=True)
            line.show(i / len(args.files), f"file {i + 1} of {len(args.files)}")
            report = _run_file(name, options, line)
            line.clear()
            reports.append(report)
            _show(report)
    if args.junit:
        try:
            with open(args.junit, "wb") as f:
                f.write(junit_xml(reports, datetime.now().astimezone().isoformat(timespec="seconds")))
        except OSError as e:
            print(f"rulepush: --junit: {args.junit}: {e.strerror}", file=sys.stderr)
            return 1
    return 1 if any(report.failures for report in reports) else 0


def _wanted(patterns: list[str]) -> Callable[[str], bool]:
    if not patterns:
        return lambda _name: True
    pattern = compile_regex("|".join(patterns))
    return lambda name: pattern.search(name) is not None


def _run_file(name: str, options: TestOptions, line: ProgressLine) -> TestReport:
    try:
        file = load_test_file(name, ignore_unknown=options.ignore_unknown)
    except ConfigError as e:
        return TestReport(name, problems=tuple(str(p) for p in e.problems))
    for pattern in file.unmatched:
        line.clear()
        warning = f"  WARNING: no file match pattern {pattern}"
        print(coloured(warning, VERDICTS, sys.stderr), file=sys.stderr)
    return run_test_file(file, options)


def _show(report: TestReport) -> None:
    if report.failures:
        heading = coloured("  FAILED:", VERDICTS, sys.stderr)
        print(heading, *(f"{text}\n" for text in report.failures), sep="\n", end="", file=sys.stderr, flush=True)
    else:
        print(coloured("  SUCCESS", VERDICTS, sys.stdout))
    print(flush=True)
