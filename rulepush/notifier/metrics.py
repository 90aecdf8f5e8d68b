"""Own metrics of the sending to Alertmanagers."""

from __future__ import annotations

from collections.abc import Callable

from rulepush.clock import Clock
from rulepush.notifier.notifier import Notifier
from rulepush.notifier.sendloop import SendLoop
from rulepush.telemetry import Readings, Telemetry, for_each, single


def expose_notifications(t: Telemetry, notifier: Notifier, clock: Clock) -> None:
    """Deliveries and outboxes, by Alertmanager."""

    def each(number: Callable[[SendLoop], float]) -> Readings:
        return for_each(lambda: notifier.loops, lambda loop: loop.url, number)

    def oldest(loop: SendLoop) -> float:
        queued = loop.outbox.oldest()
        return 0.0 if queued is None else (clock.now() - queued) / 1000

    url = ("alertmanager",)
    t.counter("rulepush_notifications_sent", "Alerts accepted by the Alertmanager.", each(lambda s: s.counts.sent), url)
    t.counter(
        "rulepush_notifications_retried", "Alerts of batches sent again later.", each(lambda s: s.counts.retried), url
    )
    t.counter(
        "rulepush_notifications_rejected", "Alerts that it refused for good.", each(lambda s: s.counts.rejected), url
    )
    t.counter("rulepush_notifications_errors", "Attempts that failed.", each(lambda s: s.counts.errors), url)
    t.gauge("rulepush_outbox_alerts", "Alerts that wait to be accepted.", each(lambda s: len(s.outbox)), url)
    t.gauge("rulepush_outbox_oldest_seconds", "How long the oldest of them waits.", each(oldest), url)
    t.gauge("rulepush_alertmanagers", "Alertmanagers that alerts go to.", single(lambda: len(notifier.loops)))
    t.counter(
        "rulepush_notifications_dropped",
        "Alerts dropped by alert_relabel_configs.",
        single(lambda: notifier.dropped_by_relabel),
    )
