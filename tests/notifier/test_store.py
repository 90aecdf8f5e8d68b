"""Resolutions over a restart."""

from __future__ import annotations

from pathlib import Path

import pytest

from rulepush.model.labels import Labels
from rulepush.notifier.store import SCHEMA, SqliteUndelivered
from rulepush.notifier.wire import WireAlert, dump_alert, load_alert
from rulepush.storage.database import Database

URL = "http://am/api/v2/alerts"


def alert(name: str, ends_at: int = 2000) -> WireAlert:
    return WireAlert(Labels.of(alertname=name), (("summary", '中文 "x"'),), 1000, ends_at, "http://x", True)


def test_what_is_kept_is_there_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "undelivered.db"
    store = SqliteUndelivered(Database(path, SCHEMA))
    store.save(URL, [alert("A"), alert("B")])
    store.save(URL, [alert("A", ends_at=3000)])
    store.save("http://other", [alert("C")])
    store.remove(URL, [alert("B")])
    again = SqliteUndelivered(Database(path, SCHEMA))
    assert again.load(URL) == [alert("A", ends_at=3000)]
    assert again.load("http://other") == [alert("C")]
    assert again.load("http://nobody") == []


def test_a_wire_alert_survives_its_text() -> None:
    assert load_alert(dump_alert(alert("A"))) == alert("A")


def test_a_row_that_cannot_be_read_is_reported_and_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    database = Database(tmp_path / "undelivered.db", SCHEMA)
    store = SqliteUndelivered(database)
    store.save(URL, [alert("A")])
    database.write([("INSERT INTO undelivered VALUES (?, ?, ?)", [(URL, "x", '{"labels": {}}')])])
    assert store.load(URL) == [alert("A")]
    assert "cannot be read" in caplog.text


def test_a_database_that_fails_is_reported_and_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    store = SqliteUndelivered(Database(tmp_path / "file" / "undelivered.db", SCHEMA))
    caplog.clear()
    store.save(URL, [alert("A")])
    store.remove(URL, [alert("A")])
    assert store.load(URL) == []
    assert caplog.text.count("cannot be saved") == 1
    assert caplog.text.count("cannot be read") == 1


def test_what_could_not_be_saved_or_removed_is_made_good_by_the_whole(tmp_path: Path) -> None:
    path = tmp_path / "undelivered.db"
    database = Database(path, SCHEMA)
    store = SqliteUndelivered(database)
    assert store.load(URL) == []
    store.save(URL, [alert("A"), alert("B")])
    other = Database(path, SCHEMA)
    with other.transaction():
        other.write([("DELETE FROM undelivered WHERE url = ?", [("nobody",)])])  # holds the lock
        store.remove(URL, [alert("A")])
        store.save(URL, [alert("C")])
    assert {a.labels.get("alertname") for a in SqliteUndelivered(Database(path, SCHEMA)).load(URL)} == {"A", "B"}
    database.write(store.whole())
    again = SqliteUndelivered(Database(path, SCHEMA)).load(URL)
    assert {a.labels.get("alertname") for a in again} == {"B", "C"}


def test_resolutions_of_a_run_that_could_not_save_everything_are_not_sent(tmp_path: Path) -> None:
    path = tmp_path / "undelivered.db"
    database = Database(path, SCHEMA)
    SqliteUndelivered(database).save(URL, [alert("A")])
    SqliteUndelivered(database).save("http://gone", [alert("A")])
    database.mark_complete()
    assert SqliteUndelivered(Database(path, SCHEMA)).load(URL) == [alert("A")]
    database.mark_incomplete()
    database = Database(path, SCHEMA)
    store = SqliteUndelivered(database)
    assert store.load(URL) == []
    store.save(URL, [alert("B")])
    database.write(store.whole())
    database.mark_complete()
    assert store.load(URL) == [alert("B")]  # as after a reload that takes the Alertmanager away and brings it back
    later = SqliteUndelivered(Database(path, SCHEMA))
    assert (later.load(URL), later.load("http://gone")) == ([alert("B")], [])
