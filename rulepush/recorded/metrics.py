"""Own metrics of the recording."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rulepush.telemetry import MetricReading, Telemetry

if TYPE_CHECKING:  # nothing of it is loaded where nothing is recorded
    from rulepush.recorded.writer import RecordingWriter


def expose_recording(t: Telemetry, writer: Callable[[], RecordingWriter | None]) -> None:
    """What is recorded, and what is not. `writer()` is None, and the metrics absent, while recording is off."""

    def reading(of: Callable[[RecordingWriter], float]) -> Callable[[], Sequence[MetricReading]]:
        def read() -> Sequence[MetricReading]:
            now = writer()
            return () if now is None else (MetricReading((), of(now)),)

        return read

    def oldest() -> Sequence[MetricReading]:
        now = writer()
        return () if now is None or now.oldest is None else (MetricReading((), now.oldest / 1000),)

    t.gauge(
        "rulepush_recording_up",
        "Whether what comes in is recorded; 0 while the files cannot be written.",
        reading(lambda w: float(w.up)),
    )
    t.gauge("rulepush_recording_bytes", "Bytes of the recording's files.", reading(lambda w: w.nbytes))
    t.gauge(
        "rulepush_recording_oldest_timestamp_seconds",
        "When the oldest segment of the recording was begun, since the Unix epoch; absent while there is none.",
        oldest,
    )
    t.counter("rulepush_recording_samples", "Samples recorded.", reading(lambda w: w.stats.samples))
    t.counter("rulepush_recording_blocks", "Scrapes, pushes and requests recorded.", reading(lambda w: w.stats.blocks))
    t.counter(
        "rulepush_recording_dropped_events",
        "What was not recorded, because the files could not be written.",
        reading(lambda w: w.stats.dropped),
    )
    t.counter(
        "rulepush_recording_damaged_segments",
        "Segments that were damaged and set aside.",
        reading(lambda w: w.stats.damaged),
    )
