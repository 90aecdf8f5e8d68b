"""`/api/v1/status/tsdb` and what else the TSDB's status is asked for, of the series in memory.

Sources: prometheus web/api/v1/api.go (serveTSDBStatus, serveWALReplayStatus, serveTSDBBlocks), tsdb/index/postings.go
(MemPostings.Stats).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from heapq import nsmallest
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rulepush.model.labels import METRIC_NAME, Labels
from rulepush.storage.head import Head
from rulepush.web.answers import ApiError, ErrorType, success
from rulepush.web.params import Params

InThread = Callable[[Callable[[], dict[str, Any]]], Awaitable[dict[str, Any]]]

MAX_LIMIT: Final = 10_000
_DEFAULT_LIMIT: Final = 10
# What Prometheus answers where there is no sample: math.MaxInt64 and math.MinInt64.
_NO_MIN_TIME: Final = (1 << 63) - 1
_NO_MAX_TIME: Final = -(1 << 63)


class TsdbStatusApi:
    """The status of the head. There is no write-ahead log of series and there are no blocks: those answers are
    empty."""

    def __init__(self, head: Head, in_thread: InThread):
        """`in_thread` runs what counts many labels, which would hold the event loop."""
        self._head = head
        self._in_thread = in_thread

    def routes(self) -> list[Route]:
        """The routes, below /api/v1."""
        return [
            Route("/status/tsdb", self.tsdb, methods=["GET"]),
            Route("/status/tsdb/blocks", self.blocks, methods=["GET"]),
            Route("/status/walreplay", self.wal_replay, methods=["GET"]),
        ]

    async def tsdb(self, request: Request) -> Response:
        """Which names, labels and values have the most series, the `limit` first of each."""
        limit = _limit((await Params.of(request)).text("limit"))
        tables = list(self._head.tables())
        times, samples = _time_bounds(self._head), self._head.sample_count
        labels = [labels for table in tables for labels in table.labels]
        return success(await self._in_thread(lambda: tsdb_status(labels, samples, times, limit)))

    async def blocks(self, _: Request) -> Response:
        """None: what is recorded on disk is no TSDB."""
        return success({"blocks": []})

    async def wal_replay(self, _: Request) -> Response:
        """As of a Prometheus that has nothing to replay."""
        return success({"min": 0, "max": 0, "current": 0})


def tsdb_status(series: Iterable[Labels], samples: int, times: tuple[int, int], limit: int) -> dict[str, Any]:
    """The `data` of /api/v1/status/tsdb. `times` are those of the oldest and the newest sample (ms). Instead of chunks,
    `chunkCount` counts samples: there are no chunks."""
    pairs = Counter((name, value) for labels in series for name, value in labels)
    names: Counter[str] = Counter()
    memory: Counter[str] = Counter()
    for (name, value), count in pairs.items():
        names[name] += 1
        # A label takes its name, its value and a byte for the length of each in every series.
        memory[name] += (len(name.encode()) + len(value.encode("utf-8", "surrogatepass")) + 2) * count
    metrics = {value: count for (name, value), count in pairs.items() if name == METRIC_NAME}
    return {
        "headStats": {
            "numSeries": sum(metrics.values()),
            "numLabelPairs": len(pairs),
            "chunkCount": samples,
            "minTime": times[0],
            "maxTime": times[1],
        },
        "seriesCountByMetricName": _largest(metrics.items(), limit),
        "labelValueCountByLabelName": _largest(names.items(), limit),
        "memoryInBytesByLabelName": _largest(memory.items(), limit),
        "seriesCountByLabelValuePair": _largest(((f"{n}={v}", count) for (n, v), count in pairs.items()), limit),
    }


def _largest(counts: Iterable[tuple[str, int]], limit: int) -> Sequence[dict[str, Any]]:
    largest = nsmallest(limit, counts, key=lambda item: (-item[1], item[0]))
    return [{"name": name, "value": count} for name, count in largest]


def _time_bounds(head: Head) -> tuple[int, int]:
    oldest, newest = _NO_MIN_TIME, _NO_MAX_TIME
    for table in head.tables():
        times, _, counts = table.columns()
        held = counts > 0
        if held.any():
            oldest = min(oldest, int(times[held, 0].min()))
            newest = max(newest, int(table.newest().max()))
    return oldest, newest


def _limit(text: str) -> int:
    try:
        limit = int(text) if text else _DEFAULT_LIMIT
    except ValueError:
        limit = 0
    if limit < 1:
        raise ApiError(ErrorType.BAD_DATA, "limit must be a positive number")
    if limit > MAX_LIMIT:
        raise ApiError(ErrorType.BAD_DATA, f"limit must not exceed {MAX_LIMIT}")
    return limit
