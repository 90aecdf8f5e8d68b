"""`rulepush check config`: the problems of a configuration and of the files it refers to, or a summary of it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence

from rulepush.cli.options import DEFAULT_LINT, LINT_EXIT, RULE_LINTS, Subparsers, add_command, add_lint_fatal
from rulepush.cli.terminal import Ink, inked, terminal_text
from rulepush.config import Config, examine_config
from rulepush.config.references import check_references
from rulepush.config.sections import AlertmanagerConfig, KeepMode, ScrapeConfig
from rulepush.discovery.groups import ADDRESS, SdConfig
from rulepush.discovery.static import StaticConfig
from rulepush.errors import Problem
from rulepush.model.durations import format_duration
from rulepush.model.labels import Labels
from rulepush.notifier.endpoints import SCHEME, endpoints
from rulepush.relabel.relabel import RelabelConfig, relabel
from rulepush.scrape.job import job_of
from rulepush.scrape.target import build_targets, shared_label_warnings, with_defaults


def add_parser(subparsers: Subparsers[argparse.ArgumentParser]) -> None:
    """promtool's flags."""
    p = add_command(
        subparsers,
        "config",
        """Check if configuration files are valid, with the files they refer to.

Prints every problem with file and line; of a valid file what is scraped, where alerts are sent, and which series are
kept. With --live every target of a valid file is scraped once, and every Alertmanager asked for its status, found and
reached as `rulepush run` does it: where one does not answer, or cannot take alerts, the exit code is 1. Nothing is
sent, so remote writes and Pushgateways are not asked.""",
        {
            0: "All files are valid.",
            1: "At least one file is not valid.",
            LINT_EXIT: "All are valid, but with --lint-fatal a lint check found something.",
        },
        ["rulepush check config prometheus.yml", "rulepush check config --live prometheus.yml"],
    )
    p.add_argument("files", nargs="+", metavar="FILE", help="Configuration files to check.")
    what = p.add_mutually_exclusive_group()
    what.add_argument(
        "--live", action="store_true", help="Ask the targets and the Alertmanagers, too, whether they answer."
    )
    what.add_argument(
        "--syntax-only", action="store_true", help="Check only the configuration file, not the files it refers to."
    )
    p.add_argument("--lint", choices=RULE_LINTS, default=DEFAULT_LINT, help="Lint checks to apply to the rules.")
    add_lint_fatal(p)
    p.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """0 when every file is valid, 1 when one is not, 3 with --lint-fatal when a lint check finds something."""
    codes = [_check(path, args) for path in args.files]
    return next((code for code in (1, LINT_EXIT) if code in codes), 0)


def _check(path: str, args: argparse.Namespace) -> int:
    config, problems = examine_config(path)
    if args.syntax_only:
        if problems:
            return _failed(path, problems)
        print(inked(f"{path}: the syntax is valid", Ink.GOOD, sys.stdout))
        return 0
    of_references, warnings = check_references(config)
    lines, of_rules, rule_warnings, lint = _rules(config, args.lint)
    of_targets, target_warnings = ([], []) if problems else _check_static_targets(config)
    problems += of_references + of_targets + of_rules
    noted = (Problem(path, 0, w) for w in (*config.warnings, *target_warnings))
    for warning in (*warnings, *noted, *rule_warnings, *lint):
        print(inked(f"warning: {warning}", Ink.WARNING, sys.stderr), file=sys.stderr)
    if problems:
        return _failed(path, problems)
    print(inked(f"{path}: valid", Ink.GOOD, sys.stdout))
    for line in (*_jobs(config), *_alertmanagers(config), *_sending(config), *_recording(config), *lines):
        print(f"  {line}")
    if config.ignored:
        print("  ignored, they change no alert: " + ", ".join(config.ignored))
    if args.live and not _check_live(config):
        return 1
    return LINT_EXIT if lint and args.lint_fatal else 0


def _check_live(config: Config) -> bool:
    """Print what targets and Alertmanagers answer; whether all is well with them."""
    # Imported here: only --live needs the network.
    from rulepush.cli.live import ask_all
    from rulepush.livecheck.alertmanagers import alertmanager_lines, alertmanagers_failed
    from rulepush.livecheck.report import target_lines

    asked = ask_all(config)
    for line in (*target_lines(asked.targets, asked.silent), *alertmanager_lines(asked.alertmanagers)):
        print(terminal_text(f"  {line}"))
    failed = sum(target.trouble is not None for target in asked.targets)
    silent = sum(not job.meant and not job.in_part for job in asked.silent)
    in_part = sum(job.in_part for job in asked.silent)
    deaf = sum(answer.failed for answer in asked.alertmanagers)
    faults = [
        f"{failed} of {_number(len(asked.targets), 'target')} failed" if failed else "",
        f"{_number(silent, 'job has', 'jobs have')} no targets" if silent else "",
        f"{_number(in_part, 'job lacks', 'jobs lack')} targets perhaps" if in_part else "",
        f"{deaf} of {_number(len(asked.alertmanagers), 'Alertmanager')} cannot take alerts" if deaf else "",
        "no Alertmanager is left by relabel_configs" if not deaf and alertmanagers_failed(asked.alertmanagers) else "",
    ]
    text = ", ".join(filter(None, faults))
    if text:
        print(inked(f"{config.path}: {text}", Ink.ERROR, sys.stderr), file=sys.stderr)
    return not text


def _failed(path: str, problems: Sequence[Problem]) -> int:
    for problem in problems:
        print(inked(str(problem), Ink.ERROR, sys.stderr), file=sys.stderr)
    print(f"{path}: {len(problems)} problem{'s' if len(problems) > 1 else ''}", file=sys.stderr)
    return 1


def _jobs(config: Config) -> Iterable[str]:
    jobs = config.scrape_configs
    yield f"{_number(len(jobs), 'job')}"
    for job in jobs:
        every = f"every {format_duration(job.scrape_interval_ms)}"
        yield f"  {job.job_name}: {_discovered(job.sd_configs, _kept_targets(job))}, {every}"


def _alertmanagers(config: Config) -> Iterable[str]:
    managers = config.alerting.alertmanagers
    yield f"{_number(len(managers), 'Alertmanager entry', 'Alertmanager entries')}" + (
        "" if managers else ": alerts are only logged"
    )
    for manager in managers:
        yield f"  {_discovered(manager.sd_configs, _kept_alertmanagers(manager))}, {manager.scheme}"


def _discovered(configs: Sequence[SdConfig], kept: int) -> str:
    """`3 static targets (1 dropped by relabelling), dns discovery`. `kept` of the static targets are used."""
    found = _static_targets(configs)
    parts = []
    if found:
        dropped = f" ({len(found) - kept} dropped by relabelling)" if kept < len(found) else ""
        parts.append(_number(len(found), "static target") + dropped)
        if len(found) <= 3 and not dropped:
            parts[-1] = ", ".join(t.get(ADDRESS) for t in found)
    kinds = sorted({c.kind for c in configs if not isinstance(c, StaticConfig)})
    parts += [f"{kind} discovery" for kind in kinds]
    return ", ".join(parts) or "no targets"


def _static_targets(configs: Sequence[SdConfig]) -> list[Labels]:
    return [t for c in configs if isinstance(c, StaticConfig) for t in c.group().merged()]


def _kept_targets(job: ScrapeConfig) -> int:
    defaults = job_of(job).defaults
    found = [with_defaults(t, defaults) for t in _static_targets(job.sd_configs)]
    return _kept(found, job.relabel_configs)


def _kept_alertmanagers(config: AlertmanagerConfig) -> int:
    found = [Labels({SCHEME: config.scheme, **t.as_dict()}) for t in _static_targets(config.sd_configs)]
    return _kept(found, config.relabel_configs)


def _kept(targets: Iterable[Labels], rules: Sequence[RelabelConfig]) -> int:
    return sum(relabel(target, rules) is not None for target in targets)


def _check_static_targets(config: Config) -> tuple[list[Problem], list[str]]:
    """(problems, warnings) of the static targets after relabelling, as promtool checks them."""
    problems: list[Problem] = []
    targets: list[tuple[Labels, str]] = []
    for config_of_job in config.scrape_configs:
        job = job_of(config_of_job)
        found, dropped = build_targets(_static_targets(config_of_job.sd_configs), job.defaults, job.relabel)
        targets += [(target.labels, target.url) for target in found]
        faults = dict.fromkeys(d.error for d in dropped if d.error)
        problems += [Problem(config.path, 0, f"job {job.name!r}: a target after relabelling: {f}") for f in faults]
    for manager in config.alerting.alertmanagers:
        groups = [c.group() for c in manager.sd_configs if isinstance(c, StaticConfig)]
        faults = dict.fromkeys(endpoints(manager, groups).faults)
        problems += [Problem(config.path, 0, f"alertmanagers: a target after relabelling: {f}") for f in faults]
    return problems, shared_label_warnings(targets)


def _sending(config: Config) -> Iterable[str]:
    for write in config.remote_write:
        yield f"remote write {write.name}: {write.protobuf_message.value}"
    for gateway in config.pushgateways:
        yield f"pushgateway {gateway.name}: jobs {', '.join(gateway.jobs)}"
    for source in config.datasources:
        # Imported here: it brings httpx.
        from rulepush.http_client.client import server_of

        files = _number(len(source.rule_files), "rule file")
        written = f", recorded series and ALERTS go to the remote write {source.write_to}" if source.write_to else ""
        yield f"datasource {source.name}: {server_of(source.url.reveal())}, evaluates {files}{written}"
    for heartbeat in config.heartbeats:
        yield f"heartbeat {heartbeat.name}: every {format_duration(heartbeat.interval_ms)}, {heartbeat.method}"


def _recording(config: Config) -> Iterable[str]:
    record = config.storage.record
    if record is not None:
        bounds = f"for {format_duration(record.retention_ms)}, at most {record.max_bytes >> 20}MB"
        yield f"recorded below --storage.path: every sample, {bounds}"


def _rules(config: Config, lint: str) -> tuple[list[str], list[Problem], list[str], list[str]]:
    """(lines to print, problems, warnings, findings of the lint checks) of the rules."""
    # Imported here: --syntax-only needs no PromQL.
    from rulepush.rules.rulefmt import read_rule_file
    from rulepush.rules.specs import AlertingSpec, demanded, duplicate_rules
    from rulepush.storage.demand import Demand

    files = [read_rule_file(path) for path in config.rule_files]
    elsewhere = [read_rule_file(path) for source in config.datasources for path in source.rule_files]
    in_memory = list(files)
    files += elsewhere
    problems = [p for file in files for p in file.problems]
    warnings = [f"{file.name}: {warning}" for file in files for warning in file.warnings]
    if problems:
        return [], problems, warnings, []
    groups = [group for file in files for group in file.groups]
    rules = [rule for group in groups for rule in group.rules]
    alerts = sum(isinstance(rule, AlertingSpec) for rule in rules)
    lines = [
        f"{_number(len(files), 'rule file')}: {_number(len(groups), 'group')}, "
        f"{_number(alerts, 'alert')}, {_number(len(rules) - alerts, 'recording rule')}"
    ]
    lines += [f"  {file.name}: {_number(file.rule_count, 'rule')}" for file in files]
    demands = demanded([g for file in in_memory for g in file.groups], config.global_.rule_query_offset_ms)
    if config.storage.keep is KeepMode.ALL:
        demand = Demand.keep_all(config.storage.retention_ms, demands)
        lines.append(
            f"kept: every series, for {format_duration(config.storage.retention_ms)}; and for the rules at least:"
        )
    else:
        demand = Demand.of(demands)
        lines.append("kept for the rules, and nothing else:")
    lines += [f"  {kept}" for kept in demand.describe() if kept.selector != "everything"]
    found = duplicate_rules(groups) if lint != "none" else []
    return lines, [], warnings, [f"duplicate rule: {name} {dict(labels)}" for name, labels in found]


def _number(count: int, one: str, many: str = "") -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"
