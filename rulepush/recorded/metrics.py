"""Own metrics of the recording."""

from __future__ import annotations

from rulepush.recorded.writer import RecordingWriter
from rulepush.telemetry import MetricReading, Telemetry, single


def expose_recording(t: Telemetry, writer: RecordingWriter) -> None:
    """What is recorded, and what is not."""
    stats = writer.stats
    t.gauge(
        "rulepush_recording_up",
        "Whether what comes in is recorded; 0 while the files cannot be written.",
        single(lambda: writer.up),
    )
    t.gauge("rulepush_recording_bytes", "Bytes of the recording's files.", single(lambda: writer.nbytes))
    t.gauge(
        "rulepush_recording_oldest_timestamp_seconds",
        "When the oldest segment of the recording was begun, since the Unix epoch; absent while there is none.",
        lambda: () if writer.oldest is None else (MetricReading((), writer.oldest / 1000),),
    )
    t.counter("rulepush_recording_samples", "Samples recorded.", single(lambda: stats.samples))
    t.counter("rulepush_recording_blocks", "Scrapes, pushes and requests recorded.", single(lambda: stats.blocks))
    t.counter(
        "rulepush_recording_dropped_events",
        "What was not recorded, because the files could not be written.",
        single(lambda: stats.dropped),
    )
    t.counter(
        "rulepush_recording_damaged_segments",
        "Segments that were damaged and set aside.",
        single(lambda: stats.damaged),
    )
