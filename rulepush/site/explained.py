"""The explanation of a rule on a page: for `{% from "explain_macros.html" import explanation with context %}`.

view = await explained_view(explainer, file, group, name)      # or with the labels of an alert
{{ explanation(view) }}
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Final

from rulepush.errors import EvaluationError
from rulepush.model.labels import Labels
from rulepush.site.language import Message
from rulepush.web.answers import ApiError
from rulepush.web.explain import RuleExplainer, RunningRule

if TYPE_CHECKING:  # imported when the first explanation is asked for
    from rulepush.explain import ExplainedAlert, Explanation, Reason
    from rulepush.explain.rows import TreeRow

_EXPLAIN: Final = "rulepush.explain.rows"
TIMEOUT_MS: Final = 5_000  # a page is better without an explanation than late


@dataclass(frozen=True, slots=True)
class ExplainedView:
    """What the macros show. `found` is None, and `error` says why, where there is no explanation; `alert` is the one
    whose labels were asked for, as far as the rule remembers it."""

    found: Explanation | None = None
    rows: Sequence[TreeRow] = ()
    alert: ExplainedAlert | None = None
    error: str = ""


async def explained_view(
    explainer: RuleExplainer, file: str, group: str, name: str, alert: Labels | None = None
) -> ExplainedView:
    """The first rule of the name, explained; with the labels of one of its alerts, as far as it is about them. Never
    raises: what keeps it from being explained is shown."""
    try:
        rules = explainer.find(name, group, file)
    except ApiError as e:
        return ExplainedView(error=str(e))
    return await explained_rule(explainer, rules[0], alert)


async def explained_rule(explainer: RuleExplainer, rule: RunningRule, alert: Labels | None = None) -> ExplainedView:
    """This rule, as `explained_view`."""
    if _EXPLAIN not in sys.modules:  # it takes a while, and rules must be evaluated meanwhile
        await asyncio.to_thread(import_module, _EXPLAIN)
    from rulepush.explain import Focus
    from rulepush.explain.rows import tree_rows

    try:
        focus = Focus(_asked(alert)) if alert is not None else None
        found, _ = await explainer.explain(rule, focus=focus, timeout_ms=TIMEOUT_MS)
    except (ApiError, EvaluationError) as e:
        return ExplainedView(error=str(e))
    one = next((a for a in found.alerts if a.labels == alert), None)
    return ExplainedView(found, tree_rows(found), one)


def _asked(alert: Labels) -> Mapping[str, str]:
    return {name: value for name, value in alert if name != "alertname"}


def reason_message(reason: Reason) -> Message:
    """The sentence of a reason, to be said in the reader's language."""
    from rulepush.explain import Reason
    from rulepush.explain.reasons import WORDS

    values = {name: reason_message(v) if isinstance(v, Reason) else v for name, v in reason.values}
    return Message(WORDS[reason.kind], values)
