"""Why a selector has no series, or fewer than it had: from the samples that are kept and what the targets expose."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from rulepush.explain.reasons import Reason, ReasonKind, because, time_text
from rulepush.explain.surroundings import Surroundings, TargetView
from rulepush.livecheck.finding import Finding, FindingKind
from rulepush.livecheck.names import check_selector
from rulepush.livecheck.trees import metric_of
from rulepush.model.arrays import Bools, Ints
from rulepush.model.durations import format_duration
from rulepush.model.labels import INSTANCE, JOB, Labels
from rulepush.model.matcher import Matcher, MatchOp
from rulepush.model.sample import stale_mask
from rulepush.promql.syntax import ast
from rulepush.promql.vectors.windows import row_bounds
from rulepush.storage.selection import Selection

_NAMED: Final = 3  # targets that a reason names
# What `check live` finds also where series exist: nothing writes their value.
_ALSO_WITH_SERIES: Final = frozenset((FindingKind.NEVER_COUNTED,))


@dataclass(frozen=True, slots=True)
class ReadTime:
    """When a selector reads: the newest sample of (first, at], ms."""

    first: int
    at: int


def selector_reasons(
    node: ast.VectorSelector, selection: Selection, read: ReadTime, around: Surroundings
) -> Iterator[Reason]:
    """`selection` holds what is kept of the series, ended or not."""
    alive, newest, stale = newest_of(selection, read)
    yield from _gone(selection, alive, newest, stale, read)
    if alive.any():
        yield from (_found(f) for f in _findings(node, around) if f.kind in _ALSO_WITH_SERIES)
    if len(selection.index):
        yield from _lost_targets(selection, alive, around)
        return
    meant = around.targets_of(node.matchers)
    down = [target_down(target) for target in meant if target.down_since][:_NAMED]
    if metric_of(node) in around.recorded:
        down = []
    none_answers = all(target.down_since for target in meant)
    if none_answers:  # else one that answers would have it, most likely
        yield from down
    yield from _never_there(node, meant, around)
    if not none_answers:
        yield from down


def newest_of(selection: Selection, read: ReadTime) -> tuple[Bools, Ints, Bools]:
    """(alive bool[n], newest int64[n] ms, stale bool[n]) of each series, up to the time of reading; 0: no sample."""
    n = len(selection.index)
    newest, last = np.zeros(n, np.int64), np.zeros(n)
    before = np.broadcast_to(row_bounds(selection.times, selection.counts, read.at), (n,))
    rows = np.flatnonzero(before)
    newest[rows], last[rows] = selection.times[rows, before[rows] - 1], selection.values[rows, before[rows] - 1]
    stale: Bools = stale_mask(last) & (newest > 0)
    return ~stale & (before > 0) & (newest > read.first), newest, stale


def _gone(selection: Selection, alive: Bools, newest: Ints, stale: Bools, read: ReadTime) -> Iterator[Reason]:
    ended = stale & ~alive
    if ended.any():
        yield because(ReasonKind.ENDED, count=int(ended.sum()), time=time_text(int(newest[ended].max())))
    old = ~stale & ~alive
    if old.any():
        lookback = format_duration(read.at - read.first)
        yield because(ReasonKind.TOO_OLD, count=int(old.sum()), lookback=lookback)


def _lost_targets(selection: Selection, alive: Bools, around: Surroundings) -> Iterator[Reason]:
    """The targets whose series are missing: down, or gone."""
    lost = np.flatnonzero(~alive)[:200]
    names = {labels.only((JOB, INSTANCE)) for labels in (selection.index.some(lost) if len(lost) else ())}
    gone = sorted(labels for labels in names if INSTANCE in labels and not around.targets_with(labels))
    down = [t for labels in sorted(names) for t in around.targets_with(labels) if t.down_since]
    yield from (target_down(target) for target in list(dict.fromkeys(down))[:_NAMED])
    if around.targets:
        yield from (because(ReasonKind.TARGET_GONE, labels=labels) for labels in gone[:_NAMED])


def target_down(target: TargetView) -> Reason:
    """That a target does not answer, since when and why."""
    return because(
        ReasonKind.TARGET_DOWN,
        target=f"{target.url} ({target.job})",
        time=time_text(target.down_since),
        error=target.error,
    )


def _never_there(node: ast.VectorSelector, meant: Sequence[TargetView], around: Surroundings) -> Iterator[Reason]:
    """Nothing of it is kept."""
    metric = metric_of(node)
    recorded = around.recorded.get(metric or "")
    if recorded is not None:
        yield because(ReasonKind.RECORDED, rule=recorded.rule, group=recorded.group)
    asked = [m for m in node.matchers if m.name in (JOB, INSTANCE) and m.op in (MatchOp.EQUAL, MatchOp.REGEX)]
    if around.targets and not meant and recorded is None:
        yield because(ReasonKind.NO_TARGET, labels=" and ".join(map(str, asked)))
    scraped = [target for target in meant if target.scraped and not target.down_since]
    seen = around.seen
    if around.targets and not any(target.scraped for target in around.targets):
        yield because(ReasonKind.NOT_SCRAPED)
    if seen is None:
        return
    if metric in around.relabelled and not seen.series(metric or ""):
        yield because(ReasonKind.RELABELLED, where=_where(scraped or meant), metric=metric)
        return
    elif seen.matching(node.matchers):
        yield because(ReasonKind.NOT_KEPT_YET, where=_where(scraped or meant))
        return
    elif metric and recorded is None and scraped and not seen.series(metric):
        yield because(ReasonKind.NOT_SEEN, metric=metric, where=_where(scraped))
    yield from map(_found, _findings(node, around))
    if around.unread:
        yield because(ReasonKind.UNREAD, count=around.unread)


def _findings(node: ast.VectorSelector, around: Surroundings) -> list[Finding]:
    if around.seen is None or not around.seen.answers or around.seen.nothing:
        return []
    return list(dict.fromkeys(check_selector(node, around.seen, around.sources)))


def _found(finding: Finding) -> Reason:
    return because(ReasonKind.FOUND, finding.suggestion, message=finding.message, finding=finding.kind.value)


def _where(targets: Sequence[TargetView]) -> Reason:
    """`target http://n:8848/metrics (nacos)`, or how many there are."""
    if len(targets) == 1:
        return because(ReasonKind.ONE_TARGET, url=targets[0].url, job=targets[0].job)
    jobs = sorted({target.job for target in targets})
    named = ", ".join(jobs[:_NAMED]) + (", ..." if len(jobs) > _NAMED else "")
    return because(ReasonKind.ANY_TARGET, count=len(targets), jobs=named)


def source_missing(source: Labels, matchers: Sequence[Matcher], around: Surroundings) -> Iterator[Reason]:
    """Why the series with these labels may be missing: their target is down, or no longer there. What the labels do not
    say of the target, the matchers of the selector may."""
    targets = [t for t in around.targets_with(source) if t in around.targets_of(matchers)]
    down = [target for target in targets if target.down_since]
    if down:
        yield from map(target_down, down[:_NAMED])
    elif not targets and around.targets and (INSTANCE in source or JOB in source):
        yield because(ReasonKind.TARGET_GONE, labels=source.only((JOB, INSTANCE)))
