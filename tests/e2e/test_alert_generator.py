"""The alert generator tester's way of looking, with times scaled down; the true times take 25 minutes and are run by
hand: `python3 -m tests.e2e.alert_generator`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.alert_generator import run_tester
from tests.e2e.generator_cases import QUICK

pytestmark = pytest.mark.e2e


def test_samples_in_alerts_out_and_every_api_in_between(tmp_path: Path) -> None:
    report = run_tester(tmp_path, QUICK)
    assert report.problems == []
    assert report.polls > 30
    assert report.certain > 300
    assert report.received > 40
