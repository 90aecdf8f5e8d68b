"""The state of alerts over a restart: what changed is saved after each evaluation, and found again at start.

What the saved state means for the alerts is decided in `recovery.py`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final, Protocol

from rulepush.errors import StorageError
from rulepush.model.durations import format_duration
from rulepush.model.labels import Labels
from rulepush.rules.alert import Alert, AlertState
from rulepush.rules.specs import Pairs, RuleId
from rulepush.storage.database import Database, Statement

log = logging.getLogger("rulepush.rules")

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS alerts (
  rule TEXT NOT NULL, labels TEXT NOT NULL, alert TEXT NOT NULL, PRIMARY KEY (rule, labels)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS evaluations (rule_group TEXT PRIMARY KEY, ts INTEGER NOT NULL) WITHOUT ROWID;
"""
_REPORT_EVERY_MS: Final = 60_000
_PUT: Final = "INSERT OR REPLACE INTO alerts VALUES (?, ?, ?)"
_DROP: Final = "DELETE FROM alerts WHERE rule = ? AND labels = ?"
_SEEN: Final = "INSERT OR REPLACE INTO evaluations VALUES (?, ?)"


@dataclass(frozen=True, slots=True)
class RuleKey:
    """Which rule an alert belongs to."""

    file: str
    group: str
    rule: RuleId


@dataclass(frozen=True, slots=True)
class SavedAlert:
    """`seen_at` is the last evaluation of its group before the restart."""

    key: RuleKey
    alert: Alert
    seen_at: int


@dataclass(frozen=True, slots=True)
class StateChange:
    """An alert as it is now; None: it is gone."""

    key: RuleKey
    labels: Labels
    alert: Alert | None


class AlertStateStore(Protocol):
    """Where the state lives. What could not be saved need not be remembered: everything is given again then."""

    def load(self) -> list[SavedAlert]:
        """What was saved. Raises StorageError."""
        ...

    @property
    def is_incomplete(self) -> bool:
        """Whether something could not be saved before the last end; asked after `load`."""
        ...

    @property
    def is_whole(self) -> bool:
        """Whether the file still holds all that `replace` wrote and was saved since: if not, `replace` is needed."""
        ...

    def mark(self, *, complete: bool) -> bool:
        """Let the next start know whether all is saved. Never raises; `complete=False` works on a full disk. Returns
        what the next start will think."""
        ...

    def transaction(self) -> AbstractContextManager[None]:
        """Whatever is written within, here and by others to the same place, a crash loses whole or not at all.

        Raises StorageError at the end.
        """
        ...

    def save(self, changes: Sequence[StateChange], file: str, group: str, ts: int) -> None:
        """The changes of one evaluation, whole or not at all. Raises StorageError."""
        ...

    def replace(self, alerts: Sequence[SavedAlert]) -> None:
        """Make this all there is. Raises StorageError."""
        ...


class SqliteAlertStates:
    """An AlertStateStore in a Database made with SCHEMA.

    `beside` gives the statements that make the other tables of the file whole: when something could not be written, it
    may have been something of theirs.
    """

    def __init__(self, database: Database, beside: Callable[[], Iterable[Statement]] = tuple):
        self._database = database
        self._beside = beside
        self._whole = (-1, -1)  # how often the file had been closed, and writes had failed, when `replace` wrote it

    def load(self) -> list[SavedAlert]:
        """What was saved; rows that cannot be read are reported and left out. Raises StorageError."""
        seen = dict(self._database.read("SELECT rule_group, ts FROM evaluations"))
        found = []
        for rule, alert in self._database.read("SELECT rule, alert FROM alerts"):
            try:
                key = _load_key(rule)
                one = _load_alert(alert)
                latest = max(
                    t for t in (one.active_at, one.fired_at, one.resolved_at, one.last_sent_at) if t is not None
                )
                found.append(SavedAlert(key, one, max(latest, seen.get(_group_key(key.file, key.group), 0))))
            except (ValueError, KeyError, TypeError) as e:
                log.error("a saved alert cannot be read and is forgotten: rule=%s err=%s", rule, e)
        return found

    @property
    def is_incomplete(self) -> bool:
        """Whether the last process could not save everything."""
        return self._database.is_incomplete

    def mark(self, *, complete: bool) -> bool:
        """Put or remove the mark beside the file. Returns whether it is there."""
        if not complete:
            self._database.mark_incomplete()
        elif self.is_whole:
            self._database.mark_complete()
        return self._database.is_complete

    @property
    def is_whole(self) -> bool:
        """Whether no write has failed since `replace`, and the file is the one that it wrote."""
        return self._whole == self._now()

    def _now(self) -> tuple[int, int]:
        return self._database.closed, self._database.lost

    def transaction(self) -> AbstractContextManager[None]:
        """One transaction of all that is written to the database within. Raises StorageError."""
        return self._database.transaction()

    def save(self, changes: Sequence[StateChange], file: str, group: str, ts: int) -> None:
        """One transaction; without fsync (WAL), so it costs some tens of microseconds. Raises StorageError.

        Also when the file is not whole: changes alone would not make it so.
        """
        if not self.is_whole:
            raise StorageError("something could not be saved, or the file is a new one: all has to be saved again")
        put = [(_dump_key(c.key), str(c.labels), _dump_alert(c.alert)) for c in changes if c.alert is not None]
        drop = [(_dump_key(c.key), str(c.labels)) for c in changes if c.alert is None]
        statements: list[Statement] = [(_SEEN, [(_group_key(file, group), ts)])]
        if put:
            statements.append((_PUT, put))
        if drop:
            statements.append((_DROP, drop))
        self._database.write(statements)

    def replace(self, alerts: Sequence[SavedAlert]) -> None:
        """One transaction. Raises StorageError."""
        seen: dict[str, int] = {}
        for saved in alerts:
            key = _group_key(saved.key.file, saved.key.group)
            seen[key] = max(seen.get(key, 0), saved.seen_at)
        self._database.write(
            [
                ("DELETE FROM alerts", [()]),
                ("DELETE FROM evaluations", [()]),
                (_SEEN, list(seen.items())),
                (_PUT, [(_dump_key(s.key), str(s.alert.labels), _dump_alert(s.alert)) for s in alerts]),
                *self._beside(),
            ]
        )
        self._whole = self._now()


class SaveReport:
    """Logs that alert states cannot be saved, and that they are again. A disk that is nearly full takes some writes and
    refuses others, so failures are logged once a minute at most."""

    def __init__(self) -> None:
        self._failing_since: int | None = None  # in ms; None: no failure was logged since the last success
        self._logged_at: int | None = None
        self._failures = 0

    def failed(self, error: StorageError, ts: int) -> None:
        """What was to be saved or read at `ts` (ms) could not be."""
        self._failures += 1
        if self._failing_since is not None:
            return
        if self._logged_at is not None and 0 <= ts - self._logged_at < _REPORT_EVERY_MS:
            return
        self._failing_since, self._logged_at, self._failures = ts, ts, 1
        log.error("alert states cannot be saved or read, alerting goes on without: err=%s", error)

    def saved(self, ts: int) -> None:
        """All that was to be saved at `ts` (ms) is committed."""
        if self._failing_since is None:
            return
        text = "alert states are saved again: after=%s failures=%d"
        log.info(text, format_duration(max(0, ts - self._failing_since)), self._failures)
        self._failing_since = None


def _group_key(file: str, group: str) -> str:
    return json.dumps([file, group], ensure_ascii=False)


def _dump_key(key: RuleKey) -> str:
    rule = key.rule
    return json.dumps([key.file, key.group, rule.name, rule.expr, dict(rule.labels)], ensure_ascii=False)


def _load_key(text: str) -> RuleKey:
    file, group, name, expr, labels = json.loads(text)
    pairs: Pairs = tuple(sorted(labels.items()))
    return RuleKey(file, group, RuleId(name, expr, pairs))


_TIMES: Final = ("fired_at", "resolved_at", "last_sent_at", "valid_until", "keep_firing_since", "held_since")


def _dump_alert(alert: Alert) -> str:
    data: dict[str, Any] = {
        "labels": alert.labels.as_dict(),
        "annotations": dict(alert.annotations),
        "state": alert.state.value,
        "active_at": alert.active_at,
        "value": alert.value,
    }
    return json.dumps(data | {n: t for n in _TIMES if (t := getattr(alert, n)) is not None}, ensure_ascii=False)


def _load_alert(text: str) -> Alert:
    data = json.loads(text)
    return Alert(
        Labels(data["labels"]),
        tuple(data["annotations"].items()),
        AlertState(data["state"]),
        int(data["active_at"]),
        float(data["value"]),
        **{n: int(data[n]) for n in _TIMES if n in data},
    )
