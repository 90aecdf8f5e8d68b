"""What is wrong now with delivery, the configuration or the load: the bar on top of every page.

A page that shows no alert must not look calm while the alerts reach nobody. Each function looks at one part of the
service and says what is wrong there; `service` puts them together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol

from rulepush.notifier.sendloop import Refusals
from rulepush.site.language import Message, message

WAITS_TOO_LONG_MS: Final = 30_000  # an alert normally leaves within the second
REFUSED_LATELY_MS: Final = 5 * 60_000  # a firing alert is sent again, and refused again, every minute


class TroubleKind(Enum):
    """The value is a class of the style sheet."""

    DELIVERY = "delivery"
    CONFIGURATION = "configuration"
    OVERLOAD = "overload"


@dataclass(frozen=True, slots=True)
class Trouble:
    """`words` say what is wrong, `since` when it began (ms), `detail` is the error as it came, in its own words, `link`
    is the path of the page that tells more, without prefix."""

    kind: TroubleKind
    words: Message
    since: int | None = None
    link: str = ""
    detail: str = ""


class AlertSending(Protocol):
    """How the sending to one Alertmanager stands. `notifier.SendLoop` is one; times in ms."""

    @property
    def url(self) -> str: ...
    @property
    def last_error(self) -> str: ...
    @property
    def failing_since(self) -> int | None: ...
    @property
    def waiting(self) -> int: ...
    @property
    def oldest_waiting(self) -> int | None: ...
    @property
    def refusals(self) -> Refusals | None: ...


class SampleSending(Protocol):
    """How the sending of samples stands, to a remote write receiver or a Pushgateway."""

    @property
    def name(self) -> str: ...
    @property
    def last_error(self) -> str: ...


def delivery_troubles(alertmanagers: Iterable[AlertSending], now: int) -> Iterator[Trouble]:
    """Alerts that an Alertmanager does not get, or does not take."""
    for am in alertmanagers:
        refused = am.refusals
        refuses = refused is not None and now - refused.last_at < REFUSED_LATELY_MS
        if am.last_error:
            words = message("Alerts do not reach %(url)s, %(count)d wait", url=am.url, count=am.waiting)
            yield Trouble(TroubleKind.DELIVERY, words, am.failing_since, "/delivery", am.last_error)
        elif not refuses and am.oldest_waiting is not None and now - am.oldest_waiting > WAITS_TOO_LONG_MS:
            words = message("Alerts wait for %(url)s, which does not answer: %(count)d", url=am.url, count=am.waiting)
            yield Trouble(TroubleKind.DELIVERY, words, am.oldest_waiting, "/delivery")
        if refused is not None and refuses:
            words = message("%(url)s refuses alerts, %(count)d so far", url=am.url, count=refused.alerts)
            yield Trouble(TroubleKind.DELIVERY, words, refused.first_at, "/delivery", refused.reason)


def sample_troubles(receivers: Iterable[SampleSending]) -> Iterator[Trouble]:
    """Samples that a remote write receiver or a Pushgateway does not take."""
    for receiver in receivers:
        if receiver.last_error:
            words = message("Samples are not accepted by %(name)s", name=receiver.name)
            yield Trouble(TroubleKind.DELIVERY, words, None, "/delivery", receiver.last_error)


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
