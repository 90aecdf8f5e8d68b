"""`rulepush check live`: report rules that can never fire on the real targets."""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from rulepush import __version__
from rulepush.cli.options import Subparsers, add_command, add_config_file
from rulepush.cli.progress import ProgressLine, elapsing, shown_progress
from rulepush.cli.terminal import Ink, InkRules, coloured, inked, terminal_text
from rulepush.clock import SystemClock
from rulepush.config import load_config
from rulepush.config.sections import AlertmanagerConfig, ScrapeConfig
from rulepush.errors import ConfigError, Problem
from rulepush.livecheck import LiveData, LiveRule, SilentJob, TargetScrapes, analyse, live_rules
from rulepush.livecheck.alertmanagers import AlertmanagerAnswer
from rulepush.livecheck.analyse import EngineReport
from rulepush.livecheck.candidates import target_jobs, visit_target
from rulepush.livecheck.choice import lacking_packs, packs_of, without_foreign
from rulepush.livecheck.fetch import Visit, environment, visit_jobs
from rulepush.livecheck.report import as_json, report_text
from rulepush.model.durations import parse_duration
from rulepush.notifier.visit import visit_alertmanagers
from rulepush.packs import pack
from rulepush.rules.rulefmt import load_rule_files

_STEP_S = 15.0
_INKS: Final[InkRules] = (
    (re.compile(r"target .*: (ok), \d+ samples"), Ink.GOOD),
    (re.compile(r"Alertmanager \S+: (ok)\b"), Ink.GOOD),
    (re.compile(r"datasource \S+ \(\S*\): (ok)"), Ink.GOOD),
    (re.compile("(?:target|job|Alertmanager|datasource) .*"), Ink.ERROR),
    (re.compile("no Alertmanager is configured.*"), Ink.WARNING),
    (re.compile("(?:warning|note): .*"), Ink.WARNING),
    (re.compile(r"    (problem)\b"), Ink.ERROR),
    (re.compile(r"    (now)\b"), Ink.WARNING),
    (re.compile(r"    (never|note)\b"), Ink.FAINT),
    (re.compile(r"\d+ rules: (0 with problems)"), Ink.GOOD),
    (re.compile(r"\d+ rules: (\d+ with problems)"), Ink.ERROR),
    (re.compile("No target answered.*"), Ink.ERROR),
)
_PACKS: Final = ("nacos", "spring-boot", "jvm", "self")


def add_parser(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """One of --config.file and --target."""
    p = add_command(
        subparsers,
        "live",
        """Scrape the real targets and report rules that can never fire on them, and why.

The rules of datasources are asked once on their engines instead. A rule that would fire now is not a problem. Nothing
is sent.""",
        {
            0: "Every target and datasource answered and no rule has a problem.",
            1: "A target or datasource did not answer, a job has no targets, or a rule has a problem.",
        },
        [
            "rulepush check live --config.file prometheus.yml --for 1m",
            "rulepush check live --target http://orders:8080",
            "rulepush check live --target http://nacos:8848 --rules my-rules.yml",
        ],
    )
    source = p.add_mutually_exclusive_group(required=True)
    add_config_file(source, "Configuration file whose targets are scraped.")
    source.add_argument(
        "--target",
        metavar="URL",
        help="URL of a single target to scrape; can contain user:password@. Without a path, /actuator/prometheus, "
        "/nacos/actuator/prometheus and /metrics are tried. Labels that a configuration would add, such as job, are "
        "not checked.",
    )
    p.add_argument(
        "--rules",
        nargs="+",
        default=[],
        metavar="FILE",
        help="Rule files to check. Defaults to those of the configuration; with --target to the rule packs for what "
        "the target looks like: Nacos, Spring Boot, a JVM with Micrometer, rulepush.",
    )
    p.add_argument(
        "--for",
        dest="span",
        default="0s",
        metavar="DURATION",
        help="Scrape repeatedly for this long, so that rate() and the like have data; 0s scrapes once.",
    )
    p.add_argument("--format", choices=["text", "json"], default="text", help="Format of the report.")
    p.add_argument("-v", "--verbose", action="store_true", help="Print notes, too.")
    p.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """0 when there is no problem, 1 when there is one or a file cannot be read."""
    try:
        visit = _visit(parse_duration(args.span) / 1000)
        jobs, files, alertmanagers = _jobs_and_rule_files(args)
        rules = _rules(files)
        engines = _rules_elsewhere(args)
    except ConfigError as e:
        print(inked(str(e), Ink.ERROR, sys.stderr), file=sys.stderr)
        return 1
    except ValueError as e:
        print(inked(f"rulepush: {e}", Ink.ERROR, sys.stderr), file=sys.stderr)
        return 1
    packs: tuple[str, ...] | None = None
    with shown_progress(sys.stderr) as line:
        if args.format == "text" and visit.times > 1 and not line.visible:
            print(f"scraping for {args.span} ...", file=sys.stderr)
        (answers, silent), asked = asyncio.run(_look(jobs, alertmanagers, visit, line, f"scraping for {args.span}"))
    if args.target is not None and not args.rules:
        packs = packs_of(answers)
        rules = _rules([str(pack(name)) for name in packs])
    seen = LiveData(answers, labels_known=args.target is None, silent=silent)
    report = replace(analyse(rules, seen, asked), packs=packs, engines=engines())
    if args.target is None:
        names = _names_of_packs()
        lacking = lacking_packs(answers, {rule.name for rule in rules}, names)
        report = without_foreign(replace(report, notes=lacking), names)
    if args.format == "json":
        print(as_json(report), end="")
    else:
        print(coloured(terminal_text(report_text(report, verbose=args.verbose)), _INKS, sys.stdout), end="")
    return 0 if report.ok else 1


async def _look(
    jobs: list[ScrapeConfig],
    alertmanagers: Sequence[AlertmanagerConfig] | None,
    visit: Visit,
    line: ProgressLine,
    what: str,
) -> tuple[tuple[list[TargetScrapes], list[SilentJob]], tuple[AlertmanagerAnswer, ...] | None]:
    """Of a configuration every target and Alertmanager; without one (None) the first of the likely jobs that gives
    metrics."""
    env = environment(SystemClock(), f"rulepush/{__version__}")
    async with elapsing(line, visit.step_s * (visit.times - 1), what):
        if alertmanagers is None:
            return ([(await visit_target(jobs, env, visit)).answer], []), None
        return await asyncio.gather(visit_jobs(jobs, env, visit), visit_alertmanagers(alertmanagers, env))


def _visit(span_s: float) -> Visit:
    """Once, or with a span at least twice, at most 15 s apart."""
    times = 1 + max(1, round(span_s / _STEP_S)) if span_s else 1
    return Visit(times, span_s / (times - 1) if times > 1 else 0.0)


def _jobs_and_rule_files(
    args: argparse.Namespace,
) -> tuple[list[ScrapeConfig], list[str], Sequence[AlertmanagerConfig] | None]:
    """The jobs, of a target the likely ones, the rule files, and where alerts go (None: there is no configuration to
    say so). Raises ConfigError and ValueError."""
    if args.config_file:
        config = load_config(args.config_file)
        return list(config.scrape_configs), args.rules or list(config.rule_files), config.alerting.alertmanagers
    return target_jobs(args.target), args.rules, None


def _rules_elsewhere(args: argparse.Namespace) -> Callable[[], tuple[EngineReport, ...]]:
    """What asks the datasources of the configuration about their rules, unless `--rules` names others. Raises
    ConfigError."""
    config = load_config(args.config_file) if args.config_file and not args.rules else None
    if config is None or not config.datasources:
        return lambda: ()
    # Imported here: few configurations have a datasource.
    from rulepush.cli.ask_engines import ask_engines, rules_of

    rules = {source: rules_of(source.rule_files) for source in config.datasources}
    return lambda: asyncio.run(ask_engines(config, rules))


def _names_of_packs() -> dict[str, frozenset[str]]:
    """The names of the rules of each pack."""
    return {name: frozenset(rule.name for rule in _rules([str(pack(name))])) for name in _PACKS}


def _rules(files: list[str]) -> list[LiveRule]:
    missing = [Problem(file, 0, "does not exist") for file in files if not Path(file).exists()]
    if missing:
        raise ConfigError(missing)
    groups = load_rule_files(files)
    return live_rules(groups, lambda file: Path(file).read_text(encoding="utf-8").splitlines())
