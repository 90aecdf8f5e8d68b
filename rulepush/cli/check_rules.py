"""`rulepush check rules`: are these rule files valid, and what will be kept for them. As `promtool check rules`."""

from __future__ import annotations

import argparse
import sys
from enum import Enum
from typing import Final

from rulepush.rules.lint import duplicate_rules
from rulepush.rules.rulefmt import RuleFile, parse_rule_file, read_rule_file
from rulepush.rules.specs import RuleGroup, demanded
from rulepush.storage.demand import Demand

LINTS: Final = ("all", "duplicate-rules", "none")
EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
EXIT_LINT: Final = 3  # promtool's code for "valid, but against the advice"


class _Verdict(Enum):
    GOOD = 0
    ADVISED = 1
    BAD = 2


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """promtool's flags."""
    p = subparsers.add_parser(
        "rules",
        help="check rule files",
        description=__doc__,
        epilog="exit code 0: all are good; 1: at least one is not; 3: lint advice, with --lint-fatal",
    )
    p.add_argument("files", nargs="*", metavar="FILE", help="rule files; - or none for standard input")
    p.add_argument(
        "--lint",
        default="duplicate-rules",
        metavar="LINT",
        help=f"lints to apply, separated by commas: {', '.join(LINTS)} (default: duplicate-rules)",
    )
    p.add_argument("--lint-fatal", action="store_true", help="exit with code 3 when a lint finds something")
    p.add_argument("--ignore-unknown-fields", action="store_true", help="accept keys that Prometheus does not know")
    p.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Check every file, then say what all of them together need."""
    lints = {name.strip() for name in args.lint.split(",")}
    unknown = lints - set(LINTS)
    if unknown:
        print(f"rulepush: unknown lint {', '.join(sorted(unknown))}; there is {', '.join(LINTS)}", file=sys.stderr)
        return EXIT_FAILED
    lint = bool(lints & {"all", "duplicate-rules"})
    groups: list[RuleGroup] = []
    verdicts = []
    for name in dict.fromkeys(args.files or ["-"]):
        file = _read(name, args.ignore_unknown_fields)
        verdicts.append(_report(file, lint))
        groups += file.groups
        print()
    if _Verdict.BAD in verdicts:
        return EXIT_FAILED
    _print_demand(groups)
    return EXIT_LINT if args.lint_fatal and _Verdict.ADVISED in verdicts else EXIT_OK


def _read(name: str, ignore_unknown: bool) -> RuleFile:
    if name == "-":
        print("Checking standard input")
        return parse_rule_file("standard input", sys.stdin.buffer.read(), ignore_unknown=ignore_unknown)
    print(f"Checking {name}")
    return read_rule_file(name, ignore_unknown=ignore_unknown)


def _report(file: RuleFile, lint: bool) -> _Verdict:
    for warning in file.warnings:
        _complain(f"  WARNING: {warning}")
    if file.problems:
        _complain("  FAILED:", *map(str, file.problems))
        return _Verdict.BAD
    duplicates = duplicate_rules(file.groups) if lint else []
    if not duplicates:
        print(f"  SUCCESS: {file.rule_count} rules found")
        return _Verdict.GOOD
    lines = [f"{file.name}: lint error {len(duplicates)} duplicate rule(s) found."]
    for name, labels in duplicates:
        lines += [f"Metric: {name}", "Label(s):", *(f"\t{n}: {v}" for n, v in labels)]
    _complain("  FAILED:", *lines, "Might cause inconsistency while recording expressions")
    return _Verdict.ADVISED


def _complain(*lines: str) -> None:
    sys.stdout.flush()
    print("\n".join(lines), file=sys.stderr, flush=True)


def _print_demand(groups: list[RuleGroup]) -> None:
    kept = Demand.of(demanded(groups)).describe()
    if kept:
        print("Kept for these rules; a scrape drops all the rest:")
        for line in kept:
            print(f"  {line}")
