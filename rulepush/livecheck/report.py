"""A LiveReport as text for people and as JSON for programs."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from typing import Any

from rulepush.livecheck.alertmanagers import AlertmanagerAnswer, alertmanager_lines
from rulepush.livecheck.analyse import EngineReport, LiveReport, RuleReport
from rulepush.livecheck.finding import Finding, Level
from rulepush.livecheck.kinds import name_of_kinds
from rulepush.livecheck.names import MISSING
from rulepush.livecheck.seen import SilentJob, TargetScrapes, nacos_releases_of, target_kinds

_WORDS = {Level.PROBLEM: "problem", Level.FIRES: "now", Level.NEVER: "never", Level.NOTE: "note"}


def report_text(report: LiveReport, *, verbose: bool = False) -> str:
    """Targets and Alertmanagers, then the findings, then a summary. Notes only with `verbose`."""
    seen = report.seen
    lines = target_lines(seen.answers, seen.silent)
    lines += [f"warning: {warning}" for warning in seen.shared_labels]
    if report.alertmanagers is not None:
        lines += alertmanager_lines(report.alertmanagers)
    lines += [*_chosen(report), *(f"note: {note}" for note in report.notes), ""]
    for rule in report.rules:
        shown = [f for f in rule.findings if verbose or _is_shown(f, rule)]
        if shown:
            lines += [_heading(rule), *(line for finding in shown for line in _finding(finding)), ""]
    for engine in report.engines:
        lines += engine_lines(engine, verbose=verbose)
    # The rules of datasources have their own summary.
    summary = [] if report.engines and not report.rules else [*_summary(report, verbose)]
    return "\n".join([*lines, *summary]).rstrip("\n") + "\n"


def engine_lines(engine: EngineReport, *, verbose: bool = False) -> list[str]:
    """How a datasource is, the findings of its rules, and a summary. Notes only with `verbose`."""
    if engine.error:
        return [f"datasource {engine.name} ({engine.url}): {engine.error}", ""]
    lines = [f"datasource {engine.name} ({engine.url}): ok", ""]
    for rule in engine.rules:
        shown = [f for f in rule.findings if verbose or f.level is not Level.NOTE]
        if shown:
            lines += [_heading(rule), *(line for finding in shown for line in _finding(finding)), ""]
    count = {level: sum(r.level is level for r in engine.rules) for level in Level}
    fine = len(engine.rules) - count[Level.PROBLEM] - count[Level.FIRES]
    text = (
        f"{len(engine.rules)} rules: {count[Level.PROBLEM]} with problems, {count[Level.FIRES]} true now, {fine} fine"
    )
    return [*lines, f"{text} on the datasource {engine.name}", ""]


def _is_shown(finding: Finding, rule: RuleReport) -> bool:
    return _explains(finding, rule) if finding.level is Level.NOTE else not rule.foreign


def _explains(note: Finding, rule: RuleReport) -> bool:
    """Whether a note explains why a rule fires: absent() of what may be a mistake in a name."""
    return rule.level is Level.FIRES and note.kind in MISSING


def target_lines(answers: Iterable[TargetScrapes], silent: Iterable[SilentJob]) -> list[str]:
    """What each target answered, and the jobs without targets, or without some."""
    lacking = ((job, "targets may be missing" if job.in_part else "no targets") for job in silent)
    return [*_targets(answers), *(f"job {job.name}: {what}: {job.reason}" for job, what in lacking)]


def _targets(answers: Iterable[TargetScrapes]) -> Iterator[str]:
    for answer in answers:
        trouble = answer.trouble
        if trouble is None:
            last = answer.scrapes[-1]
            yield f"target {answer.url} ({answer.job}): ok, {len(last.samples)} samples{_kind(answer)}"
        else:
            yield f"target {answer.url} ({answer.job}): {trouble.message}"
            if trouble.suggestion:
                yield f"    {trouble.suggestion}"


def _kind(answer: TargetScrapes) -> str:
    kind = looks_like(answer)
    return f", looks like {kind}" if kind else ""


def looks_like(answer: TargetScrapes) -> str:
    """What kind of application answered, "" when nothing is known."""
    releases = nacos_releases_of(answer)
    return name_of_kinds(target_kinds(answer), releases[2] if releases else "")


def _chosen(report: LiveReport) -> Iterator[str]:
    """The packs, and why there is none: nothing could be told before a target answered."""
    if report.packs is None or report.seen.nothing:
        return
    if report.packs:
        yield f"rules: {', '.join(report.packs)}"
    else:
        yield "rules: none, for no rule pack is for such a target; --rules FILE checks your own"


def _heading(report: RuleReport) -> str:
    rule = report.rule
    where = f"{min(rule.file, os.path.relpath(rule.file), key=len)}:{rule.line}: " if rule.file else ""
    return f"{where}{rule.name}" + (f" (group {rule.group})" if rule.group else "")


def _finding(finding: Finding) -> Iterator[str]:
    yield f"    {_WORDS[finding.level]:<8} {finding.message}"
    if finding.suggestion:
        yield f"{'':<13}{finding.suggestion}"


def _summary(report: LiveReport, verbose: bool) -> Iterator[str]:
    failed = sum(answer.trouble is not None for answer in report.seen.answers)
    deaf = sum(answer.failed for answer in report.alertmanagers or ())
    if not report.rules:
        yield "No target answered, so nothing can be said about the rules." if report.seen.nothing else "No rules."
        return
    yield (
        f"{len(report.rules)} rules: {report.count(Level.PROBLEM)} with problems, "
        f"{report.count(Level.FIRES)} true now, "
        + (f"{never} can never fire on these servers, " if (never := report.count(Level.NEVER)) else "")
        + f"{_fine(report)} fine"
        + (f"; {failed} of {len(report.seen.answers)} targets failed" if failed else "")
        + (f"; {deaf} of {len(report.alertmanagers or ())} Alertmanagers cannot take alerts" if deaf else "")
    )
    notes = sum(f.level is Level.NOTE for r in report.rules for f in r.findings)
    if notes and not verbose:
        yield f"{notes} notes, on what other releases have or what appears with its first event: --verbose shows them"
    short = sum(r.needs_more for r in report.rules)
    if short:
        yield f"{short} rules read ranges or the past: --for 1m scrapes more than once and tells what they see"


def _fine(report: LiveReport) -> int:
    return sum(r.level in (None, Level.NOTE) for r in report.rules)


def as_json(report: LiveReport) -> str:
    """`{"ok", "targets", "jobs_without_targets", "jobs_found_in_part", "alertmanagers", "warnings", "packs", "notes",
    "datasources", "rules", "summary"}`; every finding is there. Without a configuration `alertmanagers` is null."""
    document: dict[str, Any] = {
        "ok": report.ok,
        "targets": [_target_json(answer) for answer in report.seen.answers],
        "jobs_without_targets": [
            {"job": job.name, "reason": job.reason, "meant": job.meant} for job in report.seen.silent if not job.in_part
        ],
        "jobs_found_in_part": [{"job": job.name, "reason": job.reason} for job in report.seen.silent if job.in_part],
        "alertmanagers": None
        if report.alertmanagers is None
        else [_alertmanager_json(a) for a in report.alertmanagers],
        "warnings": list(report.seen.shared_labels),
        "packs": None if report.packs is None else list(report.packs),
        "notes": list(report.notes),
        "datasources": [_engine_json(engine) for engine in report.engines],
        "rules": [_rule_json(rule) for rule in report.rules],
        "summary": {
            "rules": len(report.rules),
            "problems": report.count(Level.PROBLEM),
            "true_now": report.count(Level.FIRES),
            "never": report.count(Level.NEVER),
            "fine": _fine(report),
            "targets_failed": sum(answer.trouble is not None for answer in report.seen.answers),
        },
    }
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"


def _target_json(answer: TargetScrapes) -> dict[str, Any]:
    last, trouble = answer.scrapes[-1], answer.trouble
    found: dict[str, Any] = {"job": answer.job, "url": answer.url, "labels": answer.labels.as_dict()}
    found |= {"ok": trouble is None, "samples": len(last.samples), "looks_like": looks_like(answer)}
    if trouble is not None:
        found |= {"error": trouble.message, "suggestion": trouble.suggestion}
    return found


def _engine_json(engine: EngineReport) -> dict[str, Any]:
    found: dict[str, Any] = {"name": engine.name, "url": engine.url, "ok": engine.ok, "error": engine.error}
    return {**found, "rules": [_rule_json(rule) for rule in engine.rules]}


def _alertmanager_json(answer: AlertmanagerAnswer) -> dict[str, Any]:
    return {"url": answer.where, "ok": not answer.failed, "version": answer.version, "error": answer.fault}


def _rule_json(report: RuleReport) -> dict[str, Any]:
    rule = report.rule
    return {
        "name": rule.name,
        "type": "alerting" if rule.alert else "recording",
        "group": rule.group,
        "file": rule.file,
        "line": rule.line,
        "expr": rule.query.text,
        "level": report.level.value if report.level else "ok",
        "needs_more_scrapes": report.needs_more,
        "findings": [
            {"kind": f.kind.value, "level": f.level.value, "message": f.message, "suggestion": f.suggestion}
            for f in report.findings
        ],
    }
