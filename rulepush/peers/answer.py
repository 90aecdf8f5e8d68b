"""What a peer answers: its groups as `/api/v1/rules?shard=own` has them, and who it is.

A peer may be of another release: what it says beyond this is passed on, what it leaves out is done without. An answer
that is none of a rulepush is an error with the reason, never an empty one. Pure.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rulepush import __version__
from rulepush.errors import RulepushError

OWN_SHARD: Final = "own"
SHARD_PARAMETER: Final = "shard"
ASKER_PARAMETER: Final = "asker"

GroupJson = dict[str, Any]
"""A group as `/api/v1/rules` has it."""


class PeerError(RulepushError):
    """Why a peer shows nothing."""


@dataclass(frozen=True, slots=True)
class EvaluatorIdentity:
    """Who answers. `instance` is random, of this process; `shard` is `1/3`, "" without shards; `url` is where its pages
    are, "" where it was not told."""

    instance: str = ""
    shard: str = ""
    url: str = ""
    version: str = ""

    @classmethod
    def of_process(cls, shard: str = "", url: str = "") -> EvaluatorIdentity:
        """Of this one, with an `instance` of its own."""
        return cls(os.urandom(16).hex(), shard, url, __version__)

    def as_json(self) -> dict[str, str]:
        """As the answer has it."""
        return {"instance": self.instance, "shard": self.shard, "url": self.url, "version": self.version}


@dataclass(frozen=True, slots=True)
class PeerAnswer:
    """The groups that a peer itself evaluates."""

    identity: EvaluatorIdentity
    groups: Sequence[GroupJson]


def read_peer_answer(status: int, phrase: str, content_type: str, text: str) -> PeerAnswer:
    """Raises PeerError with the reason. Large answers take time: call it in a thread."""
    if status in (401, 403):
        raise PeerError(f"HTTP status {status} {phrase}: it wants a user and a password, or others")
    if status != 200:
        raise PeerError(f"HTTP status {status} {phrase}")
    if "html" in content_type.lower() or text.lstrip()[:1] == "<":
        raise PeerError("it answers with a page in HTML: this is another server, or a login stands before it")
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        raise PeerError("its answer is no JSON") from None
    data = body.get("data") if isinstance(body, dict) and body.get("status") == "success" else None
    groups = data.get("groups") if isinstance(data, dict) else None
    if not isinstance(groups, list) or not all(map(_is_group, groups)):
        raise PeerError("its answer is none of /api/v1/rules")
    return PeerAnswer(_identity(data.get("evaluator") if isinstance(data, dict) else None), groups)


def _is_group(one: object) -> bool:
    if not isinstance(one, dict) or not isinstance(one.get("rules"), list):
        return False
    return all(isinstance(one.get(key), str) for key in ("name", "file")) and all(map(_is_rule, one["rules"]))


def _is_rule(one: object) -> bool:
    if not isinstance(one, dict) or not all(isinstance(one.get(key), str) for key in ("name", "query", "type")):
        return False
    alerts = one.get("alerts")
    known = alerts is None or (isinstance(alerts, list) and all(map(_is_alert, alerts)))
    return known and _are_labels(one.get("labels", {}))


def _is_alert(one: object) -> bool:
    return isinstance(one, dict) and isinstance(one.get("state"), str) and _are_labels(one.get("labels"))


def _are_labels(labels: object) -> bool:
    return isinstance(labels, dict) and all(isinstance(value, str) for value in labels.values())


def _identity(found: object) -> EvaluatorIdentity:
    said: Mapping[str, object] = found if isinstance(found, dict) else {}

    def text(key: str) -> str:
        value = said.get(key)
        return value if isinstance(value, str) else ""

    return EvaluatorIdentity(text("instance"), text("shard"), text("url"), text("version"))
