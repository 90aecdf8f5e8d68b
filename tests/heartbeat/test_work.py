"""When a heartbeat is withheld: what no alert could tell."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rulepush.delivery import DeliveryStatus, ReceiverKind
from rulepush.heartbeat.work import (
    FaultKind,
    GroupWork,
    JobWork,
    Takes,
    WorkFacts,
    WorkFault,
    all_failing,
    answer_counts,
    delivery_fault,
    takes_alerts,
    work_fault,
)

NOW = 1_700_000_000_000
MINUTE = 60_000
GROUP = GroupWork("g", 15_000, NOW - 10_000)
JOB = JobWork("app", 15_000, NOW - 10_000)
FACTS = WorkFacts([GROUP], [JOB], since=NOW - 60 * MINUTE, wait_ms=10_000)


def kind(facts: WorkFacts, now: int = NOW, *, started: bool = True) -> FaultKind | None:
    fault = work_fault(facts, now, started=started)
    return None if fault is None else fault.kind


def test_all_works_and_without_rules_and_jobs_there_is_nothing_that_could_fail() -> None:
    assert kind(FACTS) is None
    assert kind(WorkFacts([], [], NOW, 0), started=False) is None


def test_a_group_may_miss_three_intervals_and_what_scrapes_may_take() -> None:
    limit = 3 * 15_000 + 10_000
    jobs = replace(FACTS, jobs=[])
    assert kind(replace(jobs, groups=[replace(GROUP, evaluated_at=NOW - limit)])) is None
    late = work_fault(replace(jobs, groups=[GROUP, replace(GROUP, evaluated_at=NOW - limit - 1)]), NOW, started=True)
    assert late == WorkFault(FaultKind.EVALUATION, "rule group 'g' is not evaluated")


def test_a_job_none_of_whose_targets_is_scraped_is_a_reason() -> None:
    groups = replace(FACTS, groups=[])
    assert kind(replace(groups, jobs=[replace(JOB, scraped_at=NOW - 55_000)])) is None
    late = work_fault(replace(groups, jobs=[replace(JOB, scraped_at=NOW - 55_001)]), NOW, started=True)
    assert late == WorkFault(FaultKind.SCRAPING, "job 'app' is not scraped")


def test_what_is_new_since_a_reload_or_a_jump_of_the_clock_gets_its_time() -> None:
    never = replace(FACTS, groups=[replace(GROUP, evaluated_at=0)], since=NOW - 55_000)
    assert kind(never) is None
    assert kind(never, NOW + 1) is FaultKind.EVALUATION
    before_the_jump = replace(FACTS, groups=[replace(GROUP, evaluated_at=NOW - 3600_000)], since=NOW)
    assert kind(before_the_jump) is None


def test_the_first_heartbeat_waits_for_the_first_round() -> None:
    fresh = replace(FACTS, groups=[replace(GROUP, evaluated_at=0)], since=NOW - 5_000)
    assert kind(fresh, started=False) is FaultKind.STARTING
    assert kind(replace(FACTS, jobs=[replace(JOB, scraped_at=0)], since=NOW - 5_000), started=False) is (
        FaultKind.STARTING
    )
    assert kind(FACTS, started=False) is None
    seldom = replace(JOB, interval_ms=3600_000, scraped_at=0)
    assert kind(replace(FACTS, jobs=[JOB, seldom]), started=False) is None, "its receiver cannot wait for an hour"


def test_a_first_round_that_does_not_end_is_a_failure() -> None:
    assert kind(replace(FACTS, groups=[replace(GROUP, evaluated_at=0)]), started=False) is FaultKind.EVALUATION


def test_a_group_whose_rules_all_fail_finds_no_alert() -> None:
    fault = work_fault(replace(FACTS, groups=[GROUP, replace(GROUP, failing="boom")]), NOW, started=True)
    assert fault == WorkFault(FaultKind.RULES, "every rule of group 'g' fails: boom")


@pytest.mark.parametrize(
    ("recent", "failing"),
    [
        ([["", "", ""]], ""),
        ([["x", "x", "x"], ["", "", ""]], ""),
        ([["x", "y", "z"], ["a", "b", "c"]], "z"),
        ([["", "x", "x", "x"]], "x"),
        ([["x", "", "x"]], ""),
        ([["x"]], "x"),
        ([["x"], []], ""),
        ([], ""),
    ],
)
def test_failing_means_every_rule_at_each_of_the_last_evaluations(recent: list[list[str]], failing: str) -> None:
    assert all_failing(recent) == failing


def status(*, last_success: int = 0, failing_since: int = 0, waiting: int = 0) -> DeliveryStatus:
    made = DeliveryStatus(ReceiverKind.ALERTMANAGER, "http://am", waiting=waiting)
    return replace(made, last_success=last_success, failing_since=failing_since)


def test_what_the_last_alerts_tell_of_an_alertmanager() -> None:
    assert takes_alerts(status(last_success=NOW - 10_000), NOW) is Takes.YES
    assert takes_alerts(status(last_success=NOW - 10_001), NOW) is Takes.ASK
    assert takes_alerts(status(), NOW) is Takes.ASK
    failing = status(last_success=NOW - 5_000, failing_since=NOW - 1_000, waiting=1)
    assert takes_alerts(failing, NOW) is Takes.NO
    assert takes_alerts(replace(failing, waiting=0), NOW) is Takes.ASK, "nothing is tried any more"


def test_a_receiver_that_knows_no_status_but_accepted_alerts_lately_works() -> None:
    lately = status(last_success=NOW - 4 * MINUTE)
    assert not answer_counts(lately, 404, NOW)
    assert not answer_counts(lately, 200, NOW)
    assert answer_counts(lately, 502, NOW)
    assert answer_counts(lately, 0, NOW)
    assert answer_counts(status(last_success=NOW - 6 * MINUTE), 404, NOW)
    assert answer_counts(status(last_success=NOW, failing_since=NOW), 404, NOW)


def test_the_fault_names_an_alertmanager_and_how_many_others() -> None:
    one = ("http://a", "not reached")
    texts = [fault.text for n in (1, 2, 3) if (fault := delivery_fault([one] * n)) is not None]
    assert texts == [
        "http://a takes no alerts: not reached",
        "http://a takes no alerts, nor does the other: not reached",
        "http://a takes no alerts, nor do the 2 others: not reached",
    ]
    none = delivery_fault([])
    assert none is not None
    assert "its discovery is empty" in none.text
