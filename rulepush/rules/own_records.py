"""Queries of a datasource's rules that read what the rules of their own group record.

What a rule records reaches the engine by remote write, which shows it only later: after the next rule was evaluated,
and often after the next evaluation. So that a rule sees what the rules before it have recorded, as it does in
Prometheus, such a query is computed here, from two sources: what its selectors find on the engine, and what the group
has recorded lately, which is held in memory. All other queries are the engine's.

Of a series that the group has recorded lately the group knows the truth, also that it has ended; of the others, from
before a restart or from elsewhere, the engine does. What a range finds on the engine is there without stale markers:
the API does not show them. That matters only to an instant selector inside of a subquery or with an offset.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from rulepush.histogram.sample import sample_of
from rulepush.model.labels import Labels
from rulepush.model.matcher import Matcher, may_name, selector_text
from rulepush.model.sample import Sample
from rulepush.promql import Query
from rulepush.promql.query import DEFAULT_LOOKBACK_MS, SelectorUse
from rulepush.rules.asking import Answers, Question
from rulepush.rules.doubtful import refuse_doubtful
from rulepush.storage.demand import Demand, ManualDemand
from rulepush.storage.head import Head
from rulepush.storage.selection import EMPTY_SELECTION, Selection

_REMEMBERED: Final = 4096

Matchers = tuple[Matcher, ...]


@dataclass(frozen=True, slots=True)
class _Reading:
    """What one selector needs: an instant (`range_ms` 0), or the samples of `range_ms`."""

    matchers: Matchers
    range_ms: int

    def question(self, ts: int) -> Question:
        text = selector_text(self.matchers)
        if not self.range_ms:
            return Question(text, ts)
        return Question(f"{text}[{self.range_ms}ms]", ts, is_range=True)


class OwnRecords:
    """What the rules of one group have recorded lately, for those of its queries that read it."""

    def __init__(self, names: Iterable[str], queries: Iterable[Query]):
        """`names` are those that the rules record; `queries` those of the group, templates apart."""
        self._names = frozenset(names)
        self._answers: dict[str, bool] = {}  # by the text of queries: templates make ever new ones
        uses = [use for query in queries if self.may_answer(query) for use in query.selectors()]
        self._head = Head(Demand.of(ManualDemand(u.matchers, u.lookback_ms) for u in uses if self._is_own(u.matchers)))

    def may_answer(self, query: Query) -> bool:
        """Whether a query is to be computed here: it reads what the group records, at no fixed time."""
        known = self._answers.get(query.text)
        if known is None:
            if len(self._answers) >= _REMEMBERED:
                self._answers.clear()
            uses = query.selectors()
            known = any(self._is_own(u.matchers) for u in uses) and all(u.since_ms is None for u in uses)
            self._answers[query.text] = known
        return known

    def _is_own(self, matchers: Matchers) -> bool:
        return any(may_name(matchers, name) for name in self._names)

    def append(self, samples: Iterable[Sample]) -> None:
        """A rule has recorded these, stale markers included."""
        self._head.append_many(samples)

    def take_over(self, former: OwnRecords) -> None:
        """Go on with what the group had recorded before a reload, as far as it is still read."""
        demand = self._head.demand
        self._head = former._head
        self._head.set_demand(demand)

    def truncate(self, ts: int) -> None:
        """Let go of what no query reads any more at `ts` (ms)."""
        self._head.truncate(ts)

    def samples(self, query: Query, ts: int, answers: Answers) -> Head:
        """What the query reads at `ts` (ms). Raises AnswersMissing and EvaluationError."""
        readings = list(_readings(query))
        for reading in readings:
            answers.want(reading.question(ts))
        answers.check()
        found = [answers.get(reading.question(ts)) for reading in readings]
        for samples in found:
            refuse_doubtful(samples, "compute with")
        return _joined(readings, found, self, ts)

    def known(self, matchers: Matchers, since: int, ts: int) -> dict[Labels, list[Sample]]:
        """The own samples that match, after `since` and up to `ts` (ms), by series."""
        if not self._is_own(matchers):
            return {}
        return _by_series(self._head.querier().select(matchers, since, ts), since, ts)


def _readings(query: Query) -> Iterator[_Reading]:
    """One for each set of matchers, in source order: where it is read as a range too, as that."""
    longest: dict[Matchers, int] = {}
    for use in query.selectors():
        longest[use.matchers] = max(longest.get(use.matchers, 0), _range_ms(use))
    return (_Reading(matchers, range_ms) for matchers, range_ms in longest.items())


def _range_ms(use: SelectorUse) -> int:
    plain = not use.ranged and use.lookback_ms == DEFAULT_LOOKBACK_MS
    return 0 if plain else use.lookback_ms


def _joined(readings: Sequence[_Reading], found: Sequence[Sequence[Sample]], own: OwnRecords, ts: int) -> Head:
    """A head with everything: the engine's samples, and the own ones instead where there are some."""
    samples: dict[tuple[Labels, int], Sample] = {}
    for reading, of_engine in zip(readings, found, strict=True):
        known = own.known(reading.matchers, ts - (reading.range_ms or DEFAULT_LOOKBACK_MS), ts)
        for of_series in known.values():
            samples.update(((s.labels, s.ts), s) for s in of_series)
        for sample in of_engine:
            if reading.range_ms or sample.labels not in known:
                samples.setdefault((sample.labels, sample.ts), sample)
    head = Head(Demand.keep_all(1 << 50))
    head.append_many(sorted(samples.values(), key=lambda s: s.ts))
    return head


def _by_series(selection: Selection, since: int, ts: int) -> dict[Labels, list[Sample]]:
    if selection is EMPTY_SELECTION:
        return {}
    found: dict[Labels, list[Sample]] = {}
    rows = zip(selection.index.labels, selection.times, selection.values, selection.counts.tolist(), strict=True)
    for labels, times, values, count in rows:
        pairs = zip(times[:count].tolist(), values[:count].tolist(), strict=True)
        kept = [sample_of(selection.boxes, labels, at, value) for at, value in pairs if since < at <= ts]
        if kept:
            found[labels] = kept
    return found
