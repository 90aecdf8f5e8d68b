"""What tests need beside the project: real servers, a browser and the shared data. The one place that finds them.

A test that lacks one skips and says what is missing. Where RULEPUSH_REQUIRE_SERVERS is set (CI), tests/conftest.py
turns every skip into a failure, but those of `not_permitted`.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

import pytest

ROOT: Final = Path(__file__).resolve().parents[1]
SERVERS: Final = Path(os.environ.get("RULEPUSH_SERVERS") or ROOT / ".servers").resolve()
"""Where `make servers` unpacks the servers."""
BROWSER: Final = Path(os.environ.get("RULEPUSH_BROWSER") or ROOT / ".browser").resolve()
"""Where `make browser` unpacks chromium, where the system has none."""
SHARED: Final = Path(os.environ.get("RULEPUSH_SHARED") or ROOT.parent / "shared").resolve()
"""Data of others (Nacos' answers, published rules, conformance tests) that is not ours to publish."""
REQUIRE: Final = "RULEPUSH_REQUIRE_SERVERS"
NOT_PERMITTED: Final = "not permitted here: "

# The left names are Debian's. What a person installed by hand has the projects' own names.
_OTHER_NAMES: Final[dict[str, tuple[str, ...]]] = {
    "prometheus-alertmanager": ("alertmanager",),
    "prometheus-node-exporter": ("node_exporter",),
    "prometheus-pushgateway": ("pushgateway",),
    "victoria-metrics": ("victoria-metrics-prod",),
    "vmalert": ("vmalert-prod",),
}


def put_servers_on_path() -> None:
    """Let this process and those that it starts find the unpacked servers before those of the system."""
    path = os.environ.get("PATH", os.defpath)
    directory = str(SERVERS / "usr" / "bin")
    if directory not in path.split(os.pathsep):
        os.environ["PATH"] = os.pathsep.join((directory, path))


def binary(name: str) -> str:
    """The path of a program, by the name it has in Debian; skips the test without it."""
    for candidate in (name, *_OTHER_NAMES.get(name, ())):
        found = shutil.which(candidate)
        if found is not None:
            return found
    pytest.skip(f"{name} is neither in {SERVERS} nor on PATH: `make servers` unpacks it, and says why it cannot")


@dataclass(frozen=True)
class BrowserPrograms:
    """The paths of a chromium and of the chromedriver of its version."""

    browser: str
    driver: str


def browser() -> BrowserPrograms:
    """The system's chromium or Chrome, or the unpacked one; skips the test without."""
    found, driver = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
    if found and driver:
        return BrowserPrograms(found, driver)
    unpacked = BrowserPrograms(str(BROWSER / "bin" / "chromium"), str(BROWSER / "bin" / "chromedriver"))
    if Path(unpacked.browser).exists() and Path(unpacked.driver).exists():
        return unpacked
    pytest.skip(
        f"chromium and chromedriver are neither on PATH nor in {BROWSER}: `make browser` unpacks them, and says why it "
        "cannot; or install the packages chromium and chromium-driver"
    )


def shared(path: str) -> Path:
    """A file or directory of the shared data; skips the test without it."""
    found = SHARED / path
    if not found.exists():
        pytest.skip(_lacking(path))
    return found


def needs_shared(path: str) -> pytest.MarkDecorator:
    """As `shared`, as a mark: for tests that take the files of a directory as parameters."""
    return pytest.mark.skipif(not (SHARED / path).exists(), reason=_lacking(path))


def not_permitted(reason: str) -> NoReturn:
    """Skip a test that needs a right which this user or container does not have; no failure in CI either."""
    pytest.skip(NOT_PERMITTED + reason)


def _lacking(path: str) -> str:
    return f"the shared data has no {path} at {SHARED} (RULEPUSH_SHARED names another place)"
