"""What explanations know beside the samples: copied in the event loop, read in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rulepush.model.sample import Sample
from rulepush.promql import Query
from rulepush.rules.groups import RuleGroups
from rulepush.rules.specs import RecordingSpec
from rulepush.scrape.exposed import ExposedLines
from rulepush.scrape.pool import ScrapePool
from rulepush.scrape.scraper import Scraper
from rulepush.scrape.target import Target, TargetHealth, TargetStatus
from rulepush.web.evaluator import QueryEvaluator

if TYPE_CHECKING:  # imported when somebody asks for an explanation: `check live` is not part of a running service
    from rulepush.explain import Surroundings, TargetView

MAX_LINES: Final = 100_000  # of all targets' bodies, for one explanation
_TARGETS_PER_TURN: Final = 20
_NACOS: Final = "nacos_monitor"  # whose labels tell the release
_NACOS_LINE: Final = b"nacos_monitor{"


@dataclass(frozen=True, slots=True)
class _Scraped:
    target: Target
    status: TargetStatus
    lines: ExposedLines | None


async def surroundings_of(
    query: Query, jobs: Iterable[ScrapePool], groups: RuleGroups, evaluator: QueryEvaluator
) -> Callable[[], Surroundings]:
    """Copies what is needed, with turns of the event loop in between; what is returned makes the Surroundings, in any
    thread."""
    from rulepush.livecheck.trees import metrics_of

    names = metrics_of(query.root) | {_NACOS}
    found: list[_Scraped] = []
    left = MAX_LINES
    for i, scraper in enumerate([scraper for pool in jobs for scraper in pool.scrapers]):
        found.append(_copied(scraper, left))
        left -= scraper.cache.line_count
        if i % _TARGETS_PER_TURN == _TARGETS_PER_TURN - 1:
            await asyncio.sleep(0)
    known = [Sample(labels, 0, 0.0) for labels in evaluator.known_series(names)]
    recording = [(group.name, rule) for group in groups.all() for rule in group.spec.rules]
    recorded = [(name, rule) for name, rule in recording if isinstance(rule, RecordingSpec)]
    return lambda: _made(names, found, known, recorded)


def _copied(scraper: Scraper, left: int) -> _Scraped:
    status = scraper.status
    copy = TargetStatus(
        status.health, status.last_error, status.last_scrape, status.last_duration_s, status.failing_since
    )
    lines = scraper.cache.exposed() if scraper.cache.line_count <= left else None
    return _Scraped(scraper.target, copy, lines)


def _made(
    names: frozenset[str],
    found: list[_Scraped],
    known: list[Sample],
    recorded: list[tuple[str, RecordingSpec]],
) -> Surroundings:
    from rulepush.explain import RecordedMetric, Surroundings
    from rulepush.livecheck import LiveData, Scrape, TargetScrapes
    from rulepush.livecheck.trees import metrics_of

    answers: list[TargetScrapes] = []
    relabelled: set[str] = set()
    met: set[bytes] = set()
    types: dict[tuple[bytes, ...], dict[str, str]] = {}
    for one in found:
        if one.lines is None or not one.lines.keys:  # of a target that is down, the last good body still counts
            continue
        comments = tuple(one.lines.comments)
        if comments not in types:
            types[comments] = {name: family.type for name, family in one.lines.families().items()}
        samples = []
        # Of a Nacos server all names are wanted, for they tell its release.
        is_nacos = any(key.startswith(_NACOS_LINE) for key in one.lines.keys)
        for name, labels in one.lines.series(names, set() if is_nacos else met):
            if labels is None:
                relabelled.add(name)
            else:
                samples.append(Sample(labels, one.status.last_scrape, float("nan")))
        scrape = Scrape(one.status.last_scrape, tuple(samples), types[comments])
        answers.append(TargetScrapes(one.target.job, one.target.shown_url, one.target.labels, (scrape,)))
    return Surroundings(
        targets=tuple(map(_view, found)),
        seen=LiveData(answers, more=known) if answers else None,
        recorded={spec.name: RecordedMetric(spec.name, group, metrics_of(spec.query.root)) for group, spec in recorded},
        relabelled=frozenset(relabelled),
        unread=sum(one.lines is None for one in found),
    )


def _view(one: _Scraped) -> TargetView:
    from rulepush.explain import TargetView

    target, status = one.target, one.status
    down_since = status.failing_since if status.health is TargetHealth.DOWN else 0
    return TargetView(
        target.job, target.shown_url, target.labels, down_since, status.last_error, scraped=status.last_scrape > 0
    )
