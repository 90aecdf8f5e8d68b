"""The demo as a person starts it: the whole chain from a simulated Nacos to a DingTalk message."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import Server, binary, rulepush_command, wait_for

pytestmark = pytest.mark.e2e

STEPS = (
    "INACTIVE",
    "gets into trouble",
    "PENDING",
    "FIRING",
    "PUSHED",
    "RECEIVED",
    "SHOWN",
    "Firing (1)",
    "recovers",
    "RESOLVED",
    "PUSHED",
    "RECEIVED",
    "SHOWN",
    "Resolved (1)",
)


def run_once(environment: dict[str, str]) -> str:
    done = subprocess.run(
        rulepush_command("demo", "--once"), capture_output=True, text=True, timeout=90, env=environment, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def assert_whole_life(output: str) -> None:
    """Every step once, in order."""
    position = 0
    for step in STEPS:
        found = output.find(step, position)
        assert found >= 0, f"{step} is missing after {output[:position][-200:]!r}\n{output}"
        position = found + len(step)
    assert output.count("SHOWN") == 2  # one message for the alert, one for the resolution


def test_the_demo_shows_a_whole_life_on_a_real_alertmanager() -> None:
    binary("prometheus-alertmanager")
    output = run_once(dict(os.environ))
    assert "the real Alertmanager" in output
    assert_whole_life(output)


def test_the_demo_brings_its_own_receiver_where_there_is_no_alertmanager(tmp_path: Path) -> None:
    output = run_once({**os.environ, "PATH": str(tmp_path)})
    assert "stand-in" in output
    assert_whole_life(output)


def test_ctrl_c_ends_the_demo_in_order(tmp_path: Path) -> None:
    server = Server([sys.executable, "-m", "rulepush", "demo"], tmp_path / "demo.log")
    try:
        wait_for("the demo", lambda: "INACTIVE" in server.output())
        assert server.process is not None
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(60) == 0
        assert "stopped" in server.output()
    finally:
        server.close()
