"""The state directory, `--storage.path`: its SQLite files, and the lock that keeps a second process out."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from rulepush.history.store import SCHEMA as HISTORY_SCHEMA
from rulepush.notifier.store import SCHEMA as UNDELIVERED_SCHEMA
from rulepush.rules.state import SCHEMA as STATES_SCHEMA
from rulepush.storage.database import Database
from rulepush.storage.journal import SCHEMA as JOURNAL_SCHEMA
from rulepush.storage.lock import DirectoryLock

log = logging.getLogger("rulepush.main")


class StateDirectory:
    """The files; in memory, and without samples, where `directory` is None.

    `alerts` holds alert states and undelivered resolutions in one file, so that one transaction writes both. `history`
    has a file of its own: what it writes in the background must not make an evaluation wait.
    """

    def __init__(self, directory: Path | None):
        """Raises StorageError when another process uses the directory."""
        self._lock = DirectoryLock(directory) if directory else None
        if directory is not None and not os.access(directory, os.W_OK | os.X_OK):
            log.error(
                "the state directory cannot be written: what it holds is used, but nothing can be saved until this "
                "process may write to it: path=%s",
                directory,
            )
        self.alerts = Database(directory and directory / "alerts.db", STATES_SCHEMA + UNDELIVERED_SCHEMA)
        self.history = Database(directory and directory / "history.db", HISTORY_SCHEMA, any_thread=True)
        self.samples: Database | None = None
        if directory is not None:
            self.samples = Database(directory / "samples.db", JOURNAL_SCHEMA, any_thread=True, checkpoints=False)

    def all(self) -> Sequence[Database]:
        """Those that are open."""
        return [database for database in (self.alerts, self.history, self.samples) if database is not None]

    def close(self) -> None:
        """Close the files, and let others in."""
        for database in self.all():
            database.close()
        if self._lock is not None:
            self._lock.release()
