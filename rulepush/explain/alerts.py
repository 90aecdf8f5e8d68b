"""Why an alert is in its state, and what comes next."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rulepush.explain.elements import Focus
from rulepush.explain.nodes import EvaluatedNode, TreeBuilder
from rulepush.explain.reasons import Reason, ReasonKind, because, time_text
from rulepush.explain.rule_facts import RuleFacts
from rulepush.explain.selectors import target_down
from rulepush.explain.tree import ExplainedAlert
from rulepush.explain.vanished import is_there, why_gone
from rulepush.model.durations import format_duration
from rulepush.model.labels import ALERT_NAME, Labels
from rulepush.rules.alert import Alert, AlertState


@dataclass(frozen=True, slots=True)
class AlertExplainer:
    """Explains the alerts of one rule, whose expression was evaluated to `root` at `ts` (ms)."""

    facts: RuleFacts
    root: EvaluatedNode
    builder: TreeBuilder
    ts: int

    def explain(self, alert: Alert) -> ExplainedAlert:
        """One alert."""
        fires_at = None
        if alert.state is AlertState.PENDING and alert.held_since is None:
            fires_at = self.facts.evaluation_at(alert.active_at + self.facts.for_ms, self.ts)
        return ExplainedAlert(
            alert.labels,
            alert.state.value,
            alert.value,
            alert.active_at,
            alert.fired_at,
            alert.resolved_at,
            fires_at,
            tuple(self._reasons(alert, fires_at)),
        )

    def _reasons(self, alert: Alert, fires_at: int | None) -> Iterator[Reason]:
        facts, since = self.facts, time_text(alert.active_at)
        if alert.state is AlertState.INACTIVE:
            yield from self._resolved(alert)
            return
        if alert.state is AlertState.FIRING:
            fired_at = alert.active_at if alert.fired_at is None else alert.fired_at
            yield because(ReasonKind.FIRING_SINCE, time=time_text(fired_at), since=since)
        focus = self._focus(alert)
        if alert.held_since is not None:
            held_until = time_text(alert.held_since + facts.hold_ms)
            yield because(ReasonKind.HELD, since=time_text(alert.held_since), time=held_until)
            yield from self._down(focus)
            return
        if alert.keep_firing_since is not None:
            until = facts.evaluation_at(alert.keep_firing_since + facts.keep_firing_ms, self.ts)
            yield because(
                ReasonKind.KEPT_FIRING,
                since=time_text(alert.keep_firing_since),
                time=time_text(until),
                duration=format_duration(facts.keep_firing_ms),
            )
        if is_there(self.root, focus) is False:
            if alert.keep_firing_since is None:
                yield because(ReasonKind.NO_LONGER)
            yield from why_gone(self.root, focus, self.builder)
            return
        if fires_at is not None and facts.for_ms:
            left = format_duration(max(0, (fires_at - self.ts + 500) // 1000 * 1000))
            duration = format_duration(facts.for_ms)
            yield because(ReasonKind.FIRES_AT, since=since, time=time_text(fires_at), left=left, duration=duration)
        elif fires_at is not None:
            yield because(ReasonKind.NO_FOR, since=since)

    def _resolved(self, alert: Alert) -> Iterator[Reason]:
        at = self.ts if alert.resolved_at is None else alert.resolved_at
        fired = time_text(alert.active_at if alert.fired_at is None else alert.fired_at)
        yield because(ReasonKind.RESOLVED_AT, time=time_text(at), fired=fired)
        last = self.builder.around.transitions.get(alert.labels)
        if last is not None and last.ts == at:
            yield because(ReasonKind.TRANSITION, message=last.described)
        focus = self._focus(alert)
        if is_there(self.root, focus):
            yield because(ReasonKind.RETURNED)
            return
        yield from why_gone(self.root, focus, self.builder)

    def _focus(self, alert: Alert) -> Focus:
        """The labels of the element that the alert was made of: those of the alert that the rule does not set."""
        return Focus(dict(self.facts.source_of(alert.labels)))

    def _down(self, focus: Focus) -> Iterator[Reason]:
        around = self.builder.around
        targets = {t: None for use in self.facts.query.selectors() for t in around.targets_of(use.matchers)}
        meant = [t for t in around.targets_with(Labels(focus.labels)) if t in targets and t.down_since]
        yield from map(target_down, meant[:3])


def of_interest(facts: RuleFacts, focus: Focus, count: int) -> tuple[list[Alert], int]:
    """At most `count` alerts that are meant, firing before pending before resolved ones, and how many there are."""
    order = {AlertState.FIRING: 0, AlertState.PENDING: 1, AlertState.INACTIVE: 2}
    meant = [a for a in facts.alerts if focus.means(a.labels.without((ALERT_NAME,)))]
    meant.sort(key=lambda a: (order[a.state], a.active_at))
    return meant[:count], len(meant)
