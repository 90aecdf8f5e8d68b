"""Why a selector has no series: with what check live knows, and what became of the series."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from rulepush.explain import ReasonKind, RecordedMetric, Surroundings
from rulepush.explain.selectors import ReadTime, newest_of
from rulepush.model.index import LabelIndex
from rulepush.model.labels import Labels
from rulepush.model.sample import STALE, is_stale
from rulepush.storage.selection import Selection
from tests.explain.explaining import NODE_A, NODE_B, alert, around_body, explained, messages, of_kind, world
from tests.rules.world import T0, S, World

BODY = b"""\
# TYPE queue_depth gauge
queue_depth{queue="mail"} 3
queue_depth{queue="sms"} 4
# TYPE jvm_threads_daemon_threads gauge
jvm_threads_daemon_threads 9
"""
NACOS = b"""\
# TYPE nacos_monitor gauge
nacos_monitor{module="naming",name="failedPush"} 1
# TYPE nacos_monitor_seconds summary
nacos_monitor_seconds_count 0
"""


def summary(expr: str, around: Surroundings, *samples: tuple[str, dict[str, str], float]) -> list[str]:
    return messages(explained(world(expr, *samples), around=around).summary)


def test_a_metric_that_no_target_exposes() -> None:
    found = explained(world("quue_depth > 1"), around=around_body(BODY))
    assert messages(found.summary) == [
        "no series: quue_depth was not seen on target http://a:1/metrics (app): it is not in the last scrape, and no "
        "sample of it is kept",
        "no target exposes quue_depth",
    ]
    assert found.summary[1].suggestion == "Did you mean queue_depth?"


def test_a_metric_that_micrometer_has_renamed() -> None:
    found = explained(world("jvm_threads_daemon > 1"), around=around_body(BODY))
    assert of_kind(found.summary, ReasonKind.FOUND).suggestion == "Use jvm_threads_daemon_threads."


def test_what_nothing_of_nacos_ever_writes_is_told_even_with_series() -> None:
    around = around_body(NACOS)
    found = explained(world("nacos_monitor_seconds_count > 5", ("nacos_monitor_seconds_count", {}, 0.0)), around=around)
    selector = found.tree.parts[0]
    assert selector.series == 1
    assert of_kind(selector.reasons, ReasonKind.FOUND).message.startswith("nacos_monitor_seconds_count never changes: ")


def test_several_targets_are_counted_by_job() -> None:
    around = around_body(BODY, BODY, targets=(NODE_A, NODE_B))
    assert summary("nothing > 1", around)[0].startswith(
        "no series: nothing was not seen on any of the 2 targets of app: "
    )


def test_a_label_value_that_does_not_exist_lists_those_that_do() -> None:
    found = explained(world('queue_depth{queue="main"} > 1'), around=around_body(BODY))
    assert messages(found.summary) == ['queue_depth has no queue="main"; queue is one of "mail", "sms"']
    assert found.summary[0].suggestion == 'Did you mean queue="mail"?'


def test_a_label_that_the_metric_has_not() -> None:
    assert summary('queue_depth{topic="mail"} > 1', around_body(BODY)) == [
        'queue_depth has no label topic, so topic="mail" matches nothing: its labels are instance, job, queue'
    ]


def test_no_target_has_the_job_that_is_asked_for() -> None:
    found = summary('queue_depth{job="other"} > 1', around_body(BODY))
    assert found == ['no target has job="other"', 'queue_depth has no job="other"; job is one of "app"']


def test_a_target_that_is_down_is_named_with_since_and_error() -> None:
    down = replace(NODE_A, down_since=T0 - 60_000, error="connection refused", scraped=True)
    found = explained(world("queue_depth > 1"), around=around_body(BODY, targets=(down,)))
    assert messages(found.summary)[0] == (
        "target http://a:1/metrics (app) is down since 2023-11-14T22:12:20Z: connection refused"
    )


def test_a_target_of_another_job_that_is_down_is_no_reason() -> None:
    down = replace(NODE_B, labels=NODE_B.labels.with_({"job": "db"}), down_since=T0 - 60_000, error="x")
    around = around_body(BODY, BODY, targets=(NODE_A, down))
    kinds = {r.kind for r in explained(world('nothing{job="app"} > 1'), around=around).summary}
    assert ReasonKind.TARGET_DOWN not in kinds
    assert ReasonKind.NOT_SEEN in kinds


def test_before_the_first_scrape_nothing_is_claimed_of_the_metric() -> None:
    waiting = replace(NODE_A, scraped=False)
    found = summary("queue_depth > 1", Surroundings((waiting,), around_body(BODY).seen))
    assert found[0] == "no target could be scraped yet"
    assert not any("was not seen" in text for text in found)


def test_exposed_but_not_kept_yet() -> None:
    assert summary("queue_depth > 1", around_body(BODY)) == [
        "target http://a:1/metrics (app) exposes it, and it is kept from the next scrape on"
    ]


def test_dropped_by_metric_relabelling() -> None:
    around = around_body(b"other 1\n", relabelled=frozenset({"queue_depth"}))
    assert summary("queue_depth > 1", around) == [
        "target http://a:1/metrics (app) exposes queue_depth, and metric_relabel_configs drops it"
    ]


def test_what_a_recording_rule_writes_sends_the_reader_there() -> None:
    recorded = {"job:depth": RecordedMetric("job:depth", "sums", frozenset({"queue_depth"}))}
    assert summary("job:depth > 1", around_body(BODY, recorded=recorded)) == [
        "the recording rule job:depth (group sums) writes it, and has no result: explain job:depth"
    ]


def test_series_that_ended_say_when() -> None:
    made = world("queue_depth > 1", ("queue_depth", {"queue": "mail"}, 3.0))
    made.put(60 * S, None, "queue_depth", queue="mail")
    found = explained(made, 90 * S)
    assert messages(found.summary) == ["1 series ended at 2023-11-14T22:14:20Z: the scrapes since do not have them"]


def test_series_without_a_recent_sample() -> None:
    made = world("queue_depth > 1", ("queue_depth", {"queue": "mail"}, 3.0))
    assert messages(explained(made, 400 * S).summary) == ["1 series have no sample in the last 5m"]


def test_ended_series_whose_target_is_gone_or_down() -> None:
    made = world("queue_depth > 1", ("queue_depth", {"job": "app", "instance": "z:1"}, 3.0))
    made.put(60 * S, None, "queue_depth", job="app", instance="z:1")
    gone = messages(explained(made, 90 * S, Surroundings((NODE_A,))).summary)
    assert gone[1:] == ['no target has {instance="z:1", job="app"} any more']
    back = replace(NODE_A, labels=NODE_A.labels.with_({"instance": "z:1"}), down_since=T0, error="timeout")
    down = messages(explained(made, 90 * S, Surroundings((NODE_A, back))).summary)
    assert down[1:] == ["target http://a:1/metrics (app) is down since 2023-11-14T22:13:20Z: timeout"]


def test_a_range_and_rate_with_too_few_samples() -> None:
    made = World(alert("rate(hits_total[1m]) > 1"))
    made.put(0, 1, "hits_total", i="a")
    made.put(0, 1, "hits_total", i="b")
    made.put(30 * S, 9, "hits_total", i="b")
    found = explained(made, 31 * S)
    rate = found.tree.parts[0]
    assert (rate.head, rate.series) == ("rate()", 1)
    assert messages(rate.reasons) == [
        "1 of 2 series have fewer than two samples in 1m, so rate() gives nothing for them"
    ]
    selector = rate.parts[0]
    assert (selector.kind, selector.head, selector.series, selector.samples) == ("range", "hits_total[1m]", 2, 3)


def test_absent_of_what_is_there() -> None:
    found = explained(world("absent(queue_depth)", ("queue_depth", {}, 1.0)))
    assert messages(found.summary) == ["absent() gives nothing: its argument has 1 series"]


def test_scalar_of_several_elements() -> None:
    samples = [("queue_depth", {"queue": name}, 1.0) for name in ("a", "b")]
    found = explained(world("vector(scalar(queue_depth)) > 0", *samples))
    (scalar,) = [n for n in found.tree.walk() if n.head == "scalar()"]
    assert messages(scalar.reasons) == ["scalar() is NaN: its argument has 2 elements, not one"]


def test_the_parts_of_a_subquery_are_read_at_its_last_step() -> None:
    made = World(alert("max_over_time(sum(queue_depth)[5m:1m] offset 10m) > 1"))
    for minute in range(-20, 1):
        made.put(minute * 60 * S, float(minute), "queue_depth")
    found = explained(made, 30 * S)
    (total,) = [n for n in found.tree.walk() if n.head == "sum"]
    assert [r.value for r in total.rows] == [-11.0]  # T0 + 30s - 10m, down to a whole minute


def test_a_finding_about_the_expression_as_a_whole() -> None:
    body = b"# TYPE process_cpu_usage gauge\nprocess_cpu_usage 0.2\n"
    found = explained(world("process_cpu_usage > 80", ("process_cpu_usage", {}, 0.2)), around=around_body(body))
    assert messages(found.findings) == [
        "process_cpu_usage > 80 can never be true: process_cpu_usage is between 0 and 1"
    ]
    assert found.findings[0].suggestion == "This metric is a ratio: 80 % is 0.8."


def test_targets_that_were_not_looked_at_are_counted() -> None:
    around = replace(around_body(BODY), unread=7)
    assert summary("nothing > 1", around)[-1] == "7 targets expose too much to look at"


def test_a_sample_as_old_as_the_lookback_counts_no_more() -> None:
    made = world("queue_depth > 1", ("queue_depth", {"queue": "mail"}, 3.0))
    assert messages(explained(made, 300 * S).summary) == ["1 series have no sample in the last 5m"]
    assert messages(explained(made, 299 * S).summary) == ["1 in the result"]


def test_an_offset_is_read_at_its_time() -> None:
    made = World(alert("queue_depth offset 10m > 1"))
    made.put(0, 3.0, "queue_depth")
    found = explained(made, 601 * S)
    assert found.tree.parts[0].series == 1
    assert found.tree.parts[0].reasons == ()


def test_a_target_that_is_down_comes_after_what_those_that_answer_do_not_have() -> None:
    down = replace(NODE_B, down_since=T0, error="connection refused")
    found = explained(world("nothing > 1"), around=around_body(BODY, BODY, targets=(NODE_A, down)))
    assert [r.kind for r in found.summary] == [ReasonKind.NOT_SEEN, ReasonKind.FOUND, ReasonKind.TARGET_DOWN]
    recorded = {"nothing": RecordedMetric("nothing", "sums", frozenset({"queue_depth"}))}
    found = explained(world("nothing > 1"), around=around_body(BODY, BODY, targets=(NODE_A, down), recorded=recorded))
    assert [r.kind for r in found.summary] == [ReasonKind.RECORDED]


def test_the_newest_samples_of_many_rows_are_those_that_a_search_of_each_row_finds() -> None:
    random = np.random.default_rng(1)
    for _ in range(300):
        rows, width, at = int(random.integers(0, 9)), int(random.integers(1, 6)), int(random.integers(1, 50))
        counts = random.integers(0, width + 1, rows)
        times, values = np.sort(random.integers(1, 50, (rows, width)), axis=1), random.random((rows, width))
        values[random.random((rows, width)) < 0.1] = STALE
        index = LabelIndex([Labels.of(i=str(i)) for i in range(rows)])
        alive, newest, stale = newest_of(Selection(index, times, values, counts), ReadTime(at - 10, at))
        for row in range(rows):
            known = [k for k in range(counts[row]) if times[row, k] <= at]
            time = int(times[row, known[-1]]) if known else 0
            ended = bool(known) and is_stale(values[row, known[-1]])
            assert (int(newest[row]), bool(stale[row])) == (time, ended)
            assert bool(alive[row]) == (bool(known) and not ended and time > at - 10)
