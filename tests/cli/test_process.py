"""A process from its start to a signal."""

from __future__ import annotations

import asyncio
import logging
import os
import signal

import pytest

from rulepush.cli.process import run_until_signal
from rulepush.errors import ConfigError, Problem, RulepushError

log = logging.getLogger("rulepush.test")


class Process:
    """Sends itself the signals; ends at `stop`."""

    def __init__(self, *signals: signal.Signals):
        self.signals = signals
        self.reloads = 0
        self.reason = ""
        self._stopped = asyncio.Event()

    async def run(self) -> None:
        for number in self.signals:
            os.kill(os.getpid(), number)
        await asyncio.wait_for(self._stopped.wait(), 60)

    def request_reload(self) -> None:
        self.reloads += 1

    def stop(self, reason: str) -> None:
        self.reason = reason
        self._stopped.set()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_reload_and_stop(number: signal.Signals) -> None:
    started: list[Process] = []

    def start() -> Process:
        started.append(Process(signal.SIGHUP, number))
        return started[0]

    assert run_until_signal(start, log) == 0
    assert (started[0].reloads, started[0].reason) == (1, number.name)


def test_a_process_that_cannot_start_logs_every_problem_and_ends_with_1(caplog: pytest.LogCaptureFixture) -> None:
    def start() -> Process:
        raise ConfigError([Problem("a.yml", 1, "one"), Problem("a.yml", 2, "two")])

    assert run_until_signal(start, log) == 1
    assert [r.getMessage() for r in caplog.records] == ["a.yml:1: one", "a.yml:2: two"]


def test_an_error_of_the_running_process_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    class Failing(Process):
        async def run(self) -> None:
            raise RulepushError("the disk is full")

    assert run_until_signal(Failing, log) == 1
    assert [r.getMessage() for r in caplog.records] == ["the disk is full"]
