"""Rule files: what is accepted, what is refused, and how it is said."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from rulepush.errors import RuleFileError
from rulepush.rules.rulefmt import load_rule_files, parse_rule_file
from rulepush.rules.specs import AlertingSpec, RecordingSpec, duplicate_rules


def problems(text: str, **options: bool) -> list[str]:
    return [f"{p.line}: {p.message}" for p in parse_rule_file("f", textwrap.dedent(text).encode(), **options).problems]


def test_every_field() -> None:
    (group,) = parse_rule_file(
        "f",
        b"""
groups:
- name: g
  interval: 1m30s
  limit: 5
  query_offset: 10s
  labels: {team: a, sev: low}
  rules:
  - alert: A
    expr: up == 0
    for: 5m
    keep_firing_for: 10m
    labels: {sev: page, n: 1, t: true, e: ""}
    annotations: {summary: down}
  - record: job:up:sum
    expr: sum by (job) (up)
    labels: {x: y}
""",
    ).groups
    assert (group.name, group.file, group.line) == ("g", "f", 3)
    assert (group.interval_ms, group.limit, group.query_offset_ms) == (90_000, 5, 10_000)
    alert, record = group.rules
    assert isinstance(alert, AlertingSpec)
    assert (alert.name, str(alert.query), alert.for_ms, alert.keep_firing_ms) == ("A", "up == 0", 300_000, 600_000)
    assert alert.labels == (("e", ""), ("n", "1"), ("sev", "page"), ("t", "true"), ("team", "a"))
    assert alert.annotations == (("summary", "down"),)
    assert isinstance(record, RecordingSpec)
    assert record.labels == (("sev", "low"), ("team", "a"), ("x", "y"))
    assert (alert.line, record.line) == (9, 15)


@pytest.mark.parametrize("text", ["", "\n", "# nothing\n", "groups:\n", "groups: []", "groups: [{name: a}]", "---\n"])
def test_files_without_rules_are_good(text: str) -> None:
    assert problems(text) == []


def test_all_problems_at_once_in_the_words_of_prometheus() -> None:
    text = """\
    groups:
    - name: a
      rules:
      - record: x
        alert: y
        expr: 1 +
        for: 5m
      - expr: 1
      - alert: z
        labels: {__name__: c, x: "{{ $foo }}"}
        annotations:
          one: "{{ nofunc }}"
          two: "{{ $value"
    - name: a
      rules:
      - record: "x{}"
        expr: up
        keep_firing_for: 1m
        annotations: {a: b}
    - name: ""
    """
    found = problems(text)
    rule = 'group "a", rule'
    for expected in (
        f"""5: {rule} 1, "y": only one of 'record' and 'alert' must be set""",
        f"""6: {rule} 1, "y": could not parse expression: 1:4: parse error: unexpected end of input""",
        f"""7: {rule} 1, "y": invalid field 'for' in recording rule""",
        f"""8: {rule} 2, "": one of 'record' or 'alert' must be set""",
        f"""9: {rule} 3, "z": field 'expr' must be set in rule""",
        f"""10: {rule} 3, "z": invalid label name: __name__""",
        f"""10: {rule} 3, "z": label "x": template: __alert_z:1: undefined variable "$foo\"""",
        f"""12: {rule} 3, "z": annotation "one": template: __alert_z:1: function "nofunc" not defined""",
        """14: groupname: "a" is repeated in the same file, first in line 2""",
        f"""16: {rule} 1, "x{{}}": braces present in the recording rule name; should it be in expr?: x{{}}""",
        f"""18: {rule} 1, "x{{}}": invalid field 'keep_firing_for' in recording rule""",
        f"""19: {rule} 1, "x{{}}": invalid field 'annotations' in recording rule""",
        """20: Groupname must not be empty""",
    ):
        assert expected in found
    assert any(line.startswith(f'13: {rule} 3, "z": annotation "two": template: __alert_z:1: ') for line in found)
    assert len(found) == 14
    assert [int(line.split(":")[0]) for line in found] == sorted(int(line.split(":")[0]) for line in found)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("group: []", "1: unknown key 'group' (did you mean 'groups'?)"),
        ("groups: [{name: a, intervall: 5s}]", "1: groups[0]: unknown key 'intervall' (did you mean 'interval'?)"),
        (
            "groups: [{name: a, rules: [{alert: a, expr: 1, annotation: {}}]}]",
            "1: groups[0].rules[0]: unknown key 'annotation' (did you mean 'annotations'?)",
        ),
        (
            "groups: [{name: a, interval: 5}]",
            "1: groups[0].interval: expected a duration such as 30s or 1h30m, got '5'",
        ),
        ("groups: [{name: a, rules: [null]}]", "1: groups[0].rules[0]: expected a mapping, got nothing"),
        ("groups: {}", "1: groups: expected a list, got a mapping"),
        ("[]", "1: expected a mapping with the key 'groups', got a list"),
        ("groups: [", "2: not valid YAML: did not find expected node content"),
        (
            "groups:\n- name: a\n  name: b",
            "3: groups[0]: key 'name' is already set in line 2",
        ),
        (
            'groups: [{name: a, labels: {__name__: x, t: "{{ $x }}"}, rules: [{alert: r, expr: 1}]}]',
            '1: group "a": invalid label name: __name__',
        ),
        (
            'groups: [{name: a, labels: {t: "{{ $x }}"}, rules: [{alert: r, expr: 1}]}]',
            '1: group "a": label "t": template: __alert_:1: undefined variable "$x"',
        ),
        (
            "groups: [{name: a, rules: [{record: r, expr: nofunction(up)}]}]",
            '1: group "a", rule 1, "r": could not parse expression: 1:1: parse error: '
            'unknown function with name "nofunction"',
        ),
        (
            "groups: [{name: a, rules: [{record: r, expr: 'rate(up[step()])'}]}]",
            '1: group "a", rule 1, "r": could not evaluate expression: 8:14: duration must be greater than 0; '
            "in a rule, the durations step() and range() are 0s",
        ),
        (
            "groups: [{name: a, rules: [{record: r, expr: 'sum(irate(up[5m] smoothed))'}]}]",
            '1: group "a", rule 1, "r": could not evaluate expression: '
            "smoothed modifier can only be used with: delta, increase, rate - not with irate",
        ),
    ],
)
def test_what_is_refused(text: str, expected: str) -> None:
    assert expected in [line.replace("while parsing a flow node, ", "") for line in problems(text)]


@pytest.mark.parametrize(
    ("expr", "kind"), [("up[5m]", "range vector"), ("up[5m:1m] offset 1m", "range vector"), ("'\"a\"'", "string")]
)
@pytest.mark.parametrize("rule", ["alert", "record"])
def test_a_result_that_no_rule_can_have_is_loaded_as_in_prometheus_with_a_warning(
    rule: str, expr: str, kind: str
) -> None:
    file = parse_rule_file("f", f"groups:\n- name: a\n  rules:\n  - {rule}: r\n    expr: {expr}\n".encode())
    assert (file.problems, file.rule_count) == ((), 1)
    assert file.warnings == (
        f'line 5: group "a", rule 1, "r": rule result is not a vector or scalar but a {kind}, '
        "so every evaluation fails; the other rules are evaluated",
    )


def test_group_labels_are_no_templates_where_nothing_alerts() -> None:
    assert problems('groups: [{name: a, labels: {t: "{{ $x }}"}, rules: [{record: r, expr: 1}]}]') == []


def test_unknown_keys_can_be_ignored() -> None:
    assert (
        problems("groups: [{name: a, foo: 1, rules: [{record: r, expr: 1, bar: 2}]}]\nbaz: 3", ignore_unknown=True)
        == []
    )


def test_utf8_names_are_good() -> None:
    text = 'groups: [{name: a, rules: [{record: "größe.x", expr: 1, labels: {"a.b": c}}, {alert: a b, expr: 1}]}]'
    assert problems(text) == []


def test_anchors_aliases_and_merge_keys() -> None:
    text = """\
    groups:
    - name: a
      rules:
      - &base
        alert: A
        expr: up
        labels: &l {x: "1"}
      - <<: *base
        alert: B
      - {alert: C, expr: up, labels: *l}
    """
    parsed = parse_rule_file("f", textwrap.dedent(text).encode())
    assert parsed.problems == ()
    assert [(r.name, r.labels) for r in parsed.groups[0].rules] == [(n, (("x", "1"),)) for n in "ABC"]


def test_an_alias_bomb_is_refused() -> None:
    lines = ["a: &a [x,x,x,x,x,x,x,x,x,x]"]
    lines += [f"{b}: &{b} [" + ",".join([f"*{a}"] * 10) + "]" for a, b in zip("abcdefgh", "bcdefghi", strict=True)]
    (problem,) = problems("\n".join(lines))
    assert "once its aliases are expanded" in problem


def test_only_the_first_document_counts_as_in_prometheus() -> None:
    text = "groups: [{name: a, rules: [{record: x, expr: 1}]}]\n---\ngroups: [{name: '', rules: 7}]\n"
    parsed = parse_rule_file("f", text.encode())
    assert (parsed.rule_count, parsed.problems) == (1, ())
    assert parsed.warnings == (
        "line 2: only the first YAML document is read, as in Prometheus; the rules ('groups') that follow are ignored",
    )
    assert parse_rule_file("f", b"---\ngroups: []\n").warnings == ()
    assert parse_rule_file("f", b"---\ngroups: []\n...\n").warnings == ()


def test_not_utf8_is_refused() -> None:
    (problem,) = parse_rule_file("f", b"groups:\n- name: \xff\n").problems
    assert (problem.line, problem.message) == (2, "is not valid UTF-8")


def test_loading_tells_the_problems_of_all_files(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text("groups: 1")
    (tmp_path / "b.yml").write_text("grous: []")
    with pytest.raises(RuleFileError) as caught:
        load_rule_files(str(tmp_path / name) for name in ("a.yml", "b.yml", "c.yml"))
    assert [p.file[-5:] for p in caught.value.problems] == ["a.yml", "b.yml", "c.yml"]
    assert str(caught.value.problems[2]).endswith("c.yml: cannot be read: No such file or directory")


def test_duplicates_are_those_with_the_same_name_and_labels() -> None:
    groups = parse_rule_file(
        "f",
        b"groups: [{name: a, rules: [{record: r, expr: 1}, {record: r, expr: 2}, {record: r, expr: 2, labels: {a: b}}"
        b"]},"
        b"{name: b, rules: [{record: r, expr: 3}]}, {name: c, labels: {g: c}, rules: [{record: r, expr: 3}]}]",
    ).groups
    assert duplicate_rules(groups) == [("r", ())]


@pytest.mark.parametrize(
    ("expr", "message"),
    [
        ("{" * 300_000, "nested deeper than 200 levels"),
        ("(" * 300_000, "nested deeper than 200 levels"),
        ("sum(" * 300_000, "nested deeper than 200 levels"),
        ("-" * 300_000, "more than 200,000 tokens"),
        ("1" + "+1" * 300_000, "more than 200,000 tokens"),
    ],
)
def test_an_expression_without_bounds_is_refused_where_it_stands(expr: str, message: str) -> None:
    """Each took minutes or hours where a step was quadratic, also the search for Helm's words in `{{{{`."""
    (problem,) = problems(f"groups:\n- name: g\n  rules:\n  - record: x\n    expr: '{expr}'\n")
    assert problem.startswith('5: group "g", rule 1, "x": could not parse expression: ')
    assert message in problem
