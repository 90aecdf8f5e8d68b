"""What to say of an answer for which more would be needed than is kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Final, Protocol

from rulepush.model.durations import format_duration
from rulepush.model.matcher import Matcher, Matchers, exact_metric_name, selector_text
from rulepush.model.timestamps import UNKNOWN_TIME, format_rfc3339
from rulepush.storage.demand_history import KeptSince, KeptView

MAX_WARNINGS: Final = 10
_MAX_NAMED: Final = 3  # of the selectors that keep some of what is asked for
_MAX_TEXT: Final = 200
_KEEP_ALL: Final = "set `storage: {record: {}}` in the configuration to record all that is scraped, or `keep: all`"


TimeSpans = Sequence[tuple[int, int]]
"""(from, to) in ms, ascending, with a gap between any two. The last may be (UNKNOWN_TIME, UNKNOWN_TIME): what came
since the one before is missing."""


class SelectorRead(Protocol):
    """One selector of a query, and how far back it reads; `promql.SelectorUse` is one."""

    @property
    def matchers(self) -> Matchers: ...
    @property
    def lookback_ms(self) -> int: ...
    @property
    def ranged(self) -> bool: ...
    @property
    def since_ms(self) -> int | None: ...


def incomplete_query(
    uses: Iterable[SelectorRead],
    view: KeptView,
    start: int,
    end: int,
    lookback_delta_ms: int,
    held: Mapping[Matchers, int] | None = None,
) -> list[str]:
    """The warnings for a query that is evaluated from `start` to `end` (ms), in the order of its selectors; at most
    MAX_WARNINGS, one a selector.

    An instant selector reads the newest sample of the look-back delta. That this time begins before rulepush did is
    no reason to warn: each series that is there has had a scrape since. Nor is it one that samples are kept for less
    long, from the time on at which the newest of each series is there (`held`, in ms, by selector).
    """
    farthest: dict[Matchers, int | None] = {}  # when a selector's oldest missing sample is needed; None: nothing is
    found: dict[Matchers, KeptSince | None] = {}
    warnings = 0
    for use in uses:
        known = use.matchers in found
        if not known and warnings == MAX_WARNINGS:
            continue
        kept = found[use.matchers] if known else found.setdefault(use.matchers, view.kept(use.matchers))
        if kept is None:
            warnings += not known
            farthest[use.matchers] = 0
            continue
        first = (start if use.since_ms is None else use.since_ms) - use.lookback_ms
        last = end if use.since_ms is None else use.since_ms
        before = farthest.setdefault(use.matchers, None)
        slack_ms = 0 if use.ranged else lookback_delta_ms
        begins = None if use.ranged or held is None else held.get(use.matchers)
        has_newest = begins is not None and max(begins, kept.recorded) <= first + slack_ms
        if not has_newest and not kept.holds(first, last, slack_ms):
            warnings += before is None
            farthest[use.matchers] = first if before is None else min(first, before)
    return [
        _too_narrow(matchers, view) if (kept := found[matchers]) is None else _too_late(matchers, kept, first, view)
        for matchers, first in farthest.items()
        if first is not None
    ][:MAX_WARNINGS]


def incomplete_listing(selectors: Sequence[Sequence[Matcher]], view: KeptView, start: int | None) -> list[str]:
    """The warnings for the series (or their labels) that satisfy any of `selectors` and had a sample since `start`
    (ms; None: whenever there was one)."""
    warnings = []
    for matchers in dict.fromkeys(map(tuple, selectors)):
        kept = view.kept(matchers)
        if kept is None:
            warnings.append(_too_narrow(matchers, view))
        elif start is not None and not kept.holds(start, view.now):
            warnings.append(_too_late(matchers, kept, start, view))
        if len(warnings) == MAX_WARNINGS:
            break
    return warnings


def incomplete_past(
    uses: Iterable[SelectorRead],
    reads: Mapping[Matchers, TimeSpans],
    spans: TimeSpans,
    lookback_delta_ms: int,
    now: int,
    settle_ms: int = 0,
) -> list[str]:
    """The warnings for a query with these selectors that has read so much (from and to, inclusive, in ms) of all that
    came in during `spans`; `now` is when that was. A stop that is shorter than the look-back delta is bridged, as
    PromQL does. `settle_ms` after a span began each series that there is has had a sample."""
    ranged = {use.matchers for use in uses if use.ranged}
    warnings = []
    for matchers, read in reads.items():
        # Of an instant selector's series each that there is has a sample soon after the recording began.
        for first, last in sorted(read):
            first -= 1
            slack_ms = 0 if matchers in ranged else lookback_delta_ms
            if last - first <= slack_ms:  # one moment; a range has its beginning at its left edge
                slack_ms = max(0, slack_ms - settle_ms)
            lack = past_lack(spans, first + slack_ms, min(last, now), lookback_delta_ms)
            if lack:
                warnings.append(f"rulepush: incomplete: {_text(matchers)} is read from {_time(first)} on, and {lack}")
                break
    return warnings[:MAX_WARNINGS]


def incomplete_past_listing(
    selectors: Sequence[Sequence[Matcher]], spans: TimeSpans, start: int, end: int, bridged_ms: int, now: int
) -> list[str]:
    """The same for the series that satisfy any of `selectors` and had a sample from `start` to `end` (ms)."""
    lack = past_lack(spans, start, min(end, now), bridged_ms)
    if not lack:
        return []
    read = (f"{_text(matchers)} is read from {_time(start)} on" for matchers in dict.fromkeys(map(tuple, selectors)))
    return [f"rulepush: incomplete: {text}, and {lack}" for text in read][:MAX_WARNINGS]


def past_lack(spans: TimeSpans, first: int, last: int, bridged_ms: int) -> str:
    """What was not recorded of the time from `first` to `last` (ms), in words; "" where nothing is missing. What is
    not longer than `bridged_ms` after the last span does not count: nothing need have come."""
    if first > last:
        return ""
    if not spans or spans[0][0] == UNKNOWN_TIME:
        return "nothing was recorded"
    begin, end = spans[0][0], spans[-1][1]
    if begin > first and begin >= last:
        return f"nothing was recorded before {_time(begin)}"
    lacks = [f"recorded since {_time(begin)}"] if begin > first else []
    for (_, until), (resumed, _) in pairwise(spans):
        if until < last and resumed > first:
            to = "" if resumed == UNKNOWN_TIME else f" to {_time(resumed)}"
            lacks.append(f"not recorded {'from' if to else 'since'} {_time(until)}{to}")
    if last - end > bridged_ms:
        lacks.append(f"not recorded since {_time(end)}")
    named = lacks[:_MAX_NAMED]
    return " and ".join(named) + (f" and {len(lacks) - len(named)} more times not" if len(lacks) > len(named) else "")


def _too_narrow(matchers: Matchers, view: KeptView) -> str:
    """No demand covers the selector."""
    name, demand = exact_metric_name(matchers), view.demand
    if name is not None and not demand.wants_name(name):
        return f"rulepush: no rule needs the metric {name!r}, so its samples are not kept; {_KEEP_ALL}"
    parts = demand.kept_of(matchers)
    if not parts:
        return f"rulepush: no rule needs {_text(matchers)}, so its samples are not kept; {_KEEP_ALL}"
    named = [_text(part) for part in parts[:_MAX_NAMED]]
    if len(parts) > len(named):
        named.append(f"{len(parts) - len(named)} more selectors")
    what = named[0] if len(named) == 1 else f"{', '.join(named[:-1])} and {named[-1]}"
    times = [kept for part in parts[:_MAX_NAMED] if (kept := view.kept(part)) is not None]
    latest = max(times, key=lambda kept: kept.since, default=None)
    since = "" if latest is None else f" (kept {_duration(latest)}since {_time(latest.since)})"
    return f"rulepush: incomplete: of {_text(matchers)} the rules need only {what}{since}; {_KEEP_ALL}"


def _too_late(matchers: Matchers, kept: KeptSince, first: int, view: KeptView) -> str:
    """All series of the selector are kept, but not for long enough."""
    read = f"rulepush: incomplete: {_text(matchers)} is read from {_time(first)} on, and kept {_duration(kept)}"
    if kept.recorded >= kept.dropped:
        return f"{read}since {_time(kept.since)}, when rulepush began to keep it"
    more = "raise `storage.retention`" if view.demand.keeps_all else "set `storage: {record: {}}`"
    return f"{read}since {_time(kept.since)}; {more} in the configuration to keep more"


def _duration(kept: KeptSince) -> str:
    lookback_ms = kept.retention.lookback_ms
    return f"for {format_duration(lookback_ms)}, " if lookback_ms else ""


def _time(ms: int) -> str:
    """With whole seconds: what is certain to the millisecond depends on when the rows were last compacted."""
    try:
        return format_rfc3339(ms // 1000 * 1000)
    except (OverflowError, ValueError, OSError):
        return f"{ms / 1000:.0f}"


def _text(matchers: Sequence[Matcher]) -> str:
    text = selector_text(matchers) if matchers else "all series"
    return text if len(text) <= _MAX_TEXT else text[:_MAX_TEXT] + "..."
