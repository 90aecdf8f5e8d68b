"""HttpOnDemand: an HTTP service that is made when somebody connects.

The framework, the API and the pages take 9 MiB, beside 54 that a process with one target has. The socket listens
from the start: the first connection waits in the kernel's queue until the modules are there, which takes some tenths of
a second, and is then answered as any other.
"""

from __future__ import annotations

import asyncio
import importlib
import socket
from collections.abc import Callable, Sequence
from typing import Protocol


class Service(Protocol):
    """What serves a listening socket: an HttpService."""

    async def run(self) -> None: ...
    def stop(self) -> None: ...


class HttpOnDemand:
    """Serves from the first connection to `stop`. `make` is then called, after its `modules` have been imported, in a
    thread: scraping goes on meanwhile."""

    def __init__(self, listener: socket.socket, make: Callable[[], Service], modules: Sequence[str] = ()):
        self._listener = listener
        self._make = make
        self._modules = modules
        self._stopping = False
        self._woken = asyncio.Event()
        self._service: Service | None = None

    async def run(self) -> None:
        """Serve; returns after `stop`, when the requests under way are answered."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self._listener, self._woken.set)
        try:
            await self._woken.wait()
        finally:
            loop.remove_reader(self._listener)
        for module in () if self._stopping else self._modules:
            await asyncio.to_thread(importlib.import_module, module)
        if self._stopping:
            self._listener.close()
            return
        self._service = self._make()
        await self._service.run()

    def stop(self) -> None:
        """Ask `run` to return."""
        self._stopping = True
        self._woken.set()
        if self._service is not None:
            self._service.stop()
