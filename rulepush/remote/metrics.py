"""Own metrics of remote write, in both directions. Imports neither: each is loaded only where it is configured."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from rulepush.telemetry import Readings, Telemetry, for_each, single

if TYPE_CHECKING:
    from rulepush.remote.apply import ReceiverStats
    from rulepush.remote.sender import RemoteWriteSender


def expose_remote_writes(t: Telemetry, senders: Callable[[], Iterable[RemoteWriteSender]]) -> None:
    """What is sent on, by entry of `remote_write`."""

    def each(number: Callable[[RemoteWriteSender], float]) -> Readings:
        return for_each(senders, lambda sender: sender.name, number)

    remote = ("remote_name",)
    t.counter(
        "rulepush_remote_storage_samples", "Samples that a remote write took.", each(lambda s: s.counts.sent), remote
    )
    t.counter("rulepush_remote_storage_retries", "Requests sent again.", each(lambda s: s.counts.retries), remote)
    t.counter(
        "rulepush_remote_storage_refused_samples", "Samples it refused.", each(lambda s: s.counts.refused), remote
    )
    t.counter(
        "rulepush_remote_storage_lost_samples", "Lost: the buffer was full.", each(lambda s: s.lost_samples), remote
    )
    t.counter("rulepush_remote_storage_expired_samples", "Given up: too old.", each(lambda s: s.counts.expired), remote)
    t.gauge(
        "rulepush_remote_storage_samples_pending",
        "Samples waiting in memory.",
        each(lambda s: s.pending_samples),
        remote,
    )
    t.gauge("rulepush_remote_storage_buffer_bytes", "Bytes waiting on disk.", each(lambda s: s.buffer_bytes), remote)
    t.gauge(
        "rulepush_remote_storage_highest_timestamp_seconds",
        "Time of the newest sample it took.",
        each(lambda s: s.newest_sent / 1000),
        remote,
    )


def expose_remote_write_receiver(t: Telemetry, stats: ReceiverStats) -> None:
    """What was received by remote write."""
    t.counter("rulepush_remote_write_requests", "Requests received.", single(lambda: stats.requests))
    t.counter(
        "rulepush_remote_write_refused_requests",
        "Requests answered with an error.",
        single(lambda: stats.refused_requests),
    )
    t.counter("rulepush_remote_write_samples", "Samples accepted.", single(lambda: stats.samples))
    t.counter(
        "rulepush_remote_write_samples_dropped",
        "Of these, those no rule needs.",
        single(lambda: stats.unwanted_samples),
    )
    t.counter(
        "rulepush_remote_write_refused_samples",
        "Samples refused: out of order, duplicates, or with bad labels.",
        single(lambda: stats.refused_samples),
    )
    t.counter(
        "rulepush_remote_write_histograms",
        "Native histograms received.",
        single(lambda: stats.histograms),
    )
