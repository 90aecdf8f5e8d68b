"""A configuration with its rule files: read whole, before anything that runs is touched."""

from __future__ import annotations

from pathlib import Path

import pytest

from rulepush.errors import ConfigError
from rulepush.model.labels import Labels
from rulepush.service.loaded_config import load_config_and_rules

RULES = "groups: [{name: g, rules: [{alert: A, expr: 'rate(x[10m]) > 1'}, {record: y, expr: up}]}]\n"


def write(directory: Path, config: str, **rules: str) -> str:
    for name, text in rules.items():
        (directory / f"{name}.yml").write_text(text)
    (directory / "prometheus.yml").write_text(config)
    return str(directory / "prometheus.yml")


def test_the_rules_decide_what_is_kept(tmp_path: Path) -> None:
    plan = load_config_and_rules(
        write(tmp_path, "rule_files: [a.yml]\nglobal: {rule_query_offset: 1m}\n", a=RULES), 300_000
    )
    assert plan.rule_count == 2
    assert [group.name for group in plan.groups] == ["g"]
    assert [str(kept) for kept in plan.demand.describe()] == ["ALERTS for 5m", "up for 6m", "x for 11m"]
    assert not plan.demand.wants(Labels.of(__name__="z"))
    assert plan.warnings == ()


def test_everything_is_kept_when_that_is_asked_for(tmp_path: Path) -> None:
    plan = load_config_and_rules(write(tmp_path, "storage: {keep: all, retention: 20m}\n"))
    assert plan.demand.keeps_all
    assert plan.demand.wants(Labels.of(__name__="z"))


def test_all_problems_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    path = write(tmp_path, "rule_file: []\nrule_files: [a.yml, b.yml]\n", a="groups: 1\n", b=RULES.replace("x[", "("))
    with pytest.raises(ConfigError) as e:
        load_config_and_rules(path)
    problems = str(e.value).replace(f"{tmp_path}/", "").splitlines()
    assert [line.partition(": ")[0] for line in problems] == ["prometheus.yml:1", "a.yml:1", "b.yml:1"]


def test_warnings_of_the_configuration_and_of_its_rule_files_are_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = "storage: {retention: 1h}\nrule_files:\n- a.yml\n- b.yml\n- c*.yml\n"
    plan = load_config_and_rules(write(tmp_path, config, a=RULES + "---\n"))
    plan.log_warnings()
    assert {r.levelname for r in caplog.records} == {"WARNING"}
    retention, *files = [r.getMessage().replace(f"{tmp_path}/", "") for r in caplog.records]
    assert retention.startswith("storage.retention has no effect")
    assert files == [
        "a.yml: line 2: only the first YAML document is read, as in Prometheus; what follows is ignored",
        "prometheus.yml:4: rule_files: 'b.yml' does not point to an existing file",
        "prometheus.yml:5: rule_files: 'c*.yml' does not point to an existing file",
    ]
