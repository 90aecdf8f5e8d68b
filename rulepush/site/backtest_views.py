"""What the backtest page shows of the reports of two versions of a rule: lanes, rows, counts, and what is not known.
Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from rulepush.backtest import BacktestReport, Episode, RuleFailure
from rulepush.history.spans import SpanKind, StateSpan
from rulepush.model.labels import Labels
from rulepush.site.charts import DrawnSpan, DrawnStrip, drawn_strip, drawn_unseen

MAX_LANES: Final = 15
MAX_ROWS: Final = 100
MAX_PENDING_ROWS: Final = 50
MAX_UNKNOWN: Final = 5
_FAR: Final = 3  # an alert that fired counts more than one that was pending


@dataclass(frozen=True, slots=True)
class BacktestLane:
    """An alert over the range: what it went through under the current rule, and under the edited one, each None where
    there is no such version."""

    labels: Labels
    current: DrawnStrip | None
    edited: DrawnStrip | None


@dataclass(frozen=True, slots=True)
class EpisodeRow:
    """An episode; `of` is "current", "edited", or "both" where both versions have it at the same times. Times in ms;
    `lasted` is how long it fired, and how long it was pending where it did not."""

    of: str
    labels: Labels
    pending_since: int
    since_before: bool
    fired_at: int | None
    ended_at: int | None
    lasted: int
    peak: float
    sent: int


@dataclass(frozen=True, slots=True)
class VersionCount:
    """Episodes of one version, and the notifications that they would have sent."""

    fired: int
    pending_only: int
    notifications: int
    failed: int
    failures: Sequence[RuleFailure]
    missing: Sequence[str]


@dataclass(frozen=True, slots=True)
class VersionDifference:
    """Episodes that fired: `gone` are those of the current version of whose time the edited one has none that fired,
    `added` the other way round. Of the rest of the edited version `same` are at the same times, `moved` at others;
    `least` and `most` are by how many ms these fire later (negative: earlier)."""

    gone: int
    added: int
    moved: int
    same: int
    least: int = 0
    most: int = 0


@dataclass(frozen=True, slots=True)
class UnknownTime:
    """Of the time from `start` to `end` (ms) nothing is known. The kind is that of a `Caveat`."""

    kind: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class BacktestOutcome:
    """What came of a backtest from `start` to `end` (ms), of data that go from `recorded[0]` to `recorded[1]`.

    `current` or `edited` is None where there is no such version; `reached` is to where it came (ms) when its limits
    ended it, else None. `rows` are the first of the `fired` episodes, and `pending` of the `pending_only` ones;
    `unknown` are the last of `gaps`. `damage` has a line for each file that could not be read to its end.
    """

    start: int
    end: int
    recorded: tuple[int, int]
    current: VersionCount | None
    edited: VersionCount | None
    difference: VersionDifference | None
    lanes: Sequence[BacktestLane]
    alerts: int
    rows: Sequence[EpisodeRow]
    fired: int
    pending: Sequence[EpisodeRow]
    pending_only: int
    unknown: Sequence[UnknownTime] = ()
    gaps: int = 0
    unseen: Sequence[DrawnSpan] = ()
    reached: int | None = None
    damage: Sequence[str] = field(default=())


def outcome_of(
    current: BacktestReport | None, edited: BacktestReport | None, start: int, end: int, recorded: tuple[int, int]
) -> BacktestOutcome:
    """Of at least one report."""
    report = edited or current
    assert report is not None
    rows = _rows(current, edited)
    lanes = _lanes(current, edited, start, end)
    unknown = [
        UnknownTime(one.kind.value, max(one.start, start), min(one.end, end))
        for one in report.caveats
        if one.start is not None and one.end is not None
    ]
    stopped = [one for one in unknown if one.kind == "stopped"]
    fired = [row for row in rows if row.fired_at is not None]
    pending = [row for row in rows if row.fired_at is None]
    gaps = [one for one in unknown if one.kind == "gap"]
    return BacktestOutcome(
        start=start,
        end=end,
        recorded=recorded,
        current=None if current is None else _count(current),
        edited=None if edited is None else _count(edited),
        difference=None if current is None or edited is None else _difference(current, edited),
        lanes=lanes[:MAX_LANES],
        alerts=len(lanes),
        rows=fired[:MAX_ROWS],
        fired=len(fired),
        pending=pending[:MAX_PENDING_ROWS],
        pending_only=len(pending),
        unknown=gaps[-MAX_UNKNOWN:],
        gaps=len(gaps),
        unseen=drawn_unseen([(one.start, one.end) for one in unknown], start, end),
        reached=None if report.stopped is None else stopped[0].start if stopped else start,
        damage=[one.text for one in report.caveats if one.kind.value == "damaged"],
    )


def _count(report: BacktestReport) -> VersionCount:
    alerts = [rule for rule in report.rules if rule.is_alert]
    return VersionCount(
        sum(rule.fired for rule in alerts),
        sum(rule.pending_only for rule in alerts),
        sum(rule.notifications for rule in alerts),
        sum(rule.failed for rule in report.rules),
        [failure for rule in report.rules for failure in rule.failures],
        list(dict.fromkeys(str(one) for rule in report.rules for one in rule.missing)),
    )


def _difference(current: BacktestReport, edited: BacktestReport) -> VersionDifference:
    """By the alerts, for one long episode of a version may be several short ones of the other."""
    old, new = _fired(current), _fired(edited)
    added = moved = same = 0
    shifts: list[int] = []
    for labels, episodes in new.items():
        for one in episodes:
            met = [other for other in old.get(labels, ()) if _overlap(one, other, edited.until, current.until)]
            if not met:
                added += 1
            elif any((one.fired_at, one.ended_at) == (other.fired_at, other.ended_at) for other in met):
                same += 1
            else:
                moved += 1
                shifts.append((one.fired_at or 0) - min(other.fired_at or 0 for other in met))
    gone = sum(
        not any(_overlap(one, other, current.until, edited.until) for other in new.get(labels, ()))
        for labels, episodes in old.items()
        for one in episodes
    )
    return VersionDifference(gone, added, moved, same, min(shifts, default=0), max(shifts, default=0))


def _fired(report: BacktestReport) -> dict[Labels, list[Episode]]:
    found: dict[Labels, list[Episode]] = {}
    for one in report.fired:
        found.setdefault(one.labels, []).append(one)
    return found


def _overlap(one: Episode, other: Episode, until_one: int, until_other: int) -> bool:
    """Whether they are of the same trouble: pending counts."""
    return one.pending_since <= (other.ended_at or until_other) and other.pending_since <= (one.ended_at or until_one)


def _rows(current: BacktestReport | None, edited: BacktestReport | None) -> list[EpisodeRow]:
    """The newest first."""
    versions = [(name, one) for name, one in (("current", current), ("edited", edited)) if one is not None]
    found: dict[tuple[Labels, int, int | None, int | None], EpisodeRow] = {}
    for name, report in versions:
        for one in report.episodes:
            key = one.labels, one.pending_since, one.fired_at, one.ended_at
            found[key] = _row("both" if key in found else name, one, report.until)
    return sorted(found.values(), key=lambda row: (-row.pending_since, row.labels, row.of))


def _row(of: str, one: Episode, until: int) -> EpisodeRow:
    lasted = one.pending_ms(until) if one.fired_at is None else one.firing_ms(until)
    return EpisodeRow(
        of,
        one.labels,
        one.pending_since,
        one.since_before,
        one.fired_at,
        one.ended_at,
        lasted,
        one.peak,
        one.sent_firing + one.sent_resolved,
    )


def _lanes(current: BacktestReport | None, edited: BacktestReport | None, start: int, end: int) -> list[BacktestLane]:
    """One for each alert; those that fired for longest come first."""
    old, new = _by_alert(current), _by_alert(edited)

    def weight(labels: Labels) -> int:
        return max(_weight(old.get(labels, ())), _weight(new.get(labels, ())))

    def strip(report: BacktestReport | None, spans: Sequence[StateSpan]) -> DrawnStrip | None:
        return None if report is None else drawn_strip(spans, start, end)

    ordered = sorted({*old, *new}, key=lambda labels: (-weight(labels), labels))
    return [BacktestLane(one, strip(current, old.get(one, [])), strip(edited, new.get(one, []))) for one in ordered]


def _by_alert(report: BacktestReport | None) -> dict[Labels, list[StateSpan]]:
    found: dict[Labels, list[StateSpan]] = {}
    if report is not None:
        for one in report.episodes:
            found.setdefault(one.labels, []).extend(_spans(one, report.until))
    return found


def _weight(spans: Iterable[StateSpan]) -> int:
    return sum((span.end - span.start) * (_FAR if span.kind is SpanKind.FIRING else 1) for span in spans)


def _spans(one: Episode, until: int) -> Iterable[StateSpan]:
    ended = until if one.ended_at is None else one.ended_at
    fired = ended if one.fired_at is None else one.fired_at
    if fired > one.pending_since:
        yield StateSpan(one.pending_since, fired, SpanKind.PENDING)
    if one.fired_at is not None:
        yield StateSpan(fired, ended, SpanKind.FIRING)
