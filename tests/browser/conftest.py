"""One browser and one stage for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import pytest

from tests.browser.browser import Browser
from tests.browser.stage import Stage
from tests.needs import browser as browser_programs

_HERE: Final = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)  # before those that `-m` does not want are left out
def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """These tests run alone: a browser and a stage for each of four workers, until the last test of all, would be most
    of what the machine does."""
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.alone)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    one = Browser(browser_programs(), tmp_path_factory.mktemp("chromium"))
    yield one
    one.close()


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    one = Stage(tmp_path_factory.mktemp("stage"))
    try:
        with one.shown():
            yield one
    finally:
        one.close()
