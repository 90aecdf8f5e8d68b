"""`/targets`: every job with its targets, and the error of their last scrape."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rulepush.model.labels import Labels
from rulepush.scrape.pool import ScrapePool
from rulepush.scrape.scraper import Scraper
from rulepush.scrape.target import TargetHealth
from rulepush.site.frame import Frame
from rulepush.site.language import message


@dataclass(frozen=True, slots=True)
class ShownTarget:
    """One target; `last_scrape` in ms, 0 for never."""

    url: str
    labels: Labels
    health: str
    error: str
    last_scrape: int
    duration_s: float


@dataclass(frozen=True, slots=True)
class ShownJob:
    """A job with its targets. `dropped` are the first of the `dropped_count` that relabelling dropped."""

    name: str
    targets: Sequence[ShownTarget]
    up: int
    dropped: Sequence[Labels]
    dropped_count: int


class TargetsPage:
    """`jobs` are the pools of the scrape configurations."""

    def __init__(self, frame: Frame, jobs: Iterable[ScrapePool]):
        self._frame = frame
        self._jobs = jobs

    def routes(self) -> list[Route]:
        """The route of the page."""
        return [Route("/targets", self.show, methods=["GET"])]

    async def show(self, request: Request) -> Response:
        """The page."""
        jobs = sorted((_job(pool) for pool in self._jobs), key=lambda job: job.name)
        return await self._frame.page(request, "targets.html", message("Targets"), "/targets", jobs=jobs)


def _job(pool: ScrapePool) -> ShownJob:
    targets = [_target(scraper) for scraper in pool.scrapers]
    up = sum(target.health == TargetHealth.UP.value for target in targets)
    return ShownJob(pool.job.name, targets, up, [d.discovered for d in pool.dropped], pool.dropped_count)


def _target(scraper: Scraper) -> ShownTarget:
    target, status = scraper.target, scraper.status
    return ShownTarget(
        target.url, target.labels, status.health.value, status.last_error, status.last_scrape, status.last_duration_s
    )
