"""Which shard evaluates a group: every one exactly once, evenly, and where it was when a shard is added."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rulepush.errors import RulepushError
from rulepush.rules.sharding import RuleShard, read_rule_shard, shard_keys, shard_of
from rulepush.rules.specs import RuleGroup

NAMES = st.text("ab/.-ü", min_size=1, max_size=6)
GROUPS = st.lists(st.tuples(NAMES, NAMES), max_size=20, unique=True)
MANY = [f"file-{i % 50}.yml;group {i}" for i in range(6000)]


def groups(*keys: tuple[str, str]) -> list[RuleGroup]:
    return [RuleGroup(name, file) for file, name in keys]


@given(GROUPS, st.integers(1, 12))
def test_every_group_is_on_exactly_one_shard(keys: list[tuple[str, str]], count: int) -> None:
    everything = groups(*keys)
    found: list[RuleGroup] = []
    for index in range(count):
        own, others = RuleShard(index, count).split(everything)
        assert sorted((*own, *others), key=lambda g: g.key) == sorted(everything, key=lambda g: g.key)
        found += own
    assert sorted(g.key for g in found) == sorted(keys)


@given(st.text(max_size=20), st.integers(1, 200))
def test_a_shard_more_takes_a_group_or_leaves_it_where_it_is(key: str, count: int) -> None:
    assert shard_of(key, count + 1) in (shard_of(key, count), count)


@given(GROUPS)
def test_no_two_groups_have_one_key(keys: list[tuple[str, str]]) -> None:
    found = shard_keys(keys)
    assert set(found) == set(keys)
    assert len(set(found.values())) == len(keys)


def test_a_sixth_moves_from_five_shards_to_six() -> None:
    moved = [key for key in MANY if shard_of(key, 5) != shard_of(key, 6)]
    assert 900 < len(moved) < 1100
    assert {shard_of(key, 6) for key in moved} == {5}


@pytest.mark.parametrize("count", [2, 3, 5, 16])
def test_shards_have_equally_many_groups(count: int) -> None:
    found = Counter(shard_of(key, count) for key in MANY)
    assert set(found) == set(range(count))
    expected = len(MANY) / count
    assert all(abs(n - expected) < 5 * expected**0.5 for n in found.values())


def test_the_distribution_is_fixed() -> None:
    # Another release that distributes otherwise would evaluate groups twice or not at all during an update.
    assert [shard_of(f"alerts.yml;g{i}", 5) for i in range(12)] == [0, 1, 0, 1, 0, 0, 0, 2, 1, 0, 4, 1]


def test_the_directory_of_the_files_does_not_count() -> None:
    here = shard_keys([("/etc/rules/a.yml", "g"), ("/etc/rules/b.yml", "g")])
    there = shard_keys([("rules/a.yml", "g"), ("rules/b.yml", "g")])
    assert list(here.values()) == list(there.values()) == ["a.yml;g", "b.yml;g"]


def test_files_of_one_name_are_told_apart_by_as_much_of_the_directory_as_is_needed() -> None:
    files = [f"/etc/team-{i}/prod/alerts.yml" for i in range(40)]
    keys = shard_keys([(file, "alerts") for file in files])
    assert keys[files[0], "alerts"] == "team-0/prod/alerts.yml;alerts"
    assert len({shard_of(key, 4) for key in keys.values()}) == 4
    moved = shard_keys([(file.replace("/etc", "/srv/mnt"), "alerts") for file in files])
    assert list(moved.values()) == list(keys.values())


@pytest.mark.parametrize(
    ("text", "hostname", "shard"),
    [
        ("0/1", "h", RuleShard(0, 1)),
        ("4/5", "h", RuleShard(4, 5)),
        ("from-hostname/5", "rules-2", RuleShard(2, 5)),
        ("from-hostname/5", "rules-b-0.rules.default.svc", RuleShard(0, 5)),
    ],
)
def test_the_flag(text: str, hostname: str, shard: RuleShard) -> None:
    assert read_rule_shard(text, hostname) == shard
    assert str(shard) == f"{shard.index}/{shard.count}"


def test_without_the_flag_nothing_is_sharded() -> None:
    assert read_rule_shard("", "rules-2") is None


@pytest.mark.parametrize(
    ("text", "hostname", "said"),
    [
        ("5/5", "h", "--rules.shard: 5/5 is none of them: there are 5 shards, counted from 0: 0/5 to 4/5"),
        ("1/1", "h", "--rules.shard: 1/1 is none of them: there is 1 shard, and it is 0/1"),
        ("0/0", "h", "--rules.shard: '0/0' is not INDEX/NUMBER, counted from 0"),
        ("2", "h", "--rules.shard: '2' is not INDEX/NUMBER, counted from 0"),
        ("-1/3", "h", "--rules.shard: '-1/3' is not INDEX/NUMBER"),
        ("from-hostname/3", "laptop", "the host name 'laptop' does not end with -NUMBER"),
        ("from-hostname/3", "rules-3.x", "the host name 'rules-3' makes this shard 3, but there are 3 shards"),
    ],
)
def test_a_mistake_in_the_flag_is_said(text: str, hostname: str, said: str) -> None:
    with pytest.raises(RulepushError) as e:
        read_rule_shard(text, hostname)
    assert said in str(e.value)
