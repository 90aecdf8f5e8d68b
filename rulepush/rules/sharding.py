"""Which of several processes evaluates a group: by a hash that leaves nearly every group where it is when one is added.

The distribution is jump consistent hashing (Lamping and Veach, 2014, https://arxiv.org/abs/1406.2294): shards are
numbered, one more takes its equal part of the groups from the others, and no group moves between those that were there
before. Pure.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from rulepush.errors import RulepushError
from rulepush.rules.specs import RuleGroup

RULES_SHARD_FLAG: Final = "--rules.shard"
_SPELLED: Final = re.compile(r"(\d{1,6}|from-hostname)/(\d{1,6})", re.ASCII)
_HOST_ORDINAL: Final = re.compile(r".*-(\d{1,6})", re.ASCII)
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
    spelled = _SPELLED.fullmatch(text)
    if spelled is None or int(spelled[2]) == 0:
        raise RulepushError(
            f"{RULES_SHARD_FLAG}: {text!r} is not INDEX/NUMBER, counted from 0: three shards are 0/3, 1/3 and 2/3, or "
            "from-hostname/3 for each pod of a StatefulSet"
        )
    count = int(spelled[2])
    if spelled[1] != "from-hostname":
        index = int(spelled[1])
        if index >= count:
            raise RulepushError(f"{RULES_SHARD_FLAG}: {text} is none of them: {_those_of(count)}")
        return RuleShard(index, count)
    name = hostname.partition(".")[0]
    found = _HOST_ORDINAL.fullmatch(name)
    if found is None:
        raise RulepushError(
            f"{RULES_SHARD_FLAG}: the host name {name!r} does not end with -NUMBER, as those of a StatefulSet's pods "
            f"do (rulepush-0, rulepush-1): give the number itself, {RULES_SHARD_FLAG} 0/{count}"
        )
    if int(found[1]) >= count:
        raise RulepushError(
            f"{RULES_SHARD_FLAG}: the host name {name!r} makes this shard {found[1]}, but {_those_of(count)}: the "
            "number behind the slash must be that of the replicas of the StatefulSet"
        )
    return RuleShard(int(found[1]), count)


def _those_of(count: int) -> str:
    if count == 1:
        return "there is 1 shard, and it is 0/1"
    return f"there are {count} shards, counted from 0: 0/{count} to {count - 1}/{count}"
