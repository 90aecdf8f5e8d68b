"""Templates of alert labels and annotations: what rules call."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from rulepush.gotext.errors import TemplateError, TemplateSyntaxError
from rulepush.gotext.limits import TemplateLimits
from rulepush.gotext.nodes import (
    ActionNode,
    ChainNode,
    CommandNode,
    IdentifierNode,
    IfNode,
    ListNode,
    Node,
    PipeNode,
    RangeNode,
    StringNode,
    TemplateNode,
    WithNode,
)
from rulepush.gotext.template import Template
from rulepush.gotext.values import STRING_MAP, GoKind, GoMap, GoObject, GoType
from rulepush.model.labels import Labels
from rulepush.model.sample import Sample
from rulepush.template.prometheus import BOUND_NAMES, STATIC_FUNCTIONS, bound_prometheus_functions

PREFIX: Final = (
    "{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}{{$externalURL := .ExternalURL}}{{$value := .Value}}"
)
"""What Prometheus puts before the text of each label and annotation, on the same line."""
_LIMITS: Final = TemplateLimits()
_FUNCTIONS: Final = {**STATIC_FUNCTIONS, **BOUND_NAMES}
_DATA_TYPE: Final = GoType(
    "struct { Labels map[string]string; ExternalLabels map[string]string; ExternalURL string; Value interface {} }",
    GoKind.STRUCT,
)


@dataclass(frozen=True, slots=True)
class AlertTemplateData:
    """What a template sees of an alert.

    `labels` are those of the expression's element, its metric name included, as Prometheus gives them; `value` is its
    value.
    """

    labels: Labels
    external_labels: Labels
    external_url: str
    value: float


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
        template = _parsed(text, full_name)
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
        _parsed(text, f"__alert_{name}")


@lru_cache(maxsize=8192)
def _parsed(text: str, name: str) -> Template:
    return Template.parse(text, _FUNCTIONS, name, PREFIX)


def literal_queries(text: str) -> list[str]:
    """The expressions in `query "..."`, as far as they are literals, in order. [] for a text that does not parse."""
    if "{{" not in text or "query" not in text:
        return []
    try:
        template = _parsed(text, "__alert_")
    except TemplateSyntaxError:
        return []
    found: list[str] = []
    for tree in template.trees.values():
        for command, before in _commands(tree.root):
            head = command.args[0] if command.args else None
            if not isinstance(head, IdentifierNode) or head.name != "query":
                continue
            argument = command.args[1] if len(command.args) > 1 else before
            if isinstance(argument, StringNode) and argument.text not in found:
                found.append(argument.text)
    return found


def _commands(node: Node) -> Iterator[tuple[CommandNode, Node | None]]:
    """Every command below a node, with the literal that is piped into it, if there is one."""
    if isinstance(node, ListNode):
        for child in node.nodes:
            yield from _commands(child)
    elif isinstance(node, ActionNode):
        yield from _commands(node.pipe)
    elif isinstance(node, IfNode | WithNode | RangeNode):
        yield from _commands(node.pipe)
        yield from _commands(node.body)
        if node.otherwise is not None:
            yield from _commands(node.otherwise)
    elif isinstance(node, TemplateNode) and node.pipe is not None:
        yield from _commands(node.pipe)
    elif isinstance(node, PipeNode):
        before: Node | None = None
        for command in node.commands:
            yield command, before
            before = command.args[0] if len(command.args) == 1 else None
            for arg in command.args:
                yield from _commands(arg)
    elif isinstance(node, ChainNode):
        yield from _commands(node.node)
