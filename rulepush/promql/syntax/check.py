"""The type checks of Prometheus' parser (promql/parser/parse.go), with its messages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from rulepush.errors import ParseError
from rulepush.model.labels import METRIC_NAME
from rulepush.promql.syntax import ast
from rulepush.promql.syntax.ast import Card
from rulepush.promql.syntax.duration_grammar import Amount
from rulepush.promql.syntax.lexer import Lexeme, error
from rulepush.promql.syntax.signature import DeclaredFunction, ValueType
from rulepush.promql.syntax.strings import printable

_SCALAR, _VECTOR = ValueType.SCALAR, ValueType.VECTOR
_MODIFIABLE: Final = "an instant vector selector or range vector selector or a subquery"


# The arguments that become (part of) a label value, and so must be valid UTF-8.
_TEXT_ARGUMENT: Final = {"label_replace": 2, "label_join": 2}


def _valid_text(arg: ast.Node) -> ast.Node:
    return ast.Str(printable(arg.value), pos=arg.pos) if isinstance(arg, ast.Str) else arg


class Checker:
    """Builds the nodes that need checking. Every method raises ParseError."""

    def __init__(self, text: str, functions: Mapping[str, DeclaredFunction]):
        self._text = text
        self._functions = functions
        self._loose: list[ast.VectorSelector] = []

    def _error(self, pos: int, message: str) -> ParseError:
        return error(self._text, pos, message)

    def _expect(self, node: ast.Node, wanted: ValueType, context: str) -> None:
        if node.type is not wanted:
            message = f"expected type {wanted.described} in {context}, got {node.type.described}"
            raise self._error(node.pos, message)

    def unary(self, node: ast.Unary) -> ast.Node:
        if node.type not in (_SCALAR, _VECTOR):
            message = "unary expression only allowed on expressions of type scalar or instant vector, got "
            raise self._error(node.pos, f'{message}"{node.type.described}"')
        return node

    def binary(
        self,
        op: str,
        token: Lexeme,
        lhs: ast.Node,
        rhs: ast.Node,
        return_bool: bool,
        matching: ast.Matching,
        given: bool,
    ) -> ast.Node:
        """`given`: whether on or ignoring was written."""
        both_vectors = lhs.type is _VECTOR and rhs.type is _VECTOR
        both_scalars = lhs.type is _SCALAR and rhs.type is _SCALAR
        is_set = op in ast.SET_OPERATORS
        if return_bool and op not in ast.COMPARISONS:
            raise self._error(token.pos, "bool modifier can only be used on comparison operators")
        if op in ast.COMPARISONS and not return_bool and both_scalars:
            raise self._error(token.pos, "comparisons between scalars must use BOOL modifier")
        clash = set(matching.labels) & set(matching.include)
        if matching.on and clash:
            name = next(n for n in matching.labels if n in clash)
            raise self._error(token.pos, f'label "{name}" must not occur in ON and GROUP clause at once')
        for side in (lhs, rhs):
            if side.type not in (_SCALAR, _VECTOR):
                raise self._error(side.pos, "binary expression must contain only scalar and instant vector types")
        if not both_vectors:
            if given:
                raise self._error(token.pos, "vector matching only allowed between instant vectors")
            if is_set:
                raise self._error(token.pos, f'set operator "{op}" not allowed in binary scalar expression')
            if matching.fill_left is not None or matching.fill_right is not None:
                raise self._error(token.pos, "filling in missing series only allowed between instant vectors")
            return ast.Binary(op, lhs, rhs, None, return_bool, pos=lhs.pos)
        if is_set:
            if matching.card in (Card.MANY_TO_ONE, Card.ONE_TO_MANY):
                raise self._error(token.pos, f'no grouping allowed for "{op}" operation')
            if matching.fill_left is not None or matching.fill_right is not None:
                raise self._error(token.pos, "filling in missing series not allowed for set operators")
            matching = replace(matching, card=Card.MANY_TO_MANY)
        return ast.Binary(op, lhs, rhs, matching, return_bool, pos=lhs.pos)

    def aggregate(
        self, token: Lexeme, args: tuple[ast.Node, ...], grouping: tuple[str, ...], without: bool
    ) -> ast.Node:
        op = token.word
        if not args:
            raise self._error(token.pos, "no arguments for aggregate expression provided")
        wanted = 2 if op in ast.PARAMETRIC else 1
        if len(args) != wanted:
            message = f"wrong number of arguments for aggregate expression provided, expected {wanted}, got {len(args)}"
            raise self._error(token.pos, message)
        expr, param = args[-1], args[0] if wanted == 2 else None
        self._expect(expr, _VECTOR, "aggregation expression")
        if param is not None:
            expected = ValueType.STRING if op == "count_values" else _SCALAR
            self._expect(param, expected, "aggregation parameter")
        return ast.Aggregate(op, expr, param, grouping, without, pos=token.pos)

    def call(self, token: Lexeme, args: tuple[ast.Node, ...]) -> ast.Node:
        name = token.text
        signature = self._functions[name].signature
        types, given = signature.arg_types, len(args)
        context = f'call to "{name}"'
        if signature.variadic == 0:
            if given != len(types):
                raise self._error(token.pos, f"expected {len(types)} argument(s) in {context}, got {given}")
        else:
            least = len(types) - 1
            if given < least:
                raise self._error(token.pos, f"expected at least {least} argument(s) in {context}, got {given}")
            most = least + signature.variadic
            if signature.variadic > 0 and given > most:
                raise self._error(token.pos, f"expected at most {most} argument(s) in {context}, got {given}")
        if name == "info" and given > 1:
            args = (args[0], self._info_selector(args[1]))
        if name in _TEXT_ARGUMENT:
            args = tuple(_valid_text(arg) if i == _TEXT_ARGUMENT[name] else arg for i, arg in enumerate(args))
        for i, arg in enumerate(args):
            self._expect(arg, types[min(i, len(types) - 1)], f'call to function "{name}"')
        return ast.Call(name, args, signature.returns, pos=token.pos)

    def _info_selector(self, arg: ast.Node) -> ast.Node:
        self._expect(arg, _VECTOR, 'call to function "info"')
        if not isinstance(arg, ast.VectorSelector) or arg.name:
            raise self._error(arg.pos, "expected label selectors only, got vector selector instead")
        self._loose = [node for node in self._loose if node is not arg]
        return arg

    def matrix(self, node: ast.Node, opening: Lexeme, span: Amount) -> ast.Node:
        if not isinstance(node, ast.VectorSelector):
            raise self._error(opening.pos, "ranges only allowed for vector selectors")
        if node.offset_ms or node.offset_expr is not None:
            raise self._error(opening.pos, "no offset modifiers allowed before range")
        if node.at is not None:
            raise self._error(opening.pos, "no @ modifiers allowed before range")
        return ast.MatrixSelector(node, *span, pos=node.pos)

    def subquery(self, node: ast.Node, span: Amount, step: Amount | None) -> ast.Node:
        if node.type is not _VECTOR:
            message = f"subquery is only allowed on instant vector, got {node.type.described} instead"
            raise self._error(node.pos, message)
        step_ms, step_expr = step or (None, None)
        return ast.Subquery(node, span[0], step_ms, range_expr=span[1], step_expr=step_expr, pos=node.pos)

    def modified(
        self, node: ast.Node, token: Lexeme, *, offset: Amount | None = None, at: int | ast.At | None = None
    ) -> ast.Node:
        """`node` with an offset, or with an @ time."""
        what = "offset" if at is None else "@"
        target = node.selector if isinstance(node, ast.MatrixSelector) else node
        if not isinstance(target, ast.VectorSelector | ast.Subquery):
            raise self._error(node.pos, f"{what} modifier must be preceded by {_MODIFIABLE}")
        changed: ast.VectorSelector | ast.Subquery
        if offset is not None:
            if target.offset_ms or target.offset_expr is not None:
                raise self._error(node.pos, "offset may not be set multiple times")
            changed = replace(target, offset_ms=offset[0], offset_expr=offset[1])
        else:
            if target.at is not None:
                raise self._error(node.pos, "@ <timestamp> may not be set multiple times")
            changed = replace(target, at=at)
        if isinstance(node, ast.MatrixSelector):
            assert isinstance(changed, ast.VectorSelector)
            return replace(node, selector=changed)
        return changed

    def extended(self, node: ast.Node, extended: ast.Extended) -> ast.Node:
        """`node` anchored or smoothed."""
        if isinstance(node, ast.Subquery):
            raise self._error(node.pos, f"{extended.value} modifier is not supported for subqueries")
        target = node.selector if isinstance(node, ast.MatrixSelector) else node
        if not isinstance(target, ast.VectorSelector):
            raise self._error(node.pos, f"{extended.value} modifier not implemented")
        if target.extended not in (None, extended):
            raise self._error(node.pos, "anchored and smoothed modifiers cannot be used together")
        changed = replace(target, extended=extended)
        return replace(node, selector=changed) if isinstance(node, ast.MatrixSelector) else changed

    def selector(self, node: ast.Node) -> ast.Node:
        """A complete selector: it must not name its metric twice, and (unless info() takes it) not select all."""
        target = node.selector if isinstance(node, ast.MatrixSelector) else node
        if isinstance(target, ast.VectorSelector):
            if target.name:
                for matcher in target.matchers[:-1]:
                    if matcher.name == METRIC_NAME:
                        message = f'metric name must not be set twice: "{target.name}" or "{matcher.value}"'
                        raise self._error(target.pos, message)
            if all(m.matches_empty for m in target.matchers):
                self._loose.append(target)
        return node

    def finish(self, node: ast.Node) -> ast.Node:
        """The whole expression. What selects everything was let through until now."""
        if self._loose:
            message = "vector selector must contain at least one non-empty matcher"
            raise self._error(self._loose[0].pos, message)
        return node
