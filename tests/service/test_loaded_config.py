"""Reading the configuration and its rule files before anything that runs is touched."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from rulepush.service.loaded_config import load_config_and_rules


def test_warnings_of_the_configuration_and_of_rule_files_are_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config, rules = tmp_path / "prometheus.yml", tmp_path / "rules.yml"
    config.write_text("rule_files: [rules.yml]\nstorage: {retention: 1h}\n")
    rules.write_text("groups: [{name: g, rules: [{alert: A, expr: up == 0}]}]\n---\ngroups: []\n")
    plan = load_config_and_rules(str(config))
    assert plan.rule_count == 1
    with caplog.at_level(logging.WARNING):
        plan.log_warnings()
    retention, document = [r.getMessage() for r in caplog.records]
    assert retention.startswith("storage.retention has no effect")
    assert document.startswith(f"{rules}: line 2: only the first YAML document is read")
