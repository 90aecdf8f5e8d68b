"""The PromQL of the `query` calls in a template, as far as it is known before the template is executed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from rulepush.gotext.errors import TemplateSyntaxError
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
from rulepush.template.alert import parsed_alert_template

UNKNOWN_TEXT: Final = "rulepush_unknown_text"
"""Stands in an expression for what is known only later."""
UNKNOWN_NUMBER: Final = 7_351_908_264
"""The same for a number, in an expression or a label's value; greater than any that somebody would write."""
_VERB: Final = re.compile(r"%(?:[-+# 0]*\d*(?:\.\d+)?([a-zA-Z])|%)")


@dataclass(frozen=True, slots=True)
class TemplateQueries:
    """What the `query` calls of a text are given, each once and in order.

    `literals` expressions as they stand
    `patterns` those that `printf` makes of a format, with UNKNOWN_TEXT or UNKNOWN_NUMBER in place of its values
    `computed` what others are given, as the template has it
    """

    literals: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    computed: tuple[str, ...] = ()


def template_queries(text: str) -> TemplateQueries:
    """Those of a label or annotation; none for a text that does not parse."""
    if "{{" not in text or "query" not in text:
        return TemplateQueries()
    try:
        template = parsed_alert_template(text, "__alert_")
    except TemplateSyntaxError:
        return TemplateQueries()
    literals, patterns, computed = dict[str, None](), dict[str, None](), dict[str, None]()
    for tree in template.trees.values():
        for command, before in _commands(tree.root):
            if not _calls(command, "query"):
                continue
            given = command.args[1] if len(command.args) > 1 else before
            if isinstance(given, PipeNode) and len(given.commands) == 1:
                given = given.commands[0]
            if isinstance(given, CommandNode) and len(given.args) == 1:
                given = given.args[0]
            if isinstance(given, StringNode):
                literals[given.text] = None
            elif (pattern := _pattern(given)) is not None:
                patterns[pattern] = None
            elif given is not None:
                computed[str(given)] = None
    return TemplateQueries(tuple(literals), tuple(patterns), tuple(computed))


def _pattern(given: Node | CommandNode | None) -> str | None:
    """What `printf FORMAT ...` gives, where the format is a literal."""
    if not isinstance(given, CommandNode) or not _calls(given, "printf") or len(given.args) < 2:
        return None
    form = given.args[1]
    return _VERB.sub(_unknown, form.text) if isinstance(form, StringNode) else None


def _unknown(verb: re.Match[str]) -> str:
    match verb[1]:
        case None:
            return "%"
        case "q":
            return f'"{UNKNOWN_TEXT}"'
        case "d" | "e" | "E" | "f" | "F" | "g" | "G":
            return str(UNKNOWN_NUMBER)
        case _:
            return UNKNOWN_TEXT


def _calls(command: CommandNode, function: str) -> bool:
    head = command.args[0] if command.args else None
    return isinstance(head, IdentifierNode) and head.name == function


def _commands(node: Node) -> Iterator[tuple[CommandNode, CommandNode | None]]:
    """Every command below a node, with the one that is piped into it, if there is one."""
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
        before: CommandNode | None = None
        for command in node.commands:
            yield command, before
            before = command
            for arg in command.args:
                yield from _commands(arg)
    elif isinstance(node, ChainNode):
        yield from _commands(node.node)
