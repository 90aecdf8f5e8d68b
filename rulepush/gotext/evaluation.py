"""Evaluates pipelines, commands, field chains, calls and arguments of a template: what stands inside an action.

It is pure: what it can do is what the functions and methods it is given do. Source of the rules: the documentation
of text/template; error texts are Go's, with `template: name:line:col: executing "name" at <node>: ...` in front.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from rulepush.gotext.errors import TemplateExecError
from rulepush.gotext.goquote import go_quote
from rulepush.gotext.limits import ExecutionBudget
from rulepush.gotext.nodes import (
    BoolNode,
    ChainNode,
    CommandNode,
    DotNode,
    FieldNode,
    IdentifierNode,
    NilNode,
    Node,
    NumberNode,
    PipeNode,
    StringNode,
    Tree,
    VariableNode,
)
from rulepush.gotext.values import (
    ANY,
    NO_VALUE,
    VALUE,
    CallError,
    Function,
    GoKind,
    GoMap,
    GoObject,
    GoSlice,
    GoType,
    GoValue,
    assignable,
    truth,
    type_of,
    zero_of,
)

_MISSING: Final = object()
"""No value comes from the pipeline, as opposed to one that is nothing."""


_NILABLE: Final = frozenset({GoKind.INTERFACE, GoKind.POINTER, GoKind.MAP, GoKind.SLICE})


def _holds_interfaces(receiver: object, field: str) -> bool:
    """Whether a field's or an element's own type is interface {}: Go's errors then name that."""
    if isinstance(receiver, GoObject):
        return field in receiver.INTERFACE_FIELDS
    return isinstance(receiver, Mapping) and type_of(receiver).elem is ANY


class PipelineEvaluator(ABC):
    """One running template: its variables, and the node an error would name."""

    def __init__(
        self,
        trees: Mapping[str, Tree],
        tree: Tree,
        data: object,
        functions: Mapping[str, Function],
        budget: ExecutionBudget,
        depth: int,
    ):
        self._trees = trees
        self._tree = tree
        self._functions = functions
        self._budget = budget
        self._depth = depth
        self._vars: list[tuple[str, object]] = [("$", data)]
        self._node: Node = tree.root

    def _error(self, message: str) -> TemplateExecError:
        where = self._tree.location(self._node.pos)
        return TemplateExecError(
            f"template: {where}: executing {go_quote(self._tree.name)} at <{self._node}>: {message}"
        )

    def _assign(self, name: str, value: object) -> None:
        for i in range(len(self._vars) - 1, -1, -1):
            if self._vars[i][0] == name:
                self._vars[i] = (name, value)
                return
        raise self._error(f"undefined variable: {name}")

    # -- pipelines and commands

    def _pipeline(self, dot: object, pipe: PipeNode) -> object:
        self._node = pipe
        value: object = _MISSING
        for command in pipe.commands:
            value = self._command(dot, command, value)
            if value is None:  # an interface that holds nothing
                value = NO_VALUE
        for variable in pipe.decl:
            if pipe.is_assign:
                self._assign(variable.idents[0], value)
            else:
                self._vars.append((variable.idents[0], value))
        return value

    def _command(self, dot: object, command: CommandNode, final: object) -> object:
        self._budget.step()
        word = command.args[0]
        if isinstance(word, FieldNode):
            self._node = word
            return self._field_chain(dot, dot, word, word.idents, command.args, final)
        if isinstance(word, VariableNode):
            return self._variable(dot, word, command.args, final)
        if isinstance(word, IdentifierNode):
            return self._function(dot, word, command, command.args, final)
        if isinstance(word, ChainNode):
            return self._chain(dot, word, command.args, final)
        if isinstance(word, PipeNode):
            self._not_a_function(command.args, final)
            return self._pipeline(dot, word)
        self._node = word
        self._not_a_function(command.args, final)
        if isinstance(word, BoolNode):
            return word.value
        if isinstance(word, DotNode):
            return dot
        if isinstance(word, NilNode):
            raise self._error("nil is not a command")
        if isinstance(word, NumberNode):
            return self._ideal(word)
        if isinstance(word, StringNode):
            return word.text
        raise self._error(f"can't evaluate command {go_quote(str(word))}")

    def _not_a_function(self, args: Sequence[Node], final: object) -> None:
        if len(args) > 1 or final is not _MISSING:
            raise self._error(f"can't give argument to non-function {args[0]}")

    def _ideal(self, node: NumberNode) -> int | float:
        self._node = node
        if node.ideal is None:
            raise self._error(f"{node.text} overflows int")
        return node.ideal

    def _variable(self, dot: object, node: VariableNode, args: Sequence[Node], final: object) -> object:
        self._node = node
        name = node.idents[0]
        value = next((v for known, v in reversed(self._vars) if known == name), _MISSING)
        if value is _MISSING:
            raise self._error(f"undefined variable: {name}")
        if len(node.idents) == 1:
            self._not_a_function(args, final)
            return value
        return self._field_chain(dot, value, node, node.idents[1:], args, final)

    def _chain(self, dot: object, node: ChainNode, args: Sequence[Node], final: object) -> object:
        self._node = node
        value = self._argument(dot, None, node.node)
        return self._field_chain(dot, value, node, node.fields, args, final)

    def _field_chain(
        self, dot: object, receiver: object, node: Node, idents: Sequence[str], args: Sequence[Node], final: object
    ) -> object:
        declared: GoType | None = None
        for ident in idents[:-1]:
            inner = self._field(dot, ident, node, (), _MISSING, receiver, declared)
            declared = ANY if _holds_interfaces(receiver, ident) else None
            receiver = inner
        return self._field(dot, idents[-1], node, args, final, receiver, declared)

    def _field(
        self,
        dot: object,
        name: str,
        node: Node,
        args: Sequence[Node],
        final: object,
        receiver: object,
        declared: GoType | None,
    ) -> object:
        """A method, a field, or an element of a map. `declared` is the receiver's type where it is an interface."""
        if receiver is NO_VALUE:
            return NO_VALUE
        if receiver is None:
            raise self._error(f"nil pointer evaluating interface {{}}.{name}")
        if isinstance(receiver, GoValue):
            method = receiver.METHODS.get(name)
            if method is not None:
                return self._call(dot, method, node, name, args, final, (receiver,))
        has_args = len(args) > 1 or final is not _MISSING
        if isinstance(receiver, GoObject):
            fields = receiver.fields()
            if name in fields:
                if has_args:
                    raise self._error(f"{name} has arguments but cannot be invoked as function")
                return fields[name]
        elif isinstance(receiver, Mapping):
            if has_args:
                raise self._error(f"{name} is not a method but has arguments")
            if name in receiver:
                return receiver[name]
            return zero_of(type_of(receiver).elem)
        raise self._error(f"can't evaluate field {name} in type {declared or type_of(receiver)}")

    # -- calls

    def _function(
        self, dot: object, node: IdentifierNode, command: Node, args: Sequence[Node], final: object
    ) -> object:
        self._node = node
        function = self._functions.get(node.name)
        if function is None:
            raise self._error(f"{go_quote(node.name)} is not a defined function")
        return self._call(dot, function, command, node.name, args, final, ())

    def _call(
        self,
        dot: object,
        function: Function,
        node: Node,
        name: str,
        args: Sequence[Node],
        final: object,
        bound: tuple[object, ...],
    ) -> object:
        given = args[1:]
        params = function.params
        count = len(given) + (final is not _MISSING)
        fixed = len(params) - 1 if function.variadic else len(params)
        if function.variadic and count < fixed:
            raise self._error(f"wrong number of args for {name}: want at least {fixed} got {len(given)}")
        if not function.variadic and count != fixed:
            raise self._error(f"wrong number of args for {name}: want {fixed} got {count}")
        if function.short_circuit is not None:
            return self._short_circuit(dot, function.short_circuit, given, final)
        values: list[object] = list(bound)
        for i, arg in enumerate(given):
            values.append(self._argument(dot, params[min(i, len(params) - 1)], arg))
        if final is not _MISSING:
            values.append(self._validate(final, params[min(len(given), len(params) - 1)]))
        self._budget.step(function.cost)
        call = self._template_text if function.runs_template else function.call
        return self._safe_call(call, node, name, values)

    def _short_circuit(self, dot: object, stop_at: bool, given: Sequence[Node], final: object) -> object:
        value: object = NO_VALUE
        for arg in given:
            value = self._argument(dot, VALUE, arg)
            if truth(value) is stop_at:
                return value
        return value if final is _MISSING else final

    def _safe_call(self, call: Callable[..., object], node: Node, name: str, values: list[object]) -> object:
        try:
            result = call(*values)
        except CallError as e:
            self._node = node
            raise self._error(f"error calling {name}: {e}") from None
        for value in values:  # time goes with the size of what a function reads, too
            if isinstance(value, str | GoMap | GoSlice):
                self._budget.step(len(value) // (5000 if isinstance(value, str) else 100))
        if isinstance(result, str):
            self._budget.check_text(result)
        elif isinstance(result, GoMap | GoSlice):
            self._budget.step(len(result))
        return result

    @abstractmethod
    def _template_text(self, name: str, data: object) -> object:
        """What the function `tmpl` answers: the output of a template as a value, within the same budget."""

    # -- arguments

    def _argument(self, dot: object, param: GoType | None, node: Node) -> object:
        """The value of an argument, checked against the parameter's type (None: any, and nothing too)."""
        self._budget.step()
        self._node = node
        if isinstance(node, DotNode):
            return self._validate(dot, param)
        if isinstance(node, NilNode):
            if param is None or param.kind in _NILABLE or param is VALUE:
                return zero_of(param)
            raise self._error(f"cannot assign nil to {param}")
        if isinstance(node, FieldNode):
            return self._validate(self._field_chain(dot, dot, node, node.idents, (node,), _MISSING), param)
        if isinstance(node, VariableNode):
            return self._validate(self._variable(dot, node, (), _MISSING), param)
        if isinstance(node, PipeNode):
            return self._validate(self._pipeline(dot, node), param)
        if isinstance(node, IdentifierNode):
            return self._validate(self._function(dot, node, node, (), _MISSING), param)
        if isinstance(node, ChainNode):
            return self._validate(self._chain(dot, node, (), _MISSING), param)
        return self._constant(param or ANY, node)

    def _constant(self, param: GoType, node: Node) -> object:
        match param.kind:
            case GoKind.BOOL:
                if isinstance(node, BoolNode):
                    return node.value
                raise self._error(f"expected bool; found {node}")
            case GoKind.STRING:
                if isinstance(node, StringNode):
                    return node.text
                raise self._error(f"expected string; found {node}")
            case GoKind.INT | GoKind.UINT8:
                if isinstance(node, NumberNode) and node.as_int is not None:
                    return node.as_int
                raise self._error(f"expected integer; found {node}")
            case GoKind.FLOAT:
                if isinstance(node, NumberNode) and node.as_float is not None:
                    return node.as_float
                raise self._error(f"expected float; found {node}")
        if param.kind is GoKind.INTERFACE or param is VALUE:
            if isinstance(node, BoolNode):
                return node.value
            if isinstance(node, NumberNode):
                return self._ideal(node)
            if isinstance(node, StringNode):
                return node.text
        raise self._error(f"can't handle {node} for arg of type {param}")

    def _validate(self, value: object, param: GoType | None) -> object:
        if value is NO_VALUE:
            if param is None or param is VALUE:
                return value
            if param.kind in _NILABLE:
                return zero_of(param)
            raise self._error(f"invalid value; expected {param}")
        if param is None or assignable(value, param):
            return value
        actual = type_of(value)
        if actual.kind is GoKind.POINTER and actual.elem == param:
            return value
        raise self._error(f"wrong type for value; expected {param}; got {actual}")
