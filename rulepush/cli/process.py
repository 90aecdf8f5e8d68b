"""What `rulepush run` and `rulepush dingtalk` share: a process that runs until a signal."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable
from typing import Protocol

from rulepush.errors import RulepushError


class ServiceProcess(Protocol):
    """What signals control. `request_reload` logs errors itself; `stop` makes `run` return."""

    async def run(self) -> None: ...
    def request_reload(self) -> None: ...
    def stop(self, reason: str) -> None: ...


def run_until_signal(start: Callable[[], ServiceProcess], log: logging.Logger) -> int:
    """Start a process, and run it until SIGINT or SIGTERM; SIGHUP reloads.

    Returns the exit code: 0 after a stop, 1 after a RulepushError, each line of which is logged.
    """

    async def main() -> None:
        process = start()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, process.stop, signal.Signals(number).name)
        loop.add_signal_handler(signal.SIGHUP, process.request_reload)
        await process.run()

    try:
        asyncio.run(main())
    except RulepushError as e:
        for line in str(e).splitlines():
            log.error("%s", line)
        return 1
    return 0
