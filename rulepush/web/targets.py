"""`/api/v1/targets` and `/api/v1/scrape_pools` with what is below them, and `/api/v1/metadata`.

Source: prometheus web/api/v1/api.go.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import yaml
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rulepush.exposition import FamilyMetadata
from rulepush.model.durations import format_duration
from rulepush.model.timestamps import format_rfc3339
from rulepush.relabel.relabel import RelabelConfig, apply_rule
from rulepush.rules.api import NEVER
from rulepush.scrape.pool import ScrapePool
from rulepush.scrape.scraper import Scraper
from rulepush.scrape.target import shown_labels
from rulepush.web.answers import ApiError, ErrorType, success
from rulepush.web.external_url import ExternalURL
from rulepush.web.params import Params

InThread = Callable[[Callable[[], Any]], Awaitable[Any]]


class TargetsApi:
    """Targets, and the metadata of metrics; `metadata()` has that of pushed and received ones, too."""

    def __init__(
        self,
        jobs: Iterable[ScrapePool],
        metadata: Callable[[], Mapping[str, FamilyMetadata]],
        external_url: ExternalURL,
        config_yaml: Callable[[], str],
        in_thread: InThread,
    ):
        """`config_yaml()` is the configuration in force; `in_thread` runs what reads it, which takes a while."""
        self._config_yaml = config_yaml
        self._in_thread = in_thread
        self._jobs = jobs
        self._external_url = external_url
        self._metadata = metadata

    def routes(self) -> list[Route]:
        """The routes, below /api/v1."""
        return [
            Route("/targets", self.targets, methods=["GET"]),
            Route("/targets/metadata", self.targets_metadata, methods=["GET"]),
            Route("/targets/relabel_steps", self.relabel_steps, methods=["GET"]),
            Route("/scrape_pools", self.scrape_pools, methods=["GET"]),
            Route("/scrape_pools/config", self.scrape_pool_config, methods=["GET"]),
            Route("/metadata", self.metadata, methods=["GET"]),
        ]

    async def targets(self, request: Request) -> Response:
        """Active and dropped targets; `state` and `scrapePool` restrict them."""
        params = await Params.of(request)
        state = params.text("state").lower()
        # As Prometheus: an unknown state shows nothing of either kind.
        data = targets_json(self._jobs, self._external_url, params.text("scrapePool"))
        if state not in ("", "any", "active"):
            data["activeTargets"] = []
        if state not in ("", "any", "dropped"):
            data["droppedTargets"] = []
            data["droppedTargetCounts"] = None
        return success(data)

    async def scrape_pools(self, _: Request) -> Response:
        """The names of the jobs."""
        return success({"scrapePools": sorted(pool.job.name for pool in self._jobs)})

    async def scrape_pool_config(self, request: Request) -> Response:
        """The scrape configuration of one job, as it is in the file; secrets are masked."""
        pool = self._pool(await Params.of(request))
        loaded = await self._in_thread(lambda: yaml.safe_load(self._config_yaml()))
        jobs = (loaded or {}).get("scrape_configs") or []
        found = next((job for job in jobs if isinstance(job, dict) and job.get("job_name") == pool.job.name), None)
        if found is None:  # from a file that scrape_config_files names
            raise ApiError(
                ErrorType.NOT_FOUND, f"the scrape pool {pool.job.name!r} is not in the configuration file itself"
            )
        return success({"yaml": yaml.safe_dump(found, sort_keys=False, allow_unicode=True)})

    async def relabel_steps(self, request: Request) -> Response:
        """What each relabelling rule of a job makes of `labels`, a JSON object."""
        params = await Params.of(request)
        pool = self._pool(params)
        if not params.text("labels"):
            raise ApiError(ErrorType.BAD_DATA, "no labels parameter provided")
        try:
            given = json.loads(params.text("labels"))
            labels = {str(name): value for name, value in given.items() if isinstance(value, str)}
        except (ValueError, AttributeError, RecursionError) as e:
            raise ApiError(ErrorType.BAD_DATA, f"error parsing labels: {e}") from None
        if len(labels) != len(given):
            raise ApiError(ErrorType.BAD_DATA, "error parsing labels: each value must be a string")
        return success({"steps": _relabel_steps(pool.job.relabel_configs, labels)})

    def _pool(self, params: Params) -> ScrapePool:
        name = params.text("scrapePool")
        if not name:
            raise ApiError(ErrorType.BAD_DATA, "no scrapePool parameter provided")
        pool = next((pool for pool in self._jobs if pool.job.name == name), None)
        if pool is None:
            raise ApiError(ErrorType.BAD_DATA, f'error retrieving scrape config: scrape pool "{name}" not found')
        return pool

    async def metadata(self, request: Request) -> Response:
        """Type, help and unit of every metric with metadata."""
        params = await Params.of(request)
        metric, limit = params.text("metric"), params.metadata_limit("limit")
        per_metric = params.metadata_limit("limit_per_metric")
        found: dict[str, list[dict[str, str]]] = {}
        for scraper in self._scrapers():
            for name, meta in scraper.cache.metadata().items():
                if metric and name != metric:
                    continue
                shown, known = _metadata_json(meta), found.setdefault(name, [])
                if shown not in known:
                    known.append(shown)
        for name, meta in self._metadata().items():
            if name not in found and (not metric or name == metric):
                found[name] = [_metadata_json(meta)]  # pushed, or received by remote write
        return success({name: found[name][: per_metric or None] for name in list(found)[:limit]})

    async def targets_metadata(self, request: Request) -> Response:
        """The same by target; `match_target` is a selector on the targets' labels."""
        params = await Params.of(request)
        selectors = params.matchers("match_target")
        metric, limit = params.text("metric"), params.metadata_limit("limit")
        rows: list[dict[str, Any]] = []
        for scraper in self._scrapers():
            labels = scraper.target.labels
            if selectors and not all(m.matches_labels(labels) for m in selectors[0]):
                continue
            for name, meta in scraper.cache.metadata().items():
                if metric and name != metric:
                    continue
                named = {} if metric else {"metric": name}
                rows.append({"target": labels.as_dict(), **named, **_metadata_json(meta)})
        return success(rows[:limit])

    def _scrapers(self) -> list[Scraper]:
        return [scraper for pool in self._jobs for scraper in pool.scrapers]


def targets_json(jobs: Iterable[ScrapePool], external_url: ExternalURL, only_pool: str = "") -> dict[str, Any]:
    """The `data` of /api/v1/targets, of one job or of all."""
    pools = [pool for pool in jobs if not only_pool or pool.job.name == only_pool]
    return {
        "activeTargets": [_active(pool.job.name, scraper, external_url) for pool in pools for scraper in pool.scrapers],
        "droppedTargets": [
            {"discoveredLabels": shown_labels(dropped.discovered).as_dict(), "scrapePool": pool.job.name}
            for pool in pools
            for dropped in pool.dropped
        ],
        "droppedTargetCounts": {pool.job.name: pool.dropped_count for pool in pools},
    }


def _active(pool: str, scraper: Scraper, external_url: ExternalURL) -> dict[str, Any]:
    target, status = scraper.target, scraper.status
    return {
        "discoveredLabels": shown_labels(target.discovered).as_dict(),
        "labels": target.labels.as_dict(),
        "scrapePool": pool,
        "scrapeUrl": target.shown_url,
        "globalUrl": external_url.global_url(target.shown_url),
        "lastError": status.last_error,
        "lastScrape": format_rfc3339(status.last_scrape) if status.last_scrape else NEVER,
        "lastScrapeDuration": status.last_duration_s,
        "health": status.health.value,
        "scrapeInterval": format_duration(target.interval_ms),
        "scrapeTimeout": format_duration(target.timeout_ms),
    }


def _metadata_json(meta: FamilyMetadata) -> dict[str, str]:
    return {"type": meta.type, "help": meta.help, "unit": meta.unit}


def _relabel_steps(configs: Iterable[RelabelConfig], labels: dict[str, str]) -> list[dict[str, Any]]:
    """After the rule that drops the target nothing is left of it."""
    steps, keep, changed = [], True, set[str]()
    for config in configs:
        keep = keep and apply_rule(config, labels, changed)
        steps.append({"rule": _rule_json(config), "output": dict(sorted(labels.items())) if keep else {}, "keep": keep})
    return steps


def _rule_json(config: RelabelConfig) -> dict[str, Any]:
    """As prometheus model/relabel/relabel.go names the fields; what is empty is left out there, too."""
    return {
        **({"source_labels": list(config.source_labels)} if config.source_labels else {}),
        "separator": config.separator,
        "regex": config.regex,
        **({"modulus": config.modulus} if config.modulus else {}),
        **({"target_label": config.target_label} if config.target_label else {}),
        "replacement": config.replacement,
        "action": config.action.value,
    }
