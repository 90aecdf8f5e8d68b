"""The work that `instructions.py` counts: one process, each case between `begin` and `end` of a library.

Runs with the rulepush that is on the path, of an older revision too: so only with what has long been there.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

import numpy as np
from exposition_parse import fleet_body
from promql_vs_prometheus import QUERIES, streams
from rule_evaluation import BENCH, INTERVAL_MS, Fleet

from rulepush.exposition import Format, parse_body
from rulepush.exposition.negotiation import NameEscaping
from rulepush.model.block import SampleBlock
from rulepush.model.labels import METRIC_NAME, Labels
from rulepush.model.sample import Sample
from rulepush.promql import Engine, SharedResults, parse_expr
from rulepush.recorded.encode import SegmentEncoder
from rulepush.recorded.events import Origin, RecordedBlock
from rulepush.remote.apply import RemoteWriteReceiver
from rulepush.remote.encode import SentSample, SentSeries, request_v2, write_request
from rulepush.rules.context import RuleContext
from rulepush.rules.group import EvaluationGroup
from rulepush.rules.rulefmt import load_rule_files
from rulepush.scrape.cache import ScrapeCache
from rulepush.scrape.sample_labels import SampleRules
from rulepush.storage.demand import Demand
from rulepush.storage.head import Head
from rulepush.storage.journal_batch import BatchColumns, Pending
from rulepush.storage.table import as_rows
from rulepush.web.federate import _families, _lines, newest_samples
from rulepush.web.results import success_pieces

Step = Callable[[int], object]
START: Final = 1_700_000_000_000
WARM: Final = 4
SERIES: Final = 200
TARGET: Final = Labels.of(instance="app0:80", job="fleet")


def rules(targets: int) -> Step:
    """A tick of the rules of ../shared/bench, and the samples before it, as columns."""
    specs = load_rule_files([str(BENCH / "rules.yml")])
    head = Head(Demand.of(use for spec in specs for rule in spec.rules for use in rule.query.selectors()))
    fleet = Fleet(head, targets, 40)
    context = RuleContext(engine=Engine(monotonic=lambda: 0.0), samples=head)
    groups = [EvaluationGroup(spec, context, INTERVAL_MS, 0) for spec in specs]

    def tick(i: int) -> None:
        fleet.write(START + i * INTERVAL_MS)
        for group in groups:
            group.evaluate(START + i * INTERVAL_MS)

    for i in range(-30, 0):  # the ranges of most rules are full
        fleet.write(START + i * INTERVAL_MS)
    return tick


def _filled(n: int) -> Head:
    head = Head(Demand.keep_all(600_000))
    for stream in streams(n, True):
        head.append_many(Sample(stream.labels, START + k * 15_000, v) for k, v in enumerate(stream.values))
    return head


def query(text: str, n: int) -> Step:
    """An instant query over n series of each metric."""
    head, engine, parsed = _filled(n), Engine(monotonic=lambda: 0.0), parse_expr(text)
    return lambda i: engine.instant(parsed, START + 290_000 + i, head.querier(), SharedResults()).samples()


def range_json() -> Step:
    """A range query of 60 steps as JSON."""
    head, engine, parsed = _filled(SERIES), Engine(monotonic=lambda: 0.0), parse_expr("rate(requests_total[1m])")

    def run(i: int) -> str:
        result = engine.range(parsed, START, START + 295_000, 5_000, head.querier())
        return "".join(success_pieces(result, None, ()))

    return run


def instant_json() -> Step:
    """An instant query as JSON."""
    head, engine, parsed = _filled(SERIES), Engine(monotonic=lambda: 0.0), parse_expr("requests_total")
    return lambda i: "".join(
        success_pieces(engine.instant(parsed, START + 290_000, head.querier(), SharedResults()), None, ())
    )


def federate() -> Step:
    """The samples that are told."""
    head, selectors = _filled(SERIES), parse_expr('{__name__=~".+"}').root.matchers  # type: ignore[attr-defined]
    return lambda i: "".join(
        _lines(
            _families(newest_samples([selectors], START + 290_000, 300_000, head.querier())),
            {"a": "b"},
            NameEscaping.ALLOW_UTF8,
        )
    )


def scrape(demand: Demand, *, planned: bool) -> Step:
    """A body that was seen before; when not `planned`, with a line that is new."""
    bodies, cache = fleet_body(40), ScrapeCache(Head(demand), TARGET, SampleRules())

    def run(i: int) -> None:
        body = bodies[i % len(bodies)]
        done = cache.ingest(body if planned else b"one_more_%d 1\n" % i + body, Format.TEXT, START + i * 5_000)
        assert not done.error, done.error

    return run


def scrape_recorded() -> Step:
    """A body that was seen before, on its way to the recording."""
    bodies, blocks = fleet_body(40), list[SampleBlock]()
    cache = ScrapeCache(Head(Demand.keep_all(300_000)), TARGET, SampleRules(), sink=blocks.append)
    encoder = SegmentEncoder()

    def run(i: int) -> None:
        cache.ingest(bodies[i % len(bodies)], Format.TEXT, START + i * 5_000)
        for block in blocks:
            encoder.add(RecordedBlock(START + i * 5_000, Origin.SCRAPE, "app", block))
        blocks.clear()

    return run


def parse(fmt: Format) -> Step:
    """A body that was never seen."""
    body = fleet_body(20)[0] + (b"# EOF\n" if fmt is Format.OPENMETRICS else b"")
    return lambda i: parse_body(body, fmt)


def _samples(i: int) -> list[Sample]:
    return [Sample(s.labels, START + i * 15_000, s.values[i % 20]) for s in streams(SERIES, True)]


def remote_in(version: int) -> tuple[Step, Step]:
    """A request of remote write, from its body to the head."""
    receiver = RemoteWriteReceiver(Head(Demand.keep_all(600_000)))
    kind = "application/x-protobuf" + (";proto=io.prometheus.write.v2.Request" if version == 2 else "")
    bodies: dict[int, bytes] = {}

    def prepare(i: int) -> None:
        sent = [SentSample(SentSeries(s.labels), s.ts, s.value) for s in _samples(i)]
        bodies[i] = write_request(sent) if version == 1 else request_v2(sent, {})

    def run(i: int) -> None:
        answer = receiver.apply(receiver.decode(bodies[i], kind, "snappy"), START + i * 15_000)
        assert answer.status == 204, answer

    return prepare, run


def remote_out(version: int) -> Step:
    """A request of remote write, from the samples to its body."""
    series = [(SentSeries(s.labels), s.values) for s in streams(SERIES, True)]

    def run(i: int) -> None:
        sent = [SentSample(of, START + i * 15_000, values[i % 20]) for of, values in series]
        write_request(sent) if version == 1 else request_v2(sent, {})

    return run


def append_many() -> tuple[Step, Step]:
    """Samples one by one into the head."""
    head, made = Head(Demand.keep_all(600_000)), dict[int, list[Sample]]()

    def prepare(i: int) -> None:
        made[i] = _samples(i)

    return prepare, lambda i: head.append_many(made[i])


def append_rows() -> Step:
    """Columns into the head and its journal, and the batch as it is written."""
    head, pending = Head(Demand.keep_all(600_000)), Pending()
    head.record_to(pending)
    labels = [Labels({METRIC_NAME: "m", "i": str(i)}) for i in range(SERIES)]
    table = head.table_for(labels[0])
    assert table is not None
    rows, values = as_rows([table.row(one) for one in labels]), np.arange(float(SERIES))

    def run(i: int) -> None:
        for k in range(4):
            head.append_rows(table, rows, START + (4 * i + k) * 1_000, values)
        for _, columns in pending.take(START + 4000 * i).samples:
            BatchColumns.decode(columns.encode())

    return run


def cases() -> Iterator[tuple[str, int, Callable[[], Any]]]:
    """(name, steps that are counted, what makes it)."""
    yield "rules, 1 target", 8, partial(rules, 1)
    yield "rules, 10 targets", 8, partial(rules, 10)
    for name, text in QUERIES.items():
        yield f"query, 20 series: {name}", 10, partial(query, text, 20)
        yield f"query, {SERIES} series: {name}", 5, partial(query, text, SERIES)
    yield "range query as JSON", 2, range_json
    yield "instant query as JSON", 4, instant_json
    yield "federate, its samples", 3, federate
    yield "scrape, all kept, same series", 10, partial(scrape, Demand.keep_all(300_000), planned=True)
    yield "scrape, all kept, a new line", 6, partial(scrape, Demand.keep_all(300_000), planned=False)
    yield "scrape, all dropped, same series", 10, partial(scrape, Demand.of([]), planned=True)
    yield "scrape into the recording", 8, scrape_recorded
    yield "text never seen", 2, partial(parse, Format.TEXT)
    yield "OpenMetrics never seen", 2, partial(parse, Format.OPENMETRICS)
    for version in (1, 2):
        yield f"remote write {version}.0 in", 3, partial(remote_in, version)
        yield f"remote write {version}.0 out", 4, partial(remote_out, version)
    yield "append one by one", 4, append_many
    yield "append columns, journal", 8, append_rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="only the cases whose names have this in them")
    parser.add_argument("--marks", default="", help="the library that begins and ends counting")
    args = parser.parse_args()
    marks = ctypes.CDLL(args.marks) if args.marks else None
    gc.collect()
    gc.freeze()
    gc.disable()  # when it runs depends on all that was there before
    for name, steps, make in cases():
        if args.only not in name:
            continue
        made = make()
        prepare, run = made if isinstance(made, tuple) else (lambda i: None, made)
        for i in range(WARM + steps):
            prepare(i)
        for i in range(WARM):
            run(i)
        if marks is not None:
            marks.begin()
        for i in range(WARM, WARM + steps):
            run(i)
        if marks is not None:
            marks.end()
        print(f"{steps}\t{name}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
