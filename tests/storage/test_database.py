"""What is particular to Database: the rest is tested with those who use it, and in tests/faults."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from rulepush.errors import StorageError
from rulepush.storage.database import Database

SCHEMA = "CREATE TABLE IF NOT EXISTS t (a INTEGER PRIMARY KEY, b TEXT);"


def test_damage_in_a_page_that_opening_does_not_read_is_found(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    database = Database(path, SCHEMA)
    database.write([("INSERT INTO t VALUES (?, ?)", [(i, "x" * 100) for i in range(1000)])])
    database.close()
    data = bytearray(path.read_bytes())
    data[10 * 4096 : 11 * 4096] = bytes(4096)
    path.write_bytes(bytes(data))
    database = Database(path, SCHEMA)
    assert database.errors == 1
    assert (tmp_path / "s.db.corrupt-1").exists()
    assert database.read("SELECT count(*) FROM t") == [(0,)]


PUT = "INSERT INTO t VALUES (?, ?)"


def test_a_transaction_is_seen_by_others_only_when_it_is_over(tmp_path: Path) -> None:
    database, other = Database(tmp_path / "s.db", SCHEMA), Database(tmp_path / "s.db", SCHEMA)
    with database.transaction():
        database.write([(PUT, [(1, "a")])])
        database.write([(PUT, [(2, "b")])])
        assert database.read("SELECT count(*) FROM t") == [(2,)]
        assert other.read("SELECT count(*) FROM t") == [(0,)]
    assert other.read("SELECT count(*) FROM t") == [(2,)]
    database.write([(PUT, [(3, "c")])])
    assert other.read("SELECT count(*) FROM t") == [(3,)]


def test_a_transaction_that_is_broken_off_leaves_nothing(tmp_path: Path) -> None:
    database = Database(tmp_path / "s.db", SCHEMA)

    def broken_off() -> None:
        with database.transaction():
            database.write([(PUT, [(1, "a")])])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken_off()
    assert database.read("SELECT count(*) FROM t") == [(0,)]


@pytest.mark.parametrize("bad", [(1, "again"), (2**70, "too large")])
def test_a_write_that_fails_takes_back_those_before_it_in_the_transaction(tmp_path: Path, bad: tuple[int, str]) -> None:
    database = Database(tmp_path / "s.db", SCHEMA)
    with database.transaction():
        database.write([(PUT, [(1, "a")])])
        with pytest.raises(StorageError):
            database.write([(PUT, [(2, "b"), bad])])
        database.write([(PUT, [(3, "c")])])
    assert database.read("SELECT a FROM t") == [(3,)]


def test_within_a_transaction_a_locked_file_is_waited_for_once(tmp_path: Path) -> None:
    database, other = Database(tmp_path / "s.db", SCHEMA), Database(tmp_path / "s.db", SCHEMA)
    with other.transaction():
        other.write([(PUT, [(1, "a")])])
        with database.transaction():
            for _ in range(10):
                with pytest.raises(StorageError, match="locked"):
                    database.write([(PUT, [(2, "b")])])
        assert database.errors == 1
    database.write([(PUT, [(3, "c")])])
    assert other.read("SELECT a FROM t") == [(1,), (3,)]


def test_a_transaction_on_a_locked_file_is_reported_and_the_next_one_works(tmp_path: Path) -> None:
    database, other = Database(tmp_path / "s.db", SCHEMA), Database(tmp_path / "s.db", SCHEMA)
    with other.transaction():
        other.write([(PUT, [(1, "a")])])
        with pytest.raises(StorageError, match="locked"), database.transaction():
            database.write([(PUT, [(2, "b")])])
    with database.transaction():
        database.write([(PUT, [(3, "c")])])
    assert other.read("SELECT a FROM t") == [(1,), (3,)]


@pytest.mark.parametrize("how", ["directory", "file"])
def test_a_file_that_is_removed_while_it_is_used_is_begun_anew(tmp_path: Path, how: str) -> None:
    path = tmp_path / "state" / "s.db"
    database = Database(path, SCHEMA)
    database.write([(PUT, [(1, "a")])])
    if how == "directory":
        shutil.rmtree(path.parent)
    else:
        path.unlink()
    with database.transaction():
        database.write([(PUT, [(2, "b")])])
    assert (database.errors, database.closed) == (1, 1)
    assert Database(path, SCHEMA).read("SELECT a FROM t") == [(2,)]


def test_an_empty_state_file_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "alerts.db"
    Database(path, "CREATE TABLE IF NOT EXISTS t (x)").close()
    Database(path, "CREATE TABLE IF NOT EXISTS t (x)").close()
    assert caplog.text == ""
    path.write_bytes(b"")
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    assert Database(path, "CREATE TABLE IF NOT EXISTS t (x)").read("SELECT * FROM t") == []
    assert "state file is empty" in caplog.text


class TestMark:
    """Whether a process may believe that the last one could save everything."""

    def test_a_write_that_failed_is_known_to_the_next_process(self, tmp_path: Path) -> None:
        database = Database(tmp_path / "s.db", SCHEMA)
        database.write([(PUT, [(1, "a")])])
        database.mark_complete()
        assert not Database(tmp_path / "s.db", SCHEMA).is_incomplete
        with pytest.raises(StorageError):
            database.write([(PUT, [(1, "again")])])
        assert (database.lost, database.is_complete) == (1, False)
        assert Database(tmp_path / "s.db", SCHEMA).is_incomplete
        database.mark_complete()
        assert not Database(tmp_path / "s.db", SCHEMA).is_incomplete

    def test_a_commit_that_failed_is_known_to_the_next_process(self, tmp_path: Path) -> None:
        deferred = "CREATE TABLE IF NOT EXISTS u (a INTEGER REFERENCES t DEFERRABLE INITIALLY DEFERRED);"
        database = Database(tmp_path / "s.db", SCHEMA + deferred)
        database.mark_complete()
        database.read("PRAGMA foreign_keys=ON")

        def commit() -> None:
            with database.transaction():
                database.write([("INSERT INTO u VALUES (?)", [(7,)])])

        with pytest.raises(StorageError, match="FOREIGN KEY"):
            commit()
        assert Database(tmp_path / "s.db", SCHEMA).is_incomplete

    def test_nothing_follows_from_a_file_that_never_had_the_mark(self, tmp_path: Path) -> None:
        Database(tmp_path / "s.db", SCHEMA).write([(PUT, [(1, "a")])])
        assert not Database(tmp_path / "s.db", SCHEMA).is_incomplete

    @pytest.mark.parametrize("how", ["removed", "corrupt"])
    def test_the_mark_goes_with_the_file(self, tmp_path: Path, how: str) -> None:
        path = tmp_path / "s.db"
        database = Database(path, SCHEMA)
        database.mark_complete()
        if how == "removed":
            path.unlink()
            database.read("SELECT * FROM t")
        else:
            database.close()
            path.write_bytes(b"not a database at all" * 500)
            database = Database(path, SCHEMA)
        assert not database.is_complete
        assert not Database(path, SCHEMA).is_incomplete  # it is a new one, and holds nothing that could be doubted
        database.mark_complete()
        database.mark_incomplete()
        assert Database(path, SCHEMA).is_incomplete

    def test_a_mark_that_cannot_be_removed_is_logged_once(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        database = Database(tmp_path / "s.db", SCHEMA)
        (tmp_path / "s.db.complete").mkdir()  # unlink fails on a directory
        database.mark_complete()
        database.mark_incomplete()
        database.mark_incomplete()
        assert caplog.text.count("cannot remove the mark") == 1

    def test_in_memory_there_is_none(self) -> None:
        database = Database(None, SCHEMA)
        database.mark_complete()
        assert not database.is_incomplete
        assert not database.is_complete
