"""What is particular to Database: the rest is tested with those who use it, and in tests/faults."""

from __future__ import annotations

from pathlib import Path

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
