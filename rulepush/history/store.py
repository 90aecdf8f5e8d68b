"""The tables of the history, in `history.db` of the state directory or in memory."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rulepush.history.deliveries import MAX_DELIVERIES, AlertDelivery, dump_delivery, load_delivery
from rulepush.history.rows import HistoryAnswer, HistoryFilter
from rulepush.model.fingerprint import fingerprint
from rulepush.model.labels import Labels
from rulepush.rules.transition import ChangeReason, RuleRef, Transition
from rulepush.storage.database import Database, Statement

log = logging.getLogger("rulepush.history")

DAY_MS: Final = 86_400_000

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS label_sets (
  id INTEGER PRIMARY KEY, fingerprint TEXT NOT NULL, labels TEXT NOT NULL UNIQUE
);
CREATE INDEX IF NOT EXISTS label_sets_fingerprint ON label_sets (fingerprint);
CREATE TABLE IF NOT EXISTS rules (
  id INTEGER PRIMARY KEY, file TEXT NOT NULL, rule_group TEXT NOT NULL, name TEXT NOT NULL,
  UNIQUE (file, rule_group, name)
);
CREATE TABLE IF NOT EXISTS transitions (
  id INTEGER PRIMARY KEY AUTOINCREMENT, ts INTEGER NOT NULL, label_set INTEGER NOT NULL, rule INTEGER NOT NULL,
  was TEXT NOT NULL, now TEXT NOT NULL, reason TEXT NOT NULL, value, detail TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS transitions_ts ON transitions (ts, id);
CREATE INDEX IF NOT EXISTS transitions_label_set ON transitions (label_set, ts);
CREATE INDEX IF NOT EXISTS transitions_rule ON transitions (rule, ts);
CREATE TABLE IF NOT EXISTS deliveries (
  fingerprint TEXT NOT NULL, url TEXT NOT NULL, resolved INTEGER NOT NULL, tried_at INTEGER NOT NULL,
  delivery TEXT NOT NULL, PRIMARY KEY (fingerprint, url, resolved)
) WITHOUT ROWID;
"""
_LABELS: Final = "INSERT OR IGNORE INTO label_sets (fingerprint, labels) VALUES (?, ?)"
_RULE: Final = "INSERT OR IGNORE INTO rules (file, rule_group, name) VALUES (?, ?, ?)"
_TRANSITION: Final = """
INSERT INTO transitions (ts, label_set, rule, was, now, reason, value, detail) VALUES (
  ?, (SELECT id FROM label_sets WHERE labels = ?),
  (SELECT id FROM rules WHERE file = ? AND rule_group = ? AND name = ?), ?, ?, ?, ?, ?)
"""
_DELIVERY: Final = "INSERT OR REPLACE INTO deliveries VALUES (?, ?, ?, ?, ?)"
_SELECT: Final = """
SELECT t.id, t.ts, l.labels, r.file, r.rule_group, r.name, t.was, t.now, t.reason, t.value, t.detail
FROM transitions t JOIN label_sets l ON l.id = t.label_set JOIN rules r ON r.id = t.rule
"""
_PAGE: Final = 2_000  # rows that are read at once
_MAX_NAMED: Final = 500  # label sets that a statement names; more are compared here, row by row


@dataclass(frozen=True, slots=True)
class HistoryBounds:
    """What is kept: the newest `rows` transitions, for `age_ms`."""

    rows: int = 50_000
    age_ms: int = 15 * DAY_MS


DEFAULT_BOUNDS: Final = HistoryBounds()


class HistoryTables:
    """Reads and writes the tables of a Database made with SCHEMA. Every method raises StorageError; one thread at a
    time."""

    def __init__(self, database: Database, bounds: HistoryBounds):
        self._database = database
        self._bounds = bounds

    def write(
        self, transitions: Sequence[Transition], deliveries: Sequence[AlertDelivery], prune_at: int | None = None
    ) -> None:
        """One transaction. `prune_at`: also remove what is too old at this time (ms), and what is too much."""
        statements: list[Statement] = []
        if transitions:
            labels = {_dump(t.labels): fingerprint(t.labels) if len(t.labels) else "" for t in transitions}
            statements = [
                (_LABELS, [(known, text) for text, known in labels.items()]),
                (_RULE, list(dict.fromkeys(_rule(t) for t in transitions))),
                (_TRANSITION, [_row(t) for t in transitions]),
            ]
        if deliveries:
            statements.append((_DELIVERY, [_delivery_row(d) for d in deliveries]))
        if prune_at is not None:
            statements += self._prune(prune_at)
        if statements:
            self._database.write(statements)

    def _prune(self, now: int) -> Iterable[Statement]:
        oldest = now - self._bounds.age_ms
        return (
            ("DELETE FROM transitions WHERE ts < ?", [(oldest,)]),
            ("DELETE FROM transitions WHERE id <= (SELECT max(id) FROM transitions) - ?", [(self._bounds.rows,)]),
            ("DELETE FROM label_sets WHERE id NOT IN (SELECT label_set FROM transitions)", [()]),
            ("DELETE FROM rules WHERE id NOT IN (SELECT rule FROM transitions)", [()]),
            ("DELETE FROM deliveries WHERE tried_at < ?", [(oldest,)]),
            (
                "DELETE FROM deliveries WHERE tried_at < "
                "(SELECT tried_at FROM deliveries ORDER BY tried_at DESC LIMIT 1 OFFSET ?)",
                [(MAX_DELIVERIES,)],
            ),
        )

    def deliveries(self) -> list[AlertDelivery]:
        """All, the one tried longest ago first; what cannot be read is left out."""
        found = []
        for (text,) in self._database.read("SELECT delivery FROM deliveries ORDER BY tried_at"):
            try:
                found.append(load_delivery(text))
            except (ValueError, TypeError) as e:
                log.error("a saved delivery cannot be read and is forgotten: err=%r", e)
        return found

    def find(self, wanted: HistoryFilter) -> HistoryAnswer:
        """The newest transitions that pass, newest first."""
        conditions, values = _conditions(wanted)
        if wanted.matchers:
            ids = self._matching(wanted)
            if not ids:
                return HistoryAnswer(())
            if len(ids) <= _MAX_NAMED:
                conditions.append(f"t.label_set IN ({', '.join('?' * len(ids))})")
                values += ids
        page = _PAGE if wanted.matchers else min(wanted.limit + 1, _PAGE)
        known: dict[str, Labels] = {}
        found: list[Transition] = []
        after: tuple[object, ...] = ()
        while True:
            more = ["(t.ts, t.id) < (?, ?)"] if after else []
            where = " AND ".join([*conditions, *more]) or "1"
            sql = f"{_SELECT} WHERE {where} ORDER BY t.ts DESC, t.id DESC LIMIT {page}"
            rows = self._database.read(sql, (*values, *after))
            for row in rows:
                one = _load(row, known)
                if one is None or not wanted.passes(one):
                    continue
                if len(found) == wanted.limit:
                    return HistoryAnswer(found, True)
                found.append(one)
            if len(rows) < page:
                return HistoryAnswer(found)
            after = (rows[-1][1], rows[-1][0])

    def _matching(self, wanted: HistoryFilter) -> list[object]:
        """The label sets that one of the selectors matches."""
        found: list[object] = []
        for number, text in self._database.read("SELECT id, labels FROM label_sets"):
            labels = Labels(json.loads(text))
            if len(labels) and any(all(m.matches_labels(labels) for m in some) for some in wanted.matchers):
                found.append(number)
        return found


def _conditions(wanted: HistoryFilter) -> tuple[list[str], list[object]]:
    pairs: tuple[tuple[str, object], ...] = (
        ("t.ts >= ?", wanted.start),
        ("t.ts <= ?", wanted.end),
        ("l.fingerprint = ?", wanted.fingerprint or None),
        ("l.fingerprint = ?", "" if wanted.rules_own else None),
        ("r.file = ?", wanted.file or None),
        ("r.rule_group = ?", wanted.group or None),
        ("r.name = ?", wanted.rule or None),
        ("r.name = ?", wanted.alertname or None),  # the name of an alert is that of its rule
    )
    used = [(condition, value) for condition, value in pairs if value is not None]
    return [condition for condition, _ in used], [value for _, value in used]


def _dump(labels: Labels) -> str:
    return json.dumps(labels.as_dict())  # ASCII: SQLite takes no lone surrogate


def _text(text: str) -> str:
    return text.encode(errors="replace").decode()


def _rule(one: Transition) -> tuple[str, str, str]:
    return _text(one.rule.file), _text(one.rule.group), _text(one.rule.name)


def _row(one: Transition) -> tuple[object, ...]:
    value: object = one.value
    if value is not None and value != value:
        value = "NaN"  # SQLite makes NULL of it
    return (one.ts, _dump(one.labels), *_rule(one), one.was, one.now, one.reason.value, value, _text(one.detail))


def _delivery_row(one: AlertDelivery) -> tuple[object, ...]:
    tried_at = max(t for t in (one.began_at, one.confirmed_at, one.failed_at) if t is not None)
    return one.fingerprint, _text(one.url), int(one.resolved), tried_at, dump_delivery(one)


def _load(row: tuple[Any, ...], known: dict[str, Labels]) -> Transition | None:
    """None for a row of a later release. `known` are the labels of the rows before."""
    _, ts, text, file, group, name, was, now, reason, value, detail = row
    try:
        labels = known.get(text)
        if labels is None:
            labels = known[text] = Labels(json.loads(text))
        return Transition(
            int(ts),
            RuleRef(file, group, name),
            labels,
            was,
            now,
            ChangeReason(reason),
            None if value is None else float(value),
            detail,
        )
    except (ValueError, TypeError) as e:
        log.error("a saved transition cannot be read and is left out: err=%s", e)
        return None
