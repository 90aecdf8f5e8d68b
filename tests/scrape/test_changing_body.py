"""Bodies in which a few series come and go: read by what changed, they mean what they mean when read line by line."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rulepush.exposition import Format
from rulepush.model.block import SampleBlock
from rulepush.model.labels import Labels
from rulepush.model.sample import is_stale
from rulepush.relabel.relabel import Action, RelabelConfig, relabel
from rulepush.scrape.cache import Ingested, ScrapeCache
from rulepush.scrape.sample_labels import SampleRules
from rulepush.slices import at_once
from rulepush.storage.demand import Demand, ManualDemand
from rulepush.storage.head import Head

T0 = 1_700_000_000_000
TARGET = Labels.of(instance="i", job="j")
Heads = dict[Labels, list[tuple[int, float | str]]]


class Reader:
    """A cache and its head. One that is `forgetful` reads each body line by line."""

    def __init__(
        self,
        demand: Demand,
        rules: SampleRules,
        *,
        forgetful: bool = False,
        fmt: Format = Format.TEXT,
        sink: bool = False,
    ):
        self.head = Head(demand)
        self.sunk: list[tuple[Labels, int, float | str]] = []
        self.cache = ScrapeCache(self.head, TARGET, rules, sink=self._take if sink else None)
        self.fmt = fmt
        self.forgetful = forgetful
        self.at = T0

    def _take(self, block: SampleBlock) -> None:
        self.sunk += [(s.labels, s.ts, "stale" if is_stale(s.value) else s.value) for s in block.samples()]

    def read(self, body: bytes) -> Ingested:
        if self.forgetful:
            self.cache._plan = None
        self.at += 1000
        return self.cache.ingest(body, self.fmt, self.at)

    def kept(self) -> Heads:
        found: Heads = {}
        for table in self.head.tables():
            times, values, counts = table.columns()
            for labels, t, v, n in zip(table.labels, times, values, counts, strict=True):
                pairs = zip(t[:n].tolist(), v[:n].tolist(), strict=True)
                found[labels] = [(at, "stale" if is_stale(value) else value) for at, value in pairs]
        return found


KEEP_ALL = Demand.keep_all(3_600_000)
SOME = Demand.of([ManualDemand.metric("a", 3_600_000), ManualDemand.metric("c_bucket", 3_600_000)])
NO_B = SampleRules(
    metric_relabel=lambda labels: relabel(
        labels, (RelabelConfig(source_labels=("__name__",), regex="b", action=Action.DROP),)
    )
)
FAMILIES = ("a", "b", "c_bucket", "d")

numbers = st.lists(st.integers(0, 5), max_size=6, unique=True).map(sorted)
bodies = st.lists(st.tuples(*[numbers] * len(FAMILIES)), min_size=2, max_size=6)


def body(families: Sequence[Sequence[int]], value: int, fmt: Format = Format.TEXT) -> bytes:
    """One line a number; `c` is a histogram, whose bounds are written again."""
    lines = []
    for name, found in zip(FAMILIES, families, strict=True):
        family, kind, label = ("c", "histogram", "le") if name == "c_bucket" else (name, "gauge", "n")
        lines.append(f"# TYPE {family} {kind}")
        lines += [f'{name}{{{label}="{n}"}} {value + n}' for n in found]
    return "\n".join([*lines, *(["# EOF"] if fmt is Format.OPENMETRICS else []), ""]).encode()


@pytest.mark.parametrize("fmt", list(Format))
@pytest.mark.parametrize("sink", [False, True])
@pytest.mark.parametrize(
    ("demand", "rules"),
    [(KEEP_ALL, SampleRules()), (SOME, SampleRules()), (KEEP_ALL, NO_B), (KEEP_ALL, SampleRules(sample_limit=9))],
    ids=["all", "some", "relabelled", "limited"],
)
@settings(max_examples=20, deadline=None)
@given(bodies)
def test_it_means_what_it_means_when_read_line_by_line(
    fmt: Format, sink: bool, demand: Demand, rules: SampleRules, exposed: list[tuple[list[int], ...]]
) -> None:
    quick = Reader(demand, rules, fmt=fmt, sink=sink)
    from_start = Reader(demand, rules, fmt=fmt, sink=sink, forgetful=True)
    for value, families in enumerate([*exposed, exposed[-1]]):
        text = body(families, value, fmt)
        assert quick.read(text) == from_start.read(text)
        assert quick.kept() == from_start.kept()
        assert sorted(quick.sunk, key=str) == sorted(from_start.sunk, key=str)
    assert quick.cache._entries.keys() == from_start.cache._entries.keys()


class Counting(Reader):
    """Counts the bodies that are read line by line."""

    def __init__(self) -> None:
        super().__init__(KEEP_ALL, SampleRules())
        self.from_start = 0

    def read(self, body: bytes) -> Ingested:
        begun = self.cache.begin(body, self.fmt, self.at + 1000)
        self.from_start += not isinstance(begun, Ingested)
        self.at += 1000
        if isinstance(begun, Ingested):
            return begun
        done = self.cache.finish(begun, at_once(self.cache.read(begun)), self.at)
        assert done is not None
        return done


def lines(*numbers: int) -> bytes:
    return b"# TYPE a gauge\n" + b"".join(b'a{n="%d"} %d\n' % (n, n) for n in numbers)


def test_series_that_come_and_go_do_not_cost_the_whole_body() -> None:
    r = Counting()
    r.read(lines(*range(200)))
    assert r.from_start == 1
    changes = [(*range(200), 999), (*range(200), 1000), (*range(50), *range(60, 200)), (7777, *range(100)), range(99)]
    added = [r.read(lines(*numbers)).added for numbers in changes[:3]]
    assert (r.from_start, added) == (1, [1, 1, 0])
    r.read(lines(*changes[3]))
    assert r.from_start == 2, "more than a hundred changes"
    r.read(lines(*changes[4]))
    assert r.from_start == 2
    assert len(r.kept()) == 203


@pytest.mark.parametrize(
    "text",
    [
        lines(1, 2, 2),
        lines(1, 2) + b'a{n="1"} 5\n',
        lines(2, 1),
        lines(1, 2) + b"# TYPE b gauge\n",
        lines(1, 2) + b"b 1 1700000000000\n",
        lines(1, 2) + b'b{x="\n"} 1\n',
        lines(1, 2) + b'a{n="2",} 1\n',
        lines(1, 2) + b"broken\n",
        lines(1, 2) + b"b 0x\n",
        lines(1, 2).replace(b" 2\n", b" x\n"),
    ],
    ids=lambda text: text.decode()[-18:],
)
def test_what_is_more_than_that_is_read_line_by_line(text: bytes) -> None:
    r, from_start = Counting(), Reader(KEEP_ALL, SampleRules(), forgetful=True)
    for body in (lines(1, 2), text, lines(1, 2, 3)):
        assert r.read(body) == from_start.read(body)
        assert r.kept() == from_start.kept()
    assert r.from_start >= 2


def test_openmetrics_after_its_end_is_an_error() -> None:
    r = Reader(KEEP_ALL, SampleRules(), fmt=Format.OPENMETRICS)
    assert not r.read(lines(1) + b"# EOF\n").error
    assert "after # EOF" in r.read(lines(1) + b"# EOF\na 2\n").error
