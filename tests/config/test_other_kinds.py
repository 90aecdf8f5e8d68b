"""Files of another kind, given to `check config`, `check rules` and `run`: a hint says which part is wanted."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from rulepush.__main__ import main

RULES = "groups:\n- name: g\n  rules: [{alert: A, expr: up == 0}]\n"
CONFIG = "global: {scrape_interval: 5s}\nscrape_configs: []\n"
OBJECT = "apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata: {name: x}\nspec:\n  groups: []\n"
HELM_YAML = 'groups:\n- name: "{{ .Release.Name }}"\n  interval: "{{ .Values.interval }}"\n  rules: []\n'
HELM_RANGE = "groups:\n{{- range .Values.groups }}\n- name: {{ . }}\n{{- end }}\n"
MOVE = "move 'groups' to a file of its own and name that under 'rule_files'"
HELM = "this is a Helm template: what `helm template` makes of it is wanted"
SPEC = "is a Kubernetes object (kind: PrometheusRule): the part under 'spec' is wanted, as a file of its own"


@pytest.fixture(autouse=True)
def log_handlers() -> Iterator[None]:
    """`run` sets up the process' log, on the captured standard error."""
    root, ours = logging.getLogger(), logging.getLogger("rulepush")
    before = root.handlers[:], root.level, ours.level
    yield
    root.handlers[:], root.level, ours.level = before


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (CONFIG + RULES, 3, f"holds rules ('groups') beside the configuration: {MOVE}"),
        (RULES, 1, "is a rule file, not a configuration: name it under 'rule_files' of one, or use `check rules`"),
        (OBJECT, 2, f"{SPEC} that begins with 'groups:'; name the rule file under 'rule_files' of the configuration"),
        ("apiVersion: v1\nkind: ConfigMap\ndata: {}\n", 2, "the text under a key of 'data' is wanted"),
        ("apiVersion: v1\nkind: Service\n", 2, "is a Kubernetes object (kind: Service), which rulepush does not read"),
        ('global:\n  scrape_interval: "{{ .Values.interval }}"\n', 2, HELM),
        ("scrape_configs:\n{{- if .Values.scrape }}\n- job_name: x\n{{- end }}\n", 3, HELM),
    ],
)
@pytest.mark.parametrize(
    "command", [["check", "config"], ["check", "config", "--syntax-only"], ["run", "--config.file"]]
)
def test_a_configuration_of_another_kind(
    command: list[str], text: str, line: int, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "c.yml"
    path.write_text(text)
    assert main([*command, str(path)]) == 1
    problems = [t for t in capsys.readouterr().err.splitlines() if message in t]
    assert len(problems) == 1
    assert f"{path}:{line}: " in problems[0]


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (CONFIG + RULES, 1, f"holds a configuration ('global') beside the rules: {MOVE}"),
        (CONFIG, 1, "is a configuration ('global'), not a rule file: a rule file has the key 'groups'"),
        (OBJECT, 2, f"{SPEC} that begins with 'groups:'"),
        (HELM_YAML, 2, HELM),
        (HELM_RANGE, 3, HELM),
        (RULES.replace("up == 0", "{{ .Values.expr }}"), 3, HELM),
    ],
)
def test_a_rule_file_of_another_kind(
    text: str, line: int, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "r.yml"
    path.write_text(text)
    assert main(["check", "rules", str(path)]) == 1
    problems = [t for t in capsys.readouterr().err.splitlines() if message in t]
    assert len(problems) == 1
    assert f"{path}:{line}: " in problems[0]
    config = tmp_path / "c.yml"
    config.write_text("rule_files: [r.yml]\n")
    for command in (["check", "config"], ["run", "--config.file"]):
        assert main([*command, str(config)]) == 1
        assert message in capsys.readouterr().err


def test_one_problem_is_said_in_place_of_many_unknown_keys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "c.yml"
    path.write_text(OBJECT)
    main(["check", "config", str(path)])
    assert capsys.readouterr().err.endswith(f"{path}: 1 problem\n")


def test_rules_in_a_second_document_are_named_in_the_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "c.yml"
    path.write_text(f"{CONFIG}---\n{RULES}")
    assert main(["check", "config", str(path)]) == 0  # as promtool
    err = capsys.readouterr().err
    assert "line 3: only the first YAML document is read, as in Prometheus; the rules ('groups') that follow are" in err


def test_a_template_of_helms_words_is_no_helm_template(tmp_path: Path) -> None:
    path = tmp_path / "r.yml"
    text = RULES.replace("up == 0", 'up == 0, annotations: {a: "{{ if $value }}x{{ end }}"}')
    path.write_text(text)
    assert main(["check", "rules", str(path)]) == 0
