"""Explain: why a rule has the result that it has, and its alerts their states. Pure: samples come through a Querier.

`explain` gives an Explanation: the tree of the expression, each part with its value now; what a comparison dropped and
by how much it missed; which labels kept two sides apart; why a selector has no series, with the knowledge of
`check live`; and for each alert what comes next, or what ended it.
"""

from rulepush.explain.elements import Bounds, Focus
from rulepush.explain.reasons import Reason, ReasonKind
from rulepush.explain.rule import explain
from rulepush.explain.rule_facts import RuleFacts
from rulepush.explain.surroundings import (
    RecordedMetric,
    Surroundings,
    TargetView,
    TransitionView,
)
from rulepush.explain.tree import ExplainedAlert, ExplainedNode, Explanation, MissedRow, ValueRow

__all__ = [
    "Bounds",
    "ExplainedAlert",
    "ExplainedNode",
    "Explanation",
    "Focus",
    "MissedRow",
    "Reason",
    "ReasonKind",
    "RecordedMetric",
    "RuleFacts",
    "Surroundings",
    "TargetView",
    "TransitionView",
    "ValueRow",
    "explain",
]
