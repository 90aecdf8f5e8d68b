"""Samples as lines of the text format 0.0.4, as prometheus/common expfmt/text_create.go writes them."""

from __future__ import annotations

from collections.abc import Iterable

from rulepush.model.floats import format_float_g
from rulepush.model.labels import METRIC_NAME, is_legacy_label_name, is_legacy_metric_name


def type_line(name: str, kind: str) -> str:
    """`# TYPE up untyped`. A name that is no legacy one is quoted."""
    return f"# TYPE {_shown_metric(name)} {kind}\n"


def sample_line(name: str, labels: Iterable[tuple[str, str]], value: float, ts: int) -> str:
    """One sample with its time in ms. Names that are no legacy ones are quoted."""
    shown, pairs = _shown_metric(name), []
    if shown.startswith('"'):
        pairs.append(shown)
        shown = ""
    # As the original writes them: a label's name may have a colon.
    pairs += [f"{_shown_metric(label)}={_quoted(text)}" for label, text in labels]
    return (
        f"{shown}{{{','.join(pairs)}}} {format_float_g(value)} {ts}\n"
        if pairs
        else f"{shown} {format_float_g(value)} {ts}\n"
    )


def series_text(pairs: Iterable[tuple[str, str]]) -> str:
    """A series, its metric name under `__name__`, as it stands before a value; names that are no legacy ones quoted."""
    labels = dict(pairs)
    name = labels.pop(METRIC_NAME)
    texts = [f"{_shown_label(label)}={_quoted(text)}" for label, text in labels.items()]
    if not is_legacy_metric_name(name):
        return "{" + ",".join([_quoted(name), *texts]) + "}"
    return f"{name}{{{','.join(texts)}}}" if texts else name


def _shown_metric(name: str) -> str:
    return name if is_legacy_metric_name(name) else _quoted(name)


def _shown_label(name: str) -> str:
    return name if is_legacy_label_name(name) else _quoted(name)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"") + '"'
