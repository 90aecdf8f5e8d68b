"""Finds the unpacked servers for all tests, and lets no test be skipped unnoticed in CI (see tests/needs.py)."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Generator, Iterator

import pytest

from tests.dearest import begin_with_the_dearest
from tests.needs import NOT_PERMITTED, REQUIRE, put_servers_on_path

put_servers_on_path()
os.environ.pop("CLICOLOR_FORCE", None)  # what commands print is compared with texts without colours
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell without job control starts `command &` so that Ctrl-C does not reach it (POSIX 2.11), and every process
    # that is started from there ignores SIGINT, too: those that a test ends with Ctrl-C would stay.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config: pytest.Config) -> None:
    config.option.loadscopereorder = False  # --no-loadscope-reorder, also where there is no pytest-xdist


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):  # in one process the order of the files is the better one to read
        begin_with_the_dearest(items)


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """A command that sets up logging writes to the stderr of its test, which is closed when the next one logs."""
    root, ours = logging.getLogger(), logging.getLogger("rulepush")
    before = root.handlers[:], root.level, ours.level
    yield
    root.handlers[:], root.level, ours.level = before


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _fail_if_skipped(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _fail_if_skipped(report)
    return report


def _fail_if_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Also catches skips that no test asks for: a parameter list that is empty, a module that skips as a whole."""
    if not os.environ.get(REQUIRE) or not report.skipped or hasattr(report, "wasxfail"):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    reason = reason.removeprefix("Skipped: ")
    if not reason.startswith(NOT_PERMITTED):
        report.outcome = "failed"
        report.longrepr = f"{REQUIRE} is set, and this was skipped: {reason}"
