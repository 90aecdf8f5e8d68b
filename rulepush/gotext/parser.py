"""The grammar of Go's text/template: tokens -> named trees."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from rulepush.gotext.errors import TemplateSyntaxError
from rulepush.gotext.goquote import go_quote
from rulepush.gotext.lexer import TemplateToken, TokenKind
from rulepush.gotext.nodes import (
    ActionNode,
    BreakNode,
    ContinueNode,
    IfNode,
    ListNode,
    Node,
    PipeNode,
    RangeNode,
    TemplateNode,
    TextNode,
    Tree,
    WithNode,
)
from rulepush.gotext.pipelines import MAX_NESTING, MAX_TEXT, PipelineParser


def parse_template(text: str, functions: Collection[str], name: str, prefix: str = "") -> dict[str, Tree]:
    """Every template that a text defines, by name; the text itself is `name`. Raises TemplateSyntaxError.

    `prefix` stands before the text: actions on one line that many texts share, and that are parsed only once.
    """
    if len(text) > MAX_TEXT:
        raise TemplateSyntaxError(name, 1, f"text longer than {MAX_TEXT} characters")
    trees: dict[str, Tree] = {}
    _Parser(prefix + text, functions, name, trees, len(prefix)).parse_file(_parsed_prefix(prefix))
    return trees


@dataclass(frozen=True, slots=True)
class _Prefix:
    """What was read of a prefix, and the variables that it declares."""

    nodes: tuple[Node, ...]
    variables: tuple[str, ...]


_NO_PREFIX: Final = _Prefix((), ("$",))


@lru_cache(maxsize=8)
def _parsed_prefix(prefix: str) -> _Prefix:
    trees: dict[str, Tree] = {}
    parser = _Parser(prefix, (), "prefix", trees)
    parser.parse_file(_NO_PREFIX)
    return _Prefix(tuple(trees["prefix"].root.nodes), tuple(parser._vars))


class _Parser(PipelineParser):
    """Texts, definitions and control structures."""

    # -- files and lists

    def parse_file(self, prefix: _Prefix) -> None:
        root = ListNode(0)
        root.nodes += prefix.nodes
        self._vars = list(prefix.variables)
        while self._peek().kind is not TokenKind.EOF:
            if self._peek().kind is TokenKind.LEFT_DELIM:
                delim = self._next()
                if self._next_non_space().kind is TokenKind.DEFINE:
                    self._definition()
                    continue
                self._rewind_to(delim)
            node = self._text_or_action()
            if isinstance(node, str):
                raise self._error("unexpected " + "{{" + node + "}}")
            root.nodes.append(node)
        self._add(self._name, root)

    def _rewind_to(self, token: TemplateToken) -> None:
        self._at = min(self._at, len(self._tokens) - 1)
        while self._tokens[self._at] is not token:
            self._at -= 1

    def _definition(self) -> None:
        context = "define clause"
        token = self._next_non_space()
        if token.kind not in (TokenKind.STRING, TokenKind.RAW_STRING):
            raise self._unexpected(token, context)
        name = self._unquote(token)
        self._expect(TokenKind.RIGHT_DELIM, context)
        outer, self._vars = self._vars, ["$"]
        body, end = self._item_list(token.pos)
        if end != "end":
            raise self._error(f"unexpected {{{{{end}}}}} in {context}")
        self._vars = outer
        self._add(name, body)

    def _add(self, name: str, root: ListNode) -> None:
        tree = Tree(name, self._name, self._text, root)
        old = self._trees.get(name)
        if old is None or old.is_empty():
            self._trees[name] = tree
        elif not tree.is_empty():
            raise self._error(f"template: multiple definition of template {go_quote(name)}")

    def _item_list(self, pos: int) -> tuple[ListNode, str]:
        """Nodes up to `{{end}}` or `{{else}}`, which is named in the answer."""
        self._nesting += 1
        if self._nesting > MAX_NESTING:
            raise self._error(f"nested deeper than {MAX_NESTING}")
        items = ListNode(self._peek_non_space().pos)
        while self._peek_non_space().kind is not TokenKind.EOF:
            node = self._text_or_action()
            if isinstance(node, str):
                self._nesting -= 1
                return items, node
            items.nodes.append(node)
        raise self._error("unexpected EOF")

    def _text_or_action(self) -> Node | str:
        token = self._next_non_space()
        if token.kind is TokenKind.TEXT:
            return TextNode(token.pos, token.text)
        if token.kind is TokenKind.LEFT_DELIM:
            self._action_line = token.line
            try:
                return self._action()
            finally:
                self._action_line = 0
        raise self._unexpected(token, "input")

    def _action(self) -> Node | str:
        """What follows a left delimiter; "end" or "else" for the keywords that close a list."""
        token = self._next_non_space()
        match token.kind:
            case TokenKind.BLOCK:
                return self._block()
            case TokenKind.BREAK | TokenKind.CONTINUE:
                return self._break_or_continue(token)
            case TokenKind.ELSE:
                return self._else()
            case TokenKind.END:
                self._expect(TokenKind.RIGHT_DELIM, "end")
                return "end"
            case TokenKind.IF:
                return IfNode(*self._control("if"))
            case TokenKind.RANGE:
                return RangeNode(*self._control("range"))
            case TokenKind.TEMPLATE:
                return self._template()
            case TokenKind.WITH:
                return WithNode(*self._control("with"))
        self._backup()
        token = self._peek()
        # The variables an action declares stay in scope: no pop here.
        return ActionNode(token.pos, self._pipeline("command", TokenKind.RIGHT_DELIM))

    # -- control structures

    def _break_or_continue(self, token: TemplateToken) -> Node:
        follow = self._next_non_space()
        if follow.kind is not TokenKind.RIGHT_DELIM:
            raise self._unexpected(follow, "{{" + token.text + "}}")
        if self._range_depth == 0:
            raise self._error("{{" + token.text + "}} outside {{range}}")
        return BreakNode(token.pos) if token.kind is TokenKind.BREAK else ContinueNode(token.pos)

    def _control(self, context: str) -> tuple[int, PipeNode, ListNode, ListNode | None]:
        known = len(self._vars)
        pipe = self._pipeline(context, TokenKind.RIGHT_DELIM)
        if context == "range":
            self._range_depth += 1
        body, follow = self._item_list(pipe.pos)
        if context == "range":
            self._range_depth -= 1
        otherwise: ListNode | None = None
        if follow == "else":
            chained = self._peek().kind
            if (context, chained) in (("if", TokenKind.IF), ("with", TokenKind.WITH)):
                # {{if a}}_{{else if b}}_{{end}} is {{if a}}_{{else}}{{if b}}_{{end}}{{end}}, with one end.
                token = self._next()
                self._nesting += 1
                if self._nesting > MAX_NESTING:
                    raise self._error(f"nested deeper than {MAX_NESTING}")
                inner = IfNode(*self._control("if")) if context == "if" else WithNode(*self._control("with"))
                self._nesting -= 1
                otherwise = ListNode(token.pos, [inner])
            else:
                otherwise, follow = self._item_list(pipe.pos)
                if follow != "end":
                    raise self._error("expected end; found {{" + follow + "}}")
        del self._vars[known:]
        return pipe.pos, pipe, body, otherwise

    def _else(self) -> str:
        follow = self._peek_non_space()
        if follow.kind in (TokenKind.IF, TokenKind.WITH):
            # Left unread for _control, which takes it as a nested structure.
            return "else"
        self._expect(TokenKind.RIGHT_DELIM, "else")
        return "else"

    def _block(self) -> Node:
        context = "block clause"
        token = self._next_non_space()
        name = self._template_name(token, context)
        pipe = self._pipeline(context, TokenKind.RIGHT_DELIM)
        outer, self._vars = self._vars, ["$"]
        outer_range, self._range_depth = self._range_depth, 0
        body, end = self._item_list(token.pos)
        if end != "end":
            raise self._error(f"unexpected {{{{{end}}}}} in {context}")
        self._vars, self._range_depth = outer, outer_range
        self._add(name, body)
        return TemplateNode(token.pos, name, pipe)

    def _template(self) -> Node:
        context = "template clause"
        token = self._next_non_space()
        name = self._template_name(token, context)
        pipe: PipeNode | None = None
        if self._next_non_space().kind is not TokenKind.RIGHT_DELIM:
            self._backup()
            pipe = self._pipeline(context, TokenKind.RIGHT_DELIM)
        return TemplateNode(token.pos, name, pipe)

    def _template_name(self, token: TemplateToken, context: str) -> str:
        if token.kind not in (TokenKind.STRING, TokenKind.RAW_STRING):
            raise self._unexpected(token, context)
        return self._unquote(token)
