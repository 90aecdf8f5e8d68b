"""The grammar inside an action: pipelines, commands, operands.

Functions and variables are checked here, as Go checks them: an unknown one does not parse.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from rulepush.gotext.errors import TemplateSyntaxError
from rulepush.gotext.goquote import go_quote, go_unquote
from rulepush.gotext.lexer import TemplateToken, TokenKind, tokenize_template
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
from rulepush.gotext.numbers import char_constant, number_constant

MAX_NESTING: Final = 60
"""How deep control structures and parentheses may nest; what keeps the interpreter inside Python's stack."""
MAX_TEXT: Final = 1 << 20
"""How long the text of a template may be."""

_OPERAND_STARTS: Final = frozenset(
    {
        TokenKind.BOOL,
        TokenKind.CHAR_CONSTANT,
        TokenKind.DOT,
        TokenKind.FIELD,
        TokenKind.IDENTIFIER,
        TokenKind.NUMBER,
        TokenKind.NIL,
        TokenKind.RAW_STRING,
        TokenKind.STRING,
        TokenKind.VARIABLE,
        TokenKind.LEFT_PAREN,
    }
)
_NOT_EXECUTABLE: Final = (BoolNode, DotNode, NilNode, NumberNode, StringNode)


class PipelineParser:
    """Reads the tokens of one text; what is declared so far, and how deep it is nested."""

    def __init__(self, text: str, functions: Collection[str], name: str, trees: dict[str, Tree], start: int = 0):
        """`start`: where in the text to begin; what is before it was read already."""
        self._text = text
        self._functions = functions
        self._name = name
        self._trees = trees
        self._tokens = tokenize_template(text, start)
        self._at = 0
        self._current = self._tokens[0]  # what an error's line refers to
        self._vars: list[str] = ["$"]
        self._range_depth = 0
        self._nesting = 0
        self._action_line = 0

    # -- tokens

    def _next(self) -> TemplateToken:
        token = self._tokens[min(self._at, len(self._tokens) - 1)]
        self._at += 1
        self._current = token
        return token

    def _backup(self) -> None:
        self._at -= 1

    def _peek(self) -> TemplateToken:
        token = self._next()
        self._backup()
        return token

    def _next_non_space(self) -> TemplateToken:
        while (token := self._next()).kind is TokenKind.SPACE:
            pass
        return token

    def _peek_non_space(self) -> TemplateToken:
        token = self._next_non_space()
        self._backup()
        return token

    def _error(self, message: str) -> TemplateSyntaxError:
        return TemplateSyntaxError(self._name, self._current.line, message)

    def _expect(self, kind: TokenKind, context: str) -> TemplateToken:
        token = self._next_non_space()
        if token.kind is not kind:
            raise self._unexpected(token, context)
        return token

    def _unexpected(self, token: TemplateToken, context: str) -> TemplateSyntaxError:
        if token.kind is TokenKind.ERROR:
            extra = ""
            if self._action_line and self._action_line != token.line:
                extra = f" in action started at {self._name}:{self._action_line}"
                if token.text.endswith(" action"):
                    extra = extra.removeprefix(" in action")
            return self._error(f"{token.text}{extra}")
        return self._error(f"unexpected {token.describe()} in {context}")

    def _unquote(self, token: TemplateToken) -> str:
        try:
            return go_unquote(token.text)
        except ValueError as e:
            raise self._error(str(e)) from None

    # -- pipelines

    def _pipeline(self, context: str, end: TokenKind) -> PipeNode:
        pipe = PipeNode(self._peek_non_space().pos)
        self._declarations(pipe, context)
        while True:
            token = self._next_non_space()
            if token.kind is end:
                self._check_pipeline(pipe, context)
                return pipe
            if token.kind not in _OPERAND_STARTS:
                raise self._unexpected(token, context)
            self._backup()
            pipe.commands.append(self._command())

    def _declarations(self, pipe: PipeNode, context: str) -> None:
        while (variable := self._peek_non_space()).kind is TokenKind.VARIABLE:
            start = self._at
            self._next_non_space()
            after = self._peek_non_space()
            if after.kind in (TokenKind.ASSIGN, TokenKind.DECLARE):
                pipe.is_assign = after.kind is TokenKind.ASSIGN
                self._next_non_space()
                pipe.decl.append(VariableNode(variable.pos, tuple(variable.text.split("."))))
                self._vars.append(variable.text)
                return
            if after.kind is TokenKind.CHAR and after.text == ",":
                self._next_non_space()
                pipe.decl.append(VariableNode(variable.pos, tuple(variable.text.split("."))))
                self._vars.append(variable.text)
                if context == "range" and len(pipe.decl) < 2:
                    if self._peek_non_space().kind in (
                        TokenKind.VARIABLE,
                        TokenKind.RIGHT_DELIM,
                        TokenKind.RIGHT_PAREN,
                    ):
                        continue
                    raise self._error("range can only initialize variables")
                raise self._error(f"too many declarations in {context}")
            self._at = start
            self._peek_non_space()
            return

    def _check_pipeline(self, pipe: PipeNode, context: str) -> None:
        if not pipe.commands:
            raise self._error(f"missing value for {context}")
        # Only the first command of a pipeline can start with a non executable operand.
        for stage, command in enumerate(pipe.commands[1:], 2):
            if isinstance(command.args[0], _NOT_EXECUTABLE):
                raise self._error(f"non executable command in pipeline stage {stage}")

    def _command(self) -> CommandNode:
        command = CommandNode(self._peek_non_space().pos)
        while True:
            self._peek_non_space()
            operand = self._operand()
            if operand is not None:
                command.args.append(operand)
            token = self._next()
            if token.kind is TokenKind.SPACE:
                continue
            if token.kind in (TokenKind.RIGHT_DELIM, TokenKind.RIGHT_PAREN):
                self._backup()
            elif token.kind is not TokenKind.PIPE:
                raise self._unexpected(token, "operand")
            break
        if not command.args:
            raise self._error("empty command")
        return command

    def _operand(self) -> Node | None:
        node = self._term()
        if node is None:
            return None
        if self._peek().kind is not TokenKind.FIELD:
            return node
        first = self._peek()
        fields: list[str] = []
        while self._peek().kind is TokenKind.FIELD:
            fields.append(self._next().text[1:])
        if isinstance(node, FieldNode):
            return FieldNode(first.pos, (*node.idents, *fields))
        if isinstance(node, VariableNode):
            return VariableNode(first.pos, (*node.idents, *fields))
        if isinstance(node, _NOT_EXECUTABLE):
            raise self._error(f"unexpected . after term {go_quote(str(node))}")
        return ChainNode(first.pos, node, tuple(fields))

    def _term(self) -> Node | None:
        token = self._next_non_space()
        match token.kind:
            case TokenKind.IDENTIFIER:
                if token.text not in self._functions:
                    raise self._error(f"function {go_quote(token.text)} not defined")
                return IdentifierNode(token.pos, token.text)
            case TokenKind.DOT:
                return DotNode(token.pos)
            case TokenKind.NIL:
                return NilNode(token.pos)
            case TokenKind.VARIABLE:
                if token.text not in self._vars:
                    raise self._error(f"undefined variable {go_quote(token.text)}")
                return VariableNode(token.pos, (token.text,))
            case TokenKind.FIELD:
                return FieldNode(token.pos, (token.text[1:],))
            case TokenKind.BOOL:
                return BoolNode(token.pos, token.text == "true")
            case TokenKind.CHAR_CONSTANT | TokenKind.NUMBER:
                make = char_constant if token.kind is TokenKind.CHAR_CONSTANT else number_constant
                try:
                    return make(token.pos, token.text)
                except ValueError as e:
                    raise self._error(str(e)) from None
            case TokenKind.LEFT_PAREN:
                self._nesting += 1
                if self._nesting > MAX_NESTING:
                    raise self._error(f"nested deeper than {MAX_NESTING}")
                pipe = self._pipeline("parenthesized pipeline", TokenKind.RIGHT_PAREN)
                self._nesting -= 1
                return pipe
            case TokenKind.STRING | TokenKind.RAW_STRING:
                return StringNode(token.pos, token.text, self._unquote(token))
        self._backup()
        return None
