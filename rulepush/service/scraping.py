"""Jobs: each scrape configuration at work, its discoveries feeding its pool of targets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from rulepush.config.sections import ScrapeConfig
from rulepush.discovery.groups import Environment, GroupChanges
from rulepush.discovery.provider import Providers
from rulepush.exposition import FamilyMetadata
from rulepush.model.labels import INSTANCE, JOB, Labels
from rulepush.model.schedule import TickGrid
from rulepush.rules.context import TargetStates
from rulepush.scrape.bodies import TargetBodies
from rulepush.scrape.job import job_of
from rulepush.scrape.pool import ScrapePool, ScrapePools
from rulepush.scrape.restored import RestoredSeries
from rulepush.scrape.scraper import OnScrape, ScrapeContext, Scraper
from rulepush.scrape.sharding import ScrapeSharding
from rulepush.scrape.stats import ScrapeStats
from rulepush.scrape.target import TargetHealth
from rulepush.storage.head import Head
from rulepush.tasks import OwnedTask, TaskOwner

if TYPE_CHECKING:
    from rulepush.http_client.on_demand import AnyClient, AnyClientFactory


@dataclass(slots=True)
class _Running:
    config: ScrapeConfig
    client: AnyClient
    providers: Providers
    discovering: OwnedTask


class Jobs:
    """`run` once, `sync` at start and at each reload. An unchanged job goes on undisturbed."""

    def __init__(
        self,
        head: Head,
        grid: TickGrid,
        env: Environment,
        client_factory: AnyClientFactory,
        bodies: TargetBodies | None = None,
        sharding: ScrapeSharding | None = None,
        *,
        type_and_unit_labels: bool = False,
        zero_at_start: bool = False,
    ):
        """`bodies` keeps the last body of each target, None to keep none. With a `sharding` only the targets of its
        shard are scraped. With `type_and_unit_labels` series get these as labels, with `zero_at_start` counters a zero
        where they say that they began."""
        self._type_and_unit_labels = type_and_unit_labels
        self._zero_at_start = zero_at_start
        self.bodies = bodies
        self.sharding = sharding
        self.stats = ScrapeStats()
        self.restored = RestoredSeries()
        self._env = env
        self._client_factory = client_factory
        context = ScrapeContext(
            head,
            env.clock,
            self.stats,
            restored=self.restored,
            series_came=env.series_came,
            bodies=bodies,
        )
        self._pools = ScrapePools(context, grid)
        self.overload = self._pools.overload
        self._tasks = TaskOwner()
        self._tasks.start(self._pools.run, "scrape pools")
        self._jobs: dict[str, _Running] = {}
        self._on_scrape: OnScrape | None = None

    async def run(self) -> None:
        """Discover and scrape until cancelled."""
        await self._tasks.run()

    async def sync(self, configs: Sequence[ScrapeConfig], on_scrape: OnScrape | None = None) -> None:
        """Put these jobs into effect. `on_scrape`, when set, gets every sample of every scrape."""
        wanted = {config.job_name: config for config in configs}
        closing = []
        for name in [name for name in self._jobs if name not in wanted]:
            closing.append(self._jobs.pop(name))
            self._pools.remove(name)
        same_sink = on_scrape == self._on_scrape
        self._on_scrape = on_scrape
        self._pools.pass_on(on_scrape)
        for name, config in wanted.items():
            known = self._jobs.get(name)
            if known is not None and known.config == config and same_sink:
                continue
            if known is not None:
                closing.append(known)
            client = self._client_factory(config.http_client)
            job = job_of(
                config,
                self.sharding,
                type_and_unit_labels=self._type_and_unit_labels,
                zero_at_start=self._zero_at_start,
            )
            self._pools.put(job, client)
            providers = Providers(config.sd_configs, self._env, partial(self._found, name))
            if known is not None:
                providers.take_over(known.providers)
            task = self._tasks.start(providers.run, f"discovery {name}")
            self._jobs[name] = _Running(config, client, providers, task)
        for running in closing:
            running.discovering.cancel()
        for running in closing:
            await self._pools.taken_over(running.config.job_name)  # until then scrapes use its client
            await running.client.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        for running in self._jobs.values():
            await running.client.aclose()

    async def scrapes_done(self, ts: int) -> bool:
        """Wait until the scrapes of all moments up to `ts` are over, at most the longest scrape timeout."""
        return await self._pools.scrapes_done(ts)

    def __iter__(self) -> Iterator[ScrapePool]:
        """The pools, one a job."""
        return iter(self._pools)

    def metadata(self) -> dict[str, FamilyMetadata]:
        """TYPE, HELP and UNIT by metric family, as the targets' last scrapes had them."""
        return {name: meta for s in self._scrapers() for name, meta in s.cache.metadata().items()}

    @property
    def target_count(self) -> int:
        """Targets that are scraped."""
        return sum(len(pool.running) for pool in self._pools)

    @property
    def left_to_others(self) -> int:
        """Targets that only other shards scrape."""
        return sum(pool.elsewhere for pool in self._pools)

    @property
    def line_bytes(self) -> int:
        """About the bytes of what is known of all targets' lines."""
        return self._pools.nbytes

    @property
    def complete_since(self) -> int | None:
        """The moment (ms) from which on what is missing is really gone: every discovery has answered and every target
        was scraped twice since the start or the last interruption, for `rate` needs two samples. None before."""
        return self._latest(scraper.complete_since for scraper in self._scrapers())

    @property
    def scraped_since(self) -> int | None:
        """The moment (ms) from which on what is there is true: as `complete_since`, with one scrape of every target."""
        return self._latest(scraper.scraped_since for scraper in self._scrapers())

    @property
    def longest_scrape_ms(self) -> int:
        """The time in which every target that is known is scraped: the longest interval and timeout of a job."""
        return max((r.config.scrape_interval_ms + r.config.scrape_timeout_ms for r in self._jobs.values()), default=0)

    def _scrapers(self) -> Iterator[Scraper]:
        return (scraper for pool in self._pools for scraper in pool.scrapers)

    def _latest(self, moments: Iterable[int | None]) -> int | None:
        """The latest moment; None when a target has none yet, or may not be known yet."""
        latest = 0
        for moment in moments:
            if moment is None:
                return None
            latest = max(latest, moment)
        known = all(running.providers.answered for running in self._jobs.values())
        return latest if known and not any(pool.is_changing for pool in self._pools) else None

    def interrupted(self) -> None:
        """The time jumped: what was scraped before counts no longer as complete."""
        for scraper in self._scrapers():
            scraper.interrupted()

    def target_down(self, labels: Labels) -> bool:
        """Whether a target that series with these labels may come from failed its last scrape: `job` and `instance`
        name it; what of them is absent restricts nothing."""
        job, instance = labels.get(JOB), labels.get(INSTANCE)
        return any(
            status.health is TargetHealth.DOWN
            for pool in self._pools
            for target, status in pool.targets
            if (not job or target.labels.get(JOB) == job) and (not instance or target.labels.get(INSTANCE) == instance)
        )

    def target_states(self) -> TargetStates:
        """How every target stands, by the labels of its series; one that was not scraped yet counts as up."""
        up = {
            (target.labels.get(JOB), target.labels.get(INSTANCE)): status.health is not TargetHealth.DOWN
            for pool in self._pools
            for target, status in pool.targets
        }
        return TargetStates(up, frozenset(self._jobs) | {job for job, _ in up})

    def _found(self, name: str, changes: GroupChanges) -> None:
        if name in self._jobs:
            self._pools.change(name, changes)
