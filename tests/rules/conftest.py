"""Rules are tested in memory and on a datasource: their results are the same."""

from __future__ import annotations

import pytest

from tests.rules import world


@pytest.fixture(params=[False, True], ids=["memory", "datasource"])
def both_drivers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """For modules whose tests go through a World."""
    monkeypatch.setattr(world, "drive_on_datasource", request.param)
