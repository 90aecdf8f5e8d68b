"""How far a command is that takes long: one line of a terminal that is written over and over, and gone in the end."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final, TextIO

from rulepush.cli.terminal import can_rewrite, terminal_text
from rulepush.model.durations import format_duration

_SHOW_EVERY_S: Final = 0.2
_COLUMNS: Final = 80


class ProgressLine:
    """The line. What else is printed to the same terminal meanwhile comes after `clear`. `visible`: else nothing is
    ever written."""

    def __init__(self, out: TextIO, monotonic: Callable[[], float], columns: int = _COLUMNS, visible: bool = True):
        self.visible = visible
        self._out = out
        self._monotonic = monotonic
        self._columns = columns
        self._began = monotonic()
        self._shown_at = self._began
        self._length = 0

    def show(self, part: float, what: str = "") -> None:
        """`part` (0 to 1) is done; `what` is next. At most some times a second."""
        now = self._monotonic()
        if not self.visible or now - self._shown_at < _SHOW_EVERY_S:
            return
        self._shown_at = now
        text = f"{part:4.0%}  {terminal_text(what)}"
        if part > 0:
            left = (now - self._began) * (1 - part) / part
            text += f"  about {format_duration(max(1, round(left)) * 1000)} left"
        self._write(text[: self._columns - 1])  # a longer line would be continued, and the rest of it stay

    def clear(self) -> None:
        """Leave nothing."""
        if self._length:
            self._write("")
            self._out.write("\r")
            self._out.flush()

    def _write(self, text: str) -> None:
        self._out.write("\r" + text.ljust(self._length))
        self._out.flush()
        self._length = len(text)


@contextmanager
def shown_progress(out: TextIO, wanted: bool = True) -> Iterator[ProgressLine]:
    """The line on `out`, which is visible where that is a terminal."""
    line = ProgressLine(out, time.monotonic, _columns(out), visible=wanted and can_rewrite(out))
    try:
        yield line
    finally:
        line.clear()


@asynccontextmanager
async def elapsing(line: ProgressLine, span_s: float, what: str) -> AsyncIterator[None]:
    """Shows how much of a span has passed, for as long as the block runs."""
    if not line.visible or not span_s:
        yield
        return

    async def tick() -> None:
        began = time.monotonic()
        while True:
            await asyncio.sleep(_SHOW_EVERY_S)
            line.show(min(1.0, (time.monotonic() - began) / span_s), what)

    ticking = asyncio.create_task(tick())
    try:
        yield
    finally:
        ticking.cancel()


def _columns(out: TextIO) -> int:
    try:
        return os.get_terminal_size(out.fileno()).columns or _COLUMNS
    except (OSError, ValueError):
        return _COLUMNS
