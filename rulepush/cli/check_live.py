"""`rulepush check live`: report rules that can never fire on the real targets."""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from rulepush import __version__
from rulepush.cli.options import Subparsers, add_command, add_config_file
from rulepush.cli.progress import ProgressLine, elapsing, shown_progress
from rulepush.cli.terminal import Ink, InkRules, coloured, inked, terminal_text
from rulepush.clock import Clock, SystemClock
from rulepush.config import load_config
from rulepush.config.sections import AlertmanagerConfig, ScrapeConfig
from rulepush.discovery.groups import Environment
from rulepush.discovery.static import StaticConfig
from rulepush.errors import ConfigError, Problem
from rulepush.http_client.config import BasicAuth, HTTPClientConfig
from rulepush.livecheck import LiveData, LiveRule, SilentJob, TargetScrapes, analyse, live_rules
from rulepush.livecheck.alertmanagers import AlertmanagerAnswer
from rulepush.livecheck.fetch import Visit, environment, visit_jobs
from rulepush.livecheck.report import as_json, report_text
from rulepush.model.durations import parse_duration
from rulepush.model.labels import EMPTY_LABELS
from rulepush.model.secret import Secret
from rulepush.nacos.diagnose import NACOS_PATH
from rulepush.notifier.visit import visit_alertmanagers
from rulepush.packs import pack
from rulepush.rules.rulefmt import load_rule_files

NACOS_PORT = 8848
_STEP_S = 15.0
_INKS: Final[InkRules] = (
    (re.compile(r"target .*: (ok), \d+ samples"), Ink.GOOD),
    (re.compile(r"Alertmanager \S+: (ok)\b"), Ink.GOOD),
    (re.compile("(?:target|job|Alertmanager) .*"), Ink.ERROR),
    (re.compile("no Alertmanager is configured.*"), Ink.WARNING),
    (re.compile("warning: .*"), Ink.WARNING),
    (re.compile(r"    (problem)\b"), Ink.ERROR),
    (re.compile(r"    (now)\b"), Ink.WARNING),
    (re.compile(r"    (never|note)\b"), Ink.FAINT),
    (re.compile(r"\d+ rules: (0 with problems)"), Ink.GOOD),
    (re.compile(r"\d+ rules: (\d+ with problems)"), Ink.ERROR),
    (re.compile("No target answered.*"), Ink.ERROR),
)
_PACKS = ("nacos", "jvm", "spring-boot")


def add_parser(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """One of --config.file and --target."""
    p = add_command(
        subparsers,
        "live",
        """Scrape the real targets and report rules that can never fire on them, and why.

A rule that would fire now is not a problem. With --config.file the Alertmanagers are asked, too, whether they can take
alerts: for their status, as the notifier would reach them. Nothing is sent.""",
        {
            0: "Every target answered, every Alertmanager can take alerts, and no rule has a problem.",
            1: "A target did not answer, a job has no targets, an Alertmanager cannot take alerts, or a rule has a "
            "problem.",
        },
        [
            "rulepush check live --config.file prometheus.yml --for 1m",
            "rulepush check live --target http://nacos:8848 --rules my-rules.yml",
        ],
    )
    source = p.add_mutually_exclusive_group(required=True)
    add_config_file(source, "Configuration file whose targets are scraped.")
    source.add_argument(
        "--target",
        metavar="URL",
        help="URL of a single target to scrape; can contain user:password@. Without a path it is taken for a Nacos "
        "server, on port 8848 unless given. Labels that a configuration would add, such as job, are not checked.",
    )
    p.add_argument(
        "--rules",
        nargs="+",
        default=[],
        metavar="FILE",
        help="Rule files to check. Defaults to those of the configuration; with --target to the rule packs nacos, jvm "
        "and spring-boot.",
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
        span_s = parse_duration(args.span) / 1000
        jobs, files, alertmanagers = _jobs_and_rule_files(args)
        rules = _rules(files)
    except ConfigError as e:
        print(inked(str(e), Ink.ERROR, sys.stderr), file=sys.stderr)
        return 1
    except ValueError as e:
        print(inked(f"rulepush: {e}", Ink.ERROR, sys.stderr), file=sys.stderr)
        return 1
    with shown_progress(sys.stderr) as line:
        if args.format == "text" and span_s and not line.visible:
            print(f"scraping for {args.span} ...", file=sys.stderr)
        (answers, silent), asked = asyncio.run(_look(jobs, span_s, alertmanagers, line, f"scraping for {args.span}"))
    report = analyse(rules, LiveData(answers, labels_known=args.target is None, silent=silent), asked)
    if args.format == "json":
        print(as_json(report), end="")
    else:
        print(coloured(terminal_text(report_text(report, verbose=args.verbose)), _INKS, sys.stdout), end="")
    return 0 if report.ok else 1


async def _look(
    jobs: list[ScrapeConfig],
    span_s: float,
    alertmanagers: Sequence[AlertmanagerConfig] | None,
    line: ProgressLine,
    what: str,
) -> tuple[tuple[list[TargetScrapes], list[SilentJob]], tuple[AlertmanagerAnswer, ...] | None]:
    clock = SystemClock()
    async with elapsing(line, span_s, what):
        scraping = scrape(jobs, span_s, clock)
        if alertmanagers is None:
            return await scraping, None
        return await asyncio.gather(scraping, visit_alertmanagers(alertmanagers, _environment(clock)))


def _environment(clock: Clock) -> Environment:
    return environment(clock, f"rulepush/{__version__}")


async def scrape(jobs: list[ScrapeConfig], span_s: float, clock: Clock) -> tuple[list[TargetScrapes], list[SilentJob]]:
    """Scrape the targets of the jobs: once, or with a span at least twice, at most 15 s apart. Returns the scrapes, and
    the jobs without targets."""
    times = 1 + max(1, round(span_s / _STEP_S)) if span_s else 1
    visit = Visit(times, span_s / (times - 1) if times > 1 else 0.0)
    return await visit_jobs(jobs, _environment(clock), visit)


def _jobs_and_rule_files(
    args: argparse.Namespace,
) -> tuple[list[ScrapeConfig], list[str], Sequence[AlertmanagerConfig] | None]:
    """The jobs, the rule files, and where alerts go (None: there is no configuration to say so). Raises ConfigError and
    ValueError."""
    if args.config_file:
        config = load_config(args.config_file)
        return list(config.scrape_configs), args.rules or list(config.rule_files), config.alerting.alertmanagers
    return [target_job(args.target)], args.rules or [str(pack(name)) for name in _PACKS], None


def target_job(url: str) -> ScrapeConfig:
    """A job with this one target. Raises ValueError when it is not a URL."""
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise ValueError(f"--target: {url!r} is not a URL such as http://127.0.0.1:8848{NACOS_PATH}")
    address = parts.netloc.rpartition("@")[2]
    is_nacos = parts.path in ("", "/")
    if is_nacos and parts.port is None and parts.scheme == "http":
        address = f"{address.removesuffix(':')}:{NACOS_PORT}"
    credentials = None
    if parts.username is not None:  # which must not appear in a label or in the report
        credentials = BasicAuth(unquote(parts.username), password=Secret(unquote(parts.password or "")))
    params: dict[str, list[str]] = {}
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        params.setdefault(name, []).append(value)
    return ScrapeConfig(
        job_name="nacos",
        scrape_interval_ms=15_000,
        scrape_timeout_ms=10_000,
        scheme=parts.scheme,
        metrics_path=NACOS_PATH if is_nacos else parts.path,
        params=tuple((name, tuple(values)) for name, values in params.items()),
        sd_configs=(StaticConfig((address,), EMPTY_LABELS),),
        http_client=HTTPClientConfig(basic_auth=credentials),
    )


def _rules(files: list[str]) -> list[LiveRule]:
    missing = [Problem(file, 0, "does not exist") for file in files if not Path(file).exists()]
    if missing:
        raise ConfigError(missing)
    groups = load_rule_files(files)
    return live_rules(groups, lambda file: Path(file).read_text(encoding="utf-8").splitlines())
