from rulepush.model.labels import Labels
from rulepush.notifier.outbox import Outbox
from rulepush.notifier.wire import WireAlert


def alert(name: str, *, resolved: bool = False, value: str = "") -> WireAlert:
    return WireAlert(Labels.of(alertname=name), (("summary", value),), 1000, 2000, "http://x", resolved)


def test_a_newer_state_replaces_the_older_one_and_keeps_its_place() -> None:
    box = Outbox()
    box.put(alert("A"), 1)
    box.put(alert("B"), 2)
    newer = alert("A", resolved=True)
    box.put(newer, 3)
    assert box.batch(10) == [newer, alert("B")]
    assert box.oldest() == 1


def test_an_alert_that_changed_while_under_way_stays_with_its_new_state() -> None:
    box = Outbox()
    box.put(alert("A"), 1)
    sent = box.batch(10)
    newer = alert("A", value="changed")
    box.put(newer, 2)
    assert box.acknowledge(sent) == []
    assert box.batch(10) == [newer]


def test_what_was_accepted_is_gone() -> None:
    box = Outbox()
    box.put(alert("A"), 1)
    sent = box.batch(10)
    assert box.acknowledge(sent) == sent
    assert len(box) == 0
    assert box.oldest() is None


def test_a_batch_is_bounded_and_takes_what_waited_longest() -> None:
    box = Outbox()
    for n in range(5):
        box.put(alert(f"A{n}"), n)
    assert [a.labels.get("alertname") for a in box.batch(2)] == ["A0", "A1"]


def test_alerts_that_are_renewed_while_they_are_sent_do_not_hold_up_the_others() -> None:
    box = Outbox()
    for n in range(4):
        box.put(alert(f"A{n}"), n)
    seen = []
    for round_ in range(2):
        sent = box.batch(2)
        seen += [a.labels.get("alertname") for a in sent]
        for n in range(4):
            box.put(alert(f"A{n}"), 10 + round_)
        box.acknowledge(sent)
    assert seen == ["A0", "A1", "A2", "A3"]
    assert box.oldest() == 10
