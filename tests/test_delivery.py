"""What is noted of the delivery to a receiver."""

from __future__ import annotations

from rulepush.delivery import KEPT_REFUSALS, DeliveryRecord, DeliveryStatus, ReceiverKind


def status(record: DeliveryRecord) -> DeliveryStatus:
    return record.status(
        ReceiverKind.ALERTMANAGER, "am", "http://am", waiting=3, waiting_since=5, accepted=2, refused=1, lost=4
    )


def test_an_outage_lasts_from_its_first_failure_to_the_next_success_and_its_reason_stays() -> None:
    record = DeliveryRecord()
    assert not status(record).failing
    record.accepted(1_000)
    record.failed(2_000, "refused with 503", pause_s=0.5)
    record.failed(3_000, "no answer within 10s", pause_s=1)
    failing = status(record)
    assert failing.failing
    assert (failing.failing_since, failing.tries, failing.next_try, failing.last_success) == (2_000, 2, 4_000, 1_000)
    record.accepted(5_000)
    over = status(record)
    assert not over.failing
    assert (over.tries, over.next_try, over.last_success) == (0, 0, 5_000)
    assert (over.last_error, over.last_error_at) == ("no answer within 10s", 3_000)


def test_what_was_refused_is_named_newest_first_and_bounded() -> None:
    record = DeliveryRecord()
    assert status(record).refusals == ()
    for n in range(KEPT_REFUSALS + 2):
        record.refused(n, f"alert {n}", "x" * 10_000)
    kept = status(record).refusals
    assert [r.what for r in kept] == [f"alert {n}" for n in range(KEPT_REFUSALS + 1, 1, -1)]
    assert all(len(r.reason) < 1_000 for r in kept)
    assert not status(record).failing


def test_refusals_in_a_row_are_one_run_and_later_ones_another() -> None:
    record = DeliveryRecord()
    minute = 60_000
    for at, wanted in ((minute, (minute, 3)), (2 * minute, (minute, 6)), (13 * minute, (13 * minute, 3))):
        record.refused(at, "alerts", "bad", count=3)
        record.accepted(at + 1)
        assert (status(record).refusing_since, status(record).refusing) == wanted


def test_a_snapshot_has_what_the_sender_knows() -> None:
    shown = status(DeliveryRecord())
    assert (shown.kind, shown.name, shown.address) == (ReceiverKind.ALERTMANAGER, "am", "http://am")
    assert (shown.waiting, shown.waiting_since, shown.accepted, shown.refused, shown.lost) == (3, 5, 2, 1, 4)
