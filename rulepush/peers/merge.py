"""One view of what several evaluators have: a group or an alert of two replicas is there once, with both. Pure."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rulepush.model.labels import Labels
from rulepush.model.timestamps import format_rfc3339
from rulepush.peers.answer import GroupJson
from rulepush.rules.api import InvalidParameter, RulesFilter

_STATES: Final = ("inactive", "pending", "firing")
_TYPES: Final = {"alert": "alerting", "record": "recording"}


@dataclass(frozen=True, slots=True)
class Evaluator:
    """One that has answered. `name` is its address; `link` is where its pages are; `shard` is `1/3` or ""."""

    name: str
    link: str
    shard: str
    groups: Sequence[GroupJson]
    is_self: bool = False


@dataclass(frozen=True, slots=True)
class MissingPeer:
    """One that does not answer since `since` (ms) because of `reason`; `shard` is what it said last, "" where it never
    did. `covered`: another evaluator shows this shard."""

    name: str
    since: int
    reason: str
    shard: str = ""
    covered: bool = False


@dataclass(frozen=True, slots=True)
class PeersView:
    """Who has answered, this process first, and who has not."""

    evaluators: Sequence[Evaluator]
    missing: Sequence[MissingPeer] = ()

    def missing_shards(self) -> list[str]:
        """The shards that no evaluator has which answers: what they have is not seen anywhere."""
        shown = {one.shard for one in self.evaluators}
        known = {_count(shard) for shard in (*shown, *(one.shard for one in self.missing)) if shard}
        return [shard for count in sorted(known) for i in range(count) if (shard := f"{i}/{count}") not in shown]


def _count(shard: str) -> int:
    """5 of `2/5`; 0 for what has another form, and not more than anyone runs."""
    number = shard.partition("/")[2]
    return int(number) if number.isascii() and number.isdecimal() and len(number) < 4 else 0


def merged_groups(evaluators: Iterable[Evaluator]) -> list[GroupJson]:
    """The groups of all, by file and name. Each has the key `evaluators` with the names of those that have it, and each
    of its alerts, too. A group is the same where the name of its file, its own name and its rules are."""
    found: dict[object, list[tuple[Evaluator, GroupJson]]] = {}
    for evaluator in evaluators:
        times: Counter[object] = Counter()
        for group in evaluator.groups:
            key = _group_identity(group)
            times[key] += 1
            found.setdefault((key, times[key]), []).append((evaluator, group))
    merged = [_merged(copies) for copies in found.values()]
    return sorted(merged, key=lambda group: (group["file"], group["name"]))


def _group_identity(group: GroupJson) -> object:
    rules = tuple(_rule_identity(rule) for rule in group["rules"])
    return group["file"].rpartition("/")[2], group["name"], rules


def _rule_identity(rule: dict[str, Any]) -> object:
    return rule["type"], rule["name"], rule["query"], tuple(sorted(rule.get("labels", {}).items()))


def _merged(copies: Sequence[tuple[Evaluator, GroupJson]]) -> GroupJson:
    """Of the copy that was evaluated last, with the alerts of all."""
    newest = max((group for _, group in copies), key=lambda group: str(group.get("lastEvaluation", "")))
    names = [evaluator.name for evaluator, _ in copies]
    rules = [
        _merged_rule(rule, [(evaluator.name, group["rules"][i]) for evaluator, group in copies])
        for i, rule in enumerate(newest["rules"])
    ]
    return {**newest, "rules": rules, "evaluators": names}


def _merged_rule(rule: dict[str, Any], copies: Sequence[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    if rule["type"] != "alerting":
        return rule
    by_labels: dict[object, list[tuple[str, dict[str, Any]]]] = {}
    for name, copy in copies:
        for alert in copy.get("alerts") or ():
            by_labels.setdefault(tuple(sorted(alert["labels"].items())), []).append((name, alert))
    alerts = []
    for same in by_labels.values():
        # The one that is further on; then the one that knows it for longer: the other replica has just started.
        _, best = min(same, key=lambda one: (-_rank(one[1]["state"]), str(one[1].get("activeAt", ""))))
        alerts.append({**best, "evaluators": [name for name, _ in same]})
    worst = max((alert["state"] for alert in alerts), key=_rank, default="inactive")
    return {**rule, "alerts": alerts, "state": worst}


def _rank(state: str) -> int:
    return _STATES.index(state) if state in _STATES else 0


def merged_alerts(groups: Iterable[GroupJson]) -> list[dict[str, Any]]:
    """The pending and firing alerts of merged groups."""
    return [alert for group in groups for rule in group["rules"] for alert in rule.get("alerts") or ()]


def wanted_groups(groups: Iterable[GroupJson], wanted: RulesFilter) -> dict[str, Any]:
    """The `data` of `/api/v1/rules`, as `rules_json` makes it of groups that are evaluated here. Raises
    InvalidParameter for a token that no group has."""
    shown: list[GroupJson] = []
    answer: dict[str, Any] = {"groups": shown}
    found = not wanted.group_next_token
    times: Counter[tuple[str, str]] = Counter()
    for group in groups:
        times[group["file"], group["name"]] += 1
        token = _token(group, times[group["file"], group["name"]])
        if not found and token != wanted.group_next_token:
            continue
        found = True
        if wanted.rule_groups and group["name"] not in wanted.rule_groups:
            continue
        if wanted.files and group["file"] not in wanted.files:
            continue
        rules = list(_wanted_rules(group, wanted))
        if not rules:
            continue
        if wanted.group_limit and len(shown) == wanted.group_limit:
            answer["groupNextToken"] = token
            break
        shown.append({**group, "rules": rules})
    if not found:
        reason = f"invalid group_next_token '{wanted.group_next_token}'. were rule groups changed?"
        raise InvalidParameter("group_next_token", reason)
    return answer


def _wanted_rules(group: GroupJson, wanted: RulesFilter) -> Iterator[dict[str, Any]]:
    for rule in group["rules"]:
        if wanted.type and rule["type"] != _TYPES[wanted.type]:
            continue
        if wanted.rule_names and rule["name"] not in wanted.rule_names:
            continue
        labels = Labels(rule.get("labels", {}))
        if wanted.matchers and not any(all(m.matches_labels(labels) for m in one) for one in wanted.matchers):
            continue
        yield {**rule, "alerts": None} if wanted.exclude_alerts and rule["type"] == "alerting" else rule


def _token(group: GroupJson, times: int) -> str:
    """As `next_token`; two versions of a group, while evaluators are reloaded, have one name."""
    text = f"{group['file']};{group['name']}" + (f";{times}" if times > 1 else "")
    return hashlib.sha1(text.encode("utf-8", "surrogateescape"), usedforsecurity=False).hexdigest()


def peer_warnings(view: PeersView) -> list[str]:
    """A sentence for each evaluator that is missing, and for each shard that nobody shows."""
    said = []
    for one in view.missing:
        shown = f"shard {one.shard}, which another evaluator shows" if one.covered else f"shard {one.shard} is missing"
        what = shown if one.shard else "what it evaluates is missing"
        said.append(f"peer {one.name} does not answer since {format_rfc3339(one.since)}: {one.reason} ({what})")
    known = {one.shard for one in view.missing}
    said += [f"no peer has shard {shard} of the rules" for shard in view.missing_shards() if shard not in known]
    return said
