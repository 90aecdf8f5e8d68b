"""A place in the tokens of an expression, and what the grammar asks of it."""

from __future__ import annotations

from rulepush.errors import ParseError
from rulepush.promql.syntax.lexer import Lexeme, LexemeKind, error, lex


class Cursor:
    """Starts at the first token of `text`. Raises ParseError when the text has no tokens of PromQL."""

    def __init__(self, text: str):
        self.text = text
        self._tokens = lex(text)
        self._at = 0

    @property
    def token(self) -> Lexeme:
        """The next token, END at the end."""
        return self._tokens[self._at]

    @property
    def done(self) -> bool:
        """Whether nothing comes any more."""
        return self.token.kind is LexemeKind.END

    def peek(self, ahead: int) -> Lexeme:
        """The token after `ahead` others, END beyond the end."""
        return self._tokens[min(self._at + ahead, len(self._tokens) - 1)]

    def advance(self) -> Lexeme:
        """Take the next token."""
        token = self.token
        self._at += not self.done
        return token

    def at(self, text: str, ahead: int = 0) -> bool:
        """Whether that punctuation or operator comes next, or after `ahead` tokens."""
        token = self.peek(ahead)
        return token.kind in (LexemeKind.PUNCTUATION, LexemeKind.OPERATOR) and token.text == text

    def word(self) -> str:
        """The next token as a keyword would be written."""
        return self.token.word

    def accept(self, text: str) -> bool:
        """Take that punctuation or operator if it comes next."""
        if self.at(text):
            self.advance()
            return True
        return False

    def expect(self, text: str, context: str) -> Lexeme:
        """Take it. Raises ParseError when something else comes next."""
        if not self.at(text):
            raise self.unexpected(context, f'"{text}"')
        return self.advance()

    def unexpected(self, context: str = "", expected: str = "") -> ParseError:
        """What comes next has no place here."""
        where = f" in {context}" if context else ""
        wanted = f", expected {expected}" if expected else ""
        return self.error(self.token.pos, f"unexpected {self.token.described()}{where}{wanted}")

    def error(self, pos: int, message: str) -> ParseError:
        """An error at that position of the text."""
        return error(self.text, pos, message)
