"""Metrics, labels and values that a rule asks for, and what is said when they are not there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rulepush.livecheck import FindingKind, Level, LiveData, LiveRule, analyse
from rulepush.promql import parse_expr
from tests.livecheck.bodies import answer, broken, findings, only, problems

NACOS = b"""\
# TYPE nacos_monitor gauge
nacos_monitor{module="config",name="longPolling",} 31.0
nacos_monitor{module="naming",name="failedPush",} 21.0
nacos_monitor{module="naming",name="mysqlhealthCheck",} 0.0
# TYPE jvm_threads_daemon_threads gauge
jvm_threads_daemon_threads 172.0
# TYPE http_server_requests_seconds summary
http_server_requests_seconds_count{exception="none",status="200",uri="/a",} 5.0
http_server_requests_seconds_sum{exception="none",status="200",uri="/a",} 1.0
# TYPE jvm_gc_pause_seconds summary
jvm_gc_pause_seconds_count{action="end of minor GC",cause="x",} 5.0
# TYPE logback_events_total counter
logback_events_total{level="error",} 5.0
"""
APP = b"# TYPE app_orders_total counter\napp_orders_total 3\n"


def test_a_metric_with_its_unit_forgotten() -> None:
    found = only("jvm_threads_daemon > 500", FindingKind.UNKNOWN_METRIC, NACOS)
    assert found.level is Level.PROBLEM
    assert "jvm_threads_daemon_threads" in found.suggestion


def test_a_misspelled_metric() -> None:
    assert only("nacos_monitr > 1", FindingKind.UNKNOWN_METRIC, NACOS).suggestion == "Did you mean nacos_monitor?"


def test_a_label_that_the_metric_has_not() -> None:
    found = only('nacos_monitor{nam="failedPush"} > 1', FindingKind.UNKNOWN_LABEL, NACOS)
    assert found.suggestion == "Did you mean name?"


def test_a_label_value_that_never_occurs() -> None:
    found = only('nacos_monitor{name="failedpush2"} > 1', FindingKind.UNKNOWN_VALUE, NACOS)
    assert '"failedPush"' in found.message
    assert found.suggestion == 'Did you mean name="failedPush"?'


def test_a_pattern_is_fine_when_one_alternative_occurs() -> None:
    assert findings('nacos_monitor{name=~"failedPush|totalPsh"} > 1000', NACOS) == []
    assert problems('nacos_monitor{name=~"faildPush|totalPsh"} > 1000', NACOS) == {FindingKind.UNKNOWN_VALUE}


def test_values_that_exist_and_do_not_meet() -> None:
    found = only('nacos_monitor{module="config",name="failedPush"} > 1', FindingKind.NO_SUCH_SERIES, NACOS)
    assert found.suggestion == 'With module="naming" it exists.'


@pytest.mark.parametrize(
    "expr",
    [
        'nacos_monitor{name="mysqlHealthCheck"} > 10',
        'rate(http_server_requests_seconds_count{exception="None"}[5m]) > 1',
    ],
)
def test_another_spelling_is_a_problem_even_of_what_comes_and_goes(expr: str) -> None:
    found = only(expr, FindingKind.UNKNOWN_VALUE, NACOS)
    assert "is spelled" in found.message
    assert "to be right for both" in found.suggestion


@pytest.mark.parametrize(
    "expr",
    [
        'increase(nacos_exception_total{name="db"}[5m]) > 0',
        'increase(jvm_gc_pause_seconds_count{action="end of major GC"}[5m]) > 3',
        'rate(http_server_requests_seconds_count{status=~"5.."}[5m]) > 1',
    ],
)
def test_what_its_first_event_creates_is_only_noted(expr: str) -> None:
    found = only(expr, FindingKind.NOT_THERE_YET, NACOS)
    assert found.level is Level.NOTE
    assert "unless" in found.suggestion


def test_no_advice_on_first_events_where_nothing_is_counted() -> None:
    assert only("nacos_exception_total > 5", FindingKind.NOT_THERE_YET, NACOS).suggestion == ""


def test_what_only_other_releases_have_is_only_noted() -> None:
    for expr in (
        "nacos_monitor_summary_count > 3",
        'grpc_server_executor{name="inQueueTaskCount"} > 100',
        'nacos_monitor{name="longConnection"} < 10',
        "jvm_memory_usage_after_gc_percent > 0.8",
    ):
        assert [f.level for f in findings(expr, NACOS)] == [Level.NOTE], expr


def test_nacos_metrics_without_a_nacos_server() -> None:
    found = only('increase(nacos_exception_total{name="db"}[5m]) > 0', FindingKind.UNKNOWN_METRIC, APP)
    assert "none of them looks like a Nacos server" in found.message


def test_what_a_nacos_server_never_has() -> None:
    found = only("hikaricp_connections_pending > 0", FindingKind.UNKNOWN_METRIC, NACOS)
    assert "outside of Spring" in found.message


def test_no_buckets() -> None:
    expr = "histogram_quantile(0.95, sum by (le) (rate(http_server_requests_seconds_bucket[5m]))) > 1"
    found = only(expr, FindingKind.NO_BUCKETS, NACOS)
    assert "percentiles-histogram" in found.suggestion


def test_a_setting_that_exposes_it() -> None:
    found = only("tomcat_threads_busy_threads > 100", FindingKind.UNKNOWN_METRIC, NACOS)
    assert "server.tomcat.mbeanregistry.enabled=true" in found.suggestion


def test_missing_is_meant_in_absent_and_right_of_unless_and_beside_an_alternative() -> None:
    assert problems("absent(nothing_here)", NACOS) == set()
    assert problems("up == 0 unless on (job) nothing_here", NACOS) == set()
    assert problems("nothing_here > 5 or jvm_threads_daemon_threads > 500", NACOS) == set()
    assert problems("nothing_here > 5 or nothing_there > 5", NACOS) == {FindingKind.UNKNOWN_METRIC}


def test_a_target_that_failed_may_have_it() -> None:
    levels = {f.level for f in findings("nothing_here > 5", NACOS, more=(broken(),))}
    assert levels == {Level.NOTE}


def test_a_matcher_on_target_labels_is_not_judged_without_a_configuration() -> None:
    expr = 'nacos_monitor{name="failedPush",team="a",job="x"} > 5'
    assert problems(expr, NACOS) == {FindingKind.UNKNOWN_LABEL, FindingKind.UNKNOWN_VALUE}
    loose = findings(expr, NACOS, labels_known=False)
    assert {f.kind for f in loose} == {FindingKind.TARGET_LABEL, FindingKind.FIRES_NOW}
    assert problems('nacos_monitor{nam="failedPush"} > 5', NACOS, labels_known=False) == {FindingKind.UNKNOWN_LABEL}


def test_a_rule_marked_optional_has_no_problem_with_what_is_missing() -> None:
    seen = LiveData([answer(NACOS)])
    rule = LiveRule("Hikari", parse_expr("hikaricp_connections_pending > 0"), optional=True)
    report = analyse([rule], seen)
    assert report.ok
    assert not analyse([replace(rule, optional=False)], seen).ok


def test_recorded_metrics_are_known_and_read() -> None:
    rules = [
        LiveRule("daemons:double", parse_expr("2 * jvm_threads_daemon_threads"), alert=False),
        LiveRule("Many", parse_expr("daemons:double > 300")),
    ]
    report = analyse(rules, LiveData([answer(NACOS)]))
    assert report.ok
    assert [f.kind for f in report.rules[1].findings] == [FindingKind.FIRES_NOW]


def test_nothing_is_said_of_rules_when_no_target_answered() -> None:
    report = analyse([LiveRule("Test", parse_expr("up == 0"))], LiveData([broken()]))
    assert report.rules == ()
    assert not report.ok


def test_a_nacos_that_answers_shows_what_nacos_has_even_when_another_target_failed() -> None:
    (found,) = findings("nacos_raft_leader > 2", NACOS, more=(broken(),))
    assert (found.kind, found.level) == (FindingKind.UNKNOWN_METRIC, Level.PROBLEM)


def test_a_rule_that_counts_the_first_event_is_not_told_to() -> None:
    plain, handled = (
        "increase(nacos_exception_total[5m]) > 0",
        "nacos_exception_total unless nacos_exception_total offset 5m",
    )
    body = b'# TYPE nacos_monitor gauge\nnacos_monitor{module="naming",name="ipCount"} 1\n'
    assert any("miss its first event" in f.suggestion for f in findings(plain, body))
    assert not any(f.suggestion for f in findings(f"({handled}) or {plain}", body))
