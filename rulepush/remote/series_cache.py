"""From a sample's labels to the series that is sent: external labels, write relabelling, serialised once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rulepush.model.labels import METRIC_NAME, Labels
from rulepush.relabel.relabel import RelabelConfig, relabel
from rulepush.remote.encode import SentSeries

_KEEP_MS: Final = 10 * 60_000


class RelabelCache:
    """Evicts series that were not looked up for 10 to 20 minutes."""

    def __init__(self, external_labels: Labels, relabel_configs: Sequence[RelabelConfig]):
        self._external = external_labels
        self._configs = tuple(relabel_configs)
        self._young: dict[Labels, SentSeries | None] = {}
        self._old: dict[Labels, SentSeries | None] = {}
        self._turned_at = 0

    def __len__(self) -> int:
        return len(self._young.keys() | self._old.keys())

    def turn(self, now: int) -> None:
        """Call it before look-ups; `now` in ms."""
        if now - self._turned_at >= _KEEP_MS:
            self._turned_at = now
            self._old, self._young = self._young, {}

    def get(self, labels: Labels) -> SentSeries | None:
        """What is sent for these labels, None when relabelling drops them."""
        try:
            return self._young[labels]
        except KeyError:
            known = self._old[labels] if labels in self._old else self._make(labels)
            self._young[labels] = known
            return known

    def _make(self, labels: Labels) -> SentSeries | None:
        pairs = {**dict(self._external.pairs), **dict(labels.pairs)}
        sent = relabel(Labels(pairs), self._configs)
        if sent is None or METRIC_NAME not in sent:
            return None
        return SentSeries(sent)
