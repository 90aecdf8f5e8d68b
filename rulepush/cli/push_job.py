"""`rulepush push ... -- COMMAND`: run a command, and push when it started, how it ended, and that it is alive."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import httpx

from rulepush.cli.terminal import terminal_text
from rulepush.clock import SystemClock
from rulepush.errors import PushError
from rulepush.push.child import ChildProcess, CommandNotStarted
from rulepush.push.client import PushRequest, push
from rulepush.push.job import JobLimits, JobRun
from rulepush.push.reporter import JobReporter

OWN_FAULT = 125
"""Exit code when the command was not run because of our own flags, as env, timeout and nohup have it."""
SAME_STOP_S = 1.0
"""A signal so soon after the command's end is the one that ended it: `timeout` sends it to the command and then to the
whole process group, `systemctl stop` to every process of the service."""
T = TypeVar("T")


def say(text: str) -> None:
    """To standard error, which is the command's, too."""
    with contextlib.suppress(OSError):
        print(terminal_text(f"rulepush push: {text}"), file=sys.stderr, flush=True)


class JobCommand:
    """One command. `run` returns its exit code, whatever becomes of the pushes."""

    def __init__(
        self,
        command: Sequence[str],
        limits: JobLimits,
        request: PushRequest,
        client: Callable[[], httpx.AsyncClient],
        retries: int,
        metrics_file: Path | None = None,
    ):
        """`request` is a push without its body; `metrics_file` is one that the command writes, pushed after its end."""
        self._command = command
        self._limits = limits
        self._request = replace(request, method="POST")
        self._client = client
        self._retries = retries
        self._metrics_file = metrics_file
        self._clock = SystemClock()

    def run(self) -> int:
        """Blocks until the command has ended and its result is pushed, or cannot be. A signal that comes later than
        SAME_STOP_S after the command's end gives the push up."""
        run = JobRun(self._clock.now(), self._limits)
        started = time.monotonic()
        try:
            child = ChildProcess(self._command)
        except CommandNotStarted as e:
            say(str(e))
            asyncio.run(self._report_not_started(run, e.exit_code))
            return e.exit_code
        try:
            asyncio.run(self._report(run, started, child))
        except Exception as e:  # the job comes first, whatever is wrong here
            say(f"nothing more is pushed: {type(e).__name__}: {e}")
        return child.wait()

    async def _report_not_started(self, run: JobRun, exit_code: int) -> None:
        async with self._client() as client:
            await self._reporter(client, run).end(exit_code, 0.0, self._retries)

    async def _report(self, run: JobRun, started: float, child: ChildProcess) -> None:
        watch = _Watch(child)
        async with self._client() as client:
            reporter = self._reporter(client, run)
            async with asyncio.TaskGroup() as group:
                beats = group.create_task(reporter.while_it_runs())
                exit_code, ended_at = await watch.ended
                await reporter.stop_beating()
                beats.cancel()
            async with asyncio.TaskGroup() as group:
                result = group.create_task(self._push_result(client, reporter, run, exit_code, ended_at - started))
                await asyncio.wait((result, watch.late_signal), return_when=asyncio.FIRST_COMPLETED)
                if not result.done():
                    result.cancel()
                    say("the result is not pushed: given up because of a signal")

    async def _push_result(
        self, client: httpx.AsyncClient, reporter: JobReporter, run: JobRun, exit_code: int, seconds: float
    ) -> None:
        if await reporter.end(exit_code, seconds, self._retries) and self._metrics_file is not None:
            await self._push_file(client, self._metrics_file, run)

    async def _push_file(self, client: httpx.AsyncClient, file: Path, run: JobRun) -> None:
        """In a push of its own: a fault in it does not take the result away."""
        try:
            body = _written_since(file, run.started_at)
            await push(client, replace(self._request, body=body), self._clock, self._retries)
        except OSError as e:
            say(f"--file {file}: {e.strerror}")
        except PushError as e:
            say(f"--file {file}: {e}")

    def _reporter(self, client: httpx.AsyncClient, run: JobRun) -> JobReporter:
        headers = {n: v for n, v in self._request.headers.items() if n != "Content-Type"}

        async def send(body: bytes, retries: int) -> None:
            await push(client, replace(self._request, body=body, headers=headers), self._clock, retries)

        return JobReporter(run, send, self._clock, say)


def _written_since(file: Path, ts: int) -> bytes:
    if file.stat().st_mtime * 1000 < ts - 1000:  # the times of some file systems are whole seconds
        raise PushError(400, "it is older than the start of the command, and is not pushed")
    return file.read_bytes()


class _Watch:
    """What the event loop cannot wait for itself, as futures: the command's end (exit code, monotonic time), and a
    signal that comes SAME_STOP_S after it. Each has a thread, which an error in the loop does not end."""

    def __init__(self, child: ChildProcess):
        self._loop = asyncio.get_running_loop()
        self._child = child
        self._ended_at: float | None = None
        self.ended: asyncio.Future[tuple[int, float]] = self._loop.create_future()
        self.late_signal: asyncio.Future[None] = self._loop.create_future()
        for name, target in (("wait", self._wait), ("signals", self._pass_signals_on)):
            threading.Thread(target=target, name=name, daemon=True).start()

    def _wait(self) -> None:
        code = self._child.wait()
        self._ended_at = time.monotonic()
        self._tell(self.ended, (code, self._ended_at))

    def _pass_signals_on(self) -> None:
        self._child.pass_signals_on(self._after_the_end)

    def _after_the_end(self) -> None:
        if self._ended_at is not None and time.monotonic() - self._ended_at >= SAME_STOP_S:
            self._tell(self.late_signal, None)

    def _tell(self, future: asyncio.Future[T], value: T) -> None:
        def set_result() -> None:
            if not future.done():
                future.set_result(value)

        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(set_result)
