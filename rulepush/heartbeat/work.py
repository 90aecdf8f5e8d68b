"""Whether rulepush can tell of alerts now. Pure: times are arguments, in ms since the epoch, 0 for never.

A heartbeat is for what no alert can tell: that none is found any more (nothing is scraped, nothing is evaluated, or
every rule of a group fails), or that none is delivered. A target that is down, a discovery that fails, an Alertmanager
of two that is down are no reasons to withhold it: alerts tell of these.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from rulepush.delivery import DeliveryStatus

MISSED_INTERVALS: Final = 3
FAILED_EVALUATIONS: Final = 3  # of every rule of a group, one after the other
# What comes more seldom is not waited for after a start: the receiver would take the silence for a failure.
FIRST_ROUND_MS: Final = 5 * 60_000
FRESH_MS: Final = 10_000  # an Alertmanager that accepted alerts so lately need not be asked
ACCEPTED_LATELY_MS: Final = 5 * 60_000  # firing alerts are sent again every minute


class FaultKind(Enum):
    """What does not work."""

    STARTING = "starting"
    EVALUATION = "evaluation"
    RULES = "rules"
    SCRAPING = "scraping"
    DELIVERY = "delivery"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True)
class WorkFault:
    """Why no heartbeat is sent. `text` is in words, and the same as long as the reason is."""

    kind: FaultKind
    text: str


@dataclass(frozen=True, slots=True)
class GroupWork:
    """A rule group. `evaluated_at`: the last time; `failing`: the error, where every rule failed the last times."""

    name: str
    interval_ms: int
    evaluated_at: int
    failing: str = ""


@dataclass(frozen=True, slots=True)
class JobWork:
    """A job with targets. `scraped_at`: when one of them was last, whether it answered or not."""

    name: str
    interval_ms: int
    scraped_at: int


@dataclass(frozen=True, slots=True)
class WorkFacts:
    """`since`: the start, the last reload, or when the clock was last set, whichever is the latest: what happened
    before counts for nothing, and what did not happen is counted from then on. `wait_ms`: how long scrapes may take,
    for which evaluations wait."""

    groups: Sequence[GroupWork]
    jobs: Sequence[JobWork]
    since: int
    wait_ms: int


def work_fault(facts: WorkFacts, now: int, *, started: bool) -> WorkFault | None:
    """What does not work at `now`, None when all does. `started`: the first round was complete before."""
    for group in facts.groups:
        limit = MISSED_INTERVALS * group.interval_ms + facts.wait_ms
        if now - max(group.evaluated_at, facts.since) > limit:
            return WorkFault(FaultKind.EVALUATION, f"rule group {group.name!r} is not evaluated")
    for job in facts.jobs:
        limit = MISSED_INTERVALS * job.interval_ms + facts.wait_ms
        if now - max(job.scraped_at, facts.since) > limit:
            return WorkFault(FaultKind.SCRAPING, f"job {job.name!r} is not scraped")
    if not started:
        moments = [(g.interval_ms, g.evaluated_at) for g in facts.groups]
        moments += [(j.interval_ms, j.scraped_at) for j in facts.jobs]
        if any(interval <= FIRST_ROUND_MS and not at for interval, at in moments):
            return WorkFault(FaultKind.STARTING, "the first round of scrapes and evaluations is not over")
    for group in facts.groups:
        if group.failing:
            return WorkFault(FaultKind.RULES, f"every rule of group {group.name!r} fails: {group.failing}")
    return None


def all_failing(recent: Iterable[Sequence[str]]) -> str:
    """An error, where every rule of a group failed at each of its last evaluations, else "". `recent` are the errors of
    each rule's evaluations, oldest first, "" for a good one."""
    last = [errors[-FAILED_EVALUATIONS:] for errors in recent]
    if not last or not all(errors and all(errors) for errors in last):
        return ""
    return last[0][-1]


class Takes(Enum):
    """Whether an Alertmanager takes alerts, as far as its deliveries tell."""

    YES = "yes"
    NO = "no"
    ASK = "ask"  # nothing was sent lately, for nothing fires


def takes_alerts(status: DeliveryStatus, now: int) -> Takes:
    """By what became of the last alerts. What waits is tried again and again, and so tells by itself; without that,
    what failed long ago tells nothing."""
    if status.failing:
        return Takes.NO if status.waiting else Takes.ASK
    return Takes.YES if now - status.last_success <= FRESH_MS else Takes.ASK


def answer_counts(status: DeliveryStatus, http_status: int, now: int) -> bool:
    """Whether it counts that an Alertmanager answered with this HTTP status when it was asked, but told nothing: not
    where it accepted alerts lately, for there are receivers that know nothing else. 0: nothing answered."""
    lately = not status.failing and now - status.last_success <= ACCEPTED_LATELY_MS
    return not (lately and 0 < http_status < 500)


def delivery_fault(reasons: Sequence[tuple[str, str]]) -> WorkFault | None:
    """Alerts are delivered while one Alertmanager of a cluster takes them. `reasons` are (URL, why it takes none), of
    all of them where none does."""
    if not reasons:
        return WorkFault(FaultKind.DELIVERY, "no Alertmanager is known: its discovery is empty")
    url, why = reasons[0]
    others = len(reasons) - 1
    more = f", nor do the {others} others" if others > 1 else ", nor does the other" if others else ""
    return WorkFault(FaultKind.DELIVERY, f"{url} takes no alerts{more}: {why}")
