"""Unit tests out of episodes: they pass, under promtool and under rulepush, and fail when the rule is another one."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from rulepush.backtest.backtest import BacktestOptions, backtest
from rulepush.backtest.episodes import Episode
from rulepush.backtest.replay import ReplayOptions
from rulepush.backtest.sources.file import FileSource
from rulepush.backtest.sources.selectors import NeededSeries
from rulepush.backtest.unittest.episode_test import EpisodeTest, UnitTestSettings, episode_test
from rulepush.backtest.unittest.grid import notation
from rulepush.backtest.unittest.write import WrittenTest, write_unit_test
from rulepush.errors import SampleSourceError
from rulepush.model.labels import Labels
from rulepush.recorded.events import RecordedEvaluation, RecordedEvent
from rulepush.rules.rulefmt import load_rule_files
from rulepush.rules.transition import ChangeReason
from rulepush.rules.unittest import load_test_file, run_test_file
from tests.backtest.world import T0, ListSource, scrapes
from tests.needs import binary

T = 1_700_000_000_000
INTERVAL = 15_000

Value = Callable[[int], float | None]
"""Of a series, by the number of its scrape; None: it is not there."""


def samples(series: dict[str, Value], scrapes: int = 240, every: int = 15_000) -> Iterator[str]:
    """A dump of scrapes that come a little late now and then, as those of a real server. A series that is gone ends
    with a stale marker."""
    draw = random.Random(3)
    for labels, value in series.items():
        phase, there = draw.randrange(every), False
        for i in range(scrapes):
            at, now = T + i * every + phase + draw.choice((0, 0, 0, 1, 2, 5)), value(i)
            if now is not None or there:
                yield f"{labels} {'NaN' if now is None else repr(now)} {at / 1000:.3f}"
            there = now is not None


@dataclass
class Night:
    """What was recorded, and what the rules did."""

    directory: Path
    rules: str
    series: dict[str, Value]
    every: int = 15_000
    settings: UnitTestSettings = field(default_factory=lambda: UnitTestSettings(0))

    def __post_init__(self) -> None:
        self.rule_file = self.directory / "rules" / "night.yml"
        self.rule_file.parent.mkdir(exist_ok=True)
        self.rule_file.write_text(self.rules)
        self.groups = load_rule_files([str(self.rule_file)])
        dumped = self.directory / "night.txt"
        dumped.write_text("\n".join(samples(self.series, every=self.every)) + "\n# EOF\n")
        self.source = FileSource(str(dumped), NeededSeries.of_rules([self.groups]))
        self.replay()

    def replay(self) -> None:
        options = BacktestOptions(
            replay=ReplayOptions(
                default_interval_ms=INTERVAL,
                external_labels=self.settings.external_labels,
                external_url=self.settings.external_url,
            )
        )
        report = backtest(self.source, self.groups, options)
        self.episodes = report.episodes
        self.until = report.until

    def tests(self, *episodes: Episode) -> list[EpisodeTest]:
        settings = replace(self.settings, until=self.until)
        return [episode_test(self.source, self.groups, e, INTERVAL, settings) for e in episodes or self.episodes]

    def write(self, *episodes: Episode) -> WrittenTest:
        return write_unit_test(str(self.file), self.tests(*episodes), self.settings)

    @property
    def file(self) -> Path:
        return self.directory / "tests" / "night_test.yml"

    def passes(self) -> bool:
        return not run_test_file(load_test_file(str(self.file))).failures


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "tests").mkdir()
    return tmp_path


def under_promtool(file: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([binary("promtool"), "test", "rules", file], capture_output=True, text=True)


def group(*rules: str, name: str = "g") -> str:
    return f"- name: {name}\n  rules:\n" + "".join(f"  - {rule}\n" for rule in rules)


def rules(*groups: str) -> str:
    return "groups:\n" + "".join(groups)


def gauge(first: int, last: int, high: float = 90.0, low: float = 10.0) -> Value:
    return lambda i: high + i % 7 if first <= i < last else low + i % 3


def switched(first: int, last: int) -> Value:
    return lambda i: 0.0 if first <= i < last else 1.0


def counter(first: int, last: int, fast: float = 50.0, slow: float = 1.0) -> Callable[[int], float]:
    return lambda i: slow * i + (fast - slow) * max(0, min(i, last) - first)


HOT = (
    "{alert: Hot, expr: 'temp > 80', for: 1m, labels: {severity: page, room: '{{ $labels.room }}'}, "
    "annotations: {v: 'it is {{ $value }}'}}"
)
DOWN = "{alert: Down, expr: 'up == 0', for: 1m, keep_firing_for: 2m, annotations: {i: '{{ $labels.instance }}'}}"
ASKS = "{alert: Hot, expr: 'temp > 80', annotations: {n: '{{ query \"count(temp)\" | first | value }} rooms'}}"
SITE = "{alert: Hot, expr: 'temp > 80', annotations: {s: '{{ $externalLabels.site }} {{ $externalURL }}'}}"
NIGHTS: dict[str, tuple[str, dict[str, Value]]] = {
    "a gauge": (rules(group(HOT)), {'temp{room="a"}': gauge(60, 100), 'temp{room="b"}': gauge(70, 90)}),
    "no for": (
        rules(group('{alert: Hot, expr: \'temp > 80\', annotations: {v: "it\'s {{ $value }} \\\\ \\"hot\\""}}')),
        {'temp{room="a\\"b\\\\c"}': gauge(60, 100)},
    ),
    "a rate": (
        rules(group("{alert: Errors, expr: 'sum by (job) (rate(errors_total[2m])) > 1', for: 1m}")),
        {f'errors_total{{job="{job}",code="{code}"}}': counter(80, 120) for job in "ab" for code in (500, 503)},
    ),
    "a counter that resets": (
        rules(group("{alert: Errors, expr: 'increase(errors_total[5m]) > 100', for: 30s}")),
        {"errors_total": lambda i: counter(80, 120)(i) if i < 100 else counter(80, 120)(i) - 1020.0},
    ),
    "recorded series of another group": (
        rules(
            group("{record: 'job:errors:rate2m', expr: 'sum by (job) (rate(errors_total[2m]))'}", name="a recording"),
            group("{alert: Errors, expr: 'job:errors:rate2m > 0.5', for: 1m, annotations: {v: '{{ $value }}'}}"),
        ),
        {'errors_total{job="a"}': counter(80, 120), 'errors_total{job="b"}': counter(90, 120)},
    ),
    "a range over recorded series": (
        rules(
            group(
                "{record: 'errors:rate10m', expr: 'rate(errors_total[10m])'}",
                "{alert: Errors, expr: 'min_over_time(errors:rate10m[1m]) > 0.5', for: 1m}",
            )
        ),
        {"errors_total": counter(80, 120)},
    ),
    "a target that is down": (
        rules(group(DOWN)),
        {f'up{{instance="{i}"}}': switched(60 + i * 20, 90) for i in range(2)},
    ),
    "a series that is gone": (
        rules(group("{alert: Gone, expr: 'absent(beat{job=\"a\"})', for: 2m}")),
        {'beat{job="a"}': lambda i: None if 80 <= i < 110 else float(i)},
    ),
    "a series that ends while it fires": (
        rules(group(HOT)),
        {'temp{room="a"}': lambda i: gauge(60, 200)(i) if i < 100 else None},
    ),
    "two sides": (
        rules(group("{alert: Full, expr: 'used / on (disk) size > 0.9 and on () vector(1) == 1', for: 30s}")),
        {
            'used{disk="d1",node="n"}': gauge(60, 90),
            'size{disk="d1"}': lambda _: 100.0,
            'size{disk="d2"}': lambda _: 1.0,
        },
    ),
    "a template that asks": (
        rules(group(ASKS)),
        {'temp{room="a"}': gauge(60, 100), 'temp{room="b"}': lambda _: 5.0},
    ),
    "a subquery": (
        rules(group("{alert: Hot, expr: 'max_over_time(avg_over_time(temp[1m])[5m:30s]) > 80', for: 1m}")),
        {'temp{room="a"}': gauge(60, 100)},
    ),
    "labels of the server": (
        rules(group(SITE)),
        {'temp{room="a"}': gauge(60, 100)},
    ),
    "pending only": (rules(group(HOT)), {'temp{room="a"}': gauge(60, 62)}),
    "still firing": (rules(group(HOT)), {'temp{room="a"}': gauge(200, 300)}),
    "special values": (
        rules(group("{alert: Odd, expr: 'odd > 5', for: 30s}")),
        {'odd{x="1"}': lambda i: float("inf") if 60 <= i < 80 else float("-inf") if i % 2 else -1.5e-300},
    ),
}


def night(directory: Path, name: str, every: int = 15_000) -> Night:
    text, series = NIGHTS[name]
    site = UnitTestSettings(0, Labels.of(site="hz1"), "http://here/x")
    return Night(directory, text, series, every, site if name == "labels of the server" else UnitTestSettings(0))


@pytest.mark.parametrize("every", [15_000, 5_000, 60_000])
@pytest.mark.parametrize("name", NIGHTS)
def test_a_night_becomes_a_test_that_passes_under_promtool_too(directory: Path, name: str, every: int) -> None:
    happened = night(directory, name, every=every)
    assert happened.episodes
    written = happened.write()
    assert written.problems == ()
    assert written.tests == len(happened.episodes)
    assert happened.passes()
    result = under_promtool(happened.file)
    assert result.returncode == 0, result.stderr + happened.file.read_text()


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("a gauge", "> 80", "> 96"),
        ("a gauge", "for: 1m", "for: 3m"),
        ("a gauge", "severity: page", "severity: info"),
        ("a rate", "> 1", "> 1000"),
        ("a series that is gone", "for: 2m", "for: 1m"),
        ("a target that is down", "keep_firing_for: 2m", "keep_firing_for: 1m"),
        ("recorded series of another group", "[2m]", "[10m]"),
        ("pending only", "for: 1m", "for: 15s"),
    ],
)
def test_a_rule_that_would_do_another_thing_fails_the_test(directory: Path, name: str, before: str, after: str) -> None:
    happened = night(directory, name)
    assert happened.write().problems == ()
    assert before in happened.rules
    happened.rule_file.write_text(happened.rules.replace(before, after))
    assert not happened.passes()


def test_series_of_other_alerts_are_left_out_and_that_is_said(directory: Path) -> None:
    happened = night(directory, "a gauge")
    first = next(e for e in happened.episodes if e.labels.get("room") == "a")
    (test,) = happened.tests(first)
    assert [str(labels) for labels in test.series] == ['temp{room="a"}']
    assert test.notes == ('left out, because the alert is the same without them: temp{room="b"}',)


def test_series_that_look_like_those_of_others_stay_when_the_alert_needs_them(directory: Path) -> None:
    expr = 'seen{node="a"} < on (disk) group_left () seen{node="b"} - 10'
    text = rules(group(f"{{alert: Behind, expr: '{expr}', for: 30s}}"))
    series: dict[str, Value] = {
        'seen{node="a",disk="d"}': gauge(60, 90, 1.0, 100.0),
        'seen{node="b",disk="d"}': lambda _: 50.0,
    }
    happened = Night(directory, text, series)
    written = happened.write()
    assert written.problems == ()
    assert written.series == 2
    assert written.notes == ()
    assert under_promtool(happened.file).returncode == 0


def test_a_threshold_that_is_only_just_crossed_is_shown_on_a_fine_grid(directory: Path) -> None:
    """One scrape comes three seconds late: the increase until the next took twelve, on the coarse grid fifteen."""
    late = [f"c {i * 1.5} {(T + i * 15_000 + (3_000 if i == 40 else 0)) / 1000:.3f}" for i in range(80)]
    happened = Night(directory, rules(group("{alert: Jump, expr: 'irate(c[1m]) > 0.11'}")), {})
    (directory / "late.txt").write_text("\n".join(late) + "\n# EOF\n")
    happened.source = FileSource(str(directory / "late.txt"), NeededSeries.of_rules([happened.groups]))
    happened.replay()
    (test,) = happened.tests()
    assert test.problem == ""
    assert test.grid.step_ms == 1000
    assert happened.write().problems == ()
    assert under_promtool(happened.file).returncode == 0


def test_an_episode_that_a_test_cannot_show_is_written_with_the_reason(directory: Path) -> None:
    """`hold_on_scrape_failure` is no part of a rule file: no test can hold an alert."""
    happened = night(directory, "a gauge")
    first = happened.episodes[0]
    assert first.ended_at is not None
    held = replace(first, ended_at=first.ended_at + 4 * INTERVAL)
    written = happened.write(held)
    (problem,) = written.problems
    assert problem.startswith('Hot{room="a", severity="page"}: after ')
    assert "the alert is inactive in the test, and fires in the backtest" in problem
    assert 'left out: temp{room="b"}' in written.notes[-1]
    assert not happened.passes()


def test_an_alert_that_the_limit_dropped_is_shown_until_then(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = rules(group(HOT).replace("  rules:", "  limit: 1\n  rules:"))
    happened = Night(directory, text, {'temp{room="a"}': gauge(60, 100), 'temp{room="b"}': gauge(80, 100)})
    (episode,) = (e for e in happened.episodes if e.labels.get("room") == "a")
    assert episode.reason is ChangeReason.OVER_LIMIT
    written = happened.write(episode)
    assert written.problems == ()
    assert "the test ends before the alert was dropped" in written.notes[0]
    assert happened.passes()
    assert under_promtool(happened.file).returncode == 0
    assert capsys.readouterr().err == ""


def test_a_rule_that_reads_the_clock_gets_a_start(directory: Path) -> None:
    text = rules(group("{alert: Old, expr: 'time() - written_at > 120', for: 30s}"))
    happened = Night(directory, text, {"written_at": lambda i: T / 1000 + (i * 15 if i < 60 else 900.0)})
    written = happened.write()
    assert written.problems == ()
    assert happened.passes()
    assert "start_timestamp, which promtool 3.9 knows" in written.notes[-1]


def test_a_long_episode_is_cut_behind_its_beginning(directory: Path) -> None:
    happened = night(directory, "a gauge")
    first = replace(happened.episodes[0], ended_at=T + 10_000 * INTERVAL)
    (test,) = happened.tests(first)
    assert test.problem == ""
    assert "the test ends 30s after the alert fired" in test.notes[0]


def test_an_episode_that_was_there_when_the_data_begin_becomes_a_test(directory: Path) -> None:
    happened = Night(directory, rules(group(HOT)), {'temp{room="a"}': gauge(0, 60)})
    assert [e.since_before for e in happened.episodes] == [True]
    assert happened.write().problems == ()
    assert under_promtool(happened.file).returncode == 0


def test_too_many_series_are_refused(directory: Path) -> None:
    series: dict[str, Value] = {f'temp{{room="{i}"}}': lambda _: 100.0 for i in range(501)}
    happened = Night(directory, rules(group("{alert: Hot, expr: 'count(temp > 80) > 5'}")), series)
    with pytest.raises(SampleSourceError, match=r"501 series matter for .*, more than the 500"):
        happened.tests()


def test_groups_of_different_intervals_do_not_fit_into_one_file(directory: Path) -> None:
    happened = night(directory, "a gauge")
    (one, *_) = happened.tests(happened.episodes[0])
    (other, *_) = [episode_test(happened.source, happened.groups, happened.episodes[0], 30_000, happened.settings)]
    with pytest.raises(
        SampleSourceError, match="one evaluation_interval, and the groups of these episodes have several: 15s, 30s"
    ):
        write_unit_test(str(happened.file), [one, other], happened.settings)


def test_a_rule_file_is_found_from_the_directory_of_the_test(directory: Path) -> None:
    odd = directory / "odd [x] dir"
    odd.mkdir()
    happened = night(odd, "a gauge")
    elsewhere = directory / "tests" / "t.yml"
    assert write_unit_test(str(elsewhere), happened.tests(), happened.settings).problems == ()
    assert under_promtool(elsewhere).returncode == 0
    assert str(directory) not in elsewhere.read_text()


def test_a_file_that_cannot_be_written_is_told(directory: Path) -> None:
    happened = night(directory, "a gauge")
    with pytest.raises(SampleSourceError, match=r"no/such/dir/t\.yml: No such file or directory"):
        write_unit_test(str(directory / "no/such/dir/t.yml"), happened.tests(), happened.settings)


def test_a_scrape_that_came_in_after_an_evaluation_is_seen_by_the_next(directory: Path) -> None:
    """A recording says what was there when. Each scrape has the time of the evaluation that it comes too late for."""
    (directory / "r.yml").write_text("groups: [{name: g, interval: 15s, rules: [{alert: A, expr: 'x > 5', for: 30s}]}]")
    groups = load_rule_files([str(directory / "r.yml")])
    events: list[RecordedEvent] = [*scrapes({"x": "1x40 9x8 1x20"})]
    events += [RecordedEvaluation(T0 + i * INTERVAL, str(directory / "r.yml"), "g", INTERVAL, 0) for i in range(70)]
    recorded = ListSource(sorted(events, key=lambda e: e.at))
    report = backtest(recorded, groups)
    (episode,) = report.episodes
    assert episode.pending_since == T0 + 42 * INTERVAL  # the 41st scrape has the first 9
    settings = UnitTestSettings(report.until)
    test = episode_test(recorded, groups, episode, INTERVAL, settings)
    assert test.problem == ""
    assert test.grid.step_ms == INTERVAL
    first = min(step for step, value in next(iter(test.series.values())).items() if value == 9.0)
    assert test.grid.start + first * INTERVAL == T0 + 42 * INTERVAL
    assert write_unit_test(str(directory / "t.yml"), [test], settings).problems == ()
    assert under_promtool(directory / "t.yml").returncode == 0


def test_a_scrape_that_an_evaluation_waited_for_is_seen_by_it(directory: Path) -> None:
    """As the service does it: scrapes and evaluations have the same times, and an evaluation begins when the scrapes
    are in. The last one, which ends the alert, counts as well."""
    (directory / "r.yml").write_text("groups: [{name: g, interval: 15s, rules: [{alert: A, expr: 'x > 5', for: 30s}]}]")
    groups = load_rule_files([str(directory / "r.yml")])
    events: list[RecordedEvent] = []
    for i, block in enumerate(scrapes({"x": "1x40 9x8 stale 1x20"})):
        events += [block, RecordedEvaluation(T0 + i * INTERVAL, str(directory / "r.yml"), "g", INTERVAL, 0)]
    recorded = ListSource(events)
    report = backtest(recorded, groups)
    (episode,) = report.episodes
    assert (episode.pending_since, episode.ended_at) == (T0 + 41 * INTERVAL, T0 + 50 * INTERVAL)
    settings = UnitTestSettings(report.until)
    test = episode_test(recorded, groups, episode, INTERVAL, settings)
    assert test.problem == ""
    assert [notation(cells) for cells in test.series.values()] == ["1+0x3 9+0x8 stale"]
    assert write_unit_test(str(directory / "t.yml"), [test], settings).problems == ()
    assert under_promtool(directory / "t.yml").returncode == 0
