"""Colours and progress: on a terminal, and nowhere else. The terminal is a pty, with the command as its own process."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping
from pathlib import Path

import pytest

from rulepush.cli.progress import ProgressLine, shown_progress
from rulepush.cli.terminal import VERDICTS, Ink, coloured, has_colours, inked
from tests.livecheck.servers import serving

PLAIN = {"PATH": os.environ["PATH"], "TERM": "xterm", "PYTHONPATH": os.pathsep.join(sys.path)}
RED, YELLOW, GREEN = "\x1b[31m", "\x1b[33m", "\x1b[32m"


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _on_terminal(*words: str, cwd: Path, env: Mapping[str, str] | None = None, columns: int = 100) -> str:
    """What the command writes to a terminal that is its stdout and stderr."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    command = [sys.executable, "-m", "rulepush", *words]
    with subprocess.Popen(command, cwd=cwd, env={**PLAIN, **(env or {})}, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        written = b""
        with contextlib.suppress(OSError):  # EIO: the other side is closed
            while part := os.read(ours, 65536):
                written += part
        process.wait(60)
    os.close(ours)
    return written.decode().replace("\r\n", "\n")


def _in_pipes(*words: str, cwd: Path, env: Mapping[str, str] | None = None) -> str:
    command = [sys.executable, "-m", "rulepush", *words]
    done = subprocess.run(
        command, cwd=cwd, env={**PLAIN, **(env or {})}, capture_output=True, text=True, check=False, timeout=60
    )
    return done.stdout + done.stderr


RULES = "groups:\n- name: g\n  rules:\n  - alert: A\n    expr: up == 0\n"
TEST = """
rule_files: [r.yml]
evaluation_interval: 1m
tests:
- input_series: [{{series: up, values: "{values}"}}]
  alert_rule_test: [{{eval_time: 1m, alertname: A, exp_alerts: [{{}}]}}]
"""


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "r.yml").write_text(RULES)
    (tmp_path / "bad.yml").write_text(RULES.replace("up == 0", "up =="))
    (tmp_path / "good_test.yml").write_text(TEST.format(values="0 0"))
    (tmp_path / "bad_test.yml").write_text(TEST.format(values="1 1"))
    (tmp_path / "c.yml").write_text("scrape_configs: []\nrule_files: [nothing-*.yml]\n")
    return tmp_path


def test_verdicts_have_colours_on_a_terminal(files: Path) -> None:
    shown = _on_terminal("check", "rules", "r.yml", "bad.yml", cwd=files)
    assert f"{GREEN}  SUCCESS" in shown
    assert f"{RED}  FAILED:" in shown
    shown = _on_terminal("test", "rules", "good_test.yml", "bad_test.yml", cwd=files)
    assert f"{GREEN}  SUCCESS" in shown
    assert f"{RED}  FAILED:" in shown
    shown = _on_terminal("check", "config", "c.yml", "missing.yml", cwd=files)
    assert f"{YELLOW}warning: " in shown
    assert f"{GREEN}c.yml: valid" in shown
    assert f"{RED}missing.yml" in shown


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {"NO_COLOR": "1", "CLICOLOR_FORCE": "1"}])
def test_colours_can_be_refused(files: Path, env: dict[str, str]) -> None:
    shown = _on_terminal("check", "rules", "r.yml", "bad.yml", cwd=files, env=env)
    assert "SUCCESS" in shown
    assert "\x1b" not in shown


def test_a_pipe_has_no_colours_but_where_they_are_forced(files: Path) -> None:
    assert "\x1b" not in _in_pipes("check", "rules", "r.yml", "bad.yml", cwd=files)
    assert f"{GREEN}  SUCCESS" in _in_pipes("check", "rules", "r.yml", cwd=files, env={"CLICOLOR_FORCE": "1"})


def test_what_a_target_writes_makes_no_colour(tmp_path: Path) -> None:
    with serving(lambda _: (200, "text/\x1b[31mplain", b"\x1b[31mred 1\n")) as address:
        shown = _on_terminal("check", "live", "--target", f"http://{address}/metrics", cwd=tmp_path)
    assert RED not in shown.replace(f"{RED}target", "").replace(f"{RED}No target answered", "")
    assert f"{RED}target http" in shown


def test_live_findings_have_colours_and_the_span_a_progress_that_goes_away(files: Path) -> None:
    with serving(lambda _: (200, "text/plain", b"up_time 1\n")) as address:
        words = ("check", "live", "--target", f"http://{address}/metrics", "--rules", "r.yml", "--for", "1s")
        shown = _on_terminal(*words, cwd=files)
        plain = _in_pipes(*words, cwd=files)
    assert f"{GREEN}ok\x1b[0m, 1 samples" in shown
    progress, _, report = shown.rpartition("\r")
    assert "%  scraping for 1s  about 1s left" in progress
    assert report.startswith("target http")
    assert progress.split("\r")[-1].strip() == ""
    assert "\r" not in plain
    assert plain.startswith("target http") or plain.endswith("scraping for 1s ...\n")


def test_what_is_recognized_is_coloured_and_nothing_else() -> None:
    text = "  WARNING: a\nplain\n  SUCCESS: 3 rules\nsaid SUCCESS"
    assert coloured(text, VERDICTS, _Terminal()) == (
        f"{YELLOW}  WARNING: a\x1b[0m\nplain\n{GREEN}  SUCCESS\x1b[0m: 3 rules\nsaid SUCCESS"
    )
    assert coloured(text, VERDICTS, io.StringIO()) == text


def test_each_line_has_its_own_colour() -> None:
    assert inked("a\n\nb", Ink.ERROR, _Terminal()) == f"{RED}a\x1b[0m\n\n{RED}b\x1b[0m"
    assert inked("a", Ink.ERROR, io.StringIO()) == "a"


@pytest.mark.parametrize(
    ("environ", "terminal", "plain"),
    [
        ({}, True, False),
        ({"NO_COLOR": ""}, True, False),
        ({"NO_COLOR": "0"}, False, False),
        ({"CLICOLOR_FORCE": "0"}, True, False),
        ({"CLICOLOR_FORCE": "1"}, True, True),
        ({"CLICOLOR_FORCE": "1", "NO_COLOR": "1"}, False, False),
        ({"TERM": "dumb"}, False, False),
    ],
)
def test_the_environment_decides_on_colours(environ: dict[str, str], terminal: bool, plain: bool) -> None:
    assert has_colours(_Terminal(), environ) is terminal
    assert has_colours(io.StringIO(), environ) is plain


def test_a_progress_line_is_never_wider_than_the_terminal() -> None:
    now = [0.0]
    out = io.StringIO()
    line = ProgressLine(out, lambda: now[0], columns=20)
    now[0] = 1.0
    line.show(0.5, "a long\x1bname of a file.yml")
    assert out.getvalue() == "\r 50%  a long\\x1bnam"
    line.clear()
    assert out.getvalue().endswith("\r" + " " * 19 + "\r")


def test_no_progress_is_written_where_there_is_no_terminal() -> None:
    out = io.StringIO()
    with shown_progress(out) as line:
        line._shown_at = -1e9
        line.show(0.5, "file")
    assert out.getvalue() == ""
    assert not line.visible


def test_many_test_files_are_counted(files: Path) -> None:
    slow = TEST.format(values="0x9000").replace("eval_time: 1m", "eval_time: 8000m")
    (files / "slow_test.yml").write_text(slow)
    shown = _on_terminal("test", "rules", *["slow_test.yml"] * 4, cwd=files)
    assert "%  file 3 of 4" in shown
    lines = [line.rpartition("\r")[2] for line in shown.split("\n")]
    assert [line for line in lines if "%" in line] == []


def test_cases_of_a_script_are_counted(tmp_path: Path) -> None:
    case = "eval instant at 5h sum(rate(m[4h]))\n  {} 0.1\n\n"
    (tmp_path / "slow.test").write_text('load 1s\n  m{a="1"} 0+0.1x18000\n\n' + case * 60)
    shown = _on_terminal("test", "promql", "slow.test", cwd=tmp_path)
    assert "%  slow.test:" in shown
    assert shown.rpartition("\r")[2] == f"{GREEN}60 passed, 0 failed\x1b[0m\n"
