"""SQLite files of the state directory: opened, checked, set aside when corrupt. The only module that uses sqlite3.

Losing a state file must never stop alerting: a corrupt file is renamed to `<name>.corrupt-<n>` and replaced by a new
one; one that is locked, read-only or full raises StorageError, and the caller retries later with what it still holds.
In a directory that cannot be written a file can still be read.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rulepush.errors import StorageError
from rulepush.storage.saved_mark import SavedMark

log = logging.getLogger("rulepush.storage")

Statement = tuple[str, Iterable[Sequence[object]]]
"""SQL and the rows to run it with, as executemany does."""

# `PRAGMA user_version` of a file beside which a SavedMark was put once: without it, nothing follows from its absence.
_MARKED = 1
_MAX_WAL_BYTES = 4 << 20  # 1,000 pages, SQLite's default


class Database:
    """One SQLite file, or one in memory when `path` is None. `schema` is idempotent SQL (CREATE ... IF NOT EXISTS).

    `closed` counts how often the file was closed: after a change, the file may be a new, empty one.
    `lost` counts the writes that failed: after it changed, the file does not hold all that was to be written.

    Not thread-safe unless made with `any_thread`, and then only one thread at a time.
    """

    def __init__(self, path: Path | None, schema: str, *, any_thread: bool = False, checkpoints: bool = True):
        """Never raises: a file that cannot be opened is reported, and opening is retried at the next use. Without
        `checkpoints`, no write waits for the disk but the first one after `checkpoint`, which must be called then."""
        self.path = path
        self.errors = self.closed = self.lost = 0
        self._schema = schema
        self._any_thread = any_thread
        self._checkpoints = checkpoints
        self._joining = False  # within `transaction`
        self._locked = ""  # why nothing can be written within this transaction
        self._connection: sqlite3.Connection | None = None
        self._read_only = False  # whether the connection can only read
        self._mark = SavedMark(path)
        self._was_marked: bool | None = None  # whether the file as it was found ever had a mark; None: not opened yet
        try:
            self._open()
        except StorageError as e:
            log.error("%s", e)

    def opened(self) -> int:
        """Open the file where it is not open, or is gone. Returns `closed`. Raises StorageError."""
        self._open()
        return self.closed

    def read(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query. Raises StorageError."""
        try:
            return self._open().execute(sql, parameters).fetchall()
        except sqlite3.Error as e:
            raise self._failed(e) from e

    def write(self, statements: Iterable[Statement]) -> None:
        """Run `(sql, rows)` pairs, each as executemany, in one transaction: all or nothing. Raises StorageError."""
        try:
            self._write(statements)
        except StorageError:
            self._lose()
            raise

    def checkpoint(self) -> None:
        """Move what the WAL file holds into the database, where that is much. Raises StorageError."""
        if self._connection is None or self.path is None:
            return
        try:
            size = self.path.with_name(f"{self.path.name}-wal").stat().st_size
        except OSError:
            return
        if size > _MAX_WAL_BYTES:
            try:
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            except sqlite3.Error as e:
                raise self._failed(e) from e

    def _write(self, statements: Iterable[Statement]) -> None:
        connection = self._open(writing=True)
        if self._locked:
            raise StorageError(self._locked)
        try:
            for sql, rows in statements:
                connection.executemany(sql, rows)
            if not self._joining:
                connection.commit()
        except sqlite3.Error as e:
            self._undo()
            error = self._failed(e)
            if self._joining and getattr(e, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
                self._locked = str(error)  # each attempt waits, and there may be one per rule and Alertmanager
            raise error from e
        except (ValueError, OverflowError) as e:  # a text that is not Unicode, a number beyond 64 bits
            self._undo()
            self.errors += 1
            raise StorageError(f"cannot write to {self.path or 'the in-memory database'}: {e}") from e

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Make one transaction of all writes within, so that a crash loses all of them or none.

        Raises StorageError at the end when it cannot be committed. A write within that fails rolls back those before
        it; those after it are kept.
        """
        self._close_if_gone()
        self._joining = True
        try:
            yield
            if self._connection is not None:
                self._connection.commit()
        except sqlite3.Error as e:
            self._lose()
            raise self._failed(e) from e
        finally:
            self._joining, self._locked = False, ""
            self._undo()  # nothing is left to undo after a commit

    # --- what a later process may believe

    @property
    def is_incomplete(self) -> bool:
        """Whether the last process could not save all that was to be saved here before it ended."""
        return self._was_marked is True and not self._mark.was_there

    @property
    def is_complete(self) -> bool:
        """Whether the next process will take what is saved for complete."""
        return self._mark.is_set

    def mark_complete(self) -> None:
        """All that was to be saved is saved, and committed. Holds until a write fails. Where it cannot be marked, the
        next start doubts more than it has to."""
        if self.path is None or self._mark.is_set:
            return
        with contextlib.suppress(sqlite3.Error, StorageError):
            self._open().execute(f"PRAGMA user_version={_MARKED}")
            self._mark.put()

    def mark_incomplete(self) -> None:
        """Something could not be saved. Works on a full disk."""
        self._mark.remove()

    def _lose(self) -> None:
        self.lost += 1
        self._mark.remove()

    def _undo(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):  # a former failure has been reported by then
                self._connection.rollback()

    def close(self) -> None:
        """Close the file; a later use opens it again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
            self._read_only = False
            self.closed += 1

    def _open(self, *, writing: bool = False) -> sqlite3.Connection:
        self._close_if_gone()
        if writing and self._read_only:
            self.close()  # perhaps the directory can be written by now
        if self._connection is not None:
            return self._connection
        try:
            self._connection = self._connect()
        except sqlite3.DatabaseError as e:
            if not _is_corrupt(e) or self.path is None:
                if not writing and (connection := self._connect_read_only()) is not None:
                    self._connection, self._read_only = connection, True
                    return connection
                raise self._failed(e) from e
            self.errors += 1
            self._set_aside(e)
            try:
                self._connection = self._connect()
            except sqlite3.Error as again:
                raise self._failed(again) from again
        except OSError as e:
            self.errors += 1
            raise StorageError(f"cannot use {self.path}: {e}") from e
        return self._connection

    def _connect(self) -> sqlite3.Connection:
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.path.is_file() and self.path.stat().st_size == 0:
                # SQLite takes an empty file for a new one, but one that was opened once has its first page.
                log.error("state file is empty, its content is lost, and it is recreated: path=%s", self.path)
        connection = sqlite3.connect(
            ":memory:" if self.path is None else self.path, timeout=0.2, check_same_thread=not self._any_thread
        )
        try:
            # WAL with NORMAL survives a SIGKILL whole; a power cut may lose the last transactions, never the file.
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute("PRAGMA cache_size=-512")
            if not self._checkpoints:
                connection.execute("PRAGMA wal_autocheckpoint=0")
            connection.executescript(self._schema)
            self._check(connection)
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _connect_read_only(self) -> sqlite3.Connection | None:
        """A connection to a file in a directory that cannot be written: SQLite refuses to open it otherwise, because it
        cannot make the `-wal` and `-shm` files. None in another case, and where a `-wal` file holds changes, which
        `immutable` ignores."""
        path = self.path
        if path is None:
            return None
        connection = None
        try:
            wal = path.with_name(f"{path.name}-wal")
            if not path.is_file() or os.access(path.parent, os.W_OK) or (wal.exists() and wal.stat().st_size):
                return None
            url = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
            connection = sqlite3.connect(url, uri=True, check_same_thread=not self._any_thread)
            self._check(connection)
        except (OSError, sqlite3.Error):
            if connection is not None:
                connection.close()
            return None
        return connection

    def _check(self, connection: sqlite3.Connection) -> None:
        """Look for damage, and for what the last process noted. Raises sqlite3.Error."""
        found = connection.execute("PRAGMA quick_check(1)").fetchone()
        if found != ("ok",):  # returned, not raised, when a page beyond the first ones is damaged
            raise sqlite3.DatabaseError(f"database disk image is malformed: {found and found[0]}")
        if self._was_marked is None:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            self._was_marked = version == _MARKED

    def _close_if_gone(self) -> None:
        """Writes to a removed file succeed, and are lost."""
        if self._connection is None or self._joining or self.path is None or os.path.exists(self.path):
            return
        self.errors += 1
        log.error("state file was removed while in use, and is recreated: path=%s", self.path)
        self.close()
        self._mark.remove()

    def _failed(self, e: sqlite3.Error) -> StorageError:
        """Count and wrap. A file found corrupt while in use is set aside, so that the next use starts a new one."""
        self.errors += 1
        if isinstance(e, sqlite3.DatabaseError) and _is_corrupt(e) and self.path is not None:
            self.close()
            self._set_aside(e)
        elif "readonly database" in str(e) or "disk I/O error" in str(e):
            self.close()  # the file or its disk changed: reopen it at the next use
        return StorageError(f"cannot use {self.path or 'the in-memory database'}: {e}")

    def _set_aside(self, reason: Exception) -> None:
        path = self.path
        if path is None:
            return
        self._mark.remove()
        for n in range(1, 1000):
            aside = path.with_name(f"{path.name}.corrupt-{n}")
            if not aside.exists():
                break
        try:
            path.rename(aside)
            for suffix in ("-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
        except OSError as e:
            log.error("state file is corrupt and cannot be set aside: path=%s err=%s", path, e)
            return
        log.error("state file is corrupt, set aside and recreated: path=%s aside=%s err=%s", path, aside, reason)


def _is_corrupt(e: sqlite3.Error) -> bool:
    code = getattr(e, "sqlite_errorcode", None)
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) or "malformed" in str(e)
