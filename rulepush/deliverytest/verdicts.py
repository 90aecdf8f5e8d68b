"""What was seen of the alert on its way, as steps with their cures. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from rulepush.deliverytest.asked import RelayDelivery, SeenAlert
from rulepush.deliverytest.counts import SendCounts
from rulepush.deliverytest.routing import Integration, Routing
from rulepush.deliverytest.steps import Step, StepState

WEBHOOK: Final = "webhook"
_FINAL: Final = frozenset(("sent", "waits", "refused", "unknown"))
_CONNECTIONS: Final = {
    "refused": "the connection was refused: nothing listens at the url of webhook_configs, seen from the Alertmanager "
    "(in a container, 127.0.0.1 is the container itself)",
    "resolution": "the host name in the url of webhook_configs is not found, seen from the Alertmanager",
    "timeout": "nothing answers at the url of webhook_configs, seen from the Alertmanager: a firewall, or a wrong "
    "address",
}
_REASONS: Final = {
    "clientError": "the receiver answered with a status of 400 to 499",
    "serverError": "the receiver answered with a status of 500 or above",
    "contextDeadlineExceeded": "there was no success before the next notification was due",
    "contextCanceled": "Alertmanager was stopped or reloaded meanwhile",
}
_LOG: Final = "Alertmanager's log has the reason: `Notify for alerts failed` and `Notify attempt failed`"
_ROUTE: Final = "follow the route of your alerts with --label severity=critical and the like, or give the receiver one"


def silenced(shown: str, seen: SeenAlert, silences: Mapping[str, str]) -> Iterator[Step]:
    """What keeps the alert from its receivers, one step for each."""
    for identity in seen.silenced_by:
        who = f" ({silences[identity]})" if silences.get(identity) else ""
        cure = f"expire it (amtool silence expire {identity}), or test with labels that it does not match: --label"
        yield Step(StepState.FAILED, f"{shown}: silenced by {identity}{who}", cure)
    for mark in seen.inhibited_by:
        text = f"{shown}: inhibited by the alert with the fingerprint {mark}, by an inhibit_rule"
        yield Step(StepState.FAILED, text, "test again when that alert has ended, or with other labels: --label")
    for name in seen.muted_by:
        text = f"{shown}: muted now by the time interval {name} of its route"
        yield Step(StepState.FAILED, text, "test again at another time, or follow another route: --label")


def routed(shown: str, seen: SeenAlert, routing: Routing | None) -> Step:
    """Where the alert goes."""
    if routing is None:
        names = ", ".join(seen.receivers)
        return Step(StepState.UNSEEN, f"{shown}: routed to {names}; its configuration cannot be read")
    parts = []
    for name in seen.receivers:
        kinds = Counter(one.kind for one in routing.receivers.get(name, ()))
        each = ", ".join(f"{count} {kind}" if count > 1 else kind for kind, count in kinds.items())
        parts.append(f"{name} ({each or 'no integration'})")
    text = f"{shown}: routed to the receiver{'s' * (len(parts) > 1)} {', '.join(parts)}"
    if expected(seen, routing):
        return Step(StepState.OK, text)
    return Step(StepState.FAILED, f"{text}: nobody is told", _ROUTE)


def expected(seen: SeenAlert, routing: Routing | None, *, resolved: bool = False) -> tuple[Integration, ...]:
    """The integrations that are to tell somebody that it fires, or that it is resolved."""
    receivers = {} if routing is None else routing.receivers
    found = [one for name in seen.receivers for one in receivers.get(name, ())]
    return tuple(one for one in found if one.send_resolved or not resolved)


def sending_done(wanted: Sequence[Integration], counts: Mapping[str, SendCounts]) -> bool:
    """Whether Alertmanager has sent all. That one was given up ends no wait: it may be that of another alert."""
    each = Counter(one.kind for one in wanted)
    return all(counts.get(kind, SendCounts()).succeeded >= count for kind, count in each.items())


def sent(
    shown: str, wanted: Sequence[Integration], counts: Mapping[str, SendCounts], waited: str, *, confirmed: bool
) -> Iterator[Step]:
    """What Alertmanager's counters say, a step for each kind of integration. They are those of all its notifications:
    where some failed, only the relay (`confirmed`) tells that it was not this one."""
    for kind, count in Counter(one.kind for one in wanted).items():
        got = counts.get(kind, SendCounts())
        what = f"{shown}: {kind}"
        if got.succeeded >= count:
            text = f"{what}: {got.succeeded} sent and answered with success"
            if not got.failed_attempts or (confirmed and kind == WEBHOOK):
                yield Step(StepState.OK, text)
                continue
            text += f", {got.failed_attempts} attempts failed: which of them was the test cannot be told"
            yield Step(StepState.UNSEEN, text, _connections(kind, got) or _LOG)
        elif got.given_up:
            reason = "; ".join(_REASONS.get(name, "the last attempt failed") for name, n in got.given_up.items() if n)
            yield Step(StepState.FAILED, f"{what}: given up: {reason}", _connections(kind, got) or _LOG)
        elif got.failed_attempts:
            text = f"{what}: not sent: {got.failed_attempts} attempts failed, and it goes on trying"
            yield Step(StepState.FAILED, text, _connections(kind, got) or _LOG)
        else:
            cure = "is it a member of a cluster whose other members this configuration does not name? Else: its log"
            yield Step(StepState.FAILED, f"{what}: nothing was sent within {waited}", cure)


def _connections(kind: str, got: SendCounts) -> str:
    """Why it could not connect; of webhooks, whose addresses are the user's own."""
    if kind != WEBHOOK:
        return ""
    return "; ".join(text for name, text in _CONNECTIONS.items() if got.connections_failed.get(name))


def relay_done(deliveries: Sequence[RelayDelivery], *, firing: bool) -> bool:
    """Whether the relay knows what became of it."""
    return any(d.fate in _FINAL for d in deliveries if d.firing is firing)


def relay_failed(deliveries: Sequence[RelayDelivery]) -> bool:
    """Whether the relay refused it: waiting for more would change nothing."""
    return any(d.fate in ("refused", "unknown") for d in deliveries)


def relayed(shown: str, deliveries: Sequence[RelayDelivery], *, firing: bool) -> Iterator[Step]:
    """What the relay's record says: of each target the last entry."""
    last = {d.target: d for d in deliveries if d.firing is firing}
    if not last:
        text = f"{shown}: the relay was told nothing"
        yield Step(
            StepState.FAILED,
            text,
            "the url of webhook_configs leads elsewhere, or not to this relay: it is http://RELAY/dingtalk/TARGET/send",
        )
    for d in last.values():
        what = f"{shown}: target {d.target}"
        match d.fate:
            case "sent":
                yield Step(StepState.OK, f"{what}: the robot took the message")
            case "waits":
                text = f"{what}: it waits for the robot's rate limit and will be part of a digest"
                yield Step(StepState.UNSEEN, text)
            case "unknown":
                yield Step(
                    StepState.FAILED, f"{what}: {d.reason}", "write one of its targets into the url, or add this one"
                )
            case "later":
                yield Step(StepState.FAILED, f"{what}: not sent yet, Alertmanager tries again: {d.reason}")
            case _:
                yield Step(StepState.FAILED, f"{what}: the robot refused the message: {d.reason}")


def unseen(shown: str, wanted: Sequence[Integration], has_relay: bool) -> Iterator[Step]:
    """What nothing here can tell."""
    for kind in dict.fromkeys(one.kind for one in wanted):
        if kind != WEBHOOK:
            text = f"{shown}: {kind}: whether the message arrived cannot be seen from here"
            yield Step(StepState.UNSEEN, text, "look for it where it should be")
        elif not has_relay:
            text = f"{shown}: webhook: what its receiver did with the message cannot be seen from here"
            yield Step(StepState.UNSEEN, text, "if that is `rulepush dingtalk`, ask it: --relay http://HOST:8060")
