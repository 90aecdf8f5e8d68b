"""`/backtest`: what a rule would have done in the last hours with another expression, threshold or `for`, beside what
it does as it is."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import yaml
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rulepush.errors import EvaluationError
from rulepush.http_request import while_connected
from rulepush.model.durations import format_duration
from rulepush.rules.group import EvaluationGroup
from rulepush.rules.groups import RuleGroups
from rulepush.rules.specs import AlertingSpec
from rulepush.site.backtest_form import (
    BACKTEST_RANGES,
    BacktestForm,
    ChosenRule,
    RuleChange,
    backtest_form,
    rule_changes,
)
from rulepush.site.backtest_place import RecordedPlace
from rulepush.site.frame import Frame
from rulepush.site.language import Message, message
from rulepush.site.links import backtest_url
from rulepush.site.query import promql_words
from rulepush.web.evaluator import QueryEvaluator

if TYPE_CHECKING:
    from rulepush.site.backtest_run import BacktestChart
    from rulepush.site.backtest_views import BacktestOutcome

MAX_SECONDS: Final = 10.0
MAX_LISTED: Final = 300
_CACHED: Final = 4
_CACHE_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class TriedBacktest:
    """What came of what was asked: an `outcome` with its `chart`, or what is in the way. `elsewhere` are the bounds
    of a recording (ms) that has nothing of the range, `empty` is whether it has nothing at all. `yaml` is the edited
    rule.
    """

    outcome: BacktestOutcome | None = None
    chart: BacktestChart | None = None
    changes: Sequence[RuleChange] = ()
    yaml: str = ""
    seconds: float = 0.0
    error: Message | str = ""
    empty: bool = False
    elsewhere: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class ListedRule:
    """A rule that can be chosen; `url` is a path without prefix."""

    name: str
    about: str
    url: str


@dataclass(frozen=True, slots=True)
class ListedGroup:
    """A group with its alerting rules."""

    name: str
    file: str
    rules: Sequence[ListedRule]


class BacktestPage:
    """`recorded()` is what is read, None where nothing is recorded. One backtest runs at a time, in the thread of a
    query, so that several of them do not keep the event loop from its turns; each waits for `max_seconds` at most, and
    ends after as long."""

    def __init__(
        self,
        frame: Frame,
        groups: RuleGroups,
        evaluator: QueryEvaluator,
        recorded: Callable[[], RecordedPlace | None],
        max_seconds: float = MAX_SECONDS,
    ):
        self._frame = frame
        self._groups = groups
        self._evaluator = evaluator
        self._recorded = recorded
        self._max_seconds = max_seconds
        self._turn = asyncio.Semaphore(1)
        self._cache: OrderedDict[tuple[tuple[str, str], ...], tuple[int, ChosenRule | None, TriedBacktest]] = (
            OrderedDict()
        )

    def routes(self) -> list[Route]:
        """The route of the page."""
        return [Route("/backtest", self.show, methods=["GET"])]

    async def show(self, request: Request) -> Response:
        """The form, and what came of it; 404 where the rule is not in force."""
        given = dict(request.query_params)
        wanted = given.get("rule", "")
        chosen = _chosen(self._groups.all(), given) if wanted else None
        length = sum(map(len, given.values()))
        form = await self._evaluator.in_thread_if_long(length, lambda: backtest_form(given, chosen))
        place, now = self._recorded(), self._frame.clock.now()
        is_unknown = bool(wanted) and chosen is None
        tried = TriedBacktest()
        if place is not None and form.edited is not None and not is_unknown:
            tried = await while_connected(request, self._tried(given, form, place, now))
        groups, more = ([], 0) if chosen is not None else _listed(self._groups.all())
        return await self._frame.page(
            request,
            "backtest.html",
            message("Backtest"),
            "/backtest",
            404 if is_unknown else 200,
            form=form,
            wanted=wanted if is_unknown else "",
            chosen=chosen,
            ranges=list(BACKTEST_RANGES),
            is_recorded=place is not None,
            stopped_since=place.stopped_since if place is not None else None,
            stopped_why=place.error if place is not None else "",
            tried=tried,
            seconds=round(self._max_seconds),
            groups=groups,
            more=more,
            words=promql_words(),
            names=sorted(self._evaluator.metric_sizes()) if form.edited is None or chosen is None else [],
        )

    async def _tried(self, given: dict[str, str], form: BacktestForm, place: RecordedPlace, now: int) -> TriedBacktest:
        """Of an address that was asked within the last minute what came of it then."""
        key = tuple(sorted((name, text) for name, text in given.items() if name != "lang"))
        known = self._cache.get(key)
        if known is not None and 0 <= now - known[0] < _CACHE_MS and known[1] == form.chosen:
            return known[2]
        asked_at = self._evaluator.asked_at()
        try:
            tried = await self._run(form, place, now)
        except EvaluationError as e:
            return TriedBacktest(error=str(e))
        except TimeoutError:
            return TriedBacktest(error=message("Other backtests are running: try again in a moment."))
        tried = replace(tried, seconds=self._evaluator.asked_at() - asked_at)
        if tried.outcome is not None and tried.outcome.reached is None:
            self._cache[key] = now, form.chosen, tried
            while len(self._cache) > _CACHED:
                self._cache.popitem(last=False)
        return tried

    async def _run(self, form: BacktestForm, place: RecordedPlace, now: int) -> TriedBacktest:
        async with asyncio.timeout(self._max_seconds):
            await self._turn.acquire()
        try:
            await place.flush()

            def work(is_over: Callable[[], bool]) -> BacktestOutcome | tuple[int, int] | None:
                from rulepush.site.backtest_run import try_rules  # in the thread: the first time it takes a while

                return try_rules(form, place, now, is_over)

            found = await self._evaluator.bounded(work, self._max_seconds)
        finally:
            self._turn.release()
        if found is None:
            return TriedBacktest(empty=True)
        if isinstance(found, tuple):
            return TriedBacktest(elsewhere=found)
        from rulepush.site.backtest_run import backtest_chart

        chart = await backtest_chart(self._evaluator, form, found)
        chosen, edited = form.chosen, form.edited
        assert edited is not None
        changes = rule_changes(chosen.spec, edited) if chosen is not None else ()
        text = rule_yaml(edited, dict(chosen.group.labels) if chosen is not None else {})
        return TriedBacktest(found, chart, changes, "" if form.same else text)


def _chosen(groups: Sequence[EvaluationGroup], given: dict[str, str]) -> ChosenRule | None:
    """The alerting rule that is meant, of the groups in force."""
    number = int(text) if (text := given.get("number", "1")).isdecimal() and len(text) < 6 else 1
    for group in groups:
        if group.name != given.get("group", group.name) or group.file != given.get("file", group.file):
            continue
        named = [rule.spec for rule in group.alerting_rules if rule.spec.name == given["rule"]]
        if 1 <= number <= len(named):
            spec = replace(group.spec, interval_ms=group.interval_ms, query_offset_ms=group.query_offset_ms)
            return ChosenRule(spec, named[number - 1], number)
    return None


def _listed(groups: Sequence[EvaluationGroup]) -> tuple[list[ListedGroup], int]:
    """The first of the alerting rules, and how many more there are."""
    found: list[ListedGroup] = []
    left, more = MAX_LISTED, 0
    for group in groups:
        rules: list[ListedRule] = []
        seen: dict[str, int] = {}
        alerting = group.alerting_rules
        more += max(0, len(alerting) - left)
        for rule in alerting[:left]:
            name = rule.spec.name
            seen[name] = seen.get(name, 0) + 1
            about = ", ".join(f"{label}={value}" for label, value in rule.spec.labels if label == "severity")
            rules.append(ListedRule(name, about, backtest_url(group.file, group.name, name, seen[name])))
        if rules:
            found.append(ListedGroup(group.name, group.file, rules))
        left -= len(rules)
    return found, more


def rule_yaml(spec: AlertingSpec, group_labels: dict[str, str]) -> str:
    """The rule as an item of `rules` in a rule file. Labels that its group sets stay there."""
    rule: dict[str, object] = {"alert": spec.name, "expr": spec.query.text.strip()}
    if spec.for_ms:
        rule["for"] = format_duration(spec.for_ms)
    if spec.keep_firing_ms:
        rule["keep_firing_for"] = format_duration(spec.keep_firing_ms)
    labels = {name: text for name, text in spec.labels if group_labels.get(name) != text}
    if labels:
        rule["labels"] = labels
    if spec.annotations:
        rule["annotations"] = dict(spec.annotations)
    text: str = yaml.dump([rule], Dumper=_RuleDumper, sort_keys=False, allow_unicode=True, width=1 << 30)
    return text


class _RuleDumper(yaml.SafeDumper):
    """Texts of several lines as blocks."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_RuleDumper.add_representer(str, _text)
