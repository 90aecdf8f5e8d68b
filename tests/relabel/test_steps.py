"""Relabelling step by step."""

from __future__ import annotations

import yaml

from rulepush.model.labels import Labels
from rulepush.relabel.relabel import Action, RelabelConfig, relabel
from rulepush.relabel.steps import LabelChange, dropping_step, relabel_steps, rule_text
from tests.relabel.test_relabel import CASES

FOUND = Labels.of(__address__="nacos-0:8848", __meta_zone="a", env="DEV")
SET = RelabelConfig(source_labels=("__address__",), regex="(.*):.*", target_label="host")
LOWER = RelabelConfig(action=Action.LOWERCASE, source_labels=("env",), target_label="env")
FORGET = RelabelConfig(action=Action.LABEL_DROP, regex="host")
ONLY_PROD = RelabelConfig(action=Action.KEEP, source_labels=("env", "host"), regex="prod;.*")
NEVER = RelabelConfig(source_labels=("env",), target_label="late")


def test_each_rule_says_what_it_compared_and_changed() -> None:
    steps = relabel_steps(FOUND, (SET, LOWER, FORGET))
    assert [(s.number, s.value, s.changes, s.keep) for s in steps] == [
        (1, "nacos-0:8848", (LabelChange("host", "", "nacos-0"),), True),
        (2, "DEV", (LabelChange("env", "DEV", "dev"),), True),
        (3, "", (LabelChange("host", "nacos-0", ""),), True),
    ]
    assert dropping_step(FOUND, (SET, LOWER, FORGET)) is None


def test_the_rule_that_drops_is_the_last_step_and_says_what_it_saw() -> None:
    steps = relabel_steps(FOUND, (SET, LOWER, ONLY_PROD, NEVER))
    assert [s.keep for s in steps] == [True, True, False]
    dropped = dropping_step(FOUND, (SET, LOWER, ONLY_PROD, NEVER))
    assert dropped == steps[-1]
    assert dropped is not None
    assert (dropped.number, dropped.rule, dropped.value) == (3, ONLY_PROD, "dev;nacos-0")


def test_a_rule_that_matches_nothing_changes_nothing() -> None:
    (step,) = relabel_steps(FOUND, (RelabelConfig(source_labels=("env",), regex="x", target_label="y"),))
    assert (step.changes, step.keep) == ((), True)


def test_the_steps_end_where_relabelling_ends() -> None:
    """On all cases of Prometheus' own table."""
    dropped = 0
    for labels, rules, wanted in CASES:
        configs = [RelabelConfig(**{"action": Action.REPLACE, **rule}) for rule in rules]
        work = dict(labels)
        for step in relabel_steps(Labels(labels), configs):
            for change in step.changes:
                assert work.pop(change.name, "") == change.before
                if change.after:
                    work[change.name] = change.after
        step_drops = dropping_step(Labels(labels), configs) is not None
        assert step_drops is (relabel(Labels(labels), configs) is None) is (wanted is None)
        dropped += step_drops
        if wanted is not None:
            assert work == wanted
    assert dropped > 3


def test_a_rule_is_written_as_the_configuration_may_have_it() -> None:
    rule = RelabelConfig(
        source_labels=("a", "b"), separator="'", regex="it's (.*)", target_label="c", replacement="$1x"
    )
    assert yaml.safe_load(rule_text(rule)) == {
        "action": "replace",
        "source_labels": ["a", "b"],
        "separator": "'",
        "regex": "it's (.*)",
        "target_label": "c",
        "replacement": "$1x",
    }
    assert rule_text(FORGET) == "{action: labeldrop, regex: 'host'}"
    shard = RelabelConfig(action=Action.HASH_MOD, source_labels=("a",), modulus=4, target_label="__tmp")
    assert rule_text(shard) == "{action: hashmod, source_labels: [a], modulus: 4, target_label: __tmp}"
