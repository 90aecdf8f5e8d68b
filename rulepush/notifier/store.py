"""Resolutions that no Alertmanager has accepted yet, kept in SQLite across restarts."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from rulepush.errors import StorageError
from rulepush.model.labels import Labels
from rulepush.notifier.wire import WireAlert, dump_alert, load_alert
from rulepush.storage.database import Database, Statement

log = logging.getLogger("rulepush.notifier")

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS undelivered (
  url TEXT NOT NULL, labels TEXT NOT NULL, alert TEXT NOT NULL, PRIMARY KEY (url, labels)
) WITHOUT ROWID;
"""
_PUT: Final = "INSERT OR REPLACE INTO undelivered VALUES (?, ?, ?)"


class SqliteUndelivered:
    """An UndeliveredStore. A database that fails is reported; delivery goes on from memory, and `whole` is what makes
    the table right again.

    What the last run left is not sent where it could not save everything: a resolution that was delivered may still be
    there, and would end a later episode of its alert. Alertmanager ends such alerts by their `endsAt`.
    """

    def __init__(self, database: Database):
        self._database = database
        self._kept: dict[str, dict[Labels, WireAlert]] = {}  # what the table should hold, of the URLs of this run
        self._read: set[str] = set()
        self._failing = False

    def save(self, url: str, alerts: Sequence[WireAlert]) -> None:
        """Keep these until `remove`."""
        self._kept.setdefault(url, {}).update((a.labels, a) for a in alerts)
        self._write(_PUT, [_row(url, a) for a in alerts])

    def remove(self, url: str, alerts: Sequence[WireAlert]) -> None:
        """Remove these: they were accepted, or refused permanently."""
        kept = self._kept.setdefault(url, {})
        for alert in alerts:
            kept.pop(alert.labels, None)
        self._write("DELETE FROM undelivered WHERE url = ? AND labels = ?", [(url, str(a.labels)) for a in alerts])

    def load(self, url: str) -> list[WireAlert]:
        """What waits for this Alertmanager, of this run and of the last."""
        kept = self._kept.setdefault(url, {})
        if url not in self._read:
            for alert in self._load(url):
                kept.setdefault(alert.labels, alert)
        return list(kept.values())

    def _load(self, url: str) -> list[WireAlert]:
        try:
            rows = self._database.read("SELECT alert FROM undelivered WHERE url = ?", (url,))
        except StorageError as e:
            log.error("undelivered resolutions of the last run cannot be read: url=%s err=%s", url, e)
            return []
        self._read.add(url)
        if self._database.is_incomplete:
            return []
        waiting = []
        for (text,) in rows:
            try:
                waiting.append(load_alert(text))
            except (ValueError, KeyError, TypeError) as e:
                log.error("an undelivered resolution of the last run cannot be read: url=%s err=%r", url, e)
        return waiting

    def whole(self) -> list[Statement]:
        """What makes the table hold what it should, whatever could not be written before. The rows of an Alertmanager
        that this run has not sent to stay, unless they are doubtful."""
        forget: Statement = ("DELETE FROM undelivered WHERE url = ?", [(url,) for url in self._read])
        if self._database.is_incomplete:
            forget = ("DELETE FROM undelivered", [()])
        return [forget, (_PUT, [_row(url, a) for url, alerts in self._kept.items() for a in alerts.values()])]

    def _write(self, sql: str, rows: Sequence[tuple[str, ...]]) -> None:
        try:
            self._database.write([(sql, rows)])
        except StorageError as e:
            if not self._failing:
                log.error("undelivered resolutions cannot be saved, they are kept in memory only: err=%s", e)
            self._failing = True
        else:
            self._failing = self._failing and not self._database.is_complete


def _row(url: str, alert: WireAlert) -> tuple[str, str, str]:
    return url, str(alert.labels), dump_alert(alert)
