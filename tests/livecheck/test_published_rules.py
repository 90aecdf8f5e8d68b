"""The 49 rules that people publish for Nacos: every broken one is named with its reason, no working one is."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache

import pytest

from rulepush.livecheck import FindingKind, Level, LiveData, LiveRule, RuleReport, analyse
from rulepush.promql import parse_expr
from tests.livecheck.bodies import answer
from tests.needs import shared

# Working rules, by their number in the file (from 0), and why one may doubt it.
WORKING = {
    0,  # up{service=...}: the label that a ServiceMonitor adds
    4, 13, 14, 15, 16, 17,
    5, 9, 10, 11,  # lazily created counters: right, though they miss the first event
    26,  # major collections: the series comes with the first
    47,  # sum of maxima: two pools of -1 shift it by two bytes
    48,
}  # fmt: skip
# The rest is broken. The reasons beyond an unknown metric:
REASONS = {
    1: {FindingKind.INVERTED},
    2: {FindingKind.INVERTED},
    3: {FindingKind.INVERTED},
    6: {FindingKind.RATE_ON_GAUGE},
    7: {FindingKind.NEVER_COUNTED},
    8: {FindingKind.RATE_ON_GAUGE},
    12: {FindingKind.RATE_ON_GAUGE},
    18: {FindingKind.UNKNOWN_VALUE},
    19: {FindingKind.UNKNOWN_VALUE, FindingKind.RATE_ON_GAUGE},
    25: {FindingKind.PER_POOL},
    46: {FindingKind.PER_POOL},
}
# Nacos 2.2 and later never count these; of these only two have no other reason.
NEVER_COUNTED_SINCE_2_2 = {2, 3, 5, 9}
NEGATIVE_MAXIMA = {25, 46}  # with G1, as in the 2.4 sample


@dataclass(frozen=True)
class Published:
    number: int
    name: str
    expr: str
    note: str


@cache
def published() -> tuple[Published, ...]:
    with shared("facts/nacos_published_rules.tsv").open(encoding="utf-8") as f:
        rows = csv.DictReader(f, delimiter="\t")
        return tuple(Published(i, r["alert"], r["expr"], r["note"] or "") for i, r in enumerate(rows))


@cache
def reports(sample: str, labels_known: bool) -> tuple[RuleReport, ...]:
    seen = LiveData([answer(shared(f"samples/{sample}").read_bytes())], labels_known=labels_known)
    rules = [LiveRule(rule.name, parse_expr(rule.expr)) for rule in published()]
    return analyse(rules, seen).rules


def _problems(report: RuleReport) -> set[FindingKind]:
    return {f.kind for f in report.findings if f.level is Level.PROBLEM}


@pytest.mark.parametrize("labels_known", [True, False], ids=["config", "target"])
@pytest.mark.parametrize("sample", ["nacos-1.4-real.prom", "nacos24-synthetic.prom"])
def test_no_working_rule_is_named(sample: str, labels_known: bool) -> None:
    named = {i: r.findings for i, r in enumerate(reports(sample, labels_known)) if i in WORKING and _problems(r)}
    assert set(named) == ({5, 9} if "24" in sample else set())


@pytest.mark.parametrize("labels_known", [True, False], ids=["config", "target"])
@pytest.mark.parametrize("sample", ["nacos-1.4-real.prom", "nacos24-synthetic.prom"])
def test_every_broken_rule_is_named_with_its_reason(sample: str, labels_known: bool) -> None:
    assert len(published()) == 49
    for rule, report in zip(published(), reports(sample, labels_known), strict=True):
        never = rule.number in NEVER_COUNTED_SINCE_2_2 and "24" in sample
        if rule.number in WORKING and not never:
            continue
        named = set() if rule.number in WORKING else {FindingKind.UNKNOWN_METRIC}
        expected = set(REASONS.get(rule.number, named)) | ({FindingKind.NEVER_COUNTED} if never else set())
        if rule.number in NEGATIVE_MAXIMA and "24" in sample:
            expected.add(FindingKind.DIVISION_BY_NEGATIVE)
        assert _problems(report) == expected, rule


def test_every_rule_with_a_note_counts_as_broken() -> None:
    assert {rule.number for rule in published() if rule.note} <= set(range(49)) - WORKING


def test_an_unknown_metric_is_named_in_the_message() -> None:
    for rule, report in zip(published(), reports("nacos24-synthetic.prom", True), strict=True):
        if not rule.note.startswith("UNKNOWN:"):
            continue
        said = " ".join(f.message for f in report.findings)
        for missing in rule.note.split(" ")[0].removeprefix("UNKNOWN:").split(","):
            assert missing in said, rule


def test_every_broken_rule_comes_with_what_to_do_instead() -> None:
    broken = [r for i, r in enumerate(reports("nacos24-synthetic.prom", True)) if i not in WORKING]
    helped = [r for r in broken if all(f.suggestion for f in r.findings if f.level is Level.PROBLEM)]
    assert len(broken) == 35
    assert helped == broken
