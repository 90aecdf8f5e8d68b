"""The rule packs for what answered: those to check, and those that a configuration lacks. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import replace
from typing import Final

from rulepush.livecheck.analyse import LiveReport, RuleReport
from rulepush.livecheck.finding import Level
from rulepush.livecheck.kinds import TargetKind, packs_for
from rulepush.livecheck.report import looks_like
from rulepush.livecheck.seen import TargetScrapes, target_kinds

# The packs that select their job by its name, what must be in it, and what a report calls their targets.
_BY_JOB: Final = (("nacos", "nacos", "a Nacos server"), ("self", "rulepush", "rulepush itself"))


def packs_of(answers: Iterable[TargetScrapes]) -> tuple[str, ...]:
    """The packs that are for one of these targets, the most particular first."""
    kinds: frozenset[TargetKind] = frozenset()
    for answer in answers:
        kinds |= target_kinds(answer)
    return packs_for(kinds)


def lacking_packs(answers: Iterable[TargetScrapes], loaded: Set[str], names: Mapping[str, Set[str]]) -> tuple[str, ...]:
    """A line for each job whose targets have a pack of which nothing is loaded. `loaded`: the names of the rules;
    `names`: those of each pack. Of Nacos, which is a Spring Boot application too, that pack is not missed."""
    lines: dict[str, None] = {}
    for answer in answers:
        kinds = target_kinds(answer)
        wanted = [name for name in packs_for(kinds) if name != "spring-boot" or TargetKind.NACOS not in kinds]
        lacking = [f"rules/{name}.yml" for name in wanted if name in names and loaded.isdisjoint(names[name])]
        if lacking:
            verb = "is" if len(lacking) == 1 else "are"
            what = f"job {answer.job} looks like {looks_like(answer)}; {' and '.join(lacking)} {verb} not loaded"
            lines[what] = None
    return tuple(lines)


def without_foreign(report: LiveReport, names: Mapping[str, Set[str]]) -> LiveReport:
    """With one note in place of a problem for each rule of a pack that is for none of these jobs: no target looks like
    what it is for, and no job is called so."""
    jobs = {answer.job for answer in report.seen.answers} | {job.name for job in report.seen.silent}
    present = packs_of(report.seen.answers)
    notes, rules = list(report.notes), report.rules
    for pack, word, target in _BY_JOB:
        if pack in present or any(word in job.lower() for job in jobs):
            continue
        judged = tuple(_never(r, pack) if r.rule.name in names[pack] else r for r in rules)
        count = sum(r.foreign == pack for r in judged)
        if count:
            notes.append(
                f"{count} rules of rules/{pack}.yml can never fire: they are for {target}, and no job has {word!r} in "
                "its name; leave the file out of rule_files, or add the job"
            )
        rules = judged
    return replace(report, rules=rules, notes=tuple(notes))


def _never(report: RuleReport, pack: str) -> RuleReport:
    if report.level is not Level.PROBLEM:
        return report
    findings = tuple(replace(f, level=Level.NEVER) if f.level is Level.PROBLEM else f for f in report.findings)
    return replace(report, findings=findings, foreign=pack)
