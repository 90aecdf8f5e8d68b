"""A BacktestReport as JSON. The format is documented in docs/backtest.md; keys are only added to it."""

from __future__ import annotations

from typing import Any

from rulepush.backtest.compare import Comparison, MovedEpisode
from rulepush.backtest.episodes import Episode
from rulepush.backtest.report import BacktestReport, Caveat, RuleSummary
from rulepush.model.floats import format_float
from rulepush.model.timestamps import format_rfc3339


def report_json(report: BacktestReport, compared: Comparison | None = None) -> dict[str, Any]:
    """Times as RFC 3339, durations in seconds, values as texts, as in Prometheus' API: JSON has no NaN."""
    document: dict[str, Any] = {
        "from": _time(report.start),
        "to": _time(report.end),
        "evaluatedFrom": _time(report.first),
        "evaluatedTo": _time(report.last),
        "recorded": None
        if report.recorded is None
        else {"from": _time(report.recorded[0]), "to": _time(report.recorded[1])},
        "stopped": None if report.stopped is None else report.stopped.value,
        "caveats": [_caveat(caveat) for caveat in report.caveats],
        "episodes": [episode_json(episode, report.until) for episode in report.episodes],
        "rules": [_rule(rule) for rule in report.rules],
    }
    if compared is not None:
        document["comparison"] = {
            "same": compared.same,
            "onlyNew": [episode_json(e, report.until) for e in compared.only_new],
            "onlyOld": [episode_json(e, report.until) for e in compared.only_old],
            "moved": [_moved(m, report.until) for m in compared.moved],
        }
    return document


def _time(ms: int | None) -> str | None:
    return None if ms is None else format_rfc3339(ms)


def _seconds(ms: int | None) -> float | None:
    return None if ms is None else ms / 1000


def episode_json(episode: Episode, until: int) -> dict[str, Any]:
    """One episode; `until` (ms) is the end of the test."""
    return {
        "alert": episode.rule.name,
        "group": episode.rule.group,
        "file": episode.rule.file,
        "line": episode.rule.line,
        "labels": episode.labels.as_dict(),
        "annotations": dict(episode.annotations),
        "state": "pending" if episode.fired_at is None else "firing",
        "pendingSince": _time(episode.pending_since),
        "firedAt": _time(episode.fired_at),
        "endedAt": _time(episode.ended_at),
        "firingSeconds": _seconds(episode.firing_ms(until)),
        "sinceBefore": episode.since_before,
        "peak": format_float(episode.peak),
        "last": format_float(episode.last),
        "notifications": {"firing": episode.sent_firing, "resolved": episode.sent_resolved},
        "reason": None if episode.reason is None else episode.reason.value,
        "ended": episode.why,
    }


def _caveat(caveat: Caveat) -> dict[str, Any]:
    return {
        "kind": caveat.kind.value,
        "text": caveat.text,
        "from": _time(caveat.start),
        "to": _time(caveat.end),
    }


def _rule(rule: RuleSummary) -> dict[str, Any]:
    return {
        "name": rule.place.name,
        "type": "alerting" if rule.is_alert else "recording",
        "group": rule.place.group,
        "file": rule.place.file,
        "line": rule.place.line,
        "expr": rule.expr,
        "forSeconds": _seconds(rule.for_ms),
        "keepFiringForSeconds": _seconds(rule.keep_firing_ms),
        "fired": rule.fired,
        "longestFiringSeconds": _seconds(rule.longest_firing_ms),
        "pendingOnly": rule.pending_only,
        "longestPendingSeconds": _seconds(rule.longest_pending_ms),
        "notifications": rule.notifications,
        "failedEvaluations": rule.failed,
        "failures": [
            {"error": f.error, "count": f.count, "first": _time(f.first), "last": _time(f.last)} for f in rule.failures
        ],
        "missing": [{"selector": m.selector, "metric": m.metric, "text": str(m)} for m in rule.missing],
    }


def _moved(moved: MovedEpisode, until: int) -> dict[str, Any]:
    return {
        "old": episode_json(moved.old, until),
        "new": episode_json(moved.new, until),
        "firedBySeconds": _seconds(moved.fired_by),
        "endedBySeconds": _seconds(moved.ended_by),
        "longerBySeconds": _seconds(moved.longer_by),
    }
