"""`/service-discovery`: what the discoveries found, what it became, and which rule dropped a target."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rulepush.discovery.reporter import FailingDiscovery
from rulepush.scrape.pool import ScrapePool
from rulepush.site.discovery_views import DiscoveryFilter, Fate, discovery_list
from rulepush.site.frame import Frame
from rulepush.site.language import message
from rulepush.site.paging import page_number


class DiscoveryPage:
    """`failing()` are the discoveries that fail now, by what each asks, and `awaited()` what those wait for that have
    given no list yet."""

    def __init__(
        self,
        frame: Frame,
        jobs: Iterable[ScrapePool],
        failing: Callable[[], Mapping[str, FailingDiscovery]],
        awaited: Callable[[], Mapping[str, str]],
    ):
        self._frame = frame
        self._jobs = jobs
        self._failing = failing
        self._awaited = awaited

    def routes(self) -> list[Route]:
        """The route of the page."""
        return [Route("/service-discovery", self.show, methods=["GET"])]

    async def show(self, request: Request) -> Response:
        """The list; `job`, `fate` and `text` restrict it, `page` is its page."""
        params = request.query_params
        fate = next((fate for fate in Fate if fate.value == params.get("fate", "")), None)
        wanted = DiscoveryFilter(params.get("job", ""), fate, params.get("text", ""))
        return await self._frame.page(
            request,
            "discovery.html",
            message("Service discovery"),
            "/status",
            found=discovery_list(self._jobs, wanted, page_number(params.get("page", ""))),
            wanted=wanted,
            fates=[fate.value for fate in Fate],
            failing=dict(self._failing()),
            awaited=dict(self._awaited()),
        )
