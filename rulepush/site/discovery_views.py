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
    ELSEWHERE = "elsewhere"


@dataclass(frozen=True, slots=True)
class DiscoveryFilter:
    """What is looked for; "" and None restrict nothing. `text` is looked for in the discovered labels, in any case."""

    job: str = ""
    fate: Fate | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class DiscoveredJob:
    """A job, and how many label sets its discoveries gave. Of the dropped ones `kept` are remembered at most
    (`keep_dropped_targets`). Other shards have those of `elsewhere`."""

    name: str
    discovered: int
    active: int
    dropped: int
    kept: int
    elsewhere: int = 0


@dataclass(frozen=True, slots=True)
class DiscoveredTarget:
    """One discovered label set. Active: `id` and `labels` are its target's. Dropped: by the rule of `step`, or for the
    `error` that makes it no target. On other shards: on `shards`."""

    job: str
    discovered: Labels
    id: str = ""
    labels: Labels | None = None
    step: RelabelStep | None = None
    error: str = ""
    shards: tuple[int, ...] = ()


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
        dropped = pool.dropped_count - pool.elsewhere
        counts = pool.found_count, len(pool.running), dropped, pool.kept_count, pool.elsewhere
        jobs.append(DiscoveredJob(pool.job.name, *counts))
        if not wanted.job or pool.job.name == wanted.job:
            found += [(pool, item) for item in _items(pool, wanted)]
    found.sort(key=lambda pair: isinstance(pair[1], Scraper))
    rows = paged(found, page)
    shown = [_row(pool, item) for pool, item in rows.rows]
    return DiscoveryList(jobs, PagedRows(shown, rows.number, rows.pages, rows.count))


def _items(pool: ScrapePool, wanted: DiscoveryFilter) -> Iterable[Scraper | Dropped]:
    text = wanted.text.strip().lower()
    items: list[Scraper | Dropped] = []
    if wanted.fate in (None, Fate.DROPPED):
        items += pool.dropped
    if wanted.fate is Fate.ELSEWHERE or (wanted.fate is None and text):  # unasked, they would hide the others
        items += pool.left_to_others()
    if wanted.fate in (None, Fate.ACTIVE):
        items += pool.scrapers
    return [item for item in items if not text or text in labels_text(_discovered(item))]


def _discovered(item: Scraper | Dropped) -> Labels:
    return shown_labels(item.discovered if isinstance(item, Dropped) else item.target.discovered)


def _row(pool: ScrapePool, item: Scraper | Dropped) -> DiscoveredTarget:
    name = pool.job.name
    if isinstance(item, Scraper):
        target = item.target
        return DiscoveredTarget(name, shown_labels(target.discovered), target_id(target), target.labels)
    if item.shards:
        return DiscoveredTarget(name, shown_labels(item.discovered), shards=item.shards)
    step = None if item.error else dropping_step(item.discovered, pool.job.relabel_configs)
    return DiscoveredTarget(name, shown_labels(item.discovered), step=step, error=item.error)
