"""The grammar of PromQL: from text to a type-checked tree, as Prometheus' promql/parser/generatedParser.y.

A recursive descent with operator precedence. Every node knows its position: annotations and errors name it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from rulepush.errors import RegexError
from rulepush.model.labels import METRIC_NAME, is_valid_utf8_name
from rulepush.model.matcher import Matcher, MatchOp
from rulepush.promql.syntax import ast
from rulepush.promql.syntax.check import Checker
from rulepush.promql.syntax.duration_grammar import MAX_MS, DurationGrammar
from rulepush.promql.syntax.lexer import (
    KEYWORDS,
    MAX_DEPTH,
    TOO_DEEP,
    Lexeme,
    LexemeKind,
    error,
    number_value,
    string_value,
)
from rulepush.promql.syntax.signature import DeclaredFunction
from rulepush.promql.syntax.strings import printable, quote_go

_PRECEDENCE: Final = {
    "or": 1,
    "and": 2,
    "unless": 2,
    **dict.fromkeys(("==", "!=", "<", "<=", ">", ">=", "</", ">/"), 3),
    **dict.fromkeys(("+", "-"), 4),
    **dict.fromkeys(("*", "/", "%", "atan2"), 5),
    "^": 6,
}
_UNARY: Final = 5
# Words that cannot be metric names, because they would be taken for modifiers or operators.
_RESERVED: Final = frozenset(
    ("and", "or", "unless", "atan2", "on", "ignoring", "group_left", "group_right", "bool"),
)


def parse(text: str, functions: Mapping[str, DeclaredFunction], *, loose: bool = False) -> ast.Node:
    """The tree of `text`; every function is in `functions` and every type fits. Where it is `loose`, a selector may
    select all series. Raises ParseError."""
    try:
        return _Parser(text, functions).whole(loose)
    except RecursionError:
        raise error(text, 0, TOO_DEEP) from None


class _Parser(DurationGrammar):
    def __init__(self, text: str, functions: Mapping[str, DeclaredFunction]):
        super().__init__(text)
        self._functions = functions
        self._check = Checker(text, functions)

    # Expressions.

    def whole(self, loose: bool) -> ast.Node:
        if self.done:
            raise self.error(0, "no expression found in input")
        node = self._expression(0)
        if not self.done:
            raise self.unexpected()
        return node if loose else self._check.finish(node)

    def _expression(self, lowest: int) -> ast.Node:
        self._deeper()
        chain = 0
        node = self._unary()
        while True:
            token = self.token
            op = (
                token.word
                if token.kind is LexemeKind.IDENTIFIER
                else token.text
                if token.kind is LexemeKind.OPERATOR
                else ""
            )
            precedence = _PRECEDENCE.get(op, 0)
            if precedence <= lowest or not precedence:
                break
            self.advance()
            node = self._binary(op, token, node, precedence)
            chain += 1
            if self._depth + chain > MAX_DEPTH:
                raise self.error(token.pos, TOO_DEEP)
        self._depth -= 1
        return node

    def _unary(self) -> ast.Node:
        token = self.token
        if token.kind is LexemeKind.OPERATOR and token.text in "+-":
            self.advance()
            operand = self._expression(_UNARY)
            if isinstance(operand, ast.Number):
                return ast.Number(
                    -operand.value if token.text == "-" else operand.value, operand.duration, pos=token.pos
                )
            return self._check.unary(ast.Unary(token.text, operand, pos=token.pos))
        return self._postfix(self._primary())

    def _binary(self, op: str, token: Lexeme, lhs: ast.Node, precedence: int) -> ast.Node:
        return_bool = False
        if self.word() == "bool":
            self.advance()
            return_bool = True
        on, labels = False, None
        card = ast.Card.ONE_TO_ONE
        include: tuple[str, ...] = ()
        if self.word() in ("on", "ignoring"):
            on = self.advance().word == "on"
            labels = self._labels("grouping opts")
            if self.word() in ("group_left", "group_right"):
                left = self.advance().word == "group_left"
                card = ast.Card.MANY_TO_ONE if left else ast.Card.ONE_TO_MANY
                if self.at("("):
                    include = self._labels("grouping opts")
        fills = self._fills()
        rhs = self._expression(precedence - 1 if op == "^" else precedence)
        matching = ast.Matching(card, on, labels or (), include, *fills)
        return self._check.binary(op, token, lhs, rhs, return_bool, matching, labels is not None)

    def _fills(self) -> tuple[float | None, float | None]:
        left: float | None = None
        right: float | None = None
        while self.word() in ("fill", "fill_left", "fill_right") and self.at("(", 1):
            word = self.advance().word
            self.expect("(", word)
            value = self._expression(0)
            if not isinstance(value, ast.Number):
                raise self.error(value.pos, f"{word} value must be a number literal")
            self.expect(")", word)
            if word != "fill_right":
                left = value.value
            if word != "fill_left":
                right = value.value
        return left, right

    def _primary(self) -> ast.Node:
        token = self.token
        match token.kind:
            case LexemeKind.NUMBER:
                self.advance()
                return ast.Number(number_value(self.text, token), pos=token.pos)
            case LexemeKind.DURATION:
                return self._literal()
            case LexemeKind.STRING:
                self.advance()
                return ast.Str(string_value(self.text, token), pos=token.pos)
            case LexemeKind.METRIC:
                return self._selector()
            case LexemeKind.IDENTIFIER:
                return self._named(token)
            case LexemeKind.PUNCTUATION if token.text == "(":
                self.advance()
                inner = self._expression(0)
                self.expect(")", "")
                return ast.Paren(inner, pos=token.pos)
            case LexemeKind.PUNCTUATION if token.text == "{":
                return self._selector()
            case _:
                raise self.unexpected()

    def _named(self, token: Lexeme) -> ast.Node:
        """What starts with an identifier: an aggregation, a call, or a selector."""
        following = self.peek(1)
        opens = self.at("(", 1)
        if token.word in ast.AGGREGATORS and (opens or following.word in ("by", "without")):
            return self._aggregate()
        if opens and (token.word not in KEYWORDS or token.text in self._functions):
            return self._call()
        if token.word in _RESERVED:
            raise self.unexpected()
        return self._selector()

    def _aggregate(self) -> ast.Node:
        token = self.advance()
        modifier = self._grouping()
        args = self._arguments("aggregation")
        if modifier is None:
            modifier = self._grouping()
        without, grouping = modifier or (False, ())
        return self._check.aggregate(token, args, grouping, without)

    def _grouping(self) -> tuple[bool, tuple[str, ...]] | None:
        if self.word() not in ("by", "without"):
            return None
        without = self.advance().word == "without"
        return without, self._labels("grouping opts")

    def _call(self) -> ast.Node:
        token = self.advance()
        if token.text == "holt_winters":
            raise self.error(
                token.pos,
                'unknown function with name "holt_winters": '
                "since Prometheus 3 it is called double_exponential_smoothing",
            )
        if token.text not in self._functions:
            raise self.error(token.pos, f'unknown function with name "{token.text}"')
        return self._check.call(token, self._arguments("function call"))

    def _arguments(self, context: str) -> tuple[ast.Node, ...]:
        self.expect("(", context)
        args: list[ast.Node] = []
        if self.accept(")"):
            return ()
        while True:
            args.append(self._expression(0))
            if self.accept(")"):
                return tuple(args)
            self.expect(",", context)
            if self.at(")"):
                raise self.error(self.token.pos, "trailing commas not allowed in function call args")

    def _labels(self, context: str) -> tuple[str, ...]:
        """A parenthesised list of label names, which may be quoted."""
        self.expect("(", context)
        names: list[str] = []
        while not self.accept(")"):
            token = self.token
            if token.kind is LexemeKind.STRING:
                names.append(string_value(self.text, token))
            elif token.kind in (LexemeKind.IDENTIFIER, LexemeKind.METRIC):
                names.append(token.text)
            else:
                raise self.unexpected(context, "label")
            if not is_valid_utf8_name(names[-1]):
                raise self.error(token.pos, f"invalid label name for grouping: {quote_go(names[-1])}")
            self.advance()
            if not self.at(")") and not self.accept(","):
                raise self.unexpected(context, '"," or ")"')
        return tuple(names)

    # Selectors and what follows them.

    def _selector(self) -> ast.Node:
        start = self.token
        name = ""
        matchers: list[Matcher] = []
        if start.kind is not LexemeKind.PUNCTUATION:
            name = self.advance().text
        if self.accept("{"):
            while not self.accept("}"):
                name = self._matcher(name, start, matchers)
                if not self.at("}"):
                    self._expect_in_braces()
        if name:
            matchers.append(Matcher(METRIC_NAME, MatchOp.EQUAL, name))
        return ast.VectorSelector(name, tuple(matchers), pos=start.pos)

    def _expect_in_braces(self) -> None:
        if not self.accept(","):
            raise self.unexpected("label matching", '"," or "}"')

    def _matcher(self, name: str, start: Lexeme, matchers: list[Matcher]) -> str:
        """One entry between braces; returns the metric name, which a lone string sets."""
        token = self.token
        if token.kind is LexemeKind.STRING:
            label = string_value(self.text, self.advance())
            if self.at(",") or self.at("}"):
                if name:
                    message = f'metric name must not be set twice: "{name}" or "{label}"'
                    raise self.error(start.pos, message)
                return label
        elif token.kind is LexemeKind.IDENTIFIER or (token.kind is LexemeKind.NUMBER and token.text[0].isalpha()):
            label = self.advance().text
        else:
            raise self.unexpected("label matching", 'string, identifier or "}"')
        operator = self.token
        if operator.kind is not LexemeKind.OPERATOR or operator.text not in ("=", "!=", "=~", "!~"):
            raise self.unexpected("label matching", "label matching operator")
        self.advance()
        value = self.token
        if value.kind is not LexemeKind.STRING:
            raise self.unexpected("label matching", "string")
        self.advance()
        try:
            matchers.append(Matcher(label, MatchOp(operator.text), printable(string_value(self.text, value))))
        except RegexError as e:
            raise self.error(value.pos, str(e)) from None
        return name

    def _postfix(self, node: ast.Node) -> ast.Node:
        """Ranges, subqueries, offset, @, anchored and smoothed, as many as follow."""
        while True:
            token = self.token
            if self.at("["):
                node = self._bracket(node)
            elif self.at("@"):
                self.advance()
                node = self._check.modified(node, token, at=self._time())
            elif token.word == "offset" and token.kind is LexemeKind.IDENTIFIER:
                self.advance()
                node = self._check.modified(node, token, offset=self._offset_duration())
            elif token.word in ("anchored", "smoothed"):
                self.advance()
                node = self._check.extended(node, ast.Extended(token.word))
            else:
                return self._check.selector(node)

    def _bracket(self, node: ast.Node) -> ast.Node:
        opening = self.advance()
        span = self._positive_duration()
        if self.accept(":"):
            step = None if self.at("]") else self._positive_duration()
            self.expect("]", "subquery selector")
            return self._check.subquery(node, span, step)
        self.expect("]", "range selector")
        return self._check.matrix(node, opening, span)

    def _time(self) -> int | ast.At:
        if self.word() in ("start", "end") and self.at("(", 1):
            word = self.advance().word
            self.expect("(", "@")
            self.expect(")", "@")
            return ast.At.START if word == "start" else ast.At.END
        sign = 1.0
        if self.at("-") or self.at("+"):
            sign = -1.0 if self.advance().text == "-" else 1.0
        token = self.token
        if token.kind not in (LexemeKind.NUMBER, LexemeKind.DURATION):
            raise self.unexpected("@", "timestamp")
        self.advance()
        is_duration = token.kind is LexemeKind.DURATION
        seconds = sign * (self._duration_ms(token) / 1000 if is_duration else number_value(self.text, token))
        if math.isnan(seconds) or abs(seconds) >= MAX_MS / 1000:
            raise self.error(token.pos, f"timestamp out of bounds for @ modifier: {seconds:f}")
        return round(seconds * 1000)
