"""Lists and watches of the Kubernetes API: one request each, and what went wrong in words.

After kubernetes.io/docs/reference/using-api/api-concepts: a list comes in pages (`limit`, `continue`) that belong to
one `resourceVersion`, and a watch goes on from a version, one JSON event a line. What is too old for the server ends in
ResourceExpired, and a new list is needed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import httpx

from rulepush.discovery.answer_body import SizeLimit, read_body
from rulepush.discovery.kubernetes.decoding import ListPage, decode_json
from rulepush.discovery.kubernetes.fields import object_key
from rulepush.discovery.kubernetes.refusals import (
    KubernetesApiError,
    ResourceExpired,
    event_error,
    refusal,
    strange,
    unreached,
)
from rulepush.discovery.kubernetes.resource import Resource
from rulepush.discovery.kubernetes.scope import ResourceScope
from rulepush.discovery.short_turns import ShortTurns
from rulepush.errors import RulepushError
from rulepush.http_client.client import failed_url, reason, server_of
from rulepush.http_client.rules import CONNECTION_OWNER

T = TypeVar("T")

PAGE_SIZE: Final = 250  # objects: of pods, some 3 MB
_SERIES_AN_OBJECT: Final = 80  # as a number of series: a page of a list is frozen at once
_LIST_SECONDS: Final = 60.0  # a page: the API server itself ends a request after 60 s
_OPEN_SECONDS: Final = 30.0  # until a watch answers
_LATE_SECONDS: Final = 30.0  # how much later than it was told to a server may end a watch
# A server with its watch cache sends a bookmark each minute (cacher.go, defaultBookmarkFrequency). A watch that is
# silent for longer is asked for again, which costs little, and a connection that died unnoticed is found.
_SILENT_SECONDS: Final = 180.0
_MAX_LINE: Final = 16 << 20  # bytes: an object is at most some MB, for etcd takes no larger ones
_MAX_PAGE: Final = 256 << 20
_MAX_REFUSAL: Final = 64 << 10
# How long the events of a watch are left to come together: targets change when their groups have settled, which takes
# seconds, and to wake for each event costs as much again as the event. Where much has come meanwhile, none waits.
_GATHER_SECONDS: Final = 0.25
_GATHERED_BYTES: Final = 64 << 10
_WAITED_SECONDS: Final = 0.001  # a part that came later was not there yet
_REACHED: Final = "does the server hang, or does something between here and there keep answers away?"
_RESTARTS: Final = 3  # of a list whose pages expire


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """`type` is ADDED, MODIFIED, DELETED or BOOKMARK; `object` is as JSON, or an EventDecoder, gives it."""

    type: str
    object: Mapping[str, Any]
    version: str


class KubernetesApi:
    """Requests to one API server. Its methods raise DiscoveryError, a KubernetesApiError in most cases.

    The client is the caller's, who closes it.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        server: str,
        *,
        owner: Hashable = None,
        page_size: int = PAGE_SIZE,
        max_page: int = _MAX_PAGE,
        series_came: Callable[[int], object] = lambda _count: None,
    ):
        """`server` is the URL under which `/api/v1` is; `owner` (this one, if none is given) has connections of
        its own in the client; `page_size` is in objects, `max_page` in bytes;
        `series_came` as in Environment."""
        self._client = client
        self._url_base = server.rstrip("/")
        self._server = server_of(server)
        self._page_size = page_size
        self._max_page = max_page
        self._series_came = series_came
        self._marks = {CONNECTION_OWNER: self if owner is None else owner}

    async def list(
        self, scope: ResourceScope[T], odd: Callable[[str], None], known: Mapping[str, T]
    ) -> tuple[dict[str, T], str]:
        """All objects, projected, by key, and their version. What equals a `known` one is that one. `odd` is told why
        an object was left out."""
        for _ in range(_RESTARTS):
            try:
                return await self._pages(scope, odd, known)
            except ResourceExpired:  # the pages that are left belong to a version that is no longer there
                continue
        raise KubernetesApiError(f"{scope}: the pages of the list expire faster than they can be read")

    async def _pages(
        self, scope: ResourceScope[T], odd: Callable[[str], None], known: Mapping[str, T]
    ) -> tuple[dict[str, T], str]:
        found: dict[str, T] = {}
        query = {**scope.selection, "limit": str(self._page_size)}
        while True:
            body = await self._read(scope, query)
            try:
                page = ListPage(body)
                turns = ShortTurns()
                for item in page.items():
                    try:
                        key, made = projected(item, scope.resource)
                        before = known.get(key)
                        found[key] = before if before is not None and before == made else made
                    except OddObjectError as e:
                        odd(str(e))
                    self._series_came(_SERIES_AN_OBJECT)
                    await turns.piece_done()
                if not page.more:
                    return found, page.version
                query["continue"] = page.more
            except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
                raise KubernetesApiError(
                    f"{self._server} sent no list of {scope.resource.name}: is it the API server of a Kubernetes "
                    "cluster?"
                ) from None

    async def _read(self, scope: ResourceScope[T], query: Mapping[str, str]) -> bytearray:
        url = self._url(scope)
        try:
            async with (
                asyncio.timeout(_LIST_SECONDS),
                self._client.stream("GET", url, params=query, headers=_JSON, extensions=self._marks) as response,
            ):
                await self._check(response, scope)
                return await read_body(response, SizeLimit(f"{scope}: a page of the list", self._max_page))
        except TimeoutError:
            raise KubernetesApiError(f"no answer within {_LIST_SECONDS:g}s: {_REACHED}") from None
        except httpx.HTTPError as e:
            raise KubernetesApiError(_reason(e, url)) from None

    async def watch(
        self, scope: ResourceScope[T], version: str, timeout_s: int, silent_s: float = _SILENT_SECONDS
    ) -> AsyncGenerator[Sequence[WatchEvent]]:
        """What changes after `version`, in batches: those that came together. The first batch, when the server has
        accepted the watch, is empty. It ends when the server ends it, and when the server has been silent for long.
        """
        url = self._url(scope)
        query = {
            **scope.selection,
            "watch": "true",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(timeout_s),
        }
        now = asyncio.get_running_loop().time
        ends_at = now() + timeout_s + _LATE_SECONDS
        opened = False
        try:
            async with (
                asyncio.timeout(_OPEN_SECONDS) as limit,
                self._client.stream("GET", url, params=query, headers=_JSON, extensions=self._marks) as response,
            ):
                await self._check(response, scope)
                opened = True
                limit.reschedule(None)  # the caller's time is not the server's
                yield ()
                lines, pace = EventLines(scope), ReadPace(now())
                limit.reschedule(min(now() + silent_s, ends_at))
                async for part in response.aiter_bytes():
                    pause_s = pace.pause(len(part), now(), lambda: has_unread_bytes(response))
                    events = lines.feed(part)
                    if events:
                        limit.reschedule(None)
                        yield events
                    if pause_s:
                        await asyncio.sleep(pause_s)
                    asked = pace.asked = now()
                    limit.reschedule(min(asked + silent_s, ends_at))
        except TimeoutError:
            if not opened:
                raise KubernetesApiError(f"no answer within {_OPEN_SECONDS:g}s: {_REACHED}") from None
        except httpx.HTTPError as e:
            raise KubernetesApiError(_reason(e, url), broken=opened) from None

    def _url(self, scope: ResourceScope[T]) -> str:
        return self._url_base + scope.resource.path(scope.namespace)

    async def _check(self, response: httpx.Response, scope: ResourceScope[T]) -> None:
        kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if response.status_code == 200 and kind == "application/json":
            return
        text = bytearray()
        async for part in response.aiter_bytes():
            text += part
            if len(text) > _MAX_REFUSAL:
                break
        whole = text[:_MAX_REFUSAL].decode("utf-8", "replace")
        if response.status_code == 200:
            raise strange(whole, server_of(str(response.url)), kind)
        raise refusal(response, whole, scope)


_JSON: Final = {"Accept": "application/json"}


def _reason(e: httpx.HTTPError, url: str) -> str:
    """With the server that failed, when a redirect led elsewhere."""
    asked = failed_url(e, url)
    elsewhere = server_of(asked) != server_of(url)
    return f"{server_of(asked)}: {reason(e)}" if elsewhere else unreached(reason(e))


class ReadPace:
    """When to leave a watch alone for a moment, so that its events come together. Times are in seconds; `asked` is when
    the next part was asked for."""

    def __init__(self, asked: float):
        self.asked = asked
        self._gathered = 0  # bytes since the last part that was waited for

    def pause(self, size: int, now: float, has_more: Callable[[], bool] = lambda: False) -> float:
        """How long, after a part of `size` bytes that came at `now`. `has_more`: others are there to be read, and only
        the machine was too busy to give this one at once. To wait then would let a busy machine fall behind for ever.
        """
        self._gathered += size
        if now - self.asked <= _WAITED_SECONDS:
            return 0.0  # it was there already, and so may be the next
        gathered, self._gathered = self._gathered, 0
        return _GATHER_SECONDS if gathered < _GATHERED_BYTES and not has_more() else 0.0


def has_unread_bytes(response: httpx.Response) -> bool:
    """Whether the connection of an answer has bytes that were not read."""
    stream = response.extensions.get("network_stream")
    return stream is not None and bool(stream.get_extra_info("is_readable"))


class EventLines(Generic[T]):
    """Cuts the bytes of a watch into events."""

    def __init__(self, scope: ResourceScope[T]):
        self._scope = scope
        pieces = scope.resource.pieces
        self._decode = pieces.decoder().decode if pieces is not None else decode_json
        self._parts: list[bytes] = []  # of a line that has not ended
        self._held = 0

    def feed(self, part: bytes) -> list[WatchEvent]:
        """The events that end in this part. Raises KubernetesApiError, ResourceExpired for an ERROR event."""
        head, newline, rest = part.partition(b"\n")
        self._parts.append(head)
        self._held += len(head)
        if self._held > _MAX_LINE:
            text = f"{self._scope}: an event is larger than {_MAX_LINE >> 20} MiB"
            raise KubernetesApiError(text, poisoned=True)
        if not newline:
            return []
        first = b"".join(self._parts)
        *whole, last = rest.split(b"\n")
        self._parts, self._held = [last], len(last)
        return [self._event(line) for line in (first, *whole) if line.strip()]

    def _event(self, line: bytes) -> WatchEvent:
        try:
            event = self._decode(line)
            kind, made = event["type"], event["object"]
            if kind == "ERROR":
                raise event_error(made, str(self._scope))
            return WatchEvent(kind, made, str(made["metadata"]["resourceVersion"]))
        except (ValueError, LookupError, TypeError, RecursionError) as e:
            text = f"{self._scope}: an event of the watch is none: {type(e).__name__}"
            raise KubernetesApiError(text, poisoned=True) from None


class OddObjectError(RulepushError):
    """An object that is not as the API has them."""


def projected(item: Mapping[str, Any], resource: Resource[T]) -> tuple[str, T]:
    """The key of an object, and what labels need of it. Raises OddObjectError."""
    try:
        key = object_key(item["metadata"])
    except (LookupError, TypeError, AttributeError):
        raise OddObjectError(f"one of the {resource.name} has no name") from None
    try:
        return key, resource.project(item)
    except (ValueError, LookupError, TypeError, AttributeError) as e:
        raise OddObjectError(f"{key} of the {resource.name}: {e}") from None
