"""Checks that what a rule selects exists: metrics, labels and label values, against the scrape."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from rulepush.livecheck.finding import Finding, FindingKind, Level, note, problem
from rulepush.livecheck.rules import LiveRule
from rulepush.livecheck.seen import LiveData
from rulepush.livecheck.trees import Ancestors, metric_of, selectors, walk
from rulepush.model.labels import METRIC_NAME, quote_label_value
from rulepush.model.matcher import Matcher, MatchOp
from rulepush.nacos import knowledge
from rulepush.promql.syntax import ast

_WRITTEN_BY_RULES: Final = frozenset(("ALERTS", "ALERTS_FOR_STATE"))
_SHOWN: Final = 8  # label values listed in a message

# The kinds that mean: what the rule reads does not exist.
MISSING: Final = frozenset(
    (
        FindingKind.UNKNOWN_METRIC,
        FindingKind.UNKNOWN_LABEL,
        FindingKind.UNKNOWN_VALUE,
        FindingKind.NO_SUCH_SERIES,
        FindingKind.NO_BUCKETS,
    )
)


Recorded = Mapping[str, frozenset[str]]
"""What recording rules write: the name, and the metrics that it is made of."""


def check_names(rule: LiveRule, seen: LiveData, recorded: Recorded) -> Iterator[Finding]:
    """Every selector of the rule, each finding once."""
    by_selector = [
        (above, list(check_selector(selector, seen, recorded))) for selector, above in selectors(rule.query.root)
    ]
    reported: set[Finding] = set()
    for above, findings in by_selector:
        for finding in findings:
            softened = _soften(finding, above, seen, recorded)
            if softened.kind is FindingKind.NOT_THERE_YET and _counts_first(rule):
                softened = replace(softened, suggestion="")
            if softened not in reported:
                reported.add(softened)
                yield softened


def check_selector(selector: ast.VectorSelector, seen: LiveData, recorded: Recorded) -> Iterator[Finding]:
    """One selector on its own."""
    metric = metric_of(selector)
    if metric is None:
        if not seen.matching(selector.matchers):
            yield problem(FindingKind.NO_SUCH_SERIES, f"nothing matches {selector}")
        return
    if metric in recorded:
        for matcher in selector.matchers:
            yield from _never_recorded(recorded[metric], matcher, seen)
        return
    if metric in _WRITTEN_BY_RULES:
        return
    if not seen.series(metric):
        never = [f for m in selector.matchers for f in _never_counted(metric, m, seen)]
        yield from never or (unknown_metric(selector, metric, seen),)
        return
    yield from _never_written(metric, "", [""], metric, seen)
    wrong = [f for m in selector.matchers if m.name != METRIC_NAME for f in _check_matcher(selector, metric, m, seen)]
    yield from wrong
    if not wrong and not seen.matching(selector.matchers):
        yield _no_such_combination(metric, selector, seen)


def unknown_metric(selector: ast.VectorSelector, metric: str, seen: LiveData) -> Finding:
    """Why a metric may be missing, the most particular reason first."""
    nacos = knowledge.is_nacos(seen.metric_names)
    missing = f"no target exposes {metric}"
    if nacos and (never := knowledge.find(knowledge.NOT_OF_NACOS, metric)):
        return problem(
            FindingKind.UNKNOWN_METRIC, f"{missing}: {never}", "Remove the rule, or keep it for other applications."
        )
    base = metric.removesuffix("_bucket")
    if base != metric and (seen.series(f"{base}_count") or seen.series(f"{base}_sum")):
        fix = knowledge.find(knowledge.SETTINGS, metric) or (
            f"Publish a histogram in the application, or use rate({base}_sum[5m]) / rate({base}_count[5m])."
        )
        return problem(
            FindingKind.NO_BUCKETS, f"{base} has no buckets, only _count and _sum: {metric} does not exist", fix
        )
    about_nacos = metric.startswith(("nacos_", "grpc_server_", "config_change", "service_change"))
    if releases := knowledge.find(knowledge.RELEASES, metric):
        if not about_nacos or nacos:
            return note(FindingKind.OTHER_RELEASE, f"{missing}: it exists in {releases}, and this one is another")
    elif (lazy := knowledge.find(knowledge.LAZY, metric)) and (not about_nacos or nacos):
        return note(FindingKind.NOT_THERE_YET, f"{metric} is not there yet: {lazy}", _first_event(selector, metric))
    # A Nacos server that answers exposes all metrics of its release.
    if seen.any_trouble and not (about_nacos and nacos):
        return note(FindingKind.NOT_THERE_YET, f"{missing}, but some target could not be scraped")
    suggestion = _instead_of(metric, seen, nacos)
    if about_nacos and not nacos:
        missing += ", and none of them looks like a Nacos server"
    elif metric.startswith("nacos_"):
        missing += ", nor does any release of Nacos"
    return problem(FindingKind.UNKNOWN_METRIC, missing, suggestion)


def _instead_of(metric: str, seen: LiveData, nacos: bool) -> str:
    if nacos and (meant := knowledge.find(knowledge.MEANT, metric)):
        return f"Use {meant}."
    if setting := knowledge.find(knowledge.SETTINGS, metric):
        return setting
    if meant := knowledge.find(knowledge.MEANT, metric):
        return f"Use {meant}."
    longer = [name for name in seen.metric_names if name.startswith(metric + "_")]
    near = longer or difflib.get_close_matches(metric, seen.metric_names, n=3, cutoff=0.75)
    return f"Did you mean {' or '.join(near[:3])}?" if near else ""


def _counts_first(rule: LiveRule) -> bool:
    """Whether the rule itself handles a series that did not exist a while ago: `x unless x offset 5m`."""
    return any(
        isinstance(node, ast.Binary)
        and node.op == "unless"
        and isinstance(past := ast.unwrap(node.rhs), ast.VectorSelector)
        and past.offset_ms > 0
        for node, _ in walk(rule.query.root)
    )


def _first_event(selector: ast.VectorSelector, metric: str) -> str:
    """increase() sees a series only from its second sample on."""
    if not metric.endswith(("_total", "_count")):
        return ""
    return f"rate() and increase() miss its first event; to count it, add: or ({selector} unless {selector} offset 5m)"


def _check_matcher(selector: ast.VectorSelector, metric: str, matcher: Matcher, seen: LiveData) -> Iterator[Finding]:
    """One matcher that asks for a label; those that an absent label satisfies cannot be wrong."""
    if matcher.matches_empty:
        return
    values = seen.values_of(metric, matcher.name)
    if any(matcher.matches(value) for value in values):
        yield from _never_counted(metric, matcher, seen)
        return
    if not values:
        yield _unknown_label(metric, matcher, seen)
        return
    asked = _asked_values(matcher)
    if len(asked) == 1 and (never := list(_never_counted(metric, matcher, seen))):
        yield from never
        return
    for value in asked:
        # A spelling that differs in case only is a mistake, even where any new value could still come.
        twin = next((v for v in values if v.lower() == value.lower()), None)
        releases = knowledge.find(knowledge.RELEASES, metric, matcher.name, value)
        if twin is not None:
            yield problem(
                FindingKind.UNKNOWN_VALUE,
                f"{metric} has no {matcher}: the value is spelled {quote_label_value(twin)} here",
                f"Use {matcher.name}=~{quote_label_value(f'{re.escape(twin)}|{re.escape(value)}')}"
                " to be right for both.",
            )
        elif releases:
            yield note(
                FindingKind.OTHER_RELEASE,
                f"{metric} has no {matcher} here: it exists in {releases}, and this is another",
            )
        elif lazy := knowledge.find(knowledge.LAZY, metric, matcher.name, value):
            yield note(
                FindingKind.NOT_THERE_YET, f"{metric} has no {matcher} yet: {lazy}", _first_event(selector, metric)
            )
        else:
            yield _unknown_value(metric, matcher, value, values, seen)


def _never_counted(metric: str, matcher: Matcher, seen: LiveData) -> Iterator[Finding]:
    """The finding when nothing writes any of the series that the matcher names."""
    if matcher.op in (MatchOp.EQUAL, MatchOp.REGEX):
        yield from _never_written(metric, matcher.name, _asked_values(matcher), f"{metric}{{{matcher}}}", seen)


def _never_recorded(sources: frozenset[str], matcher: Matcher, seen: LiveData) -> Iterator[Finding]:
    """A recorded series keeps labels of its inputs: check the one metric that has, or would have, this value."""
    found = {source: list(_never_counted(source, matcher, seen)) for source in sources}
    shown = [s for s in sources if not found[s] and any(matcher.matches(v) for v in seen.values_of(s, matcher.name))]
    concerned = [findings for findings in found.values() if findings]
    if len(concerned) == 1 and not shown:
        yield from concerned[0]


def _never_written(metric: str, label: str, values: Sequence[str], what: str, seen: LiveData) -> Iterator[Finding]:
    """Checked against the releases of the scraped servers: one that may write it is enough."""
    rows = [knowledge.never_written(metric, label, value) for value in values]
    releases = seen.nacos_releases
    row = rows[0]
    if row is not None and None not in rows:
        names = " and ".join(dict.fromkeys(name for _, _, name in releases))
        here = f", and this is {names}" if names and row.since > (0, 0, 0) else ""
        if row.since == (0, 0, 0) or (releases and all(low >= row.since for low, _, _ in releases)):
            yield problem(FindingKind.NEVER_COUNTED, f"{what} never changes: {row.reason}{here}", row.instead)
        elif row.rarely is not None and any(high >= row.rarely for _, high, _ in releases):
            since = ".".join(map(str, row.rarely))
            message = f"{what} may never change: Nacos {since} and later write it only while {row.when}"
            yield note(FindingKind.OTHER_RELEASE, message, row.instead)
    for value in values:
        partly = [knowledge.only_partly(low, metric, label, value) for low, _, _ in releases]
        if partly and all(partly):
            yield note(FindingKind.OTHER_RELEASE, f"{what}: {partly[0]}")


def _asked_values(matcher: Matcher) -> list[str]:
    """The values that a matcher asks for by name: one, or the plain alternatives of a pattern."""
    if matcher.op is MatchOp.EQUAL:
        return [matcher.value]
    parts = matcher.value.strip("()").split("|")
    return parts if all(re.fullmatch(r"[\w -]+", part) for part in parts) else [matcher.value]


def _unknown_label(metric: str, matcher: Matcher, seen: LiveData) -> Finding:
    names = seen.label_names(metric)
    near = difflib.get_close_matches(matcher.name, names, n=1, cutoff=0.75)
    if not seen.labels_known and not near:
        return note(
            FindingKind.TARGET_LABEL,
            f"{metric} has no label {matcher.name} in the body: {matcher} holds only if your configuration adds it",
        )
    has = f"its labels are {', '.join(names)}" if names else "it has no labels"
    return problem(
        FindingKind.UNKNOWN_LABEL,
        f"{metric} has no label {matcher.name}, so {matcher} matches nothing: {has}",
        f"Did you mean {near[0]}?" if near else "",
    )


def _unknown_value(metric: str, matcher: Matcher, value: str, values: Sequence[str], seen: LiveData) -> Finding:
    listed = ", ".join(map(quote_label_value, values[:_SHOWN])) + (", ..." if len(values) > _SHOWN else "")
    if not seen.labels_known and matcher.name in ("job", "instance"):
        return note(FindingKind.TARGET_LABEL, f"{matcher} holds only if your configuration says so")
    meant = knowledge.find(knowledge.MEANT, metric, matcher.name, value)
    near = [meant] if meant in values else difflib.get_close_matches(value, values, n=2, cutoff=0.6)
    if meant and meant not in values:
        releases = knowledge.find(knowledge.RELEASES, metric, matcher.name, meant)
        suggestion = f"It is called {matcher.name}={quote_label_value(meant)}" + (
            f" ({releases})." if releases else "."
        )
    else:
        suggestion = (
            f"Did you mean {' or '.join(f'{matcher.name}={quote_label_value(v)}' for v in near)}?" if near else ""
        )
    if seen.any_trouble:
        return note(
            FindingKind.NOT_THERE_YET, f"{metric} has no {matcher}, but some target could not be scraped", suggestion
        )
    message = f"{metric} has no {matcher}; {matcher.name} is one of {listed}"
    return problem(FindingKind.UNKNOWN_VALUE, message, suggestion)


def _no_such_combination(metric: str, selector: ast.VectorSelector, seen: LiveData) -> Finding:
    """Each matcher matches something, all together match nothing: drop one at a time to find which excludes all."""
    asked = [m for m in selector.matchers if m.name != METRIC_NAME]
    named = [m for m in selector.matchers if m.name == METRIC_NAME]
    suggestion = ""
    for odd in asked:
        found = seen.matching([*named, *(m for m in asked if m is not odd)])
        if found:
            have = sorted({labels.get(odd.name) for labels in found})
            suggestion = f"With {odd.name}={' or '.join(map(quote_label_value, have[:3]))} it exists."
            break
    lazy = any(knowledge.find(knowledge.LAZY, metric, m.name, m.value) for m in asked)
    message = f"no series of {metric} has all of {', '.join(str(m) for m in asked)}"
    if lazy and not suggestion:
        return note(FindingKind.NOT_THERE_YET, message + " yet")
    return problem(FindingKind.NO_SUCH_SERIES, message, suggestion)


def _soften(finding: Finding, above: Ancestors, seen: LiveData, recorded: Recorded) -> Finding:
    """A missing series is not a problem where the rule expects it: in absent(), right of `unless`, and as an
    alternative (`x or y`) of one that exists."""
    if finding.kind is FindingKind.NOT_THERE_YET:
        counted = any(
            isinstance(parent, ast.Call) and parent.name in ("rate", "irate", "increase") for parent, _ in above
        )
        return finding if counted else replace(finding, suggestion="")
    if finding.level is not Level.PROBLEM or finding.kind not in {*MISSING, FindingKind.NEVER_COUNTED}:
        return finding
    for parent, side in above:
        match parent:
            case ast.Call("absent" | "absent_over_time"):
                return note(finding.kind, finding.message, finding.suggestion)
            case ast.Binary("unless") if side == 1:
                return note(finding.kind, finding.message, finding.suggestion)
            case ast.Binary("or", lhs, rhs):
                other = rhs if side == 0 else lhs
                others = [f for selector, _ in selectors(other) for f in check_selector(selector, seen, recorded)]
                # Where it is never counted at all, an alternative for another release does not help either.
                never = finding.kind is FindingKind.NEVER_COUNTED
                if not any(f.level is Level.PROBLEM or (never and f.kind is FindingKind.OTHER_RELEASE) for f in others):
                    return note(finding.kind, finding.message, finding.suggestion)
            case _:
                pass
    return finding
