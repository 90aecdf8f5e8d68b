"""The alert that template tests expand for, and its queries."""

from __future__ import annotations

from rulepush.errors import EvaluationError
from rulepush.model.labels import Labels
from rulepush.model.sample import Sample
from rulepush.template import AlertTemplateData, expand_alert_template

DATA = AlertTemplateData(
    Labels({"__name__": "m", "__value__": "sv", "i": "a"}), Labels.of(region="eu"), "http://x.y/pre", 1234567.5
)
TS = 60_000
_SERIES = {
    "m": [
        Sample(Labels({"__name__": "m", "i": "b"}), TS, 11.0),
        Sample(Labels({"__name__": "m", "i": "a", "__value__": "sv"}), TS, 1234567.5),
    ],
    "sum(m)": [Sample(Labels(), TS, 1234578.5)],
    "nope": [],
}


def query(expr: str) -> list[Sample]:
    """What the fake engine answers."""
    if expr not in _SERIES:
        raise EvaluationError(f"cannot evaluate {expr}")
    return _SERIES[expr]


def expand(text: str, data: AlertTemplateData = DATA) -> str:
    """The text of an annotation of the alert A."""
    return expand_alert_template(text, data, "A", query, TS, "http://x.y/pre")
