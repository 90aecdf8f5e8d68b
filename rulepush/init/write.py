"""Writing the files: all of them, or none when one cannot be written."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from rulepush.errors import RulepushError
from rulepush.init.setup import NewFile


class WriteError(RulepushError):
    """A file exists with other content, or cannot be written."""


def write_files(directory: Path, files: Sequence[NewFile], *, force: bool) -> None:
    """Write `files` below `directory`. Raises WriteError, and then nothing is written: when one of them cannot be, or
    exists already with another content and `force` is not given.

    Directories that it makes, and files without secrets, can be read by everyone.
    """
    if directory.exists() and not directory.is_dir():
        raise WriteError(f"{directory} is no directory: nothing was written; --dir chooses another one")
    in_the_way = [f.path for f in files if _differs(directory / f.path, f.text)]
    if in_the_way and not force:
        raise WriteError(
            f"{directory} has {', '.join(in_the_way)} already, with another content: nothing was written; "
            "--force overwrites, --dir chooses another directory"
        )
    new_directories: list[Path] = []
    beside: dict[Path, Path] = {}
    try:
        for file in files:
            path = directory / file.path
            if path.is_dir():
                raise IsADirectoryError(None, "it is a directory", str(path))
            _make_directories(path.parent, new_directories)
            # All of them lie ready under other names before the first one takes its place.
            beside[path] = path.with_name(f".{path.name}.new")
            _write(beside[path], file)
        for path, written in beside.items():
            os.replace(written, path)
    except OSError as e:
        _remove(list(beside.values()), new_directories)
        raise WriteError(
            f"cannot write to {_named(e, directory)}: {e.strerror}: nothing was written; --dir chooses another one"
        ) from None


def _named(e: OSError, directory: Path) -> Path:
    """The file or directory that the error is about, under the name that it was to have."""
    path = Path(os.fsdecode(e.filename)) if isinstance(e.filename, str | bytes) else directory
    return path.parent if path.name.endswith(".new") else path


def _differs(path: Path, text: str) -> bool:
    try:
        return path.read_text(encoding="utf-8") != text
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, UnicodeDecodeError):
        return True


def _make_directories(directory: Path, made: list[Path]) -> None:
    if directory.is_dir():
        return
    _make_directories(directory.parent, made)
    directory.mkdir()
    directory.chmod(0o755)
    made.append(directory)


def _write(path: Path, file: NewFile) -> None:
    mode = 0o600 if file.secret else 0o644
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w", encoding="utf-8") as f:
        # Whatever the umask: a secret is its owner's alone, also where a crash has left the file open to others, and
        # the user of a container, which is another one, reads the rest.
        os.fchmod(f.fileno(), mode)
        f.write(file.text)


def _remove(files: Sequence[Path], directories: Sequence[Path]) -> None:
    for path in files:
        with contextlib.suppress(OSError):
            path.unlink()
    for directory in reversed(directories):
        with contextlib.suppress(OSError):
            directory.rmdir()
