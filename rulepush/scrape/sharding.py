"""Which of several shards scrapes a target: the distribution of Prometheus' `hashmod`, by flag. Pure.

Looked at are the labels after relabelling, as the rules that the Prometheus Operator appends do it, and two labels of
the Operator are understood: `__tmp_hash`, when set, is hashed in place of the labels of `--scrape.shard-by`, and a
target with a `__tmp_disable_sharding` is scraped by every shard.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from rulepush.discovery.groups import ADDRESS
from rulepush.errors import RulepushError
from rulepush.model.labels import INSTANCE, Labels
from rulepush.model.shard_flag import read_shard, shards_there_are
from rulepush.relabel.relabel import Action, RelabelConfig

SHARD: Final = "shard"
HASHED: Final = "__tmp_hash"
EVERY_SHARD: Final = "__tmp_disable_sharding"
_FLAG: Final = "--scrape.shard"


@dataclass(frozen=True, slots=True)
class ScrapeSharding:
    """This process is shard `index`, from 0, of `count`; each target is scraped by `replicas` shards, its own one by
    hash and those that follow, modulo `count`. `by` are the labels whose values are hashed, joined with `;`."""

    index: int
    count: int
    replicas: int = 1
    by: tuple[str, ...] = (ADDRESS,)
    _hash: RelabelConfig = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        hashed = RelabelConfig(Action.HASH_MOD, self.by, modulus=self.count, target_label=HASHED)
        object.__setattr__(self, "_hash", hashed)

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    def owners(self, labels: Labels) -> tuple[int, ...]:
        """The shards that scrape a target with these labels, those after relabelling; its own by hash first."""
        if is_scraped_by_every_shard(labels):
            return tuple(range(self.count))
        values = labels.as_dict()
        values.setdefault(INSTANCE, labels.get(ADDRESS))  # as the target will have it
        first = int(self._hash.bucket(labels.get(HASHED) or self._hash.source_value(values)))
        return tuple((first + i) % self.count for i in range(self.replicas))

    def taken(self, labels: Labels) -> Labels | None:
        """The labels with which this shard scrapes a target, None when only others do. A target of every shard gets
        the label `shard`, unless it has one: without it what the shards send on would be one series."""
        if is_scraped_by_every_shard(labels):
            return labels if labels.get(SHARD) else labels.with_({SHARD: str(self.index)})
        return labels if self.index in self.owners(labels) else None


def is_scraped_by_every_shard(labels: Labels) -> bool:
    """Whether no shard may leave the target to others: it says so, or its address is a loopback one, which names
    another target on each machine. A shard itself is one of these."""
    return bool(labels.get(EVERY_SHARD)) or _is_loopback(labels.get(ADDRESS))


def _is_loopback(address: str) -> bool:
    try:
        host = urlsplit(f"//{address}").hostname or ""
    except ValueError:
        return False
    return host in ("localhost", "::1") or host.startswith("127.")


def read_sharding(shard: str, replicas: int | None, by: str, hostname: str) -> ScrapeSharding | None:
    """The sharding of the flags `--scrape.shard`, `--scrape.shard-replicas` and `--scrape.shard-by`; None without.
    `hostname` is read for `from-hostname/N`. Raises RulepushError."""
    if not shard:
        for flag, value in ((f"{_FLAG}-replicas", replicas), (f"{_FLAG}-by", by)):
            if value:
                raise RulepushError(
                    f"{flag} has no meaning without {_FLAG}: give the shard, too, for example {_FLAG} 0/3"
                )
        return None
    index, count = read_shard(_FLAG, shard, hostname)
    replicas = 1 if replicas is None else replicas
    if replicas > count:
        raise RulepushError(
            f"{_FLAG}-replicas: {replicas} shards cannot scrape the same target, {shards_there_are(count)}"
        )
    names = tuple(filter(None, (name.strip() for name in by.split(","))))
    return ScrapeSharding(index, count, replicas, names or (ADDRESS,))
