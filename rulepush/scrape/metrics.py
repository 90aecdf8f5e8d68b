"""Scraping's own metrics."""

from __future__ import annotations

from collections.abc import Callable

from rulepush.scrape.overload import OverloadWatch
from rulepush.scrape.sharding import ScrapeSharding
from rulepush.scrape.stats import ScrapeStats
from rulepush.telemetry import MetricReading, Telemetry, single


def expose_scrapes(t: Telemetry, stats: ScrapeStats, overload: OverloadWatch, target_count: Callable[[], int]) -> None:
    """What all scrapes counted, whether they keep up, and the number of targets."""
    t.counter("rulepush_scrapes", "Scrapes that took place.", single(lambda: stats.scrapes))
    t.counter("rulepush_scrape_failures", "Scrapes that failed.", single(lambda: stats.failed))
    t.counter(
        "rulepush_scrapes_skipped",
        "Scrapes left out, nothing is written of them: rulepush had too much to do (overload), the target hung for "
        "longer than its interval (slow_target), or the clock was set (time_jump).",
        lambda: [
            MetricReading(("overload",), stats.skipped_overloaded),
            MetricReading(("slow_target",), stats.skipped_slow_target),
            MetricReading(("time_jump",), stats.skipped_time_jump),
        ],
        ("reason",),
    )
    t.gauge(
        "rulepush_overloaded",
        "Whether scrapes were left out within the last minute or two, for rulepush had too much to do.",
        single(lambda: float(overload.overloaded)),
    )
    t.gauge(
        "rulepush_scrape_lateness_seconds",
        "How long after its planned time the latest scrape of the last minute or two began.",
        single(lambda: overload.lateness_s),
    )
    t.counter("rulepush_scrape_seconds", "Time that scrapes took, with the fetch.", single(lambda: stats.seconds))
    t.counter("rulepush_scraped_bytes", "Bodies scraped, decompressed.", single(lambda: stats.body_bytes))
    t.counter("rulepush_samples_scraped", "Samples in scraped bodies.", single(lambda: stats.samples_scraped))
    t.counter("rulepush_samples_kept", "Scraped samples that a rule needs.", single(lambda: stats.samples_kept))
    t.counter(
        "rulepush_samples_dropped", "Scraped samples that no rule needs.", single(lambda: stats.samples_not_wanted)
    )
    t.counter(
        "rulepush_samples_out_of_order", "Scraped samples refused as out of order.", single(lambda: stats.out_of_order)
    )
    t.counter("rulepush_samples_duplicate", "Scraped samples that came twice.", single(lambda: stats.duplicates))
    t.gauge("rulepush_targets", "Targets that are scraped.", single(target_count))


def expose_sharding(t: Telemetry, sharding: ScrapeSharding, left_to_others: Callable[[], int]) -> None:
    """Which shard this process is, and how many targets it leaves to others."""
    t.gauge("rulepush_scrape_shard", "Index of this shard, from 0.", single(lambda: sharding.index))
    t.gauge("rulepush_scrape_shards", "Shards that share the targets.", single(lambda: sharding.count))
    t.gauge("rulepush_scrape_shard_replicas", "Shards that scrape the same target.", single(lambda: sharding.replicas))
    t.gauge("rulepush_targets_of_other_shards", "Targets that only other shards scrape.", single(left_to_others))
