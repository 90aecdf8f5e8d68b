"""What backtests of the page read. Nothing of the replay is imported before somebody asks for one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rulepush.backtest import EventSource, ReplayOptions


@dataclass(frozen=True, slots=True)
class RecordedPlace:
    """The recording as `source()`, which may be read in any thread; `flush` writes what waits for it, and `replay()` is
    what the configuration says about evaluations. `stopped_since` (ms) is since when nothing can be written, None while
    it can, and `error` why."""

    source: Callable[[], EventSource]
    flush: Callable[[], Awaitable[object]]
    replay: Callable[[], ReplayOptions]
    stopped_since: int | None = None
    error: str = ""
