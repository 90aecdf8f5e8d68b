"""Relabelling: every action, exactly as Prometheus' model/relabel/relabel.go does it. Pure.

It runs once for each new series and each discovered target. Their values repeat, so a rule caches the matches of its
regular expression.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Final, assert_never

from rulepush.errors import RegexError
from rulepush.model.labels import Labels, is_legacy_label_name, is_valid_utf8_name
from rulepush.model.regex import Pattern, RegexMatch, compile_regex

if TYPE_CHECKING:
    from rulepush.yaml.nodes import MapReader

DEFAULT_REGEX: Final = "(.*)"
DEFAULT_REPLACEMENT: Final = "$1"
DEFAULT_SEPARATOR: Final = ";"
_MEMO_LIMIT: Final = 8192

Relabel = Callable[[Labels], Labels | None]
"""The rules of one configuration applied to a label set; None when they drop it."""


class Action(Enum):
    """What a relabelling rule does."""

    REPLACE = "replace"
    KEEP = "keep"
    DROP = "drop"
    KEEP_EQUAL = "keepequal"
    DROP_EQUAL = "dropequal"
    HASH_MOD = "hashmod"
    LABEL_MAP = "labelmap"
    LABEL_DROP = "labeldrop"
    LABEL_KEEP = "labelkeep"
    LOWERCASE = "lowercase"
    UPPERCASE = "uppercase"


_NEEDS_TARGET: Final = (
    Action.REPLACE,
    Action.HASH_MOD,
    Action.LOWERCASE,
    Action.UPPERCASE,
    Action.KEEP_EQUAL,
    Action.DROP_EQUAL,
)
_ONLY_EQUAL: Final = "{} action requires only 'source_labels' and `target_label`, and no other fields"


@dataclass(frozen=True)
class RelabelConfig:
    """One rule. Raises RegexError when `regex` is not RE2; `faults` lists what Prometheus would refuse."""

    action: Action = Action.REPLACE
    source_labels: tuple[str, ...] = ()
    separator: str = DEFAULT_SEPARATOR
    regex: str = DEFAULT_REGEX
    modulus: int = 0
    target_label: str = ""
    replacement: str = DEFAULT_REPLACEMENT
    legacy_names: bool = False  # metric_name_validation_scheme: legacy
    _pattern: Pattern = field(init=False, repr=False, compare=False)
    _replacement: _Template = field(init=False, repr=False, compare=False)
    _target: _Template = field(init=False, repr=False, compare=False)
    _memo: dict[str, object] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_pattern", compile_regex(self.regex))
        object.__setattr__(self, "_replacement", _Template(self.replacement))
        object.__setattr__(self, "_target", _Template(self.target_label))

    def faults(self) -> list[str]:
        """Why Prometheus would refuse the rule, in its words; empty when it is valid."""
        action, target = self.action, self.target_label
        found = []
        if action is Action.HASH_MOD and self.modulus == 0:
            found.append("relabel configuration for hashmod requires non-zero modulus")
        if action in _NEEDS_TARGET and not target:
            found.append(f"relabel configuration for {action.value} action requires 'target_label' value")
        elif action in _NEEDS_TARGET and not self._target_is_sound():
            found.append(f"{_quoted(target)} is invalid 'target_label' for {action.value} action")
        if action in (Action.LOWERCASE, Action.UPPERCASE) and self.replacement != DEFAULT_REPLACEMENT:
            found.append(f"'replacement' can not be set for {action.value} action")
        if action is Action.LABEL_MAP and not self._name_is_sound(self.replacement, template=True):
            found.append(f"{_quoted(self.replacement)} is invalid 'replacement' for labelmap action")
        odd = self.modulus or self.separator != DEFAULT_SEPARATOR or self.replacement != DEFAULT_REPLACEMENT
        if action in (Action.KEEP_EQUAL, Action.DROP_EQUAL) and (odd or self.regex != DEFAULT_REGEX):
            found.append(_ONLY_EQUAL.format(action.value))
        if action in (Action.LABEL_DROP, Action.LABEL_KEEP) and (odd or self.source_labels or target):
            found.append(f"{action.value} action requires only 'regex', and no other fields")
        return found

    def _target_is_sound(self) -> bool:
        return self._name_is_sound(self.target_label, template=self.action is Action.REPLACE)

    def _name_is_sound(self, name: str, *, template: bool) -> bool:
        if not self.legacy_names:
            return is_valid_utf8_name(name)
        if template and "$" in name:
            return all(is_legacy_label_name("a" + part) for part in _Template(name).literals())
        return is_legacy_label_name(name)

    def source_value(self, labels: dict[str, str]) -> str:
        """The source labels' values, joined."""
        sources = self.source_labels
        if len(sources) == 1:
            return labels.get(sources[0], "")
        return self.separator.join([labels.get(name, "") for name in sources])

    def matches(self, value: str) -> bool:
        """Whether the regular expression matches the whole of `value`."""
        known = self._memo.get(value)
        if known is None:
            known = self._pattern.fullmatch(value) is not None
            self._remember(value, known)
        return bool(known)

    def expand(self, value: str) -> tuple[str, str] | None:
        """For `replace`: the target label's name and its new value; None when nothing is to be replaced."""
        known = self._memo.get(value)
        if known is None:
            match = self._pattern.fullmatch(value)
            known = ()
            if match is not None:
                target = self._target.fill(match)
                if self._name_is_sound(target, template=False):
                    known = (target, self._replacement.fill(match))
            self._remember(value, known)
        return known or None  # type: ignore[return-value]

    def renamed(self, name: str) -> str | None:
        """For `labelmap`: the new name of a label; None when it does not match."""
        known = self._memo.get(name)
        if known is None:
            match = self._pattern.fullmatch(name)
            known = "" if match is None else self._replacement.fill(match)
            self._remember(name, known)
        return str(known) or None

    def bucket(self, value: str) -> str:
        """For `hashmod`: the last 8 bytes of the MD5, big endian, modulo `modulus`."""
        import hashlib  # with it comes OpenSSL, 4 MiB

        digest = hashlib.md5(value.encode("utf-8", "surrogatepass"), usedforsecurity=False).digest()
        return str(int.from_bytes(digest[8:], "big") % self.modulus)

    def _remember(self, key: str, value: object) -> None:
        if len(self._memo) >= _MEMO_LIMIT:
            self._memo.clear()
        self._memo[key] = value


def relabel(labels: Labels, configs: Sequence[RelabelConfig]) -> Labels | None:
    """The relabelled set, or None when a rule drops it. The same object comes back when nothing changed."""
    if not configs:
        return labels
    work = labels.as_dict()
    changed: set[str] = set()
    for config in configs:
        if not apply_rule(config, work, changed):
            return None
    if len(work) == len(labels) and all(work.get(n) == v for n, v in labels):
        return labels
    return Labels(work)


def apply_rule(config: RelabelConfig, labels: dict[str, str], changed: set[str]) -> bool:
    """Change `labels` by one rule; False means drop. `changed` are the names that a rule has set so far."""
    match config.action:
        case Action.REPLACE:
            change = config.expand(config.source_value(labels))
            if change is not None:
                _set(labels, changed, change[0], change[1])
        case Action.KEEP:
            return config.matches(config.source_value(labels))
        case Action.DROP:
            return not config.matches(config.source_value(labels))
        case Action.KEEP_EQUAL:
            return labels.get(config.target_label, "") == config.source_value(labels)
        case Action.DROP_EQUAL:
            return labels.get(config.target_label, "") != config.source_value(labels)
        case Action.HASH_MOD:
            _set(labels, changed, config.target_label, config.bucket(config.source_value(labels)))
        case Action.LOWERCASE:
            _set(labels, changed, config.target_label, _lower(config.source_value(labels)))
        case Action.UPPERCASE:
            _set(labels, changed, config.target_label, _upper(config.source_value(labels)))
        case Action.LABEL_MAP:
            for name, value in list(labels.items()):
                new = config.renamed(name)
                if new is not None:
                    _set(labels, changed, new, value)
        case Action.LABEL_DROP:
            for name in [n for n in labels if config.matches(n)]:
                _set(labels, changed, name, "")
        case Action.LABEL_KEEP:
            for name in [n for n in labels if not config.matches(n)]:
                _set(labels, changed, name, "")
        case _:
            assert_never(config.action)
    return True


def _set(labels: dict[str, str], changed: set[str], name: str, value: str) -> None:
    # As labels.Builder: a label that is set for the first time goes last, and keeps its place when it is set again.
    # labelmap walks the labels in this order, and the last one wins.
    if not value:
        labels.pop(name, None)
        changed.discard(name)
        return
    if name not in changed:
        labels.pop(name, None)
        changed.add(name)
    labels[name] = value


def _lower(text: str) -> str:
    """Go's strings.ToLower: character by character, and never more characters than before."""
    return text.lower() if text.isascii() else "".join(c.lower()[0] for c in text)


def _upper(text: str) -> str:
    """Go's strings.ToUpper: a character whose capital is two characters stays as it is."""
    if text.isascii():
        return text.upper()
    return "".join(next((u for u in (c.upper(), c.title()) if len(u) == 1), c) for c in text)


class _Template:
    """Go's Regexp.Expand: `$1`, `${1}`, `$name`, `$$`; any other `$` is literal."""

    __slots__ = ("_parts", "_plain")

    def __init__(self, text: str):
        parts: list[str | int | tuple[str]] = []  # a text, the number of a group, or its name
        rest = text
        while "$" in rest:
            before, rest = rest.split("$", 1)
            parts.append(before)
            if rest.startswith("$"):
                parts.append("$")
                rest = rest[1:]
                continue
            name, after = _group_name(rest)
            if not name:
                parts.append("$")
                continue
            rest = after
            number = name.isascii() and name.isdigit() and (name == "0" or name[0] != "0") and len(name) < 9
            parts.append(int(name) if number else (name,))
        parts.append(rest)
        self._parts = [p for p in parts if p != ""]
        self._plain = "".join(p for p in self._parts if isinstance(p, str)) if "$" in text else text
        if all(isinstance(p, str) for p in self._parts):
            self._parts = []

    def literals(self) -> Iterable[str]:
        """The parts that are not groups."""
        return [p for p in self._parts if isinstance(p, str)] if self._parts else [self._plain]

    def fill(self, match: RegexMatch) -> str:
        """The text with the groups of a match in their places; an unknown or unmatched group is empty."""
        if not self._parts:
            return self._plain
        groups, named = match.groups(), match.groupdict()
        out = []
        for part in self._parts:
            if isinstance(part, str):
                out.append(part)
            elif isinstance(part, tuple):
                out.append(named.get(part[0]) or "")
            elif part == 0:
                out.append(match.group(0) or "")
            elif part <= len(groups):
                out.append(groups[part - 1] or "")
        return "".join(out)


def _group_name(text: str) -> tuple[str, str]:
    """The group's name at the start of `text` (behind the `$`), and what follows; "" when there is none."""
    brace = text.startswith("{")
    body = text[1:] if brace else text
    end = 0
    while end < len(body) and (body[end] == "_" or body[end].isalpha() or body[end].isdecimal()):
        end += 1
    if end == 0 or (brace and body[end : end + 1] != "}"):
        return "", text
    return body[:end], body[end + brace :]


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '\\"') + '"'


def read_relabel_configs(m: MapReader, key: str, *, legacy_names: bool = False) -> tuple[RelabelConfig, ...]:
    """Read a list of rules; an invalid one is reported and left out."""
    configs = []
    for rule in m.sections(key):
        config = _read(rule, legacy_names)
        if config is not None:
            configs.append(config)
    return tuple(configs)


def _read(m: MapReader, legacy_names: bool) -> RelabelConfig | None:
    action = m.one_of_lower("action", [a.value for a in Action], Action.REPLACE.value, "unknown relabel action")
    sources = m.texts("source_labels")
    for name in sources:
        if not is_valid_utf8_name(name) or (legacy_names and not is_legacy_label_name(name)):
            m.problem(f"{_quoted(name)} is not a valid label name", "source_labels")
    try:
        config = RelabelConfig(
            action=Action(action),
            source_labels=sources,
            separator=m.text("separator", DEFAULT_SEPARATOR),
            regex=m.text("regex", DEFAULT_REGEX),
            modulus=m.count("modulus"),
            target_label=m.text("target_label"),
            replacement=m.text("replacement", DEFAULT_REPLACEMENT),
            legacy_names=legacy_names,
        )
    except RegexError as e:
        m.problem(f"regex: {e}", "regex")
        for key in ("modulus", "target_label", "replacement"):
            m.has(key)
        config = None
    m.finish()
    faults = config.faults() if config else []
    if config and config.action in (Action.KEEP_EQUAL, Action.DROP_EQUAL) and m.has("regex") and not faults:
        faults.append(_ONLY_EQUAL.format(config.action.value))
    for fault in faults:
        m.problem(fault, "action" if m.has("action") else None)
    return config
