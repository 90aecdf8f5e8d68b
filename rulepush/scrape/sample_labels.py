"""From the labels in a body to the labels that are kept (prometheus scrape/scrape.go mutateSampleLabels)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rulepush.errors import ScrapeError
from rulepush.model.labels import METRIC_NAME, Labels, is_legacy_label_name, is_legacy_metric_name, quote_label_value
from rulepush.relabel.relabel import Relabel

_EXPORTED = "exported_"


@dataclass(frozen=True, slots=True)
class SampleRules:
    """What a scrape configuration says about the samples of its targets. A limit of 0 is no limit."""

    honor_labels: bool = False
    honor_timestamps: bool = True
    track_timestamps_staleness: bool = False
    metric_relabel: Relabel | None = None
    sample_limit: int = 0
    label_limit: int = 0
    label_name_length_limit: int = 0
    label_value_length_limit: int = 0
    legacy_names: bool = False  # metric_name_validation_scheme: legacy
    type_and_unit_labels: bool = False  # series have __type__ and __unit__ as the body declares them

    @property
    def only_names_matter(self) -> bool:
        """Whether a series can be refused by its metric name alone, without building its labels."""
        limits = self.label_limit or self.label_name_length_limit or self.label_value_length_limit
        return self.metric_relabel is None and not limits and not self.legacy_names


DEFAULT_RULES: Final = SampleRules()


def sample_labels(pairs: Sequence[tuple[str, str]], target: Labels, rules: SampleRules) -> Labels | None:
    """The labels of a scraped series, None when metric relabelling drops it. Raises ScrapeError at a limit.

    `pairs` are as written in the body, empty values included: with honor_labels an empty label keeps the target's out.
    """
    written = dict(pairs)
    if rules.honor_labels:
        merged = {**dict(target), **written}
    else:
        merged = {**written, **dict(target)}
        clashes = [(n, written[n]) for n, _ in target if written.get(n)]
        # The shortest first, so that `exported_x` of the body moves out of the way before `x` needs the name.
        for name, value in sorted(clashes, key=lambda c: len(c[0])):
            free = _EXPORTED + name
            while merged.get(free):
                free = _EXPORTED + free
            merged[free] = value
    labels: Labels | None = Labels(merged)
    if rules.metric_relabel is not None and labels is not None:
        labels = rules.metric_relabel(labels)
    if not labels:
        return None
    if METRIC_NAME not in labels:
        raise ScrapeError("missing metric name (__name__ label)")
    if rules.legacy_names and not (
        is_legacy_metric_name(labels.name) and all(is_legacy_label_name(name) for name, _ in labels)
    ):
        raise ScrapeError(f"invalid metric name or label names: {labels}")
    _check_limits(labels, rules)
    return labels


def _check_limits(labels: Labels, rules: SampleRules) -> None:
    if not (rules.label_limit or rules.label_name_length_limit or rules.label_value_length_limit):
        return
    metric = labels.name[:50]
    if rules.label_limit and len(labels) > rules.label_limit:
        raise ScrapeError(
            f"label_limit exceeded (metric: {metric}, number of labels: {len(labels)}, limit: {rules.label_limit})"
        )
    for name, value in labels:
        size, limit = len(name.encode()), rules.label_name_length_limit
        if limit and size > limit:
            raise ScrapeError(
                f"label_name_length_limit exceeded (metric: {metric}, label name: {name[:50]}, length: {size},"
                f" limit: {limit})"
            )
        size, limit = len(value.encode()), rules.label_value_length_limit
        if limit and size > limit:
            raise ScrapeError(
                f"label_value_length_limit exceeded (metric: {metric}, label name: {name[:50]},"
                f" value: {quote_label_value(value[:50])}, length: {size}, limit: {limit})"
            )
