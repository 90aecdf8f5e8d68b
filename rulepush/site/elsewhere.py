"""What other evaluators have: their alerts and rules on the pages of this one, with links to where they are."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from rulepush.model.fingerprint import fingerprint
from rulepush.model.labels import ALERT_NAME, Labels
from rulepush.model.timestamps import parse_rfc3339
from rulepush.peers.answer import GroupJson
from rulepush.peers.merge import Evaluator, MissingPeer, PeersView, merged_alerts, merged_groups
from rulepush.peers.peers import Peers
from rulepush.rules.alert import Alert, AlertState
from rulepush.site.alert_views import AlertsFilter
from rulepush.site.links import alert_url, rule_url, safe_link

MAX_ELSEWHERE: Final = 200  # alerts, and rules, that are shown; a link leads to the others


@dataclass(frozen=True, slots=True)
class ElsewherePlace:
    """A page of another evaluator: its name, and the address, "" where there is none that a page may link to."""

    name: str
    url: str


@dataclass(frozen=True, slots=True)
class ElsewhereAlert:
    """An alert of others. `since` in ms, None where they did not say it in a way that is known here."""

    name: str
    state: str
    labels: Labels
    annotations: Mapping[str, str]
    since: int | None
    places: Sequence[ElsewherePlace]


@dataclass(frozen=True, slots=True)
class ElsewhereRule:
    """A rule of others. `type` is `alerting` or `recording`; `state` is "" for a recording one."""

    name: str
    group: str
    file: str
    type: str
    query: str
    labels: Labels
    state: str
    health: str
    error: str
    places: Sequence[ElsewherePlace]


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """What others have that is not here: those that are shown of `alert_count` alerts and `rule_count` rules, which
    `evaluators` have. `missing` and `missing_shards` do not answer: what they have is not known."""

    alerts: Sequence[ElsewhereAlert] = ()
    rules: Sequence[ElsewhereRule] = ()
    alert_count: int = 0
    rule_count: int = 0
    evaluators: Sequence[ElsewherePlace] = ()
    missing: Sequence[MissingPeer] = ()
    missing_shards: Sequence[str] = field(default=())

    @property
    def is_calm(self) -> bool:
        """Whether no alert is known to be there, and none may be."""
        return not (self.alert_count or self.missing_shards or any(not one.covered for one in self.missing))


NOWHERE_ELSE: Final = Elsewhere()


async def alerts_elsewhere(peers: Peers | None, wanted: AlertsFilter) -> Elsewhere:
    """The alerts of other evaluators that the filter of the page wants, those that fire first."""
    if peers is None:
        return NOWHERE_ELSE
    return await asyncio.to_thread(_alerts_of, await peers.view(), wanted)


async def rules_elsewhere(peers: Peers | None, words: str, health: str, state: str, type: str) -> Elsewhere:
    """The rules of other evaluators; the filters are those of the page of rules."""
    if peers is None:
        return NOWHERE_ELSE
    return await asyncio.to_thread(_rules_of, await peers.view(), words.lower().split(), (health, state, type))


async def alert_places(peers: Peers | None, mark: str) -> Sequence[ElsewherePlace]:
    """The pages of the alert with this fingerprint at the evaluators that have it."""
    if peers is None:
        return ()
    found = await asyncio.to_thread(_alerts_of, await peers.view(), AlertsFilter(), None)
    return next((one.places for one in found.alerts if fingerprint(one.labels) == mark), ())


async def rule_places(peers: Peers | None, group: str, name: str) -> Sequence[ElsewherePlace]:
    """The pages of a rule at the evaluators that have it."""
    if peers is None:
        return ()
    found = await asyncio.to_thread(_rules_of, await peers.view(), (), ("", "", ""), None)
    return [place for one in found.rules if (one.group, one.name) == (group, name) for place in one.places]


def _alerts_of(view: PeersView, wanted: AlertsFilter, most: int | None = MAX_ELSEWHERE) -> Elsewhere:
    links = _links(view.evaluators)
    found = [
        _alert(alert, links)
        for alert in merged_alerts(merged_groups(view.evaluators))
        if _is_elsewhere(alert, view) and wanted.wants(_as_alert(alert))
    ]
    found.sort(key=lambda one: (one.state != AlertState.FIRING.value, -(one.since or 0)))
    return _elsewhere(view, alerts=found[:most], alert_count=len(found))


def _rules_of(
    view: PeersView, words: Sequence[str], wanted: tuple[str, str, str], most: int | None = MAX_ELSEWHERE
) -> Elsewhere:
    links = _links(view.evaluators)
    found = [
        one
        for group in merged_groups(view.evaluators)
        if _is_elsewhere(group, view)
        for rule in group["rules"]
        if _fits(one := _rule(group, rule, links), words, wanted)
    ]
    return _elsewhere(view, rules=found[:most], rule_count=len(found))


def _elsewhere(view: PeersView, **found: Any) -> Elsewhere:
    known = {one.shard for one in view.missing}
    return Elsewhere(
        evaluators=[ElsewherePlace(one.name, safe_link(one.link)) for one in view.evaluators if not one.is_self],
        missing=view.missing,
        missing_shards=[shard for shard in view.missing_shards() if shard not in known],
        **found,
    )


def _is_elsewhere(one: Mapping[str, Any], view: PeersView) -> bool:
    return not any(evaluator.is_self and evaluator.name in one["evaluators"] for evaluator in view.evaluators)


def _links(evaluators: Iterable[Evaluator]) -> dict[str, str]:
    return {one.name: safe_link(one.link) for one in evaluators}


def _places(names: Iterable[str], links: Mapping[str, str], path: str) -> list[ElsewherePlace]:
    return [ElsewherePlace(name, f"{links[name].rstrip('/')}{path}" if links.get(name) else "") for name in names]


def _as_alert(alert: Mapping[str, Any]) -> Alert:
    state = AlertState.FIRING if alert["state"] == AlertState.FIRING.value else AlertState.PENDING
    held = 0 if "heldSince" in alert else None
    return Alert(Labels(alert["labels"]), tuple(_texts(alert).items()), state, 0, 0.0, held_since=held)


def _texts(alert: Mapping[str, Any]) -> dict[str, str]:
    said = alert.get("annotations")
    return {str(name): str(text) for name, text in said.items()} if isinstance(said, dict) else {}


def _alert(alert: Mapping[str, Any], links: Mapping[str, str]) -> ElsewhereAlert:
    labels = Labels(alert["labels"])
    try:
        since: int | None = parse_rfc3339(str(alert.get("activeAt", "")))
    except ValueError:
        since = None
    places = _places(alert["evaluators"], links, alert_url(labels))
    return ElsewhereAlert(labels.get(ALERT_NAME), _as_alert(alert).state.value, labels, _texts(alert), since, places)


def _rule(group: GroupJson, rule: Mapping[str, Any], links: Mapping[str, str]) -> ElsewhereRule:
    def text(key: str, known: Sequence[str]) -> str:
        value = rule.get(key)
        return value if isinstance(value, str) and value in known else ""

    error = rule.get("lastError")
    # The file may have another directory there: without it the page finds the rule by group and name.
    path = rule_url("", group["name"], rule["name"]).partition("?")[0]
    return ElsewhereRule(
        name=rule["name"],
        group=group["name"],
        file=group["file"],
        type=rule["type"],
        query=rule["query"],
        labels=Labels(rule.get("labels", {})),
        state=text("state", ("firing", "pending", "inactive")),
        health=text("health", ("ok", "err", "unknown")) or "unknown",
        error=error if isinstance(error, str) else "",
        places=_places(group["evaluators"], links, path),
    )


def _fits(rule: ElsewhereRule, words: Sequence[str], wanted: tuple[str, str, str]) -> bool:
    health, state, kind = wanted
    if health not in ("", rule.health) or state not in ("", rule.state) or kind not in ("", rule.type):
        return False
    text = f"{rule.name} {rule.query} {rule.labels} {rule.group} {rule.file}".lower() if words else ""
    return all(word in text for word in words)
