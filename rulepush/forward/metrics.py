"""Own metrics of the pushes to Pushgateways. Does not import the forwarder: it is loaded where it is configured."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from rulepush.telemetry import Readings, Telemetry, for_each

if TYPE_CHECKING:
    from rulepush.forward.pushgateway import PushgatewayForwarder


def expose_pushgateways(t: Telemetry, forwarders: Callable[[], Iterable[PushgatewayForwarder]]) -> None:
    """Requests and what waits, by entry of `pushgateways`."""

    def each(number: Callable[[PushgatewayForwarder], float]) -> Readings:
        return for_each(forwarders, lambda forwarder: forwarder.name, number)

    name = ("pushgateway",)
    t.counter("rulepush_pushgateway_pushes", "Groups pushed.", each(lambda f: f.counts.pushed), name)
    t.counter("rulepush_pushgateway_deletes", "Groups deleted.", each(lambda f: f.counts.deleted), name)
    t.counter("rulepush_pushgateway_retries", "Pushes tried again.", each(lambda f: f.counts.retried), name)
    t.counter("rulepush_pushgateway_refused", "Pushes refused for good.", each(lambda f: f.counts.refused), name)
    t.gauge("rulepush_pushgateway_groups_waiting", "Groups not delivered yet.", each(lambda f: f.waiting), name)
