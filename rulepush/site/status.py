"""`/status`: start time, configuration and flags."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rulepush.site.frame import Frame
from rulepush.site.language import message
from rulepush.web.status import Status


class StatusPage:
    """`flags` are those of the command line, by name without dashes."""

    def __init__(self, frame: Frame, status: Callable[[], Status], flags: Mapping[str, str]):
        self._frame = frame
        self._status = status
        self._flags = flags

    def routes(self) -> list[Route]:
        """The route of the page."""
        return [Route("/status", self.show, methods=["GET"])]

    async def show(self, request: Request) -> Response:
        """The page."""
        status = self._status()
        return await self._frame.page(
            request, "status.html", message("Status"), "/status", status=status, flags=self._flags
        )
