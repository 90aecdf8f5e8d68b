"""Small recordings: events by hand, and a service in miniature whose events are recorded while it runs."""

from __future__ import annotations

import random
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from rulepush.backtest import BacktestOptions, BacktestReport, ReplayOptions, backtest
from rulepush.model.block import SampleBlock, block_of
from rulepush.model.labels import INSTANCE, JOB, METRIC_NAME, Labels
from rulepush.model.sample import STALE, Sample
from rulepush.promql import Engine, EngineOptions
from rulepush.promql.testscript.series import parse_series
from rulepush.recorded.events import Origin, RecordedBlock, RecordedEvaluation, RecordedEvent, RecordedStart
from rulepush.rules.context import HoldPolicy, RuleContext, TargetStates
from rulepush.rules.groups import GroupDefaults, RuleGroups
from rulepush.rules.rulefmt import parse_rule_file
from rulepush.rules.specs import RuleGroup, demanded
from rulepush.rules.state import AlertStateStore
from rulepush.rules.transition import Transition
from rulepush.storage.demand import Demand
from rulepush.storage.head import Head
from rulepush.storage.table import AppendOutcome

T0 = 1_700_000_000_000
S = 1000
M = 60 * S
LATENCY = 40  # ms from the time of a scrape to its arrival


def specs(text: str, file: str = "r.yml") -> tuple[RuleGroup, ...]:
    """The groups of a rule file."""
    parsed = parse_rule_file(file, textwrap.dedent(text).encode())
    assert not parsed.problems, parsed.problems
    return parsed.groups


def one_rule(rule: str, group: str = "") -> tuple[RuleGroup, ...]:
    """One group `g`, every 15 s, with one rule, given as a flow mapping."""
    return specs(f"groups: [{{name: g, interval: 15s, {group} rules: [{rule}]}}]")


@dataclass
class ListSource:
    """An EventSource of events that are there."""

    listed: Sequence[RecordedEvent]
    problems: list[object] = field(default_factory=list)
    asked: list[tuple[int, int]] = field(default_factory=list)

    def bounds(self) -> tuple[int, int] | None:
        """From the first to the last."""
        times = [event.at for event in self.listed]
        return (min(times), max(times)) if times else None

    def events(self, start: int, end: int) -> Iterator[RecordedEvent]:
        """Those in the range."""
        self.asked.append((start, end))
        return (event for event in self.listed if start <= event.at <= end)


def scrapes(series: Mapping[str, str], step_ms: int = 15 * S, start: int = 0) -> list[RecordedBlock]:
    """Blocks from texts in the notation of promtool's tests: a cell is the value of one scrape, `_` is none."""
    lines = [parse_series(f"{name} {values}") for name, values in series.items()]
    cells = [list(line.cells()) for line in lines]
    blocks = []
    whole = tuple(line.labels for line in lines)
    for i in range(max(map(len, cells))):
        ts = T0 + start + i * step_ms
        there = [k for k, of_line in enumerate(cells) if i < len(of_line) and isinstance(of_line[i], float)]
        if not there:
            continue
        labels = whole if len(there) == len(whole) else tuple(whole[k] for k in there)
        values = np.array([cells[k][i] for k in there], np.float64)
        blocks.append(RecordedBlock(ts + LATENCY, Origin.SCRAPE, "t", SampleBlock(labels, ts, values)))
    return blocks


def marks(
    until: int, interval: int = 15 * S, group: str = "g", file: str = "r.yml", start: int = 0, **flags: bool
) -> list[RecordedEvaluation]:
    """Evaluations of a group at `start`, `start + interval`, ... up to `until` (ms after T0)."""
    return [RecordedEvaluation(T0 + at, file, group, interval, 0, **flags) for at in range(start, until + 1, interval)]


def merged(*streams: Iterable[RecordedEvent]) -> list[RecordedEvent]:
    """Events in the order of their times; a mark of a moment after the scrapes of it."""

    def key(event: RecordedEvent) -> tuple[int, int]:
        late = LATENCY + 1 if isinstance(event, RecordedEvaluation) else 0
        return event.at + late, 0 if isinstance(event, RecordedStart) else 1

    return sorted((event for stream in streams for event in stream), key=key)


def run(
    events: Sequence[RecordedEvent],
    groups: Sequence[RuleGroup],
    *,
    start: int | None = None,
    end: int | None = None,
    **options: object,
) -> BacktestReport:
    """A backtest of events by hand. Times in ms after T0."""
    replay = ReplayOptions(**options)  # type: ignore[arg-type]
    chosen = BacktestOptions(None if start is None else T0 + start, None if end is None else T0 + end, replay)
    return backtest(ListSource(events), groups, chosen)


class LiveService:
    """What of a service decides about alerts, with a recorder: head, rule groups with their store, restarts.

    The order is that of the service: scrapes of a moment, then the groups of the moment; a scrape may be late.
    """

    def __init__(
        self,
        groups: Sequence[RuleGroup],
        store: AlertStateStore,
        *,
        hold_ms: int = 0,
        out_of_order_ms: int = 0,
        external_labels: Labels = Labels(),  # noqa: B008 - frozen
    ):
        self.events: list[RecordedEvent] = []
        self.moved: list[Transition] = []
        self.sent: list[tuple[int, str, str]] = []
        self._specs = sorted(groups, key=lambda g: g.key)
        self._store = store
        self._hold_ms = hold_ms
        self._late = out_of_order_ms > 0
        self._external_labels = external_labels
        self.head = Head(Demand.of(demanded(groups)))
        self.up: dict[tuple[str, str], bool] = {}
        self._started = 0
        self._groups = RuleGroups(store)

    def start(self, at: int) -> None:
        """Begin, or begin again after a stop."""
        self.events.append(RecordedStart(at))
        self._started = at
        self.up = dict.fromkeys(self.up, True)
        self._groups = RuleGroups(self._store)
        self._groups.update(self._specs, self._context(), GroupDefaults(15 * S), at)

    def _context(self) -> RuleContext:
        return RuleContext(
            Engine(EngineOptions(default_step_ms=15 * S)),
            self,
            lambda alerts, _expr, ts: self.sent.extend((ts, str(a.labels), a.state.value) for a in alerts),
            external_labels=self._external_labels,
            hold=HoldPolicy(self._hold_ms, self._down) if self._hold_ms else None,
            may_fire=self.may_fire,
            may_resolve=self.may_resolve,
            record=self.moved.extend,
            targets=lambda: TargetStates(dict(self.up), frozenset(job for job, _ in self.up)),
        )

    def _down(self, labels: Labels) -> bool:
        job, instance = labels.get(JOB), labels.get(INSTANCE)
        return any(not up and job in ("", j) and instance in ("", i) for (j, i), up in self.up.items())

    def may_fire(self, ts: int, needs_two: bool) -> bool:
        """After one or two scrapes."""
        return ts - self._started >= (30 * S if needs_two else 15 * S)

    def may_resolve(self, ts: int) -> bool:
        """After two scrapes."""
        return ts - self._started >= 30 * S

    # rules.context.Samples

    def querier(self) -> Head:
        return self.head

    def append_many(self, samples: Iterable[Sample]) -> Mapping[AppendOutcome, int]:
        listed = list(samples)
        if listed:
            self.events.append(RecordedBlock(listed[0].ts + 1, Origin.RULE, "rule", block_of(listed)))
        return self.head.append_many(listed)

    def bring(self, event: RecordedBlock) -> None:
        """A block comes in."""
        self.events.append(event)
        late = self._late and event.origin is Origin.REMOTE_WRITE
        for sample in event.block.samples():
            (self.head.insert if late else self.head.append)(sample.labels, sample.ts, sample.value)
            if sample.labels.name == "up":
                self.up[sample.labels.get(JOB), sample.labels.get(INSTANCE)] = sample.value > 0

    def evaluate(self, ts: int) -> None:
        """The groups whose moment this is."""
        for group in self._groups.all():
            if ts % group.interval_ms:
                continue
            flags = self.may_fire(ts, False), self.may_fire(ts, True), self.may_resolve(ts)
            self.events.append(RecordedEvaluation(ts, group.file, group.name, group.interval_ms, 0, *flags))
            self._groups.evaluate(group, ts)


class RandomFleet:
    """Targets whose series come and go, whose values wander about a threshold, and which are down now and then."""

    def __init__(self, seed: int, targets: int):
        self._random = random.Random(seed)
        self._targets = [f"t{i}:80" for i in range(targets)]
        self._values: dict[tuple[str, str], float] = {}
        self._there: dict[str, set[str]] = {t: set() for t in self._targets}
        self._down: dict[str, int] = {}
        self._series: dict[tuple[str, ...], tuple[Labels, ...]] = {}

    def scrape(self, ts: int) -> Iterator[tuple[RecordedBlock, bool]]:
        """The scrapes of a moment, and whether each comes after the evaluations of the moment."""
        for target in self._targets:
            yield self._scraped(target, ts), self._random.random() < 0.1

    def _scraped(self, target: str, ts: int) -> RecordedBlock:
        rnd = self._random
        if self._down.get(target, 0) > 0:
            self._down[target] -= 1
        elif rnd.random() < 0.03:
            self._down[target] = rnd.randrange(1, 12)
        down = self._down.get(target, 0) > 0
        before = self._there[target]
        now = set() if down else {name for name in ("0", "1", "2") if (name in before) != (rnd.random() < 0.05)}
        self._there[target] = now
        values: dict[tuple[str, ...], float] = {}
        for name in sorted(before | now):
            gone = name not in now
            for metric in ("m", "c_total"):
                old = self._values.get((target, metric + name), 0.0)
                step = rnd.choice((-1.0, 0.0, 0.0, 1.0)) if metric == "m" else rnd.choice((0.0, 0.0, 30.0))
                new = min(6.0, max(0.0, old + step)) if metric == "m" else old + step
                self._values[target, metric + name] = new
                values[metric, name] = STALE if gone else new
        values["up", ""] = 0.0 if down else 1.0
        keys = tuple(f"{metric} {name}" for metric, name in values)
        series = self._series.get((target, *keys))
        if series is None:
            own = {"instance": target, "job": "j"}
            series = tuple(Labels({METRIC_NAME: metric, "i": name, **own}) for metric, name in values)
            self._series[(target, *keys)] = series
        block = SampleBlock(series, ts, np.array(list(values.values())))
        return RecordedBlock(ts + LATENCY, Origin.SCRAPE, target, block)

    def written(self, ts: int) -> RecordedBlock | None:
        """What comes by remote write, mostly nothing; some of it late."""
        if self._random.random() < 0.6:
            return None
        at = ts - self._random.choice((0, 0, 5, 40)) * S
        labels = Labels({METRIC_NAME: "w", "i": str(self._random.randrange(2))})
        block = block_of([Sample(labels, at, float(self._random.randrange(4)))])
        return RecordedBlock(ts + LATENCY, Origin.REMOTE_WRITE, "", block)
