"""A target that a person names by a URL: the scrape job for it, or the likely ones when the URL has no path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import httpx

from rulepush.config.sections import ScrapeConfig
from rulepush.discovery.groups import Environment
from rulepush.discovery.static import StaticConfig
from rulepush.http_client.config import BasicAuth, HTTPClientConfig
from rulepush.livecheck.fetch import Visit, visit_jobs
from rulepush.livecheck.seen import TargetScrapes
from rulepush.model.labels import EMPTY_LABELS
from rulepush.model.secret import Secret
from rulepush.model.typed_url import typed_url, without_credentials
from rulepush.nacos.diagnose import METRICS, NACOS_PATH, TargetProblem, means_nacos

NACOS_PORT: Final = 8848
_LIKELY: Final = (METRICS, NACOS_PATH, "/metrics")
_LIKELY_OF_NACOS: Final = (NACOS_PATH, METRICS, "/metrics")
_WITHOUT_PORT: Final = (
    "The URL has no port, so that of its scheme was asked: 8080 is the usual one of Spring Boot, 8848 that of Nacos."
)


@dataclass(frozen=True, slots=True)
class NamedTarget:
    """The target and the job that scraped it."""

    job: ScrapeConfig
    answer: TargetScrapes


def target_jobs(url: str, usual_port: int | None = None) -> list[ScrapeConfig]:
    """A job with this one target; without a path one for each that is likely, the likeliest first. Where no port is
    given, what is called "nacos" has that of Nacos, and others have `usual_port`. Raises ValueError when it is not a
    URL."""
    try:
        parts = typed_url(url)
    except ValueError as e:
        shown = without_credentials(url)
        raise ValueError(f"--target: {shown!r} is not a URL such as http://127.0.0.1:8080{METRICS}{e}") from None
    if parts.path not in ("", "/"):
        return [_job(parts, parts.path, usual_port)]
    likely = _LIKELY_OF_NACOS if means_nacos(parts.geturl()) else _LIKELY
    return [_job(parts, path, usual_port) for path in likely]


def _job(parts: SplitResult, path: str, usual_port: int | None) -> ScrapeConfig:
    address = parts.netloc.rpartition("@")[2]
    nacos = means_nacos(parts.geturl())
    port = NACOS_PORT if nacos else usual_port
    if port is not None and parts.port is None and parts.scheme == "http":
        address = f"{address.removesuffix(':')}:{port}"
    credentials = None
    if parts.username is not None:  # which must not appear in a label or in the report
        credentials = BasicAuth(unquote(parts.username), password=Secret(unquote(parts.password or "")))
    params: dict[str, list[str]] = {}
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        params.setdefault(name, []).append(value)
    return ScrapeConfig(
        job_name="nacos" if nacos else parts.hostname or "",
        scrape_interval_ms=15_000,
        scrape_timeout_ms=10_000,
        scheme=parts.scheme,
        metrics_path=path,
        params=tuple((name, tuple(values)) for name, values in params.items()),
        sd_configs=(StaticConfig((address,), EMPTY_LABELS),),
        http_client=HTTPClientConfig(basic_auth=credentials),
    )


async def visit_target(
    jobs: Sequence[ScrapeConfig], env: Environment, visit: Visit, transport: httpx.AsyncBaseTransport | None = None
) -> NamedTarget:
    """The first of the jobs of `target_jobs` that gives metrics, scraped as `visit` says. Where none does, what is
    wrong with the first that is more than not there."""
    found: list[NamedTarget] = []
    if len(jobs) == 1:
        (answer,), _ = await visit_jobs(jobs, env, visit, transport)
        return NamedTarget(jobs[0], _with_trouble(answer, _of_no_answer(answer)))
    for job in jobs:
        (answer,), _ = await visit_jobs([job], env, Visit(), transport)
        found.append(NamedTarget(job, answer))
        if answer.trouble is None:
            if visit.times > 1:
                (answer,), _ = await visit_jobs([job], env, visit, transport)
            return NamedTarget(job, answer)
        if not answer.trouble.message.startswith("HTTP "):
            return NamedTarget(job, _with_trouble(answer, _of_no_answer(answer)))  # so it will be at each path
    there = next((target for target in found if not _not_there(target)), None)
    return there or NamedTarget(jobs[0], _with_trouble(found[0].answer, _of_no_path(found)))


def _not_there(target: NamedTarget) -> bool:
    return target.answer.trouble is not None and target.answer.trouble.message.startswith("HTTP 404")


def _of_no_answer(answer: TargetScrapes) -> TargetProblem | None:
    trouble = answer.trouble
    if trouble is not None and urlsplit(answer.url).port in (None, 80, 443) and trouble.message.endswith("refused"):
        return replace(trouble, suggestion=_WITHOUT_PORT)
    return trouble


def _of_no_path(found: Sequence[NamedTarget]) -> TargetProblem:
    *paths, last = (target.job.metrics_path for target in found)
    first = found[0].answer.trouble or TargetProblem("")
    by_itself = first.suggestion.startswith(("Its actuator", "This is Nacos"))
    suggestion = first.suggestion if by_itself else f"Give the URL with its path. {first.suggestion}"
    return TargetProblem(f"HTTP 404 at {', '.join(paths)} and {last}", suggestion)


def _with_trouble(answer: TargetScrapes, trouble: TargetProblem | None) -> TargetScrapes:
    return replace(answer, scrapes=(*answer.scrapes[:-1], replace(answer.scrapes[-1], trouble=trouble)))
