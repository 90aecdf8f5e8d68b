"""The grammar of durations: literals, and the arithmetic that may stand in brackets and after `offset`.

Source: promql/parser/generatedParser.y, the rules positive_duration_expr, offset_duration_expr and duration_expr.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from rulepush.errors import EvaluationError
from rulepush.model.durations import parse_duration
from rulepush.promql.syntax import ast
from rulepush.promql.syntax.cursor import Cursor
from rulepush.promql.syntax.durations import milliseconds, varies
from rulepush.promql.syntax.lexer import MAX_DEPTH, TOO_DEEP, Lexeme, LexemeKind, number_value

MAX_MS: Final = (1 << 63) - 1
_PRECEDENCE: Final = {"+": 4, "-": 4, "*": 5, "/": 5, "%": 5, "^": 6}
_UNARY: Final = 5
_BY_ZERO: Final = {"/": "division by zero", "%": "modulo by zero"}
# Prometheus called the last two min() and max() until it had functions of the longer names.
_CHOICES: Final = {"min_of": "min_of", "max_of": "max_of", "min": "min_of", "max": "max_of"}
_WANTED: Final = "number, duration, step(), or range()"

Amount = tuple[int, ast.DurationExpr | None]
"""Milliseconds, and the expression that they come from; None for a literal. What depends on step() or range() is given
as in an instant query, 0 where it has no value there: `Query.resolved` knows better."""


class DurationGrammar(Cursor):
    """What a parser of PromQL knows of durations."""

    def __init__(self, text: str):
        super().__init__(text)
        self._depth = 0

    def _deeper(self, by: int = 1) -> None:
        self._depth += by
        if self._depth > MAX_DEPTH:
            raise self.error(self.token.pos, TOO_DEEP)

    def _positive_duration(self) -> Amount:
        """A range, or the step of a subquery."""
        return self._amount(self._sum(0, "subquery or range selector"), positive=True)

    def _offset_duration(self) -> Amount:
        """What follows `offset`. A bare literal or call ends there: `x offset 1m + 2` adds 2 to the values. After a
        parenthesis without a sign, the grammar of Prometheus goes on: `x offset (1m) + 2` is an offset of 62 s."""
        token = self.token
        ahead = 1 if self._at_sign() else 0
        following = self.peek(ahead)
        if (
            following.kind in (LexemeKind.NUMBER, LexemeKind.DURATION)
            or self._calls(ahead)
            or (ahead and self.at("(", 1))
        ):
            if ahead:
                self.advance()
            node = self._factor("offset")
            if ahead and token.text == "+" and isinstance(node, ast.DurationExpr):
                node = ast.DurationExpr("+", None, node, self._end(), pos=token.pos)  # it says where the offset ends
            elif ahead:
                node = self._signed(token, node)
        else:
            node = self._sum(0, "offset")
        return self._amount(node, positive=False)

    def _amount(self, node: ast.Node, *, positive: bool) -> Amount:
        if isinstance(node, ast.Number):
            ms = round(node.value * 1000)
            if positive and ms <= 0:
                raise self.error(node.pos, "duration must be greater than 0")
            return ms, None
        assert isinstance(node, ast.DurationExpr)
        try:
            return milliseconds(node, 0, 0, positive=positive), node
        except EvaluationError as e:
            if varies(node):
                return 0, node
            raise self.error(node.pos, str(e).rpartition(": ")[2]) from None

    def _sum(self, lowest: int, context: str) -> ast.Node:
        """duration_expr, by the precedence of its operators."""
        self._deeper()
        token = self.token
        if self._at_sign():
            self.advance()
            node = self._signed(token, self._sum(_UNARY, context))
        else:
            node = self._factor(context)
        chain = 0
        while self.token.kind is LexemeKind.OPERATOR:
            token = self.token
            precedence = _PRECEDENCE.get(token.text, 0)
            if precedence <= lowest:
                break
            self.advance()
            chain += 1
            self._deeper()
            rhs = self._sum(precedence - 1 if token.text == "^" else precedence, context)
            if isinstance(rhs, ast.Number) and rhs.value == 0 and token.text in _BY_ZERO:
                raise self.error(token.pos, _BY_ZERO[token.text])
            node = ast.DurationExpr(token.text, node, rhs, self._end(), pos=node.pos)
        self._depth -= 1 + chain
        return node

    def _factor(self, context: str) -> ast.Node:
        """A literal, a call, or an expression in parentheses."""
        token = self.token
        if token.kind in (LexemeKind.NUMBER, LexemeKind.DURATION):
            return self._literal()
        if self.accept("("):
            inner = self._sum(0, context)
            self.expect(")", context)
            return replace(inner, wrapped=True) if isinstance(inner, ast.DurationExpr) else inner
        if not self._calls(0):
            raise self.unexpected(context, _WANTED)
        word = self.advance().word
        self.advance()
        lhs: ast.Node | None = None
        rhs: ast.Node | None = None
        if word in _CHOICES:
            lhs = self._sum(0, context)
            self.expect(",", context)
            rhs = self._sum(0, context)
        self.expect(")", context)
        return ast.DurationExpr(_CHOICES.get(word, word), lhs, rhs, self._end(), pos=token.pos)

    def _signed(self, sign: Lexeme, node: ast.Node) -> ast.Node:
        if isinstance(node, ast.Number):
            return replace(node, value=-node.value if sign.text == "-" else node.value, pos=sign.pos)
        return ast.DurationExpr("-", None, node, self._end(), pos=sign.pos) if sign.text == "-" else node

    def _at_sign(self) -> bool:
        return self.at("-") or self.at("+")

    def _calls(self, ahead: int) -> bool:
        return self.peek(ahead).word in ("step", "range", *_CHOICES) and self.at("(", ahead + 1)

    def _end(self) -> int:
        last = self.peek(-1)
        return last.pos + len(last.text)

    def _literal(self) -> ast.Number:
        """A DURATION, or a NUMBER, which counts seconds."""
        token = self.advance()
        if token.kind is LexemeKind.NUMBER:
            seconds = number_value(self.text, token)
            if not abs(seconds) < MAX_MS / 1e6 / 1000:
                raise self.error(token.pos, "duration out of range")
            return ast.Number(seconds, pos=token.pos)
        return ast.Number(self._duration_ms(token) / 1000, True, pos=token.pos)

    def _duration_ms(self, token: Lexeme) -> int:
        try:
            return parse_duration(token.text)
        except ValueError as e:
            raise self.error(token.pos, str(e)) from None
