"""YAML read node by node, so that every problem has its file and line, and every key is known or reported.

A `LoadSession` collects the problems of all files that belong to one configuration. `MapReader` reads one mapping: each
method asks for one key, returns a typed value, and on a wrong type notes a problem and returns the default, so that
one pass finds everything. `finish` reports the keys that were not asked for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar
from urllib.parse import urlsplit

import yaml

from rulepush.model.durations import parse_duration
from rulepush.model.floats import parse_float
from rulepush.model.labels import EMPTY_LABELS, Labels, is_valid_utf8_name
from rulepush.model.secret import MASK, NO_SECRET, Secret, masked_parameters
from rulepush.yaml.merge import MappingMerger
from rulepush.yaml.scalars import did_you_mean, parse_bool, parse_count, parse_size
from rulepush.yaml.source import (
    LoadSession,
    Reference,
    ReferenceKind,
    SourceFile,
    compose,
    is_null,
    kind,
    line_of,
    read_yaml,
)

__all__ = [
    "LoadSession",
    "MapReader",
    "Reference",
    "ReferenceKind",
    "SourceFile",
    "compose",
    "is_null",
    "kind",
    "line_of",
    "read_yaml",
]

T = TypeVar("T")

_SENSITIVE: Final = re.compile(r"password|secret|token$|credentials|key$|bearer_token|headers?$|url$", re.IGNORECASE)
_HOLDS_SECRETS: Final = re.compile(rf"{_SENSITIVE.pattern}|basic_auth|authorization|oauth2|identity", re.IGNORECASE)
_ANY: Final = re.compile("(?s:.*)")
_COLON_IN_PATH: Final = re.compile(r"(?![A-Za-z][A-Za-z0-9+.-]*:)[^/?#]*:")  # as Go's url.Parse: no scheme, but a colon
_NOT_IN_URLS: Final = re.compile(r"[\x00-\x1f\x7f]|^[^/]*//[^/]* ")  # as Go's url.Parse: no blank in a host
_QUOTED: Final = ("'", '"', "|", ">")


class MapReader:
    """Reads one mapping. `where` is its path (`scrape_configs[0]`), "" for the whole file."""

    def __init__(self, source: SourceFile, node: yaml.MappingNode, where: str = ""):
        self.source = source
        self.node = node
        self.where = where
        self._entries = MappingMerger(self._fault).entries(node)
        self._asked: dict[str, None] = {}

    def _fault(self, node: yaml.Node, message: str) -> None:
        self.source.problem(line_of(node), self._named(message))

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

    def wrong(self, key: str, message: str) -> None:
        """Note that the value of a key cannot be used."""
        self.source.problem(self.line_at(key), f"{self._path(key)}: {message}")

    def _wrong(self, node: yaml.Node, key: str, expected: str) -> None:
        path = self._path(key)
        # `http_headers: {X-Key: hunter2}` and the like: a value in the wrong place may be the secret itself.
        secret = isinstance(node, yaml.ScalarNode) and any(_HOLDS_SECRETS.search(part) for part in path.split("."))
        got = "a text" if secret and not is_null(node) else kind(node)
        self.source.problem(line_of(node), f"{path}: expected {expected}, got {got}")

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
        if not quoted and node.style in _QUOTED:
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
        return self._converted(key, default, "true or false", parse_bool)

    def count(self, key: str, default: int = 0) -> int:
        """A whole number, zero or more."""
        return self._converted(key, default, "a whole number, zero or more", parse_count)

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
            self._refer(key, self.line_at(key), path, ReferenceKind.CREDENTIALS)
        return path

    def paths(self, key: str) -> tuple[str, ...]:
        """A list of files with credentials."""
        return self._patterns(key, ReferenceKind.CREDENTIALS, _ANY, "")

    def target_files(self, key: str, form: re.Pattern[str], complaint: str) -> tuple[str, ...]:
        """A list of patterns of files with targets; invalid ones are reported."""
        return self._patterns(key, ReferenceKind.TARGETS, form, complaint)

    def globs(self, key: str, refers: ReferenceKind, form: re.Pattern[str], complaint: str) -> tuple[str, ...]:
        """A list of patterns of files; invalid ones are reported."""
        return self._patterns(key, refers, form, complaint)

    def _patterns(self, key: str, refers: ReferenceKind, form: re.Pattern[str], complaint: str) -> tuple[str, ...]:
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

    def _refer(self, key: str, line: int, path: str, refers: ReferenceKind) -> None:
        reference = Reference(self.source.name, line, self._path(key), path, refers)
        self.source.reading.references.append(reference)

    def one_of(self, key: str, allowed: Sequence[str], default: str) -> str:
        """One of the given texts."""
        text = self.text(key, default)
        if text in allowed or not self.has(key):
            return text
        hint = did_you_mean(text, allowed)
        self.wrong(key, f"expected one of {', '.join(allowed)}, got {text!r}{hint}")
        return default

    def one_of_lower(self, key: str, allowed: Sequence[str], default: str, complaint: str) -> str:
        """One of the given texts, case-insensitive; `complaint` starts the message about any other."""
        text = self.text(key, default)
        if text.lower() in allowed:
            return text.lower()
        self.problem(f"{complaint} {text!r}{did_you_mean(text.lower(), allowed)}", key)
        return default

    def url(self, key: str, scheme: str = "") -> Secret:
        """An absolute http or https URL; a password in it is masked when shown. Empty when absent or wrong. With
        `scheme`, a text such as `host:443` is one too, as far as Go parses it as a URL: not `10.0.0.1:443`."""
        node = self._scalar(key, "a URL")
        return NO_SECRET if node is None else self._url(node, key, scheme)

    def urls(self, key: str) -> list[Secret]:
        """A list of URLs."""
        found = []
        for i, node in self.items(key):
            if isinstance(node, yaml.ScalarNode) and not is_null(node):
                found.append(self._url(node, f"{key}[{i}]"))
            else:
                self._wrong(node, f"{key}[{i}]", "a URL")
        return [url for url in found if url]

    def _url(self, node: yaml.ScalarNode, key: str, scheme: str = "") -> Secret:
        text = str(node.value)
        if scheme and text and "://" not in text:
            if _COLON_IN_PATH.match(text):
                shown = MASK if "@" in text else masked_parameters(text)
                self.source.mask(node)
                why = "first path segment in URL cannot contain colon; write https:// (or http://) before the host"
                self.source.problem(line_of(node), f'{self._path(key)}: parse "{shown}": {why}')
                return NO_SECRET
            text = f"{scheme}://{text}"
        try:
            parts = urlsplit(text)
            _ = parts.port
            good = parts.scheme in ("http", "https") and bool(parts.hostname) and not _NOT_IN_URLS.search(text)
            password = parts.password
        except ValueError:
            good, password = False, None
        if not good:
            shown = MASK if "@" in text else repr(masked_parameters(text))
            where = f"{self._path(key)}: expected a URL that starts with http:// or https://"
            self.source.mask(node)
            self.source.problem(line_of(node), f"{where}, got {shown}")
            return NO_SECRET
        shown = masked_parameters(text.replace(f":{password}@", f":{MASK}@") if password else text)
        if shown != text:
            self.source.mask(node, shown)
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

    def mask_all(self, key: str) -> None:
        """Mask every value below a key when the configuration is shown."""
        node = self.value(key)
        if node is not None:
            self._mask_sensitive(node, sensitive=True)

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

    def unsupported(self, key: str, *accepted: str, instead: str = "") -> None:
        """A key that Prometheus knows, that could change which alerts fire, and that is not supported yet. `instead`
        says what to do.

        It is accepted when it is empty or has one of the `accepted` values, which mean Prometheus' default."""
        node = self.value(key)
        if node is None or (isinstance(node, yaml.SequenceNode | yaml.MappingNode) and not node.value):
            return
        if isinstance(node, yaml.ScalarNode) and (node.value in accepted or node.value.lower() in accepted):
            return
        hint = f": {instead}" if instead else ""
        self.problem(f"{key} is not supported yet by rulepush (Prometheus knows it){hint}", key)

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
        if not self.where and {"apiVersion", "kind"} <= self._entries.keys() - self._asked.keys():
            kind_node, part = self._entries["kind"][1], "data" if "data" in self._entries else "spec"
            text = f"this is a Kubernetes resource ({kind(kind_node)}): only what stands under its `{part}` is wanted"
            self.source.problem(self.line, f"{text}, in a file of its own")
            return
        for name, (key, _) in self._entries.items():
            if name not in self._asked:
                hint = did_you_mean(name, tuple(self._asked))
                self.source.problem(line_of(key), self._named(f"unknown key {name!r}{hint}"))
