"""What is wrong now with delivery, datasources, the configuration, the load, the recording or the storage: the bar.

A page that shows no alert must not look calm while the alerts reach nobody. Each function looks at one part of the
service and says what is wrong there; `service` puts them together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

from rulepush.datasource.status import DatasourceStatus
from rulepush.delivery import DeliveryStatus, HeartbeatState, HeartbeatStatus, ReceiverKind
from rulepush.peers.merge import MissingPeer
from rulepush.site.language import Message, message

WAITS_TOO_LONG_MS: Final = 30_000  # an alert normally leaves within the second


class TroubleKind(Enum):
    """The value is a class of the style sheet."""

    DELIVERY = "delivery"
    CONFIGURATION = "configuration"
    OVERLOAD = "overload"
    RECORDING = "recording"
    STORAGE = "storage"
    DATASOURCE = "datasource"
    PEERS = "peers"


@dataclass(frozen=True, slots=True)
class Trouble:
    """`words` say what is wrong, `since` when it began (ms), `detail` is the error as it came, in its own words, `link`
    is the path of the page that tells more, without prefix."""

    kind: TroubleKind
    words: Message
    since: int | None = None
    link: str = ""
    detail: str = ""


def delivery_troubles(deliveries: Iterable[DeliveryStatus], now: int) -> Iterator[Trouble]:
    """What a receiver does not get, or does not take."""
    for status in deliveries:
        reached, waits, refuses = _words(status)
        if status.failing:
            yield Trouble(TroubleKind.DELIVERY, reached, status.failing_since, "/delivery", status.last_error)
        elif not status.refuses(now) and status.waiting_since and now - status.waiting_since > WAITS_TOO_LONG_MS:
            yield Trouble(TroubleKind.DELIVERY, waits, status.waiting_since, "/delivery")
        if status.refuses(now):
            reason = status.refusals[0].reason
            yield Trouble(TroubleKind.DELIVERY, refuses, status.refusing_since, "/delivery", reason)


def _words(status: DeliveryStatus) -> tuple[Message, Message, Message]:
    """For what cannot be sent, what waits, and what is refused."""
    name, waiting, refused = status.shown_name, status.waiting, status.refusing
    if status.kind is ReceiverKind.ALERTMANAGER:
        return (
            message("Alerts do not reach %(url)s, %(count)d wait", url=name, count=waiting),
            message("Alerts wait for %(url)s, which does not answer: %(count)d", url=name, count=waiting),
            message("%(url)s refuses alerts, %(count)d so far", url=name, count=refused),
        )
    if status.address not in ("", name):
        name = f"{name} ({status.address})"  # one that has no name in the configuration is called by a hash
    return (
        message("Samples do not reach %(name)s", name=name),
        message("Samples wait for %(name)s, which does not answer", name=name),
        message("Samples are not accepted by %(name)s", name=name),
    )


def heartbeat_troubles(heartbeats: Iterable[HeartbeatStatus]) -> Iterator[Trouble]:
    """Heartbeats that do not come, so that their receiver raises the alarm soon."""
    for status in heartbeats:
        if status.state is HeartbeatState.WITHHELD:
            words = message("The heartbeat %(name)s is withheld", name=status.name)
            yield Trouble(TroubleKind.DELIVERY, words, status.since, "/delivery", status.reason)
        elif status.state is HeartbeatState.NOT_RECEIVED:
            words = message("The heartbeat %(name)s is not received", name=status.name)
            yield Trouble(TroubleKind.DELIVERY, words, status.since, "/delivery", status.reason)


def datasource_troubles(statuses: Iterable[DatasourceStatus]) -> Iterator[Trouble]:
    """Engines that give no answer, so that their rules are not evaluated."""
    for status in statuses:
        if status.failing_since is not None:
            words = message(
                "%(name)s gives no answer, its rules are not evaluated: %(count)d", name=status.name, count=status.rules
            )
            yield Trouble(TroubleKind.DATASOURCE, words, status.failing_since, "/delivery", status.error)


def configuration_troubles(error: str, failed_at: int) -> Iterator[Trouble]:
    """The last reload failed with `error`, "" when it did not."""
    if error:
        words = message("The configuration was not reloaded, the one before stays in force")
        yield Trouble(TroubleKind.CONFIGURATION, words, failed_at or None, "/status", error)


def overload_troubles(described: str) -> Iterator[Trouble]:
    """Scrapes are skipped; `described` says by how much, "" where rulepush keeps up."""
    if described:
        words = message("rulepush is overloaded, scrapes are skipped")
        yield Trouble(TroubleKind.OVERLOAD, words, None, "/targets", described)


def recording_troubles(error: str, stopped_since: int | None) -> Iterator[Trouble]:
    """Nothing is recorded since `stopped_since` (ms) because of `error`; None while all is."""
    if stopped_since is not None:
        words = message("Recording has stopped, alerting goes on")
        yield Trouble(TroubleKind.RECORDING, words, stopped_since, "/status", error)


def storage_troubles(directory: str, is_writable: bool) -> Iterator[Trouble]:
    """This process may not write to its state directory, which --storage.optional allows."""
    if not is_writable:
        words = message("Nothing can be saved in %(path)s: a restart forgets what alerts were", path=directory)
        yield Trouble(TroubleKind.STORAGE, words, None, "/status")


def peer_troubles(missing: Iterable[MissingPeer]) -> Iterator[Trouble]:
    """Other evaluators of the rules that do not answer: what they have is not shown."""
    for one in missing:
        words = message("Another evaluator of the rules does not answer: %(name)s", name=one.name)
        yield Trouble(TroubleKind.PEERS, words, one.since, "/alerts", one.reason)
