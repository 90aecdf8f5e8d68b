"""What targets have in common is held once, and what no target exposes any more is not."""

from __future__ import annotations

from rulepush.exposition import Format
from rulepush.scrape.interner import Interner

MANY = 50_000


def line(i: int) -> bytes:
    return b'requests_total{uri="/%d"}' % i


def test_equal_texts_and_pairs_are_one_object() -> None:
    interner = Interner()
    assert interner.raw(line(1)) is interner.raw(line(1))
    pair = ("uri", "/" + str(1))
    assert interner.pairs([pair])[0] is interner.pairs([("uri", "/" + str(1))])[0]
    first, second = (interner.written([("__name__", "m"), ("a", "1")]) for _ in range(2))
    assert first.names is second.names


def test_what_nobody_holds_any_more_goes_and_the_rest_stays_shared() -> None:
    interner = Interner()
    held = [interner.raw(line(-i)) for i in range(1, 101)]
    held_pairs = [interner.pairs([("held", str(i))])[0] for i in range(100)]
    for i in range(MANY):
        written = interner.learn(Format.TEXT, "counter", line(i), [("__name__", "requests_total"), ("uri", f"/{i}")])
        assert interner.series(Format.TEXT, "counter", line(i)) is written
        interner.learn_silent(Format.TEXT, b"# HELP m%d" % i, "")
    assert all(interner.raw(line(-i)) is held[i - 1] for i in range(1, 101))
    assert all(interner.pairs([("held", str(i))])[0] is held_pairs[i] for i in range(100))
    gone = sum(interner.series(Format.TEXT, "counter", line(i)) is None for i in range(MANY))
    assert gone > MANY * 3 // 4
    assert interner.count < MANY


def test_what_is_held_stays_shared_however_much_it_is() -> None:
    interner = Interner()
    held = [interner.raw(line(i)) for i in range(MANY)]
    assert all(interner.raw(line(i)) is held[i] for i in range(MANY))
