"""`/api/v1/rules/explain`: why a rule has its result, and its alerts their states."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rulepush.clock import Clock
from rulepush.errors import EvaluationError, QueryLimitError
from rulepush.http_request import while_connected
from rulepush.promql import Engine
from rulepush.rules.group import EvaluationGroup, Rule
from rulepush.rules.groups import RuleGroups
from rulepush.scrape.pool import ScrapePool
from rulepush.storage.demand_history import KeptView
from rulepush.web.answers import ApiError, ErrorType, success
from rulepush.web.evaluator import QueryEvaluator
from rulepush.web.params import Params
from rulepush.web.snapshot import Snapshot
from rulepush.web.surroundings import surroundings_of

if TYPE_CHECKING:
    from rulepush.explain import Bounds, Explanation, Focus, LastTransition, Surroundings

MAX_RULES: Final = 20  # of one name
MAX_LISTED: Final = 100  # rows of a part
_NEAR: Final = 5


class RuleExplainer:
    """Explains rules in the threads of the queries. `transitions` remembers the last one of each alert."""

    def __init__(
        self,
        evaluator: QueryEvaluator,
        groups: RuleGroups,
        jobs: Iterable[ScrapePool],
        clock: Clock,
        transitions: LastTransition | None = None,
    ):
        self.groups = groups
        self._evaluator = evaluator
        self._jobs = jobs
        self._clock = clock
        self._transitions = transitions

    def find(self, name: str, group: str = "", file: str = "") -> list[tuple[EvaluationGroup, Rule]]:
        """The rules of a name; `file` is a whole path, or the end of one. Raises ApiError where there is none, with
        what is near."""
        rules = [(g, rule) for g in self.groups.all() for rule in g.rules]
        named = [(g, rule) for g, rule in rules if rule.spec.name == name]
        if not named:
            raise ApiError(ErrorType.NOT_FOUND, f"no rule is called {name!r}{_near(name, rules)}")
        found = [(g, r) for g, r in named if group in ("", g.name) and (not file or _is_file(g.file, file))]
        if not found:
            asked = " and ".join(f"{what} {text!r}" for what, text in (("group", group), ("file", file)) if text)
            places = ", ".join(dict.fromkeys(f"group {g.name} of {g.file}" for g, _ in named[:_NEAR]))
            raise ApiError(ErrorType.NOT_FOUND, f"no rule {name!r} in {asked}: it is in {places}")
        if len(found) > MAX_RULES:
            text = f"{len(found)} rules are called {name!r}: say which with group and file"
            raise ApiError(ErrorType.BAD_DATA, text)
        return found

    async def explain(
        self,
        group: EvaluationGroup,
        rule: Rule,
        *,
        ts: int | None = None,
        focus: Focus | None = None,
        bounds: Bounds | None = None,
        timeout_ms: int = 0,
        asked_at: float | None = None,
    ) -> Explanation:
        """One rule, now unless `ts` (ms) says otherwise. Raises QueryLimitError and EvaluationError."""
        from dataclasses import replace

        from rulepush.explain import Bounds, Focus, RuleFacts, explain

        facts = RuleFacts.of(group, rule)
        at = self._clock.now() if ts is None else ts
        query = facts.query.resolved(0, 0)
        around: Callable[[], Surroundings] = await surroundings_of(query, self._jobs, self.groups, self._evaluator)

        def evaluate(engine: Engine, data: Snapshot, _: KeptView) -> Explanation:
            return explain(
                facts,
                engine,
                data,
                at,
                replace(around(), transitions=self._transitions),
                focus=focus or Focus({}),
                bounds=bounds or Bounds(),
                lookback_ms=engine.options.lookback_delta_ms,
            )

        return await self._evaluator.evaluated(query, at - facts.query_offset_ms, evaluate, timeout_ms, asked_at)


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

        async def explained() -> list[dict[str, Any]]:
            return [
                explanation_json(
                    await self._explainer.explain(
                        group,
                        rule,
                        ts=None if ts < 0 else ts,
                        focus=focus,
                        bounds=bounds,
                        timeout_ms=timeout_ms,
                        asked_at=asked_at,
                    )
                )
                for group, rule in self._explainer.find(name, params.text("group"), params.text("file"))
            ]

        try:
            return success({"rules": await while_connected(request, explained())})
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


def _is_file(path: str, asked: str) -> bool:
    return path == asked or path.endswith("/" + asked.lstrip("/"))


def _near(name: str, rules: list[tuple[EvaluationGroup, Rule]]) -> str:
    """`; did you mean A or B?`"""
    names = list(dict.fromkeys(rule.spec.name for _, rule in rules))
    if not names:
        return ": there are no rules"
    lower = {known.lower(): known for known in names}
    near = [lower[low] for low in difflib.get_close_matches(name.lower(), lower, n=_NEAR, cutoff=0.5)]
    near += [known for known in names if name.lower() in known.lower() and known not in near]
    return f": did you mean {' or '.join(near[:_NEAR])}?" if near else f": there are {len(names)} others"
