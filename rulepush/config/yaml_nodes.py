"""YAML read node by node, so that every problem has its file and line, and every key is known or reported.

A `Reading` collects the problems of all files that belong to one configuration. `MapReader` reads one mapping: each
method asks for one key, returns a typed value, and on a wrong type notes a problem and returns the default, so that
one pass finds everything. `finish` reports the keys that nobody asked for.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, TypeVar
from urllib.parse import urlsplit

import yaml

from rulepush.errors import Problem
from rulepush.model.durations import parse_duration
from rulepush.model.floats import parse_float
from rulepush.model.labels import EMPTY_LABELS, Labels, is_valid_utf8_name
from rulepush.model.secret import MASK, NO_SECRET, Secret
from rulepush.model.yaml_depth import MAX_DEPTH, too_deep

T = TypeVar("T")

MAX_FILE_BYTES: Final = 16 << 20
MAX_NODES: Final = 1_000_000  # counted with aliases expanded: a bomb of aliases stops here

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NULL: Final = "tag:yaml.org,2002:null"
_MERGE: Final = "tag:yaml.org,2002:merge"
_TRUE: Final = frozenset({"true", "yes", "on", "y"})
_FALSE: Final = frozenset({"false", "no", "off", "n"})
_SENSITIVE: Final = re.compile(r"password|secret|token$|credentials|key$|bearer_token|headers?$|url$", re.IGNORECASE)
_SIZE_UNITS: Final = {"B": 0} | {p + s: 10 * (i + 1) for i, p in enumerate("KMGTPE") for s in ("iB", "B")}
_ANY: Final = re.compile("(?s:.*)")
_SIZE: Final = re.compile(r"([0-9]*\.?[0-9]*)([A-Za-z]+)")


class Refers(Enum):
    """What a path in a configuration stands for."""

    CREDENTIALS = "credentials"
    RULES = "rules"
    JOBS = "jobs"
    TARGETS = "targets"


@dataclass(frozen=True, slots=True)
class Reference:
    """A path that a configuration names: where it names it, and the path (or pattern), absolute."""

    file: str
    line: int
    key: str
    path: str
    refers: Refers


@dataclass(slots=True)
class Reading:
    """What was found while a configuration, with all its files, was read."""

    problems: list[Problem] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    references: list[Reference] = field(default_factory=list)


@dataclass(slots=True)
class SourceFile:
    """One file that is read. Relative paths in it start at `directory`."""

    name: str
    directory: str
    reading: Reading
    masks: dict[int, tuple[yaml.ScalarNode, str]] = field(default_factory=dict)

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


def read_yaml(path: str, reading: Reading) -> tuple[SourceFile, yaml.Node | None]:
    """Read and compose a file. The node is None when it is empty or a problem was noted."""
    source = SourceFile(path, os.path.dirname(os.path.abspath(path)), reading)
    try:
        with open(path, "rb") as f:
            body = f.read(MAX_FILE_BYTES + 1)
    except OSError as e:
        source.problem(0, f"cannot be read: {e.strerror or e}")
        return source, None
    return source, compose(body, source)


def compose(body: bytes, source: SourceFile) -> yaml.Node | None:
    """YAML bytes -> the root node; None when it is empty or a problem was noted."""
    if len(body) > MAX_FILE_BYTES:
        source.problem(0, f"is larger than {MAX_FILE_BYTES >> 20} MiB")
        return None
    try:
        text = body.decode("utf-8-sig")
        deep = too_deep(text)
        if deep is not None:
            raise _TooHeavy(deep, f"nested more than {MAX_DEPTH} levels deep")
        root = yaml.compose(text, Loader=_LOADER)
        if root is not None:
            _weigh(root, 0, {})
    except UnicodeDecodeError as e:
        source.problem(body.count(b"\n", 0, e.start) + 1, "is not valid UTF-8")
    except yaml.MarkedYAMLError as e:
        mark = e.problem_mark or e.context_mark
        reason = ", ".join(t for t in (e.context, e.problem) if t)
        source.problem(mark.line + 1 if mark is not None else 0, f"not valid YAML: {reason}")
    except (yaml.YAMLError, RecursionError, ValueError) as e:
        text = "nested too deeply" if isinstance(e, RecursionError) else str(e).splitlines()[0]
        source.problem(0, f"not valid YAML: {text}")
    except _TooHeavy as e:
        source.problem(e.line, str(e))
    else:
        return root
    return None


class _TooHeavy(Exception):
    def __init__(self, line: int, message: str):
        self.line = line
        super().__init__(message)


def _weigh(node: yaml.Node, depth: int, known: dict[int, int]) -> int:
    """The number of nodes below, aliases counted as often as they are used."""
    if id(node) in known:
        return known[id(node)]
    line = node.start_mark.line + 1
    if depth > MAX_DEPTH:
        raise _TooHeavy(line, f"nested more than {MAX_DEPTH} levels deep, or an alias inside its own anchor")
    weight = 1
    if isinstance(node, yaml.MappingNode):
        weight += sum(_weigh(k, depth + 1, known) + _weigh(v, depth + 1, known) for k, v in node.value)
    elif isinstance(node, yaml.SequenceNode):
        weight += sum(_weigh(v, depth + 1, known) for v in node.value)
    if weight > MAX_NODES:
        raise _TooHeavy(line, f"holds more than {MAX_NODES} values once its aliases are expanded")
    known[id(node)] = weight
    return weight


def is_null(node: yaml.Node) -> bool:
    """Whether a node says nothing (`key:`, `key: null`, `key: ~`)."""
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


def parse_size(text: str) -> int:
    """`"10MB"` -> 10_485_760, as Prometheus' Base2Bytes: KB and KiB are both 1024. Raises ValueError."""
    if text == "0":
        return 0
    total, end = 0.0, 0
    for match in _SIZE.finditer(text):
        number, unit = match.groups()
        if match.start() != end or number in ("", ".") or unit not in _SIZE_UNITS:
            break
        total += float(number) * (1 << _SIZE_UNITS[unit])
        end = match.end()
    if end != len(text) or not text:
        raise ValueError(f"not a valid size: {text!r}")
    return int(total)


class MapReader:
    """Reads one mapping. `where` is its path (`scrape_configs[0]`), "" for the whole file."""

    def __init__(self, source: SourceFile, node: yaml.MappingNode, where: str = ""):
        self.source = source
        self.node = node
        self.where = where
        self._entries: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        self._asked: dict[str, None] = {}
        self._collect(node, merged=False)

    def _collect(self, node: yaml.MappingNode, *, merged: bool) -> None:
        merges: list[yaml.Node] = []
        seen: dict[str, int] = {}
        for key, value in node.value:
            if key.tag == _MERGE:
                merges.extend(value.value if isinstance(value, yaml.SequenceNode) else [value])
            elif not isinstance(key, yaml.ScalarNode):
                self.source.problem(line_of(key), f"a key must be a text, got {kind(key)}")
            elif key.value in seen:
                text = f"key {key.value!r} is already set in line {seen[key.value]}"
                self.source.problem(line_of(key), self._named(text))
            else:
                seen[key.value] = line_of(key)
                if not (merged and key.value in self._entries):
                    self._entries[key.value] = (key, value)
        for merge in merges:
            if isinstance(merge, yaml.MappingNode):
                self._collect(merge, merged=True)
            else:
                self.source.problem(line_of(merge), "map merge requires a mapping or a list of mappings as the value")

    def _named(self, text: str) -> str:
        return f"{self.where}: {text}" if self.where else text

    def _path(self, key: str) -> str:
        return f"{self.where}.{key}" if self.where else key

    @property
    def line(self) -> int:
        """The 1-based line on which the mapping starts."""
        return line_of(self.node)

    def keys(self) -> tuple[str, ...]:
        """The keys that are there, in the file's order."""
        return tuple(self._entries)

    def has(self, key: str) -> bool:
        """Whether a key is there with a value."""
        self._asked[key] = None
        entry = self._entries.get(key)
        return entry is not None and not is_null(entry[1])

    def empty(self, key: str) -> bool:
        """Whether a key is absent, null, or an empty list."""
        node = self.value(key)
        return node is None or (isinstance(node, yaml.SequenceNode) and not node.value)

    def value(self, key: str) -> yaml.Node | None:
        """The node under a key; None when it is absent or null, which Prometheus takes as absent."""
        return self._entries[key][1] if self.has(key) else None

    def line_at(self, key: str) -> int:
        """The line of a key; of the mapping when the key is absent."""
        entry = self._entries.get(key)
        return line_of(entry[0]) if entry else self.line

    def problem(self, message: str, key: str | None = None) -> None:
        """Note a problem at a key, or at the mapping as a whole."""
        self.source.problem(self.line if key is None else self.line_at(key), self._named(message))

    def _wrong(self, node: yaml.Node, key: str, expected: str) -> None:
        self.source.problem(line_of(node), f"{self._path(key)}: expected {expected}, got {kind(node)}")

    def _scalar(self, key: str, expected: str) -> yaml.ScalarNode | None:
        node = self.value(key)
        if node is None or isinstance(node, yaml.ScalarNode):
            return node
        self._wrong(node, key, expected)
        return None

    def _converted(
        self, key: str, default: T, expected: str, convert: Callable[[str], T], *, quoted: bool = False
    ) -> T:
        node = self._scalar(key, expected)
        if node is None:
            return default
        if not quoted and node.style in ("'", '"', "|", ">"):
            self.source.problem(line_of(node), f"{self._path(key)}: expected {expected}, got the text {node.value!r}")
            return default
        try:
            return convert(node.value)
        except (ValueError, OverflowError):
            self._wrong(node, key, expected)
            return default

    def text(self, key: str, default: str = "") -> str:
        """A text; a number or a boolean counts as the text it is written with, as in Prometheus."""
        node = self._scalar(key, "a text")
        return default if node is None else str(node.value)

    def secret(self, key: str) -> Secret:
        """A text that is masked wherever the configuration is shown."""
        node = self.value(key)
        if node is None:
            return NO_SECRET
        if not isinstance(node, yaml.ScalarNode):
            self.source.problem(line_of(node), f"{self._path(key)}: expected a text, got {kind(node)}")
            return NO_SECRET
        self.source.mask(node)
        return Secret(str(node.value))

    def flag(self, key: str, default: bool = False) -> bool:
        """A boolean."""
        return self._converted(key, default, "true or false", _parse_bool)

    def count(self, key: str, default: int = 0) -> int:
        """A whole number, zero or more."""
        return self._converted(key, default, "a whole number, zero or more", _parse_count)

    def number(self, key: str, default: float = 0.0) -> float:
        """A floating point number."""
        return self._converted(key, default, "a number", parse_float)

    def duration(self, key: str, default: int = 0) -> int:
        """A Prometheus duration, as milliseconds."""
        return self._converted(key, default, "a duration such as 30s or 1h30m", parse_duration, quoted=True)

    def size(self, key: str, default: int = 0) -> int:
        """A size such as 10MB, as bytes."""
        return self._converted(key, default, "a size such as 512KB or 10MB", parse_size, quoted=True)

    def path(self, key: str) -> str:
        """The path of a file with credentials, resolved against the file's directory; "" when absent."""
        path = self.source.resolve(self.text(key))
        if path:
            self._refer(key, self.line_at(key), path, Refers.CREDENTIALS)
        return path

    def paths(self, key: str) -> tuple[str, ...]:
        """A list of files with credentials."""
        return self._patterns(key, Refers.CREDENTIALS, _ANY, "")

    def target_files(self, key: str, form: re.Pattern[str], complaint: str) -> tuple[str, ...]:
        """A list of patterns of files with targets; those that are not of the form get the complaint."""
        return self._patterns(key, Refers.TARGETS, form, complaint)

    def globs(self, key: str, refers: Refers, form: re.Pattern[str], complaint: str) -> tuple[str, ...]:
        """A list of patterns of files; those that are not of the form get the complaint."""
        return self._patterns(key, refers, form, complaint)

    def _patterns(self, key: str, refers: Refers, form: re.Pattern[str], complaint: str) -> tuple[str, ...]:
        resolved = []
        for i, node in self.items(key):
            if not isinstance(node, yaml.ScalarNode) or is_null(node):
                self._wrong(node, f"{key}[{i}]", "a path")
            elif not form.fullmatch(node.value):
                self.source.problem(line_of(node), self._named(complaint.format(node.value)))
            else:
                resolved.append(self.source.resolve(node.value))
                self._refer(key, line_of(node), resolved[-1], refers)
        return tuple(resolved)

    def _refer(self, key: str, line: int, path: str, refers: Refers) -> None:
        reference = Reference(self.source.name, line, self._path(key), path, refers)
        self.source.reading.references.append(reference)

    def one_of(self, key: str, allowed: Sequence[str], default: str) -> str:
        """One of the given texts."""
        text = self.text(key, default)
        if text in allowed or not self.has(key):
            return text
        hint = did_you_mean(text, allowed)
        self.problem(f"{key}: expected one of {', '.join(allowed)}, got {text!r}{hint}", key)
        return default

    def one_of_lower(self, key: str, allowed: Sequence[str], default: str, complaint: str) -> str:
        """One of the given texts, in any case; `complaint` opens the message about another."""
        text = self.text(key, default)
        if text.lower() in allowed:
            return text.lower()
        self.problem(f"{complaint} {text!r}{did_you_mean(text.lower(), allowed)}", key)
        return default

    def url(self, key: str) -> Secret:
        """An absolute http or https URL; a password in it is masked when shown. Empty when absent or wrong."""
        node = self._scalar(key, "a URL")
        return NO_SECRET if node is None else self._url(node, key)

    def urls(self, key: str) -> list[Secret]:
        """A list of URLs."""
        found = []
        for i, node in self.items(key):
            if isinstance(node, yaml.ScalarNode) and not is_null(node):
                found.append(self._url(node, f"{key}[{i}]"))
            else:
                self._wrong(node, f"{key}[{i}]", "a URL")
        return [url for url in found if url]

    def _url(self, node: yaml.ScalarNode, key: str) -> Secret:
        text = str(node.value)
        try:
            parts = urlsplit(text)
            _ = parts.port
            good, password = parts.scheme in ("http", "https") and bool(parts.hostname), parts.password
        except ValueError:
            good, password = False, None
        if not good:
            shown = MASK if "@" in text else repr(text)
            where = f"{self._path(key)}: expected a URL that starts with http:// or https://"
            self.source.mask(node)
            self.source.problem(line_of(node), f"{where}, got {shown}")
            return NO_SECRET
        if password:
            self.source.mask(node, text.replace(f":{password}@", f":{MASK}@"))
        return Secret(text)

    def items(self, key: str) -> Iterator[tuple[int, yaml.Node]]:
        """The nodes of a list, with their positions."""
        node = self.value(key)
        if isinstance(node, yaml.SequenceNode):
            yield from enumerate(node.value)
        elif node is not None:
            self._wrong(node, key, "a list")

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts."""
        out = []
        for i, node in self.items(key):
            if isinstance(node, yaml.ScalarNode) and not is_null(node):
                out.append(str(node.value))
            else:
                self._wrong(node, f"{key}[{i}]", "a text")
        return tuple(out)

    def secrets(self, key: str) -> tuple[Secret, ...]:
        """A list of texts that are masked when shown."""
        node = self.value(key)
        if isinstance(node, yaml.SequenceNode):
            for item in node.value:
                if isinstance(item, yaml.ScalarNode):
                    self.source.mask(item)
        return tuple(Secret(t) for t in self.texts(key))

    def section(self, key: str) -> MapReader | None:
        """The mapping under a key; None when it is absent or not a mapping."""
        node = self.value(key)
        if node is None:
            return None
        if isinstance(node, yaml.MappingNode):
            return MapReader(self.source, node, self._path(key))
        self._wrong(node, key, "a mapping")
        return None

    def sections(self, key: str) -> Iterator[MapReader]:
        """The mappings of a list."""
        for i, node in self.items(key):
            if isinstance(node, yaml.MappingNode):
                yield MapReader(self.source, node, f"{self._path(key)}[{i}]")
            else:
                self._wrong(node, f"{key}[{i}]", "a mapping")

    def text_map(self, key: str) -> dict[str, str]:
        """A mapping of texts to texts, in the file's order."""
        inner = self.section(key)
        return {} if inner is None else {name: inner.text(name) for name in inner.keys()}  # noqa: SIM118

    def labels(self, key: str) -> Labels:
        """A label set; the names are checked."""
        inner = self.section(key)
        if inner is None:
            return EMPTY_LABELS
        for name in inner.keys():  # noqa: SIM118
            if not is_valid_utf8_name(name):
                inner.problem(f"{name!r} is not a valid label name", name)
        return Labels((name, inner.text(name)) for name in inner.keys())  # noqa: SIM118

    def ignore(self, *keys: str) -> None:
        """Keys that Prometheus knows and that cannot change which alerts fire: reported once at start."""
        for key in keys:
            node = self.value(key)
            if node is not None:
                self.source.reading.ignored.append(self._path(key))
                self._mask_sensitive(node, sensitive=False)

    def unsupported(self, key: str, *accepted: str) -> None:
        """A key that Prometheus knows, that could change which alerts fire, and that is not supported yet.

        It is accepted when it is empty or has one of the `accepted` values, which mean Prometheus' default."""
        node = self.value(key)
        if node is None or (isinstance(node, yaml.SequenceNode | yaml.MappingNode) and not node.value):
            return
        if isinstance(node, yaml.ScalarNode) and (node.value in accepted or node.value.lower() in accepted):
            return
        self.problem(f"{key} is not supported yet by rulepush (Prometheus knows it)", key)

    def _mask_sensitive(self, node: yaml.Node, *, sensitive: bool) -> None:
        if isinstance(node, yaml.MappingNode):
            for k, v in node.value:
                name = str(k.value) if isinstance(k, yaml.ScalarNode) else ""
                self._mask_sensitive(v, sensitive=sensitive or _SENSITIVE.search(name) is not None)
        elif isinstance(node, yaml.SequenceNode):
            for v in node.value:
                self._mask_sensitive(v, sensitive=sensitive)
        elif isinstance(node, yaml.ScalarNode) and sensitive:
            self.source.mask(node)

    def finish(self) -> None:
        """Report every key that was never asked for."""
        for name, (key, _) in self._entries.items():
            if name not in self._asked:
                hint = did_you_mean(name, tuple(self._asked))
                self.source.problem(line_of(key), self._named(f"unknown key {name!r}{hint}"))


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """`" (did you mean 'scrape_interval'?)"`, or ""."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _parse_bool(text: str) -> bool:
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise ValueError(text)


def _parse_count(text: str) -> int:
    number = int(text, 0) if text[:2].lower() in ("0x", "0o", "0b") else int(text)
    if number < 0 or number >= 1 << 64:
        raise ValueError(text)
    return number
