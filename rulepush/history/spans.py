"""From transitions to the spans of time in which an alert was pending, firing or held. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from rulepush.rules.alert import Alert
from rulepush.rules.transition import ChangeReason, Transition


class SpanKind(Enum):
    """The value is the state's name, as in the API; `held` and `kept` lie within a pending or a firing span."""

    PENDING = "pending"
    FIRING = "firing"
    HELD = "held"
    KEPT = "kept"


_STATES: Final = {kind.value: kind for kind in (SpanKind.PENDING, SpanKind.FIRING)}
_WITHIN: Final = {ChangeReason.TARGET_DOWN_HELD: SpanKind.HELD, ChangeReason.KEPT_FIRING: SpanKind.KEPT}


@dataclass(frozen=True, slots=True)
class StateSpan:
    """From `start` to `end` (ms)."""

    start: int
    end: int
    kind: SpanKind


def state_spans(found: Iterable[Transition], current: Alert | None, start: int, end: int) -> list[StateSpan]:
    """The spans of one alert between `start` and `end`, by their start; those of states first.

    `found` are its transitions since `start`, the newest first; what was before the first is what that changed.
    `current` is the alert as it is at `end`, None where it is not active: a span that no transition ends is cut then.
    """
    ordered = list(found)
    ordered.reverse()
    ordered.sort(key=lambda one: one.ts)
    spans: list[StateSpan] = []
    states = _Open(start, end, spans)
    within = _Open(start, end, spans)
    for i, one in enumerate(ordered):
        if i == 0:
            states.begin(start, _STATES.get(one.was))
        states.begin(one.ts, _STATES.get(one.now))
        within.begin(one.ts, _WITHIN.get(one.reason))
    if current is None:
        last = ordered[-1].ts if ordered else start
        states.begin(last, None)
        within.begin(last, None)
    elif not ordered:
        _of_current(current, states, within)
    states.begin(end, None)
    within.begin(end, None)
    return sorted(spans, key=lambda span: (span.kind in _WITHIN.values(), span.start))


def _of_current(alert: Alert, states: _Open, within: _Open) -> None:
    """An alert that has not changed since the start."""
    states.begin(alert.active_at, SpanKind.PENDING)
    if alert.fired_at is not None:
        states.begin(alert.fired_at, SpanKind.FIRING)
    if alert.held_since is not None:
        within.begin(alert.held_since, SpanKind.HELD)
    elif alert.keep_firing_since is not None:
        within.begin(alert.keep_firing_since, SpanKind.KEPT)


class _Open:
    """The span that is not ended yet, of one row of spans."""

    def __init__(self, start: int, end: int, spans: list[StateSpan]):
        self._start = start
        self._end = end
        self._spans = spans
        self._since = start
        self._kind: SpanKind | None = None

    def begin(self, ts: int, kind: SpanKind | None) -> None:
        """From `ts` on it is another one; None: nothing."""
        at = min(max(ts, self._start), self._end)
        if kind is self._kind:
            return
        if self._kind is not None and at > self._since:
            self._spans.append(StateSpan(self._since, at, self._kind))
        self._since, self._kind = at, kind
