"""`/targets`: a filter and a page of the targets; `/targets/detail`: one of them; `/targets/body`: its last body."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from rulepush.scrape.bodies import TargetBodies
from rulepush.scrape.pool import ScrapePool
from rulepush.site.frame import Frame
from rulepush.site.language import message
from rulepush.site.paging import page_number
from rulepush.site.target_views import TargetFilter, find_target, target_detail, target_list

BODIES_FLAG: Final = "--web.enable-target-bodies"
_BODY_HEADERS: Final = {
    # A target is not trusted: whatever it says, a browser shows it as text.
    "Content-Type": "text/plain; charset=utf-8",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox; frame-ancestors 'none'",
    "Content-Disposition": 'inline; filename="body.txt"',
    "Cache-Control": "no-store",
}


class TargetsPage:
    """`jobs` are the pools of the scrape configurations; `bodies` is None where keeping bodies is not enabled."""

    def __init__(self, frame: Frame, jobs: Iterable[ScrapePool], bodies: TargetBodies | None = None):
        self._frame = frame
        self._jobs = jobs
        self._bodies = bodies

    def routes(self) -> list[Route]:
        """The routes of the pages."""
        return [
            Route("/targets", self.show, methods=["GET"]),
            Route("/targets/detail", self.detail, methods=["GET"]),
            Route("/targets/body", self.body, methods=["GET"]),
        ]

    async def show(self, request: Request) -> Response:
        """The list; `job`, `health` and `text` restrict it, `page` is its page."""
        params = request.query_params
        wanted = TargetFilter(params.get("job", ""), params.get("health", ""), params.get("text", ""))
        found = target_list(self._jobs, wanted, page_number(params.get("page", "")))
        return await self._frame.page(
            request, "targets.html", message("Targets"), "/targets", targets=found, wanted=wanted
        )

    async def detail(self, request: Request) -> Response:
        """One target: `job` and `target`, its id."""
        job, wanted = request.query_params.get("job", ""), request.query_params.get("target", "")
        found = find_target(self._jobs, job, wanted)
        if found is None:
            return await self._frame.page(
                request, "target_gone.html", message("This target is gone"), "/targets", status_code=404, job=job
            )
        shown = target_detail(*found, self._bodies)
        return await self._frame.page(
            request, "target.html", shown.row.url, "/targets", target=shown, keeps_bodies=self._bodies is not None
        )

    async def body(self, request: Request) -> Response:
        """The last body of a target, as text whatever it is."""
        if self._bodies is None:
            return PlainTextResponse(f"Bodies are not kept: start rulepush with {BODIES_FLAG}.\n", 403)
        found = find_target(self._jobs, request.query_params.get("job", ""), request.query_params.get("target", ""))
        body = self._bodies.get(found[1]) if found is not None else None
        if body is None:
            why = "There is no such target now." if found is None else "No body of this target is kept."
            return PlainTextResponse(f"{why}\n", 404)
        return Response(body.content.decode("utf-8", "replace"), headers=_BODY_HEADERS)
