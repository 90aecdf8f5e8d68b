"""Templates of alert labels and annotations: what rules call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from rulepush.gotext.builtins import BUILTINS
from rulepush.gotext.errors import TemplateError
from rulepush.gotext.limits import TemplateLimits
from rulepush.gotext.template import Template
from rulepush.gotext.values import STRING_MAP, GoKind, GoMap, GoObject, GoType
from rulepush.model.labels import Labels
from rulepush.model.sample import Sample
from rulepush.template.histogram import TemplateHistogram
from rulepush.template.prometheus import BOUND_NAMES, STATIC_FUNCTIONS, bound_prometheus_functions

PREFIX: Final = (
    "{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}{{$externalURL := .ExternalURL}}{{$value := .Value}}"
)
"""What Prometheus puts before the text of each label and annotation, on the same line."""
_LIMITS: Final = TemplateLimits()
_FUNCTIONS: Final = {**BUILTINS, **STATIC_FUNCTIONS, **BOUND_NAMES}
_DATA_TYPE: Final = GoType(
    "struct { Labels map[string]string; ExternalLabels map[string]string; ExternalURL string; Value interface {} }",
    GoKind.STRUCT,
)


@dataclass(frozen=True, slots=True)
class AlertTemplateData:
    """What a template sees of an alert.

    `labels` are those of the expression's element, its metric name included, as Prometheus gives them; `value` is its
    value, a number or a native histogram.
    """

    labels: Labels
    external_labels: Labels
    external_url: str
    value: float | TemplateHistogram


class _Data(GoObject):
    TYPE = _DATA_TYPE
    INTERFACE_FIELDS = frozenset({"Value"})

    def __init__(self, data: AlertTemplateData):
        self._fields: dict[str, object] = {
            "Labels": GoMap(data.labels.as_dict(), STRING_MAP),
            "ExternalLabels": GoMap(data.external_labels.as_dict(), STRING_MAP),
            "ExternalURL": data.external_url,
            "Value": data.value,
        }

    def fields(self) -> Mapping[str, object]:
        return self._fields


def expand_alert_template(
    text: str,
    data: AlertTemplateData,
    name: str,
    query: Callable[[str], Sequence[Sample]],
    ts: int,
    external_url: str,
) -> str:
    """The text of a label or annotation. Never raises for what a template does: an error becomes the text.

    `name` is the alert's; `query` evaluates PromQL at `ts` (milliseconds) and may raise any RulepushError.
    """
    if "{{" not in text:
        return text
    full_name = f"__alert_{name}"
    try:
        template = parsed_alert_template(text, full_name)
    except TemplateError as e:
        return f"<error expanding template: error parsing template {full_name}: {e}>"
    values = _Data(data)
    functions = bound_prometheus_functions(query, ts, external_url)
    try:
        return template.execute(values, _LIMITS, functions)
    except TemplateError as e:
        return f"<error expanding template: error executing template {full_name}: {e}>"


def check_alert_template(text: str, name: str = "") -> None:
    """Find what can be found before an alert fires: syntax, unknown functions, unknown variables.

    Raises TemplateSyntaxError (a TemplateError) with Go's text, `template: __alert_<name>:<line>: ...`, and `.line`.
    """
    if "{{" in text:
        parsed_alert_template(text, f"__alert_{name}")


@lru_cache(maxsize=8192)
def parsed_alert_template(text: str, name: str) -> Template:
    """The template of a text, with the variables and functions that alerts have. Raises TemplateSyntaxError."""
    return Template.parse(text, _FUNCTIONS, name, PREFIX)
