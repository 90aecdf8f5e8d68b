"""The annotations of an alert that is over: what its notification said, from the rule and the history. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from rulepush.errors import EvaluationError
from rulepush.model.labels import ALERT_NAME, Labels
from rulepush.model.sample import Sample
from rulepush.rules.context import RuleContext
from rulepush.rules.specs import AlertingSpec
from rulepush.rules.transition import ChangeReason, Transition
from rulepush.template.alert import AlertTemplateData, expand_alert_template

_IN_RESULT: Final = frozenset((ChangeReason.CONDITION_TRUE, ChangeReason.FOR_ELAPSED, ChangeReason.SEEN_AGAIN))
_FAILED: Final = "<error expanding template"


@dataclass(frozen=True, slots=True)
class LastTexts:
    """`annotations` with the value that the alert had at `ts` (ms); none and 0 where that is not known."""

    annotations: Mapping[str, str] = field(default_factory=dict)
    ts: int = 0


def last_texts(spec: AlertingSpec, labels: Labels, changes: Sequence[Transition], context: RuleContext) -> LastTexts:
    """The texts of the rule, with the value of the newest of `changes` (the newest first) at which its
    condition was true. A text that runs queries is left out: their results of then are not kept."""
    last = next((one for one in changes if one.reason in _IN_RESULT and one.value is not None), None)
    if last is None or last.value is None:
        return LastTexts()
    element = labels.with_({ALERT_NAME: ""})
    data = AlertTemplateData(element, context.external_labels, context.external_url, last.value)
    expanded = {
        name: expand_alert_template(text, data, spec.name, _no_query, last.ts, context.external_url)
        for name, text in spec.annotations
    }
    return LastTexts({name: text for name, text in expanded.items() if not text.startswith(_FAILED)}, last.ts)


def _no_query(_: str) -> list[Sample]:
    raise EvaluationError("not kept")
