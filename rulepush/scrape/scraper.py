"""Scraper: one scrape of one target, from the request to the head."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rulepush.clock import Clock
from rulepush.errors import HTTPStatusError, ScrapeError
from rulepush.exposition import FamilyMetadata, Format
from rulepush.exposition.content_type import choose_format
from rulepush.exposition.entries import CLASSIC_ONLY, HistogramScraping
from rulepush.model.block import SampleBlock
from rulepush.scrape.bodies import TargetBodies
from rulepush.scrape.body_histograms import BodyHistograms
from rulepush.scrape.cache import Ingested, ScrapeCache
from rulepush.scrape.fetch import Fetched, Fetcher, line_limit
from rulepush.scrape.interner import Interner
from rulepush.scrape.layout import ScrapeBodyStats
from rulepush.scrape.report import ReportSeries
from rulepush.scrape.restored import RestoredSeries
from rulepush.scrape.sample_labels import SampleRules
from rulepush.scrape.scraped_blocks import ScrapedBlocks
from rulepush.scrape.stats import ScrapeStats
from rulepush.scrape.target import Target, TargetHealth, TargetStatus
from rulepush.scrape.turns import WorkTurns
from rulepush.storage.head import Head

if TYPE_CHECKING:
    from rulepush.exposition.custom_buckets import CustomBucketTranslator
    from rulepush.exposition.protobuf.translate import BodyTranslator

log = logging.getLogger("rulepush.scrape")

OnScrape = Callable[[Target, Sequence[SampleBlock], Callable[[], Mapping[str, FamilyMetadata]]], None]
"""Gets every sample of a scrape at once, wanted by a rule or not, with stale markers and the report series, after they
went into the head; and, when it asks, the metadata of the target's metric families."""


@dataclass(frozen=True, slots=True)
class ScrapeContext:
    """What all scrapers share."""

    head: Head
    clock: Clock
    stats: ScrapeStats = field(default_factory=ScrapeStats)
    interner: Interner = field(default_factory=Interner)
    restored: RestoredSeries = field(default_factory=RestoredSeries)
    turns: WorkTurns = field(default_factory=lambda: WorkTurns(clock=time.perf_counter))
    on_scrape: OnScrape | None = None
    series_came: Callable[[int], object] = lambda _count: None  # called with a number of new series, or of as much else
    bodies: TargetBodies | None = None  # keeps the last body of each target, None to keep none


class Scraper:
    """One a target. Its status outlives each scrape."""

    def __init__(
        self,
        target: Target,
        context: ScrapeContext,
        fetcher: Fetcher,
        rules: SampleRules,
        *,
        fallback: Format | None = None,
        histograms: HistogramScraping = CLASSIC_ONLY,
        zero_at_start: bool = False,
        max_lines: int = 0,
        extra_metrics: bool = False,
        forced_error: str = "",
        status: TargetStatus | None = None,
    ):
        """`forced_error` fails every scrape without a request (target_limit). `max_lines` bounds what a body in
        protobuf becomes, 0 for the default. With `zero_at_start` counters get a zero where they say that they began."""
        self.target = target
        self.status = status or TargetStatus()
        self.timed_out = False  # the last scrape took longer than its timeout allows
        self.hung = False  # the last request was not answered within the timeout
        self.forced_error = forced_error
        # Moments of the first and the second scrape since the start, or since the time jumped.
        self.scraped_since: int | None = None
        self.complete_since: int | None = None
        self._interruptions = 0
        self._context = context
        self._fetcher = fetcher
        self._rules = rules
        self._fallback = fallback
        self._histograms = histograms
        self._zero_at_start = zero_at_start
        self._max_lines = max_lines or line_limit(0)
        self._readable = b""  # the last body, as people read it
        self._extra = extra_metrics
        self._written = ScrapedBlocks()
        sink = self._written.add if context.on_scrape is not None else None
        self.cache = ScrapeCache(context.head, target.labels, rules, context.interner, sink)
        self._report = ReportSeries(context.head, target.labels, extra_metrics)

    async def scrape(self, ts: int) -> None:
        """Scrape now, for the moment `ts`. Never raises on account of the target."""
        context, status = self._context, self.status
        clock = context.clock
        started_at, start = clock.now(), clock.monotonic()
        fetched: Fetched | None = None
        error = self.forced_error
        interruptions = self._interruptions
        self.hung = False
        if not error:
            try:
                fetched = await self._fetcher.fetch(self.target.url, self.target.timeout_ms)
            except ScrapeError as e:
                error = str(e)
                if context.bodies is not None and isinstance(e, HTTPStatusError):
                    body = self._fetcher.without_secrets(e.body)
                    context.bodies.keep(self, started_at, e.status, e.content_type, body, failed=True)
                self.hung = error.endswith("context deadline exceeded")
        taken = Ingested(ScrapeBodyStats(), error=error) if fetched is None else await self._take(fetched, ts)
        if context.bodies is not None and fetched is not None:
            failed = bool(taken.error)
            body = self._fetcher.without_secrets(self._readable)
            context.bodies.keep(self, started_at, 200, fetched.content_type, body, failed)
        if taken.error:
            self.cache.end(ts)
        status.last_scrape, status.last_duration_s = started_at, clock.monotonic() - start
        self.timed_out = self.hung or status.last_duration_s * 1000 > self.target.timeout_ms
        if interruptions == self._interruptions:
            if self.scraped_since is None:
                self.scraped_since = ts
            elif self.complete_since is None:
                self.complete_since = ts
        self._count(taken, fetched)
        self._set_health(taken.error, ts)
        counts = taken.counts
        values = [0.0 if taken.error else 1.0, status.last_duration_s, counts.scraped, counts.post_relabel, taken.added]
        if self._extra:
            size = len(fetched.body) if fetched is not None else -1 if error == "body size limit exceeded" else 0
            values += [self.target.timeout_ms / 1000, self._rules.sample_limit, size]
        self._pass_on(self._report.write(ts, [float(v) for v in values]))

    def take_over(self, former: Scraper) -> None:
        """Go on for a target with the same labels whose job has a new configuration."""
        self.status = former.status
        self.scraped_since, self.complete_since = former.scraped_since, former.complete_since
        self.cache.take_over(former.cache)
        if self._context.bodies is not None:
            self._context.bodies.hand_over(former, self)

    def interrupted(self) -> None:
        """The time jumped: start counting again."""
        self._interruptions += 1
        self.scraped_since = self.complete_since = None

    def end(self, ts: int) -> None:
        """The target is gone: stale markers for all its series."""
        if self.status.last_scrape:
            self.cache.end(ts)
            self._pass_on(self._report.end(ts))

    async def close(self) -> None:
        """Close the connections: no more scrapes will come."""
        if self._context.bodies is not None:
            self._context.bodies.forget(self)
        await self._fetcher.close()

    async def _take(self, fetched: Fetched, ts: int) -> Ingested:
        self._readable = fetched.body
        try:
            return await self._ingest(fetched, ts)
        except Exception as e:  # a bug in rulepush, met in one body, must not stop the other targets, nor the process
            log.exception("taking in a scrape crashed: target=%s job=%s", self.target.shown_url, self.target.job)
            return Ingested(ScrapeBodyStats(), error=f"internal error: {type(e).__name__}: {e}")

    async def _ingest(self, fetched: Fetched, ts: int) -> Ingested:
        if not fetched.body:
            return self.cache.ingest(b"", Format.TEXT, ts)
        try:
            fmt = choose_format(fetched.content_type, self._fallback)
        except ScrapeError as e:
            return Ingested(ScrapeBodyStats(), error=str(e))
        cache, turns = self.cache, self._context.turns
        await turns.body()
        try:
            body, histograms, starts = fetched.body, None, None
            created_lines = self._zero_at_start and fmt is Format.OPENMETRICS
            if fmt is Format.PROTOBUF or self._histograms.to_custom_buckets or created_lines:
                made = await turns.work(self._translator(body, fmt).work())
                self._readable = made.text if fmt is Format.PROTOBUF else body
                body, fmt = made.text, Format.PROTOBUF
                if made.error or made.faults:
                    refused = await turns.work(cache.refuse(body, fmt, made.error, made.faults))
                    if refused.error:
                        return refused
                histograms = BodyHistograms(made.histograms) if made.histograms else None
                starts = made.starts if self._zero_at_start else None
            while True:
                begun = cache.begin(body, fmt, ts, histograms, starts)
                if isinstance(begun, Ingested):
                    return begun
                done = cache.finish(begun, await turns.work(cache.read(begun)), ts)
                if done is not None:
                    return done
        finally:
            turns.done()

    def _translator(self, body: bytes, fmt: Format) -> BodyTranslator | CustomBucketTranslator:
        if fmt is Format.PROTOBUF:
            from rulepush.exposition.protobuf.translate import BodyTranslator  # needs the protobuf library

            return BodyTranslator(body, self._histograms, self._max_lines, starts=self._zero_at_start)
        from rulepush.exposition.custom_buckets import CustomBucketTranslator

        return CustomBucketTranslator(body, fmt, self._histograms, starts=self._zero_at_start)

    def _count(self, taken: Ingested, fetched: Fetched | None) -> None:
        stats, counts, status = self._context.stats, taken.counts, self.status
        status.body_bytes = len(fetched.body) if fetched is not None else 0
        status.samples_scraped, status.samples_kept = counts.scraped, 0
        stats.scrapes += 1
        stats.seconds += status.last_duration_s
        stats.body_bytes += status.body_bytes
        stats.samples_scraped += counts.scraped
        if taken.error:
            stats.failed += 1
            return
        if taken.added:
            self._context.series_came(taken.added)
        status.samples_kept = counts.wanted - taken.late
        stats.samples_kept += status.samples_kept
        stats.samples_not_wanted += counts.post_relabel - counts.wanted - counts.duplicates
        stats.out_of_order += taken.late
        stats.duplicates += taken.duplicates

    def _set_health(self, error: str, ts: int) -> None:
        """Set the health, and log when it changes."""
        status = self.status
        if error:
            if error != status.last_error:
                log.warning("scrape failed: target=%s job=%s err=%s", self.target.shown_url, self.target.job, error)
            status.health, status.last_error = TargetHealth.DOWN, error
            status.failing_since = status.failing_since or ts
            return
        if status.failing_since:
            since = (ts - status.failing_since) / 1000
            log.info("scrape works again: target=%s job=%s after=%ds", self.target.shown_url, self.target.job, since)
        status.health, status.last_error, status.failing_since = TargetHealth.UP, "", 0

    def _pass_on(self, report: SampleBlock) -> None:
        if self._context.on_scrape is not None:
            self._context.on_scrape(self.target, self._written.take(report), self.cache.metadata)
