"""The I/O of `check live`: find the targets, scrape each of them a few times."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass

import httpx

from rulepush.clock import Clock
from rulepush.config.sections import ScrapeConfig
from rulepush.discovery.groups import Environment, SdConfig, TargetGroup
from rulepush.discovery.relabel import relabel
from rulepush.errors import ExpositionError, ScrapeError
from rulepush.exposition import Exposition, parse_body
from rulepush.exposition.content_type import PROTOCOL_FORMATS, choose_format
from rulepush.http_client.build import build_client
from rulepush.live.diagnose import diagnose_error, diagnose_status
from rulepush.live.seen import Answer, Scrape, Trouble
from rulepush.model.labels import Labels
from rulepush.model.sample import Sample
from rulepush.scrape.fetch import accept_header
from rulepush.scrape.sample_labels import SampleRules, sample_labels
from rulepush.scrape.target import Target, TargetDefaults, build_targets


@dataclass(frozen=True, slots=True)
class Visit:
    """How often to scrape: `times` scrapes, `step_s` seconds apart. `discovery_s` bounds the wait for discoveries."""

    times: int = 1
    step_s: float = 0.0
    discovery_s: float = 10.0


async def find_targets(job: ScrapeConfig, env: Environment, wait_s: float) -> list[Target]:
    """The targets of a job: the first list of each of its discoveries; one that is silent for `wait_s` finds none."""
    groups: list[TargetGroup] = []
    for found in await asyncio.gather(*(_first_list(config, env, wait_s) for config in job.sd_configs)):
        groups.extend(found)
    defaults = TargetDefaults(
        job_name=job.job_name,
        interval_ms=job.scrape_interval_ms,
        timeout_ms=job.scrape_timeout_ms,
        scheme=job.scheme,
        metrics_path=job.metrics_path,
        params=job.params,
    )
    labels = [label_set for group in groups for label_set in group.merged()]
    targets, _ = build_targets(labels, defaults, lambda found: relabel(found, job.relabel_configs))
    return targets


async def _first_list(config: SdConfig, env: Environment, wait_s: float) -> Sequence[TargetGroup]:
    first: asyncio.Future[Sequence[TargetGroup]] = asyncio.get_running_loop().create_future()

    def publish(groups: Sequence[TargetGroup]) -> None:
        if not first.done():
            first.set_result(groups)

    async with asyncio.TaskGroup() as tasks:
        discovery = tasks.create_task(config.discoverer(env).run(publish))
        timer = tasks.create_task(env.clock.sleep(wait_s))
        await asyncio.wait((first, timer), return_when=asyncio.FIRST_COMPLETED)
        discovery.cancel()
        timer.cancel()
    return first.result() if first.done() else ()


async def visit_jobs(
    jobs: Sequence[ScrapeConfig],
    env: Environment,
    visit: Visit,
    transport: httpx.AsyncBaseTransport | None = None,
) -> list[Answer]:
    """Every target of every job, scraped `visit.times` times. `transport` takes the place of the network in tests."""
    found = [(job, await find_targets(job, env, visit.discovery_s)) for job in jobs]
    scrapes: dict[tuple[int, int], list[Scrape]] = {}
    clients = [build_client(job.http_client, env.user_agent, transport=transport) for job in jobs]
    try:
        for turn in range(visit.times):
            if turn:
                await env.clock.sleep(visit.step_s)
            ts = env.clock.now()
            async with asyncio.TaskGroup() as tasks:
                running = {
                    (j, t): tasks.create_task(_scrape(job, target, clients[j], ts))
                    for j, (job, targets) in enumerate(found)
                    for t, target in enumerate(targets)
                }
            for key, task in running.items():
                scrapes.setdefault(key, []).append(task.result())
    finally:
        for client in clients:
            await client.aclose()
    return [
        Answer(job.job_name, target.url, target.labels, tuple(scrapes[j, t]))
        for j, (job, targets) in enumerate(found)
        for t, target in enumerate(targets)
    ]


async def _scrape(job: ScrapeConfig, target: Target, client: httpx.AsyncClient, ts: int) -> Scrape:
    """One scrape. `ts` is the same for all targets of a turn, so that rules see them together."""
    headers = {"Accept": accept_header(job.scrape_protocols, job.legacy_names)}
    try:
        async with asyncio.timeout(target.timeout_ms / 1000):
            response = await client.get(target.url, headers=headers)
    except TimeoutError:
        seconds = target.timeout_ms / 1000
        return Scrape(ts, trouble=diagnose_error(f"no answer within {seconds:g} s: context deadline exceeded"))
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as e:
        return Scrape(ts, trouble=diagnose_error(_reason(e)))
    content_type = response.headers.get("content-type", "")
    trouble = diagnose_status(target.url, response.status_code, content_type, response.content)
    if trouble is not None:
        return Scrape(ts, trouble=trouble)
    try:
        fallback = PROTOCOL_FORMATS.get(job.fallback_scrape_protocol)
        parsed = parse_body(response.content, choose_format(content_type, fallback))
        return Scrape(ts, _samples(parsed, job, target.labels, ts), {n: m.type for n, m in parsed.metadata.items()})
    except (ExpositionError, ScrapeError) as e:
        return Scrape(ts, trouble=Trouble(str(e), "This scrape would fail whole: `rulepush check metrics` says more."))


def _samples(parsed: Exposition, job: ScrapeConfig, target: Labels, ts: int) -> tuple[Sample, ...]:
    """With their final labels. Timestamps in the body do not count here."""
    rules = SampleRules(
        honor_labels=job.honor_labels, metric_relabel=lambda labels: relabel(labels, job.metric_relabel_configs)
    )
    kept = []
    for sample in parsed.samples:
        labels = sample_labels(sample.pairs, target, rules)
        if labels is not None:
            kept.append(Sample(labels, ts, sample.value))
    return tuple(kept)


def _reason(e: BaseException) -> str:
    """What went wrong beneath httpx, whose own text says less ("All connection attempts failed")."""
    cause: BaseException | None = e
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno:
            # asyncio puts its own text in strerror; a failed look-up has a negative number and a good text.
            return os.strerror(cause.errno).lower() if cause.errno > 0 else str(cause.strerror).lower()
        cause = cause.__cause__ or cause.__context__
    return str(e) or type(e).__name__


def environment(clock: Clock, user_agent: str) -> Environment:
    """What discoveries are built with."""
    from rulepush.discovery.tally import Tally

    return Environment(clock, Tally(), user_agent)
