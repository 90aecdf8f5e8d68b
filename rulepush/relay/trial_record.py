"""What became of the alerts of `rulepush test delivery`: a short record in memory, without any content of messages.

Other alerts leave no trace in it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any, Final

from rulepush.model.timestamps import format_rfc3339
from rulepush.relay.notification import Notification

TRIAL_ALERT: Final = "RulepushDeliveryTest"
"""What the alertname of such alerts begins with: `RulepushDeliveryTest_5e1757fa`."""
TRIAL_LABEL: Final = "test_id"
"""The label that tells one test from another."""
RECORD_PATH: Final = "/dingtalk/deliveries"
_KEPT: Final = 200


@dataclass(frozen=True, slots=True)
class TrialDelivery:
    """One notification with such an alert. `fate` is `sent`, `waits`, `later`, `refused`, or `unknown` for a target
    that is not configured; `reason` says why, without secrets. `at` in milliseconds."""

    test_id: str
    target: str
    firing: bool
    fate: str
    reason: str
    at: int

    def as_json(self) -> dict[str, Any]:
        """For the answer to `GET /dingtalk/deliveries`."""
        return {
            "target": self.target,
            "status": "firing" if self.firing else "resolved",
            "fate": self.fate,
            "reason": self.reason,
            "at": format_rfc3339(self.at),
        }


class TrialRecord:
    """The newest deliveries of such alerts."""

    def __init__(self) -> None:
        self._kept: deque[TrialDelivery] = deque(maxlen=_KEPT)

    def add(self, target: str, notification: Notification, fate: str, reason: str, at: int) -> None:
        """Keep what became of the notification, if there is such an alert in it."""
        for alert in notification.alerts:
            test_id = alert.label(TRIAL_LABEL)
            if test_id and alert.label("alertname").startswith(TRIAL_ALERT):
                self._kept.append(TrialDelivery(test_id, target, alert.firing, fate, reason, at))

    def of(self, test_id: str) -> list[TrialDelivery]:
        """Those of one test, oldest first."""
        return [delivery for delivery in self._kept if delivery.test_id == test_id]
