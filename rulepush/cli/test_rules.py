"""`rulepush test rules`: run unit tests of rules. As `promtool test rules`."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable
from datetime import datetime

from rulepush.errors import ConfigError, RegexError
from rulepush.model.regex import compile_regex
from rulepush.rules.unittest import TestReport, load_test_file, run_test_file
from rulepush.rules.unittest.junit import junit_xml
from rulepush.rules.unittest.runner import TestOptions


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """promtool's flags."""
    p = subparsers.add_parser(
        "rules",
        help="run unit tests of rules, in promtool's format",
        description=__doc__,
        epilog="exit code 0: all passed; 1: at least one did not, or a file cannot be used",
    )
    p.add_argument("files", nargs="+", metavar="FILE", help="unit test files")
    p.add_argument("--run", action="append", default=[], metavar="REGEX", help="only tests whose name matches")
    p.add_argument("--junit", default="", metavar="FILE", help="also write the results as JUnit XML")
    p.add_argument("--debug", action="store_true", help="print when tests start and end, and all data")
    p.add_argument("--diff", action="store_true", help="for promtool's users: differences are always shown")
    p.add_argument("--ignore-unknown-fields", action="store_true", help="accept keys that Prometheus does not know")
    p.add_argument(
        "--enable-feature", action="append", default=[], metavar="NAME[,NAME]", help="promql-delayed-name-removal"
    )
    p.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Run every file; the failures go to standard error."""
    try:
        wanted = _wanted(args.run)
    except RegexError as e:
        print(f"rulepush: --run: {e}", file=sys.stderr)
        return 1
    # A rule that fails is told by the report; the log of the service would only say it again.
    logging.getLogger("rulepush").addHandler(logging.NullHandler())
    features = {name for value in args.enable_feature for name in value.split(",")}
    options = TestOptions(
        wanted,
        print if args.debug else None,
        args.ignore_unknown_fields,
        "promql-delayed-name-removal" in features,
    )
    reports = []
    for name in args.files:
        print(f"Unit Testing:  {name}", flush=True)
        report = _run_file(name, options)
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


def _run_file(name: str, options: TestOptions) -> TestReport:
    try:
        file = load_test_file(name, ignore_unknown=options.ignore_unknown)
    except ConfigError as e:
        return TestReport(name, problems=tuple(str(p) for p in e.problems))
    for pattern in file.unmatched:
        print(f"  WARNING: no file match pattern {pattern}", file=sys.stderr)
    return run_test_file(file, options)


def _show(report: TestReport) -> None:
    if report.failures:
        print("  FAILED:", *(f"{text}\n" for text in report.failures), sep="\n", end="", file=sys.stderr, flush=True)
    else:
        print("  SUCCESS")
    print(flush=True)
