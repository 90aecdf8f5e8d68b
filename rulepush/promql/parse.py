"""The grammar of PromQL: from text to a type-checked tree, as Prometheus' promql/parser/generatedParser.y.

A recursive descent with operator precedence. It replaces promql-parser, which cannot say where an expression stands
(annotations and errors must), and which misreads raw strings, `1_000` and `@ -1`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from rulepush.errors import ParseError, RegexError
from rulepush.model.durations import parse_duration
from rulepush.model.floats import parse_float
from rulepush.model.labels import METRIC_NAME
from rulepush.model.matcher import Matcher, MatchOp
from rulepush.promql import ast
from rulepush.promql.check import Checker
from rulepush.promql.lexer import KEYWORDS, Kind, Token, error, string_value, tokenize
from rulepush.promql.strings import printable

if TYPE_CHECKING:
    from rulepush.promql.functions.registry import Function

_PRECEDENCE: Final = {
    "or": 1,
    "and": 2,
    "unless": 2,
    **dict.fromkeys(("==", "!=", "<", "<=", ">", ">="), 3),
    **dict.fromkeys(("+", "-"), 4),
    **dict.fromkeys(("*", "/", "%", "atan2"), 5),
    "^": 6,
}
_UNARY: Final = 5
# Words that cannot be metric names, because they would be taken for modifiers or operators.
_RESERVED: Final = frozenset(
    ("and", "or", "unless", "atan2", "on", "ignoring", "group_left", "group_right", "bool"),
)
_MAX_DEPTH: Final = 200  # of nested expressions and of operators in a row: both become recursion
_TOO_DEEP: Final = f"the expression is nested deeper than {_MAX_DEPTH} levels"
_MAX_MS: Final = (1 << 63) - 1
_NO_EXTENDED: Final = "the modifier %s (extended range selectors) is not supported"
_NO_EXPRESSIONS: Final = "duration expressions are not supported"


def parse(text: str, functions: Mapping[str, Function]) -> ast.Node:
    """The tree of `text`; every function is in `functions` and every type fits. Raises ParseError."""
    try:
        return _Parser(text, functions).whole()
    except RecursionError:
        raise error(text, 0, _TOO_DEEP) from None


class _Parser:
    def __init__(self, text: str, functions: Mapping[str, Function]):
        self._text = text
        self._functions = functions
        self._tokens = tokenize(text)
        self._at = 0
        self._depth = 0
        self._check = Checker(text, functions)

    # The cursor.

    @property
    def _token(self) -> Token:
        return self._tokens[self._at]

    def _advance(self) -> Token:
        token = self._tokens[self._at]
        if token.kind is not Kind.END:
            self._at += 1
        return token

    def _is(self, text: str, ahead: int = 0) -> bool:
        token = self._tokens[min(self._at + ahead, len(self._tokens) - 1)]
        return token.kind in (Kind.PUNCTUATION, Kind.OPERATOR) and token.text == text

    def _word(self) -> str:
        return self._token.word

    def _accept(self, text: str) -> bool:
        if self._is(text):
            self._at += 1
            return True
        return False

    def _expect(self, text: str, context: str) -> Token:
        if not self._is(text):
            raise self._unexpected(context, f'"{text}"')
        return self._advance()

    def _unexpected(self, context: str = "", expected: str = "") -> ParseError:
        where = f" in {context}" if context else ""
        wanted = f", expected {expected}" if expected else ""
        return self._error(self._token.pos, f"unexpected {self._token.described()}{where}{wanted}")

    def _error(self, pos: int, message: str) -> ParseError:
        return error(self._text, pos, message)

    # Expressions.

    def whole(self) -> ast.Node:
        if self._token.kind is Kind.END:
            raise self._error(self._token.pos, "no expression found in input")
        node = self._expression(0)
        if self._at < len(self._tokens) - 1:
            raise self._unexpected()
        return self._check.finish(node)

    def _expression(self, lowest: int) -> ast.Node:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise self._error(self._token.pos, _TOO_DEEP)
        chain = 0
        node = self._unary()
        while True:
            token = self._token
            op = token.word if token.kind is Kind.IDENTIFIER else token.text if token.kind is Kind.OPERATOR else ""
            precedence = _PRECEDENCE.get(op, 0)
            if precedence <= lowest or not precedence:
                break
            self._advance()
            node = self._binary(op, token, node, precedence)
            chain += 1
            if self._depth + chain > _MAX_DEPTH:
                raise self._error(token.pos, _TOO_DEEP)
        self._depth -= 1
        return node

    def _unary(self) -> ast.Node:
        token = self._token
        if token.kind is Kind.OPERATOR and token.text in "+-":
            self._advance()
            operand = self._expression(_UNARY)
            if isinstance(operand, ast.Number):
                return ast.Number(
                    -operand.value if token.text == "-" else operand.value, operand.duration, pos=token.pos
                )
            return self._check.unary(ast.Unary(token.text, operand, pos=token.pos))
        return self._postfix(self._primary())

    def _binary(self, op: str, token: Token, lhs: ast.Node, precedence: int) -> ast.Node:
        return_bool = False
        if self._word() == "bool":
            self._advance()
            return_bool = True
        on, labels = False, None
        card = ast.Card.ONE_TO_ONE
        include: tuple[str, ...] = ()
        if self._word() in ("on", "ignoring"):
            on = self._advance().word == "on"
            labels = self._labels("grouping opts")
            if self._word() in ("group_left", "group_right"):
                left = self._advance().word == "group_left"
                card = ast.Card.MANY_TO_ONE if left else ast.Card.ONE_TO_MANY
                if self._is("("):
                    include = self._labels("grouping opts")
        fills = self._fills()
        rhs = self._expression(precedence - 1 if op == "^" else precedence)
        matching = ast.Matching(card, on, labels or (), include, *fills)
        return self._check.binary(op, token, lhs, rhs, return_bool, matching, labels is not None)

    def _fills(self) -> tuple[float | None, float | None]:
        left: float | None = None
        right: float | None = None
        while self._word() in ("fill", "fill_left", "fill_right") and self._is("(", 1):
            word = self._advance().word
            self._expect("(", word)
            value = self._expression(0)
            if not isinstance(value, ast.Number):
                raise self._error(value.pos, f"{word} value must be a number literal")
            self._expect(")", word)
            if word != "fill_right":
                left = value.value
            if word != "fill_left":
                right = value.value
        return left, right

    def _primary(self) -> ast.Node:
        token = self._token
        match token.kind:
            case Kind.NUMBER:
                self._advance()
                return ast.Number(number_value(self._text, token), pos=token.pos)
            case Kind.DURATION:
                return ast.Number(self._duration() / 1000, True, pos=token.pos)
            case Kind.STRING:
                self._advance()
                return ast.Str(string_value(self._text, token), pos=token.pos)
            case Kind.METRIC:
                return self._selector()
            case Kind.IDENTIFIER:
                return self._named(token)
            case Kind.PUNCTUATION if token.text == "(":
                self._advance()
                inner = self._expression(0)
                self._expect(")", "")
                return ast.Paren(inner, pos=token.pos)
            case Kind.PUNCTUATION if token.text == "{":
                return self._selector()
            case _:
                raise self._unexpected()

    def _named(self, token: Token) -> ast.Node:
        """What starts with an identifier: an aggregation, a call, or a selector."""
        following = self._tokens[self._at + 1]
        opens = self._is("(", 1)
        if token.word in ast.AGGREGATORS and (opens or following.word in ("by", "without")):
            return self._aggregate()
        if opens and (token.word not in KEYWORDS or token.text in self._functions):
            return self._call()
        if token.word in _RESERVED:
            raise self._unexpected()
        return self._selector()

    def _aggregate(self) -> ast.Node:
        token = self._advance()
        modifier = self._grouping()
        args = self._arguments("aggregation")
        if modifier is None:
            modifier = self._grouping()
        without, grouping = modifier or (False, ())
        return self._check.aggregate(token, args, grouping, without)

    def _grouping(self) -> tuple[bool, tuple[str, ...]] | None:
        if self._word() not in ("by", "without"):
            return None
        without = self._advance().word == "without"
        return without, self._labels("grouping opts")

    def _call(self) -> ast.Node:
        token = self._advance()
        if token.text == "holt_winters":
            raise self._error(
                token.pos,
                'unknown function with name "holt_winters": '
                "since Prometheus 3 it is called double_exponential_smoothing",
            )
        if token.text not in self._functions:
            raise self._error(token.pos, f'unknown function with name "{token.text}"')
        return self._check.call(token, self._arguments("function call"))

    def _arguments(self, context: str) -> tuple[ast.Node, ...]:
        self._expect("(", context)
        args: list[ast.Node] = []
        if self._accept(")"):
            return ()
        while True:
            args.append(self._expression(0))
            if self._accept(")"):
                return tuple(args)
            self._expect(",", context)
            if self._is(")"):
                raise self._error(self._token.pos, "trailing commas not allowed in function call args")

    def _labels(self, context: str) -> tuple[str, ...]:
        """A parenthesised list of label names, which may be quoted."""
        self._expect("(", context)
        names: list[str] = []
        while not self._accept(")"):
            token = self._advance()
            if token.kind is Kind.STRING:
                names.append(string_value(self._text, token))
            elif token.kind is Kind.IDENTIFIER or (token.kind is Kind.NUMBER and token.text[0].isalpha()):
                names.append(token.text)
            else:
                self._at -= token.kind is not Kind.END
                raise self._unexpected(context, "label")
            if not self._is(")") and not self._accept(","):
                raise self._unexpected(context, '"," or ")"')
        return tuple(names)

    # Selectors and what follows them.

    def _selector(self) -> ast.Node:
        start = self._token
        name = ""
        matchers: list[Matcher] = []
        if start.kind is not Kind.PUNCTUATION:
            name = self._advance().text
        if self._accept("{"):
            while not self._accept("}"):
                name = self._matcher(name, start, matchers)
                if not self._is("}"):
                    self._expect_in_braces()
        if name:
            matchers.append(Matcher(METRIC_NAME, MatchOp.EQUAL, name))
        return ast.VectorSelector(name, tuple(matchers), pos=start.pos)

    def _expect_in_braces(self) -> None:
        if not self._accept(","):
            raise self._unexpected("label matching", '"," or "}"')

    def _matcher(self, name: str, start: Token, matchers: list[Matcher]) -> str:
        """One entry between braces; returns the metric name, which a lone string sets."""
        token = self._token
        if token.kind is Kind.STRING:
            label = string_value(self._text, self._advance())
            if self._is(",") or self._is("}"):
                if name:
                    message = f'metric name must not be set twice: "{name}" or "{label}"'
                    raise self._error(start.pos, message)
                return label
        elif token.kind is Kind.IDENTIFIER or (token.kind is Kind.NUMBER and token.text[0].isalpha()):
            label = self._advance().text
        else:
            raise self._unexpected("label matching", 'string, identifier or "}"')
        operator = self._token
        if operator.kind is not Kind.OPERATOR or operator.text not in ("=", "!=", "=~", "!~"):
            raise self._unexpected("label matching", "label matching operator")
        self._advance()
        value = self._token
        if value.kind is not Kind.STRING:
            raise self._unexpected("label matching", "string")
        self._advance()
        try:
            matchers.append(Matcher(label, MatchOp(operator.text), printable(string_value(self._text, value))))
        except RegexError as e:
            raise self._error(value.pos, str(e)) from None
        return name

    def _postfix(self, node: ast.Node) -> ast.Node:
        """Ranges, subqueries, offset and @, as many as follow."""
        while True:
            token = self._token
            if self._is("["):
                node = self._bracket(node)
            elif self._is("@"):
                self._advance()
                node = self._check.modified(node, token, at=self._time())
            elif token.word == "offset" and token.kind is Kind.IDENTIFIER:
                self._advance()
                node = self._check.modified(node, token, offset_ms=self._signed_duration())
            elif token.word in ("anchored", "smoothed"):
                raise self._error(token.pos, _NO_EXTENDED % token.word)
            else:
                return self._check.selector(node)

    def _bracket(self, node: ast.Node) -> ast.Node:
        opening = self._advance()
        span = self._bracket_duration(":")
        if self._accept(":"):
            step = None if self._is("]") else self._bracket_duration("]")
            self._expect("]", "subquery selector")
            if span <= 0 or (step is not None and step <= 0):
                raise self._error(opening.pos + 1, "duration must be greater than 0")
            return self._check.subquery(node, span, step)
        self._expect("]", "range selector")
        if span <= 0:
            raise self._error(opening.pos + 1, "duration must be greater than 0")
        return self._check.matrix(node, opening, span)

    def _bracket_duration(self, closer: str) -> int:
        if self._token.kind not in (Kind.NUMBER, Kind.DURATION):
            if self._is("-") or self._is("+") or self._is("(") or self._word() in ("step", "range", "min", "max"):
                raise self._error(self._token.pos, _NO_EXPRESSIONS)
            raise self._unexpected("subquery or range selector", "number, duration, step(), or range()")
        span = self._duration()
        if self._tokens[self._at].kind is Kind.OPERATOR:
            raise self._error(self._token.pos, _NO_EXPRESSIONS)
        return span

    def _signed_duration(self) -> int:
        sign = 1
        if self._is("-") or self._is("+"):
            sign = -1 if self._advance().text == "-" else 1
        if self._token.kind not in (Kind.NUMBER, Kind.DURATION):
            if self._is("(") or self._word() in ("step", "range", "min", "max", "min_of", "max_of"):
                raise self._error(self._token.pos, _NO_EXPRESSIONS)
            raise self._unexpected("offset", "number, duration, step(), or range()")
        return sign * self._duration()

    def _duration(self) -> int:
        """Milliseconds of a DURATION token, or of a NUMBER, which counts seconds."""
        token = self._advance()
        if token.kind is Kind.NUMBER:
            seconds = number_value(self._text, token)
            if not abs(seconds) < _MAX_MS / 1e6 / 1000:
                raise self._error(token.pos, "duration out of range")
            return round(seconds * 1000)
        try:
            return parse_duration(token.text)
        except ValueError as e:
            raise self._error(token.pos, str(e)) from None

    def _time(self) -> int | ast.At:
        if self._word() in ("start", "end") and self._is("(", 1):
            word = self._advance().word
            self._expect("(", "@")
            self._expect(")", "@")
            return ast.At.START if word == "start" else ast.At.END
        sign = 1.0
        if self._is("-") or self._is("+"):
            sign = -1.0 if self._advance().text == "-" else 1.0
        token = self._token
        if token.kind not in (Kind.NUMBER, Kind.DURATION):
            raise self._unexpected("@", "timestamp")
        seconds = sign * (self._duration() / 1000 if token.kind is Kind.DURATION else number_value(self._text, token))
        if token.kind is Kind.NUMBER:
            self._advance()
        if math.isnan(seconds) or abs(seconds) >= _MAX_MS / 1000:
            raise self._error(token.pos, f"timestamp out of bounds for @ modifier: {seconds:f}")
        return round(seconds * 1000)


def number_value(text: str, token: Token) -> float:
    """Go's ParseInt with base 0 (0x, 0, underscores), else ParseFloat. Raises ParseError."""
    digits = token.text.replace("_", "").lower()
    try:
        if digits.startswith("0x"):
            return float(int(digits, 16))
        if len(digits) > 1 and digits[0] == "0" and digits.isdigit() and not set(digits) & {"8", "9"}:
            return float(int(digits, 8))
        return parse_float(digits)
    except ValueError:
        raise error(text, token.pos, f"error parsing number: {token.text}") from None
