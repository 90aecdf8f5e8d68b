"""The value of a flag that says which shard a process is: `0/3`, or `from-hostname/3` in a StatefulSet."""

from __future__ import annotations

import re
from typing import Final

from rulepush.model.errors import RulepushError

_SPELLED: Final = re.compile(r"(\d{1,6}|from-hostname)/(\d{1,6})", re.ASCII)
_ORDINAL: Final = re.compile(r".*-(\d{1,6})", re.ASCII)


def read_shard(flag: str, text: str, hostname: str) -> tuple[int, int]:
    """Its index, from 0, and the number of shards. `hostname` is read for `from-hostname/N`. Raises RulepushError,
    whose text names the flag."""
    spelled = _SPELLED.fullmatch(text)
    if spelled is None or int(spelled[2]) == 0:
        raise RulepushError(
            f"{flag}: {text!r} is not INDEX/NUMBER, counted from 0: three shards are 0/3, 1/3 and 2/3, or "
            "from-hostname/3 for each pod of a StatefulSet"
        )
    count = int(spelled[2])
    if spelled[1] == "from-hostname":
        return _ordinal(flag, hostname, count), count
    if int(spelled[1]) >= count:
        raise RulepushError(f"{flag}: {text} is none of them: {shards_there_are(count)}")
    return int(spelled[1]), count


def _ordinal(flag: str, hostname: str, count: int) -> int:
    name = hostname.partition(".")[0]
    found = _ORDINAL.fullmatch(name)
    if found is None:
        raise RulepushError(
            f"{flag}: the host name {name!r} does not end with -NUMBER, as those of a StatefulSet's pods do "
            f"(rulepush-0, rulepush-1): give the number itself, {flag} 0/{count}"
        )
    if int(found[1]) >= count:
        raise RulepushError(
            f"{flag}: the host name {name!r} makes this shard {found[1]}, but {shards_there_are(count)}: the number "
            "behind the slash must be that of the replicas of the StatefulSet"
        )
    return int(found[1])


def shards_there_are(count: int) -> str:
    """`there are 3 shards, counted from 0: 0/3 to 2/3`, for a message."""
    if count == 1:
        return "there is 1 shard, and it is 0/1"
    return f"there are {count} shards, counted from 0: 0/{count} to {count - 1}/{count}"
