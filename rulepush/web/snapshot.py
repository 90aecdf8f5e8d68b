"""What one query reads, copied, so that it can be evaluated while the storage goes on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from rulepush.errors import QueryLimitError
from rulepush.model.index import LabelIndex
from rulepush.model.matcher import Matcher
from rulepush.promql import EngineOptions, Query
from rulepush.promql.eval.evaluation import TOO_MANY_SAMPLES
from rulepush.promql.vectors.windows import cut
from rulepush.storage.head import Head
from rulepush.storage.selection import Selection

MOST_COMPARISONS: Final = 5_000_000  # of a label with a matcher: about a second
_FAR_FUTURE: Final = 1 << 62


def check_effort(head: Head, selectors: Iterable[Sequence[Matcher]]) -> None:
    """Series are selected in the event loop. Raises QueryLimitError when that would hold it for long."""
    if sum((1 + len(matchers)) * (1 + head.candidates(matchers)) for matchers in selectors) > MOST_COMPARISONS:
        raise QueryLimitError("the selectors of the query have too many series to look at")


class Snapshot:
    """A Querier for one query. Made in the event loop, read in any thread. `uses`: the selectors of the query."""

    def __init__(self, head: Head, query: Query, first: int, options: EngineOptions):
        """Copies the samples that `query` may read when it is evaluated at `first` (ms) and later. Raises
        QueryLimitError when they are too many."""
        since: dict[tuple[Matcher, ...], int] = {}
        self.uses = query.selectors(options.lookback_delta_ms)
        for use in self.uses:
            oldest = (first if use.since_ms is None else min(first, use.since_ms)) - use.lookback_ms
            since[use.matchers] = min(oldest, since.get(use.matchers, oldest))
        check_effort(head, since)
        self._known: dict[tuple[Matcher, ...], tuple[int, Selection]] = {}
        left = options.max_samples
        for matchers, oldest in since.items():
            selection = _cut(head.peek(matchers), oldest)
            left -= int(selection.counts.sum())
            if left < 0:
                raise QueryLimitError(TOO_MANY_SAMPLES)
            self._known[matchers] = (oldest, _copy(selection))

    def select(self, matchers: Sequence[Matcher], mint: int, maxt: int) -> Selection:
        """See `storage.selection.Querier`. Raises LookupError for what the query did not say it would read."""
        key = tuple(matchers)
        if key not in self._known:  # info() names the metrics that it reads, and asks for some of their series
            wider = next((known for known in self._known if set(known) <= set(key)), None)
            if wider is None:
                raise LookupError(f"{key} is asked for, and was not copied")
            oldest, selection = self._known[wider]
            self._known[key] = (oldest, _filtered(selection, [m for m in key if m not in wider]))
        oldest, selection = self._known[key]
        if mint <= oldest:
            raise LookupError(f"samples since {mint} are asked for, those after {oldest} were copied")
        return selection


def _filtered(selection: Selection, matchers: Sequence[Matcher]) -> Selection:
    labels = selection.index.labels
    rows = [i for i, of_row in enumerate(labels) if all(m.matches_labels(of_row) for m in matchers)]
    index = LabelIndex([labels[i] for i in rows])
    return Selection(index, selection.times[rows], selection.values[rows], selection.counts[rows])


def _cut(selection: Selection, oldest: int) -> Selection:
    """The samples later than `oldest`."""
    times, values, counts = cut(selection.times, selection.values, selection.counts, oldest, _FAR_FUTURE)
    return Selection(selection.index, times, values, counts)


def _copy(selection: Selection) -> Selection:
    """The same in arrays and with a LabelIndex of its own: no memo is shared with other threads."""
    index = LabelIndex(selection.index.labels)
    return Selection(index, np.array(selection.times), np.array(selection.values), np.array(selection.counts))
