"""What the notifier tells the history: neither knows the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rulepush.clock import Clock
from rulepush.history.deliveries import Attempt, Outcome, SentAlert
from rulepush.history.history import AlertHistory
from rulepush.notifier.alertmanager import PostOutcome, PostResponse
from rulepush.notifier.sendloop import OnAttempt
from rulepush.notifier.wire import WireAlert

_OUTCOMES: Final = {
    PostOutcome.ACCEPTED: Outcome.ACCEPTED,
    PostOutcome.RETRY: Outcome.FAILED,
    PostOutcome.REFUSED: Outcome.REFUSED,
}


def attempt_recorder(history: AlertHistory, clock: Clock) -> OnAttempt:
    """An OnAttempt that keeps every attempt in the history."""

    def told(url: str, alerts: Sequence[WireAlert], answer: PostResponse) -> None:
        attempt = Attempt(url, clock.now(), _OUTCOMES[answer.outcome], answer.status, answer.reason)
        history.attempted(attempt, [SentAlert(a.fingerprint, a.starts_at, a.resolved) for a in alerts if a.fingerprint])

    return told
