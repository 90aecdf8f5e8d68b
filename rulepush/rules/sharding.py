"""Which of several processes evaluates a group: by a hash that leaves nearly every group where it is when one is added.

The distribution is jump consistent hashing (Lamping and Veach, 2014, https://arxiv.org/abs/1406.2294): shards are
numbered, one more takes its equal part of the groups from the others, and no group moves between those that were there
before. Pure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from rulepush.model.shard_flag import read_shard
from rulepush.rules.specs import RuleGroup

RULES_SHARD_FLAG: Final = "--rules.shard"
_MASK: Final = (1 << 64) - 1

GroupKey = tuple[str, str]
"""(file, name), as `RuleGroup.key`."""


@dataclass(frozen=True, slots=True)
class RuleShard:
    """This process evaluates the groups of shard `index`, from 0, of `count`."""

    index: int
    count: int

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    def split(self, groups: Iterable[RuleGroup]) -> tuple[tuple[RuleGroup, ...], tuple[RuleGroup, ...]]:
        """The groups of this shard, and those of the others. `groups` are all of them, on every shard the same."""
        everything = tuple(groups)
        keys = shard_keys(group.key for group in everything)
        mine = {key for key, text in keys.items() if shard_of(text, self.count) == self.index}
        own = tuple(group for group in everything if group.key in mine)
        return own, tuple(group for group in everything if group.key not in mine)


def shard_keys(groups: Iterable[GroupKey]) -> Mapping[GroupKey, str]:
    """What of each group is hashed: the name of its file without the directory, which may be another one on each shard,
    and its own. Where that is the same for several groups (`team-a/alerts.yml` and `team-b/alerts.yml`), as much of the
    directory as tells them apart: they would all go to one shard otherwise."""
    alike: dict[tuple[str, str], list[GroupKey]] = defaultdict(list)
    for file, name in dict.fromkeys(groups):
        alike[file.rpartition("/")[2], name].append((file, name))
    keys: dict[GroupKey, str] = {}
    for same in alike.values():
        depth = 1
        while len({_end(file, depth) for file, _ in same}) < len(same):
            depth += 1
        keys |= {(file, name): f"{_end(file, depth)};{name}" for file, name in same}
    return keys


def _end(path: str, depth: int) -> str:
    """The last `depth` parts of a path."""
    return "/".join(path.split("/")[-depth:])


def shard_of(key: str, count: int) -> int:
    """The shard, from 0, of `count` that a key belongs to."""
    import hashlib  # loads OpenSSL, which a process without shards may not need

    state = int.from_bytes(hashlib.blake2b(key.encode("utf-8", "surrogateescape"), digest_size=8).digest(), "big")
    shard, following = 0, 0
    while following < count:
        shard = following
        state = (state * 2862933555777941757 + 1) & _MASK
        following = int((shard + 1) * ((1 << 31) / ((state >> 33) + 1)))
    return shard


def read_rule_shard(text: str, hostname: str) -> RuleShard | None:
    """The shard of the flag `--rules.shard`; None where `text` is empty. `hostname` is read for `from-hostname/N`.
    Raises RulepushError."""
    if not text:
        return None
    return RuleShard(*read_shard(RULES_SHARD_FLAG, text, hostname))
