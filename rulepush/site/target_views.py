"""What the pages show of targets: counts, the filter, one page of a list, and one target whole. Pure.

The list is for a thousand targets: what a row shows is put together for the rows of one page only.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from rulepush.model.labels import Labels
from rulepush.nacos.diagnose import diagnose_scrape
from rulepush.relabel.steps import RelabelStep, relabel_steps
from rulepush.scrape.bodies import KeptBody, TargetBodies
from rulepush.scrape.pool import ScrapePool
from rulepush.scrape.scraper import Scraper
from rulepush.scrape.target import Target, TargetHealth, shown_labels
from rulepush.site.language import Message
from rulepush.site.paging import PagedRows, labels_text, paged

_ORDER: Final = {TargetHealth.DOWN: 0, TargetHealth.UNKNOWN: 1, TargetHealth.UP: 2}


@dataclass(frozen=True, slots=True)
class HealthCounts:
    """Targets by health; `unknown` are those that were not scraped yet."""

    up: int
    down: int
    unknown: int

    @property
    def all(self) -> int:
        """All of them."""
        return self.up + self.down + self.unknown


@dataclass(frozen=True, slots=True)
class JobCounts:
    """The targets of one job: `discovered` before relabelling, `dropped` by it, `elsewhere`: left to other shards."""

    name: str
    health: HealthCounts
    discovered: int
    dropped: int
    elsewhere: int = 0


@dataclass(frozen=True, slots=True)
class TargetFilter:
    """What is looked for; "" restricts nothing. `text` may be in the URL, the labels or the error, in any case."""

    job: str = ""
    health: str = ""
    text: str = ""

    def wants_job(self, name: str) -> bool:
        """Whether targets of this job are looked for."""
        return not self.job or name == self.job

    def wants(self, scraper: Scraper) -> bool:
        """Whether this target, of a job that is wanted, is looked for."""
        target, status = scraper.target, scraper.status
        if self.health and status.health.value != self.health:
            return False
        text = self.text.strip().lower()
        if not text or text in target.shown_url.lower() or text in status.last_error.lower():
            return True
        return text in labels_text(target.labels)


@dataclass(frozen=True, slots=True)
class TargetRow:
    """One target; times in ms, 0 for never.

    `id`       names it within its job: see `target_id`
    `error`    of the last scrape, "" when it was good; `hint` is what to do about it, empty when nothing is known
    `skipped`  scrapes that were left out, for rulepush had too much to do
    """

    id: str
    job: str
    url: str
    labels: Labels
    health: str
    error: str
    hint: Message
    failing_since: int
    last_scrape: int
    duration_s: float
    samples_scraped: int
    samples_kept: int
    body_bytes: int
    skipped: int
    interval_ms: int
    timeout_ms: int


@dataclass(frozen=True, slots=True)
class TargetList:
    """`counts` and `jobs` are of all targets, `rows` of those that the filter wants: what is down comes first. `shard`
    is this one, `2/5` from 0; "" where there are no others."""

    counts: HealthCounts
    jobs: Sequence[JobCounts]
    rows: PagedRows[TargetRow]
    shard: str = ""

    @property
    def elsewhere(self) -> int:
        """Targets that only other shards scrape."""
        return sum(job.elsewhere for job in self.jobs)


@dataclass(frozen=True, slots=True)
class TargetDetail:
    """One target whole: `discovered` are its labels before relabelling, `steps` what each rule did to them. `body` is
    the last one that is kept; None where there is none, and where keeping is not enabled."""

    row: TargetRow
    discovered: Labels
    steps: Sequence[RelabelStep]
    body: KeptBody | None


def target_list(pools: Iterable[ScrapePool], wanted: TargetFilter, page: int) -> TargetList:
    """The page of that number of the targets that are wanted."""
    jobs, found, shard = [], [], ""
    for pool in sorted(pools, key=lambda pool: pool.job.name):
        scrapers, name = pool.scrapers, pool.job.name
        health = Counter(scraper.status.health for scraper in scrapers)
        counts = HealthCounts(*(health[h] for h in (TargetHealth.UP, TargetHealth.DOWN, TargetHealth.UNKNOWN)))
        dropped = pool.dropped_count - pool.elsewhere
        jobs.append(JobCounts(name, counts, pool.found_count, dropped, pool.elsewhere))
        shard = str(pool.job.sharding or "")
        if wanted.wants_job(name):
            found += [(name, scraper) for scraper in scrapers if wanted.wants(scraper)]
    found.sort(key=lambda pair: _ORDER[pair[1].status.health])  # stable: by job, then as they were found
    rows = paged(found, page)
    shown = [target_row(name, scraper) for name, scraper in rows.rows]
    return TargetList(
        HealthCounts(
            sum(job.health.up for job in jobs),
            sum(job.health.down for job in jobs),
            sum(job.health.unknown for job in jobs),
        ),
        jobs,
        PagedRows(shown, rows.number, rows.pages, rows.count),
        shard,
    )


def target_row(job: str, scraper: Scraper) -> TargetRow:
    """What a list shows of one target."""
    target, status = scraper.target, scraper.status
    error = status.last_error
    return TargetRow(
        target_id(target),
        job,
        target.shown_url,
        target.labels,
        status.health.value,
        error,
        Message(diagnose_scrape(target.shown_url, error).suggestion if error else ""),
        status.failing_since,
        status.last_scrape,
        status.last_duration_s,
        status.samples_scraped,
        status.samples_kept,
        status.body_bytes,
        status.skipped,
        target.interval_ms,
        target.timeout_ms,
    )


def target_id(target: Target) -> str:
    """A short name for links, of what tells two targets of a job apart. The same after a restart."""
    labels, url = target.key
    return hashlib.blake2s(f"{url}\n{labels}".encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()


def find_target(pools: Iterable[ScrapePool], job: str, wanted: str) -> tuple[ScrapePool, Scraper] | None:
    """The target with this `target_id`, None when it is gone."""
    for pool in pools:
        if pool.job.name == job:
            for scraper in pool.scrapers:
                if target_id(scraper.target) == wanted:
                    return pool, scraper
    return None


def target_detail(pool: ScrapePool, scraper: Scraper, bodies: TargetBodies | None) -> TargetDetail:
    """All that is known of a target. `bodies` is None where keeping bodies is not enabled."""
    discovered = scraper.target.discovered
    return TargetDetail(
        target_row(pool.job.name, scraper),
        shown_labels(discovered),
        relabel_steps(discovered, pool.job.relabel_configs),
        bodies.get(scraper) if bodies is not None else None,
    )
