"""`rulepush check rules`: whether rule files are valid, and what is kept for them. As `promtool check rules`."""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
from collections.abc import Sequence
from enum import Enum
from typing import Final

from rulepush.cli.options import (
    DEFAULT_LINT,
    LINT_EXIT,
    RULE_LINTS,
    Subparsers,
    add_command,
    add_config_file,
    add_ignore_unknown_fields,
    add_lint_fatal,
)
from rulepush.cli.terminal import VERDICTS, coloured, terminal_text
from rulepush.config import load_config
from rulepush.config.sections import Config, DatasourceConfig
from rulepush.errors import ConfigError, Problem
from rulepush.model.secret import Secret
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
            EXIT_FAILED: "At least one file is not valid; or, with --datasource, a rule has a problem there.",
            LINT_EXIT: "All are valid, but with --lint-fatal a lint check found something.",
        },
        [
            "rulepush check rules --lint-fatal rules/*.yml",
            "rulepush check rules < rules.yml",
            "rulepush check rules --datasource central --config.file prometheus.yml",
            "rulepush check rules --datasource http://victoria-metrics:8428 rules/*.yml",
        ],
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
    p.add_argument(
        "--datasource",
        metavar="NAME|URL",
        help="Ask this engine each rule once, and say which find nothing there, and why: the name of a datasource of "
        "--config.file, whose rule files are checked where no FILE is given, or the URL of a Prometheus HTTP API.",
    )
    add_config_file(p, "Configuration file with the datasource.")
    p.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Check every file, then print what is kept for all of them together."""
    lints = {name.strip() for name in args.lint.split(",")}
    unknown = lints - set(RULE_LINTS)
    if unknown:
        print(f"rulepush: unknown lint {', '.join(sorted(unknown))}; there is {', '.join(RULE_LINTS)}", file=sys.stderr)
        return EXIT_FAILED
    if args.config_file and not args.datasource:
        print("rulepush: --config.file is for --datasource NAME, which is not given", file=sys.stderr)
        return EXIT_FAILED
    try:
        asked = _datasource(args) if args.datasource else None
    except ConfigError as e:
        print(f"rulepush: {e}", file=sys.stderr)
        return EXIT_FAILED
    if asked is not None and not args.files:
        args.files = list(asked[1].rule_files)
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
    if asked is None:
        _print_demand(groups)
    elif not _ask(*asked, args.files):
        return EXIT_FAILED
    return LINT_EXIT if args.lint_fatal and _Verdict.LINTED in verdicts else EXIT_OK


def _datasource(args: argparse.Namespace) -> tuple[Config, DatasourceConfig]:
    """The datasource of `--datasource` and the configuration that it is of. Raises ConfigError."""
    name = args.datasource
    config = load_config(args.config_file) if args.config_file else Config("")
    if re.match("https?://", name):
        if not args.files or "-" in args.files:
            raise ConfigError([Problem("", 0, "--datasource URL needs rule files by name")])
        return config, DatasourceConfig(name, Secret(name.rstrip("/")))
    if not args.config_file:
        raise ConfigError([Problem("", 0, f"--datasource {name} is no URL: --config.file says what it is")])
    found = next((source for source in config.datasources if source.name == name), None)
    if found is None:
        known = ", ".join(source.name for source in config.datasources) or "none"
        raise ConfigError([Problem(args.config_file, 0, f"there is no datasource {name}: there is {known}")])
    if not (args.files or found.rule_files) or "-" in args.files:
        raise ConfigError([Problem(args.config_file, 0, f"the datasource {name} has no rule files, and none is given")])
    return config, found


def _ask(config: Config, source: DatasourceConfig, files: Sequence[str]) -> bool:
    """Print what the engine says of the rules; whether all is well."""
    # Imported here: it brings the network.
    from rulepush.cli.ask_engines import ask_engines, rules_of
    from rulepush.livecheck.report import engine_lines

    (report,) = asyncio.run(ask_engines(config, {source: rules_of(files)}))
    print(terminal_text("\n".join(engine_lines(report)).rstrip()))
    return report.ok


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
