"""Tokens of Go's text/template: the text is cut once, from left to right, into a list.

An error of the lexer is a token too (ERROR, its text the message): the parser reports it when it gets there, so
an earlier mistake of the grammar is reported first, as Go does it. Positions are indexes into the str.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from rulepush.gotext.goquote import go_quote

LEFT: Final = "{{"
RIGHT: Final = "}}"
_SPACES: Final = " \t\r\n"
_TRIM_LEN: Final = 2  # "- " after a left delimiter, " -" before a right one


class TokenKind(Enum):
    """What a token is. KEYWORDS below maps the reserved words to theirs."""

    ERROR = auto()
    BOOL = auto()
    CHAR = auto()  # printable ASCII that means nothing else: a comma, mostly
    CHAR_CONSTANT = auto()
    ASSIGN = auto()
    DECLARE = auto()
    EOF = auto()
    FIELD = auto()
    IDENTIFIER = auto()
    LEFT_DELIM = auto()
    LEFT_PAREN = auto()
    NUMBER = auto()
    PIPE = auto()
    RAW_STRING = auto()
    RIGHT_DELIM = auto()
    RIGHT_PAREN = auto()
    SPACE = auto()
    STRING = auto()
    TEXT = auto()
    VARIABLE = auto()
    DOT = auto()
    BLOCK = auto()
    BREAK = auto()
    CONTINUE = auto()
    DEFINE = auto()
    ELSE = auto()
    END = auto()
    IF = auto()
    NIL = auto()
    RANGE = auto()
    TEMPLATE = auto()
    WITH = auto()


KEYWORDS: Final = {
    ".": TokenKind.DOT,
    "block": TokenKind.BLOCK,
    "break": TokenKind.BREAK,
    "continue": TokenKind.CONTINUE,
    "define": TokenKind.DEFINE,
    "else": TokenKind.ELSE,
    "end": TokenKind.END,
    "if": TokenKind.IF,
    "nil": TokenKind.NIL,
    "range": TokenKind.RANGE,
    "template": TokenKind.TEMPLATE,
    "with": TokenKind.WITH,
}
_KEYWORD_KINDS: Final = frozenset(KEYWORDS.values())
_SIMPLE: Final = {"=": TokenKind.ASSIGN, "|": TokenKind.PIPE}


@dataclass(frozen=True, slots=True)
class TemplateToken:
    """`pos` is an index into the template's text, `line` is 1-based."""

    kind: TokenKind
    pos: int
    text: str
    line: int

    def describe(self) -> str:
        """How Go's messages name the token."""
        if self.kind is TokenKind.EOF:
            return "EOF"
        if self.kind is TokenKind.ERROR:
            return self.text
        if self.kind in _KEYWORD_KINDS:
            return f"<{self.text}>"
        if len(self.text) > 10:
            return go_quote(self.text[:10]) + "..."
        return go_quote(self.text)


def unicode_name(char: str) -> str:
    """Go's %#U: `U+201C '“'`."""
    code = f"U+{ord(char):04X}"
    return f"{code} '{char}'" if char.isprintable() else code


def is_alphanumeric(char: str) -> bool:
    """What an identifier is made of: an underscore, letters and digits of any script."""
    return char == "_" or char.isalpha() or char.isdecimal()


def tokenize_template(text: str, start: int = 0) -> list[TemplateToken]:
    """Cut a template, from `start` on its first line. The last token is EOF or ERROR; never raises."""
    return _Lexer(text, start).run()


class _LexError(Exception):
    pass


class _Lexer:
    def __init__(self, text: str, start: int):
        self.text = text
        self.pos = start
        self.start = start
        self.line = 1
        self.tokens: list[TemplateToken] = []
        self.depth = 0

    def run(self) -> list[TemplateToken]:
        try:
            while self.pos < len(self.text):
                self._text()
            self.tokens.append(TemplateToken(TokenKind.EOF, self.pos, "", self.line))
        except _LexError as e:
            self.tokens.append(TemplateToken(TokenKind.ERROR, self.start, str(e), self.line))
        return self.tokens

    # -- the cursor

    def _emit(self, kind: TokenKind) -> None:
        self.tokens.append(TemplateToken(kind, self.start, self.text[self.start : self.pos], self.line))
        self._ignore()

    def _ignore(self) -> None:
        self.line += self.text.count("\n", self.start, self.pos)
        self.start = self.pos

    def _peek(self) -> str:
        return self.text[self.pos] if self.pos < len(self.text) else ""

    def _accept(self, chars: str) -> bool:
        char = self._peek()
        if char and char in chars:
            self.pos += 1
            return True
        return False

    def _accept_run(self, chars: str) -> None:
        while self._accept(chars):
            pass

    def _skip_spaces(self) -> None:
        self._accept_run(_SPACES)
        self._ignore()

    # -- outside actions

    def _text(self) -> None:
        found = self.text.find(LEFT, self.pos)
        if found < 0:
            self.pos = len(self.text)
            self._emit(TokenKind.TEXT)
            return
        self.pos = found
        if found > self.start:
            end = found
            if self._has_left_trim(found + len(LEFT)):
                end = self.start + len(self.text[self.start : found].rstrip(_SPACES))
            if end > self.start:
                self.tokens.append(TemplateToken(TokenKind.TEXT, self.start, self.text[self.start : end], self.line))
            self._ignore()
        self._left_delim()

    def _has_left_trim(self, pos: int) -> bool:
        return self.text[pos : pos + 1] == "-" and self.text[pos + 1 : pos + 2] in tuple(_SPACES)

    def _left_delim(self) -> None:
        self.pos += len(LEFT)
        after_marker = _TRIM_LEN if self._has_left_trim(self.pos) else 0
        if self.text.startswith("/*", self.pos + after_marker):
            self.pos += after_marker
            self._ignore()
            self._comment()
            return
        self._emit(TokenKind.LEFT_DELIM)
        self.pos += after_marker
        self._ignore()
        self.depth = 0
        while self._inside_action():
            pass

    def _comment(self) -> None:
        end = self.text.find("*/", self.pos + 2)
        if end < 0:
            raise _LexError("unclosed comment")
        self.pos = end + 2
        at_delim, trim = self._at_right_delim()
        if not at_delim:
            raise _LexError("comment ends before closing delimiter")
        self.pos += len(RIGHT) + (_TRIM_LEN if trim else 0)
        self._ignore()
        if trim:
            self._skip_spaces()

    def _at_right_delim(self) -> tuple[bool, bool]:
        """Whether a right delimiter is here, and whether it trims."""
        if self.text.startswith(RIGHT, self.pos):
            return True, False
        space = self._peek()
        if space and space in _SPACES and self.text.startswith("-" + RIGHT, self.pos + 1):
            return True, True
        return False, False

    # -- inside an action

    def _inside_action(self) -> bool:
        """Cut one token; False when the action is over."""
        at_delim, trim = self._at_right_delim()
        if at_delim:
            if self.depth:
                raise _LexError("unclosed left paren")
            self._right_delim(trim)
            return False
        char = self._peek()
        if not char:
            raise _LexError("unclosed action")
        if char in _SPACES:
            self._space()
        elif char in _SIMPLE:
            self.pos += 1
            self._emit(_SIMPLE[char])
        elif char == ":":
            if not self.text.startswith(":=", self.pos):
                raise _LexError("expected :=")
            self.pos += 2
            self._emit(TokenKind.DECLARE)
        elif char == '"':
            self._quoted('"', TokenKind.STRING, "unterminated quoted string")
        elif char == "'":
            self._quoted("'", TokenKind.CHAR_CONSTANT, "unterminated character constant")
        elif char == "`":
            self._raw_string()
        elif char == "$":
            self.pos += 1
            self._field_or_variable(TokenKind.VARIABLE)
        elif char == "." and not self._digit_at(self.pos + 1):
            self.pos += 1
            self._field_or_variable(TokenKind.FIELD)
        elif char in "+-." or "0" <= char <= "9":
            self._number()
        elif is_alphanumeric(char):
            self._identifier()
        elif char in "()":
            self._paren(char)
        elif char.isascii() and char.isprintable():
            self.pos += 1
            self._emit(TokenKind.CHAR)
        else:
            raise _LexError(f"unrecognized character in action: {unicode_name(char)}")
        return True

    def _digit_at(self, pos: int) -> bool:
        return "0" <= self.text[pos : pos + 1] <= "9"

    def _right_delim(self, trim: bool) -> None:
        if trim:
            self.pos += _TRIM_LEN
            self._ignore()
        self.pos += len(RIGHT)
        self._emit(TokenKind.RIGHT_DELIM)
        if trim:
            self._skip_spaces()

    def _space(self) -> None:
        while self._peek() and self._peek() in _SPACES:
            if self._at_right_delim()[1] and self.pos > self.start:
                break  # the last space belongs to " -}}"
            if self._at_right_delim()[1]:
                return
            self.pos += 1
        self._emit(TokenKind.SPACE)

    def _paren(self, char: str) -> None:
        self.pos += 1
        if char == "(":
            self.depth += 1
            self._emit(TokenKind.LEFT_PAREN)
            return
        self.depth -= 1
        if self.depth < 0:
            raise _LexError("unexpected right paren")
        self._emit(TokenKind.RIGHT_PAREN)

    def _quoted(self, mark: str, kind: TokenKind, unterminated: str) -> None:
        self.pos += 1
        while True:
            char = self._peek()
            self.pos += 1
            if char == "\\" and self._peek() not in ("", "\n"):
                self.pos += 1
            elif char in ("", "\n", "\\"):
                self.pos = min(self.pos, len(self.text))
                raise _LexError(unterminated)
            elif char == mark:
                break
        self._emit(kind)

    def _raw_string(self) -> None:
        end = self.text.find("`", self.pos + 1)
        if end < 0:
            raise _LexError("unterminated raw quoted string")
        self.pos = end + 1
        self._emit(TokenKind.RAW_STRING)

    def _identifier(self) -> None:
        while (char := self._peek()) and is_alphanumeric(char):
            self.pos += 1
        word = self.text[self.start : self.pos]
        self._check_terminator()
        if word in KEYWORDS:
            self._emit(KEYWORDS[word])
        elif word in ("true", "false"):
            self._emit(TokenKind.BOOL)
        else:
            self._emit(TokenKind.IDENTIFIER)

    def _field_or_variable(self, kind: TokenKind) -> None:
        if self._at_terminator():  # nothing interesting follows: "$" or "."
            self._emit(TokenKind.VARIABLE if kind is TokenKind.VARIABLE else TokenKind.DOT)
            return
        while (char := self._peek()) and is_alphanumeric(char):
            self.pos += 1
        self._check_terminator()
        self._emit(kind)

    def _check_terminator(self) -> None:
        if not self._at_terminator():
            raise _LexError(f"bad character {unicode_name(self._peek())}")

    def _at_terminator(self) -> bool:
        char = self._peek()
        return not char or char in " \t\r\n.,|:)(" or self.text.startswith(RIGHT, self.pos)

    def _number(self) -> None:
        ok = self._scan_number()
        if ok and self._peek() in ("+", "-"):  # a complex constant: 1+2i
            ok = self._scan_number() and self.text[self.pos - 1] == "i"
        if not ok:
            raise _LexError(f"bad number syntax: {go_quote(self.text[self.start : self.pos])}")
        self._emit(TokenKind.NUMBER)

    def _scan_number(self) -> bool:
        self._accept("+-")
        digits = "0123456789_"
        if self._accept("0"):  # a leading 0 does not mean octal in floats
            if self._accept("xX"):
                digits = "0123456789abcdefABCDEF_"
            elif self._accept("oO"):
                digits = "01234567_"
            elif self._accept("bB"):
                digits = "01_"
        self._accept_run(digits)
        if self._accept("."):
            self._accept_run(digits)
        if len(digits) == 11 and self._accept("eE"):
            self._accept("+-")
            self._accept_run("0123456789_")
        if len(digits) == 23 and self._accept("pP"):
            self._accept("+-")
            self._accept_run("0123456789_")
        self._accept("i")
        if (char := self._peek()) and is_alphanumeric(char):
            self.pos += 1
            return False
        return True
