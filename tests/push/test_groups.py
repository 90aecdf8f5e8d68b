"""The life of pushed groups: what the rules see, when groups end, and what survives."""

from __future__ import annotations

from pathlib import Path

import pytest

from rulepush.errors import PushError, StorageError
from rulepush.model.sample import is_stale
from rulepush.push.bodies import parse_push_text
from rulepush.push.group import grouped
from rulepush.push.groups import FORGET_AFTER_MS, PushedGroups
from rulepush.push.store import SqliteGroupStore, decode_group, encode_group
from rulepush.push.url import GroupKey
from rulepush.slices import Slices
from tests.push.fixtures import MemoryStore

JOB: GroupKey = (("job", "j"),)
T = 1_700_000_000_000


def push(
    groups: PushedGroups, body: bytes, ts: int = T, key: GroupKey = JOB, ttl: int | None = None, put: bool = True
) -> None:
    groups.push(key, parse_push_text(body), put, ts, ttl)


def seen(groups: PushedGroups, ts: int) -> dict[str, float | str]:
    """Every sample of a tick; a stale marker shows as "stale"."""
    samples = groups.collect(ts)
    assert {s.ts for s in samples} <= {ts}
    return {str(s.labels): "stale" if is_stale(s.value) else s.value for s in samples}


def test_labels_of_the_url_win_and_instance_is_only_there_when_pushed() -> None:
    groups = PushedGroups(MemoryStore())
    push(groups, b'a{job="x",k="v"} 1\nb{instance="i"} 2\n')
    assert seen(groups, T) == {
        'a{job="j", k="v"}': 1,
        'b{instance="i", job="j"}': 2,
        'push_time_seconds{job="j"}': T / 1000,
        'push_failure_time_seconds{job="j"}': 0,
    }


def test_series_that_vanish_get_one_stale_marker() -> None:
    groups = PushedGroups(MemoryStore())
    push(groups, b"a 1\nb 1\n")
    seen(groups, T)
    push(groups, b"a 2\n", T + 1)
    assert seen(groups, T + 2)['b{job="j"}'] == "stale"
    assert 'b{job="j"}' not in seen(groups, T + 3)
    groups.delete(JOB)
    assert set(seen(groups, T + 4).values()) == {"stale"}
    assert seen(groups, T + 5) == {}


def test_a_group_goes_stale_when_its_lifetime_is_over_and_says_so() -> None:
    groups = PushedGroups(MemoryStore())
    push(groups, b"a 1\n", ttl=60_000)
    assert seen(groups, T + 60_000)['rulepush_push_up{job="j"}'] == 1
    after = seen(groups, T + 60_001)
    assert after['a{job="j"}'] == "stale"
    assert after['rulepush_push_up{job="j"}'] == 0
    assert after['push_time_seconds{job="j"}'] == T / 1000
    assert groups.counts.expired == 1
    assert 'a{job="j"}' not in seen(groups, T + 70_000)
    push(groups, b"a 5\n", T + 80_000, ttl=60_000)
    back = seen(groups, T + 80_000)
    assert (back['a{job="j"}'], back['rulepush_push_up{job="j"}']) == (5, 1)


def test_an_ended_group_is_forgotten_in_the_end() -> None:
    groups = PushedGroups(MemoryStore())
    push(groups, b"a 1\n", ttl=60_000)
    seen(groups, T + 60_001)
    assert len(groups) == 1
    assert set(seen(groups, T + 60_001 + FORGET_AFTER_MS).values()) == {"stale"}
    assert len(groups) == 0


def test_an_ended_group_does_not_stand_in_the_way_of_another_type() -> None:
    groups = PushedGroups(MemoryStore())
    push(groups, b"# TYPE a counter\na 1\n", ttl=1000)
    seen(groups, T + 2000)
    push(groups, b"# TYPE a gauge\na 1\n", T + 2000, (("job", "k"),))


def test_a_push_without_a_metric_renews_no_lifetime(tmp_path: Path) -> None:
    store = SqliteGroupStore(tmp_path / "push.db")
    groups = PushedGroups(store)
    push(groups, b"a 1\n", ttl=60_000, put=False)
    push(groups, b"# nothing was collected\n", T + 50_000, ttl=600_000, put=False)
    assert seen(groups, T + 60_000)['a{job="j"}'] == 1
    groups = PushedGroups(store)  # after a restart, too
    late = seen(groups, T + 60_001)
    assert (late['a{job="j"}'], late['rulepush_push_up{job="j"}']) == ("stale", 0)
    assert late['push_time_seconds{job="j"}'] == (T + 50_000) / 1000
    push(groups, b"a 2\n", T + 70_000, ttl=60_000, put=False)
    assert seen(groups, T + 130_000)['rulepush_push_up{job="j"}'] == 1


def test_a_group_that_never_got_a_metric_is_not_up() -> None:
    groups = PushedGroups(MemoryStore())
    push(groups, b"", ttl=60_000)
    assert seen(groups, T)['rulepush_push_up{job="j"}'] == 0


def test_default_lifetime_and_for_ever() -> None:
    groups = PushedGroups(MemoryStore(), default_ttl_ms=60_000)
    push(groups, b"a 1\n")
    push(groups, b"b 1\n", key=(("job", "k"),), ttl=0)
    later = seen(groups, T + 100_000)
    assert later['rulepush_push_up{job="j"}'] == 0
    assert later['b{job="k"}'] == 1
    assert 'rulepush_push_up{job="k"}' not in later


def test_a_refused_push_changes_only_the_failure_time() -> None:
    groups = PushedGroups(MemoryStore())
    push(groups, b"a 1\n")
    with pytest.raises(PushError, match="pushed metrics must not have timestamps"):
        push(groups, b"a 2 3\n", T + 1000)
    found = seen(groups, T + 1000)
    assert found['a{job="j"}'] == 1
    assert found['push_failure_time_seconds{job="j"}'] == (T + 1000) / 1000
    assert found['push_time_seconds{job="j"}'] == T / 1000


def test_a_key_that_collides_leaves_nothing_behind() -> None:
    groups = PushedGroups(MemoryStore())
    push(groups, b"a 1\n")
    with pytest.raises(PushError, match="was collected before"):
        push(groups, b"b 1\n", key=(("instance", ""), ("job", "j")))
    assert len(groups) == 1
    push(groups, b"a 2\n")


def test_series_limit() -> None:
    groups = PushedGroups(MemoryStore(), max_series=4)
    push(groups, b"a 1\nb 1\n")
    push(groups, b"c 1\nd 1\n")
    with pytest.raises(PushError) as caught:
        push(groups, b"a 1\nb 1\nc 1\n")
    assert caught.value.status == 413


def test_groups_survive_a_restart(tmp_path: Path) -> None:
    store = SqliteGroupStore(tmp_path / "push.db")
    groups = PushedGroups(store)
    push(groups, b'# TYPE h histogram\nh_bucket{le="1"} 1\nh_count 2\n', ttl=60_000)
    push(groups, b"a NaN\n", key=(("job", "k"), ("x", "")))
    push(groups, b"gone 1\n", key=(("job", "gone"),))
    groups.delete((("job", "gone"),))
    before = seen(groups, T)
    before.pop('a{job="k"}')
    store.close()
    again = PushedGroups(SqliteGroupStore(tmp_path / "push.db"))
    after = seen(again, T)
    after.pop('a{job="k"}')
    assert after == before
    assert [g.key for g in again] == [JOB, (("job", "k"), ("x", ""))]
    with pytest.raises(PushError, match="is not a HISTOGRAM"):
        push(again, b"# TYPE h gauge\nh 1\n", key=(("job", "other"),))


def test_a_lifetime_that_ended_during_the_restart_ends_with_stale_markers(tmp_path: Path) -> None:
    store = SqliteGroupStore(tmp_path / "push.db")
    push(PushedGroups(store), b"a 1\n", ttl=60_000)
    store.close()
    again = PushedGroups(SqliteGroupStore(tmp_path / "push.db"))
    assert seen(again, T + 60_001)['a{job="j"}'] == "stale"


def test_a_corrupt_file_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "push.db"
    path.write_bytes(b"this is no database" * 100)
    groups = PushedGroups(SqliteGroupStore(path))
    assert len(groups) == 0
    push(groups, b"a 1\n")
    assert (tmp_path / "push.db.corrupt-1").exists()
    assert len(PushedGroups(SqliteGroupStore(path))) == 1


def test_a_store_that_fails_does_not_stop_pushes() -> None:
    class Broken(MemoryStore):
        def save(self, group: object) -> Slices[None]:
            raise StorageError("disk full")

    groups = PushedGroups(Broken())
    push(groups, b"a 1\n")
    assert seen(groups, T)['a{job="j"}'] == 1


def test_saved_text_reads_back() -> None:
    groups = PushedGroups(MemoryStore())
    push(groups, b'# HELP a of "a"\n# TYPE a summary\na{quantile="0.5",x="\xc3\xa9"} +Inf\n', ttl=5)
    (group,) = groups
    assert decode_group(encode_group(group)) == group


def many(value: int, names: int = 300, of_one_name: int = 300) -> bytes:
    apart = b"".join(b"name_%d %d\n" % (i, value) for i in range(names))
    return apart + b"".join(b'one{i="%d"} %d\n' % (i, value) for i in range(of_one_name))


def test_a_tick_between_two_slices_of_a_push_sees_what_was_there_before() -> None:
    groups = PushedGroups(SqliteGroupStore(None))
    push(groups, many(1))
    before = seen(groups, T)
    later = after(2)
    body = grouped(parse_push_text(many(2)), JOB)
    slices = sum(seen(groups, T) in (before, later) for _ in groups.push_in_slices(JOB, body, True, T, None))
    assert slices > 12  # of no more than some fifty metrics
    assert seen(groups, T) == later


def after(value: int) -> dict[str, float | str]:
    groups = PushedGroups(MemoryStore())
    push(groups, many(value))
    return seen(groups, T)


def test_a_group_that_is_deleted_in_slices_is_gone_at_once() -> None:
    store = SqliteGroupStore(None)
    groups = PushedGroups(store)
    push(groups, many(1))
    seen(groups, T)
    work = groups.delete_in_slices(JOB)
    next(work)
    assert set(seen(groups, T).values()) == {"stale"}
    for _ in work:
        assert seen(groups, T) == {}
    assert groups.series_count == 0
    assert store.load() == []


def test_a_group_that_ends_between_two_slices_of_a_push_to_it_is_as_pushed() -> None:
    groups = PushedGroups(MemoryStore())
    push(groups, many(1) + b"gone 1\n", ttl=1)
    body = grouped(parse_push_text(many(2)), JOB)
    for _ in groups.push_in_slices(JOB, body, True, T + FORGET_AFTER_MS + 2, None):
        groups.collect(T + FORGET_AFTER_MS + 2)
    assert len(groups) == 1
    assert groups.series_count == 602
    push(groups, b"gone 1\n", key=(("job", "k"),))  # nothing of the old group is in its way
