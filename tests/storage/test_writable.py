"""A state directory that cannot be written: who cannot, why, and the cure."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from rulepush.errors import StorageError
from rulepush.storage.writable import describe_fault, require_writable, why_not_writable
from tests.needs import not_permitted

OPTIONAL = "; or start with --storage.optional, to run while nothing can be saved"


@pytest.fixture
def open_path() -> Iterator[Path]:
    """A directory that others can reach: those above `tmp_path` belong to one user alone."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory)
        path.chmod(0o755)
        yield path


def test_a_directory_that_can_be_written_is_made_and_left_empty(tmp_path: Path) -> None:
    assert why_not_writable(tmp_path / "a" / "b") == ""
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_the_owner_and_the_cure_are_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    me = os.geteuid()
    assert describe_fault(tmp_path, tmp_path, errno.EACCES, 10001, 10002) == (
        f"--storage.path {tmp_path} cannot be written by uid 10001: {tmp_path} belongs to uid {me}, mode 0755. "
        f"chown -R 10001:10002 {tmp_path} (docker run -v: the directory of the host; Kubernetes: fsGroup: 10002 in the "
        "pod's securityContext; systemd: StateDirectory=)" + OPTIONAL
    )


def test_a_directory_above_is_named_where_it_cannot_be_made(tmp_path: Path) -> None:
    text = describe_fault(tmp_path / "a" / "b", tmp_path / "a" / "b", errno.EACCES, 10001, 10001)
    assert f": {tmp_path} belongs to uid {os.geteuid()}, mode 0700. chown -R 10001:10001 {tmp_path}/a/b" in text


def test_an_owner_who_is_refused_nevertheless_is_told_of_selinux(tmp_path: Path) -> None:
    text = describe_fault(tmp_path, tmp_path, errno.EACCES, os.geteuid(), 0)
    assert "Permission denied, though" in text
    assert "SELinux may forbid it (docker run -v ...:Z)" in text


def test_a_read_only_file_system_wants_a_volume(tmp_path: Path) -> None:
    text = describe_fault(tmp_path, tmp_path, errno.EROFS, 10001, 10001)
    assert text.startswith(f"--storage.path {tmp_path} cannot be written by uid 10001: its file system is read-only. ")
    assert text.endswith(OPTIONAL)


def test_a_file_in_its_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    for path in (tmp_path / "file", tmp_path / "file" / "state"):
        with pytest.raises(StorageError, match="file is not a directory"):
            require_writable(path, False)
    assert (tmp_path / "file").read_text() == "kept"


def test_what_is_optional_is_only_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    require_writable(tmp_path / "file", True)
    assert [(r.levelname, "--storage.optional" in r.getMessage()) for r in caplog.records] == [("WARNING", False)]


@pytest.mark.parametrize(
    ("owned", "mode", "named"),
    [
        ("", 0o755, "state"),  # the directory itself
        ("alerts.db", 0o644, "state/alerts.db"),
        ("recording", 0o755, "state/recording"),
        ("lost+found", 0o700, None),
    ],
)
def test_another_user_is_refused_for_the_directory_and_for_what_is_ours_in_it(
    open_path: Path, owned: str, mode: int, named: str | None
) -> None:
    """As root of a container who left files behind: asked in a process of another user."""
    if os.geteuid():
        not_permitted("becoming another user")
    state = open_path / "state"
    state.mkdir()
    other = state / owned
    if owned.endswith(".db"):
        other.touch()
    else:
        other.mkdir(exist_ok=True)
    if owned:
        os.chown(state, 10001, 10001)
    other.chmod(mode)
    # The modules are there before the user changes: the Python of the tests may be root's alone.
    ask = (
        "import os, sys; from pathlib import Path; from rulepush.storage.writable import why_not_writable; "
        "os.setgroups([]); os.setgid(10001); os.setuid(10001); print(why_not_writable(Path(sys.argv[1])))"
    )
    done = subprocess.run([sys.executable, "-c", ask, str(state)], capture_output=True, text=True, check=True)
    said = done.stdout.strip()
    if named is None:
        assert said == ""
    else:
        assert said.startswith(f"--storage.path {state} cannot be written by uid 10001: {open_path / named} belongs to")
        assert f"uid 0, mode {mode:04o}. chown -R 10001:10001 {state} " in said
