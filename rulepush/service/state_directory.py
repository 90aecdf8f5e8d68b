"""The state directory, `--storage.path`: its SQLite files, and the lock that keeps a second process out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from rulepush.errors import StorageError
from rulepush.history.store import SCHEMA as HISTORY_SCHEMA
from rulepush.notifier.store import SCHEMA as UNDELIVERED_SCHEMA
from rulepush.rules.state import SCHEMA as STATES_SCHEMA
from rulepush.storage.database import Database
from rulepush.storage.journal import SCHEMA as JOURNAL_SCHEMA
from rulepush.storage.lock import DirectoryLock
from rulepush.storage.writable import require_writable


class StateDirectory:
    """The files; in memory, and without samples, where `directory` is None.

    `alerts` holds alert states and undelivered resolutions in one file, so that one transaction writes both. `history`
    has a file of its own: what it writes in the background must not make an evaluation wait.
    """

    def __init__(self, directory: Path | None, optional: bool = False):
        """Raises StorageError when another process uses the directory, and, unless it is `optional`, when this one
        cannot write there."""
        self.directory = directory
        self._lock: DirectoryLock | None = None
        if directory is not None:
            if not optional or directory.is_dir() or not directory.exists():
                self._lock = DirectoryLock(directory)
            try:
                require_writable(directory, optional)
            except StorageError:
                self._release()
                raise
        self.alerts = Database(directory and directory / "alerts.db", STATES_SCHEMA + UNDELIVERED_SCHEMA)
        self.history = Database(directory and directory / "history.db", HISTORY_SCHEMA, any_thread=True)
        self.samples: Database | None = None
        if directory is not None:
            self.samples = Database(directory / "samples.db", JOURNAL_SCHEMA, any_thread=True, checkpoints=False)

    @property
    def is_writable(self) -> bool:
        """Whether this process may write there now; also where nothing is to be kept."""
        return self.directory is None or os.access(self.directory, os.W_OK | os.X_OK)

    def all(self) -> Sequence[Database]:
        """Those that are open."""
        return [database for database in (self.alerts, self.history, self.samples) if database is not None]

    def close(self) -> None:
        """Close the files, and let others in."""
        for database in self.all():
            database.close()
        self._release()

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()
