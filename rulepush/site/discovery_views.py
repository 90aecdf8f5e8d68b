"""What the service discovery page shows: discovered labels, what became of them, which rule dropped a target. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from rulepush.model.labels import Labels
from rulepush.relabel.steps import RelabelStep, dropping_step
from rulepush.scrape.pool import ScrapePool
from rulepush.scrape.scraper import Scraper
from rulepush.scrape.target import Dropped, shown_labels
from rulepush.site.paging import PagedRows, labels_text, paged
from rulepush.site.target_views import target_id


class Fate(Enum):
    """What became of what was discovered; the value is that of the filter."""

    ACTIVE = "active"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class DiscoveryFilter:
    """What is looked for; "" and None restrict nothing. `text` is looked for in the discovered labels, in any case."""

    job: str = ""
    fate: Fate | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class DiscoveredJob:
    """A job, and how many label sets its discoveries gave. Of the dropped ones `kept` are remembered at most
    (`keep_dropped_targets`)."""

    name: str
    discovered: int
    active: int
    dropped: int
    kept: int


@dataclass(frozen=True, slots=True)
class DiscoveredTarget:
    """One discovered label set. Active: `id` and `labels` are its target's. Dropped: by the rule of `step`, or for the
    `error` that makes it no target."""

    job: str
    discovered: Labels
    id: str = ""
    labels: Labels | None = None
    step: RelabelStep | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class DiscoveryList:
    """All jobs, and one page of the label sets that the filter wants: dropped ones first."""

    jobs: Sequence[DiscoveredJob]
    rows: PagedRows[DiscoveredTarget]


def discovery_list(pools: Iterable[ScrapePool], wanted: DiscoveryFilter, page: int) -> DiscoveryList:
    """The page of that number."""
    jobs = []
    found: list[tuple[ScrapePool, Scraper | Dropped]] = []
    for pool in sorted(pools, key=lambda pool: pool.job.name):
        jobs.append(
            DiscoveredJob(pool.job.name, len(pool.found), len(pool.running), pool.dropped_count, len(pool.dropped))
        )
        if not wanted.job or pool.job.name == wanted.job:
            found += [(pool, item) for item in _items(pool, wanted)]
    found.sort(key=lambda pair: isinstance(pair[1], Scraper))
    rows = paged(found, page)
    shown = [_row(pool, item) for pool, item in rows.rows]
    return DiscoveryList(jobs, PagedRows(shown, rows.number, rows.pages, rows.count))


def _items(pool: ScrapePool, wanted: DiscoveryFilter) -> Iterable[Scraper | Dropped]:
    text = wanted.text.strip().lower()
    items: list[Scraper | Dropped] = []
    if wanted.fate is not Fate.ACTIVE:
        items += pool.dropped
    if wanted.fate is not Fate.DROPPED:
        items += pool.scrapers
    return [item for item in items if not text or text in labels_text(_discovered(item))]


def _discovered(item: Scraper | Dropped) -> Labels:
    return shown_labels(item.discovered if isinstance(item, Dropped) else item.target.discovered)


def _row(pool: ScrapePool, item: Scraper | Dropped) -> DiscoveredTarget:
    name = pool.job.name
    if isinstance(item, Scraper):
        target = item.target
        return DiscoveredTarget(name, shown_labels(target.discovered), target_id(target), target.labels)
    step = None if item.error else dropping_step(item.discovered, pool.job.relabel_configs)
    return DiscoveredTarget(name, shown_labels(item.discovered), step=step, error=item.error)
