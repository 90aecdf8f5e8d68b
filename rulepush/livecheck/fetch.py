"""The I/O of `check live`: find the targets, and scrape each of them a few times, by the scraper's own code."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import httpx

from rulepush.clock import Clock
from rulepush.config.sections import ScrapeConfig
from rulepush.discovery.groups import Environment, SdConfig, TargetGroup
from rulepush.discovery.known_groups import KnownGroups
from rulepush.discovery.reporter import NO_ANSWER, DiscoveryReporter
from rulepush.discovery.shared import SharedParts
from rulepush.errors import ExpositionError, HTTPStatusError, ProtobufError, ScrapeError
from rulepush.exposition import Exposition, Format, parse_body, translated_body
from rulepush.exposition.content_type import choose_format
from rulepush.exposition.translated import TranslatedBody
from rulepush.histogram.sample import HistogramSample
from rulepush.http_client.build import build_client
from rulepush.livecheck.actuator import actuator_endpoints
from rulepush.livecheck.seen import Scrape, SilentJob, TargetScrapes
from rulepush.model.labels import Labels
from rulepush.model.sample import Sample
from rulepush.nacos.diagnose import (
    ACTUATOR,
    METRICS,
    TargetProblem,
    diagnose_answer,
    diagnose_scrape,
    diagnose_status,
    means_nacos,
)
from rulepush.nacos.version import server_version
from rulepush.scrape.fetch import Fetcher
from rulepush.scrape.job import Job, job_of
from rulepush.scrape.sample_labels import SampleRules, sample_labels
from rulepush.scrape.target import Target, build_targets

# Discoveries that watch after their first list, and how long the server takes to refuse that: who may list may not be
# allowed to watch.
_WATCHING: Final = ("kubernetes",)
_WATCH_SECONDS: Final = 0.5
_UNREACHED: Final = " (is this the right address, and does nothing between here and there keep it away?)"


@dataclass(frozen=True, slots=True)
class Visit:
    """How often to scrape: `times` scrapes, `step_s` seconds apart. `discovery_s` bounds the wait for discoveries."""

    times: int = 1
    step_s: float = 0.0
    discovery_s: float = 10.0


@dataclass(frozen=True, slots=True)
class _Found:
    """A job with its targets; without any, or without some perhaps, `silent` has the reason."""

    config: ScrapeConfig
    job: Job
    targets: Sequence[Target]
    silent: SilentJob | None = None


async def visit_jobs(
    configs: Sequence[ScrapeConfig],
    env: Environment,
    visit: Visit,
    transport: httpx.AsyncBaseTransport | None = None,
) -> tuple[list[TargetScrapes], list[SilentJob]]:
    """Every target of every job, scraped `visit.times` times, and the jobs that have none. `transport` replaces the
    network in tests."""
    found = await asyncio.gather(*(_find(config, env, visit.discovery_s) for config in configs))
    scrapes: dict[tuple[int, int], list[Scrape]] = {}
    clients = [build_client(f.config.http_client, env.user_agent, transport=transport) for f in found]
    fetchers = [
        Fetcher(client, f.job.accept, compression=f.job.compression, body_size_limit=f.job.body_size_limit)
        for client, f in zip(clients, found, strict=True)
    ]
    try:
        for turn in range(visit.times):
            if turn:
                await env.clock.sleep(visit.step_s)
            ts = env.clock.now()
            async with asyncio.TaskGroup() as tasks:
                running = {
                    (j, t): tasks.create_task(_scrape(f, target, clients[j], fetchers[j], ts, env.clock))
                    for j, f in enumerate(found)
                    for t, target in enumerate(f.targets)
                }
            for key, task in running.items():
                scrapes.setdefault(key, []).append(task.result())
    finally:
        for client in clients:
            await client.aclose()
    answers = [
        TargetScrapes(f.job.name, target.url, target.labels, tuple(scrapes[j, t]))
        for j, f in enumerate(found)
        for t, target in enumerate(f.targets)
    ]
    return answers, [f.silent for f in found if f.silent is not None]


async def _find(config: ScrapeConfig, env: Environment, wait_s: float) -> _Found:
    """The targets of a job: the first list of each discovery, nothing from one that does not answer in `wait_s`."""
    job = job_of(config)
    lists = await asyncio.gather(*(first_list(sd, env, wait_s) for sd in config.sd_configs))
    labels = [label_set for found in lists for group in found.groups for label_set in group.merged()]
    targets, dropped = build_targets(labels, job.defaults, job.relabel)
    faults = dict.fromkeys(f"its {found.fault}" for found in lists if found.fault)
    if targets:
        lacking = SilentJob(job.name, "; ".join(faults), in_part=True) if faults else None
        return _Found(config, job, targets, lacking)
    wrong = next((d.error for d in dropped if d.error), "")
    if wrong:
        silent = SilentJob(job.name, f"its targets cannot be scraped: {wrong}")
    elif dropped:
        silent = SilentJob(job.name, f"relabel_configs drop all of its {len(dropped)} targets", meant=True)
    else:
        silent = SilentJob(job.name, "; ".join(faults) or "its discovery is empty")
    return _Found(config, job, (), silent)


@dataclass(frozen=True, slots=True)
class FirstList:
    """What a discovery found; `fault` says which gave no answer, or only a part of one, and why."""

    groups: Sequence[TargetGroup] = ()
    fault: str = ""


async def first_list(config: SdConfig, env: Environment, wait_s: float) -> FirstList:
    """The first list of a discovery, as far as it came in `wait_s` seconds. Where all of it fails for good, such as by
    what the server allows, that is told at once."""
    came = asyncio.Event()

    def failed() -> None:
        if reporter.has_only_lasting_failures:
            came.set()

    reporter = DiscoveryReporter(env.clock, failed)  # its own: whose error it is must be known
    env = replace(env, reporter=reporter, shared=SharedParts())
    known = KnownGroups(lambda _: came.set())
    async with asyncio.TaskGroup() as tasks:
        discovery = tasks.create_task(config.discoverer(env).run(known))
        timer = tasks.create_task(env.clock.sleep(wait_s))
        first = tasks.create_task(came.wait())
        await asyncio.wait((first, timer), return_when=asyncio.FIRST_COMPLETED)
        if known.answered and config.kind in _WATCHING and not reporter.failing():
            await env.clock.sleep(_WATCH_SECONDS)
        errors = [f"{where}: {failing.error}" for where, failing in reporter.failing().items()]  # before they end
        awaited = [
            f"{where}: {what} after {wait_s:g}s{_UNREACHED if what == NO_ANSWER else ''}"
            for where, what in reporter.awaited.items()
        ]
        for task in (discovery, timer, first):
            task.cancel()
    if known.answered:
        fault = f"{config.kind} discovery failed in part: {'; '.join(errors)}" if errors else ""
        return FirstList(list(known.by_source.values()), fault)
    reason = "; ".join((*errors, *awaited)) or f"nothing came within {wait_s:g}s"
    return FirstList(fault=f"{config.kind} discovery gave no answer: {reason}")


async def _scrape(
    found: _Found, target: Target, client: httpx.AsyncClient, fetcher: Fetcher, ts: int, clock: Clock
) -> Scrape:
    """One scrape. `ts` is the same for all targets of a turn, so that rules see them together."""
    started, job = clock.now(), found.job
    if job.target_limit and len(found.targets) > job.target_limit:
        reason = f"target_limit exceeded (number of targets: {len(found.targets)}, limit: {job.target_limit})"
        return Scrape(ts, trouble=diagnose_scrape(target.url, reason))
    try:
        fetched = await fetcher.fetch(target.url, target.timeout_ms)
    except HTTPStatusError as e:
        return Scrape(ts, trouble=await _refused(client, target.url, e.status))
    except ScrapeError as e:
        return Scrape(ts, trouble=diagnose_scrape(target.url, str(e)))
    seconds = (clock.now() - started) / 1000
    trouble = diagnose_answer(target.url, fetched.content_type, fetched.body)
    if trouble is not None:
        return Scrape(ts, trouble=trouble)
    try:
        fmt = choose_format(fetched.content_type, job.fallback)
        made = TranslatedBody(fetched.body)
        if fmt is Format.PROTOBUF or job.defaults.histograms.to_custom_buckets:
            made, fmt = translated_body(fetched.body, fmt, target.histograms(job.defaults.histograms)), Format.PROTOBUF
        parsed = parse_body(made.text, fmt)
        samples = _samples(parsed, made, job.rules, target.labels, ts)
    except (ExpositionError, ProtobufError, ScrapeError) as e:
        return Scrape(ts, trouble=diagnose_scrape(target.url, str(e)))
    limit = job.rules.sample_limit
    if limit and len(samples) > limit:
        reason = f"sample limit exceeded: {len(samples)} samples, sample_limit is {limit}"
        return Scrape(ts, trouble=diagnose_scrape(target.url, reason))
    return Scrape(ts, samples, {n: m.type for n, m in parsed.metadata.items()}, seconds=seconds)


async def _refused(client: httpx.AsyncClient, url: str, status: int) -> TargetProblem:
    """What a status means. Where there are no metrics, the server itself is asked which release it is, or what its
    actuator has."""
    if status != 404:
        return diagnose_status(url, status)
    if means_nacos(url):
        base, found, _ = url.partition(METRICS)
        return diagnose_status(url, status, await server_version(client, base) if found else "")
    base, found, _ = url.partition(ACTUATOR)
    if not found:
        base = urlunsplit((*urlsplit(url)[:2], "", "", ""))
    return diagnose_status(url, status, endpoints=await actuator_endpoints(client, base))


def _samples(
    parsed: Exposition, made: TranslatedBody, rules: SampleRules, target: Labels, ts: int
) -> tuple[Sample, ...]:
    """With their final labels, each series once; histograms are those of `made`. Timestamps in the body do not count
    here. Raises ScrapeError."""
    kept: dict[Labels, Sample] = {}
    for number, sample in enumerate(parsed.samples):
        labels = sample_labels(sample.pairs, target, rules)
        if labels is None or labels in kept:
            continue
        if number in made.faults:
            raise ScrapeError(str(made.faults[number]))
        histogram = made.histograms.get(number)
        kept[labels] = (
            Sample(labels, ts, sample.value) if histogram is None else HistogramSample(labels, ts, 0.0, histogram)
        )
    return tuple(kept.values())


def environment(clock: Clock, user_agent: str) -> Environment:
    """The dependencies of discoveries."""
    return Environment(clock, DiscoveryReporter(), user_agent)
