"""Walks the trees of a parsed template over some data: text, structures, and templates that call templates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rulepush.gotext.errors import TemplateExecError, TemplateLimitError
from rulepush.gotext.evaluation import PipelineEvaluator
from rulepush.gotext.gofmt import format_printed, go_format_value
from rulepush.gotext.goquote import go_quote
from rulepush.gotext.limits import ExecutionBudget, TemplateLimits
from rulepush.gotext.nodes import (
    ActionNode,
    BreakNode,
    ContinueNode,
    IfNode,
    ListNode,
    Node,
    RangeNode,
    TemplateNode,
    TextNode,
    Tree,
    WithNode,
)
from rulepush.gotext.values import NO_VALUE, CallError, Function, GoKind, GoString, kind_of, truth


class _Break(Exception):
    pass


class _Continue(Exception):
    pass


def execute(
    trees: Mapping[str, Tree], name: str, data: object, functions: Mapping[str, Function], limits: TemplateLimits
) -> str:
    """The output of the template `name`. Raises TemplateError (of Go's text, or about a limit)."""
    tree = trees.get(name)
    if tree is None:
        raise TemplateExecError(f"template: no template {go_quote(name)} associated with template {go_quote(name)}")
    budget = ExecutionBudget(limits)
    _run(trees, tree, data, functions, budget, 0)
    text = "".join(budget.parts)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:  # bytes that are no UTF-8: cut strings, "\xff" constants
        text = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return text


def _run(
    trees: Mapping[str, Tree],
    tree: Tree,
    data: object,
    functions: Mapping[str, Function],
    budget: ExecutionBudget,
    depth: int,
) -> None:
    try:
        _State(trees, tree, data, functions, budget, depth).walk(data, tree.root)
    except RecursionError:
        raise TemplateLimitError(f"template {go_quote(tree.name)} nests too deep") from None


class _State(PipelineEvaluator):
    """One running template, and the loops and branches it is in."""

    # -- structures

    def walk(self, dot: object, node: Node) -> None:
        self._budget.step()
        self._node = node
        if isinstance(node, TextNode):
            self._budget.write(node.text)
        elif isinstance(node, ActionNode):
            value = self._pipeline(dot, node.pipe)
            if not node.pipe.decl:
                self._node = node
                self._budget.write(format_printed(value))
        elif isinstance(node, ListNode):
            self._enter()
            for child in node.nodes:
                self.walk(dot, child)
            self._depth -= 1
        elif isinstance(node, RangeNode):
            self._range(dot, node)
        elif isinstance(node, IfNode | WithNode):
            self._if_or_with(dot, node)
        elif isinstance(node, TemplateNode):
            self._template(dot, node)
        elif isinstance(node, BreakNode):
            raise _Break
        elif isinstance(node, ContinueNode):
            raise _Continue
        else:
            raise self._error(f"unknown node: {node}")

    def _enter(self) -> None:
        self._depth += 1
        if self._depth > self._budget.limits.max_depth:
            raise self._error(f"exceeded maximum template depth ({self._budget.limits.max_depth})")

    def _if_or_with(self, dot: object, node: IfNode | WithNode) -> None:
        mark = len(self._vars)
        value = self._pipeline(dot, node.pipe)
        if truth(value):
            self.walk(value if isinstance(node, WithNode) else dot, node.body)
        elif node.otherwise is not None:
            self.walk(dot, node.otherwise)
        del self._vars[mark:]

    def _template(self, dot: object, node: TemplateNode) -> None:
        tree = self._trees.get(node.name)
        if tree is None:
            raise self._error(f"template {go_quote(node.name)} not defined")
        self._enter()
        data = self._pipeline(dot, node.pipe) if node.pipe is not None else NO_VALUE
        _run(self._trees, tree, data, self._functions, self._budget, self._depth)
        self._depth -= 1

    def _range(self, dot: object, node: RangeNode) -> None:
        outer = len(self._vars)
        value = self._pipeline(dot, node.pipe)
        mark = len(self._vars)
        depth = self._depth
        ran = False
        for index, element in self._elements(node, value):
            ran = True
            self._budget.step()
            self._bind(node, index, element)
            try:
                self.walk(element, node.body)
            except _Continue:
                pass
            except _Break:
                break
            finally:
                self._depth = depth
                del self._vars[mark:]
        if not ran and node.otherwise is not None:
            self.walk(dot, node.otherwise)
        del self._vars[outer:]

    def _elements(self, node: RangeNode, value: object) -> Any:
        """Pairs of index or key, and element."""
        if value is NO_VALUE:
            return ()
        if isinstance(value, str):
            raise self._error(f"range can't iterate over {go_format_value(value)}")
        if isinstance(value, Mapping):
            return sorted(value.items())
        if isinstance(value, Sequence):
            return enumerate(value)
        if kind_of(value) is GoKind.INT and isinstance(value, int):
            if len(node.pipe.decl) > 1:
                raise self._error(f"can't use {go_format_value(value)} to iterate over more than one variable")
            return ((NO_VALUE, i) for i in range(value))
        raise self._error(f"range can't iterate over {go_format_value(value)}")

    def _bind(self, node: RangeNode, index: object, element: object) -> None:
        decl = node.pipe.decl
        if not decl:
            return
        if node.pipe.is_assign:
            self._assign(decl[0].idents[0], index if len(decl) > 1 else element)
            if len(decl) > 1:
                self._assign(decl[1].idents[0], element)
            return
        self._vars[-1] = (self._vars[-1][0], element)
        if len(decl) > 1:
            self._vars[-2] = (self._vars[-2][0], index)

    def _template_text(self, name: str, data: object) -> object:
        """What the function `tmpl` answers: the output of a template as a value, within the same budget."""
        tree = self._trees.get(name)
        if tree is None:
            raise CallError(
                f"template: no template {go_quote(name)} associated with template {go_quote(self._tree.name)}"
            )
        self._enter()
        outer, self._budget.parts = self._budget.parts, []
        try:
            _run(self._trees, tree, data, self._functions, self._budget, self._depth)
            text = "".join(self._budget.parts)
        except TemplateExecError as e:
            raise CallError(str(e)) from None
        finally:
            self._budget.parts = outer
            self._depth -= 1
        return GoString(text)
