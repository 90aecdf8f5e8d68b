"""One browser and one stage for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.browser.browser import Browser
from tests.browser.stage import Stage
from tests.needs import browser as browser_programs


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
