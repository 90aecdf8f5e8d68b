"""SavedMark: a file that is there while all that was to be saved is saved.

When the disk is full, SQLite can write nothing, so not even that something is missing. A file can be removed then: that
needs no space, and `kill -9` does not undo it.
"""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path

log = logging.getLogger("rulepush.storage")


class SavedMark:
    """The mark beside a database file; with `path` None, in memory, there is none. Never raises.

    `was_there`: whether the last process left it. In a directory that cannot be written it proves nothing, for that
    process could not have removed it.
    """

    def __init__(self, database: Path | None):
        self._path = database.with_name(f"{database.name}.complete") if database is not None else None
        self._set = self._is_there()
        self.was_there = self._set and self._is_removable()
        self._failure_logged = False

    def _is_there(self) -> bool:
        try:
            return self._path is not None and self._path.exists()
        except OSError:
            return False

    def _is_removable(self) -> bool:
        return self._path is not None and os.access(self._path.parent, os.W_OK)

    @property
    def is_set(self) -> bool:
        """Whether the next process will find it."""
        return self._set

    def put(self) -> None:
        """All is saved. Where the file cannot be made, it is missing: the next start doubts what it need not."""
        if self._path is not None and not self._set:
            with contextlib.suppress(OSError):
                self._path.touch()
                self._set = True

    def remove(self) -> None:
        """Something could not be saved."""
        if self._path is None or not self._set:
            return
        try:
            self._path.unlink(missing_ok=True)
        except OSError as e:  # tried again at the next write that fails
            if not self._failure_logged:
                text = "cannot remove the mark of a complete state file, the next start takes it for complete: err=%s"
                log.error(text, e)
            self._failure_logged = True
            return
        self._set = False
