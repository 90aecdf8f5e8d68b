"""The syntax tree of a template. `str(node)` gives the text that Go's error messages quote."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Union

from rulepush.gotext.goquote import go_quote


@dataclass(slots=True)
class ListNode:
    """A sequence of text, actions and control structures."""

    pos: int
    nodes: list[Node] = field(default_factory=list)

    def __str__(self) -> str:
        return "".join(map(str, self.nodes))


@dataclass(frozen=True, slots=True)
class TextNode:
    pos: int
    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class DotNode:
    pos: int

    def __str__(self) -> str:
        return "."


@dataclass(frozen=True, slots=True)
class NilNode:
    pos: int

    def __str__(self) -> str:
        return "nil"


@dataclass(frozen=True, slots=True)
class BoolNode:
    pos: int
    value: bool

    def __str__(self) -> str:
        return "true" if self.value else "false"


@dataclass(frozen=True, slots=True)
class NumberNode:
    """A constant: `ideal` is its own value; `as_int` and `as_float` are None where it does not fit that type."""

    pos: int
    text: str
    ideal: int | float | None  # None: too large for an int
    as_int: int | None
    as_float: float | None

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class StringNode:
    pos: int
    quoted: str
    text: str

    def __str__(self) -> str:
        return self.quoted


@dataclass(frozen=True, slots=True)
class FieldNode:
    """`.A.B`, relative to dot."""

    pos: int
    idents: tuple[str, ...]

    def __str__(self) -> str:
        return "".join("." + i for i in self.idents)


@dataclass(frozen=True, slots=True)
class VariableNode:
    """`$x.A.B`: idents[0] is the variable with its dollar."""

    pos: int
    idents: tuple[str, ...]

    def __str__(self) -> str:
        return ".".join(self.idents)


@dataclass(frozen=True, slots=True)
class IdentifierNode:
    """The name of a function."""

    pos: int
    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class ChainNode:
    """`(pipeline).A.B`."""

    pos: int
    node: Node
    fields: tuple[str, ...]

    def __str__(self) -> str:
        head = f"({self.node})" if isinstance(self.node, PipeNode) else str(self.node)
        return head + "".join("." + f for f in self.fields)


@dataclass(slots=True)
class CommandNode:
    """One stage of a pipeline: an operand, or a function with its arguments."""

    pos: int
    args: list[Node] = field(default_factory=list)

    def __str__(self) -> str:
        return " ".join(f"({a})" if isinstance(a, PipeNode) else str(a) for a in self.args)


@dataclass(slots=True)
class PipeNode:
    """Commands, each fed with the value of the one before, and the variables that take the last value."""

    pos: int
    is_assign: bool = False
    decl: list[VariableNode] = field(default_factory=list)
    commands: list[CommandNode] = field(default_factory=list)

    def __str__(self) -> str:
        head = ", ".join(map(str, self.decl))
        if head:
            head += " = " if self.is_assign else " := "
        return head + " | ".join(map(str, self.commands))


@dataclass(frozen=True, slots=True)
class ActionNode:
    pos: int
    pipe: PipeNode

    def __str__(self) -> str:
        return "{{" + str(self.pipe) + "}}"


@dataclass(frozen=True, slots=True)
class IfNode:
    """`if`, `with` and `range` share this shape: see WithNode and RangeNode."""

    pos: int
    pipe: PipeNode
    body: ListNode
    otherwise: ListNode | None

    def __str__(self) -> str:
        return _branch("if", self)


@dataclass(frozen=True, slots=True)
class WithNode:
    pos: int
    pipe: PipeNode
    body: ListNode
    otherwise: ListNode | None

    def __str__(self) -> str:
        return _branch("with", self)


@dataclass(frozen=True, slots=True)
class RangeNode:
    pos: int
    pipe: PipeNode
    body: ListNode
    otherwise: ListNode | None

    def __str__(self) -> str:
        return _branch("range", self)


@dataclass(frozen=True, slots=True)
class BreakNode:
    pos: int

    def __str__(self) -> str:
        return "{{break}}"


@dataclass(frozen=True, slots=True)
class ContinueNode:
    pos: int

    def __str__(self) -> str:
        return "{{continue}}"


@dataclass(frozen=True, slots=True)
class TemplateNode:
    """`{{template "name" pipeline}}`."""

    pos: int
    name: str
    pipe: PipeNode | None

    def __str__(self) -> str:
        argument = f" {self.pipe}" if self.pipe is not None else ""
        return "{{template " + go_quote(self.name) + argument + "}}"


def _branch(word: str, node: IfNode | WithNode | RangeNode) -> str:
    otherwise = "{{else}}" + str(node.otherwise) if node.otherwise is not None else ""
    return "{{" + word + " " + str(node.pipe) + "}}" + str(node.body) + otherwise + "{{end}}"


Branch = Union[IfNode, WithNode, RangeNode]  # noqa: UP007 (a runtime union of forward names)
Node = Union[  # noqa: UP007
    ListNode,
    TextNode,
    DotNode,
    NilNode,
    BoolNode,
    NumberNode,
    StringNode,
    FieldNode,
    VariableNode,
    IdentifierNode,
    ChainNode,
    CommandNode,
    PipeNode,
    ActionNode,
    IfNode,
    WithNode,
    RangeNode,
    BreakNode,
    ContinueNode,
    TemplateNode,
]


@dataclass(frozen=True, slots=True)
class Tree:
    """One named template. `parse_name` is the name of the text it was written in, `text` that text (for positions)."""

    name: str
    parse_name: str
    text: str
    root: ListNode

    def is_empty(self) -> bool:
        """Only space and comments: such a definition does not replace another."""
        return all(isinstance(n, TextNode) and not n.text.strip() for n in self.root.nodes)

    def location(self, pos: int) -> str:
        """`name:line:column` of a position, the column counted in bytes from 0 as Go does."""
        before = self.text[:pos]
        column = len(before[before.rfind("\n") + 1 :].encode("utf-8", "surrogateescape"))
        return f"{self.parse_name}:{1 + before.count(chr(10))}:{column}"


def template_names(node: Node) -> list[str]:
    """The templates that `{{ template }}` actions beneath a node name."""
    if isinstance(node, TemplateNode):
        return [node.name]
    if isinstance(node, ListNode):
        return [name for child in node.nodes for name in template_names(child)]
    if isinstance(node, IfNode | WithNode | RangeNode):
        return template_names(node.body) + (template_names(node.otherwise) if node.otherwise is not None else [])
    return []
