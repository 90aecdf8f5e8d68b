"""The cases of the alert generator tester: samples by time, rules, and the alerts that they must lead to."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

RESOLVED_RESENDS: Final = 15 * 60.0
Key = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Timing:
    """In seconds. `slack` is what a busy machine may add; `tail` is how long to watch after the last breach."""

    interval: float
    write: float
    poll: float
    resend: float
    slack: float
    tail: float

    @property
    def seen(self) -> float:
        """From a change of a value to the latest evaluation that sees it."""
        return self.interval + self.write + self.slack

    @property
    def ahead(self) -> float:
        """How far ahead of its sending a firing alert's endsAt lies."""
        return 4 * max(self.interval, self.resend)


QUICK: Final = Timing(interval=2, write=1, poll=1, resend=3, slack=0.8, tail=14)
TRUE: Final = Timing(interval=30, write=15, poll=30, resend=60, slack=5, tail=RESOLVED_RESENDS + 150)


@dataclass(frozen=True)
class Expected:
    """An alert, and the spans (in seconds from the start) during which its expression holds. `hold` is its `for`."""

    group: str
    labels: dict[str, str]
    annotations: dict[str, str]
    spans: tuple[tuple[float, float], ...]
    hold: float = 0

    @property
    def key(self) -> Key:
        return tuple(sorted(self.labels.items()))

    def until_firing(self, t: Timing) -> float:
        """From the first evaluation that sees it: `for`, in whole intervals."""
        return math.ceil(self.hold / t.interval) * t.interval

    def state(self, t: Timing, since: float, until: float) -> str | None:
        """Its state throughout [since, until]; None where it may be changing, "" for inactive."""
        firing = self.until_firing(t)
        for start, end in self.spans:
            if until < start or since >= end + t.seen:
                continue
            if firing and since >= start + t.seen and until < min(start + firing, end):
                return "pending"
            if since >= start + t.seen + firing and until < end:
                return "firing"
            return None
        return ""


@dataclass(frozen=True)
class Case:
    """Samples by time, rules, and what they must lead to."""

    rules: str
    series: Callable[[float], Mapping[Key, float]]
    expected: tuple[Expected, ...]
    broken: tuple[str, ...] = ()  # rules that must show an error


def series(name: str, **labels: str) -> Key:
    """The labels of a series."""
    return tuple(sorted({"__name__": name, **labels}.items()))


# In the cases, u is the interval.


def pending_firing_resolved(t: Timing) -> Case:
    u = t.interval
    spans = ((2 * u, 11 * u),)
    labels = {"foo": "bar", "variant": "one", "__value__": "x", "rulegroup": "PendingFiringResolved"}
    rules = f"""
- name: PendingFiringResolved
  interval: {u:g}s
  rules:
  - alert: PendingFiringResolved
    expr: pfr > 10
    for: {3 * u:g}s
    labels: {{rulegroup: PendingFiringResolved}}
    annotations:
      description: "This should go through pending, firing, resolved"
      summary: 'The value is {{{{$value}}}} {{{{.Value}}}} on {{{{$labels.variant}}}}, missing: "{{{{$labels.no}}}}"'
      other: '{{{{ with query "other_metric{{foo=\\"bar\\"}}" }}}}{{{{ . | first | value }}}}{{{{ end }}}}'
"""
    alert = Expected(
        "PendingFiringResolved",
        {"alertname": "PendingFiringResolved", **labels},
        {
            "description": "This should go through pending, firing, resolved",
            "summary": 'The value is 11 11 on one, missing: ""',
            "other": "42",
        },
        spans,
        hold=3 * u,
    )
    mine = series("pfr", foo="bar", variant="one", __value__="x")
    return Case(
        rules,
        lambda at: {mine: 11 if inside(at, spans) else 9, series("other_metric", foo="bar"): 42},
        (alert,),
    )


def pending_resolved(t: Timing) -> Case:
    u = t.interval
    spans = ((3 * u, 7 * u),)
    rules = f"""
- name: PendingResolved
  interval: {u:g}s
  rules:
  - alert: PendingResolved
    expr: pr{{foo="bar"}} > 10
    for: {8 * u:g}s
    labels: {{severity: warning}}
  - alert: AlwaysInactive
    expr: pr > 1000
"""
    alert = Expected(
        "PendingResolved", {"alertname": "PendingResolved", "foo": "bar", "severity": "warning"}, {}, spans, hold=8 * u
    )
    return Case(rules, lambda at: {series("pr", foo="bar"): 15 if inside(at, spans) else 0}, (alert,))


def zero_for_small_for(t: Timing) -> Case:
    u = t.interval
    spans = ((2 * u, 6 * u), (14 * u, 17 * u))
    rules = f"""
- name: ZeroForSmallFor
  interval: {u:g}s
  rules:
  - alert: ZeroFor
    expr: zfsf > 13
    annotations: {{summary: "{{{{ $value }}}}"}}
  - alert: SmallFor
    expr: zfsf > 13
    for: {u / 3 * 1000:.0f}ms
  - alert: Duplicates
    expr: zfsf > 0
    labels: {{variant: ""}}
"""
    zero, small = (
        Expected("ZeroForSmallFor", {"alertname": name, "variant": "a"}, notes, spans, hold)
        for name, notes, hold in (("ZeroFor", {"summary": "19.5"}, 0.0), ("SmallFor", {}, u / 3))
    )

    def values(at: float) -> dict[Key, float]:
        return {
            series("zfsf", variant="a"): 19.5 if inside(at, spans) else 8,
            series("zfsf", variant="b"): 1,
        }

    return Case(rules, values, (zero, small), broken=("Duplicates",))


def new_alerts_order(t: Timing) -> Case:
    u = t.interval
    first, second = ((3 * u, 12 * u),), ((5 * u, 9 * u),)
    rules = f"""
- name: NewAlertsOrder
  interval: {u:g}s
  rules:
  - alert: New
    expr: nao > 10
    for: {2 * u:g}s
    labels: {{ordering_rank: "1"}}
    annotations: {{summary: "{{{{ $labels.variant | toUpper }}}} {{{{ humanize $value }}}}"}}
  - alert: OfAlerts
    expr: ALERTS{{alertname="New", alertstate="firing"}}
    labels: {{ordering_rank: "2", variant: "of {{{{ $labels.variant }}}}"}}
  - record: firing:count
    expr: count(ALERTS{{alertname="OfAlerts"}})
"""

    def alerts(variant: str, spans: tuple[tuple[float, float], ...], value: str) -> Iterator[Expected]:
        labels = {"alertname": "New", "variant": variant, "ordering_rank": "1"}
        yield Expected("NewAlertsOrder", labels, {"summary": f"{variant.upper()} {value}"}, spans, hold=2 * u)
        # It begins when the other fires and ends when the other does, in the same evaluations.
        later = tuple((start + 2 * u, end) for start, end in spans)
        labels = {"alertname": "OfAlerts", "alertstate": "firing", "variant": f"of {variant}", "ordering_rank": "2"}
        yield Expected("NewAlertsOrder", labels, {}, later)

    def values(at: float) -> dict[Key, float]:
        out = {series("nao", variant="one"): 12 if inside(at, first) else 1.0}
        if at >= second[0][0]:  # a series that was not there before
            out[series("nao", variant="two")] = 12345 if inside(at, second) else 0
        return out

    return Case(rules, values, (*alerts("one", first, "12"), *alerts("two", second, "12.35k")))


def inside(at: float, spans: Iterable[tuple[float, float]]) -> bool:
    return any(start <= at < end for start, end in spans)


CASES: Final = (pending_firing_resolved, pending_resolved, zero_for_small_for, new_alerts_order)
