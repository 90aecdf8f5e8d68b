from pathlib import Path

import pytest

from rulepush.errors import StorageError
from rulepush.storage.lock import DirectoryLock


def test_a_second_holder_is_refused_and_told_who_holds_it(tmp_path: Path) -> None:
    lock = DirectoryLock(tmp_path / "state")
    with pytest.raises(StorageError, match=r"in use by another rulepush \(process \d+\)"):
        DirectoryLock(tmp_path / "state")
    lock.release()
    DirectoryLock(tmp_path / "state").release()


def test_a_directory_that_cannot_be_made_is_not_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    DirectoryLock(tmp_path / "file" / "state").release()


def test_a_path_that_names_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="is not a directory"):
        DirectoryLock(tmp_path / "file")
    assert (tmp_path / "file").read_text() == ""
