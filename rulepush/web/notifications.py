"""`/api/v1/notifications` and `/api/v1/notifications/live`: what is wrong with the server itself.

Sources: prometheus util/notifications/notifications.go and web/api/v1/api.go (notificationsSSE): a notification is sent
when it comes, and once more, not active, when it goes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from rulepush.clock import Clock
from rulepush.model.timestamps import format_rfc3339
from rulepush.web.answers import json_text_of, success

RELOAD_FAILED: Final = "Configuration reload has failed."  # Prometheus' text: its page looks for it
MAX_SUBSCRIBERS: Final = 16  # Prometheus' default of --web.max-notifications-subscribers
_LOOK_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that is wrong now, since a time (ms; 0 where that is not known)."""

    text: str
    since: int = 0


class NotificationsApi:
    """`notices()` are those of now. Only while somebody listens they are looked at, once a second; `serving()` is false
    when the server stops, which ends what is listened to."""

    def __init__(self, notices: Callable[[], Iterable[Notice]], clock: Clock, serving: Callable[[], bool]):
        self._notices = notices
        self._clock = clock
        self._serving = serving
        self._since: dict[str, int] = {}
        self._subscribers = 0

    def routes(self) -> list[Route]:
        """The routes, below /api/v1."""
        return [
            Route("/notifications", self.notifications, methods=["GET"]),
            Route("/notifications/live", self.live, methods=["GET"]),
        ]

    async def notifications(self, _: Request) -> Response:
        """Those of now."""
        return success([_json(text, since, True) for text, since in self._now().items()])

    async def live(self, request: Request) -> Response:
        """Those of now and each change, as server-sent events; 204 when too many listen already."""
        if self._subscribers >= MAX_SUBSCRIBERS:
            return Response(status_code=204)
        headers = {"Content-Type": "text/event-stream", "Cache-Control": "no-cache"}
        if request.method == "HEAD":
            return Response(headers=headers)
        self._subscribers += 1
        return _LiveEvents(self._events(request), headers, self._release)

    def _release(self) -> None:
        self._subscribers -= 1

    async def _events(self, request: Request) -> AsyncIterator[str]:
        yield ":\n\n"  # the head goes out with the first part of the body: a browser waits for it
        known: Mapping[str, int] = {}
        was_serving = self._serving()
        while not await request.is_disconnected() and (self._serving() or not was_serving):
            was_serving = was_serving or self._serving()
            now = self._now()
            for text, since in now.items():
                if known.get(text) != since:
                    yield _event(text, since, True)
            for text, since in known.items():
                if text not in now:
                    yield _event(text, since, False)
            known = now
            await self._clock.sleep(_LOOK_SECONDS)

    def _now(self) -> Mapping[str, int]:
        """By text, since when (ms)."""
        now = {notice.text: notice.since for notice in self._notices()}
        self._since = {text: since or self._since.get(text) or self._clock.now() for text, since in now.items()}
        return self._since


class _LiveEvents(StreamingResponse):
    """Calls `release` when nobody listens to it any more, whether it was ever sent or not."""

    def __init__(self, events: AsyncIterator[str], headers: Mapping[str, str], release: Callable[[], None]):
        super().__init__(events, headers=headers)
        self._release = release

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._release()


def _json(text: str, since: int, active: bool) -> dict[str, Any]:
    return {"text": text, "date": format_rfc3339(since), "active": active}


def _event(text: str, since: int, active: bool) -> str:
    return f"data: {json_text_of(_json(text, since, active))}\n\n"
