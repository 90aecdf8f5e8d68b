"""Samples from a server with the Prometheus HTTP API: Prometheus, VictoriaMetrics, Thanos, Mimir.

Raw samples come by the first of three ways that the server offers:

remote read   with stale markers (Prometheus, Mimir)
export        VictoriaMetrics' /api/v1/export. Every NaN in it is a stale marker: others are not stored
              (lib/storage/storage.go, Storage.add)
query         `selector[window]` as an instant query gives the samples of a window, but no stale markers
              (promql/engine.go, matrixIterSlice), so that an ended series is seen until the look-back is over
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import Enum
from types import TracebackType
from typing import Any, Final

import httpx
import numpy as np
import yaml

from rulepush.backtest.sources.api import (
    DEFAULT_TIMEOUT_S,
    MAX_ANSWER_BYTES,
    APIReply,
    Params,
    PrometheusAPI,
    WindowTooLarge,
    seconds,
)
from rulepush.backtest.sources.columns import BlockMaker, SeriesColumns, SeriesNumbers
from rulepush.backtest.sources.remote_read import HEADERS, read_request, read_result
from rulepush.backtest.sources.selectors import NeededSeries
from rulepush.backtest.sources.timetable import ServerGroup, ServerTimetable, server_groups
from rulepush.clock import Clock, SystemClock
from rulepush.errors import RemoteWriteError, SampleSourceError
from rulepush.model.floats import parse_float
from rulepush.model.labels import EMPTY_LABELS, Labels
from rulepush.model.matcher import Matchers, selector_text
from rulepush.model.sample import STALE
from rulepush.recorded.events import RecordedEvent

_BOUNDS_MS: Final = 31 * 86_400_000
_BOUNDS_STEP_MS: Final = 60_000
_BOUNDS_STEPS: Final = 1_000
_BOUNDS_SELECTORS: Final = 8
_FIRST_WINDOW_MS: Final = 30 * 60_000
_MAX_WINDOW_MS: Final = 6 * 3_600_000
_MAX_EMPTY_WINDOW_MS: Final = 7 * 86_400_000
_MIN_WINDOW_MS: Final = 30_000
_FEW_SAMPLES: Final = 200_000  # in a window: the next one is longer
_MAX_PROBLEMS: Final = 50
_AT_ONCE: Final = 4
_INFINITE: Final = {"Infinity": float("inf"), "-Infinity": float("-inf"), "NaN": STALE}

NO_STALE_MARKERS: Final = (
    "the server offers no remote read, and its query API hides stale markers: a series that ended is seen for up to 5 "
    "minutes longer than the rules of the server saw it"
)


class RawSampleWay(Enum):
    """How raw samples are had, see above."""

    REMOTE_READ = "remote read"
    EXPORT = "export"
    QUERY = "query"


class ServerSource:
    """An event source for a replay. Close it, or use it in a with block.

    `problems`         what makes the samples incomplete or different, as far as they have been read
    `external_labels`  those of a Prometheus whose remote read adds them to every series; they are taken off again
    """

    def __init__(
        self,
        url: str,
        needed: NeededSeries,
        client: Callable[[], httpx.AsyncClient],
        *,
        group_names: Iterable[str] = (),
        since: int | None = None,
        clock: Clock | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        max_bytes: int = MAX_ANSWER_BYTES,
    ):
        """`client` is called once, in the event loop of this source. `group_names` are those of the groups of the test:
        they are evaluated when the server evaluates its groups of these names. `since` (ms): what is older is not asked
        for. Raises SampleSourceError when the server cannot be used."""
        self._needed = needed
        self._clock = clock or SystemClock()
        self._since = since
        self._group_names = frozenset(group_names)
        self._blocks = BlockMaker(SeriesNumbers(needed.by_rule))
        self._problems: dict[str, None] = {}
        self._window_ms = _FIRST_WINDOW_MS
        self._timetable = ServerTimetable(())
        self.external_labels = EMPTY_LABELS
        self._runner = asyncio.Runner()
        self._client: httpx.AsyncClient | None = None
        try:
            self._api, self.way = self._runner.run(self._open(url, client, timeout_s, max_bytes))
        except BaseException:
            self.close()
            raise

    @property
    def problems(self) -> tuple[str, ...]:
        """See above."""
        return tuple(self._problems)

    def bounds(self) -> tuple[int, int] | None:
        """From about the first samples since `since`, or in the last month, to now (ms); None when there are none."""
        now = self._clock.now()
        found = self._runner.run(self._oldest(now))
        return None if found is None else (found, now)

    def events(self, start: int, end: int) -> Iterator[RecordedEvent]:
        """The samples with start <= time <= end (ms), all of one time as one block, and when the server evaluated its
        groups. Raises SampleSourceError."""
        if not self._needed.selectors:
            return
        done = start - 1
        while done < end:
            until = min(end, done + self._window_ms)
            first = done + 1
            try:
                found = self._runner.run(self._read(first, until))
            except WindowTooLarge as e:
                if until - done <= _MIN_WINDOW_MS:
                    raise SampleSourceError(
                        f"{e} (asked for {(until - done) / 1000:g}s of {self._needed}); "
                        "raise the server's limit, or narrow the selectors"
                    ) from None
                self._window_ms = max(_MIN_WINDOW_MS, (until - done) // 2)
                continue
            done = until
            count = sum(len(s.times) for s in found)
            if count < _FEW_SAMPLES:
                self._window_ms = min(_MAX_WINDOW_MS if count else _MAX_EMPTY_WINDOW_MS, self._window_ms * 2)
            yield from self._timetable.between(first, until, self._blocks.of_series(found))

    def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            self._runner.run(self._client.aclose())
            self._client = None
        self._runner.close()

    def __enter__(self) -> ServerSource:
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    # --- finding out

    async def _open(
        self, url: str, client: Callable[[], httpx.AsyncClient], timeout_s: float, max_bytes: int
    ) -> tuple[PrometheusAPI, RawSampleWay]:
        self._client = client()
        api = PrometheusAPI(url, self._client, timeout_s, max_bytes)
        try:
            api.decoded(await api.ask("/api/v1/query", [("query", "vector(1)")]))
            way = await self._way(api)
            if way is RawSampleWay.REMOTE_READ:
                self.external_labels = await self._external_labels(api)
        except WindowTooLarge as e:
            raise SampleSourceError(str(e)) from None
        self._timetable = ServerTimetable(await _groups_of(api), self._group_names)
        if way is RawSampleWay.QUERY:
            self._note(NO_STALE_MARKERS)
        return api, way

    async def _way(self, api: PrometheusAPI) -> RawSampleWay:
        """Ask for nothing, in each of the ways."""
        nothing = self._needed.selectors[:1]
        reply = await api.post("/api/v1/read", read_request(nothing, 0, 0), HEADERS)
        if reply.status == 200 and reply.content_type == "application/x-protobuf":
            return RawSampleWay.REMOTE_READ
        if reply.status == 403:
            self._note("the server forbids remote read to these credentials")
        reply = await api.ask("/api/v1/export", _export_params(nothing, 0, 0) if nothing else ())
        exports = reply.status == 200 and reply.content_type == "application/stream+json"
        return RawSampleWay.EXPORT if exports else RawSampleWay.QUERY

    async def _external_labels(self, api: PrometheusAPI) -> Labels:
        """Remote read adds the external labels to the series (read_handler.go); rules see them without."""
        reply = await api.ask("/api/v1/status/config")
        if reply.status == 404:  # Mimir: it has none
            return EMPTY_LABELS
        try:
            settings = yaml.safe_load(api.decoded(reply).data["yaml"])
            found = (settings.get("global") or {}).get("external_labels") or {}
            return Labels({str(name): str(value) for name, value in found.items()})
        except (SampleSourceError, KeyError, TypeError, AttributeError, yaml.YAMLError):
            self._note(
                "the server's external_labels are not known (/api/v1/status/config does not tell): where it has some, "
                "its remote read adds them to every series, and with them to the alerts"
            )
            return EMPTY_LABELS

    async def _oldest(self, now: int) -> int | None:
        begin = now - _BOUNDS_MS if self._since is None else min(now, self._since)
        step = max(_BOUNDS_STEP_MS, (now - begin) // _BOUNDS_STEPS // 1000 * 1000)
        oldest: list[int] = []
        for selector in self._needed.selectors[:_BOUNDS_SELECTORS]:
            params = [
                ("query", f"count({selector_text(selector)})"),
                ("start", seconds(begin)),
                ("end", seconds(now)),
                ("step", str(step // 1000)),
            ]
            try:
                result = self._api.decoded(await self._api.ask("/api/v1/query_range", params)).data["result"]
                oldest += [round(series["values"][0][0] * 1000) for series in result]
            except WindowTooLarge as e:
                self._note(f"how far its samples of {selector_text(selector)} reach back is not known: {e}")
            except (KeyError, IndexError, TypeError):
                raise SampleSourceError(f"{self._api.shown} answered a range query with something else") from None
        return max(begin, min(oldest) - step) if oldest else None

    # --- reading

    async def _read(self, first: int, last: int) -> list[SeriesColumns]:
        match self.way:
            case RawSampleWay.REMOTE_READ:
                return await self._by_remote_read(first, last)
            case RawSampleWay.EXPORT:
                return await self._by_export(first, last)
            case RawSampleWay.QUERY:
                return await self._by_query(first, last)

    async def _by_remote_read(self, first: int, last: int) -> list[SeriesColumns]:
        reply = await self._api.post("/api/v1/read", read_request(self._needed.selectors, first, last), HEADERS)
        self._api.check(reply)
        try:
            result = read_result(reply.body, self._api.max_bytes)
        except RemoteWriteError as e:
            raise WindowTooLarge(str(e)) from None
        if result.native:
            self._note("native histograms are left out: of a server only floats are read")
        if not self.external_labels:
            return result.series
        return [SeriesColumns(self._without_external(s.labels), s.times, s.values) for s in result.series]

    def _without_external(self, labels: Labels) -> Labels:
        mine = [name for name, value in self.external_labels if labels.get(name) == value]
        return labels.without(mine)

    async def _by_export(self, first: int, last: int) -> list[SeriesColumns]:
        reply = await self._api.ask("/api/v1/export", _export_params(self._needed.selectors, first, last))
        self._api.check(reply)
        return self._exported(reply)

    def _exported(self, reply: APIReply) -> list[SeriesColumns]:
        """One series a line; one that is long may have several. VictoriaMetrics says an error that came too late for
        the status in the middle of the body."""
        found = []
        for line in reply.body.splitlines():
            try:
                series = json.loads(line)
                times = np.array(series["timestamps"], np.int64)
                values = np.array([_exported_value(v) for v in series["values"]], np.float64)
                if len(times) != len(values):
                    raise ValueError
                found.append(SeriesColumns(Labels(series["metric"]), times, values))
            except (ValueError, KeyError, TypeError):
                said = line[:200].decode(errors="replace")
                raise SampleSourceError(f"{self._api.shown} broke off its export: {said!r}") from None
        return found

    async def _by_query(self, first: int, last: int) -> list[SeriesColumns]:
        found: list[SeriesColumns] = []
        selectors = self._needed.selectors
        for i in range(0, len(selectors), _AT_ONCE):
            asked = [self._query(s, first, last) for s in selectors[i : i + _AT_ONCE]]
            for part in await asyncio.gather(*asked):
                found += part
        return found

    async def _query(self, selector: Matchers, first: int, last: int) -> list[SeriesColumns]:
        """The window of a range selector is open at its left since Prometheus 3, and closed before: what is too old is
        left out."""
        reply = await self._api.query(f"{selector_text(selector)}[{last - first + 1}ms]", last)
        for warning in reply.warnings:
            self._note(f"{self._api.shown}: {warning}")
        found = []
        try:
            for series in reply.data["result"]:
                points = series.get("values", ())
                if series.get("histograms"):
                    self._note("native histograms are left out: of a server only floats are read")
                times = np.array([round(t * 1000) for t, _ in points], np.int64)
                values = np.array([parse_float(v) for _, v in points], np.float64)
                inside = times >= first
                found.append(SeriesColumns(Labels(series["metric"]), times[inside], values[inside]))
        except (KeyError, TypeError, ValueError):
            raise SampleSourceError(f"{self._api.shown} answered a range selector with something else") from None
        return found

    # --- telling

    def _note(self, problem: str) -> None:
        if len(self._problems) < _MAX_PROBLEMS:
            self._problems.setdefault(problem)


async def _groups_of(api: PrometheusAPI) -> list[ServerGroup]:
    """The groups that the server evaluates; none where it does not tell."""
    try:
        return server_groups(api.decoded(await api.ask("/api/v1/rules")).data)
    except (SampleSourceError, WindowTooLarge):
        return []


def _export_params(selectors: Sequence[Matchers], first: int, last: int) -> Params:
    """Both ends are inclusive."""
    return [*(("match[]", selector_text(s)) for s in selectors), ("start", seconds(first)), ("end", seconds(last))]


def _exported_value(value: Any) -> float:
    if value is None:
        return STALE
    return _INFINITE[value] if isinstance(value, str) else float(value)
