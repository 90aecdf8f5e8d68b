"""What of an Alertmanager's configuration decides who is told of an alert, and when. Pure.

Sources: Alertmanager config/config.go (Route, Receiver), dispatch/route.go (`Match`, DefaultRouteOpts) and
pkg/labels/parse.go (matchers as text). The text is that of `GET /api/v2/status`, which Alertmanager writes itself,
secrets left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import yaml

from rulepush.errors import RegexError
from rulepush.model.durations import parse_duration
from rulepush.model.labels import Labels
from rulepush.model.matcher import Matcher, MatchOp
from rulepush.relay.trial_record import TRIAL_LABEL

_GROUP_WAIT_MS: Final = 30_000
_GROUP_INTERVAL_MS: Final = 300_000
_SUFFIX: Final = "_configs"
_MATCHER: Final = re.compile(r"""\s*("(?:[^"\\]|\\.)*"|[^\s=!~"]+)\s*(=~|!~|!=|=)\s*(.*?)\s*""", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Integration:
    """One way on which a receiver tells somebody. `kind` as in Alertmanager's metrics: `webhook`, `email`. `url` is ""
    where Alertmanager hides it, as it does since 0.22."""

    kind: str
    send_resolved: bool
    url: str = ""


@dataclass(frozen=True, slots=True)
class TakenRoute:
    """A route that takes the alert, with what holds for it; times in ms."""

    receiver: str
    group_wait: int
    group_interval: int
    group_by: tuple[str, ...] = ()

    @property
    def alone(self) -> bool:
        """Whether a test alert is in a group of its own, by a label that it shares with no other alert."""
        return not {"...", "alertname", TRIAL_LABEL}.isdisjoint(self.group_by)

    @property
    def first_wait(self) -> int:
        """How long until it is sent, at most: with the next notification of the group, where others are in it."""
        return self.group_wait if self.alone else max(self.group_wait, self.group_interval)


@dataclass(frozen=True, slots=True)
class Routing:
    """The receivers with their integrations, and the tree of routes."""

    receivers: Mapping[str, tuple[Integration, ...]]
    root: Mapping[str, Any]

    def routes(self, labels: Labels) -> tuple[TakenRoute, ...]:
        """The routes that an alert with these labels takes; empty when a matcher cannot be read."""
        try:
            return tuple(_taken(self.root, labels, TakenRoute("", _GROUP_WAIT_MS, _GROUP_INTERVAL_MS), is_root=True))
        except (ValueError, RegexError, TypeError, AttributeError):
            return ()


def read_routing(text: str) -> Routing | None:
    """The routing in `config.original`; None when it cannot be read."""
    try:
        data = yaml.safe_load(text)
        root = data["route"]
        receivers = {str(one["name"]): tuple(_integrations(one)) for one in data["receivers"]}
    except (yaml.YAMLError, KeyError, TypeError, ValueError, RecursionError):
        return None
    return Routing(receivers, root) if isinstance(root, Mapping) else None


def _integrations(receiver: Mapping[str, Any]) -> Iterator[Integration]:
    for key, configs in receiver.items():
        if not key.endswith(_SUFFIX) or not isinstance(configs, list):
            continue
        kind = key.removesuffix(_SUFFIX)
        for config in configs:
            url = str(config.get("url", ""))
            # Written out by Alertmanager; where it is not, as its DefaultXConfigs have it.
            send_resolved = bool(config.get("send_resolved", kind != "email"))
            yield Integration(kind, send_resolved, url if url.startswith(("http://", "https://")) else "")


def _taken(
    node: Mapping[str, Any], labels: Labels, above: TakenRoute, *, is_root: bool = False
) -> Iterator[TakenRoute]:
    """Depth first, as dispatch/route.go: a child that matches ends the search unless it has `continue`."""
    if not is_root and not all(m.matches_labels(labels) for m in _matchers(node)):
        return
    own = TakenRoute(
        str(node.get("receiver") or above.receiver),
        _duration(node, "group_wait", above.group_wait),
        _duration(node, "group_interval", above.group_interval),
        above.group_by if node.get("group_by") is None else tuple(map(str, node["group_by"])),
    )
    found: list[TakenRoute] = []
    for child in node.get("routes") or ():
        taken = list(_taken(child, labels, own))
        found += taken
        if taken and not child.get("continue"):
            break
    yield from found or [own]


def _duration(node: Mapping[str, Any], key: str, default: int) -> int:
    value = node.get(key)
    return default if value is None else parse_duration(str(value))


def _matchers(node: Mapping[str, Any]) -> Iterator[Matcher]:
    for name, value in (node.get("match") or {}).items():
        yield Matcher(str(name), MatchOp.EQUAL, str(value))
    for name, value in (node.get("match_re") or {}).items():
        yield Matcher(str(name), MatchOp.REGEX, str(value))
    matchers: Sequence[object] = node.get("matchers") or ()
    for text in matchers:
        yield parse_route_matcher(str(text))


def parse_route_matcher(text: str) -> Matcher:
    """`severity="info"`, `team=~a|b`, `"a b"!="x"`. Raises ValueError and RegexError."""
    found = _MATCHER.fullmatch(text)
    if found is None:
        raise ValueError(f"not a matcher: {text!r}")
    name, op, value = found.groups()
    return Matcher(_unquoted(name), MatchOp(op), _unquoted(value))


def _unquoted(text: str) -> str:
    if not text.startswith('"'):
        return text
    unquoted = json.loads(text)  # of Go's escapes, those that JSON has: Alertmanager writes no others
    if not isinstance(unquoted, str):
        raise ValueError(f"not a text: {text!r}")
    return unquoted
