"""From the text of a query to tokens, as Prometheus' promql/parser/lex.go does. Offsets are in characters."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

from rulepush.errors import ParseError
from rulepush.model.floats import parse_float
from rulepush.promql.syntax.ast import AGGREGATORS
from rulepush.promql.syntax.strings import unquote

MAX_DEPTH: Final = 200  # of nested expressions and of operators in a row: both become recursion
TOO_DEEP: Final = f"the expression is nested deeper than {MAX_DEPTH} levels"
# Queries are not trusted, and are parsed in the event loop. Generated rules have some hundreds.
MAX_LEXEMES: Final = 200_000
_MAX_INT64: Final = (1 << 63) - 1


class LexemeKind(Enum):
    """What a token is."""

    NUMBER = "number"
    DURATION = "duration"
    STRING = "string"
    IDENTIFIER = "identifier"
    METRIC = "metric identifier"  # has a colon
    OPERATOR = "operator"  # + - * / % ^ == != =~ !~ <= < </ >= > >/ =
    PUNCTUATION = "punctuation"  # ( ) { } [ ] , : @
    END = "end of input"


@dataclass(frozen=True, slots=True)
class Lexeme:
    """`text` as written; `word` the keyword it may be (lower case), "" for anything but an identifier."""

    kind: LexemeKind
    text: str
    pos: int
    word: str = ""

    def described(self) -> str:
        """As Prometheus calls it in `unexpected ...`."""
        match self.kind:
            case LexemeKind.END:
                return "end of input"
            case LexemeKind.PUNCTUATION:
                return "<op:@>" if self.text == "@" else f'"{self.text}"'
            case LexemeKind.OPERATOR:
                return '"="' if self.text == "=" else f"<op:{self.text}>"
            case LexemeKind.STRING:
                return f"string {self.text}"
            case LexemeKind.IDENTIFIER if self.word in KEYWORDS:
                return f"<op:{self.word}>" if self.word in WORD_OPERATORS else f"<{self.word}>"
            case LexemeKind.IDENTIFIER:
                return f'identifier "{self.text}"'
            case _:
                return f'{self.kind.value} "{self.text}"'


WORD_OPERATORS: Final = frozenset(("and", "or", "unless", "atan2"))
_MODIFIERS: Final = ("offset", "by", "without", "on", "ignoring", "group_left", "group_right", "bool")
_NEWER: Final = ("anchored", "smoothed", "fill", "fill_left", "fill_right", "start", "end", "step", "range")
KEYWORDS: Final = AGGREGATORS | WORD_OPERATORS | frozenset(_MODIFIERS + _NEWER)
_SKIP: Final = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_NAME: Final = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_WORD: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_UNSIGNED: Final = r"[0-9]+(?:_[0-9]+)*"
_NUMBER: Final = re.compile(
    r"0[xX]_?[0-9a-fA-F]+(?:_[0-9a-fA-F]+)*|"
    rf"(?:{_UNSIGNED}(?:\.(?:{_UNSIGNED})?)?|\.{_UNSIGNED})(?:[eE][+-]?{_UNSIGNED})?"
)
_DURATION: Final = re.compile(
    r"(?=[0-9])(?:[0-9]+y)?(?:[0-9]+w)?(?:[0-9]+d)?(?:[0-9]+h)?(?:[0-9]+m(?!s))?(?:[0-9]+s)?(?:[0-9]+ms)?"
)
_OPERATOR: Final = re.compile(r"==|!=|=~|!~|<=|>=|</|>/|[-+*/%^<>=]")
_CLOSERS: Final = {")": "(", "]": "[", "}": "{"}
_NAMES: Final = {"(": "parenthesis", "[": "bracket", "{": "brace"}


def error(text: str, pos: int, message: str) -> ParseError:
    """`1:5: parse error: message`, with the line and column of `pos`."""
    return ParseError(f"{position(text, pos)}: parse error: {message}")


def position(text: str, pos: int) -> str:
    """`line:column`, both from 1; columns count bytes, as Prometheus does, for which nothing has no position."""
    if not text:
        return "unknown position"
    start = text.rfind("\n", 0, pos) + 1
    return f"{text.count(chr(10), 0, pos) + 1}:{len(text[start:pos].encode()) + 1}"


def lex(text: str) -> list[Lexeme]:
    """All tokens with a final END, in time linear in the text. Raises ParseError."""
    tokens: list[Lexeme] = []
    opened: list[str] = []  # no deeper than 2 * MAX_DEPTH, so that looking through it takes no time
    pos = 0
    while True:
        skipped = _SKIP.match(text, pos)
        pos = skipped.end() if skipped else pos
        if pos >= len(text):
            break
        token = _next(text, pos, "[" in opened)
        if token.kind is LexemeKind.PUNCTUATION:
            _balance(text, token, opened)
            if len(opened) > 2 * MAX_DEPTH:  # the parser says exactly where; this bounds the work before it
                raise error(text, token.pos, TOO_DEEP)
        tokens.append(token)
        if len(tokens) > MAX_LEXEMES:
            raise error(text, token.pos, f"the expression has more than {MAX_LEXEMES:,} tokens")
        pos += len(token.text)
    if opened:
        inner = opened[-1]
        message = {
            "(": "unclosed left parenthesis",
            "[": "unclosed left bracket",
            "{": "unexpected end of input inside braces",
        }[inner]
        raise error(text, len(text), message)
    tokens.append(Lexeme(LexemeKind.END, "", len(text)))
    return tokens


def _next(text: str, pos: int, in_brackets: bool) -> Lexeme:
    char = text[pos]
    if char in "(){}[],@" or (char == ":" and (in_brackets or not _NAME.match(text, pos + 1))):
        return Lexeme(LexemeKind.PUNCTUATION, char, pos)
    if char in "\"'`":
        return Lexeme(LexemeKind.STRING, _string(text, pos), pos)
    if char.isascii() and (char.isdigit() or (char == "." and text[pos + 1 : pos + 2].isdigit())):
        return _number(text, pos)
    name = (_WORD if in_brackets else _NAME).match(text, pos)  # `[step():step()]` has no metric in it
    if name:
        word = name.group()
        if ":" in word:
            return Lexeme(LexemeKind.METRIC, word, pos)
        if word.lower() in ("inf", "nan"):
            return Lexeme(LexemeKind.NUMBER, word, pos)
        return Lexeme(LexemeKind.IDENTIFIER, word, pos, word.lower())
    operator = _OPERATOR.match(text, pos)
    if operator:
        return Lexeme(LexemeKind.OPERATOR, operator.group(), pos)
    if char == "!":
        after = text[pos + 1 : pos + 2]
        raise error(text, pos, f"unexpected character after '!': {after!r}" if after else "unexpected end of input")
    raise error(text, pos, f"unexpected character: {char!r}")


def _number(text: str, pos: int) -> Lexeme:
    """The longest of a number and a duration; neither may run into a letter."""
    number, duration = _NUMBER.match(text, pos), _DURATION.match(text, pos)
    ends = (number.end() if number else pos, duration.end() if duration else pos)
    end = max(ends)
    kind = LexemeKind.DURATION if ends[1] > ends[0] else LexemeKind.NUMBER
    after = text[end : end + 1]
    if end == pos or (after and after.isascii() and (after.isalnum() or after in "_.")):
        stop = end
        while stop < len(text) and (text[stop].isalnum() or text[stop] in "_."):
            stop += 1
        raise error(text, pos, f'bad number or duration syntax: "{text[pos:stop]}"')
    return Lexeme(kind, text[pos:end], pos)


def _string(text: str, pos: int) -> str:
    quote = text[pos]
    at = pos + 1
    while at < len(text):
        char = text[at]
        if char == "\\" and quote != "`":
            at += 2
            continue
        if char == "\n" and quote != "`":
            break
        if char == quote:
            return text[pos : at + 1]
        at += 1
    raise error(text, pos, "unterminated raw string" if quote == "`" else "unterminated quoted string")


def _balance(text: str, token: Lexeme, opened: list[str]) -> None:
    if token.text in _NAMES:
        opened.append(token.text)
    elif token.text in _CLOSERS:
        wanted = _CLOSERS[token.text]
        if not opened or opened[-1] != wanted:
            raise error(text, token.pos, f"unexpected right {_NAMES[wanted]} '{token.text}'")
        opened.pop()


def string_value(text: str, token: Lexeme) -> str:
    """The value of a STRING token. Raises ParseError for an escape that Go does not know."""
    try:
        return unquote(token.text)
    except ValueError as e:
        raise error(text, token.pos, f"error unquoting string {token.text!r}: {e}") from None


def number_value(text: str, token: Lexeme) -> float:
    """Go's ParseInt with base 0 (0x, 0, underscores), else ParseFloat. Raises ParseError."""
    digits = token.text.replace("_", "").lower()
    try:
        number = 0
        if digits.startswith("0x"):
            number = int(digits, 16)
            if number > _MAX_INT64:
                raise ValueError  # ParseFloat wants an exponent after hexadecimal digits
        elif len(digits) > 1 and digits[0] == "0" and digits.isdigit() and not set(digits) & {"8", "9"}:
            number = int(digits, 8)
        else:
            return parse_float(digits)
        return float(number) if number <= _MAX_INT64 else parse_float(digits)
    except ValueError:
        raise error(text, token.pos, f"error parsing number: {token.text}") from None
