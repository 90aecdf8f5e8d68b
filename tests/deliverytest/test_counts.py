"""Alertmanager's counters: what was sent between two readings."""

from __future__ import annotations

from rulepush.deliverytest.counts import SendCounts, increase, read_counts, summed

# Lines of Alertmanager 0.33's /metrics.
METRICS = """# HELP alertmanager_notification_requests_total The total number of attempted notification requests.
# TYPE alertmanager_notification_requests_total counter
alertmanager_notification_requests_total{integration="email"} 0
alertmanager_notification_requests_total{integration="webhook"} 8
# TYPE alertmanager_notification_requests_failed_total counter
alertmanager_notification_requests_failed_total{integration="email"} 0
alertmanager_notification_requests_failed_total{integration="webhook"} 5
# TYPE alertmanager_notifications_failed_total counter
alertmanager_notifications_failed_total{integration="webhook",reason="clientError"} 1
alertmanager_notifications_failed_total{integration="webhook",reason="other"} 0
# TYPE net_conntrack_dialer_conn_failed_total counter
net_conntrack_dialer_conn_failed_total{dialer_name="webhook",reason="refused"} 4
go_goroutines 3
"""


def test_attempts_failures_and_their_reasons_are_read_by_kind() -> None:
    counts = read_counts(METRICS, ())
    assert counts.keys() == {"email", "webhook"}
    webhook = counts["webhook"]
    assert (webhook.attempts, webhook.failed_attempts, webhook.succeeded) == (8, 5, 3)
    assert dict(webhook.given_up) == {"clientError": 1, "other": 0}
    assert dict(webhook.connections_failed) == {"refused": 4}


def test_where_receivers_are_told_apart_others_do_not_count() -> None:
    text = "".join(
        f'alertmanager_notification_requests_total{{integration="webhook",receiver_name="{name}"}} {count}\n'
        for name, count in (("ops", 3), ("dev", 40))
    )
    assert read_counts(text, ("ops",))["webhook"].attempts == 3


def test_what_is_no_metrics_counts_nothing() -> None:
    assert read_counts("<html>", ()) == {}
    assert read_counts('alertmanager_notification_requests_total{integration="webhook} 8\n', ()) == {}


def test_the_increase_is_what_came_in_between_and_a_restart_counts_from_zero() -> None:
    before = {"webhook": SendCounts(8, 5, {"other": 2, "clientError": 1}, {"refused": 4})}
    after = {"webhook": SendCounts(9, 5, {"other": 2, "clientError": 3}, {"refused": 4}), "email": SendCounts(2)}
    assert increase(before, after) == {"webhook": SendCounts(1, 0, {"clientError": 2}, {}), "email": SendCounts(2)}
    assert increase(before, {"webhook": SendCounts(1)})["webhook"].attempts == 1


def test_the_members_of_a_cluster_are_summed() -> None:
    one, two = {"webhook": SendCounts(1, 1, {"other": 1})}, {"webhook": SendCounts(2, 0), "email": SendCounts(1)}
    assert summed([one, two]) == {"webhook": SendCounts(3, 1, {"other": 1}, {}), "email": SendCounts(1, 0, {}, {})}
