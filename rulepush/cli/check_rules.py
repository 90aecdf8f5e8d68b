"""`rulepush check rules`: whether rule files are valid, and what is kept for them. As `promtool check rules`."""

from __future__ import annotations

import argparse
import sys
from enum import Enum
from typing import Final

from rulepush.cli.options import (
    DEFAULT_LINT,
    LINT_EXIT,
    RULE_LINTS,
    Subparsers,
    add_command,
    add_ignore_unknown_fields,
    add_lint_fatal,
)
from rulepush.cli.terminal import VERDICTS, coloured
from rulepush.rules.rulefmt import RuleFile, parse_rule_file, read_rule_file
from rulepush.rules.specs import RuleGroup, demanded, duplicate_rules
from rulepush.storage.demand import Demand

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1


class _Verdict(Enum):
    VALID = 0
    LINTED = 1
    INVALID = 2


def add_parser(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """promtool's flags."""
    p = add_command(
        subparsers,
        "rules",
        """Check if rule files are valid, and print which series are kept for the rules.

Compatible with promtool check rules.""",
        {
            EXIT_OK: "All files are valid.",
            EXIT_FAILED: "At least one file is not valid.",
            LINT_EXIT: "All are valid, but with --lint-fatal a lint check found something.",
        },
        ["rulepush check rules --lint-fatal rules/*.yml", "rulepush check rules < rules.yml"],
    )
    p.add_argument("files", nargs="*", metavar="FILE", help="Rule files to check; - or none for standard input.")
    p.add_argument(
        "--lint",
        default=DEFAULT_LINT,
        metavar="LINT[,LINT]",
        help=f"Lint checks to apply. Available options: {', '.join(RULE_LINTS)}.",
    )
    add_lint_fatal(p)
    add_ignore_unknown_fields(p)
    p.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Check every file, then print what is kept for all of them together."""
    lints = {name.strip() for name in args.lint.split(",")}
    unknown = lints - set(RULE_LINTS)
    if unknown:
        print(f"rulepush: unknown lint {', '.join(sorted(unknown))}; there is {', '.join(RULE_LINTS)}", file=sys.stderr)
        return EXIT_FAILED
    lint = bool(lints & {"all", "duplicate-rules"})
    groups: list[RuleGroup] = []
    verdicts = []
    for name in dict.fromkeys(args.files or ["-"]):
        file = _read(name, args.ignore_unknown_fields)
        verdicts.append(_report(file, lint))
        groups += file.groups
        print()
    if _Verdict.INVALID in verdicts:
        return EXIT_FAILED
    _print_demand(groups)
    return LINT_EXIT if args.lint_fatal and _Verdict.LINTED in verdicts else EXIT_OK


def _read(name: str, ignore_unknown: bool) -> RuleFile:
    if name == "-":
        print("Checking standard input")
        return parse_rule_file("standard input", sys.stdin.buffer.read(), ignore_unknown=ignore_unknown)
    print(f"Checking {name}")
    return read_rule_file(name, ignore_unknown=ignore_unknown)


def _report(file: RuleFile, lint: bool) -> _Verdict:
    for warning in file.warnings:
        _print_error(f"  WARNING: {warning}")
    if file.problems:
        _print_error("  FAILED:", *map(str, file.problems))
        return _Verdict.INVALID
    duplicates = duplicate_rules(file.groups) if lint else []
    if not duplicates:
        print(coloured(f"  SUCCESS: {file.rule_count} rules found", VERDICTS, sys.stdout))
        return _Verdict.VALID
    lines = [f"{file.name}: lint error {len(duplicates)} duplicate rule(s) found."]
    for name, labels in duplicates:
        lines += [f"Metric: {name}", "Label(s):", *(f"\t{n}: {v}" for n, v in labels)]
    _print_error("  FAILED:", *lines, "Might cause inconsistency while recording expressions")
    return _Verdict.LINTED


def _print_error(*lines: str) -> None:
    sys.stdout.flush()
    print(coloured("\n".join(lines), VERDICTS, sys.stderr), file=sys.stderr, flush=True)


def _print_demand(groups: list[RuleGroup]) -> None:
    kept = Demand.of(demanded(groups)).describe()
    if kept:
        print("Kept for these rules; a scrape drops all the rest:")
        for line in kept:
            print(f"  {line}")
