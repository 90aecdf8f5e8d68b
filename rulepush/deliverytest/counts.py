"""Alertmanager's own counters of what it sent. Pure.

Sources: Alertmanager notify/notify.go (`NewMetrics`; the label `receiver_name` is there with the feature
receiver-name-in-metrics only) and notify/util.go (the reasons); mwitkow/go-conntrack (failed connections).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from rulepush.errors import ExpositionError
from rulepush.exposition import parse_body
from rulepush.exposition.entries import Format

_REQUESTS: Final = "alertmanager_notification_requests_total"
_REQUESTS_FAILED: Final = "alertmanager_notification_requests_failed_total"
_FAILED: Final = "alertmanager_notifications_failed_total"
_CONNECTIONS_FAILED: Final = "net_conntrack_dialer_conn_failed_total"
_WANTED: Final = re.compile(
    rf"(?m)^(?:{_REQUESTS}|{_REQUESTS_FAILED}|{_FAILED}|{_CONNECTIONS_FAILED})\{{[^\n]*\n", re.ASCII
)


@dataclass(frozen=True, slots=True)
class SendCounts:
    """Of one kind of integration: attempts, attempts that failed, notifications that were given up by their reason,
    and connections that failed by theirs."""

    attempts: int = 0
    failed_attempts: int = 0
    given_up: Mapping[str, int] = field(default_factory=dict)
    connections_failed: Mapping[str, int] = field(default_factory=dict)

    @property
    def succeeded(self) -> int:
        """Attempts that succeeded."""
        return max(self.attempts - self.failed_attempts, 0)


def read_counts(text: str, receivers: Collection[str]) -> dict[str, SendCounts]:
    """By kind of integration. Where the receivers are told apart, of these receivers only."""
    attempts: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    given_up: dict[str, Counter[str]] = {}
    connections: dict[str, Counter[str]] = {}
    try:
        samples = parse_body("".join(_WANTED.findall(text)).encode(), Format.TEXT).samples
    except ExpositionError:
        return {}
    for sample in samples:
        labels = dict(sample.pairs)
        name, value = labels.get("__name__", ""), int(sample.value)
        if "receiver_name" in labels and labels["receiver_name"] not in receivers:
            continue
        kind = labels.get("integration", "")
        if name == _REQUESTS:
            attempts[kind] += value
        elif name == _REQUESTS_FAILED:
            failed[kind] += value
        elif name == _FAILED:
            given_up.setdefault(kind, Counter())[labels.get("reason", "")] += value
        else:
            connections.setdefault(labels.get("dialer_name", ""), Counter())[labels.get("reason", "")] += value
    kinds = attempts.keys() | given_up.keys()
    return {
        kind: SendCounts(attempts[kind], failed[kind], given_up.get(kind, {}), connections.get(kind, {}))
        for kind in kinds
    }


def increase(before: Mapping[str, SendCounts], after: Mapping[str, SendCounts]) -> dict[str, SendCounts]:
    """What was counted in between; a counter that fell was reset, and counts from zero."""
    return {kind: _minus(count, before.get(kind, SendCounts())) for kind, count in after.items()}


def summed(counts: Iterable[Mapping[str, SendCounts]]) -> dict[str, SendCounts]:
    """Over the members of a cluster, of which one sends."""
    total: dict[str, SendCounts] = {}
    for each in counts:
        for kind, count in each.items():
            known = total.get(kind, SendCounts())
            total[kind] = SendCounts(
                known.attempts + count.attempts,
                known.failed_attempts + count.failed_attempts,
                Counter(known.given_up) + Counter(count.given_up),
                Counter(known.connections_failed) + Counter(count.connections_failed),
            )
    return total


def _minus(after: SendCounts, before: SendCounts) -> SendCounts:
    return SendCounts(
        _grown(before.attempts, after.attempts),
        _grown(before.failed_attempts, after.failed_attempts),
        _grown_each(before.given_up, after.given_up),
        _grown_each(before.connections_failed, after.connections_failed),
    )


def _grown(before: int, after: int) -> int:
    return after - before if after >= before else after


def _grown_each(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    grown = {key: _grown(before.get(key, 0), value) for key, value in after.items()}
    return {key: value for key, value in grown.items() if value}
