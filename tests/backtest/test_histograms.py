"""Native histograms from a recording on disk through a backtest into a unit test."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from rulepush.backtest.backtest import backtest
from rulepush.backtest.unittest.episode_test import EpisodeTest, UnitTestSettings, episode_test
from rulepush.backtest.unittest.grid import notation
from rulepush.backtest.unittest.write import write_unit_test
from rulepush.histogram import Buckets, FloatHistogram, stale_histogram
from rulepush.histogram.sample import HistogramSample, block_of_samples
from rulepush.model.labels import Labels
from rulepush.recorded.events import Origin, RecordedBlock, RecordedEvaluation, RecordedEvent
from rulepush.recorded.recording import Recording
from rulepush.rules.rulefmt import load_rule_files
from tests.backtest.world import T0
from tests.needs import binary
from tests.recorded.recordings import write

INTERVAL = 15_000
SERIES = Labels.of(__name__="h", job="j")
# More than half of the requests of the last minute are slow.
RULE = "{alert: Slow, expr: 'histogram_fraction(2, +Inf, rate(h[1m])) > 0.5', for: 30s}"


def hist(fast: float, slow: float) -> FloatHistogram:
    """So many of at most 2, and of more."""
    buckets = Buckets.of(np.array([1, 2]), np.array([fast, slow]))
    return FloatHistogram(schema=0, count=fast + slow, sum=2 * fast + 4 * slow, positive=buckets)


def recorded(directory: Path) -> Recording:
    """100 scrapes: fast requests, slow ones from the 40th to the 60th, and the end of the series."""
    events: list[RecordedEvent] = []
    fast = slow = 1.0
    for i in range(100):
        at = T0 + i * INTERVAL
        fast, slow = (fast, slow + 9) if 40 <= i < 60 else (fast + 9, slow)
        value = hist(fast, slow) if i < 95 else stale_histogram()
        block = block_of_samples([HistogramSample(SERIES, at, 0.0, value)])
        events += [
            RecordedBlock(at, Origin.SCRAPE, "a", block),
            RecordedEvaluation(at, str(directory / "r.yml"), "g", INTERVAL, 0),
        ]
    write(directory / "recording", events)
    return Recording(directory / "recording")


@pytest.fixture
def found(tmp_path: Path) -> tuple[EpisodeTest, UnitTestSettings]:
    (tmp_path / "r.yml").write_text(f"groups: [{{name: g, interval: 15s, rules: [{RULE}]}}]")
    source, groups = recorded(tmp_path), load_rule_files([str(tmp_path / "r.yml")])
    report = backtest(source, groups)
    (episode,) = report.episodes
    # Of the three differences in a minute two must be slow: so at 41, and no more at 61.
    assert (episode.pending_since - T0) // INTERVAL == 41
    assert episode.ended_at == T0 + 61 * INTERVAL
    settings = UnitTestSettings(report.until)
    return episode_test(source, groups, episode, INTERVAL, settings), settings


def test_a_rule_over_histograms_does_with_a_recording_what_it_did(
    found: tuple[EpisodeTest, UnitTestSettings], tmp_path: Path
) -> None:
    test, settings = found
    assert test.problem == ""
    (cells,) = test.series.values()
    assert notation(cells).startswith("{{schema:0 count:") or notation(cells).startswith("{{count:")
    assert write_unit_test(str(tmp_path / "t.yml"), [test], settings).problems == ()


def test_the_written_test_passes_under_promtool(found: tuple[EpisodeTest, UnitTestSettings], tmp_path: Path) -> None:
    test, settings = found
    write_unit_test(str(tmp_path / "t.yml"), [test], settings)
    ran = subprocess.run([binary("promtool"), "test", "rules", tmp_path / "t.yml"], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
