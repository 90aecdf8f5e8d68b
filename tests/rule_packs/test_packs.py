"""Every pack passes its own tests with promtool and with rulepush, and every rule is tested both ways."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from rulepush.exposition import Format, parse_body
from rulepush.model.labels import Labels
from rulepush.packs import pack_directory
from rulepush.template import AlertTemplateData, expand_alert_template
from tests.needs import binary, shared

RULES = pack_directory()
PACKS = ("nacos", "jvm", "spring-boot", "targets", "jobs", "self")
ANNOTATIONS = {"summary", "description", "runbook", "summary_zh", "description_zh", "runbook_zh"}
# What a translation leaves as it is: paths, flags, metrics, settings, names of alerts, numbers.
UNTRANSLATED = re.compile(
    r"\{\{[^}]*\}\}|(?<!\w)-{1,2}[A-Za-z][\w:.-]*[A-Za-z]|[\w/.*=-]*[_/.=*][\w/.*=-]*[\w*]|[A-Z][a-z]+[A-Z]\w+|\d+",
    re.ASCII,
)
SEVERITIES = {"critical", "warning", "info", "none"}


@cache
def _yaml(name: str) -> Any:
    return yaml.safe_load((RULES / name).read_text(encoding="utf-8"))


def _rules(pack: str) -> list[dict[str, Any]]:
    return [rule for group in _yaml(f"{pack}.yml")["groups"] for rule in group["rules"]]


def _alerts(pack: str) -> list[dict[str, Any]]:
    return [rule for rule in _rules(pack) if "alert" in rule]


def _run(*command: str) -> str:
    done = subprocess.run(command, cwd=RULES, capture_output=True, text=True, timeout=300, check=False)
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    return output


@pytest.mark.parametrize("pack", PACKS)
def test_the_pack_passes_its_tests_with_rulepush(pack: str) -> None:
    output = _run(sys.executable, "-m", "rulepush", "test", "rules", f"{pack}_test.yml")
    assert "SUCCESS" in output


@pytest.mark.parametrize("pack", PACKS)
def test_the_pack_passes_its_tests_with_promtool(pack: str) -> None:
    assert "SUCCESS" in _run(binary("promtool"), "test", "rules", f"{pack}_test.yml")


@pytest.mark.parametrize("pack", PACKS)
def test_promtool_accepts_the_pack(pack: str) -> None:
    assert "SUCCESS" in _run(binary("promtool"), "check", "rules", f"{pack}.yml")


@pytest.mark.parametrize("pack", PACKS)
def test_every_alert_is_shown_firing_and_not_firing(pack: str) -> None:
    fires: set[str] = set()
    silent: set[str] = set()
    for test in _yaml(f"{pack}_test.yml")["tests"]:
        for check in test.get("alert_rule_test", ()):
            (fires if check.get("exp_alerts") else silent).add(check["alertname"])
        for check in test.get("promql_expr_test", ()):
            for sample in check.get("exp_samples") or ():
                fires |= set(re.findall(r'alertname="([^"]+)"', sample["labels"]))
    names = {rule["alert"] for rule in _alerts(pack)}
    assert names - fires == set(), "no test in which it fires"
    assert names - silent - {"Watchdog"} == set(), "no test in which it does not fire"


def test_no_alert_name_is_given_twice() -> None:
    names = [rule["alert"] for pack in PACKS for rule in _alerts(pack)]
    assert len(names) == len(set(names)) == 97


@pytest.mark.parametrize("pack", PACKS)
def test_every_alert_says_how_bad_it_is_and_what_to_do_in_both_languages(pack: str) -> None:
    for rule in _alerts(pack):
        assert rule["labels"]["severity"] in SEVERITIES, rule["alert"]
        assert set(rule["annotations"]) == ANNOTATIONS, rule["alert"]
        for name in ("summary_zh", "description_zh", "runbook_zh"):
            assert re.search(r"[\u4e00-\u9fff]", rule["annotations"][name]), rule["alert"]
        assert len(rule["annotations"]["runbook"]) > 15, rule["alert"]


@pytest.mark.parametrize("pack", PACKS)
def test_the_chinese_runbook_names_the_same_things(pack: str) -> None:
    for rule in _alerts(pack):
        english, chinese = rule["annotations"]["runbook"], rule["annotations"]["runbook_zh"]
        assert set(UNTRANSLATED.findall(chinese)) == set(UNTRANSLATED.findall(english)), rule["alert"]


@pytest.mark.parametrize("pack", PACKS)
def test_every_text_expands(pack: str) -> None:
    labels = Labels.of(instance="n1:8848", job="nacos", name="x")
    data = AlertTemplateData(labels, Labels.of(), "http://localhost", 0.93)
    for rule in _alerts(pack):
        for name, text in rule["annotations"].items():
            expanded = expand_alert_template(text, data, rule["alert"], lambda _query: [], 0, "http://localhost")
            assert "error expanding" not in expanded, rule["alert"]
            assert "{{" not in expanded, rule["alert"]
            assert "no value" not in expanded, (rule["alert"], name)


@pytest.mark.parametrize("pack", ["nacos", "jvm", "spring-boot"])
def test_the_comment_above_each_rule_says_for_which_releases_it_is(pack: str) -> None:
    lines = (RULES / f"{pack}.yml").read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        if not re.match(r"      - (alert|record): ", line):
            continue
        above = number
        while lines[above - 1].lstrip().startswith("#"):
            above -= 1
        comment = " ".join(lines[above:number])
        assert re.search(r"Nacos|Boot|Micrometer|client_java|As [A-Z]", comment), f"{pack}.yml:{number + 1}"


def _as_test(samples: tuple[tuple[str, Format, str, str], ...], tmp_path: Path) -> Path:
    """A unit test file: each body, unchanged for an hour, and no alert at any time."""
    series = []
    for file, fmt, job, instance in samples:
        target = {"job": job, "instance": instance}
        for sample in parse_body(shared(f"samples/{file}").read_bytes(), fmt).samples:
            labels = Labels({**dict(sample.pairs), **target})
            series.append({"series": str(labels), "values": f"{sample.value:g}x120"})
        series.append({"series": str(Labels({"__name__": "up", **target})), "values": "1x120"})
    queries: list[dict[str, Any]] = [
        {"expr": "ALERTS", "eval_time": time, "exp_samples": []} for time in ("1m", "6m", "31m", "59m")
    ]
    document = {
        "rule_files": [str(RULES / f"{pack}.yml") for pack in ("nacos", "jvm", "spring-boot")],
        "evaluation_interval": "30s",
        "tests": [{"interval": "30s", "input_series": series, "promql_expr_test": queries}],
    }
    path = tmp_path / "real_test.yml"
    path.write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8")
    return path


BODIES = (
    ("nacos-1.4-real.prom", Format.TEXT, "nacos", "one:8849"),
    ("nacos24-synthetic.prom", Format.TEXT, "nacos", "two:8848"),
    ("boot34om-synthetic.prom", Format.OPENMETRICS, "orders", "three:8080"),
)


@pytest.mark.parametrize("body", BODIES, ids=lambda body: body[0])
def test_nothing_is_pending_on_a_real_body_with_rulepush(body: tuple[str, Format, str, str], tmp_path: Path) -> None:
    nacos = body if body[2] == "nacos" else BODIES[0]  # without any Nacos, NacosNoTargets would speak
    bodies = tuple(dict.fromkeys((nacos, body)))
    _run(sys.executable, "-m", "rulepush", "test", "rules", str(_as_test(bodies, tmp_path)))


def test_nothing_is_pending_on_the_real_bodies_with_promtool(tmp_path: Path) -> None:
    _run(binary("promtool"), "test", "rules", str(_as_test(BODIES[1:], tmp_path)))
