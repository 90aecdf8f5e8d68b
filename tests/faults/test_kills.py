"""`kill -9` at random moments of a run in which alerts go through their lives: none is lost, none is faked.

RULEPUSH_KILLS and RULEPUSH_SEED choose how many kills, and which run: 150 kills with several seeds are the way to hunt
what happens once in some hundred.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.faults.lives import Lives

pytestmark = [pytest.mark.e2e, pytest.mark.alone]

KILLS = int(os.environ.get("RULEPUSH_KILLS", "50"))
SEED = int(os.environ.get("RULEPUSH_SEED", "20250301"))
PROCESSES = 2  # of which each needs a core while it starts


def test_no_alert_is_lost_doubled_or_faked_by_kills_at_random_moments(tmp_path: Path) -> None:
    lives = [Lives(tmp_path / str(i), SEED + 10 * i) for i in range(PROCESSES)]
    each = [KILLS // PROCESSES + (i < KILLS % PROCESSES) for i in range(PROCESSES)]
    with ThreadPoolExecutor(PROCESSES) as threads:
        results = list(threads.map(Lives.run, lives, each))
    problems = [f"process {i}: {text}" for i, found in enumerate(results) for text in found]
    phases = sum(len(series.phases) for one in lives for series in one.series)
    print(f"{sum(each)} kills, {phases} phases of {len(lives) * len(lives[0].series)} series, seed {SEED}")
    assert not problems, f"seed {SEED}:\n" + "\n".join(problems)
    assert all("Traceback" not in one.scene.log() for one in lives)
    assert phases >= KILLS // 2, "the alerts hardly lived"
