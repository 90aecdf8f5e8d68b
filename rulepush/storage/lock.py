"""One process per state directory: two would overwrite each other's alerts and samples."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO

from rulepush.errors import StorageError


class DirectoryLock:
    """Holds `<directory>/lock` until `release`, or until the process ends, however it ends."""

    def __init__(self, directory: Path):
        """Raises StorageError when another process holds it, or when the path names a file. A directory that cannot
        be written does not raise: alerting works without state, and the databases report it."""
        self._file: IO[str] | None = None
        if directory.exists() and not directory.is_dir():
            raise StorageError(
                f"--storage.path {directory} is not a directory: give a directory, or a path that is free"
            )
        try:
            directory.mkdir(parents=True, exist_ok=True)
            file = (directory / "lock").open("a+", encoding="ascii")
        except OSError:
            return
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            holder = file.read(20).strip() or "unknown"
            file.close()
            raise StorageError(
                f"--storage.path {directory} is in use by another rulepush (process {holder}): "
                "stop it, or give this one a directory of its own"
            ) from None
        try:
            file.seek(0)
            file.truncate()
            file.write(f"{os.getpid()}\n")
            file.flush()
        except OSError:
            pass  # a full disk: the lock is held, only the process id in it is missing
        self._file = file

    def release(self) -> None:
        """Release the lock."""
        if self._file is not None:
            self._file.close()
            self._file = None
