"""Pushes what a job does while it runs and when it has ended. Nothing that fails here touches the job."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from rulepush.clock import Clock
from rulepush.errors import PushError
from rulepush.push.job import JobRun

log = logging.getLogger("rulepush.push")

SOON_S: Final = 5.0  # the next attempt while the receiver cannot be reached
GRACE_S: Final = 2.0  # for a push that is under way when the job ends


class JobReporter:
    """`send(body, retries)` pushes with POST and raises PushError; `say` gets each problem once, for people."""

    def __init__(
        self, run: JobRun, send: Callable[[bytes, int], Awaitable[None]], clock: Clock, say: Callable[[str], None]
    ):
        self._run = run
        self._send = send
        self._clock = clock
        self._say = say
        self._sending = asyncio.Lock()
        self._said = ""

    async def while_it_runs(self) -> None:
        """The start, and a heartbeat until cancelled. What cannot be pushed is tried again soon, but where it is
        refused: then at the next beat, for somebody may correct the receiver meanwhile."""
        beat = self._run.limits.heartbeat
        failed = False
        while True:
            async with self._sending:
                error = await self._attempt(self._run.goes_on(), 0)
            # Not at the first attempt: of a command that has ended by now, the push of the result says it.
            if error is not None and failed and str(error) != self._said:
                self._said = str(error)
                self._say(f"the start is not pushed yet: {error}")
            failed = error is not None
            if error is None and not beat:
                return
            pause = beat or SOON_S
            await self._clock.sleep(min(pause, SOON_S) if error is not None and error.status == 0 else pause)

    async def stop_beating(self) -> None:
        """Return when no push is under way, after GRACE_S in any case: it must not arrive after that of the end."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GRACE_S):
                await self._sending.acquire()

    async def end(self, exit_code: int, seconds: float, retries: int) -> bool:
        """Push the result; whether that worked."""
        error = await self._attempt(self._run.ended(exit_code, seconds), retries)
        if error is not None:
            self._say(f"the result is not pushed: {error}")
        return error is None

    async def _attempt(self, body: bytes, retries: int) -> PushError | None:
        try:
            await self._send(body, retries)
        except PushError as e:
            return e
        except Exception as e:  # the job comes first, whatever is wrong here
            log.debug("a push failed", exc_info=True)
            return PushError(0, f"{type(e).__name__}: {e}")
        self._said = ""
        return None
