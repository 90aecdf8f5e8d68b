"""`rulepush backtest` on small recordings: its range, its report, its errors."""

from __future__ import annotations

import io
import json
import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from freezegun import freeze_time

from rulepush.__main__ import main
from rulepush.cli.progress import ProgressLine
from rulepush.clock import SystemClock
from rulepush.recorded.events import RecordedEvent, RecordedStart
from rulepush.recorded.records import DIRECTORY
from rulepush.recorded.writer import RecordingWriter
from tests.backtest.world import T0, M, S, marks, merged, scrapes

NEW = """groups:
- name: g
  rules:
  - alert: High
    expr: m > 5
    for: 30s
    labels: {severity: page}
    annotations: {summary: "{{ $labels.instance }} of {{ $externalLabels.site }} is at {{ $value }}"}
  - {alert: Never, expr: nothing > 1}
  - {alert: Twice, expr: 'nothing{a="1"} > 1 or nothing{a="2"} > 1 or m{job="k"} > 1'}
  - {alert: Bad, expr: m > on () group_left () m}
  - {record: r, expr: max(m)}
"""
SERIES = {
    'm{instance="x:80",job="j"}': "1x9 9x9 1x20",
    'm{instance="y:80",job="j"}': "1x30 6x9",
    'up{instance="x:80",job="j"}': "1x39",
}
NOW = "2023-11-14T22:23:30Z"  # T0 is 22:13:20, and the data end 22:23:20
EVENTS = merged([RecordedStart(T0 - 1 * S)], scrapes(SERIES), marks(10 * M))


class EventClock(SystemClock):
    """Stands where the events are."""

    at = T0

    def now(self) -> int:
        return self.at


def record(directory: Path, events: Sequence[RecordedEvent]) -> Path:
    """A storage path with a recording."""
    clock = EventClock()
    clock.at = events[0].at
    writer = RecordingWriter(directory / DIRECTORY, 24 * 60 * M, 1 << 30, clock)
    for event in events:
        writer.record(event)
    clock.at = events[-1].at
    writer.flush()
    writer.close()
    return directory


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory with a recording in `data` and a rule file."""
    record(tmp_path / "data", EVENTS)
    (tmp_path / "new.yml").write_text(NEW)
    monkeypatch.chdir(tmp_path)
    with freeze_time(NOW):
        yield tmp_path


def tried(*args: str, rules: str = "new.yml") -> int:
    """The exit code of the command."""
    return main(["backtest", "--rules", rules, "--storage.path", "data", *args])


def test_the_episodes_are_printed_and_what_each_rule_did(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tried() == 0
    out = capsys.readouterr().out
    assert (
        out
        == """evaluated from 2023-11-14T22:13:20Z to 2023-11-14T22:23:20Z (10m)

2 episodes that fired, by time

  pending since         fired                 ended                 fired for
  2023-11-14T22:15:50Z  2023-11-14T22:16:20Z  2023-11-14T22:18:20Z  2m
      1. High {instance="x:80", job="j", severity="page"}
      peak 9, last 9; sent 2 times, 5 times as resolved
      ended: the condition is no longer true: 1 > 5 is not true
      summary: x:80 of is at 9
  2023-11-14T22:21:05Z  2023-11-14T22:21:35Z  goes on               1m45s
      2. High {instance="y:80", job="j", severity="page"}
      peak 6, last 6; sent 2 times
      summary: y:80 of is at 6

rules (5)
  High: fired 2 times, longest 2m
  Bad: failed 41 times
      new.yml:11: 41 times, first at 2023-11-14T22:13:20Z: found duplicate series for the match
        group {} on the right hand-side of the operation: [{__name__="m", instance="x:80", job="j"},
        {__name__="m", instance="y:80", job="j"}];many-to-many matching not allowed: matching labels
        must be unique on one side
  never pending (2): Never, Twice
  recording rules (1): r

rules that lack data
  no sample of nothing in the recording: Never, Twice
  no series matches m{job="k"}: m is there, with other labels: Twice
"""
    )


def test_rules_that_fired_have_colours_where_there_are_colours(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLICOLOR_FORCE", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert tried() == 0
    assert "\n  \x1b[31mHigh\x1b[0m: fired " in capsys.readouterr().out


def test_json_has_the_same(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tried("--format", "json", "--to", "2023-11-14T22:20:00Z") == 0
    document = json.loads(capsys.readouterr().out)
    (episode,) = document["episodes"]
    assert episode == {
        "alert": "High",
        "group": "g",
        "file": "new.yml",
        "line": 4,
        "labels": {"alertname": "High", "instance": "x:80", "job": "j", "severity": "page"},
        "annotations": {"summary": "x:80 of  is at 9"},
        "state": "firing",
        "pendingSince": "2023-11-14T22:15:50Z",
        "firedAt": "2023-11-14T22:16:20Z",
        "endedAt": "2023-11-14T22:18:20Z",
        "firingSeconds": 120.0,
        "sinceBefore": False,
        "peak": "9",
        "last": "9",
        "notifications": {"firing": 2, "resolved": 2},
        "reason": "condition_false",
        "ended": "the condition is no longer true: 1 > 5 is not true",
    }
    assert document["from"] == "2023-11-14T22:13:19Z"
    assert document["to"] == "2023-11-14T22:20:00Z"
    assert document["evaluatedTo"] == "2023-11-14T22:19:50Z"
    assert [rule["fired"] for rule in document["rules"]] == [1, 0, 0, 0, 0]
    assert document["rules"][1]["missing"][0]["metric"] == "nothing"
    assert "comparison" not in document


def test_the_configuration_says_external_labels_interval_rules_and_hold(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "p.yml").write_text(
        "global: {evaluation_interval: 30s, external_labels: {site: hz1}}\nrule_files: [new.yml]\n"
    )
    assert main(["backtest", "--config.file", "p.yml", "--storage.path", "data", "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["episodes"][0]["annotations"] == {"summary": "x:80 of hz1 is at 9"}
    # The recorded group was evaluated every 15 s: on the grid of 30 s the evaluation at 22:15:50 is the first.
    assert document["episodes"][0]["firedAt"] == "2023-11-14T22:16:20Z"
    assert document["rules"][3]["failedEvaluations"] == 21


@pytest.mark.parametrize(
    "args",
    [
        ["--from", "2023-11-14T22:19:00Z"],
        ["--from", "1700000340"],
        ["--from", "4m30s"],
        ["--since", "4m30s"],
        ["--from", "2023-11-15T06:19:00+08:00"],
    ],
)
def test_a_range_is_given_in_several_ways(here: Path, capsys: pytest.CaptureFixture[str], args: list[str]) -> None:
    assert tried("--format", "json", *args) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["from"] == "2023-11-14T22:19:00Z"
    assert [e["labels"]["instance"] for e in document["episodes"]] == ["y:80"]


@pytest.mark.parametrize(
    ("args", "error"),
    [
        (["--from", "yesterday"], "--from 'yesterday' is not a time: write 2026-11-29T02:00:00Z, Unix seconds, or how"),
        (["--since", "12"], "--since '12' is not a duration such as 12h or 1h30m"),
        (["--since", "1h", "--from", "1h"], "--since and --from both say where to start: give one of them"),
        (["--from", "1m", "--to", "5m"], "the range is empty: it begins at 2023-11-14T22:22:30Z and ends at 2023-11-"),
        (["--from", "2030-01-01T00:00:00Z"], "the range begins at 2030-01-01T00:00:00Z, which is in the future"),
        (
            ["--from", "99999999999999"],
            "--from '99999999999999' is not a time between the years 1970 and 9999; these are",
        ),
        (["--to=-1e15"], "--to '-1e15' is not a time between the years 1970 and 9999"),
        (
            ["--to", "1h"],
            "data has no samples from 2023-11-14T22:13:19Z to 2023-11-14T21:23:30Z: those that it has are",
        ),
        (["--since", "1s"], "data has no samples from 2023-11-14T22:23:29Z to 2023-11-14T22:23:"),
        (["--episode", "2"], "--episode chooses what --write-test writes, which is not given"),
        (["--header", "A: b"], "--http.config.file, --header and --ca-file are for --from-url, which is not given"),
        (["--storage.path", "new.yml"], "rulepush backtest: new.yml/recording: Not a directory"),
        (["--storage.path", "empty"], "nothing is recorded: empty/recording does not exist. `storage: {record: {}}`"),
        (["--against", "none.yml"], "none.yml: cannot be read: No such file or directory"),
    ],
)
def test_what_is_wrong_is_said(here: Path, capsys: pytest.CaptureFixture[str], args: list[str], error: str) -> None:
    assert tried(*args) == 1
    err = capsys.readouterr().err
    assert error in err
    assert err.count("\n") == 1


def test_an_interval_of_nothing_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exited:
        tried("--interval", "0s")
    assert exited.value.code == 2
    assert "argument --interval: has to be above 0" in capsys.readouterr().err


def test_json_has_what_a_terminal_obeys_as_codes(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record(here / "bad", scrapes({'m{instance="x:80",job="a\x9b31m\u202eb"}': "9x39"}))
    assert main(["backtest", "--rules", "new.yml", "--storage.path", "bad", "--format", "json"]) == 0
    out = capsys.readouterr().out
    assert '"job": "a\\u009b31m\\u202eb"' in out
    assert json.loads(out)["episodes"][0]["labels"]["job"] == "a\x9b31m\u202eb"


def test_rules_and_the_storage_path_have_to_be_known(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backtest", "--storage.path", "data"]) == 1
    assert "no rules to try: --rules names none, and there is no --config.file" in capsys.readouterr().err
    assert main(["backtest", "--rules", "new.yml"]) == 1
    assert (
        "one of --storage.path (the directory of the rulepush that has recorded), --from-url and"
        in capsys.readouterr().err
    )
    (here / "empty.yml").write_text("groups: []\n")
    assert tried(rules="empty.yml") == 1
    assert "no rules to try: there is none in empty.yml" in capsys.readouterr().err


def test_two_versions_are_compared(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "old.yml").write_text("groups: [{name: g, rules: [{alert: High, expr: m > 7}]}]\n")
    assert tried("--against", "old.yml") == 0
    out = capsys.readouterr().out
    assert out.endswith("""compared with the other version
  only the new one: High {instance="y:80", job="j", severity="page"}
      fired at 2023-11-14T22:21:35Z, for 1m45s
  moved: High {instance="x:80", job="j", severity="page"}
      fired at 2023-11-14T22:15:50Z, fires 30s later, 30s shorter
""")
    assert tried("--against", "old.yml", "--format", "json") == 0
    comparison = json.loads(capsys.readouterr().out)["comparison"]
    assert (comparison["same"], comparison["onlyOld"]) == (0, [])
    assert [e["labels"]["instance"] for e in comparison["onlyNew"]] == ["y:80"]
    (moved,) = comparison["moved"]
    assert (moved["firedBySeconds"], moved["endedBySeconds"], moved["longerBySeconds"]) == (30.0, 0.0, -30.0)


def test_what_cannot_be_known_is_said(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = [e for e in EVENTS if e.at < T0 + 4 * M]
    later = [e for e in EVENTS if e.at >= T0 + 7 * M]
    record(here / "gap", [*first, RecordedStart(T0 + 7 * M - 1 * S), *later])
    assert main(["backtest", "--rules", "new.yml", "--storage.path", "gap", "--since", "1h"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "but: the data begin at 2023-11-14T22:13:19Z, 49m49s later than asked for"
    assert lines[2].startswith("but: nothing was recorded from 2023-11-14T22:17:05.04Z to 2023-11-14T22:20:19Z")


def test_ctrl_c_ends_with_what_was_found_so_far(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from rulepush.recorded.recording import Recording

    events = Recording.events

    def interrupted(self: Recording, start: int, end: int) -> Iterator[RecordedEvent]:
        for i, event in enumerate(events(self, start, end)):
            if i == 30:
                os.kill(os.getpid(), signal.SIGINT)
            yield event

    monkeypatch.setattr(Recording, "events", interrupted)
    before = signal.getsignal(signal.SIGINT)
    assert tried() == 130
    out = capsys.readouterr().out
    assert "(interrupted): what came later is not known" in out
    assert 'High {instance="x:80", job="j", severity="page"}' in out
    assert "y:80" not in out.partition("rules (")[0]
    assert signal.getsignal(signal.SIGINT) is before


def test_the_progress_is_one_line_that_goes_away() -> None:
    now = [0.0]
    out = io.StringIO()
    line = ProgressLine(out, lambda: now[0])
    line.show(0.0, "22:13:20")  # at once: nothing to see yet
    assert out.getvalue() == ""
    now[0] = 5.0
    line.show(0.25, "22:13:45")
    assert out.getvalue() == "\r 25%  22:13:45  about 15s left"
    now[0] = 10.0
    line.show(0.91, "22:14:51")
    assert out.getvalue().endswith("\r 91%  22:14:51  about 1s left ")
    line.clear()
    assert out.getvalue().endswith("\r" + " " * 29 + "\r")
