"""Relabelling. The cases marked (prometheus) are those of model/relabel/relabel_test.go."""

from __future__ import annotations

from typing import Any

import pytest

from rulepush.model.labels import Labels
from rulepush.relabel.relabel import Action, RelabelConfig, read_relabel_configs, relabel
from rulepush.yaml.nodes import LoadSession, MapReader, SourceFile, compose

ABC = {"a": "foo", "b": "bar", "c": "baz"}


def read(text: str) -> tuple[tuple[RelabelConfig, ...], list[str]]:
    reading = LoadSession()
    source = SourceFile("f.yml", "/", reading)
    root = compose(b"rules:\n" + text.encode(), source)
    assert root is not None
    configs = read_relabel_configs(MapReader(source, root), "rules")  # type: ignore[arg-type]
    return configs, [str(p) for p in reading.problems]


def run(labels: dict[str, str], *rules: dict[str, Any]) -> dict[str, str] | None:
    configs = [RelabelConfig(**{"action": Action.REPLACE, **rule}) for rule in rules]
    assert [f for c in configs for f in c.faults()] == []
    out = relabel(Labels(labels), configs)
    return None if out is None else out.as_dict()


CASES: list[tuple[dict[str, str], list[dict[str, Any]], dict[str, str] | None]] = [
    # (prometheus)
    (
        ABC,
        [{"source_labels": ("a",), "regex": "f(.*)", "target_label": "d", "replacement": "ch${1}-ch${1}"}],
        ABC | {"d": "choo-choo"},
    ),
    (
        ABC,
        [
            {"source_labels": ("a", "b"), "regex": "f(.*);(.*)r", "target_label": "a", "replacement": "b${1}${2}m"},
            {"source_labels": ("c", "a"), "regex": "(b).*b(.*)ba(.*)", "target_label": "d", "replacement": "$1$2$2$3"},
        ],
        {"a": "boobam", "b": "bar", "c": "baz", "d": "boooom"},
    ),
    (
        {"a": "foo"},
        [
            {"source_labels": ("a",), "regex": ".*o.*", "action": Action.DROP},
            {"source_labels": ("a",), "regex": "f(.*)", "target_label": "d", "replacement": "ch$1-ch$1"},
        ],
        None,
    ),
    ({"a": "foo", "b": "bar"}, [{"source_labels": ("a",), "regex": ".*o.*", "action": Action.DROP}], None),
    ({"a": "abc"}, [{"source_labels": ("a",), "regex": ".*(b).*", "target_label": "d"}], {"a": "abc", "d": "b"}),
    ({"a": "foo"}, [{"source_labels": ("a",), "regex": "no-match", "action": Action.DROP}], {"a": "foo"}),
    ({"a": "foo"}, [{"source_labels": ("a",), "regex": "f|o", "action": Action.DROP}], {"a": "foo"}),
    ({"a": "foo"}, [{"source_labels": ("a",), "regex": "no-match", "action": Action.KEEP}], None),
    ({"a": "foo"}, [{"source_labels": ("a",), "regex": "f.*", "action": Action.KEEP}], {"a": "foo"}),
    # No replacement must be applied if there is no match.
    (
        {"a": "boo"},
        [{"source_labels": ("a",), "regex": "f", "target_label": "b", "replacement": "bar"}],
        {"a": "boo"},
    ),
    # Blank replacement should delete the label.
    (
        {"a": "foo", "f": "baz"},
        [{"source_labels": ("a",), "regex": "(f).*", "target_label": "$1", "replacement": "$2"}],
        {"a": "foo"},
    ),
    (
        ABC,
        [{"source_labels": ("c",), "target_label": "d", "action": Action.HASH_MOD, "separator": ";", "modulus": 1000}],
        ABC | {"d": "976"},
    ),
    (
        {"a": "foo\nbar"},
        [{"source_labels": ("a",), "target_label": "b", "action": Action.HASH_MOD, "separator": ";", "modulus": 1000}],
        {"a": "foo\nbar", "b": "734"},
    ),
    (
        {"a": "foo", "b1": "bar", "b2": "baz"},
        [{"regex": "(b.*)", "replacement": "bar_${1}", "action": Action.LABEL_MAP}],
        {"a": "foo", "b1": "bar", "b2": "baz", "bar_b1": "bar", "bar_b2": "baz"},
    ),
    (
        {"a": "foo", "__meta_my_bar": "aaa", "__meta_my_baz": "bbb", "__meta_other": "ccc"},
        [{"regex": "__meta_(my.*)", "replacement": "${1}", "action": Action.LABEL_MAP}],
        {
            "a": "foo",
            "__meta_my_bar": "aaa",
            "__meta_my_baz": "bbb",
            "__meta_other": "ccc",
            "my_bar": "aaa",
            "my_baz": "bbb",
        },
    ),
    # Invalid regex group names in the target.
    (
        {"a": "some-name-value"},
        [
            {
                "source_labels": ("a",),
                "regex": "some-([^-]+)-([^,]+)",
                "replacement": "${2}",
                "target_label": "${1}",
            }
        ],
        {"a": "some-name-value", "name": "value"},
    ),
    (
        {"a": "some-name-0"},
        [{"source_labels": ("a",), "regex": "some-([^-]+)-([^,]+)", "target_label": "a", "replacement": "${name}"}],
        {},
    ),
    (
        {"a": "some-name-value"},
        [{"source_labels": ("a",), "regex": "some-([^-]+)-([^,]+)", "target_label": "${3}"}],
        {"a": "some-name-value"},
    ),
    (
        {"__meta_sd_tags": "path:/secret,job:some-job,label:foo=bar"},
        [
            {"source_labels": ("__meta_sd_tags",), "regex": "(?:.+,|^)path:(/[^,]+).*", "target_label": "__path__"},
            {"source_labels": ("__meta_sd_tags",), "regex": "(?:.+,|^)job:([^,]+).*", "target_label": "job"},
            {
                "source_labels": ("__meta_sd_tags",),
                "regex": "(?:.+,|^)label:([^=]+)=([^,]+).*",
                "target_label": "${1}",
                "replacement": "${2}",
            },
        ],
        {
            "__meta_sd_tags": "path:/secret,job:some-job,label:foo=bar",
            "__path__": "/secret",
            "job": "some-job",
            "foo": "bar",
        },
    ),
    (
        {"a": "foo", "b1": "bar", "b2": "baz"},
        [{"regex": "(b.*)", "action": Action.LABEL_KEEP}],
        {"b1": "bar", "b2": "baz"},
    ),
    ({"a": "foo", "b1": "bar", "b2": "baz"}, [{"regex": "(b.*)", "action": Action.LABEL_DROP}], {"a": "foo"}),
    (
        {"foo": "bAr123Foo"},
        [
            {"source_labels": ("foo",), "action": Action.UPPERCASE, "target_label": "foo_uppercase"},
            {"source_labels": ("foo",), "action": Action.LOWERCASE, "target_label": "foo_lowercase"},
        ],
        {"foo": "bAr123Foo", "foo_lowercase": "bar123foo", "foo_uppercase": "BAR123FOO"},
    ),
    (
        {"__tmp_port": "1234", "__port1": "1234", "__port2": "5678"},
        [{"source_labels": ("__tmp_port",), "action": Action.KEEP_EQUAL, "target_label": "__port1"}],
        {"__tmp_port": "1234", "__port1": "1234", "__port2": "5678"},
    ),
    (
        {"__tmp_port": "1234", "__port1": "1234", "__port2": "5678"},
        [{"source_labels": ("__tmp_port",), "action": Action.DROP_EQUAL, "target_label": "__port1"}],
        None,
    ),
    (
        {"__tmp_port": "1234", "__port1": "1234", "__port2": "5678"},
        [{"source_labels": ("__tmp_port",), "action": Action.KEEP_EQUAL, "target_label": "__port2"}],
        None,
    ),
    # (ours)
    ({"a": "x"}, [{"target_label": "b", "replacement": "fixed"}], {"a": "x", "b": "fixed"}),
    (
        {"a": "x"},
        [{"source_labels": ("b", "c"), "regex": ";", "target_label": "d", "replacement": "empty"}],
        {"a": "x", "d": "empty"},
    ),
    (
        {"a": "x"},
        [{"source_labels": ("a",), "target_label": "b", "replacement": "$$1-$-${1-$1x-${1}x"}],
        {"a": "x", "b": "$1-$-${1--xx"},
    ),
    (
        {"a": "k-v"},
        [{"source_labels": ("a",), "regex": "(?P<k>.*)-(?P<v>.*)", "target_label": "${k}_x", "replacement": "$v"}],
        {"a": "k-v", "k_x": "v"},
    ),
    (
        {"a": "x\ny"},
        [{"source_labels": ("a",), "regex": "x.y", "target_label": "b", "replacement": "1"}],
        {"a": "x\ny", "b": "1"},
    ),
    (
        {"a": "ΑΣ İß"},
        [{"source_labels": ("a",), "action": Action.LOWERCASE, "target_label": "a"}],
        {"a": "ας iß".replace("ς", "σ")},
    ),
    (
        {"a": "straße ŉ"},
        [{"source_labels": ("a",), "action": Action.UPPERCASE, "target_label": "a"}],
        {"a": "STRAßE ŉ"},
    ),
    (
        {"a1": "1", "a2": "2"},
        [{"regex": "a.", "replacement": "b", "action": Action.LABEL_MAP}],
        {"a1": "1", "a2": "2", "b": "2"},
    ),
    (  # checked against Prometheus 2.42
        {"a": "x"},
        [
            {"target_label": "t1", "replacement": "1"},
            {"target_label": "t2", "replacement": "2"},
            {"target_label": "t1", "replacement": "3"},
            {"regex": "t.", "replacement": "b", "action": Action.LABEL_MAP},
        ],
        {"a": "x", "t1": "3", "t2": "2", "b": "2"},
    ),
    (
        {"t1": "1", "t2": "2"},
        [
            {"target_label": "t1", "replacement": "3"},
            {"regex": "t.", "replacement": "b", "action": Action.LABEL_MAP},
        ],
        {"t1": "3", "t2": "2", "b": "3"},
    ),
    ({"a": "1"}, [{"source_labels": ("z",), "action": Action.LOWERCASE, "target_label": "a"}], {}),
]


@pytest.mark.parametrize(("labels", "rules", "expected"), CASES)
def test_relabels_as_prometheus(
    labels: dict[str, str], rules: list[dict[str, Any]], expected: dict[str, str] | None
) -> None:
    assert run(labels, *rules) == expected
    assert run(labels, *rules) == expected


def test_what_a_rule_remembers_does_not_change_its_answers() -> None:
    configs = [RelabelConfig(source_labels=("a",), regex="f(.*)", target_label="b")]
    for _ in range(3):
        for value, expected in (("foo", "oo"), ("bar", ""), ("f", "")):
            out = relabel(Labels({"a": value}), configs)
            assert out is not None
            assert out.get("b") == expected


def test_unchanged_labels_are_the_same_object() -> None:
    labels = Labels({"a": "x"})
    assert relabel(labels, [RelabelConfig(source_labels=("a",), regex="no", target_label="b")]) is labels
    assert relabel(labels, []) is labels


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("- {action: hashmod, target_label: d}", "relabel configuration for hashmod requires non-zero modulus"),
        ("- {action: hashmod, modulus: 1}", "relabel configuration for hashmod action requires 'target_label' value"),
        ("- {source_labels: [a]}", "relabel configuration for replace action requires 'target_label' value"),
        ("- {action: lowercase}", "relabel configuration for lowercase action requires 'target_label' value"),
        (
            "- {action: lowercase, source_labels: [a], target_label: a, replacement: x}",
            "'replacement' can not be set for lowercase action",
        ),
        (
            "- {action: keepequal, source_labels: [a], target_label: b, regex: (.*)}",
            "keepequal action requires only 'source_labels' and `target_label`, and no other fields",
        ),
        (
            "- {action: dropequal, source_labels: [a], target_label: b, modulus: 3}",
            "dropequal action requires only 'source_labels' and `target_label`, and no other fields",
        ),
        ("- {action: labeldrop, source_labels: [a]}", "labeldrop action requires only 'regex', and no other fields"),
        ("- {action: labelkeep, target_label: a}", "labelkeep action requires only 'regex', and no other fields"),
        ("- {action: labelmap, replacement: ''}", "\"\" is invalid 'replacement' for labelmap action"),
        ("- {action: relabel}", "unknown relabel action 'relabel' (did you mean"),
        ("- {regex: '(', target_label: a}", "regex: invalid regular expression '('"),
        ("- {target: a}", "unknown key 'target' (did you mean 'target_label'?)"),
        ("- ", "expected a mapping, got nothing"),
    ],
)
def test_says_what_is_wrong_as_prometheus(text: str, complaint: str) -> None:
    _, problems = read(text)
    assert any(p.startswith("f.yml:2: ") and complaint in p for p in problems), problems


def test_actions_are_taken_in_any_case_and_utf8_names_are_names() -> None:
    configs, problems = read("- {action: LabelDrop, regex: a}\n- {target_label: 温度.x, replacement: y}")
    assert problems == []
    assert configs[0].action is Action.LABEL_DROP
    out = relabel(Labels({"a": "1"}), configs)
    assert out == Labels({"温度.x": "y"})


def test_an_empty_separator_is_one() -> None:
    configs, problems = read("- {source_labels: [a, b], separator: '', target_label: c}")
    assert problems == []
    assert relabel(Labels({"a": "1", "b": "2"}), configs) == Labels({"a": "1", "b": "2", "c": "12"})
