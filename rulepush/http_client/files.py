"""Credentials in files: read when they are used, and again when they change."""

from __future__ import annotations

import os

Stamp = tuple[int, int, int]


def stamp(path: str) -> Stamp | None:
    """What changes when a file is written or replaced; None when it is not there."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return (status.st_mtime_ns, status.st_size, status.st_ino)


class WatchedFile:
    """The text of a file without surrounding white space, read again when the file changes."""

    def __init__(self, path: str):
        self.path = path
        self._stamp: Stamp | None = None
        self._text = ""

    def text(self) -> str:
        """The text now. Raises CredentialsError; its message names the file, never what is in it."""
        now = stamp(self.path)
        if now is None or now != self._stamp:
            try:
                with open(self.path, "rb") as f:
                    self._text = f.read(1 << 20).decode("utf-8").strip()
            except (OSError, UnicodeDecodeError) as e:
                from rulepush.http_client.failures import CredentialsError

                reason = e.strerror if isinstance(e, OSError) else "it is not UTF-8"
                raise CredentialsError(f"unable to read {self.path}: {reason}") from None
            self._stamp = now
        return self._text
