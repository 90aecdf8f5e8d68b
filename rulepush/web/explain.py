"""`/api/v1/rules/explain`: why a rule has its result, and its alerts their states."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rulepush.clock import Clock
from rulepush.errors import EvaluationError, QueryLimitError
from rulepush.http_request import while_connected
from rulepush.model.labels import Labels
from rulepush.promql import Engine
from rulepush.rules.engine_samples import samples_of_engine
from rulepush.rules.group import EvaluationGroup, Rule
from rulepush.rules.groups import RuleGroups
from rulepush.scrape.pool import ScrapePool
from rulepush.storage.selection import Querier
from rulepush.web.answers import ApiError, ErrorType, success
from rulepush.web.evaluator import Lacking, QueryEvaluator
from rulepush.web.params import Params
from rulepush.web.surroundings import surroundings_of

if TYPE_CHECKING:
    from rulepush.explain import Bounds, Explanation, Focus, Surroundings, TransitionView

MAX_RULES: Final = 20  # of one name
MAX_LISTED: Final = 100  # rows of a part
_WITHIN_S: Final = 10.0  # for an answer of a datasource


@dataclass(frozen=True, slots=True)
class RunningRule:
    """A rule and the group that evaluates it."""

    of: EvaluationGroup
    rule: Rule

    @property
    def name(self) -> str:
        """The name of the rule."""
        return self.rule.spec.name

    @property
    def group(self) -> str:
        """The name of the group."""
        return self.of.name

    @property
    def file(self) -> str:
        """The file of the group."""
        return self.of.file


LastTransitions = Callable[[RunningRule], Awaitable[Mapping[Labels, "TransitionView"]]]
"""Gives the last change of each alert of a rule, as far as they are remembered."""


async def _no_transitions(_: RunningRule) -> Mapping[Labels, TransitionView]:
    return {}


class RuleExplainer:
    """Explains rules in the threads of the queries."""

    def __init__(
        self,
        evaluator: QueryEvaluator,
        groups: RuleGroups,
        jobs: Iterable[ScrapePool],
        clock: Clock,
        transitions: LastTransitions = _no_transitions,
    ):
        self.groups = groups
        self._evaluator = evaluator
        self._jobs = jobs
        self._clock = clock
        self._transitions = transitions

    def find(self, name: str, group: str = "", file: str = "") -> list[RunningRule]:
        """The rules of a name; `file` is a whole path, or the end of one. Raises ApiError where there is none, with
        what is near."""
        from rulepush.explain.find import UnknownRule, find_rules

        rules = [RunningRule(g, rule) for g in self.groups.all() for rule in g.rules]
        try:
            found = find_rules(rules, name, group, file)
        except UnknownRule as e:
            raise ApiError(ErrorType.NOT_FOUND, str(e)) from None
        if len(found) > MAX_RULES:
            text = f"{len(found)} rules are called {name!r}: say which with group and file"
            raise ApiError(ErrorType.BAD_DATA, text)
        return found

    async def explain(
        self,
        rule: RunningRule,
        *,
        ts: int | None = None,
        focus: Focus | None = None,
        bounds: Bounds | None = None,
        timeout_ms: int = 0,
        asked_at: float | None = None,
    ) -> tuple[Explanation, Sequence[str]]:
        """One rule, now unless `ts` (ms) says otherwise, and what must be said of samples that are missing for a time
        in the past: now, the rule had no others. Raises QueryLimitError and EvaluationError."""
        from rulepush.explain import Bounds, Focus, RuleFacts, Surroundings, explain

        facts = RuleFacts.of(rule.of, rule.rule)
        transitions = await self._transitions(rule)
        at = self._clock.now() if ts is None else ts
        query = facts.query.resolved(0, 0)
        around: Callable[[], Surroundings] = await surroundings_of(query, self._jobs, self.groups, self._evaluator)

        datasource = rule.of.context.datasource
        if datasource is not None:  # what the targets of this rulepush expose says nothing of what the engine has
            within_s = min(timeout_ms / 1000, _WITHIN_S) if timeout_ms else _WITHIN_S
            head = await samples_of_engine(datasource, query, at - facts.query_offset_ms, within_s)
            known = Surroundings(recorded=around().recorded, transitions=transitions)
            of_engine = partial(
                explain,
                facts,
                self._evaluator.engine,
                head.querier(),
                at,
                known,
                focus=focus or Focus({}),
                bounds=bounds or Bounds(),
            )
            return await self._evaluator.in_thread(of_engine), ()

        def evaluate(engine: Engine, data: Querier, lacking: Lacking) -> tuple[Explanation, Sequence[str]]:
            explanation = explain(
                facts,
                engine,
                data,
                at,
                replace(around(), transitions=transitions),
                focus=focus or Focus({}),
                bounds=bounds or Bounds(),
                lookback_ms=engine.options.lookback_delta_ms,
            )
            return explanation, lacking()

        read_at, now = at - facts.query_offset_ms, ts is None
        found, incomplete = await self._evaluator.evaluated(
            query, read_at, read_at, evaluate, timeout_ms, asked_at, only_kept=now
        )
        return found, () if now else incomplete


class ExplainApi:
    """The route of explanations."""

    def __init__(self, explainer: RuleExplainer, asked_at: Callable[[], float]):
        self._explainer = explainer
        self._asked_at = asked_at

    def routes(self) -> list[Route]:
        """The routes, below /api/v1."""
        return [Route("/rules/explain", self.explain, methods=["GET"])]

    async def explain(self, request: Request) -> Response:
        """All rules called `name`; `group` and `file` say which. `label`=NAME=VALUE, repeated, restricts what is listed
        to what may be about these labels; `limit` is how many rows of each part are listed."""
        from rulepush.explain import Bounds, Focus
        from rulepush.explain.wire import explanation_json

        params, asked_at = await Params.of(request), self._asked_at()
        name = params.text("name")
        if not name:
            raise ApiError(ErrorType.BAD_DATA, 'invalid parameter "name": the name of a rule is needed')
        focus, limit = Focus(_labels(params.texts("label"))), params.limit()
        bounds = Bounds() if limit is None else Bounds(min(limit, MAX_LISTED), min(limit, MAX_LISTED))
        ts = params.optional_time("time", -1)
        timeout_ms = params.duration("timeout", 0)

        async def explained() -> Response:
            rules, incomplete = [], dict[str, None]()
            for rule in self._explainer.find(name, params.text("group"), params.text("file")):
                explanation, lacks = await self._explainer.explain(
                    rule,
                    ts=None if ts < 0 else ts,
                    focus=focus,
                    bounds=bounds,
                    timeout_ms=timeout_ms,
                    asked_at=asked_at,
                )
                rules.append(explanation_json(explanation))
                incomplete |= dict.fromkeys(lacks)
            return success({"rules": rules}, list(incomplete))

        try:
            return await while_connected(request, explained())
        except QueryLimitError as e:
            kind = ErrorType.TIMEOUT if "timed out" in str(e) else ErrorType.EXECUTION
            raise ApiError(kind, str(e)) from e
        except EvaluationError as e:
            raise ApiError(ErrorType.EXECUTION, str(e)) from e


def _labels(texts: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise ApiError(ErrorType.BAD_DATA, f'invalid parameter "label": expected NAME=VALUE, got {text!r}')
        found[name] = value
    return found
