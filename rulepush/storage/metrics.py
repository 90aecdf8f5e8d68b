"""Own metrics of the storage: the samples in memory, the state databases, the journal."""

from __future__ import annotations

from collections.abc import Sequence

from rulepush.storage.database import Database
from rulepush.storage.head import Head
from rulepush.storage.journal import SampleJournal
from rulepush.telemetry import Telemetry, single


def expose_head(t: Telemetry, head: Head) -> None:
    """What is in memory."""
    t.gauge("rulepush_head_series", "Series in memory.", single(lambda: head.series_count))
    t.gauge("rulepush_head_samples", "Samples in memory.", single(lambda: head.sample_count))
    t.gauge("rulepush_head_bytes", "Memory of the samples.", single(lambda: head.nbytes))


def expose_databases(t: Telemetry, databases: Sequence[Database]) -> None:
    """What failed, over all state databases."""
    t.counter(
        "rulepush_state_errors",
        "Failed reads and writes of the state databases.",
        single(lambda: sum(database.errors for database in databases)),
    )


def expose_journal(t: Telemetry, journal: SampleJournal) -> None:
    """What was written of the samples, and what was not."""
    t.counter("rulepush_journal_samples", "Samples written to the journal.", single(lambda: journal.stats.written))
    t.counter("rulepush_journal_errors", "Writes of the journal that failed.", single(lambda: journal.stats.failures))
    t.counter("rulepush_journal_lost_samples", "Samples the journal gave up.", single(lambda: journal.stats.lost))
