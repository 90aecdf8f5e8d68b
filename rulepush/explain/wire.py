"""Explanations as the JSON of `/api/v1/rules/explain`, and back: `rulepush explain` prints what a server answers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from rulepush.explain.reasons import Reason, ReasonKind
from rulepush.explain.tree import ExplainedAlert, ExplainedNode, Explanation, MissedRow, ValueRow
from rulepush.model.floats import format_float_json, parse_float
from rulepush.model.labels import Labels
from rulepush.model.timestamps import format_rfc3339, parse_rfc3339

T = TypeVar("T")
Json = Mapping[str, Any]


def explanation_json(found: Explanation) -> dict[str, Any]:
    """One rule. Times are RFC 3339, durations seconds, values texts, as elsewhere in the API."""
    return {
        "name": found.name,
        "type": "alerting" if found.alerting else "recording",
        "group": found.group,
        "file": found.file,
        "line": found.line,
        "query": found.expr,
        "time": format_rfc3339(found.ts),
        "state": found.state,
        "health": found.health,
        "lastError": found.last_error,
        "duration": found.for_ms / 1000,
        "keepFiringFor": found.keep_firing_ms / 1000,
        "interval": found.interval_ms / 1000,
        "lastEvaluation": _time(found.last_ts),
        "nextEvaluation": _time(found.next_ts),
        "summary": [_reason_json(r) for r in found.summary],
        "findings": [_reason_json(r) for r in found.findings],
        "alerts": [_alert_json(a) for a in found.alerts],
        "alertCount": found.alert_count,
        "tree": node_json(found.tree),
    }


def node_json(node: ExplainedNode) -> dict[str, Any]:
    """A node and all below it. `series` is null for a scalar and where the expression fails."""
    out: dict[str, Any] = {"expr": node.expr, "head": node.head, "kind": node.kind, "series": node.series}
    if node.value is not None:
        out["value"] = format_float_json(node.value)
    if node.samples is not None:
        out["samples"] = node.samples
    out["rows"] = [_row_json(row) for row in node.rows]
    if node.kind == "comparison":
        out |= {"dropped": node.dropped, "missed": [_missed_json(row) for row in node.missed]}
    if node.error:
        out["error"] = node.error
    out |= {"reasons": [_reason_json(r) for r in node.reasons], "parts": [node_json(part) for part in node.parts]}
    return out


def _row_json(row: ValueRow) -> dict[str, Any]:
    if row.histogram:
        return {"labels": row.labels.as_dict(), "histogram": row.histogram}
    return {"labels": row.labels.as_dict(), "value": format_float_json(row.value)}


def _missed_json(row: MissedRow) -> dict[str, Any]:
    return {
        "labels": row.labels.as_dict(),
        "value": format_float_json(row.value),
        "op": row.op,
        "threshold": format_float_json(row.threshold),
        "difference": format_float_json(row.difference),
        "relative": row.relative,
        "message": row.text,
    }


def _reason_json(found: Reason) -> dict[str, Any]:
    values = {name: _reason_json(value) if isinstance(value, Reason) else value for name, value in found.values}
    out: dict[str, Any] = {"kind": found.kind.value, "message": found.message, "values": values}
    return out | ({"suggestion": found.suggestion} if found.suggestion else {})


def _alert_json(alert: ExplainedAlert) -> dict[str, Any]:
    return {
        "labels": alert.labels.as_dict(),
        "state": alert.state,
        "value": format_float_json(alert.value),
        "activeAt": _time(alert.active_at),
        "firedAt": _time(alert.fired_at),
        "resolvedAt": _time(alert.resolved_at),
        "firesAt": _time(alert.fires_at),
        "reasons": [_reason_json(r) for r in alert.reasons],
    }


def _time(ms: int | None) -> str | None:
    return None if ms is None else format_rfc3339(ms)


# And back.


def explanation_of(data: Json) -> Explanation:
    """From what `explanation_json` gave. Raises ValueError when it is something else."""
    try:
        return Explanation(
            name=str(data["name"]),
            alerting=data["type"] == "alerting",
            group=str(data["group"]),
            file=str(data["file"]),
            line=int(data["line"]),
            expr=str(data["query"]),
            ts=parse_rfc3339(data["time"]),
            state=str(data["state"]),
            health=str(data["health"]),
            last_error=str(data["lastError"]),
            for_ms=_ms(data["duration"]),
            keep_firing_ms=_ms(data["keepFiringFor"]),
            interval_ms=_ms(data["interval"]),
            last_ts=_maybe_time(data["lastEvaluation"]),
            next_ts=_maybe_time(data["nextEvaluation"]),
            summary=_each(_reason_of, data["summary"]),
            findings=_each(_reason_of, data["findings"]),
            alerts=_each(_alert_of, data["alerts"]),
            alert_count=int(data["alertCount"]),
            tree=_node_of(data["tree"]),
        )
    except (KeyError, TypeError, AttributeError, RecursionError) as e:
        raise ValueError(f"not an explanation: {type(e).__name__}: {e}") from None


def _node_of(data: Json) -> ExplainedNode:
    return ExplainedNode(
        expr=str(data["expr"]),
        head=str(data["head"]),
        kind=str(data["kind"]),
        series=None if data["series"] is None else int(data["series"]),
        value=parse_float(data["value"]) if "value" in data else None,
        samples=int(data["samples"]) if "samples" in data else None,
        rows=_each(_row_of, data["rows"]),
        dropped=int(data.get("dropped", 0)),
        missed=_each(_missed_of, data.get("missed", ())),
        reasons=_each(_reason_of, data["reasons"]),
        error=str(data.get("error", "")),
        parts=_each(_node_of, data["parts"]),
    )


def _row_of(data: Json) -> ValueRow:
    if "histogram" in data:
        return ValueRow(Labels(data["labels"]), math.nan, str(data["histogram"]))
    return ValueRow(Labels(data["labels"]), parse_float(data["value"]))


def _missed_of(data: Json) -> MissedRow:
    return MissedRow(
        Labels(data["labels"]), parse_float(data["value"]), str(data["op"]), parse_float(data["threshold"])
    )


def _reason_of(data: Json) -> Reason:
    """One that a newer server words otherwise is shown with its message."""
    suggestion = str(data.get("suggestion", ""))
    values = tuple(
        (str(name), _reason_of(value) if isinstance(value, Mapping) else str(value))
        for name, value in data["values"].items()
    )
    try:
        made = Reason(ReasonKind(data["kind"]), values, suggestion)
        if made.message == data["message"]:
            return made
    except (ValueError, KeyError):
        pass
    return Reason(ReasonKind.FOUND, (("message", str(data["message"])),), suggestion)


def _alert_of(data: Json) -> ExplainedAlert:
    return ExplainedAlert(
        Labels(data["labels"]),
        str(data["state"]),
        parse_float(data["value"]),
        parse_rfc3339(data["activeAt"]),
        _maybe_time(data["firedAt"]),
        _maybe_time(data["resolvedAt"]),
        _maybe_time(data["firesAt"]),
        _each(_reason_of, data["reasons"]),
    )


def _each(make: Callable[[Json], T], items: Any) -> tuple[T, ...]:
    return tuple(make(item) for item in items)


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _maybe_time(text: str | None) -> int | None:
    return None if text is None else parse_rfc3339(text)
