"""Samples as lines of the text format 0.0.4, as prometheus/common expfmt/text_create.go writes them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from rulepush.model.floats import format_float_g
from rulepush.model.labels import METRIC_NAME, is_legacy_label_name, is_legacy_metric_name

_NOT_LEGACY: Final = re.compile(r"[^a-zA-Z0-9_:]")


def type_line(name: str, kind: str, *, utf8_names: bool) -> str:
    """`# TYPE up untyped`."""
    return f"# TYPE {_shown_metric(name, utf8_names)} {kind}\n"


def sample_line(name: str, labels: Iterable[tuple[str, str]], value: float, ts: int, *, utf8_names: bool) -> str:
    """One sample with its time in ms. Without `utf8_names`, what is no legacy name is escaped with underscores."""
    shown, pairs = _shown_metric(name, utf8_names), []
    if shown.startswith('"'):
        pairs.append(shown)
        shown = ""
    pairs += [f"{_shown_label(label, utf8_names)}={_quoted(text)}" for label, text in labels]
    return (
        f"{shown}{{{','.join(pairs)}}} {format_float_g(value)} {ts}\n"
        if pairs
        else f"{shown} {format_float_g(value)} {ts}\n"
    )


def series_text(pairs: Iterable[tuple[str, str]]) -> str:
    """A series, its metric name under `__name__`, as it stands before a value; names that are no legacy ones quoted."""
    labels = dict(pairs)
    name = labels.pop(METRIC_NAME)
    texts = [f"{_shown_label(label, utf8_names=True)}={_quoted(text)}" for label, text in labels.items()]
    if not is_legacy_metric_name(name):
        return "{" + ",".join([_quoted(name), *texts]) + "}"
    return f"{name}{{{','.join(texts)}}}" if texts else name


def _shown_metric(name: str, utf8_names: bool) -> str:
    if is_legacy_metric_name(name):
        return name
    return _quoted(name) if utf8_names else _escaped_name(name)


def _shown_label(name: str, utf8_names: bool) -> str:
    if is_legacy_label_name(name):
        return name
    return _quoted(name) if utf8_names else _escaped_name(name)


def _escaped_name(name: str) -> str:
    """The escaping scheme `underscores` of prometheus/common model.EscapeName."""
    return _NOT_LEGACY.sub("_", "_" + name[1:] if name[:1].isdigit() else name)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"") + '"'
