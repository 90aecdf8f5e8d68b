"""Which shard scrapes what: Prometheus' hashmod, without a rule in the configuration."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rulepush.errors import RulepushError
from rulepush.model.labels import Labels
from rulepush.relabel.relabel import Action, RelabelConfig, relabel
from rulepush.scrape.sharding import ScrapeSharding, read_sharding
from rulepush.scrape.target import TargetDefaults, build_targets

JOB = TargetDefaults("job", 1000, 500)
HOSTS = st.from_regex(r"[a-z][a-z0-9.-]{0,20}:[0-9]{1,5}", fullmatch=True).filter(lambda a: "localhost" not in a)
LABELS = st.builds(
    lambda address, more: Labels({**more, "__address__": address}),
    HOSTS,
    st.dictionaries(st.sampled_from(["cluster", "env", "__meta_zone"]), st.text(max_size=5)),
)
COUNTS = st.integers(1, 12)


def by_hand(labels: Labels, index: int, count: int, by: tuple[str, ...] = ("__address__",)) -> bool:
    """Whether the two rules that documentation has for sharding keep it."""
    rules = [
        RelabelConfig(Action.HASH_MOD, by, modulus=count, target_label="__tmp_shard"),
        RelabelConfig(Action.KEEP, ("__tmp_shard",), regex=str(index)),
    ]
    return relabel(labels, rules) is not None


@given(LABELS, COUNTS, st.sampled_from([("__address__",), ("cluster",), ("env", "cluster")]))
def test_a_shard_has_the_targets_that_hashmod_relabelling_gives_it(
    labels: Labels, count: int, by: tuple[str, ...]
) -> None:
    for index in range(count):
        taken = ScrapeSharding(index, count, by=by).taken(labels) is not None
        assert taken == by_hand(labels, index, count, by)


@given(LABELS, COUNTS, st.data())
def test_each_target_is_in_as_many_shards_as_there_are_replicas(
    labels: Labels, count: int, data: st.DataObject
) -> None:
    replicas = data.draw(st.integers(1, count))
    shards = [ScrapeSharding(index, count, replicas) for index in range(count)]
    takers = [shard.index for shard in shards if shard.taken(labels) is not None]
    assert len(takers) == replicas
    assert {shard.owners(labels) for shard in shards} == {shards[0].owners(labels)}
    assert sorted(shards[0].owners(labels)) == takers
    assert by_hand(labels, shards[0].owners(labels)[0], count), "the first is the one that has it without replicas"


def test_the_distribution_is_that_of_prometheus() -> None:
    # md5sum of the address, its last 16 digits as a number, modulo 5; computed with coreutils and bc.
    owners = {a: ScrapeSharding(0, 5).owners(Labels({"__address__": a})) for a in ("app-1:8080", "app-2:8080", "a:1")}
    assert owners == {"app-1:8080": (3,), "app-2:8080": (1,), "a:1": (1,)}


def test_from_five_to_six_shards_most_targets_move_as_they_do_with_hashmod() -> None:
    found = [Labels({"__address__": f"app-{i}:8080"}) for i in range(3000)]
    moved = sum(ScrapeSharding(0, 5).owners(t) != ScrapeSharding(0, 6).owners(t) for t in found)
    assert 0.80 < moved / len(found) < 0.87  # 5/6 are expected: hash modulo 30 decides, and 5 of its 30 values stay


def test_the_shards_are_about_equal() -> None:
    found = [Labels({"__address__": f"10.0.{i // 250}.{i % 250}:9100"}) for i in range(1000)]
    sizes = [sum(ScrapeSharding(i, 5).taken(t) is not None for t in found) for i in range(5)]
    assert sum(sizes) == 1000
    assert 160 < min(sizes) <= max(sizes) < 240


@pytest.mark.parametrize("address", ["127.0.0.1:9095", "127.1.2.3:1", "localhost:80", "[::1]:9095"])
def test_a_loopback_address_is_scraped_by_every_shard_and_told_apart(address: str) -> None:
    for index in range(3):
        taken = ScrapeSharding(index, 3).taken(Labels({"__address__": address}))
        assert taken == Labels({"__address__": address, "shard": str(index)})


def test_a_target_can_ask_every_shard_to_scrape_it_and_keeps_its_own_label() -> None:
    asked = Labels({"__address__": "a:1", "__tmp_disable_sharding": "yes"})
    shard = ScrapeSharding(2, 3)
    assert shard.taken(asked) == asked.with_({"shard": "2"})
    named = asked.with_({"shard": "mine"})
    assert shard.taken(named) == named


def test_a_target_can_say_what_is_hashed_in_place_of_its_address() -> None:
    together = [Labels({"__address__": f"n{i}:1", "__tmp_hash": "cluster-a"}) for i in range(50)]
    assert len({ScrapeSharding(0, 5).owners(t) for t in together}) == 1
    assert by_hand(together[0], ScrapeSharding(0, 5).owners(together[0])[0], 5, ("__tmp_hash",))


def test_a_target_without_an_instance_is_hashed_by_the_one_that_it_will_have() -> None:
    plain = Labels({"__address__": "a:1"})
    by_instance = ScrapeSharding(0, 5, by=("instance",))
    assert by_instance.owners(plain) == by_instance.owners(plain.with_({"instance": "a:1"}))
    assert by_instance.owners(plain) != by_instance.owners(plain.with_({"instance": "app-1:8080"}))


def test_the_address_after_relabelling_decides_and_meta_labels_can() -> None:
    found = [Labels({"__address__": f"pod-{i}", "__meta_node": f"node{i % 2}"}) for i in range(40)]
    same = RelabelConfig(target_label="__address__", replacement="exporter:9115")
    sharding = ScrapeSharding(0, 4)
    home = sharding.owners(Labels({"__address__": "exporter:9115"}))[0]

    def kept(index: int, by: tuple[str, ...]) -> int:
        shard = replace(sharding, index=index, by=by)
        dropped = build_targets(found, JOB, lambda labels: relabel(labels, [same]), shard)[1]
        return len(found) - len(dropped)

    assert [kept(i, ("__address__",)) for i in range(4)] == [40 if i == home else 0 for i in range(4)]
    assert sorted(kept(i, ("__meta_node",)) for i in range(4)) in ([0, 0, 20, 20], [0, 0, 0, 40])


def test_what_is_left_to_others_says_to_whom_and_what_is_no_target_is_told_by_its_own_shard() -> None:
    bad = Labels({"__address__": "a/b"})
    (home,) = ScrapeSharding(0, 3).owners(bad)
    for index in range(3):
        targets, (dropped,) = build_targets([bad], JOB, None, ScrapeSharding(index, 3))
        assert targets == []
        assert (dropped.shards, bool(dropped.error)) == (((), True) if index == home else ((home,), False))


@pytest.mark.parametrize(
    ("shard", "hostname", "index"),
    [("0/5", "", 0), ("4/5", "", 4), ("from-hostname/5", "rulepush-scrape-3", 3), ("from-hostname/5", "a-4.ns.svc", 4)],
)
def test_a_shard_is_named_by_its_index_or_by_its_host(shard: str, hostname: str, index: int) -> None:
    assert read_sharding(shard, None, "", hostname) == ScrapeSharding(index, 5)


def test_replicas_and_labels_are_read() -> None:
    assert read_sharding("1/3", 2, "cluster, __address__", "") == ScrapeSharding(1, 3, 2, ("cluster", "__address__"))
    assert read_sharding("", None, "", "web-9") is None


@pytest.mark.parametrize(
    ("shard", "replicas", "by", "hostname", "said"),
    [
        ("5/5", None, "", "", "5/5 is none of them: there are 5 shards, counted from 0: 0/5 to 4/5"),
        ("1/1", None, "", "", "1/1 is none of them: there is 1 shard, and it is 0/1"),
        ("2", None, "", "", "'2' is not INDEX/NUMBER, counted from 0: three shards are 0/3, 1/3 and 2/3, or "),
        ("-1/3", None, "", "", "'-1/3' is not INDEX/NUMBER"),
        ("0/0", None, "", "", "'0/0' is not INDEX/NUMBER"),
        ("hostname/3", None, "", "", "from-hostname/3 for each pod of a StatefulSet"),
        (
            "from-hostname/3",
            None,
            "",
            "web01",
            "'web01' does not end with -NUMBER, as those of a StatefulSet's pods do",
        ),
        (
            "from-hostname/3",
            None,
            "",
            "web-3",
            "this shard 3, but there are 3 shards, counted from 0: 0/3 to 2/3",
        ),
        ("0/3", 4, "", "", "--scrape.shard-replicas: 4 shards cannot scrape the same target, there are 3 shards"),
        ("", 2, "", "", "--scrape.shard-replicas has no meaning without --scrape.shard"),
        ("", None, "job", "", "--scrape.shard-by has no meaning without --scrape.shard"),
    ],
)
def test_a_mistake_is_refused_with_what_to_write(
    shard: str, replicas: int | None, by: str, hostname: str, said: str
) -> None:
    with pytest.raises(RulepushError) as e:
        read_sharding(shard, replicas, by, hostname)
    assert said in str(e.value)
