"""The rules for skipping tests: a skip says what is missing, and in CI it is a failure."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.needs import REQUIRE, ROOT

SKIPPING = """
import pytest
from tests.needs import binary, needs_shared, not_permitted, shared

def test_server(): binary("no-such-server")
def test_shared(): shared("no/such/file")
@needs_shared("no/such/directory")
def test_mark(): pass
@pytest.mark.parametrize("x", [])
def test_no_parameters(x): pass
def test_right(): not_permitted("mounting a disk")
@pytest.mark.xfail
def test_known(): assert False
"""


def run(tmp_path: Path, text: str, require: str, **variables: str) -> str:
    """What pytest prints of a file with these tests; `require` is the value of RULEPUSH_REQUIRE_SERVERS."""
    (tmp_path / "test_it.py").write_text(text)
    command = [sys.executable, "-m", "pytest", "-rsf", "--rootdir", str(tmp_path), "-p", "tests.conftest", "test_it.py"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), REQUIRE: require, **variables}
    environment.pop("PYTEST_ADDOPTS", None)
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    return done.stdout


def test_a_skip_says_what_is_missing(tmp_path: Path) -> None:
    output = run(tmp_path, SKIPPING, "")
    assert "5 skipped, 1 xfailed" in output
    assert "no-such-server is neither in" in output
    assert "the shared data has no no/such/file at" in output
    assert "the shared data has no no/such/directory at" in output


def test_where_servers_are_required_every_skip_is_a_failure_but_for_missing_rights(tmp_path: Path) -> None:
    output = run(tmp_path, SKIPPING, "1")
    assert "2 failed, 1 skipped, 1 xfailed, 2 errors" in output
    assert f"{REQUIRE} is set, and this was skipped: no-such-server is neither in" in output


@pytest.mark.parametrize(("require", "outcome"), [("", "1 skipped"), ("1", "1 error")])
def test_a_whole_module_that_skips_counts_too(tmp_path: Path, require: str, outcome: str) -> None:
    text = 'import pytest\npytest.importorskip("no_such_module")\n'
    assert outcome in run(tmp_path, text, require)


@pytest.mark.parametrize(("require", "outcome"), [("", "1 skipped"), ("1", "1 failed")])
def test_a_machine_without_a_browser_says_so(tmp_path: Path, require: str, outcome: str) -> None:
    text = "from tests.needs import browser\ndef test_page(): browser()\n"
    empty = str(tmp_path / "empty")
    output = run(tmp_path, text, require, PATH=empty, RULEPUSH_BROWSER=empty)
    assert outcome in output
    assert f"chromium and chromedriver are neither on PATH nor in {empty}: `make browser`" in output
