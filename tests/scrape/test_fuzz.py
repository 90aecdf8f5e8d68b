"""The fast ways through a body must give exactly what the exact parser gives, on bodies that are nearly right."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rulepush.errors import ExpositionError
from rulepush.exposition import Format, parse_body
from rulepush.model.labels import Labels
from rulepush.scrape.cache import ScrapeCache
from rulepush.scrape.sample_labels import SampleRules
from rulepush.storage.demand import Demand
from rulepush.storage.head import Head
from tests.needs import SHARED, needs_shared

T0 = 1_700_000_000_000
TEXT = (
    b'# HELP a_b some "help"\\n\n# TYPE a_b counter\na_b{x="1",y="a b",} 1.5e3 17\nc{le="+Inf"} NaN\ne 5\nf{q="}"} -1\n'
)
OPENMETRICS = (
    b'# HELP a_b help\\n\n# TYPE a_b counter\n# UNIT a_b b\na_b_total{x="1",y="a b"} 1.5e3 17.5 # {t="x"} 1 3\n'
    b'c{le="+Inf"} NaN\ne 5\nf{q="}"} -1 # {} 1\n# EOF\n'
)
PIECES = [
    *(bytes([c]) for c in b'a1 "\\{}=,#\n\t+-.eE_:\r\xff\0'),
    b"NaN",
    b"Inf",
    b"# ",
    b"HELP ",
    b"\n# EOF\n",
    b"e 5\n",
]
SAMPLES = SHARED / "samples"

PLAIN = TEXT.replace(b" 17\n", b"\n") + b"ea 1\n"  # without a timestamp: the layout of the body is planned

edits = st.lists(
    st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 3), st.sampled_from(PIECES)), min_size=0, max_size=4
)


def mutate(body: bytes, changes: list[tuple[float, int, bytes]]) -> bytes:
    """Replace `n` bytes somewhere by a piece."""
    for where, n, piece in changes:
        at = int(where * len(body))
        body = body[:at] + piece + body[at + n :]
    return body


def expected(body: bytes, fmt: Format) -> dict[Labels, float] | None:
    """The first value of each series without a timestamp, or None when the body does not parse."""
    try:
        samples = parse_body(body, fmt).samples
    except ExpositionError:
        return None
    found: dict[Labels, float] = {}
    for s in samples:
        if s.ts is None:
            found.setdefault(Labels(s.pairs), s.value)
    return found


def agree(warm: bytes, body: bytes, fmt: Format) -> None:
    """A cache that knows `warm` takes `body` in, twice, as the exact parser reads it."""
    head = Head(Demand.keep_all(60_000))
    cache = ScrapeCache(head, Labels.of(job="j"), SampleRules())
    cache.ingest(warm, fmt, T0)
    want = expected(body, fmt) if body else {}
    for ts in (T0 + 1000, T0 + 2000):
        taken = cache.ingest(body, fmt, ts)
        assert bool(taken.error) is (want is None), taken.error
        got: dict[Labels, float] = {}
        for table in head.tables():
            times, values, counts = table.columns()
            for i, labels in enumerate(table.labels):
                n = int(counts[i])
                if n and times[i, n - 1] == ts and values[i : i + 1, n - 1].view("i8")[0] != 0x7FF0000000000002:
                    got[labels.without(["job"])] = float(values[i, n - 1])
        if want is None:
            assert got == {}
            continue
        wanted = {k.without(["job"]): v for k, v in want.items() if "job" not in k}
        assert got.keys() == wanted.keys()
        assert all(v == got[k] or (math.isnan(v) and math.isnan(got[k])) for k, v in wanted.items())


@settings(max_examples=400, deadline=None)
@given(edits, edits)
@example([], [(0.99, 0, b"e 5\n")])
def test_text(first: list[tuple[float, int, bytes]], second: list[tuple[float, int, bytes]]) -> None:
    agree(mutate(TEXT, first), mutate(TEXT, second), Format.TEXT)


@settings(max_examples=400, deadline=None)
@given(edits)
def test_text_with_a_value_a_line(changes: list[tuple[float, int, bytes]]) -> None:
    agree(PLAIN, mutate(PLAIN, changes), Format.TEXT)


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (b"e 5\n", b"e  6\n"),
        (b"e 5\n", b"e 6 \n"),
        (b"e 5\n", b"e 6 17\n"),
        (b"e 5\n", b"e6\n"),
        (b"e 5\n", b" 6\n"),
        (b"e 5\n", b" e 6\n"),
        (b"e 5\n", b"6\n"),
        (b"e 5\n", b"e\t6\n"),
        (b"e 5\n", b"e 0x6\n"),
        (b"e 5\n", b"e 1e999\n"),
        (b"e 5\n", b"e +Inf\n"),
        (b"e 5\nea 1\n", b"e 6 \nea1\n"),  # as many blanks as before, one of them elsewhere
        (b"e 5\nea 1\n", b"e6\n ea 1\n"),
        (b"e 5\nea 1\n", b"ea 5\ne 1\n"),  # of the same length, in another order
        (b"e 5\nea 1\n", b"ea 5\nea 1\n"),
    ],
)
def test_a_line_that_is_nearly_the_one_before(before: bytes, now: bytes) -> None:
    agree(PLAIN, PLAIN.replace(before, now), Format.TEXT)


@settings(max_examples=400, deadline=None)
@given(edits, edits)
def test_openmetrics(first: list[tuple[float, int, bytes]], second: list[tuple[float, int, bytes]]) -> None:
    agree(mutate(OPENMETRICS, first), mutate(OPENMETRICS, second), Format.OPENMETRICS)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.sampled_from(list(Format)))
def test_any_bytes(body: bytes, fmt: Format) -> None:
    agree(b"e 5\n# EOF\n", body, fmt)


@needs_shared("samples")
@pytest.mark.parametrize("file", ["nacos-2.x-real-fragments.prom", "boot34om-synthetic.prom"])
@settings(max_examples=60, deadline=None)
@given(changes=edits)
def test_mutated_samples(file: str, changes: list[tuple[float, int, bytes]]) -> None:
    body = (SAMPLES / file).read_bytes()
    agree(body, mutate(body, changes), Format.OPENMETRICS if "om-" in file else Format.TEXT)
