"""A configuration with its rule files: read whole, before anything that runs is touched."""

from __future__ import annotations

from pathlib import Path

import pytest

from rulepush.errors import ConfigError
from rulepush.model.labels import Labels
from rulepush.rules.sharding import RuleShard
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


SHARDED = "groups: [{name: g%d, rules: [{alert: A, expr: 'm%d > 1'}, {record: 'r%d', expr: up}]}]\n"


def test_a_shard_has_its_groups_and_keeps_what_these_read(tmp_path: Path) -> None:
    rules = {f"f{i}": SHARDED % (i, i, i) for i in range(12)}
    path = write(tmp_path, "rule_files: ['*f*.yml']\n", **rules)
    plans = [load_config_and_rules(path, shard=RuleShard(index, 3)) for index in range(3)]
    assert sorted(g.name for plan in plans for g in plan.groups) == sorted(f"g{i}" for i in range(12))
    for plan in plans:
        assert 0 < len(plan.groups) < 12
        assert len(plan.groups) + len(plan.of_other_shards) == 12
        own = {g.name.removeprefix("g") for g in plan.groups}
        assert {i for i in map(str, range(12)) if plan.demand.wants(Labels.of(__name__=f"m{i}"))} == own
        assert plan.keys_of_other_shards == {
            (str(tmp_path / f"f{i}.yml"), f"g{i}") for i in set(range(12)) - set(map(int, own))
        }
        assert plan.written >= {f"r{i}" for i in range(12)}  # also what came from there before is a rule's, no target's
        (warning,) = plan.warnings
        assert "12 groups of rule_files are evaluated in memory" in warning


def test_groups_of_a_datasource_are_sharded_without_a_warning(tmp_path: Path) -> None:
    rules = {f"f{i}": SHARDED % (i, i, i) for i in range(6)}
    config = "datasources: [{name: d, url: 'http://d', rule_files: ['f*.yml']}]\n"
    plan = load_config_and_rules(write(tmp_path, config, **rules), shard=RuleShard(0, 2))
    assert 0 < len(plan.groups) < 6
    assert {g.datasource for g in (*plan.groups, *plan.of_other_shards)} == {"d"}
    assert plan.warnings == ()


def test_where_scraping_is_in_shards_rules_in_memory_are_not_divided(tmp_path: Path) -> None:
    rules = {f"{kind}{i}": SHARDED % (i, i, i) for kind in "dm" for i in range(6)}
    config = "rule_files: ['m*.yml']\ndatasources: [{name: d, url: 'http://d', rule_files: ['d*.yml']}]\n"
    path = write(tmp_path, config, **rules)
    plan = load_config_and_rules(path, shard=RuleShard(0, 2), divide_in_memory=False)
    divided = load_config_and_rules(path, shard=RuleShard(0, 2))
    assert sum(not g.datasource for g in plan.groups) == 6
    assert {g.key for g in plan.groups if g.datasource} == {g.key for g in divided.groups if g.datasource}
    assert 0 < sum(g.datasource == "d" for g in plan.groups) < 6
    assert plan.warnings == ()
