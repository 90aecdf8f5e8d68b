"""`check rules` and `test rules`: output and exit codes, on promtool's own files among others."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from rulepush.__main__ import main
from tests.needs import SHARED, needs_shared

REAL_RULES = SHARED / "conformance/real_rules"
PROMTOOL = SHARED / "conformance/promtool"
needs_promtool_files = needs_shared("conformance/promtool")


class Ran:
    def __init__(self, code: int, out: str, err: str):
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    def call(*words: str | Path) -> Ran:
        code = main([str(word) for word in words])
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return call


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


GOOD = "groups: [{name: g, rules: [{alert: A, expr: 'rate(m[10m]) > 1'}, {record: r, expr: up}]}]"


class TestCheck:
    def test_good_rules_and_what_they_keep(self, run: Any, tmp_path: Path) -> None:
        ran = run("check", "rules", write(tmp_path / "r.yml", GOOD))
        assert (ran.code, ran.err) == (0, "")
        assert f"Checking {tmp_path}/r.yml\n  SUCCESS: 2 rules found\n" in ran.out
        assert "  m for 10m\n  up for 5m\n" in ran.out

    def test_bad_rules(self, run: Any, tmp_path: Path) -> None:
        good = write(tmp_path / "r.yml", GOOD)
        bad = write(tmp_path / "b.yml", "groups: [{name: g, rules: [{alert: A, expr: 'x +'}]}]")
        ran = run("check", "rules", good, bad)
        assert ran.code == 1
        assert ran.err.startswith("  FAILED:\n")
        assert f'{bad}:1: group "g", rule 1, "A": could not parse expression: 1:4: parse error' in ran.err

    def test_a_rule_that_fails_at_every_evaluation_is_warned_of(self, run: Any, tmp_path: Path) -> None:
        name = write(
            tmp_path / "r.yml", "groups: [{name: g, rules: [{alert: A, expr: 'up[5m]'}, {alert: B, expr: up}]}]"
        )
        ran = run("check", "rules", name)
        assert ran.code == 0  # promtool accepts it as well
        assert "  SUCCESS: 2 rules found\n" in ran.out
        assert ran.err.startswith(
            '  WARNING: line 1: group "g", rule 1, "A": rule result is not a vector or scalar but'
        )

    @pytest.mark.parametrize(
        ("flags", "code"),
        [
            ([], 0),
            (["--lint-fatal"], 3),
            (["--lint", "all", "--lint-fatal"], 3),
            (["--lint=none", "--lint-fatal"], 0),
            (["--lint=nonsense"], 1),
        ],
    )
    def test_lint(self, run: Any, tmp_path: Path, flags: list[str], code: int) -> None:
        text = (
            "groups: [{name: g, rules: [{record: r, expr: 1, labels: {a: b}}, {record: r, expr: 2, labels: {a: b}}]}]"
        )
        ran = run("check", "rules", *flags, write(tmp_path / "r.yml", text))
        assert ran.code == code
        if code == 3:
            assert "1 duplicate rule(s) found.\nMetric: r\nLabel(s):\n\ta: b\nMight cause inconsistency" in ran.err

    def test_errors_count_more_than_lint(self, run: Any, tmp_path: Path) -> None:
        dup = write(tmp_path / "r.yml", "groups: [{name: g, rules: [{record: r, expr: 1}, {record: r, expr: 1}]}]")
        assert run("check", "rules", "--lint-fatal", dup, tmp_path / "missing.yml").code == 1

    def test_standard_input(self, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(GOOD.encode())))
        ran = run("check", "rules", "-")
        assert (ran.code, ran.out.splitlines()[0]) == (0, "Checking standard input")

    @needs_promtool_files
    @pytest.mark.parametrize(
        ("name", "code"), [("rules.yml", 0), ("rules_duplicates.yml", 3), ("rules-bad.yml", 1), ("at-modifier.yml", 0)]
    )
    def test_promtools_own_files(self, run: Any, name: str, code: int) -> None:
        assert run("check", "rules", "--lint-fatal", PROMTOOL / name).code == code


TEST_FILE = """
rule_files: [r*.yml]
evaluation_interval: 1m
group_eval_order: [second, first]
tests:
- name: it fires
  interval: 30s
  start_timestamp: 2024-01-01T00:00:00Z
  external_labels: {dc: x}
  external_url: http://e
  input_series:
  - {series: 'm{i="a"}', values: "0 5+0x20 _ stale"}
  alert_rule_test:
  - {eval_time: 1m, alertname: A, exp_alerts: []}
  - eval_time: 3m30s
    alertname: A
    exp_alerts:
    - exp_labels: {i: a, sev: page}
      exp_annotations: {s: "x http://e 5"}
  promql_expr_test:
  - {expr: timestamp(m), eval_time: 1m, exp_samples: [{labels: '{i="a"}', value: 1704067260}]}
  - {expr: r, eval_time: 2m, exp_samples: [{labels: 'r{i="a"}', value: 5}]}
  - {expr: 'm / 0 - m / 0', eval_time: 2m, exp_samples: [{labels: '{i="a"}', value: .nan}]}
- name: other
  promql_expr_test:
  - {expr: 1, exp_samples: [{value: 2}]}
"""
RULES = """
groups:
- name: first
  rules:
  - {alert: A, expr: r > 1, for: 2m, labels: {sev: page},
     annotations: {s: "{{ $externalLabels.dc }} {{ $externalURL }} {{ $value }}"}}
- name: second
  rules: [{record: r, expr: m}]
"""


class TestTest:
    def files(self, tmp_path: Path, text: str = TEST_FILE) -> Path:
        write(tmp_path / "rules.yml", RULES)
        return write(tmp_path / "test.yml", text)

    def test_every_field_of_the_format(self, run: Any, tmp_path: Path) -> None:
        ran = run("test", "rules", "--run", "^it", self.files(tmp_path))
        assert (ran.code, ran.err) == (0, "")
        assert ran.out == f"Unit Testing:  {tmp_path}/test.yml\n  SUCCESS\n\n"

    def test_a_failure_says_where_and_what(self, run: Any, tmp_path: Path) -> None:
        ran = run("test", "rules", self.files(tmp_path))
        assert ran.code == 1
        assert "  FAILED:\n    name: other,\n" in ran.err
        assert (
            f'{tmp_path}/test.yml:26: expr: "1", time: 0s,\n        exp: {{}} 2E+00\n        got: {{}} 1E+00\n'
            in ran.err
        )

    def test_a_difference_names_the_label_and_the_annotation(self, run: Any, tmp_path: Path) -> None:
        text = TEST_FILE.replace("sev: page", "sev: warn").replace("e 5", "e 6")
        ran = run("test", "rules", "--run", "fires", self.files(tmp_path, text))
        assert '          ~ {alertname="A", i="a", sev="warn"}\n' in ran.err
        assert "              label sev: expected 'warn'\n" in ran.err
        assert "                         got      'page'\n" in ran.err
        assert "annotation s: expected 'x http://e 6'" in ran.err

    def test_junit(self, run: Any, tmp_path: Path) -> None:
        report = tmp_path / "out.xml"
        run("test", "rules", "--junit", report, self.files(tmp_path))
        suite = ElementTree.parse(report).getroot()[0]
        assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("2", "1", "0")
        assert [(case.get("name"), len(case)) for case in suite] == [("it fires", 0), ("other", 1)]

    def test_debug_prints_the_data(self, run: Any, tmp_path: Path) -> None:
        ran = run("test", "rules", "--debug", "--run", "it", self.files(tmp_path))
        assert "DEBUG: Starting test it fires" in ran.out
        assert 'm{i="a"} => 0 @[1704067200]' in ran.out

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("tests: [{inptu_series: []}]", ":1: tests[0]: unknown key 'inptu_series' (did you mean 'input_series'?)"),
            ("group_eval_order: [a, a]", ":1: group name repeated in evaluation order: a"),
            ("tests: [{alert_rule_test: [{eval_time: 1m}]}]", "misses required attribute alertname"),
            ("tests: [{input_series: [{series: 'a{', values: 1}]}]", ":1: input series 'a{': "),
            ("tests: [{input_series: [{series: a, values: 1 x}]}]", ":1: input series 'a': unexpected 'x'"),
            ("tests: [{promql_expr_test: [{expr: 'a['}]}]", "err: 1:3: parse error"),
            ("tests: [{promql_expr_test: [{expr: 'a[5m]'}]}]", "err: rule result is not a vector or scalar"),
            (
                "tests: [{promql_expr_test: [{expr: a, exp_samples: [{labels: 'a{', value: 1}]}]}]",
                'err: labels "a{": ',
            ),
            ("rule_files: [no*.yml]\ntests: []", "WARNING: no file match pattern"),
            (
                "tests: [{input_series: [{series: h, values: '{{count:1}}'}],"
                " promql_expr_test: [{expr: sum(h), exp_samples: [{labels: '{}', histogram: '{{count:2}}'}]}]}]",
                "exp: {} {{count:2}}\n        got: {} {{count:1}}",
            ),
        ],
    )
    def test_what_is_wrong_with_a_file(self, run: Any, tmp_path: Path, text: str, message: str) -> None:
        ran = run("test", "rules", write(tmp_path / "t.yml", text))
        assert message in ran.err
        assert ran.code == (0 if message.startswith("WARNING") else 1)

    def test_a_rule_that_fails_ends_its_test(self, run: Any, tmp_path: Path) -> None:
        write(tmp_path / "rules.yml", "groups: [{name: g, rules: [{alert: A, expr: m, labels: {i: x}}]}]")
        text = (
            "rule_files: [rules.yml]\ntests: [{input_series: [{series: 'm{i=\"a\"}', values: 1 1},"
            " {series: 'm{i=\"b\"}', values: _ 1}], alert_rule_test: [{eval_time: 5m, alertname: A}]}]"
        )
        ran = run("test", "rules", write(tmp_path / "t.yml", text))
        assert ran.code == 1
        assert ran.err.count("rule: A, time: 1m, err: vector contains metrics with the same labelset") == 1
        assert "time: 2m" not in ran.err

    def test_bad_rules_fail_the_file(self, run: Any, tmp_path: Path) -> None:
        write(tmp_path / "rules.yml", "groups: [{name: g, rules: [{alert: A}]}]")
        ran = run("test", "rules", write(tmp_path / "t.yml", "rule_files: [rules.yml]\ntests: []"))
        assert ran.code == 1
        assert "field 'expr' must be set in rule" in ran.err

    @needs_promtool_files
    @pytest.mark.parametrize(
        ("name", "code"),
        [
            ("at-modifier-test.yml", 0),
            ("bad-input-series.yml", 1),
            ("bad-promql.yml", 1),
            ("failing.yml", 1),
            ("long-period.yml", 0),
            ("no-test-group-interval.yml", 0),
            ("rules_run_no_fuzzy.yml", 1),
            ("rules_run_fuzzy.yml", 1),
            ("rules.yml", 1),
            ("unittest.yml", 0),
        ],
    )
    def test_promtools_own_files(self, run: Any, name: str, code: int) -> None:
        assert run("test", "rules", PROMTOOL / name).code == code

    @needs_promtool_files
    def test_a_wrong_histogram_fails(self, run: Any, tmp_path: Path) -> None:
        text = (PROMTOOL / "unittest.yml").read_text()
        wrong = text.replace(
            "{{count:4 sum:5.6 counter_reset_hint:not_reset", "{{count:4 sum:5.7 counter_reset_hint:not_reset"
        )
        assert wrong != text
        (tmp_path / "rules.yml").write_text((PROMTOOL / "rules.yml").read_text())
        ran = run("test", "rules", write(tmp_path / "t.yml", wrong))
        assert ran.code == 1
        assert ran.err.count("got:") == 1

    @needs_promtool_files
    def test_a_run_expression_chooses_by_name(self, run: Any) -> None:
        assert run("test", "rules", "--run", "correct", PROMTOOL / "rules_run_fuzzy.yml").code == 0
        assert run("test", "rules", "--run", "correct", PROMTOOL / "rules_run.yml").code == 0
        assert run("test", "rules", "--run", "wrong", "--run", "x", PROMTOOL / "rules_run.yml").code == 1

    @needs_shared("conformance/real_rules")
    @pytest.mark.parametrize("chunk", sorted(p.name for p in REAL_RULES.glob("*.yml")))
    def test_expressions_of_public_rules_give_what_prometheus_gave(self, run: Any, chunk: str) -> None:
        ran = run("test", "rules", REAL_RULES / chunk)
        assert (ran.code, ran.err) == (0, "")
