"""What the status page shows of a running service, put together by `service`. Times in ms, sizes in bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MemoryPart:
    """A part of `rulepush_memory_bytes`."""

    name: str
    nbytes: int


@dataclass(frozen=True, slots=True)
class DatabaseState:
    """One file of the state directory. `errors` counts failed reads and writes, `lost` the writes among them: what they
    should have written is in memory only."""

    name: str
    nbytes: int
    errors: int
    lost: int


@dataclass(frozen=True, slots=True)
class RecordingState:
    """What `storage.record` has on disk: since when, and, where nothing can be written, since when not and why."""

    nbytes: int
    since: int | None
    stopped_since: int | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class StorageState:
    """The state directory; with `path` "" everything is in memory only.

    `writable`  whether this process may write there; `free_bytes` is the room that the file system has
    `journal_*` samples written since the start, given up, and writes that failed
    `recording` None where nothing is recorded
    """

    path: str = ""
    writable: bool = False
    free_bytes: int = 0
    databases: Sequence[DatabaseState] = ()
    journal_written: int = 0
    journal_lost: int = 0
    journal_failures: int = 0
    recording: RecordingState | None = None

    @property
    def failing(self) -> bool:
        """Whether something could not be saved since the start, or cannot now."""
        trouble = self.journal_failures or self.journal_lost or any(d.errors for d in self.databases)
        return bool(self.path) and (not self.writable or bool(trouble))


@dataclass(frozen=True, slots=True)
class ReloadState:
    """The configuration `file` in force since `loaded_at`. After a failed attempt `failed_at` is when the first of the
    failed ones in a row was, and `error` why the last one failed, a problem a line."""

    file: str
    loaded_at: int
    failed_at: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True)
class ServiceFacts:
    """`resident_bytes` is the process' memory, 0 where it is not known; `memory` are the parts of it that grow with the
    work. With a `retention_ms` everything is kept for so long, else what the rules need. `overload` says by how much
    scraping does not keep up, "" when it does. `samples_scraped`, `samples_kept` and `scrapes_skipped` count since the
    start. `sharding` names this shard, `2/5` from 0, "" for the only one; `left_to_others` counts the targets that only
    other shards scrape. `rule_shard` and `groups_of_others` are the same of rules and their groups."""

    version: str
    python: str
    hostname: str
    directory: str
    listen_address: str
    external_url: str
    started_at: int
    resident_bytes: int
    memory: Sequence[MemoryPart]
    series: int
    samples: int
    samples_scraped: int
    samples_kept: int
    scrapes_skipped: int
    targets: int
    rule_groups: int
    rules: int
    queries: int
    query_failures: int
    retention_ms: int
    overload: str
    time_jumps: int
    reload: ReloadState
    storage: StorageState
    sharding: str = ""
    left_to_others: int = 0
    rule_shard: str = ""
    groups_of_others: int = 0
