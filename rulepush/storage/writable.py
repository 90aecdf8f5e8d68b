"""Whether a directory for state can be written, by whom it could be, and what to do about it.

Asked at the start: a volume of the wrong owner is found then, not when a restart has forgotten what was to be kept. A
full disk is another matter: it heals, and alerting must not wait for that.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import stat
from pathlib import Path
from typing import Final

from rulepush.errors import StorageError

log = logging.getLogger("rulepush.storage")

_OPTIONAL: Final = "; or start with --storage.optional, to run while nothing can be saved"
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_FORBIDDEN: Final = (errno.EACCES, errno.EPERM)
_FILES: Final = (".db", ".db-wal", ".db-shm", "lock")
_DIRECTORIES: Final = ("recording", "remote_write", "pushgateways")


def require_writable(directory: Path, optional: bool) -> None:
    """Raises StorageError where this process cannot keep its state there; where it is `optional`, the log says so."""
    fault = why_not_writable(directory)
    if fault and not optional:
        raise StorageError(fault)
    if fault:
        log.warning(
            "the state directory cannot be written: what it holds is used, but nothing can be saved until this process "
            "may write to it: %s",
            fault.removesuffix(_OPTIONAL),
        )


def why_not_writable(directory: Path, uid: int | None = None, gid: int | None = None) -> str:
    """Why this process, of user `uid` and group `gid`, cannot keep its state there, and the cure, in one sentence; ""
    where it can. Makes the directory where it is not there."""
    uid, gid = os.geteuid() if uid is None else uid, os.getegid() if gid is None else gid
    failed_at = directory
    try:
        directory.mkdir(parents=True, exist_ok=True)
        _write_there(directory)
        for failed_at in _own(directory):
            if not os.access(failed_at, os.W_OK | (os.X_OK if failed_at.is_dir() else 0)):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as e:
        return "" if e.errno in _FULL else describe_fault(directory, failed_at, e.errno or 0, uid, gid)
    return ""


def _write_there(directory: Path) -> None:
    probe = directory / f".can-be-written-{os.getpid()}"
    try:
        probe.write_bytes(b"x")
    finally:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)


def _own(directory: Path) -> list[Path]:
    """What rulepush has made there. Other entries do not matter: a new file system has `lost+found` of root."""
    return [p for p in directory.iterdir() if p.name.endswith(_FILES) or p.name in _DIRECTORIES]


def describe_fault(directory: Path, failed_at: Path, code: int, uid: int, gid: int) -> str:
    """The sentence: writing `failed_at`, which is in `directory` or is it, failed with the error `code`."""
    begin = f"--storage.path {directory} cannot be written by uid {uid}"
    if code == errno.EROFS:
        return (
            f"{begin}: its file system is read-only. Mount a volume there that can be written (docker run -v, "
            f"volumeMounts){_OPTIONAL}"
        )
    if code in (errno.EEXIST, errno.ENOTDIR):
        return f"{begin}: {_nearest(failed_at)} is not a directory. Give a directory, or a path that is free{_OPTIONAL}"
    if code not in _FORBIDDEN:
        return f"{begin}: {os.strerror(code)}{_OPTIONAL}"
    there = _nearest(failed_at)
    status = there.stat()
    owner = f"{there} belongs to uid {status.st_uid}, mode {stat.S_IMODE(status.st_mode):04o}"
    if status.st_uid == uid and status.st_mode & stat.S_IWUSR:
        return f"{begin}: {os.strerror(code)}, though {owner}. SELinux may forbid it (docker run -v ...:Z){_OPTIONAL}"
    return (
        f"{begin}: {owner}. chown -R {uid}:{gid} {directory} (docker run -v: the directory of the host; Kubernetes: "
        f"fsGroup: {gid} in the pod's securityContext; systemd: StateDirectory=){_OPTIONAL}"
    )


def _nearest(path: Path) -> Path:
    """The path, or the first of those above it that is there."""
    while not os.path.lexists(path) and path != path.parent:
        path = path.parent
    return path
