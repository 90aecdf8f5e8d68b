"""Writing the files: all of them, or none when one cannot be written."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from rulepush.errors import RulepushError
from rulepush.init.setup import NewFile


class WriteError(RulepushError):
    """A file exists with other content, or cannot be written."""


def write_files(directory: Path, files: Sequence[NewFile], *, force: bool) -> None:
    """Write `files` below `directory`. Raises WriteError, before anything is written when a file exists already with
    another content and `force` is not given."""
    if directory.exists() and not directory.is_dir():
        raise WriteError(f"{directory} is no directory: nothing was written; --dir chooses another one")
    in_the_way = [f.path for f in files if _differs(directory / f.path, f.text)]
    if in_the_way and not force:
        raise WriteError(
            f"{directory} has {', '.join(in_the_way)} already, with another content: nothing was written; "
            "--force overwrites, --dir chooses another directory"
        )
    try:
        for file in files:
            path = directory / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            _replace(path, file)
    except OSError as e:
        raise WriteError(f"cannot write {e.filename or directory}: {e.strerror}") from None


def _differs(path: Path, text: str) -> bool:
    try:
        return path.read_text(encoding="utf-8") != text
    except FileNotFoundError:
        return False
    except (OSError, UnicodeDecodeError):
        return True


def _replace(path: Path, file: NewFile) -> None:
    """Replace by renaming, so that a crash leaves the old file or the new one."""
    beside = path.with_name(f".{path.name}.new")
    mode = 0o600 if file.secret else 0o644
    with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w", encoding="utf-8") as f:
        f.write(file.text)
    os.replace(beside, path)
