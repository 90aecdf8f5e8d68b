"""Rules of a datasource against its engine: each is asked once, and what finds nothing is explained as far as the
engine can tell."""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from rulepush.errors import DatasourceError, EvaluationError
from rulepush.livecheck.analyse import EngineReport, RuleReport
from rulepush.livecheck.finding import Finding, FindingKind, Level, note, problem
from rulepush.livecheck.firing import fires_now
from rulepush.livecheck.rules import LiveRule
from rulepush.livecheck.trees import Ancestors, metric_of, selectors
from rulepush.model.labels import METRIC_NAME, quote_label_value
from rulepush.model.matcher import Matcher, MatchOp, selector_text
from rulepush.promql.query import DEFAULT_LOOKBACK_MS
from rulepush.promql.syntax import ast
from rulepush.rules.asking import Answer, Question
from rulepush.rules.specs import result_fault

WITHIN_S: Final = 30.0
_LISTED: Final = 8
_WRITTEN_BY_RULES: Final = frozenset(("ALERTS", "ALERTS_FOR_STATE"))


class AskedEngine(Protocol):
    """An engine elsewhere."""

    async def ask(self, question: Question, within_s: float) -> Answer: ...
    async def label_values(self, label: str, selector: str, within_s: float) -> list[str]:
        """Those in the series of `selector`, of all series for "". Raises DatasourceError."""
        ...


async def check_on_engine(name: str, url: str, rules: Sequence[LiveRule], engine: AskedEngine, ts: int) -> EngineReport:
    """Ask every rule at `ts` (ms)."""
    reachable = await engine.ask(Question("vector(1)", ts), WITHIN_S)
    if isinstance(reachable, DatasourceError):
        return EngineReport(name, url, (), str(reachable))
    looking = _Looking(engine, ts, frozenset(rule.name for rule in rules if not rule.alert))
    return EngineReport(name, url, tuple(await asyncio.gather(*(looking.report(rule) for rule in rules))))


class _Looking:
    """`recorded` are the metrics that the rules themselves write."""

    def __init__(self, engine: AskedEngine, ts: int, recorded: frozenset[str]):
        self._engine = engine
        self._ts = ts
        self._recorded = recorded
        self._names: asyncio.Task[list[str]] | None = None

    async def report(self, rule: LiveRule) -> RuleReport:
        if fault := result_fault(rule.query):
            return RuleReport(rule, (problem(FindingKind.FAILS, f"it fails at every evaluation: {fault}"),))
        answer = await self._engine.ask(Question(rule.query.text, self._ts), WITHIN_S)
        if isinstance(answer, EvaluationError):
            return RuleReport(rule, (problem(FindingKind.FAILS, f"the engine gives no result: {answer}"),))
        if answer:
            return RuleReport(rule, (fires_now(rule, answer),) if rule.alert else ())
        found = [
            f for selector, above in selectors(rule.query.root) for f in await self._missing(rule, selector, above)
        ]
        if rule.optional:
            found = [Finding(f.kind, Level.NOTE, f.message, f.suggestion) for f in found]
        return RuleReport(rule, tuple(dict.fromkeys(found)))

    async def _missing(self, rule: LiveRule, selector: ast.VectorSelector, above: Ancestors) -> list[Finding]:
        """Why a selector of a rule without result finds nothing; none when it finds something."""
        metric = metric_of(selector)
        written = metric in self._recorded or metric in _WRITTEN_BY_RULES
        if written or await self._exists(rule, selector.matchers):
            return []
        try:
            found = await self._reasons(metric, selector)
        except DatasourceError as e:
            found = [problem(FindingKind.NO_SUCH_SERIES, f"nothing matches {selector}; why is not known: {e}")]
        expected = await self._is_expected(rule, above)
        return [note(f.kind, f.message, f.suggestion) for f in found] if expected else found

    async def _exists(self, rule: LiveRule, matchers: tuple[Matcher, ...]) -> bool:
        """Whether there is a sample where the rule looks for it."""
        back = [use.lookback_ms for use in rule.query.selectors() if use.matchers == matchers]
        lookback = max([DEFAULT_LOOKBACK_MS, *back])
        text = f"count(count_over_time({selector_text(matchers)}[{lookback}ms]))"
        answer = await self._engine.ask(Question(text, self._ts), WITHIN_S)
        return isinstance(answer, EvaluationError) or bool(answer)

    async def _reasons(self, metric: str | None, selector: ast.VectorSelector) -> list[Finding]:
        if metric is None:
            return [problem(FindingKind.NO_SUCH_SERIES, f"nothing matches {selector}")]
        names = await self._metric_names()
        if metric not in names:
            longer = [name for name in names if name.startswith(f"{metric}_")]
            near = longer or difflib.get_close_matches(metric, names, n=3, cutoff=0.75)
            advice = f"Did you mean {' or '.join(near[:3])}?" if near else ""
            return [problem(FindingKind.UNKNOWN_METRIC, f"the engine has no metric {metric}", advice)]
        asked = [m for m in selector.matchers if m.name != METRIC_NAME and not m.matches_empty]
        found = [f for m in asked if (f := await self._value(metric, m)) is not None]
        if found:
            return found
        if not asked:
            text = f"{metric} has no samples lately, and had some: its targets may be gone"
            return [problem(FindingKind.NO_SUCH_SERIES, text)]
        conditions = ", ".join(map(str, asked))
        return [
            problem(FindingKind.NO_SUCH_SERIES, f"no series of {metric} with samples lately has all of {conditions}")
        ]

    async def _value(self, metric: str, matcher: Matcher) -> Finding | None:
        values = await self._engine.label_values(matcher.name, selector_text((_named(metric),)), WITHIN_S)
        if any(matcher.matches(value) for value in values):
            return None
        if not values:
            return problem(
                FindingKind.UNKNOWN_LABEL, f"{metric} has no label {matcher.name}, so {matcher} matches nothing"
            )
        listed = ", ".join(map(quote_label_value, values[:_LISTED])) + (", ..." if len(values) > _LISTED else "")
        near = difflib.get_close_matches(matcher.value, values, n=2, cutoff=0.6)
        advice = f"Did you mean {' or '.join(f'{matcher.name}={quote_label_value(v)}' for v in near)}?" if near else ""
        text = f"{metric} has no {matcher}; {matcher.name} is one of {listed}"
        return problem(FindingKind.UNKNOWN_VALUE, text, advice)

    async def _metric_names(self) -> list[str]:
        """Asked once, for all rules."""
        if self._names is None:
            self._names = asyncio.ensure_future(self._engine.label_values(METRIC_NAME, "", WITHIN_S))
        return await self._names

    async def _is_expected(self, rule: LiveRule, above: Ancestors) -> bool:
        """Whether the rule expects that nothing is there: in absent(), right of `unless`, or as an alternative (`or`)
        of what is there."""
        for parent, side in above:
            match parent:
                case ast.Call("absent" | "absent_over_time"):
                    return True
                case ast.Binary("unless") if side == 1:
                    return True
                case ast.Binary("or", lhs, rhs):
                    other: Iterable[ast.VectorSelector] = (s for s, _ in selectors(rhs if side == 0 else lhs))
                    if all([await self._exists(rule, s.matchers) for s in other]):
                        return True
                case _:
                    pass
        return False


def _named(metric: str) -> Matcher:
    return Matcher(METRIC_NAME, MatchOp.EQUAL, metric)
