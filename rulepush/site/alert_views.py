"""What the alerts page shows of the rules and their alerts: sorted by severity, filtered, grouped. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from rulepush.history.spans import state_spans
from rulepush.model.fingerprint import fingerprint
from rulepush.model.labels import ALERT_NAME, EMPTY_LABELS, JOB, Labels
from rulepush.rules.alert import Alert, AlertState
from rulepush.rules.group import EvaluationGroup
from rulepush.rules.specs import AlertingSpec
from rulepush.rules.transition import Transition
from rulepush.site.charts import DrawnStrip, drawn_strip
from rulepush.site.links import with_parameters

SEVERITY: Final = "severity"
STRIP_LENGTH_MS: Final = 6 * 3_600_000
FOLD_FROM: Final = 4  # alerts of one rule: as many as this are folded
# What is shown of many, so that a page stays small on a phone and quick to make. A link leads to all of a rule.
SHOWN_OF_RULE: Final = 10
SHOWN_OF_ALL: Final = 120
SHOWN_OF_RESOLVED: Final = 20
SHOWN_OF_ONE: Final = 100  # where one rule is asked for
_ALWAYS_FIRING: Final = frozenset(("watchdog", "deadmansswitch"))
_TITLES: Final = ("summary", "message", "title", "description")


class AlertSeverity(Enum):
    """The value is a class of the style sheet; in the order of the page."""

    CRITICAL = "critical"
    ERROR = "error"
    WARNING = "warning"
    INFO = "info"
    OTHER = "other"


_SEVERITIES: Final = {
    "critical": AlertSeverity.CRITICAL,
    "crit": AlertSeverity.CRITICAL,
    "error": AlertSeverity.ERROR,
    "page": AlertSeverity.ERROR,
    "warning": AlertSeverity.WARNING,
    "warn": AlertSeverity.WARNING,
    "info": AlertSeverity.INFO,
}


def severity_of(label: str) -> AlertSeverity:
    """Of the text of a `severity` label."""
    return _SEVERITIES.get(label.lower(), AlertSeverity.OTHER)


@dataclass(frozen=True, slots=True)
class ShownAlertRule:
    """The rule of an alert. `always` marks one that is meant to fire always; `error` is why it cannot be evaluated.
    Of one that was not evaluated yet nothing is known."""

    file: str
    group: str
    name: str
    expr: str
    for_ms: int
    labels: Labels
    error: str
    is_evaluated: bool
    always: bool


@dataclass(frozen=True, slots=True)
class SilencePlace:
    """Where an alert can be silenced: the address of an Alertmanager, and the labels by which it knows the alert."""

    address: str
    labels: Labels


@dataclass(frozen=True, slots=True)
class ShownAlert:
    """One pending or firing alert; times in ms. `since` is when it began to fire, or to wait; `own` are the labels that
    the other alerts beside it do not share."""

    id: str
    labels: Labels
    own: Labels
    annotations: Mapping[str, str]
    state: str
    since: int
    value: float
    fires_at: int | None
    resolves_at: int | None
    held_since: int | None
    strip: DrawnStrip
    silences: Sequence[SilencePlace]


@dataclass(frozen=True, slots=True)
class ResolvedAlert:
    """An alert that is over since `resolved_at` (ms)."""

    id: str
    name: str
    labels: Labels
    annotations: Mapping[str, str]
    resolved_at: int


@dataclass(frozen=True, slots=True)
class RuleAlerts:
    """The alerts of one rule within a severity, firing ones first, then the newest. `alerts` are those that are shown
    of `count`; `common` are the labels that all of them share."""

    id: str
    rule: ShownAlertRule
    alerts: Sequence[ShownAlert]
    common: Labels
    count: int
    firing: int
    newest: int

    @property
    def folded(self) -> bool:
        """Whether they are shown on demand."""
        return self.count >= FOLD_FROM


@dataclass(frozen=True, slots=True)
class SeverityAlerts:
    """One section of the page."""

    severity: AlertSeverity
    rules: Sequence[RuleAlerts]
    count: int


@dataclass(frozen=True, slots=True)
class AlertsFilter:
    """The filters of the page, each "" for none. `words` must all be in the name, the labels or the annotations."""

    state: str = ""
    severity: str = ""
    job: str = ""
    alertname: str = ""
    text: str = ""

    @property
    def words(self) -> Sequence[str]:
        return self.text.lower().split()

    def wants(self, alert: Alert) -> bool:
        """Whether the alert is shown."""
        labels = alert.labels
        if self.state and self.state not in (alert.state.value, "held" if alert.held_since is not None else ""):
            return False
        if self.severity and labels.get(SEVERITY) != self.severity:
            return False
        if self.job and labels.get(JOB) != self.job:
            return False
        if self.alertname and labels.get(ALERT_NAME) != self.alertname:
            return False
        words = self.words
        if not words:
            return True
        text = "\n".join((*(v for _, v in labels), *(v for _, v in alert.annotations))).lower()
        return all(word in text for word in words)


def alerts_url(wanted: AlertsFilter, alertname: str) -> str:
    """The page with the same filters, and the alerts of one rule only."""
    return with_parameters(
        "/alerts",
        {
            "state": wanted.state,
            "severity": wanted.severity,
            "job": wanted.job,
            "alertname": alertname,
            "q": wanted.text,
        },
    )


@dataclass(frozen=True, slots=True)
class AlertCounts:
    """How many alerts there are in each state, `always` firing ones apart, and how many the filters let through."""

    firing: int
    pending: int
    held: int
    shown: int

    @property
    def all(self) -> int:
        return self.firing + self.pending


@dataclass(frozen=True, slots=True)
class AlertsView:
    """The whole page. `resolved` are the newest of those that are over since less than RESOLVED_RETENTION_MS,
    `unknown` is how many rules were not evaluated yet; `severities` and `jobs` are what can be filtered by."""

    sections: Sequence[SeverityAlerts]
    always: Sequence[RuleAlerts]
    failing: Sequence[ShownAlertRule]
    quiet: Sequence[ShownAlertRule]
    resolved: Sequence[ResolvedAlert]
    unknown: int
    counts: AlertCounts
    severities: Sequence[str]
    jobs: Sequence[str]


@dataclass(frozen=True, slots=True)
class AlertSources:
    """What is known of an alert beside its rule: `places(alert)` where it can be silenced, `changes` by its labels, the
    newest first; they are complete from `since` (ms) on."""

    places: Callable[[Alert], Sequence[SilencePlace]] = lambda _: ()
    changes: Mapping[Labels, Sequence[Transition]] = field(default_factory=dict)
    since: int = 0


@dataclass(frozen=True, slots=True)
class AlertingRuleNow:
    """An alerting rule at one moment, with all alerts that it remembers, resolved ones too. `is_evaluated`: at least
    once. `hold_ms` is for how long an alert of a target that is down keeps its state."""

    file: str
    group: str
    spec: AlertingSpec
    error: str
    is_evaluated: bool
    alerts: Sequence[Alert]
    hold_ms: int

    @property
    def active(self) -> list[Alert]:
        """Those that are pending or firing."""
        return [alert for alert in self.alerts if alert.state is not AlertState.INACTIVE]


def alerting_rules_now(groups: Iterable[EvaluationGroup]) -> list[AlertingRuleNow]:
    """A copy of what changes, for a thread: it must be made in the event loop, where it changes."""
    found = []
    for group in groups:
        hold_ms = group.context.hold.duration_ms if group.context.hold is not None else 0
        found += [
            AlertingRuleNow(
                group.file,
                group.name,
                rule.spec,
                rule.status.last_error,
                rule.status.last_evaluation is not None,
                rule.remembered,
                hold_ms,
            )
            for rule in group.alerting_rules
        ]
    return found


_Found = tuple[ShownAlertRule, AlertingRuleNow, Sequence[Alert]]
"""A rule as it is shown, as it is, and its pending and firing alerts."""


def alerts_view(rules: Iterable[AlertingRuleNow], wanted: AlertsFilter, sources: AlertSources, now: int) -> AlertsView:
    """The page as it is at `now` (ms)."""
    found: list[_Found] = [(_rule(rule), rule, rule.active) for rule in rules]
    usual = [alert for shown, _, active in found if not shown.always for alert in active]
    chosen = [part for one in found if not one[0].always for part in _by_severity(one, wanted)]
    of_rule, of_all = (SHOWN_OF_ONE, SHOWN_OF_ONE) if wanted.alertname else (SHOWN_OF_RULE, SHOWN_OF_ALL)
    sections = []
    for severity in AlertSeverity:
        parts: list[RuleAlerts] = []
        for one, alerts in sorted(((one, alerts) for one, of, alerts in chosen if of is severity), key=_urgency):
            part = _alerts(one, alerts, sources, now, min(of_rule, of_all), severity.value)
            of_all -= len(part.alerts)
            parts.append(part)
        if parts:
            sections.append(SeverityAlerts(severity, parts, sum(p.count for p in parts)))
    return AlertsView(
        sections=sections,
        always=[_alerts(one, one[2], sources, now, SHOWN_OF_RULE, "always") for one in found if one[0].always],
        failing=[shown for shown, _, _ in found if shown.error],
        quiet=[shown for shown, _, active in found if not (shown.always or shown.error or active)],
        unknown=sum(not shown.is_evaluated for shown, _, _ in found),
        resolved=_resolved((rule for _, rule, _ in found), wanted),
        counts=AlertCounts(
            firing=sum(a.state is AlertState.FIRING for a in usual),
            pending=sum(a.state is AlertState.PENDING for a in usual),
            held=sum(a.held_since is not None for a in usual),
            shown=sum(section.count for section in sections),
        ),
        severities=sorted({a.labels.get(SEVERITY) for a in usual} - {""}, key=_severity_order),
        jobs=sorted({a.labels.get(JOB) for a in usual} - {""}),
    )


def _resolved(rules: Iterable[AlertingRuleNow], wanted: AlertsFilter) -> list[ResolvedAlert]:
    over = [
        (alert.resolved_at, rule.spec.name, alert)
        for rule in rules
        for alert in rule.alerts
        if alert.resolved_at is not None and wanted.wants(alert)
    ]
    over.sort(key=lambda one: one[0], reverse=True)
    return [
        ResolvedAlert(fingerprint(alert.labels), name, alert.labels, dict(alert.annotations), at)
        for at, name, alert in over[:SHOWN_OF_RESOLVED]
    ]


def _urgency(part: tuple[_Found, Sequence[Alert]]) -> tuple[bool, int]:
    """Sorts rules: those with a firing alert first, then the one with the newest."""
    _, alerts = part
    return not any(a.state is AlertState.FIRING for a in alerts), -max(_since(a) for a in alerts)


def _severity_order(label: str) -> tuple[int, str]:
    return list(AlertSeverity).index(severity_of(label)), label


def _rule(rule: AlertingRuleNow) -> ShownAlertRule:
    spec = rule.spec
    always = spec.name.lower() in _ALWAYS_FIRING or not spec.query.selectors()
    return ShownAlertRule(
        rule.file,
        rule.group,
        spec.name,
        str(spec.query),
        spec.for_ms,
        Labels(spec.labels),
        rule.error,
        rule.is_evaluated,
        always,
    )


def _by_severity(one: _Found, wanted: AlertsFilter) -> Iterable[tuple[_Found, AlertSeverity, list[Alert]]]:
    """A rule whose template makes the severity can have alerts in several sections."""
    parts: dict[AlertSeverity, list[Alert]] = {}
    for alert in one[2]:
        if wanted.wants(alert):
            parts.setdefault(severity_of(alert.labels.get(SEVERITY)), []).append(alert)
    return [(one, severity, part) for severity, part in parts.items()]


def _alerts(
    one: _Found, alerts: Sequence[Alert], sources: AlertSources, now: int, limit: int, section: str
) -> RuleAlerts:
    rule, source, _ = one
    ordered = sorted(alerts, key=lambda a: (a.state is not AlertState.FIRING, -_since(a)))
    common = _common([a.labels for a in ordered]) if len(ordered) > 1 else EMPTY_LABELS
    shared = dict(common)
    return RuleAlerts(
        id=_id(rule, section),
        rule=rule,
        alerts=[_alert(a, source, shared, sources, now) for a in ordered[:limit]],
        common=common,
        count=len(ordered),
        firing=sum(a.state is AlertState.FIRING for a in ordered),
        newest=max((_since(a) for a in ordered), default=0),
    )


def _id(rule: ShownAlertRule, section: str) -> str:
    """The same at each refresh, so that what is unfolded stays so."""
    own = {"/file": rule.file, "/group": rule.group, "/rule": rule.name, "/section": section}
    return fingerprint(Labels({**rule.labels.as_dict(), **own}))


def _common(sets: Sequence[Labels]) -> Labels:
    pairs = set(sets[0].pairs)
    for labels in sets[1:]:
        pairs.intersection_update(labels.pairs)
    return Labels(pairs)


def _since(alert: Alert) -> int:
    return alert.fired_at if alert.fired_at is not None else alert.active_at


def _alert(
    alert: Alert, rule: AlertingRuleNow, shared: Mapping[str, str], sources: AlertSources, now: int
) -> ShownAlert:
    fires_at = alert.active_at + rule.spec.for_ms if alert.state is AlertState.PENDING else None
    resolves_at = None
    if alert.keep_firing_since is not None:
        resolves_at = alert.keep_firing_since + rule.spec.keep_firing_ms
    elif alert.held_since is not None:
        fires_at = None
        if alert.state is AlertState.FIRING:  # a pending one is then forgotten
            resolves_at = alert.held_since + rule.hold_ms + rule.spec.keep_firing_ms
    begins = now - STRIP_LENGTH_MS
    changes = sources.changes.get(alert.labels, ())
    spans = state_spans(changes, alert, max(begins, sources.since) if changes else begins, now)
    return ShownAlert(
        id=fingerprint(alert.labels),
        labels=alert.labels,
        own=Labels.of_sorted(tuple(pair for pair in alert.labels if pair[0] not in shared)),
        annotations=dict(alert.annotations),
        state=alert.state.value,
        since=_since(alert),
        value=alert.value,
        fires_at=fires_at,
        resolves_at=resolves_at,
        held_since=alert.held_since,
        strip=drawn_strip(spans, begins, now),
        silences=sources.places(alert),
    )


@dataclass(frozen=True, slots=True)
class ShownTexts:
    """The annotations of an alert as they are shown: the title, "" for none, and links apart."""

    title: str
    description: str
    links: Sequence[tuple[str, str]]
    others: Sequence[tuple[str, str]]


def shown_texts(annotations: Mapping[str, str], is_link: Callable[[str], str]) -> ShownTexts:
    """From the annotations in the reader's language. `is_link(text)` is the address where the text is one, else ""."""
    rest = dict(annotations)
    title = next((rest.pop(name) for name in _TITLES if rest.get(name)), "")
    description = rest.pop("description", "")
    links = [(name, address) for name, text in rest.items() if (address := is_link(text))]
    linked = {name for name, _ in links}
    return ShownTexts(title, description, links, [(n, t) for n, t in rest.items() if n not in linked and t])
