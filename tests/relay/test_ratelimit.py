"""The rate limit, over time that is only a number."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rulepush.relay.ratelimit import RateLimit, RateWindow

T = 1_700_000_000_000


def _limit() -> RateLimit:
    return RateLimit(RateWindow(20, 60_000), reserved=5)


def _fill(limit: RateLimit, count: int, ts: int = T) -> None:
    for _ in range(count):
        limit.record(ts)


def test_all_but_the_reserve_may_be_sent_at_once() -> None:
    limit = _limit()
    assert limit.may_send(T, 15)
    assert not limit.may_send(T, 16)
    _fill(limit, 15)
    assert not limit.may_send(T)


def test_the_window_slides_with_a_margin() -> None:
    limit = _limit()
    _fill(limit, 15)
    assert not limit.may_send(T + 60_000)
    assert limit.may_send(T + 61_000)


def test_digests_use_the_reserve_and_keep_a_distance() -> None:
    limit = _limit()
    _fill(limit, 15)
    assert limit.digest_due(T) == T
    limit.record(T)
    limit.record_digest(T)
    assert limit.digest_due(T + 1) == T + 12_000


def test_a_full_window_makes_a_digest_wait_for_its_oldest_message() -> None:
    limit = _limit()
    limit.record(T)
    _fill(limit, 19, T + 5_000)
    assert limit.digest_due(T + 6_000) == T + 61_000


def test_a_block_holds_everything() -> None:
    limit = _limit()
    limit.block_until(T + 600_000)
    assert not limit.may_send(T + 599_999)
    assert limit.digest_due(T) == T + 600_000
    assert limit.may_send(T + 600_000)


def test_the_short_window_only_slows_down() -> None:
    limit = RateLimit(RateWindow(100, 60_000), reserved=10, pace=RateWindow(5, 1000))
    _fill(limit, 5)
    assert limit.may_send(T)
    assert limit.pause(T + 100) == 900
    assert limit.pause(T + 1000) == 0


def test_a_clock_that_is_set_back_does_not_hold_messages_for_ever() -> None:
    limit = _limit()
    _fill(limit, 20)
    assert limit.may_send(T - 3_600_000)


@given(st.lists(st.tuples(st.integers(0, 20_000), st.booleans()), max_size=300))
def test_no_minute_ever_sees_more_than_twenty(steps: list[tuple[int, bool]]) -> None:
    limit, ts, sent = _limit(), T, list[int]()
    for wait, digest in steps:
        ts += wait // 10
        if limit.may_send(ts) if not digest else limit.digest_due(ts) <= ts:
            limit.record(ts)
            sent.append(ts)
            if digest:
                limit.record_digest(ts)
    for i, first in enumerate(sent):
        assert sum(t < first + 60_000 for t in sent[i:]) <= 20


@given(st.lists(st.integers(0, 3_000), min_size=1, max_size=200))
def test_a_digest_is_never_more_than_a_window_away(waits: list[int]) -> None:
    limit, ts = _limit(), T
    for wait in waits:
        ts += wait
        due = limit.digest_due(ts)
        assert ts <= due <= ts + 61_000
        if due == ts:
            limit.record(ts)
            limit.record_digest(ts)
        elif limit.may_send(ts):
            limit.record(ts)
