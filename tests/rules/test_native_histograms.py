"""Rules over native histograms: what they record, what alerts and their texts make of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from rulepush.rules.unittest.runner import run_test_file
from rulepush.rules.unittest.testfile import load_test_file

RULES = """
groups:
- name: g
  rules:
  - record: job:h:sum
    expr: sum by (job) (h)
  - record: job:h:rate
    expr: rate(job:h:sum[2m])
  - alert: Filled
    expr: h{i="a"}
    annotations:
      now: 'is {{ $value }} of {{ $value.Count }}'
      asked: '{{ range query "job:h:sum" }}{{ .Value }}{{ end }}'
      wrong: '{{ $value | humanize }}'
  - alert: Slow
    expr: histogram_quantile(0.5, h) > 1.3
    annotations: {half: '{{ $value | printf "%.3f" }}'}
"""
TESTS = """
rule_files: [rules.yml]
evaluation_interval: 1m
tests:
- interval: 1m
  input_series:
  - series: 'h{job="x", i="a"}'
    values: '{{count:2 sum:3 offset:1 buckets:[2]}}+{{count:1 sum:1.5 offset:1 buckets:[1]}}x4'
  - {series: 'h{job="x", i="b"}', values: '{{count:4 sum:6 offset:1 buckets:[4]}}x3 stale'}
  promql_expr_test:
  - expr: job:h:sum
    eval_time: 1m
    exp_samples: [{labels: 'job:h:sum{job="x"}', histogram: 'SUM'}]
  - expr: job:h:sum
    eval_time: 4m
    exp_samples: [{labels: 'job:h:sum{job="x"}', histogram: '{{count:6 sum:9 offset:1 buckets:[6]}}'}]
  - expr: histogram_count(job:h:rate)
    eval_time: 2m
    exp_samples: [{labels: '{job="x"}', value: 0.016666666666666666}]
  - expr: ALERTS{alertname="Filled"}
    eval_time: 2m
    exp_samples: [{labels: 'ALERTS{alertname="Filled", alertstate="firing", i="a", job="x"}', value: 1}]
  alert_rule_test:
  - alertname: Slow
    eval_time: 0m
    exp_alerts:
    - {exp_labels: {job: x, i: a}, exp_annotations: {half: '1.414'}}
    - {exp_labels: {job: x, i: b}, exp_annotations: {half: '1.414'}}
"""
FILLED = """
  alert_rule_test:
  - {alertname: Filled, eval_time: 3m, exp_alerts: []}
"""


def failures(tmp_path: Path, tests: str) -> list[str]:
    (tmp_path / "rules.yml").write_text(RULES)
    (tmp_path / "tests.yml").write_text(tests)
    return run_test_file(load_test_file(str(tmp_path / "tests.yml"))).failures


SUM = "{{count:7 sum:10.5 counter_reset_hint:not_reset offset:1 buckets:[7]}}"


def test_recording_rules_write_histograms_and_alerts_read_them(tmp_path: Path) -> None:
    assert failures(tmp_path, TESTS.replace("SUM", SUM)) == []


@pytest.mark.parametrize("wrong", ["{{count:7 sum:10.5 offset:1 buckets:[7]}}", SUM.replace("[7]", "[8]")])
def test_a_wrong_recorded_histogram_fails(tmp_path: Path, wrong: str) -> None:
    (found,) = failures(tmp_path, TESTS.replace("SUM", wrong))
    assert f'got: job:h:sum{{job="x"}} {SUM}' in found


def test_the_texts_of_an_alert_print_the_histogram_of_now(tmp_path: Path) -> None:
    (found,) = failures(tmp_path, TESTS[: TESTS.index("  promql_expr_test")] + FILLED)
    assert "now='is {count:5, sum:7.5, (1,2]:5} of 5'" in found
    assert "asked='{count:9, sum:13.5, (1,2]:9}'" in found
    assert "t convert *histogram.FloatHistogram to float" in found


COUNTS = "{{schema:0 sum:%d count:%d buckets:[%d] counter_reset_hint:gauge}}"
FALLING = f"""
rule_files: [falling.yml]
evaluation_interval: 1m
tests:
- interval: 1m
  input_series:
  - {{series: 'g{{i="falls"}}', values: '{COUNTS % (9, 9, 9)} {COUNTS % (3, 3, 3)}'}}
  - {{series: 'g{{i="rises"}}', values: '{COUNTS % (3, 3, 3)} {COUNTS % (9, 9, 9)}'}}
  promql_expr_test:
  - expr: count by (i) (delta:g)
    eval_time: 1m
    exp_samples: [{{labels: '{{i="rises"}}', value: 1}}]
  - expr: histogram_count(delta(g{{i="falls"}}[2m])) < 0
    eval_time: 1m
    exp_samples: [{{labels: '{{i="falls"}}', value: -12}}]
"""


def test_a_histogram_below_zero_is_not_recorded(tmp_path: Path) -> None:
    rules = "groups: [{name: g, rules: [{record: 'delta:g', expr: 'delta(g[2m])'}]}]"
    (tmp_path / "falling.yml").write_text(rules)
    (tmp_path / "falling_tests.yml").write_text(FALLING)
    (found,) = run_test_file(load_test_file(str(tmp_path / "falling_tests.yml"))).failures  # as promtool fails, too
    assert 'rule: delta:g, time: 1m, err: delta:g{i="falls"}: observation count is  -12: ' in found
