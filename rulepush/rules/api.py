"""`/api/v1/rules` and `/api/v1/alerts` in Prometheus' JSON shapes. Source: web/api/v1/api.go. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rulepush.model.floats import format_float
from rulepush.model.labels import Labels
from rulepush.model.matcher import Matcher
from rulepush.model.timestamps import format_rfc3339
from rulepush.rules.alert import Alert
from rulepush.rules.alerting import AlertingRule
from rulepush.rules.group import EvaluationGroup, Rule
from rulepush.rules.health import RuleHealth

NEVER: Final = "0001-01-01T00:00:00Z"  # Go's zero time
TYPES: Final = ("", "alert", "record")


class InvalidParameter(ValueError):
    """A parameter of the rules API that cannot be used. Its text is Prometheus'."""

    def __init__(self, name: str, reason: str):
        super().__init__(f'invalid parameter "{name}": {reason}')


@dataclass(frozen=True, slots=True)
class RulesFilter:
    """The parameters of `/api/v1/rules`. Empty means no restriction. `matchers` has one entry a `match[]`."""

    type: str = ""
    rule_names: frozenset[str] = frozenset()
    rule_groups: frozenset[str] = frozenset()
    files: frozenset[str] = frozenset()
    exclude_alerts: bool = False
    matchers: Sequence[Sequence[Matcher]] = ()
    group_limit: int = 0
    group_next_token: str = ""

    @classmethod
    def of(
        cls,
        *,
        type: str = "",
        rule_names: Iterable[str] = (),
        rule_groups: Iterable[str] = (),
        files: Iterable[str] = (),
        exclude_alerts: str = "",
        matchers: Sequence[Sequence[Matcher]] = (),
        group_limit: str = "",
        group_next_token: str = "",
    ) -> RulesFilter:
        """From the texts of a request. Raises InvalidParameter."""
        if type.lower() not in TYPES:
            raise InvalidParameter("type", f'not supported value "{type.lower()}"')
        if group_next_token and not group_limit:
            text = "group_limit needs to be present in order to paginate over the groups"
            raise InvalidParameter("group_next_token", text)
        return cls(
            type.lower(),
            frozenset(rule_names),
            frozenset(rule_groups),
            frozenset(files),
            _parse_flag(exclude_alerts),
            matchers,
            _parse_limit(group_limit),
            group_next_token,
        )


def _parse_flag(text: str) -> bool:
    low = text.lower()
    if low in ("", "0", "f", "false"):
        return False
    if low in ("1", "t", "true"):
        return True
    reason = f'error converting exclude_alerts: strconv.ParseBool: parsing "{low}": invalid syntax'
    raise InvalidParameter("exclude_alerts", reason)


def _parse_limit(text: str) -> int:
    if not text:
        return 0
    try:
        number = int(text) if text.isascii() else int("x")
    except ValueError:
        reason = f'group_limit needs to be a valid number: strconv.ParseInt: parsing "{text}": invalid syntax'
        raise InvalidParameter("group_limit", reason) from None
    if number <= 0:
        raise InvalidParameter("group_limit", "group_limit needs to be greater than 0")
    return number


def rules_json(groups: Iterable[EvaluationGroup], wanted: RulesFilter = RulesFilter()) -> dict[str, Any]:
    """The `data` of `/api/v1/rules`. Raises InvalidParameter for a token that no group has."""
    shown: list[dict[str, Any]] = []
    answer: dict[str, Any] = {"groups": shown}
    found = not wanted.group_next_token
    for group in groups:
        if not found and next_token(group) != wanted.group_next_token:
            continue
        found = True
        if wanted.rule_groups and group.name not in wanted.rule_groups:
            continue
        if wanted.files and group.file not in wanted.files:
            continue
        rules = [rule_json(rule, wanted.exclude_alerts) for rule in group.rules if _is_wanted(rule, wanted)]
        if not rules:
            continue
        if wanted.group_limit and len(shown) == wanted.group_limit:
            answer["groupNextToken"] = next_token(group)
            break
        shown.append(group_json(group, rules))
    if not found:
        reason = f"invalid group_next_token '{wanted.group_next_token}'. were rule groups changed?"
        raise InvalidParameter("group_next_token", reason)
    return answer


def groups_json(groups: Iterable[EvaluationGroup]) -> list[dict[str, Any]]:
    """Every group with its rules and their alerts."""
    return [group_json(group, [rule_json(rule) for rule in group.rules]) for group in groups]


def next_token(group: EvaluationGroup) -> str:
    """Names a group as the first of the next page."""
    return hashlib.sha1(f"{group.file};{group.name}".encode(), usedforsecurity=False).hexdigest()


def _is_wanted(rule: Rule, wanted: RulesFilter) -> bool:
    if wanted.type and wanted.type != ("alert" if isinstance(rule, AlertingRule) else "record"):
        return False
    if wanted.rule_names and rule.spec.name not in wanted.rule_names:
        return False
    if not wanted.matchers:
        return True
    labels = Labels(rule.spec.labels)
    return any(all(m.matches_labels(labels) for m in matchers) for matchers in wanted.matchers)


def group_json(group: EvaluationGroup, rules: list[dict[str, Any]]) -> dict[str, Any]:
    """One group with these rules. `datasource` (ours) is there for a group that is evaluated elsewhere only."""
    return {
        "name": group.name,
        "file": group.file,
        "rules": rules,
        "interval": _seconds(group.interval_ms),
        "limit": group.limit,
        "evaluationTime": group.evaluation_seconds,
        "lastEvaluation": _time(group.last_evaluation),
        **({"datasource": group.spec.datasource} if group.spec.datasource else {}),
    }


def rule_json(rule: Rule, exclude_alerts: bool = False) -> dict[str, Any]:
    """One rule. With `exclude_alerts`, its `alerts` are null, as in Prometheus."""
    spec = rule.spec
    if not isinstance(rule, AlertingRule):
        labels = {"labels": dict(spec.labels)} if spec.labels else {}
        return {"name": spec.name, "query": str(spec.query), **labels, **_status(rule.status), "type": "recording"}
    return {
        "state": rule.state.value,
        "name": spec.name,
        "query": str(spec.query),
        "duration": _seconds(rule.spec.for_ms),
        "keepFiringFor": _seconds(rule.spec.keep_firing_ms),
        "labels": dict(spec.labels),
        "annotations": dict(rule.spec.annotations),
        "alerts": None if exclude_alerts else [alert_json(a) for a in rule.alerts],
        **_status(rule.status),
        "type": "alerting",
    }


def _status(status: RuleHealth) -> dict[str, Any]:
    return {
        "health": status.health.value,
        **({"lastError": status.last_error} if status.last_error else {}),
        "evaluationTime": status.evaluation_seconds,
        "lastEvaluation": _time(status.last_evaluation),
    }


def alerts_json(alerts: Iterable[Alert]) -> dict[str, Any]:
    """The `data` of `/api/v1/alerts`."""
    return {"alerts": [alert_json(a) for a in alerts]}


def alert_json(alert: Alert) -> dict[str, Any]:
    """One pending or firing alert. `heldSince` is ours: its target cannot be scraped, and its state is held."""
    out: dict[str, Any] = {
        "labels": alert.labels.as_dict(),
        "annotations": dict(alert.annotations),
        "state": alert.state.value,
        "activeAt": format_rfc3339(alert.active_at),
        "value": format_value(alert.value),
    }
    if alert.keep_firing_since is not None:
        out["keepFiringSince"] = format_rfc3339(alert.keep_firing_since)
    if alert.held_since is not None:
        out["heldSince"] = format_rfc3339(alert.held_since)
    return out


def format_value(value: float) -> str:
    """Go's FormatFloat(v, 'e', -1, 64): `1e+00`, `1.5e-07`, `+Inf`, `NaN`."""
    if value != value or value in (float("inf"), float("-inf")):
        return format_float(value)
    if value == 0:
        return "-0e+00" if str(value).startswith("-") else "0e+00"
    text = repr(value)
    sign = "-" if text.startswith("-") else ""
    mantissa, _, exponent = text.lstrip("-").partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = int(exponent or 0) + len(whole) - 1 - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    tail = "." + digits[1:] if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{tail}e{'-' if point < 0 else '+'}{abs(point):02d}"


def _seconds(ms: int) -> int | float:
    return ms // 1000 if ms % 1000 == 0 else ms / 1000


def _time(ms: int | None) -> str:
    return NEVER if ms is None else format_rfc3339(ms)
