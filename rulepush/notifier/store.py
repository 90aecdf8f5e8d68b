"""Resolutions that no Alertmanager has accepted yet, kept in SQLite across restarts."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from rulepush.errors import StorageError
from rulepush.notifier.wire import WireAlert, dump_alert, load_alert
from rulepush.storage.database import Database

log = logging.getLogger("rulepush.notifier")

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS undelivered (
  url TEXT NOT NULL, labels TEXT NOT NULL, alert TEXT NOT NULL, PRIMARY KEY (url, labels)
) WITHOUT ROWID;
"""


class SqliteUndelivered:
    """An UndeliveredStore. A database that fails is reported; delivery goes on from memory."""

    def __init__(self, database: Database):
        self._database = database

    def save(self, url: str, alerts: Sequence[WireAlert]) -> None:
        """Keep these until `remove`."""
        rows = [(url, str(a.labels), dump_alert(a)) for a in alerts]
        self._write("INSERT OR REPLACE INTO undelivered VALUES (?, ?, ?)", rows)

    def remove(self, url: str, alerts: Sequence[WireAlert]) -> None:
        """Remove these: they were accepted, or refused permanently."""
        self._write("DELETE FROM undelivered WHERE url = ? AND labels = ?", [(url, str(a.labels)) for a in alerts])

    def load(self, url: str) -> list[WireAlert]:
        """The resolutions that the last run did not deliver to this Alertmanager."""
        try:
            rows = self._database.read("SELECT alert FROM undelivered WHERE url = ?", (url,))
        except StorageError as e:
            log.error("undelivered resolutions of the last run cannot be read: url=%s err=%s", url, e)
            return []
        waiting = []
        for (text,) in rows:
            try:
                waiting.append(load_alert(text))
            except (ValueError, KeyError, TypeError) as e:
                log.error("an undelivered resolution of the last run cannot be read: url=%s err=%r", url, e)
        return waiting

    def _write(self, sql: str, rows: Sequence[tuple[str, ...]]) -> None:
        try:
            self._database.write([(sql, rows)])
        except StorageError as e:
            log.error("undelivered resolutions cannot be saved, they are kept in memory only: err=%s", e)
