"""`/status`, `/config`, `/flags` and `/tsdb-status`: the process, its settings, and what it keeps in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rulepush.site.facts import ServiceFacts
from rulepush.site.frame import Frame
from rulepush.site.kept_views import kept_list
from rulepush.site.language import message
from rulepush.site.paging import page_number
from rulepush.storage.head import Head
from rulepush.web.status import Status


class StatusPages:
    """`facts()` and `status()` are of now; `flags` are those of the command line, by name without dashes."""

    def __init__(
        self,
        frame: Frame,
        status: Callable[[], Status],
        facts: Callable[[], ServiceFacts],
        flags: Mapping[str, str],
        head: Head,
    ):
        self._frame = frame
        self._status = status
        self._facts = facts
        self._flags = flags
        self._head = head

    def routes(self) -> list[Route]:
        """The routes of the pages."""
        return [
            Route("/status", self.show, methods=["GET"]),
            Route("/config", self.config, methods=["GET"]),
            Route("/flags", self.flags, methods=["GET"]),
            Route("/tsdb-status", self.kept, methods=["GET"]),
        ]

    async def show(self, request: Request) -> Response:
        """The process: reload, storage, memory, load."""
        return await self._frame.page(request, "status.html", message("Status"), "/status", facts=self._facts())

    async def config(self, request: Request) -> Response:
        """The configuration as it was loaded, its secrets masked."""
        return await self._frame.page(
            request, "config.html", message("Configuration"), "/status", status=self._status(), facts=self._facts()
        )

    async def flags(self, request: Request) -> Response:
        """The flags of the command line; `text` restricts them."""
        text = request.query_params.get("text", "")
        found = {name: value for name, value in self._flags.items() if text.strip().lower() in name.lower()}
        return await self._frame.page(request, "flags.html", message("Flags"), "/status", flags=found, text=text)

    async def kept(self, request: Request) -> Response:
        """The metrics in memory, those with most series first; `text` restricts them, `page` is the page."""
        text, number = request.query_params.get("text", ""), page_number(request.query_params.get("page", ""))
        return await self._frame.page(
            request,
            "kept.html",
            message("Samples in memory"),
            "/status",
            kept=kept_list(self._head, text, number),
            text=text,
        )
