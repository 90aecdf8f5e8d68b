"""Random rule files over random samples: promtool confirms every series of ALERTS, every recorded sample and every
firing alert that rulepush gives, and fails where rulepush fails.
"""

from __future__ import annotations

import random
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from rulepush.model.durations import format_duration
from rulepush.promql import Engine, parse_expr
from rulepush.promql.testscript.series import parse_series
from rulepush.rules.alert import AlertState
from rulepush.rules.context import RuleContext
from rulepush.rules.group import EvaluationGroup
from rulepush.rules.rulefmt import load_rule_files
from rulepush.storage.demand import Demand
from rulepush.storage.head import Head
from tests.needs import binary

MINUTE, TICKS = 60_000, 40
ALERT_EXPRS = ["m > 2", "m == 0", "sum by (a) (m) > 3", "absent(m)", "rec0 > 3", 'ALERTS{alertname="A0"}', "vector(1)"]
RECORD_EXPRS = ["m > 2", "sum by (a) (m)", 'ALERTS{alertstate="firing"}', "ALERTS_FOR_STATE", "rec0 + 1", "count(m)"]
LABELS: list[dict[str, str]] = [
    {},
    {"sev": "{{ if gt $value 3.0 }}high{{ else }}low{{ end }}"},
    {"a": "", "b": "z{{ $labels.a }}"},
    {"alertname": "other"},
]
WATCHED = ["ALERTS", "ALERTS_FOR_STATE", '{__name__=~"rec.*"}']


def rule(r: random.Random, i: int) -> dict[str, Any]:
    if r.random() < 0.35:
        return {
            "record": f"rec{i % 2}",
            "expr": r.choice(RECORD_EXPRS),
            "labels": r.choice([{}, {"x": "1"}, {"a": ""}]),
        }
    return {
        "alert": f"A{r.randint(0, 2)}",
        "expr": r.choice(ALERT_EXPRS),
        "for": r.choice(["0s", "30s", "1m", "90s", "2m", "5m"]),
        "keep_firing_for": r.choice(["0s", "0s", "1m", "2m", "3m"]),
        "labels": r.choice(LABELS),
        "annotations": {"v": "{{ $value }} {{ $labels.a }}"},
    }


def values(r: random.Random) -> str:
    out: list[str] = []
    while len(out) < TICKS:
        gap = [] if out[-1:] == ["_"] else ["_"]
        value = r.choice([*gap, "0", "1", "3", "4", "5", "6", "stale", "5", "3"])
        out += [value] * (1 if value == "_" else r.randint(1, 5))
    return " ".join(out[:TICKS])


@pytest.mark.parametrize("seed", range(30))
def test_promtool_agrees(seed: int, tmp_path: Path) -> None:
    r = random.Random(seed)
    group: dict[str, Any] = {"name": "g", "rules": [rule(r, i) for i in range(r.randint(1, 5))]}
    if r.random() < 0.2:
        group["limit"] = r.randint(1, 3)
    (tmp_path / "r.yml").write_text(yaml.safe_dump({"groups": [group]}))
    series = {f'm{{a="{a}"}}': values(r) for a in "xyz"[: r.randint(1, 3)]}
    scenario, error = play(tmp_path / "r.yml", series)
    document = {"rule_files": ["r.yml"], "evaluation_interval": "1m", "tests": [scenario]}
    (tmp_path / "t.yml").write_text(yaml.safe_dump(document))
    command = [binary("promtool"), "test", "rules", str(tmp_path / "t.yml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if error:
        assert error in done.stderr
    else:
        assert done.returncode == 0, done.stderr


def play(rules: Path, series: dict[str, str]) -> tuple[dict[str, Any], str]:
    """The scenario with what rulepush gives as expected, and the error that ended it."""
    head = Head(Demand.keep_all(1 << 50))
    engine = Engine()
    (spec,) = load_rule_files([str(rules)])
    group = EvaluationGroup(spec, RuleContext(engine, head), MINUTE, 0)
    feeds = [parse_series(f"{name} {text}") for name, text in series.items()]
    cells = [list(feed.cells()) for feed in feeds]
    exprs: list[dict[str, Any]] = []
    alerts: list[dict[str, Any]] = []
    error = ""
    for tick in range(TICKS):
        ts = tick * MINUTE
        for feed, own in zip(feeds, cells, strict=True):
            cell = own[tick]
            if isinstance(cell, float):
                head.append(feed.labels, ts, cell)
        group.evaluate(ts)
        time = format_duration(ts)
        error = next((one.status.last_error for one in group.rules if one.status.last_error), "")
        if error:
            alerts.append({"eval_time": time, "alertname": "A0", "exp_alerts": []})  # makes promtool come here too
            break
        alerts += [
            {"eval_time": time, "alertname": name, "exp_alerts": firing(group, name)} for name in ("A0", "A1", "A2")
        ]
        for text in WATCHED:
            samples = engine.instant(parse_expr(text), ts, head.querier()).samples()
            expected = [{"labels": str(s.labels), "value": s.value} for s in samples]
            exprs.append({"expr": text, "eval_time": time, "exp_samples": expected})
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": text} for name, text in series.items()],
        "promql_expr_test": exprs,
        "alert_rule_test": alerts,
    }, error


def firing(group: EvaluationGroup, name: str) -> list[dict[str, Any]]:
    return [
        {"exp_labels": alert.labels.without(("alertname",)).as_dict(), "exp_annotations": dict(alert.annotations)}
        for one in group.alerting_rules
        if one.spec.name == name
        for alert in one.alerts
        if alert.state is AlertState.FIRING
    ]
