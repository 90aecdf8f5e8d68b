"""The notifications that wait for a robot's rate limit, on disk: they were accepted, so a crash must not lose them."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, Protocol

from rulepush.errors import StorageError
from rulepush.relay.notification import Notification, ReceivedAlert
from rulepush.storage.database import Database

log = logging.getLogger("rulepush.dingtalk")

FILE_NAME: Final = "dingtalk.db"
Key = tuple[str, str]
"""The name of a target, and the key of a group of alerts."""

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS waiting (
  target TEXT NOT NULL, grp TEXT NOT NULL, since INTEGER NOT NULL, body TEXT NOT NULL, PRIMARY KEY (target, grp)
)
"""


class WaitingStore(Protocol):
    """Stores waiting notifications. No method raises: a lost file must not stop messages."""

    def put(self, key: Key, since: int, notification: Notification) -> None: ...
    def remove(self, keys: Iterable[Key]) -> None: ...


class NoStore:
    """Stores nothing: without `--storage.path` waiting notifications are in memory only."""

    def put(self, key: Key, since: int, notification: Notification) -> None:
        return

    def remove(self, keys: Iterable[Key]) -> None:
        return


class FileStore:
    """A SQLite file in the state directory."""

    def __init__(self, directory: Path):
        self._database = Database(directory / FILE_NAME, _SCHEMA)

    def put(self, key: Key, since: int, notification: Notification) -> None:
        row = (*key, since, to_json(notification))
        self._write("INSERT OR REPLACE INTO waiting VALUES (?, ?, ?, ?)", [row])

    def remove(self, keys: Iterable[Key]) -> None:
        self._write("DELETE FROM waiting WHERE target = ? AND grp = ?", list(keys))

    def load(self) -> list[tuple[Key, int, Notification]]:
        """The notifications that waited when the last process ended, oldest first."""
        try:
            rows = self._database.read("SELECT target, grp, since, body FROM waiting ORDER BY since")
        except StorageError as e:
            log.error("%s", e)
            return []
        found = []
        for target, group, since, body in rows:
            try:
                found.append(((target, group), int(since), from_json(body)))
            except (ValueError, TypeError, KeyError) as e:
                log.error("a waiting notification for target %s cannot be read: %s", target, e)
        return found

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _write(self, sql: str, rows: list[Any]) -> None:
        try:
            self._database.write([(sql, rows)])
        except StorageError as e:
            log.error("%s", e)


def to_json(notification: Notification) -> str:
    """A notification as JSON text."""
    return json.dumps(asdict(notification), ensure_ascii=False, separators=(",", ":"))


def from_json(text: str) -> Notification:
    """The inverse. Raises ValueError, TypeError or KeyError."""
    data = json.loads(text)
    alerts = tuple(ReceivedAlert(**{**a, **_pairs(a, "labels", "annotations")}) for a in data["alerts"])
    pairs = _pairs(data, "group_labels", "common_labels", "common_annotations")
    return Notification(**{**data, **pairs, "alerts": alerts})


def _pairs(data: dict[str, Any], *keys: str) -> dict[str, tuple[tuple[str, str], ...]]:
    return {key: tuple((name, value) for name, value in data[key]) for key in keys}
