"""What a rule computes: types, buckets, negative divisors, comparisons."""

from __future__ import annotations

import pytest

from rulepush.livecheck import FindingKind, Level
from tests.livecheck.bodies import findings, only, problems

BODY = b"""\
# TYPE queue_length gauge
queue_length 7
# TYPE job_failures_total counter
job_failures_total 0
# TYPE requests_total counter
requests_total{code="200"} 10
# TYPE rpc_seconds histogram
rpc_seconds_bucket{le="1.0"} 5
rpc_seconds_bucket{le="+Inf"} 9
rpc_seconds_sum 6
rpc_seconds_count 9
# TYPE limit gauge
limit{pool="a"} 5
limit{pool="b"} -1
# TYPE used gauge
used{pool="a"} 2
used{pool="b"} 2
# TYPE process_cpu_usage gauge
process_cpu_usage 0.05
# TYPE jvm_memory_used_bytes gauge
jvm_memory_used_bytes{area="heap",id="PS Eden Space"} 90
jvm_memory_used_bytes{area="heap",id="PS Old Gen"} 10
# TYPE jvm_memory_max_bytes gauge
jvm_memory_max_bytes{area="heap",id="PS Eden Space"} 100
jvm_memory_max_bytes{area="heap",id="PS Old Gen"} 100
"""


@pytest.mark.parametrize(
    ("expr", "kinds"),
    [
        ("rate(queue_length[5m]) > 5", {FindingKind.RATE_ON_GAUGE}),
        ("sum(increase(queue_length[5m])) > 5", {FindingKind.RATE_ON_GAUGE}),
        ("delta(queue_length[5m]) > 5", set()),
        ("delta(requests_total[5m]) > 5", {FindingKind.DELTA_ON_COUNTER}),
        ("deriv(rpc_seconds_count[5m]) > 5", {FindingKind.DELTA_ON_COUNTER}),
        ("rate(requests_total[5m]) > 5", set()),
        ("rate(rpc_seconds_count[5m]) > 5", set()),
        ("histogram_quantile(0.9, rate(rpc_seconds_bucket[5m])) > 5", set()),
        ("histogram_quantile(0.9, sum by (le) (rate(rpc_seconds_bucket[5m]))) > 5", set()),
        ("histogram_quantile(0.9, sum(rate(rpc_seconds_bucket[5m]))) > 5", {FindingKind.BUCKETS_LOST}),
        ("histogram_quantile(0.9, sum without (le) (rate(rpc_seconds_bucket[5m]))) > 5", {FindingKind.BUCKETS_LOST}),
        (
            "histogram_quantile(0.9, sum by (le, job) (rate(rpc_seconds_bucket[5m]))"
            " * on (job) group_left () sum by (job) (queue_length)) > 5",
            set(),
        ),
        ("histogram_quantile(0.9, rate(rpc_seconds_sum[5m])) > 5", {FindingKind.NO_BUCKETS}),
        ("used / limit > 0.9", {FindingKind.DIVISION_BY_NEGATIVE}),
        ("used / (limit > 0) > 0.9", set()),
        ("sum(used) / sum(limit) > 0.9", set()),
        ('sum(used) / sum(limit{pool="b"}) > 0.9', {FindingKind.DIVISION_BY_NEGATIVE}),
        ("jvm_memory_used_bytes / jvm_memory_max_bytes > 0.95", {FindingKind.PER_POOL}),
        ('jvm_memory_used_bytes{id=~".*Old.*"} / jvm_memory_max_bytes > 0.95', set()),
        ("sum(jvm_memory_used_bytes) / sum(jvm_memory_max_bytes) > 0.95", set()),
        ("process_cpu_usage > 80", {FindingKind.NEVER_TRUE}),
        ("process_cpu_usage * 100 > 80", set()),
        ("sum(process_cpu_usage) > 3", set()),
        ("requests_total < 0", {FindingKind.NEVER_TRUE}),
        ("rate(requests_total[5m]) < 0", {FindingKind.NEVER_TRUE}),
        ("requests_total >= 0", {FindingKind.ALWAYS_TRUE}),
        ("up > 1", {FindingKind.NEVER_TRUE}),
        ("up < 0 or up == 0", {FindingKind.NEVER_TRUE}),
        ("count(up) < 1", {FindingKind.NEVER_TRUE}),
        ("absent(up) == 1", set()),
        ("absent(up) == 0", {FindingKind.NEVER_TRUE}),
        ("absent(up) > 1", {FindingKind.NEVER_TRUE}),
        ("absent(up or vector(0))", {FindingKind.ABSENT_NEVER}),
        ("absent(vector(1))", {FindingKind.ABSENT_NEVER}),
        ("absent(missing) and on (instance) up", {FindingKind.ABSENT_NEVER}),
        ('absent(missing{instance="a"}) and on (instance) up', set()),
        ("job_failures_total == 0", {FindingKind.INVERTED}),
        ("sum(rate(job_failures_total[5m])) == 0", {FindingKind.INVERTED}),
        ("job_failures_total < 1", {FindingKind.INVERTED}),
        ("job_failures_total == 0 and on (job) up == 1", {FindingKind.INVERTED}),
        ("increase(requests_total[5m]) == 0", set()),
        ("increase(job_failures_total[5m]) > 0", set()),
        ("up == 1", {FindingKind.INVERTED}),
        ("up == 1 unless on (job) queue_length", set()),
        ("up == 0", set()),
        ("used + on () limit > 0", {FindingKind.FAILS}),
        ("used[5m]", {FindingKind.FAILS}),
        ('"text"', {FindingKind.FAILS}),
    ],
)
def test_each_check(expr: str, kinds: set[FindingKind]) -> None:
    assert problems(expr, BODY) == kinds


def test_the_divisor_is_named() -> None:
    found = only("used / limit > 0.9", FindingKind.DIVISION_BY_NEGATIVE, BODY)
    assert 'limit{instance="n1:8848", job="nacos", pool="b", service="nacos-headless"} = -1' in found.message
    assert found.suggestion.startswith("Divide by (limit > 0)")


def test_a_ratio_compared_with_percent() -> None:
    assert (
        only("process_cpu_usage > 80", FindingKind.NEVER_TRUE, BODY).suggestion
        == "This metric is a ratio: 80 % is 0.8."
    )


def test_what_fires_now_is_no_problem() -> None:
    (found,) = findings("queue_length > 5", BODY)
    assert found.level is Level.FIRES
    assert "queue_length" in found.message
    assert "= 7" in found.message


def test_rates_need_more_than_one_scrape() -> None:
    later = BODY.replace(b'requests_total{code="200"} 10', b'requests_total{code="200"} 400')
    expr = "rate(requests_total[1m]) > 1"
    assert findings(expr, BODY) == []
    assert [f.kind for f in findings(expr, BODY, later)] == [FindingKind.FIRES_NOW]
