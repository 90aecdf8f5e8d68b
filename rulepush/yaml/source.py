"""Reading YAML files into nodes: bounded in size, depth and aliases, with every problem located."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from enum import Enum
from itertools import islice
from typing import Final

import yaml

from rulepush.errors import Problem
from rulepush.model.secret import MASK
from rulepush.yaml.depth import MAX_DEPTH, too_deep

MAX_FILE_BYTES: Final = 16 << 20
MAX_NODES: Final = 1_000_000  # that aliases add when they are expanded, against alias bombs

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DOCUMENT_MARK: Final = re.compile(r"^(---|\.\.\.)(\s|$)", re.MULTILINE)
_GROUPS: Final = re.compile(r"^groups:", re.MULTILINE)
_UTF16_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")
_HELM: Final = re.compile(
    r"^[ \t]*\{\{-?\s*(if|range|with|end|else|include|define|template|toYaml)\b"
    r"|\{\{-?\s*\.(Values|Release|Chart|Files)\b",
    re.MULTILINE,
)
# Words of Helm that no alert template has: a file with them that is valid YAML is a chart's all the same.
_HELM_WORDS: Final = re.compile(r"\.(?:Values|Release|Chart|Files|Capabilities)\b|\b(?:include|toYaml)\b")
_HELM_WORDS_LOOKED_AT: Final = 1_000
_ACTION_LENGTH: Final = 500
_NULL: Final = "tag:yaml.org,2002:null"


class ReferenceKind(Enum):
    """What a path in a configuration stands for."""

    CREDENTIALS = "credentials"
    RULES = "rules"
    JOBS = "jobs"
    TARGETS = "targets"


@dataclass(frozen=True, slots=True)
class Reference:
    """A path in a configuration: its position, and the absolute path or pattern."""

    file: str
    line: int
    key: str
    path: str
    refers: ReferenceKind


@dataclass(slots=True)
class LoadSession:
    """What reading a configuration with all its files collects."""

    problems: list[Problem] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    references: list[Reference] = field(default_factory=list)


@dataclass(slots=True)
class SourceFile:
    """One file that is read. Relative paths in it start at `directory`. `helm_line`: the line in which it looks like a
    Helm template, 0 where it does not."""

    name: str
    directory: str
    reading: LoadSession
    masks: dict[int, tuple[yaml.ScalarNode, str]] = field(default_factory=dict)
    helm_line: int = 0

    def problem(self, line: int, message: str) -> None:
        """Note a problem; `line` is 1-based."""
        self.reading.problems.append(Problem(self.name, line, message))

    def mask(self, node: yaml.ScalarNode, text: str = MASK) -> None:
        """Show `text` in place of this scalar when the file is rendered."""
        self.masks[id(node)] = (node, text)

    def resolve(self, path: str) -> str:
        """A path as the file means it; "" stays ""."""
        return os.path.join(self.directory, path) if path else ""

    def render(self, root: yaml.Node) -> str:
        """The file as YAML, without comments, with its secrets masked. Changes the nodes: call it last."""
        for node, text in self.masks.values():
            if node.value:
                node.value, node.style, node.tag = text, None, "tag:yaml.org,2002:str"
        return str(yaml.serialize(root, Dumper=yaml.SafeDumper, allow_unicode=True, width=10_000))


def read_yaml(path: str, reading: LoadSession) -> tuple[SourceFile, yaml.Node | None]:
    """Read and compose a file. The node is None when it is empty or a problem was noted."""
    source = SourceFile(path, os.path.dirname(os.path.abspath(path)), reading)
    try:
        with open(path, "rb") as f:
            body = f.read(MAX_FILE_BYTES + 1)
    except OSError as e:
        source.problem(0, f"cannot be read: {e.strerror or e}")
        return source, None
    root = compose(first_document(body, reading), source)
    return source, None if root is not None and is_null(root) else root


def yaml_text(body: bytes) -> str:
    """The text of a YAML file: UTF-8, or UTF-16 where a byte order mark says so (PowerShell writes it), as libyaml
    reads it. Raises UnicodeDecodeError."""
    return body.decode("utf-16" if body[:2] in _UTF16_MARKS else "utf-8-sig")


def first_document(body: bytes, reading: LoadSession) -> bytes:
    """The first YAML document of a file. Prometheus ignores any further ones; here a warning says so."""
    if len(body) > MAX_FILE_BYTES:
        return body
    try:
        text = yaml_text(body)
        if not _DOCUMENT_MARK.search(text):
            return body
        end = None
        for event in yaml.parse(text, Loader=_LOADER):
            if isinstance(event, yaml.DocumentEndEvent):
                end = event.end_mark if end is None else end
            elif isinstance(event, yaml.DocumentStartEvent) and end is not None:
                break
        else:
            return body
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError):
        return body  # `compose` reports the error
    lost = "the rules ('groups') that follow are" if _GROUPS.search(text, end.index) else "what follows is"
    reading.warnings.append(
        f"line {end.line + 1}: only the first YAML document is read, as in Prometheus; {lost} ignored"
    )
    return text[: end.index].encode()


def compose(body: bytes, source: SourceFile) -> yaml.Node | None:
    """YAML bytes -> the root node; None when it is empty or a problem was noted."""
    if len(body) > MAX_FILE_BYTES:
        source.problem(0, f"is larger than {MAX_FILE_BYTES >> 20} MiB")
        return None
    try:
        text = yaml_text(body)
        deep = too_deep(text)
        if deep is not None:
            raise TooHeavyError(deep, f"nested more than {MAX_DEPTH} levels deep")
        root = yaml.compose(text, Loader=_LOADER)
        if root is not None:
            check_weight(root)
    except UnicodeDecodeError as e:
        charset = "UTF-8" if e.encoding.startswith("utf-8") else "UTF-16"
        source.problem(body.count(b"\n", 0, e.start) + 1, f"is not valid {charset}")
    except yaml.MarkedYAMLError as e:
        mark = e.problem_mark or e.context_mark
        reason = ", ".join(t for t in (e.context, e.problem) if t)
        if _HELM.search(text):
            reason += "; this is a Helm template: what `helm template` makes of it is wanted"
        source.problem(mark.line + 1 if mark is not None else 0, f"not valid YAML: {reason}")
    except (yaml.YAMLError, RecursionError, ValueError) as e:
        reason = "nested too deeply" if isinstance(e, RecursionError) else str(e).splitlines()[0]
        source.problem(0, f"not valid YAML: {reason}")
    except TooHeavyError as e:
        source.problem(e.line, str(e))
    else:
        source.helm_line = _helm_line(text)
        return root
    return None


def _helm_line(text: str) -> int:
    """The first line with an action of Helm's, 0 without one. Linear in the text, whatever it is."""
    for word in islice(_HELM_WORDS.finditer(text), _HELM_WORDS_LOOKED_AT):
        before = text[max(0, word.start() - _ACTION_LENGTH) : word.start()].rpartition("\n")[2]
        if before.rfind("{{") > before.rfind("}}"):
            return text.count("\n", 0, word.start()) + 1
    return 0


class TooHeavyError(Exception):
    """A tree that is too deep or too large. `line` is 1-based."""

    def __init__(self, line: int, message: str):
        self.line = line
        super().__init__(message)


def check_weight(root: yaml.Node, added: int = MAX_NODES) -> None:
    """Raises TooHeavyError for a tree that is too deep, or to which aliases add more than `added` nodes."""
    _weigh(root, 0, {}, added)


def _weigh(node: yaml.Node, depth: int, known: dict[int, int], added: int) -> int:
    """The number of nodes below, aliases counted as often as they are used."""
    if id(node) in known:
        return known[id(node)]
    line = node.start_mark.line + 1
    if depth > MAX_DEPTH:
        raise TooHeavyError(line, f"nested more than {MAX_DEPTH} levels deep, or an alias inside its own anchor")
    weight = 1
    if isinstance(node, yaml.MappingNode):
        weight += sum(_weigh(k, depth + 1, known, added) + _weigh(v, depth + 1, known, added) for k, v in node.value)
    elif isinstance(node, yaml.SequenceNode):
        weight += sum(_weigh(v, depth + 1, known, added) for v in node.value)
    if weight - len(known) - 1 > added:  # `known`: all nodes written out so far, those below this one among them
        raise TooHeavyError(line, f"holds more than {added} values once its aliases are expanded")
    known[id(node)] = weight
    return weight


def is_null(node: yaml.Node) -> bool:
    """Whether a node is null (`key:`, `key: null`, `key: ~`)."""
    return isinstance(node, yaml.ScalarNode) and node.tag == _NULL


def kind(node: yaml.Node) -> str:
    """How a message names what was found."""
    if isinstance(node, yaml.MappingNode):
        return "a mapping"
    if isinstance(node, yaml.SequenceNode):
        return "a list"
    return "nothing" if is_null(node) else f"{node.value!r}"


def line_of(node: yaml.Node) -> int:
    """The 1-based line on which a node starts."""
    return int(node.start_mark.line) + 1
