"""Labels: the one type that owns sorting, hashing and building of label sets."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Final

METRIC_NAME: Final = "__name__"
METADATA_NAMES: Final = ("__type__", "__unit__")
"""What goes with the metric name wherever that goes (Prometheus schema/labels.go, IsMetadataLabel)."""
ALERT_NAME: Final = "alertname"
BUCKET: Final = "le"
INSTANCE: Final = "instance"
JOB: Final = "job"
_NOT_IN_NAMES: Final = re.compile(r"[^a-zA-Z0-9_]")


class Labels:
    """An immutable set of label pairs, sorted by name, with no empty value (empty means absent).

    Equality and hash go by the pairs, so a `Labels` is a dict key. `get` answers "" for an absent label,
    as Prometheus does everywhere.
    """

    __slots__ = ("_hash", "_pairs")

    def __init__(self, pairs: Mapping[str, str] | Iterable[tuple[str, str]] = ()):
        """Build from a mapping or from pairs; a name given twice keeps its last value."""
        items = dict(pairs)
        self._pairs: tuple[tuple[str, str], ...] = tuple(sorted((n, v) for n, v in items.items() if v != ""))
        self._hash = hash(self._pairs)

    @classmethod
    def of(cls, **labels: str) -> Labels:
        """`Labels.of(job="nacos")`: for names that are Python identifiers."""
        return cls(labels)

    @classmethod
    def of_sorted(cls, pairs: tuple[tuple[str, str], ...]) -> Labels:
        """Trusts that the pairs are sorted by name, each name once, no value empty; the tuples themselves are kept."""
        made = cls.__new__(cls)
        made._pairs = pairs
        made._hash = hash(pairs)
        return made

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """The pairs, sorted by name."""
        return self._pairs

    @property
    def name(self) -> str:
        """The metric name, "" when there is none."""
        return self.get(METRIC_NAME)

    def get(self, name: str) -> str:
        """The value of a label, "" when it is absent."""
        for n, v in self._pairs:
            if n == name:
                return v
        return ""

    def __contains__(self, name: str) -> bool:
        return any(n == name for n, _ in self._pairs)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._pairs)

    def __len__(self) -> int:
        return len(self._pairs)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Labels) and self._hash == other._hash and self._pairs == other._pairs

    def __lt__(self, other: Labels) -> bool:
        """Prometheus' `labels.Compare`: pair by pair, name before value, the shorter first."""
        return self._pairs < other._pairs

    @property
    def has_metadata(self) -> bool:
        """Whether any of METADATA_NAMES is there. They come right behind the metric name, which is nearly always first,
        so that most label sets need one look."""
        pairs = self._pairs
        if len(pairs) > 1 and pairs[0][0] == METRIC_NAME and pairs[1][0][:2] != "__":
            return False
        return any(name in METADATA_NAMES for name, _ in pairs)

    def as_dict(self) -> dict[str, str]:
        """A new dict, sorted by name."""
        return dict(self._pairs)

    def with_(self, pairs: Mapping[str, str]) -> Labels:
        """A new set with these labels set; an empty value removes the label."""
        return Labels({**dict(self._pairs), **pairs})

    def without(self, names: Iterable[str]) -> Labels:
        """A new set without these names."""
        drop = frozenset(names)
        return Labels(p for p in self._pairs if p[0] not in drop)

    def only(self, names: Iterable[str]) -> Labels:
        """A new set with no other names than these."""
        keep = frozenset(names)
        return Labels(p for p in self._pairs if p[0] in keep)

    def __str__(self) -> str:
        """Prometheus' notation: `up{job="nacos"}`, and `{job="nacos"}` without a name."""
        inner = ", ".join(f"{quote_name(n)}={quote_label_value(v)}" for n, v in self._pairs if n != METRIC_NAME)
        name = self.name
        if name and not is_legacy_metric_name(name):
            return "{" + quote_label_value(name) + (", " + inner if inner else "") + "}"
        return f"{name}{{{inner}}}" if inner or not name else name

    def __repr__(self) -> str:
        return f"Labels({str(self)!r})"


EMPTY_LABELS: Final = Labels()


def quote_label_value(value: str) -> str:
    """A label value in double quotes, as Go's strconv.Quote writes what occurs in label values."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return '"' + escaped.replace("\r", "\\r") + '"'


def quote_name(name: str) -> str:
    """A label name as PromQL writes it: bare when it is a legacy name, else quoted."""
    return name if is_legacy_label_name(name) else quote_label_value(name)


def is_legacy_label_name(name: str) -> bool:
    """[a-zA-Z_][a-zA-Z0-9_]*: a name that needs no quotes."""
    return name.isascii() and name.isidentifier()


@lru_cache(maxsize=8192)
def sanitized_label_name(name: str) -> str:
    """A name of another system as a part of a label's name (Prometheus util/strutil, `SanitizeLabelName`)."""
    return _NOT_IN_NAMES.sub("_", name)


def flag_value(value: object) -> str:
    """A flag as the value of a label (Go's strconv.FormatBool)."""
    return "true" if value else "false"


def is_legacy_metric_name(name: str) -> bool:
    """[a-zA-Z_:][a-zA-Z0-9_:]*: a metric name that needs no quotes."""
    return name.isascii() and name.replace(":", "_").isidentifier()


def is_valid_utf8_name(name: str) -> bool:
    """Prometheus 3's default validation scheme: any non-empty, valid UTF-8 text."""
    try:
        return bool(name.encode("utf-8"))
    except UnicodeEncodeError:
        return False
