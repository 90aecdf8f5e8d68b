"""`/alerts/<fingerprint>`: one alert, before, during and after. The link of a notification leads here."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote_plus

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from rulepush.history.deliveries import AlertDelivery
from rulepush.history.history import AlertHistory
from rulepush.history.rows import HistoryFilter
from rulepush.history.spans import state_spans
from rulepush.model.fingerprint import fingerprint
from rulepush.model.labels import ALERT_NAME, Labels
from rulepush.peers.peers import Peers
from rulepush.rules.alert import Alert, AlertState
from rulepush.rules.alerting import AlertingRule
from rulepush.rules.group import EvaluationGroup
from rulepush.rules.groups import RuleGroups
from rulepush.rules.transition import ChangeReason, Transition
from rulepush.site.alert_charts import AlertCharts, AlertSubject
from rulepush.site.alert_texts import LastTexts, last_texts
from rulepush.site.alerts import SentAs
from rulepush.site.charts import drawn_strip
from rulepush.site.datasource_views import NO_DATASOURCES, ShownDatasources
from rulepush.site.elsewhere import alert_places
from rulepush.site.explained import explained_rule
from rulepush.site.frame import Frame
from rulepush.site.language import Message, message
from rulepush.site.ranges import RANGES, offered_ranges, refresh_seconds
from rulepush.site.reasons import detail_words, reason_words
from rulepush.web.evaluator import QueryEvaluator
from rulepush.web.explain import RuleExplainer, RunningRule
from rulepush.web.history import is_fingerprint

MAX_CHANGES: Final = 200
STRIP_MS: Final = 24 * 3_600_000
_A_TURN: Final = 500  # alerts whose fingerprints are computed before others have their turn

_OUTAGES: Final = (ChangeReason.EVALUATION_FAILED, ChangeReason.EVALUATION_WORKS, ChangeReason.HOLD_ENDED)

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class ShownChange:
    """One change of an alert or a rule; `ts` in ms. `labels` are those of the alert, empty for the rule's own."""

    ts: int
    was: str
    now: str
    reason: Message
    detail: Sequence[Message | str]
    value: float | None
    labels: Labels


@dataclass(frozen=True, slots=True)
class ShownClock:
    """A clock that runs: `words` say what happens when it is over, in `left_ms`; None where it runs on."""

    words: Message
    left_ms: int | None


@dataclass(frozen=True, slots=True)
class AlertNow:
    """The alert as it is, of a rule in force. Times in ms."""

    state: str
    annotations: Mapping[str, str]
    value: float
    active_at: int
    fired_at: int | None
    resolved_at: int | None
    held_since: int | None
    clocks: Sequence[ShownClock]


@dataclass(frozen=True, slots=True)
class AlertRule:
    """The rule of an alert, as far as it is in force: the `number`th of its name in its group."""

    file: str
    group: str
    name: str
    expr: str = ""
    for_ms: int = 0
    keep_firing_ms: int = 0
    error: str = ""
    in_force: bool = False
    number: int = 1


class AlertPage:
    """`alertmanagers()` gives the URLs that alerts are sent to, `sent_as` the labels of an alert there, `public_url`
    the address of one as a browser elsewhere reaches it; `peers` have other alerts."""

    def __init__(
        self,
        frame: Frame,
        groups: RuleGroups,
        history: AlertHistory,
        evaluator: QueryEvaluator,
        explainer: RuleExplainer,
        alertmanagers: Callable[[], Iterable[str]] = tuple,
        sent_as: SentAs | None = None,
        public_url: Callable[[str], str] = str,
        datasources: ShownDatasources = NO_DATASOURCES,
        peers: Peers | None = None,
    ):
        self._datasources = datasources
        self._frame = frame
        self._groups = groups
        self._history = history
        self._evaluator = evaluator
        self._charts = AlertCharts(evaluator)
        self._explainer = explainer
        self._alertmanagers = alertmanagers
        self._sent_as = sent_as
        self._public_url = public_url
        self._peers = peers

    def routes(self) -> list[Route]:
        """The route of the page."""
        return [Route("/alerts/{fingerprint}", self.show, methods=["GET"])]

    async def show(self, request: Request) -> Response:
        """The page; 404 where neither the rules nor the history know the alert."""
        mark = request.path_params["fingerprint"].lower()
        changes: Sequence[Transition] = ()
        if is_fingerprint(mark):
            changes = (await self._history.find(HistoryFilter(fingerprint=mark, limit=MAX_CHANGES))).found
        labels = changes[0].labels if changes else await self._labels_of(mark)
        if labels is None:
            return await self._unknown(request, mark)
        return await self._known(request, mark, labels, changes)

    async def _known(self, request: Request, mark: str, labels: Labels, changes: Sequence[Transition]) -> Response:
        now = self._frame.clock.now()
        group, rule, alert = self._find(labels)
        if rule is not None and group is not None:
            shown_rule = _rule(group, rule)
        else:
            ref = changes[0].rule if changes else None
            shown_rule = AlertRule(ref.file, ref.group, ref.name) if ref else AlertRule("", "", labels.get(ALERT_NAME))
        active = alert if alert is not None and alert.state is not AlertState.INACTIVE else None
        ranges = offered_ranges(await self._evaluator.recorded_since(), now)
        span = _range(request.query_params.get("range", ""), ranges, changes, now)
        recent = [one for one in changes if one.ts >= now - STRIP_MS]
        strip = drawn_strip(state_spans(recent, active, now - STRIP_MS, now), now - STRIP_MS, now)
        charts, explained, texts, where = [], None, LastTexts(), None
        if rule is not None and group is not None:
            texts = last_texts(rule.spec, labels, changes, group.context) if alert is None else texts
            where = self._datasources.of_one(group)
            if where is None:
                explained = await explained_rule(self._explainer, RunningRule(group, rule), labels)
            within = [one for one in changes if one.ts >= now - RANGES[span]]
            spans = state_spans(within, active, now - RANGES[span], now)
            subject = AlertSubject(rule.spec, labels, self._datasources.source(group.spec.datasource))
            charts = await self._charts.charts(subject, now - RANGES[span], now, spans, changes)
        urls = list(self._alertmanagers())
        sent = self._sent(alert, labels, urls)
        deliveries = self._history.deliveries(mark)
        return await self._frame.page(
            request,
            "alert.html",
            labels.get(ALERT_NAME) or mark,
            "/alerts",
            fingerprint=mark,
            labels=labels,
            rule=shown_rule,
            alert=None if alert is None or rule is None else _alert(alert, rule, now),
            state=_state(alert, changes),
            changes=[shown_change(one) for one in with_outages(changes, await self._outages(shown_rule, changes))],
            is_cut=len(changes) == MAX_CHANGES,
            strip_of_day=strip,
            charts=charts,
            explained=explained,
            where=where,
            texts=texts,
            silences={} if active is None else {self._public_url(url): known for url, known in sent.items()},
            ranges=ranges,
            range=span,
            refresh=refresh_seconds(RANGES[span]),
            deliveries=deliveries,
            undelivered=_undelivered(sent, deliveries, alert),
            unsent=[] if alert is None else [url for url in urls if url not in sent],
            alertmanagers=urls,
        )

    async def _outages(self, rule: AlertRule, changes: Sequence[Transition]) -> Sequence[Transition]:
        """When the rule could not be evaluated, as far back as the changes of the alert."""
        if not changes:
            return ()
        wanted = HistoryFilter(
            start=changes[-1].ts, file=rule.file, group=rule.group, rule=rule.name, rules_own=True, limit=MAX_CHANGES
        )
        return [one for one in (await self._history.find(wanted)).found if one.reason in _OUTAGES]

    def _sent(self, alert: Alert | None, labels: Labels, urls: Sequence[str]) -> dict[str, Labels]:
        """The labels by which each Alertmanager that gets the alert knows it, by the URL that it is sent to."""
        if alert is None:
            return {}
        return dict(self._sent_as(alert)) if self._sent_as is not None else dict.fromkeys(urls, labels)

    async def _unknown(self, request: Request, mark: str) -> Response:
        """What is near: the rules with the expression that an old link has, and what became of their alerts lately."""
        expr = request.query_params.get("expr", "")
        near = [
            _rule(group, rule)
            for group in self._groups.all()
            for rule in group.alerting_rules
            if expr and str(rule.spec.query) == expr
        ]
        found: list[Transition] = []
        for one in near[:3]:
            wanted = HistoryFilter(file=one.file, group=one.group, rule=one.name, limit=20)
            found += (await self._history.find(wanted)).found
        places = await alert_places(self._peers, mark)
        return await self._frame.page(
            request,
            "alert_unknown.html",
            message("An alert of another evaluator") if places else message("No such alert"),
            "/alerts",
            200 if places else 404,
            places=places,
            fingerprint=mark,
            expr=expr,
            rules=near,
            changes=[shown_change(one) for one in found],
        )

    def _find(self, labels: Labels) -> tuple[EvaluationGroup | None, AlertingRule | None, Alert | None]:
        """The rule of an alert and the alert itself, of those in force: where several have it, one that is active."""
        best: tuple[EvaluationGroup | None, AlertingRule | None, Alert | None] = (None, None, None)
        for group in self._groups.all():
            for rule in group.alerting_rules:
                if rule.spec.name != labels.get(ALERT_NAME):
                    continue
                alert = rule.alert_of(labels)
                if alert is not None and alert.state is not AlertState.INACTIVE:
                    return group, rule, alert
                if best[1] is None or (alert is not None and best[2] is None):
                    best = group, rule, alert
        return best

    async def _labels_of(self, mark: str) -> Labels | None:
        """The labels of an alert that the history does not know, by its fingerprint."""
        everything = [a.labels for rule in self._groups.alerting_rules() for a in rule.remembered]
        for i, labels in enumerate(everything):
            if i % _A_TURN == _A_TURN - 1:
                await asyncio.sleep(0)
            if fingerprint(labels) == mark:
                return labels
        return None


class AlertLinks:
    """`/graph` as the link of a notification has it: with `alert` it leads to the alert's page, else `graph` answers.

    The link is one to a query all the same, as Prometheus' is: tools that take the expression out of it find it.
    """

    def __init__(self, prefix: str, graph: Handler):
        self._prefix = prefix
        self._graph = graph

    def routes(self) -> list[Route]:
        """The route; to stand before that of the query page."""
        return [Route("/graph", self.follow, methods=["GET"])]

    async def follow(self, request: Request) -> Response:
        """To the alert, or the query page."""
        mark = request.query_params.get("alert", "").lower()
        if not is_fingerprint(mark):
            return await self._graph(request)
        expr = quote_plus(request.query_params.get("g0.expr", ""))
        return RedirectResponse(f"{self._prefix}/alerts/{mark}?expr={expr}", 302)


def with_outages(changes: Sequence[Transition], outages: Sequence[Transition]) -> list[Transition]:
    """The changes of an alert and, where it was active then, those of its rule: why it stayed as it was. Both, and the
    result, have the newest first."""
    inactive, found = AlertState.INACTIVE.value, list(changes)
    for one in outages:
        before = next((change for change in changes if change.ts < one.ts), None)
        if before is not None and before.now != inactive:
            found.append(one)
    return sorted(found, key=lambda one: -one.ts)


def shown_change(one: Transition) -> ShownChange:
    """A transition as pages show it."""
    return ShownChange(one.ts, one.was, one.now, reason_words(one), detail_words(one), one.value, one.labels)


def _rule(group: EvaluationGroup, rule: AlertingRule) -> AlertRule:
    spec = rule.spec
    return AlertRule(
        group.file,
        group.name,
        spec.name,
        str(spec.query),
        spec.for_ms,
        spec.keep_firing_ms,
        rule.status.last_error,
        True,
        1 + [one for one in group.alerting_rules if one.spec.name == spec.name].index(rule),
    )


def _state(alert: Alert | None, changes: Sequence[Transition]) -> str:
    """As a badge shows it: `resolved` for one that fired before."""
    if alert is not None and alert.state is not AlertState.INACTIVE:
        return str(alert.state.value)
    fired = alert is not None or any(AlertState.FIRING.value in (one.was, one.now) for one in changes)
    return "resolved" if fired else "inactive"


def _alert(alert: Alert, rule: AlertingRule, now: int) -> AlertNow:
    return AlertNow(
        alert.state.value,
        dict(alert.annotations),
        alert.value,
        alert.active_at,
        alert.fired_at,
        alert.resolved_at,
        alert.held_since,
        list(_clocks(alert, rule, now)),
    )


def _clocks(alert: Alert, rule: AlertingRule, now: int) -> Iterable[ShownClock]:
    if alert.state is AlertState.PENDING and alert.held_since is None:
        yield ShownClock(message("fires"), max(0, alert.active_at + rule.spec.for_ms - now))
    if alert.state is AlertState.FIRING and alert.keep_firing_since is not None:
        yield ShownClock(message("resolves"), max(0, alert.keep_firing_since + rule.spec.keep_firing_ms - now))
    if alert.held_since is not None:
        yield ShownClock(message("held: its target cannot be scraped"), None)


def _range(wanted: str, offered: Sequence[str], changes: Sequence[Transition], now: int) -> str:
    """The range that is asked for, else the shortest of those offered that shows the newest episode from its
    beginning."""
    if wanted in RANGES:
        return wanted
    begins = (one.ts for one in changes if one.reason is ChangeReason.CONDITION_TRUE)
    since = now - next(begins, changes[-1].ts if changes else now)
    return next((name for name in offered if since * 1.25 < RANGES[name]), "1d")


def _undelivered(urls: Iterable[str], deliveries: Iterable[AlertDelivery], alert: Alert | None) -> list[str]:
    """The Alertmanagers that were not tried yet, of an alert that is to be sent."""
    if alert is None or alert.state is AlertState.PENDING:
        return []
    tried = {one.url for one in deliveries}
    return [url for url in urls if url not in tried]
