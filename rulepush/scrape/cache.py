"""ScrapeCache: what a target's lines mean, learned once a series.

Most of the cost of a scrape is to turn text into label sets. A target's lines are nearly the same each time, so what a
line means is kept by its raw bytes. There are four levels, fastest first:

1. `_plan` (a BodyLayout): the body has the same series in the same order as the one before. All lines are compared and
   all values converted by a few calls in C; nothing is looked up. Used only after a body in which each sample line is
   `key value`, without timestamps.
2. `_follow`: the same, but for a few series that came or went. They cost what they are, and the others what they cost
   on the first level, twice at most; the plan then is that of this body.
3. `_entries`: from the bytes of a line before its value to an Entry: the series it goes to, or a LineVerdict that says
   no rule needs it, or metric_relabel_configs dropped it. A known line costs a split and a look-up.
4. The parser, for a line that is new to all targets. `_resolve` applies the target's labels, relabelling and limits.

The first body of a target that says what another target said (a BodyTemplate) is compared as on the first level; then
each line is resolved. The two share what is known of the lines.

Invariants:

- A body counts as a whole or not at all: nothing is appended before all of it has parsed and keeps to the limits, and
  an error leaves `_entries` as it was.
- `_entries` and `_silent` hold the lines of the last good body and no others, so a target that makes up new series at
  each scrape does not grow the cache.
- An Entry is a statement about the rules' demand. When the head's `epoch` changes (a reload), or the target answers in
  another format, every entry is void (`_forget`); which series are live is not.
- Live are the series of the last good body that had no timestamp of their own. Those that the next body lacks get a
  stale marker at that scrape's time; a failed scrape ends all of them (Prometheus scrape.go, `updateStaleMarkers`).
  Series with timestamps are live only with track_timestamps_staleness.
- `_series` has every series of `_entries` and every live one, by its labels. As long as no line is new, it is None:
  then `_entries` has them all.
- Series from before a restart (`add_restored`) are live, too, until the first scrape shows whether they still exist.
- `read` works in slices, between which others work. It uses `_entries` but does not write it; `finish` gives None when
  the epoch has changed meanwhile, and the body is read from the start again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import islice
from typing import TYPE_CHECKING, Final

import numpy as np

from rulepush.errors import ExpositionError, ScrapeError
from rulepush.exposition import FamilyMetadata, Format, each_sample, parse_line
from rulepush.histogram.boxes import Boxes
from rulepush.histogram.errors import HistogramError
from rulepush.model.arrays import Floats
from rulepush.model.block import SampleBlock
from rulepush.model.labels import Labels
from rulepush.model.sample import STALE
from rulepush.scrape.body_histograms import BodyHistograms, sample_block
from rulepush.scrape.exposed import ExposedLines
from rulepush.scrape.failed import LIMIT_EXCEEDED, FailedBody
from rulepush.scrape.interner import BodyTemplate, Interner, WrittenSeries
from rulepush.scrape.layout import BodyLayout, BodyLines, Placement, ScrapeBodyStats, TargetSeries, to_floats
from rulepush.scrape.reading import ParsedLines, declared_before, ends_well, read_as_before, read_known_body
from rulepush.scrape.sample_labels import SampleRules, sample_labels
from rulepush.scrape.zeros import ZeroSamples
from rulepush.slices import Slices, at_once
from rulepush.storage.head import Head
from rulepush.storage.table import MAX_AHEAD_MS, AppendOutcome, Rows, as_rows, row_numbers

if TYPE_CHECKING:
    from rulepush.exposition.translated import StartTimestamps

_NOT_UNIQUE: Final = "is not unique: invalid sample"  # of a line with a label twice
_LIMIT_MARGIN: Final = 1000
# Measured with sys.getsizeof: an entry of a dict; of a kept series a TargetSeries, its place and its position in a
# TableGroup.
_LINE_BYTES: Final = 45
_SERIES_BYTES: Final = 105
_NO_SLOTS: Final = slice(0, 0)

Sink = Callable[[SampleBlock], None]
"""Takes what a scrape wrote, in this order: the body, samples with times of their own, stale markers."""


class LineVerdict(Enum):
    """Lines whose values go nowhere."""

    NOT_WANTED = "no rule needs it"
    DROPPED = "metric_relabel_configs dropped it"


Entry = TargetSeries | LineVerdict


@dataclass(frozen=True, slots=True)
class Ingested:
    """What became of a body. With an `error`, nothing of it was appended."""

    counts: ScrapeBodyStats
    added: int = 0  # series that the body before did not have
    late: int = 0  # out of order, or too far ahead
    duplicates: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True)
class UnreadBody:
    """A body whose lines are not all known in their order: `ScrapeCache.read` reads it."""

    body: bytes
    lines: list[bytes]
    fmt: Format
    epoch: int
    histograms: BodyHistograms | None = None


class ScrapeCache:
    """One a target. Call `ingest` for each body, `end` for a scrape that failed and for a target that goes away.

    A body that is new takes ten to a hundred times as long as one that is known. So that others can work meanwhile:
    begin(), the slices of read(), finish(). Do not call other methods in between.
    """

    def __init__(
        self, head: Head, target: Labels, rules: SampleRules, interner: Interner | None = None, sink: Sink | None = None
    ):
        """`sink`, when set, gets every sample of every scrape, wanted or not, stale markers included. As long as a body
        has the series of the one before, its block has the same tuple of them."""
        self._head = head
        self._target = target
        self._rules = rules
        self._interner = interner or Interner()
        self._sink = sink
        self._target_pairs = list(target)
        self._target_names = frozenset(name for name, _ in target)
        self._epoch = head.epoch
        self._format = Format.TEXT
        self._entries: dict[bytes, Entry] = {}
        self._series: dict[Labels, TargetSeries] | None = None
        self._kept = 0  # series in `_entries`
        self._silent: Mapping[bytes, None] = {}
        self._plan: BodyLayout | None = None
        # For the sink: the series of the last body, and with a plan, the slot of each.
        self._passing: tuple[Labels, ...] = ()
        self._passing_slots: Rows = _NO_SLOTS
        self._ended = False  # whether the scrape after the last good body failed: no series is live
        self._seen: frozenset[bytes] = frozenset()  # the keys of the body before a reload
        self._failed: set[bytes] = set()  # those of new series in bodies that failed since the last good one
        self._zeros = ZeroSamples(head, sink)
        self._starts: StartTimestamps | None = None  # those of the body that is taken in
        self._has_restored = False  # whether some live series come from before a restart

    def ingest(self, body: bytes, fmt: Format, ts: int, histograms: BodyHistograms | None = None) -> Ingested:
        """Take in the body of a scrape at `ts`, some of whose samples may be histograms."""
        begun = self.begin(body, fmt, ts, histograms)
        if isinstance(begun, Ingested):
            return begun
        done = self.finish(begun, at_once(self.read(begun)), ts)
        assert done is not None  # the demand cannot change in between
        return done

    def begin(
        self,
        body: bytes,
        fmt: Format,
        ts: int,
        histograms: BodyHistograms | None = None,
        starts: StartTimestamps | None = None,
    ) -> Ingested | UnreadBody:
        """Take in a body at once if it has the lines of the one before. With `starts`, zeros go before samples."""
        self._starts = starts
        if self._epoch != self._head.epoch or fmt is not self._format:
            self._forget(fmt)
        if not body:
            self.end(ts)
            return Ingested(ScrapeBodyStats())
        lines = body.split(b"\n")
        plan = self._plan
        values = None if plan is None else plan.values(lines, len(body), histograms)
        if plan is not None and values is not None:
            if starts is not None:
                self._put_zeros(starts, self._entries, ts)
            late, duplicates = plan.placement.append(ts, values, _boxes(histograms))
            self._failed.clear()
            if self._ended:
                self._ended = False
                for series in self._series_of_lines():
                    series.live = True
            if self._sink is not None:
                self._sink(sample_block(self._passing, ts, values[self._passing_slots], histograms))
            return Ingested(plan.counts, 0, late, plan.counts.duplicates + duplicates)
        done = None if plan is None else self._follow(plan, lines, len(body), ts, histograms)
        return done or UnreadBody(body, lines, fmt, self._epoch, histograms)

    def read(self, unread: UnreadBody) -> Slices[ParsedLines[Entry] | Ingested]:
        """Read a body line by line, in slices; with an error, nothing of it counts."""
        body, lines, fmt = unread.body, unread.lines, unread.fmt
        far_too_many = self._far_beyond_limit(lines)
        if far_too_many:
            keys = (line.rpartition(b" ")[0] for line in lines if line and not line.startswith(b"#"))
            first = FailedBody(0, {}, self._is_known)
            for key in islice(keys, self._rules.sample_limit):
                first.kept(key)
            added = self._learn_failed(first)
            return Ingested(ScrapeBodyStats(far_too_many, far_too_many), added, error=LIMIT_EXCEEDED)
        try:
            template = None if self._entries else self._interner.template(fmt, lines)
            if template is not None:
                read = yield from read_as_before(body, lines, template, self._resolve)
                if read is not None:
                    return read
            return (
                yield from read_known_body(
                    body,
                    lines,
                    fmt,
                    self._entries,
                    self._silent,
                    self._resolve,
                    self._interner,
                    type_and_unit=self._rules.type_and_unit_labels,
                )
            )
        except ExpositionError as e:
            error, good = str(e), b"\n".join(lines[: e.line - 1])
        except ScrapeError as e:
            error, good = str(e), body
        # Not within `except`: what was read before the error would be kept with it.
        return (yield from self.refuse(good, fmt, error))

    def refuse(
        self, good: bytes, fmt: Format, error: str, faults: Mapping[int, HistogramError] | None = None
    ) -> Slices[Ingested]:
        """What becomes of a body for whose `error` nothing of it counts; `good` is what stands before that. Or for one
        of the `faults` of its histograms, by the number of the sample: without an error when all of them are dropped.
        """
        found = yield from self._count_failed(good, fmt, faults or {})
        error = found.error if found.ended else error or found.error
        if not error:
            return Ingested(ScrapeBodyStats())
        # For Prometheus a line with a label twice parses, and its storage refuses it: it counts.
        scraped = found.scraped + (1 if error.endswith(_NOT_UNIQUE) else 0)
        return Ingested(ScrapeBodyStats(scraped, found.post_relabel), self._learn_failed(found), error=error)

    def finish(self, unread: UnreadBody, found: ParsedLines[Entry] | Ingested, ts: int) -> Ingested | None:
        """Take in what was read; None when the rules want other series by now: read it from the start again."""
        if isinstance(found, Ingested):
            return found
        if unread.epoch != self._head.epoch:
            return None
        if unread.histograms is not None:
            unread.histograms.put(found.values)
        return self._take(found, unread.lines, ts, unread.histograms)

    def end(self, ts: int) -> int:
        """Write stale markers for all series of the last good body. Returns how many there were."""
        self._has_restored, self._ended = False, True
        live = self._live_series()
        for series in live:
            series.live = False
        return self._mark_stale(live, ts)

    def add_restored(self, series: Iterable[Labels]) -> None:
        """These are the target's from before a restart: they end at its first scrape if that does not have them."""
        for labels in series:
            self._known_series().setdefault(labels, TargetSeries(labels)).live = True
            self._has_restored = True

    def take_over(self, former: ScrapeCache) -> None:
        """Go on where the cache of a target with the same labels stopped, under a new configuration."""
        self._series, self._has_restored = former._known_series(), former._has_restored
        self._seen = frozenset(former._entries)

    @property
    def nbytes(self) -> int:
        """About the bytes of what is known of the body's lines; without the texts, which the interner shares."""
        lines, series = len(self._entries) + len(self._silent), self._kept
        if self._series is not None:
            lines, series = lines + len(self._series), len(self._series)
        return lines * _LINE_BYTES + series * _SERIES_BYTES

    def metadata(self) -> dict[str, FamilyMetadata]:
        """TYPE, HELP and UNIT of the last good body, by metric family."""
        return self.exposed(with_series=False).families()

    def exposed(self, *, with_series: bool = True) -> ExposedLines:
        """The lines of the last good body, whatever became of them."""
        comments = [line for line in self._silent if line.startswith(b"# ") and line != b"# EOF"]
        entries = self._entries if with_series else {}
        labels = [entry.labels if isinstance(entry, TargetSeries) else None for entry in entries.values()]
        return ExposedLines(self._target, self._rules, self._format, list(entries), labels, comments)

    @property
    def line_count(self) -> int:
        """The samples of the last good body."""
        return len(self._entries)

    def _forget(self, fmt: Format) -> None:
        """The demand or the format is new: every verdict is void. The live series stay known."""
        self._format, self._epoch = fmt, self._head.epoch
        self._seen = frozenset(self._entries)
        self._series = self._known_series()
        self._entries, self._silent, self._plan = {}, {}, None

    def _series_of_lines(self) -> Iterable[TargetSeries]:
        """Those of the last good body; one that is there twice, twice."""
        return (entry for entry in self._entries.values() if isinstance(entry, TargetSeries))

    def _live_series(self) -> list[TargetSeries]:
        """Those that get a stale marker when they go."""
        known = self._series_of_lines() if self._series is None else self._series.values()
        return list(dict.fromkeys(series for series in known if series.live))

    def _known_series(self) -> dict[Labels, TargetSeries]:
        """Those of the last good body and the live ones, by their labels."""
        if self._series is None:
            self._series = {series.labels: series for series in self._series_of_lines()}
        return self._series

    def _far_beyond_limit(self, lines: Sequence[bytes]) -> int:
        """How many samples a body seems to have when it breaks the sample limit whatever they are, else 0.

        Parsing costs a hundred times more than to count. Nearer to the limit it takes the parser: a quoted newline
        makes two lines of one sample. So does relabelling, for what it drops is free.
        """
        most = 2 * self._rules.sample_limit + _LIMIT_MARGIN
        if not self._rules.sample_limit or self._rules.metric_relabel is not None or len(lines) <= most:
            return 0
        count = len({line.rpartition(b" ")[0] for line in lines if line and not line.startswith(b"#")})
        return count if count > most else 0

    def _count_failed(self, good: bytes, fmt: Format, faults: Mapping[int, HistogramError]) -> Slices[FailedBody]:
        """What Prometheus reports of a body that it gave up: the lines before, and the one that broke a limit."""
        if fmt is Format.OPENMETRICS:
            good = good.rstrip(b"\n").removesuffix(b"# EOF").rstrip(b"\n")
            good = (good + b"\n" if good else good) + b"# EOF\n"
        rules = self._rules
        found = FailedBody(rules.sample_limit, faults, self._is_known)
        try:
            for sample in each_sample(good, fmt, type_and_unit=rules.type_and_unit_labels):
                yield
                found.parsed()
                if self._resolve(self._interner.written(sample.pairs)) is not LineVerdict.DROPPED:
                    found.kept(sample.key, timed=rules.honor_timestamps and sample.ts is not None)
                if found.ended:
                    break
        except ExpositionError:
            pass
        except ScrapeError as e:
            found.end(str(e))
        return found

    def _is_known(self, key: bytes) -> bool:
        """Whether a line is no new series: it was there in the last good body, or in one that failed since."""
        return key in self._entries or key in self._seen or key in self._failed

    def _learn_failed(self, found: FailedBody) -> int:
        """Remember the new series of a failed body: they are new once. Returns how many there are."""
        if len(self._failed) > 2 * len(self._entries) + _LIMIT_MARGIN:  # it makes up new ones each time
            self._failed.clear()
        self._failed |= set(map(self._interner.raw, found.fresh))
        return found.added

    def _resolve(self, written: WrittenSeries) -> Entry:
        """What a line that was not seen before means. Raises ScrapeError at a limit."""
        rules, demand = self._rules, self._head.demand
        plain = rules.only_names_matter
        if self._sink is None and plain and not demand.wants_name(written.name):
            return LineVerdict.NOT_WANTED
        labels: Labels | None
        wanted = True if self._sink is not None else None  # a sink gets what no rule needs, too
        shared = plain and bool(written.name) and written.names.isdisjoint(self._target_names)
        if shared:  # nothing but to put the two together
            wanted = wanted or self._interner.wanted(written, self._target_names, demand)
            if wanted is False:
                return LineVerdict.NOT_WANTED
            labels = self._interner.merged(written, self._target_pairs, self._target_names)
        else:
            labels = sample_labels(written.pairs, self._target, rules)
        if labels is None:
            return LineVerdict.DROPPED
        if not wanted and not demand.wants(labels):
            return LineVerdict.NOT_WANTED
        series = self._known_series()
        known = series.get(labels)
        if known is not None:
            return known
        if not shared:
            labels = Labels.of_sorted(tuple(self._interner.pairs(labels)))
        made = series[labels] = TargetSeries(labels, self._head.epoch if self._sink is None else None)
        return made

    def _take(
        self, read: ParsedLines[Entry], lines: list[bytes], ts: int, histograms: BodyHistograms | None
    ) -> Ingested:
        """Append a body that was read the long way, and learn from it."""
        rules = self._rules
        post = duplicates = 0
        live: dict[TargetSeries, None] = {}
        placed: dict[TargetSeries, int] = {}
        timed: list[tuple[TargetSeries, int, float]] = []
        times = read.times if rules.honor_timestamps else {}
        for position, entry in enumerate(read.entries):
            if isinstance(entry, LineVerdict):
                post += entry is LineVerdict.NOT_WANTED
                continue
            post += 1
            if position in times:
                timed.append((entry, times[position], float(read.values[position])))
                if rules.track_timestamps_staleness:
                    live[entry] = None
            elif entry in placed:
                duplicates += 1  # the first one counts
            else:
                placed[entry] = position
                live[entry] = None
        if rules.sample_limit and post - duplicates > rules.sample_limit:
            first = FailedBody(rules.sample_limit, {}, self._is_known)
            for position, (key, entry) in enumerate(zip(read.keys, read.entries, strict=True)):
                if entry is not LineVerdict.DROPPED:
                    first.kept(key, timed=position in times)
            return Ingested(ScrapeBodyStats(len(read.keys), post), self._learn_failed(first), error=LIMIT_EXCEEDED)
        wanted = len(placed) + len(timed)
        if self._sink is not None:  # then what no rule needs has a series, too
            wanted = sum(
                map(self._head.demand.wants, (s.labels for s in (*placed, *(series for series, _, _ in timed))))
            )
        counts = ScrapeBodyStats(len(read.keys), post, wanted, duplicates)
        if self._starts is not None:
            self._put_zeros(self._starts, dict(zip(read.keys, read.entries, strict=True)), ts)
        placement = Placement(self._head, list(placed.items()))
        late, same = placement.append(ts, read.values, _boxes(histograms))
        late += self._append_timed(timed, ts, histograms)
        # What was restored may have come with a timestamp of its own: such a series is not live, but here.
        here = {series for series, _, _ in timed} if self._has_restored else frozenset()
        self._has_restored = False
        before = self._live_series()
        gone = [series for series in before if series not in live and series not in here]
        if self._sink is not None:
            self._pass_on(self._sink, placed, timed, ts, read.values, histograms)
        self._mark_stale(gone, ts)
        for series in before:
            series.live = False
        for series in live:
            series.live = True
        self._ended = False
        added = self._learn(read)
        if read.regular and read.keys:
            pattern = self._pattern(read, lines)
            self._plan = BodyLayout(pattern, placement, counts)
            self._series = None  # all that are live are in this body
        else:
            self._plan = None
        return Ingested(counts, added, late, duplicates + same)

    def _put_zeros(self, starts: StartTimestamps, entries: Mapping[bytes, Entry], ts: int) -> None:
        def labels_of(key: bytes) -> Labels | None:
            entry = entries.get(key)
            return entry.labels if isinstance(entry, TargetSeries) else None

        self._zeros.put(starts, labels_of, ts)

    def _pass_on(
        self,
        sink: Sink,
        placed: Mapping[TargetSeries, int],
        timed: Sequence[tuple[TargetSeries, int, float]],
        ts: int,
        values: Floats,
        histograms: BodyHistograms | None,
    ) -> None:
        """Give the sink a body that was read the long way: `placed` are its series and the places of their values."""
        series = tuple(s.labels for s in placed)
        if series != self._passing:  # who remembers something by the tuple goes on with the one before
            self._passing = series
        self._passing_slots = as_rows(list(placed.values()))
        if placed:
            sink(sample_block(self._passing, ts, values[self._passing_slots], histograms))
        if timed:
            times = np.array([t for _, t, _ in timed], np.int64)
            with_times = tuple(s.labels for s, _, _ in timed)
            sink(sample_block(with_times, times, np.array([v for _, _, v in timed]), histograms))

    def _pattern(self, read: ParsedLines[Entry], lines: list[bytes]) -> BodyLines:
        """What the body looks like; the one of another target where that looks the same."""
        if read.template is not None:
            return read.template.lines
        pattern = BodyLines.of(lines, read.at, list(map(self._interner.raw, read.keys)))
        if len(read.written) == len(pattern.keys):  # all lines were new: others may say the same for the first time
            written = tuple(map(read.written.__getitem__, pattern.keys))
            self._interner.learn_template(self._format, lines, BodyTemplate(pattern, written, self._silent))
        return pattern

    def _follow(
        self, plan: BodyLayout, lines: list[bytes], size: int, ts: int, histograms: BodyHistograms | None
    ) -> Ingested | None:
        """Take in a body that differs from the one before in a few series only; None when it differs in more, or
        when something about it needs a closer look: then nothing has changed yet."""
        rules, sink = self._rules, self._sink
        entries = self._entries
        if plan.counts.duplicates or len(entries) != len(plan.lines.keys) or self._ended or self._has_restored:
            return None
        if self._format is Format.OPENMETRICS and not ends_well(lines):
            return None
        change = plan.lines.compare(lines, size, entries)
        numbers = None if change is None else to_floats(change.texts)
        if change is None or numbers is None:
            return None
        if change.inserted and rules.type_and_unit_labels:
            return None  # what is declared of a new series takes reading the lines before it
        fresh: dict[bytes, Entry] = {}
        keys, keys_before = change.lines.keys, plan.lines.keys
        for place, index in zip(change.inserted, change.inserted_at, strict=True):
            key = keys[place]
            entry = self._entry_of_line(lines, index, key)
            if entry is None or (isinstance(entry, TargetSeries) and (entry.live or entry in fresh.values())):
                return None
            if key in fresh:
                return None
            fresh[key] = entry
        gone = {keys_before[place]: entries[keys_before[place]] for place in change.removed}
        gone_slots = [plan.slot_of(place) for place in change.removed]
        counts = plan.counts
        post = counts.post_relabel + sum(_is_kept(e) for e in fresh.values()) - sum(map(_is_kept, gone.values()))
        if rules.sample_limit and post > rules.sample_limit:
            return None
        wanted = counts.wanted + self._count_wanted(fresh.values()) - self._count_wanted(gone.values())
        # From here on the body counts.
        for key, entry in gone.items():
            del entries[key]
            if isinstance(entry, TargetSeries):
                self._kept -= 1
                if self._series is not None:
                    self._series.pop(entry.labels, None)
                plan.placement.discard(entry)
        entries |= fresh
        if self._starts is not None:
            self._put_zeros(self._starts, entries, ts)
        plan.follow(change, ScrapeBodyStats(len(keys), post, wanted))
        for place in change.inserted:
            entry = fresh[keys[place]]
            if isinstance(entry, TargetSeries):
                entry.live = True
                self._kept += 1
                plan.placement.add(entry, plan.slot_of(place))
        if histograms is not None:
            histograms.put(numbers)
        values = plan.by_slot(numbers)
        late, same = plan.placement.append(ts, values, _boxes(histograms))
        if sink is not None:
            came = {e: plan.slot_of(i) for i in change.inserted if isinstance(e := fresh[keys[i]], TargetSeries)}
            self._follow_passing(gone_slots, came)
            sink(sample_block(self._passing, ts, values[self._passing_slots], histograms))
        self._mark_stale([e for e in gone.values() if isinstance(e, TargetSeries)], ts)
        added = sum(_is_kept(e) and key not in self._failed for key, e in fresh.items())
        self._failed.clear()
        return Ingested(plan.counts, added, late, same)

    def _follow_passing(self, gone: Sequence[int], came: Mapping[TargetSeries, int]) -> None:
        """The slots of the series that are gone, and those that the new ones have now. New ones take the places of
        those that are gone: who compares the tuple with the one before finds most of it where it was."""
        slots, series = row_numbers(self._passing_slots).copy(), list(self._passing)
        free, new = np.flatnonzero(np.isin(slots, gone)).tolist(), list(came.items())
        for place, (entry, slot) in zip(free, new, strict=False):
            series[place], slots[place] = entry.labels, slot
        for place in reversed(free[len(new) :]):
            del series[place]
        slots = np.delete(slots, free[len(new) :])
        more = new[len(free) :]
        self._passing = (*series, *(entry.labels for entry, _ in more))
        self._passing_slots = as_rows(np.concatenate((slots, np.array([slot for _, slot in more], np.int64))))

    def _entry_of_line(self, lines: list[bytes], index: int, key: bytes) -> Entry | None:
        """The entry of a line that is new in its body; None when it is not `key value`, or breaks a limit."""
        fmt, interner = self._format, self._interner
        family_type = declared_before(lines, index, fmt, interner)
        written = interner.series(fmt, family_type, key)
        try:
            if written is None:
                sample = parse_line(lines[index], fmt, family_type)
                if sample is None or sample.key != key or sample.ts is not None:
                    return None
                written = interner.learn(fmt, family_type, key, sample.pairs)
            return self._resolve(written)
        except (ExpositionError, ScrapeError):
            return None

    def _count_wanted(self, entries: Iterable[Entry]) -> int:
        """How many of them a rule needs. With a sink, what no rule needs has a series, too."""
        wants = self._head.demand.wants
        return sum(isinstance(e, TargetSeries) and (self._sink is None or wants(e.labels)) for e in entries)

    def _learn(self, read: ParsedLines[Entry]) -> int:
        """Remember the lines of this body, and only those. Returns how many series are new."""
        before, raw = self._entries, self._interner.raw
        if read.template is not None:  # its texts are shared already
            self._entries, self._silent = dict(zip(read.keys, read.entries, strict=True)), read.silent
        else:
            self._entries = dict(zip(map(raw, read.keys), read.entries, strict=True))
            self._silent = {raw(line): None for line in read.silent}
        self._series = {e.labels: e for e in read.entries if isinstance(e, TargetSeries)}
        self._kept = len(self._series)
        seen, self._seen = self._seen, frozenset()
        fresh = self._entries.keys() - before.keys() - seen - self._failed
        self._failed.clear()
        return sum(1 for key in fresh if self._entries[key] is not LineVerdict.DROPPED)

    def _append_timed(
        self, timed: Iterable[tuple[TargetSeries, int, float]], ts: int, histograms: BodyHistograms | None
    ) -> int:
        """Samples with timestamps of their own. Returns how many were refused."""
        refused = 0
        for series, time, value in timed:
            if time > ts + MAX_AHEAD_MS:
                refused += 1
                continue
            histogram = None if histograms is None else histograms.boxes.unbox(value)
            if histogram is None:
                outcome = self._head.append(series.labels, time, value)
            else:
                outcome = self._head.append_histogram(series.labels, time, histogram)
            refused += outcome in (AppendOutcome.OUT_OF_ORDER, AppendOutcome.DUPLICATE)
        return refused

    def _mark_stale(self, gone: Iterable[TargetSeries], ts: int) -> int:
        placed = [(series, 0) for series in gone]
        if placed:
            Placement(self._head, placed).append(ts, np.array([STALE]))
            if self._sink is not None:
                self._sink(SampleBlock(tuple(s.labels for s, _ in placed), ts, np.full(len(placed), STALE)))
        return len(placed)


def _boxes(histograms: BodyHistograms | None) -> Boxes | None:
    return None if histograms is None else histograms.boxes


def _is_kept(entry: Entry) -> bool:
    """Whether a line counts after metric relabelling."""
    return entry is not LineVerdict.DROPPED
