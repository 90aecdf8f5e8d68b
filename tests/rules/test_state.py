"""Alert states over a restart."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from rulepush.errors import StorageError
from rulepush.model.labels import EMPTY_LABELS
from rulepush.notifier.store import SCHEMA as UNDELIVERED
from rulepush.notifier.store import SqliteUndelivered
from rulepush.notifier.wire import wire_alert
from rulepush.rules.alert import Alert, AlertState
from rulepush.rules.context import HoldPolicy
from rulepush.rules.state import SCHEMA, SavedAlert, SqliteAlertStates, StateChange
from rulepush.storage.database import Database
from tests.rules import world as world_module
from tests.rules.world import T0, M, S, World, one_rule

pytestmark = pytest.mark.usefixtures("both_drivers")

RULE = one_rule("{alert: A, expr: m > 1}")
SLOW = one_rule("{alert: A, expr: m > 1, for: 10m}")


def store(path: Path) -> SqliteAlertStates:
    return SqliteAlertStates(Database(path / "alerts.db", SCHEMA))


def killed(path: Path, text: str, until: int, *values: float, start: int = 0) -> World:
    """A world that ran every 30 s until it was killed: nothing is closed, nothing is flushed."""
    world = World(text, store=store(path), start=start)
    for i, at in enumerate(range(start, until + 1, 30 * S)):
        world.step(at, values[min(i, len(values) - 1)])
    return world


def test_a_firing_alert_is_the_same_alert_after_a_kill(tmp_path: Path) -> None:
    before = killed(tmp_path, RULE, 60 * S, 5.0)
    world = World(RULE, store=store(tmp_path), start=70 * S)
    assert world.alert == before.alert
    # Sent at once, long before its rhythm says so: what was sent last may never have left the process.
    assert world.step(70 * S, 5.0)[0].alert.fired_at == T0
    assert world.alert.active_at == T0


def test_a_for_that_grew_while_it_was_down_ends_a_firing_alert_too(tmp_path: Path) -> None:
    killed(tmp_path, RULE, 60 * S, 5.0)
    world = World(SLOW, store=store(tmp_path), start=70 * S)
    (ended,) = world.step(90 * S, 5.0)
    assert (ended.alert.fired_at, ended.alert.resolved_at) == (T0, T0 + 90 * S)
    assert (world.alert.state, world.alert.active_at) == (AlertState.PENDING, T0)
    world = World(SLOW, store=store(tmp_path), start=100 * S)
    assert world.alert.state is AlertState.PENDING


def test_a_pending_alert_goes_on_with_its_clock(tmp_path: Path) -> None:
    killed(tmp_path, SLOW, 5 * M, 5.0)
    world = World(SLOW, store=store(tmp_path), start=6 * M)
    assert world.alert.state is AlertState.PENDING
    assert world.step(9 * M + 30 * S, 5.0) == []
    (sent,) = world.step(10 * M, 5.0)
    assert (sent.alert.active_at, sent.alert.fired_at) == (T0, T0 + 10 * M)


def test_the_clock_of_a_pending_alert_counts_from_the_last_evaluation_before(tmp_path: Path) -> None:
    killed(tmp_path, SLOW, 5 * M, 5.0)
    world = World(SLOW, store=store(tmp_path), start=25 * M)
    world.step(25 * M, 5.0)
    assert world.alert.active_at == T0 + 25 * M  # for < grace period: the whole `for` again
    assert world.alert.state is AlertState.PENDING


def test_a_pending_alert_starts_over_after_a_long_downtime(tmp_path: Path) -> None:
    killed(tmp_path, SLOW, 5 * M, 5.0)
    world = World(SLOW, store=store(tmp_path), start=70 * M)
    world.step(70 * M, 5.0)
    assert world.alert.active_at == T0 + 70 * M


def test_a_resolution_is_sent_on_after_a_kill(tmp_path: Path) -> None:
    killed(tmp_path, RULE, 60 * S, 5.0, 5.0, 0.0)
    world = World(RULE, store=store(tmp_path), start=70 * S)
    assert world.step(90 * S, 0.0) == []
    (sent,) = world.step(150 * S, 0.0)
    assert (sent.alert.state, sent.alert.resolved_at) == (AlertState.INACTIVE, T0 + 60 * S)
    assert [s for i in range(6, 50) for s in world.step(i * 30 * S, 0.0)][-1].ts <= 16 * M


def test_a_restored_alert_is_not_resolved_before_the_data_is_complete(tmp_path: Path) -> None:
    killed(tmp_path, RULE, 60 * S, 5.0)
    context = {"may_resolve": lambda ts: ts >= T0 + 120 * S}
    world = World(RULE, store=store(tmp_path), start=70 * S, context=context)
    assert world.tick(90 * S) != []  # nothing is in the storage yet, but it is due to be sent again: firing
    assert world.alert.state is AlertState.FIRING
    (sent,) = world.tick(120 * S)
    assert sent.alert.resolved_at == T0 + 120 * S


def test_with_an_offset_the_data_must_be_complete_at_the_time_that_is_read(tmp_path: Path) -> None:
    rule = one_rule("{alert: A, expr: m > 1}", group="query_offset: 60s,")
    world = World(rule, store=store(tmp_path))
    world.put(0, 5.0)
    world.tick(60 * S)
    assert world.alert.state is AlertState.FIRING
    after = World(rule, store=store(tmp_path), start=70 * S, context={"may_resolve": lambda ts: ts >= T0 + 75 * S})
    after.tick(90 * S)  # reads the storage at 30 s, before the restart
    after.tick(120 * S)  # and at 60 s
    assert after.alert.state is AlertState.FIRING
    after.tick(150 * S)
    assert after.alert.resolved_at == T0 + 150 * S


def test_the_series_of_a_restored_alert_end_when_it_does(tmp_path: Path) -> None:
    before = killed(tmp_path, RULE, 60 * S, 5.0)
    world = World(RULE, store=store(tmp_path), start=70 * S, head=before.head)  # as the sample journal brings it back
    world.step(90 * S, 0.0)
    assert world.query('{__name__=~"ALERTS.*"}', 90 * S) == {}


def test_a_restored_alert_is_held_although_the_rule_sets_its_job(tmp_path: Path) -> None:
    text = one_rule("{alert: A, expr: m > 1, labels: {job: team}}")
    hold = HoldPolicy(5 * M, lambda labels: labels.get("job") in ("", "j") and labels.get("instance") in ("", "a"))
    world = World(text, store=store(tmp_path), hold=hold)
    world.put(0, 5.0, job="j", instance="a")
    world.tick(0)
    world = World(text, store=store(tmp_path), hold=hold, start=40 * S)
    world.tick(60 * S)
    assert world.states() == [AlertState.FIRING]


def test_that_it_was_seen_in_samples_of_before_does_not_confirm_it(tmp_path: Path) -> None:
    killed(tmp_path, RULE, 60 * S, 5.0)
    context = {"may_resolve": lambda ts: ts >= T0 + 150 * S}
    world = World(RULE, store=store(tmp_path), start=70 * S, context=context)
    world.step(90 * S, 5.0)  # from the journal, say
    world.step(120 * S, None)  # too old by now, and nothing was scraped yet
    assert world.alert.state is AlertState.FIRING
    world.tick(150 * S)
    assert world.alert.resolved_at == T0 + 150 * S


def test_a_rule_is_found_again_in_another_file_and_with_another_expression(tmp_path: Path) -> None:
    killed(tmp_path, RULE, 60 * S, 5.0)
    world = World(one_rule("{alert: New, expr: m > 1}, {alert: A, expr: m > 2}"), store=store(tmp_path), start=70 * S)
    assert [len(rule.alerts) for rule in world.groups.alerting_rules()] == [0, 1]


def test_alerts_whose_rule_is_gone_are_forgotten(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "rulepush.rules")
    killed(tmp_path, RULE, 60 * S, 5.0)
    world = World(one_rule("{alert: B, expr: m > 1}"), store=store(tmp_path), start=70 * S)
    assert world.states() == []
    assert "alert states restored: active=1 resolved=0 without_rule=1" in caplog.text
    assert store(tmp_path).load() == []


def test_two_restarts_in_a_row_without_an_evaluation_lose_nothing(tmp_path: Path) -> None:
    killed(tmp_path, SLOW, 5 * M, 5.0)
    World(SLOW, store=store(tmp_path), start=6 * M)
    world = World(SLOW, store=store(tmp_path), start=7 * M)
    world.step(25 * M, 5.0)
    assert world.alert.active_at == T0 + 25 * M  # the downtime began at 5 m, not at the first restart


def test_values_that_json_does_not_know_survive(tmp_path: Path) -> None:
    killed(tmp_path, one_rule('{alert: A, expr: m > 1, annotations: {t: "é\\n{{ $value }}"}}'), 0, float("inf"))
    (saved,) = store(tmp_path).load()
    assert (saved.alert.value, saved.alert.annotations) == (float("inf"), (("t", "é\n+Inf"),))


def test_nothing_is_written_while_nothing_changes(tmp_path: Path) -> None:
    class Counting(SqliteAlertStates):
        saves = 0

        def save(self, changes: Sequence[StateChange], file: str, group: str, ts: int) -> None:
            self.saves += 1
            super().save(changes, file, group, ts)

    counting = Counting(Database(tmp_path / "alerts.db", SCHEMA))
    world = World(RULE, store=counting)
    for i in range(10):
        world.step(i * 30 * S, 0.0)
    assert counting.saves == 0
    world.step(300 * S, 5.0)
    world.step(330 * S, 6.0)  # only the value moves
    assert counting.saves == 1


def test_until_rules_may_fire_no_alert_begins_or_starts_to_fire(tmp_path: Path) -> None:
    text = one_rule("{alert: A, expr: m > 1, for: 1m}")
    killed(tmp_path, text, 30 * S, 5.0)
    world = World(text, store=store(tmp_path), start=40 * S, context={"may_fire": lambda ts, _: ts >= T0 + 120 * S})
    assert world.step(60 * S, 5.0, 5.0) == []  # the second one is new, and is not looked at
    assert world.step(90 * S, 5.0, 5.0) == []
    assert [a.labels.get("i") for a in world.rule.alerts] == ["0"]
    assert world.alert.state is AlertState.PENDING
    (sent,) = world.step(120 * S, 5.0, 5.0)
    assert (sent.alert.active_at, sent.alert.fired_at) == (T0, T0 + 120 * S)
    assert [a.state for a in world.rule.alerts] == [AlertState.FIRING, AlertState.PENDING]


def test_only_a_rule_that_needs_two_samples_waits_for_them() -> None:
    asked: list[bool] = []
    rules = ["m > 1", "absent(rate(m[5m]))", "sum(increase(m[5m])) or m", "max_over_time(m[5m]) > 1"]
    text = "".join(f"{{alert: A{i}, expr: '{expr}'}}," for i, expr in enumerate(rules))

    def may_fire(ts: int, needs_two: bool) -> bool:
        asked.append(needs_two)
        return True

    World(one_rule(text), context={"may_fire": may_fire}).step(0, 5.0)
    assert asked == [False, True, True, False]


def test_before_rules_may_fire_a_resolved_alert_does_not_come_back(tmp_path: Path) -> None:
    killed(tmp_path, RULE, 60 * S, 5.0, 5.0, 0.0)
    world = World(RULE, store=store(tmp_path), start=70 * S, context={"may_fire": lambda ts, _: ts >= T0 + 100 * S})
    assert world.step(70 * S, 5.0) == []  # as the sample before the one that was lost says
    assert world.alert.state is AlertState.INACTIVE
    assert world.step(100 * S, 0.0) == []
    assert world.alert.resolved_at == T0 + 60 * S


class Killed(BaseException):
    """Stands for kill -9: no handler of Exception catches it."""


@pytest.mark.parametrize("before", ["save", "commit"])
def test_a_kill_never_comes_between_what_is_kept_to_be_sent_and_what_is_remembered(tmp_path: Path, before: str) -> None:
    class Dying(SqliteAlertStates):
        def save(self, changes: Sequence[StateChange], file: str, group: str, ts: int) -> None:
            if before == "commit":
                super().save(changes, file, group, ts)
            raise Killed

    world = World(RULE, store=store(tmp_path))
    world.step(0, 5.0)
    world = World(RULE, store=store(tmp_path), start=10 * S)
    world.step(30 * S, 5.0)
    database = Database(tmp_path / "alerts.db", SCHEMA + UNDELIVERED)
    undelivered = SqliteUndelivered(database)

    def notify(alerts: Sequence[Alert], expr: str, ts: int) -> None:
        undelivered.save("am", [wire_alert(a, expr, "", EMPTY_LABELS) for a in alerts])

    world = World(RULE, store=Dying(database), start=40 * S, context={"notify": notify})
    with pytest.raises(Killed):
        world.step(60 * S, 0.0)
    assert SqliteUndelivered(Database(tmp_path / "alerts.db", SCHEMA)).load("am") == []
    (saved,) = store(tmp_path).load()
    assert saved.alert.state is AlertState.FIRING


class FailingStore:
    """Fails while `failing` is set."""

    def __init__(self, inner: SqliteAlertStates):
        self.inner = inner
        self.failing = True
        self.refused = 0

    def _check(self) -> None:
        if self.failing:
            self.refused += 1
            raise StorageError("disk full")

    def load(self) -> list[SavedAlert]:
        self._check()
        return self.inner.load()

    @property
    def is_incomplete(self) -> bool:
        return self.inner.is_incomplete

    @property
    def is_whole(self) -> bool:
        return self.inner.is_whole

    def mark(self, *, complete: bool) -> bool:
        return self.inner.mark(complete=complete)

    def transaction(self) -> AbstractContextManager[None]:
        return self.inner.transaction()

    def save(self, changes: Sequence[StateChange], file: str, group: str, ts: int) -> None:
        self._check()
        self.inner.save(changes, file, group, ts)

    def replace(self, alerts: Sequence[SavedAlert]) -> None:
        self._check()
        self.inner.replace(alerts)


def test_a_store_that_fails_is_reported_once_and_caught_up_with_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "rulepush.rules")
    failing = FailingStore(store(tmp_path))
    failing.failing = False
    world = World(one_rule("{alert: A, expr: m > 1}, {alert: B, expr: m > 7}"), store=failing)
    world.step(0, 9.0)
    failing.failing = True
    assert len(world.step(30 * S, 5.0)) == 1  # B resolves: alerting goes on
    world.step(60 * S, 0.0)
    failing.failing = False
    world.step(90 * S, 0.0)
    states = {s.key.rule.name: s.alert.state for s in store(tmp_path).load()}
    assert states == {"A": AlertState.INACTIVE, "B": AlertState.INACTIVE}
    assert caplog.text.count("cannot be saved") == 1
    assert "alert states are saved again" in caplog.text
    of_evaluation = 2 if world_module.drive_on_datasource else 1  # what a rule changes is saved before the next asks
    assert failing.refused == 2 * of_evaluation


def test_what_could_not_be_read_at_start_is_not_overwritten_but_read_later(tmp_path: Path) -> None:
    killed(tmp_path, RULE, 60 * S, 5.0)
    failing = FailingStore(store(tmp_path))
    world = World(RULE, store=failing, start=70 * S)
    assert world.states() == []
    world.step(90 * S, 5.0)
    assert world.alert.fired_at == T0 + 90 * S
    failing.failing = False
    world.step(120 * S, 5.0)
    assert world.alert.fired_at == T0


@pytest.mark.parametrize(("saved", "state"), [(30 * S, AlertState.FIRING), (2 * M, AlertState.INACTIVE)])
def test_what_is_read_late_does_not_undo_what_happened_since(tmp_path: Path, saved: int, state: AlertState) -> None:
    text = one_rule("{alert: A, expr: m > 1, for: 1m}")
    killed(tmp_path, text, saved, 5.0)  # pending, or firing
    failing = FailingStore(store(tmp_path))
    world = World(text, store=failing, start=3 * M)
    for i in range(6):
        world.step(3 * M + i * 30 * S, 5.0)
    if state is AlertState.INACTIVE:
        world.step(6 * M, 0.0)
    before = world.alert
    assert before.state is state
    failing.failing = False
    world.step(6 * M + 30 * S, 5.0 if state is AlertState.FIRING else 0.0)
    assert (world.alert.state, world.alert.fired_at) == (state, before.fired_at)
    assert world.alert.resolved_at == before.resolved_at


@pytest.mark.parametrize(("start", "fires_at"), [(1 * M, 10 * M), (30 * M, 40 * M)])
def test_a_pending_alert_that_is_read_late_keeps_the_older_of_its_clocks(
    tmp_path: Path, start: int, fires_at: int
) -> None:
    killed(tmp_path, SLOW, 30 * S, 5.0)
    failing = FailingStore(store(tmp_path))
    world = World(SLOW, store=failing, start=start)
    world.step(start, 5.0)
    world.step(start + 30 * S, 5.0)
    failing.failing = False
    sent = [one for i in range(2, 30) for one in world.step(start + i * 30 * S, 5.0)]
    assert sent[0].alert.fired_at == T0 + fires_at


def test_a_corrupt_database_is_set_aside_and_alerting_starts(tmp_path: Path) -> None:
    (tmp_path / "alerts.db").write_bytes(b"not a database at all" * 500)
    world = killed(tmp_path, RULE, 30 * S, 5.0)
    assert world.states() == [AlertState.FIRING]
    assert (tmp_path / "alerts.db.corrupt-1").exists()
    assert len(store(tmp_path).load()) == 1


@pytest.mark.parametrize("how", ["removed", "corrupt"])
def test_when_the_file_is_begun_anew_while_it_is_used_everything_is_saved_again(tmp_path: Path, how: str) -> None:
    path = tmp_path / "alerts.db"
    database = Database(path, SCHEMA + UNDELIVERED)
    world = World(RULE, store=SqliteAlertStates(database))
    world.step(0, 5.0, 0.0)
    if how == "removed":
        for file in tmp_path.iterdir():
            file.unlink()
    else:
        for file in tmp_path.iterdir():
            with file.open("r+b") as f:
                f.write(bytes(range(256)) * (max(4096, file.stat().st_size) // 256))
        SqliteUndelivered(database).remove("am", [])  # the first use of the file finds it corrupt
        with contextlib.suppress(StorageError):
            database.read("SELECT * FROM alerts")
    world.step(30 * S, 5.0, 5.0)  # the first alert does not change
    world.step(60 * S, 5.0, 5.0)
    assert {s.alert.labels.get("i") for s in store(tmp_path).load()} == {"0", "1"}


def test_a_locked_database_does_not_stop_alerting(tmp_path: Path) -> None:
    world = killed(tmp_path, RULE, 0, 0.0)
    other = sqlite3.connect(tmp_path / "alerts.db")
    other.execute("BEGIN EXCLUSIVE")
    assert len(world.step(30 * S, 5.0)) == 1
    other.rollback()
    other.close()
    world.step(60 * S, 5.0)
    assert len(store(tmp_path).load()) == 1


def test_a_row_that_cannot_be_read_is_reported_and_the_others_are_restored(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    killed(tmp_path, RULE, 30 * S, 5.0)
    with sqlite3.connect(tmp_path / "alerts.db") as db:
        db.execute("INSERT INTO alerts VALUES ('[1]', 'x', '{}')")
    world = World(RULE, store=store(tmp_path), start=70 * S)
    assert world.states() == [AlertState.FIRING]
    assert "a saved alert cannot be read" in caplog.text


# --- what could not be saved


def full(path: Path, text: str, *values: float, saved: int, until: int) -> FailingStore:
    """A world that ran every 30 s and could not save what came after `saved`, until it was killed."""
    failing = FailingStore(store(path))
    failing.failing = False
    world = World(text, store=failing)
    for i, at in enumerate(range(0, until + 1, 30 * S)):
        failing.failing = at > saved
        world.step(at, values[min(i, len(values) - 1)])
    assert failing.refused > 0
    return failing


def test_an_alert_that_resolved_while_nothing_could_be_saved_does_not_fire_again(tmp_path: Path) -> None:
    full(tmp_path, RULE, 5.0, 5.0, 0.0, saved=30 * S, until=90 * S)
    assert [s.alert.state for s in store(tmp_path).load()] == [AlertState.FIRING]
    context = {"may_fire": lambda ts, _: ts >= T0 + 150 * S, "may_resolve": lambda ts: ts >= T0 + 180 * S}
    world = World(RULE, store=store(tmp_path), start=100 * S, context=context)
    assert world.step(120 * S, 0.0) == []
    assert world.step(150 * S, 0.0) == []
    (sent,) = world.step(180 * S, 0.0)
    assert (sent.alert.state, sent.alert.fired_at) == (AlertState.INACTIVE, T0)


def test_an_alert_that_may_have_resolved_is_sent_with_a_new_start_once_new_data_shows_it(tmp_path: Path) -> None:
    full(tmp_path, RULE, 5.0, saved=30 * S, until=120 * S)
    context = {"may_fire": lambda ts, _: ts >= T0 + 180 * S, "may_resolve": lambda ts: ts >= T0 + 300 * S}
    world = World(RULE, store=store(tmp_path), start=130 * S, context=context)
    assert world.step(150 * S, 5.0) == []  # perhaps a sample from before the restart
    (sent,) = world.step(180 * S, 5.0)
    assert (sent.alert.state, sent.alert.fired_at) == (AlertState.FIRING, T0 + 180 * S)
    world.step(210 * S, 5.0)
    assert (world.alert.fired_at, world.alert.active_at) == (T0 + 180 * S, T0)
    world = World(RULE, store=store(tmp_path), start=220 * S)
    (sent,) = world.step(240 * S, 5.0)
    assert sent.alert.fired_at == T0 + 180 * S  # there is no doubt any longer


def test_a_resolution_that_may_have_been_followed_by_a_new_alert_does_not_end_it(tmp_path: Path) -> None:
    full(tmp_path, RULE, 5.0, 0.0, 5.0, saved=30 * S, until=90 * S)
    assert [s.alert.state for s in store(tmp_path).load()] == [AlertState.INACTIVE]
    context = {"may_fire": lambda ts, _: ts >= T0 + 150 * S, "may_resolve": lambda ts: ts >= T0 + 240 * S}
    world = World(RULE, store=store(tmp_path), start=100 * S, context=context)
    assert world.step(120 * S, 5.0) == []
    (sent,) = world.step(150 * S, 5.0)
    assert (sent.alert.state, sent.alert.fired_at) == (AlertState.FIRING, T0 + 150 * S)


def test_a_doubtful_resolution_is_sent_on_when_complete_data_has_no_such_alert(tmp_path: Path) -> None:
    killed(tmp_path, RULE, 60 * S, 5.0, 0.0)
    store(tmp_path).mark(complete=False)
    context = {"may_resolve": lambda ts: ts >= T0 + 240 * S}
    world = World(RULE, store=store(tmp_path), start=100 * S, context=context)
    assert [s for at in range(120, 240, 30) for s in world.step(at * S, 0.0)] == []
    (sent,) = world.step(240 * S, 0.0)
    assert (sent.alert.state, sent.alert.resolved_at) == (AlertState.INACTIVE, T0 + 30 * S)


def test_a_held_alert_that_is_in_doubt_is_not_sent(tmp_path: Path) -> None:
    full(tmp_path, RULE, 5.0, saved=30 * S, until=90 * S)
    hold = HoldPolicy(5 * M, lambda labels: True)
    world = World(RULE, store=store(tmp_path), start=100 * S, hold=hold)
    assert [s for at in range(120, 360, 30) for s in world.tick(at * S)] == []
    assert world.alert.state is AlertState.FIRING
    (sent,) = world.tick(7 * M)
    assert sent.alert.state is AlertState.INACTIVE


def test_the_doubt_outlives_a_second_kill_and_a_reload(tmp_path: Path) -> None:
    full(tmp_path, RULE, 5.0, 5.0, 0.0, saved=30 * S, until=90 * S)
    context = {"may_resolve": lambda ts: ts >= T0 + 300 * S}
    for start in (100 * S, 160 * S):
        world = World(RULE, store=store(tmp_path), start=start, context=context)
        assert world.step(start + 20 * S, 0.0) == []
        world.reload(one_rule("{alert: A, expr: m > 1, annotations: {t: new}}"), start + 30 * S)
        assert world.step(start + 50 * S, 0.0) == []
    (sent,) = world.step(300 * S, 0.0)
    assert sent.alert.state is AlertState.INACTIVE


def test_when_all_is_saved_and_shown_again_the_next_start_has_no_doubt(tmp_path: Path) -> None:
    full(tmp_path, RULE, 5.0, saved=30 * S, until=90 * S)
    world = World(RULE, store=store(tmp_path), start=100 * S)
    world.step(120 * S, 5.0)
    world = World(RULE, store=store(tmp_path), start=130 * S, context={"may_fire": lambda ts, _: False})
    (sent,) = world.step(150 * S, 5.0)
    assert sent.alert.state is AlertState.FIRING


def test_what_was_not_read_is_in_doubt_at_the_next_start(tmp_path: Path) -> None:
    killed(tmp_path, RULE, 60 * S, 5.0)
    failing = FailingStore(store(tmp_path))
    killed_blind = World(RULE, store=failing, start=10 * M)
    killed_blind.step(10 * M, 0.0)  # Alertmanager has ended the alert by now, which is not known here
    world = World(RULE, store=store(tmp_path), start=11 * M, context={"may_resolve": lambda ts: ts >= T0 + 12 * M})
    assert world.step(11 * M + 30 * S, 0.0) == []
    (sent,) = world.step(12 * M, 0.0)
    assert sent.alert.state is AlertState.INACTIVE


class NearlyFull(Database):
    """A file that cannot grow: SQLite's own error for a full disk (SQLITE_FULL), from `PRAGMA max_page_count`."""

    def fill(self) -> None:
        """No page more than there are."""
        ((pages,),) = self.read("PRAGMA page_count")
        self.read(f"PRAGMA max_page_count={pages}")

    def free(self) -> None:
        """Room again."""
        self.read("PRAGMA max_page_count=1000000")


def test_a_file_that_is_full_is_known_to_be_out_of_date_and_made_whole_when_it_can_be(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "rulepush.rules")
    database = NearlyFull(tmp_path / "alerts.db", SCHEMA + UNDELIVERED)
    undelivered = SqliteUndelivered(database)

    def notify(alerts: Sequence[Alert], expr: str, ts: int) -> None:
        undelivered.save(
            "am", [wire_alert(a, expr, "", EMPTY_LABELS) for a in alerts if a.state is AlertState.INACTIVE]
        )

    states = SqliteAlertStates(database, undelivered.whole)
    world = World(RULE, store=states, context={"notify": notify})
    world.step(0, *[5.0] * 100)
    database.fill()
    for i in range(1, 10):
        world.step(i * 30 * S, *[0.0] * 100)
    fresh = Database(tmp_path / "alerts.db", SCHEMA + UNDELIVERED)
    assert {s.alert.state for s in SqliteAlertStates(fresh).load()} == {AlertState.FIRING}
    assert fresh.is_incomplete
    assert SqliteUndelivered(fresh).load("am") == []
    database.free()
    world.step(300 * S, *[0.0] * 100)
    fresh = Database(tmp_path / "alerts.db", SCHEMA + UNDELIVERED)
    assert {s.alert.state for s in SqliteAlertStates(fresh).load()} == {AlertState.INACTIVE}
    assert len(SqliteUndelivered(fresh).load("am")) == 100
    assert not fresh.is_incomplete
    said = [line for line in caplog.messages if "saved" in line and "alert states" in line]
    assert len(said) == 2
    assert said[0].startswith("alert states cannot be saved")
    assert "full" in said[0]
    assert said[1] == "alert states are saved again: after=4m30s failures=9"


def test_a_disk_that_takes_every_second_write_is_reported_once_a_minute(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "rulepush.rules")
    failing = FailingStore(store(tmp_path))
    failing.failing = False
    world = World(one_rule("{alert: A, expr: m > 1}").replace("30s", "1s"), store=failing)
    for i in range(125):
        failing.failing = i % 2 == 0
        world.step(i * S, 5.0 * (i // 2 % 2))
    assert caplog.text.count("cannot be saved") == 3  # at 2 s, 62 s, 122 s
    assert caplog.text.count("saved again") == 3


def test_a_commit_that_fails_is_not_told_as_saved(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "rulepush.rules")

    class Uncommitted(SqliteAlertStates):
        failing = False

        @contextlib.contextmanager
        def transaction(self) -> Iterator[None]:
            with super().transaction():
                yield
                if self.failing:
                    raise StorageError("database or disk is full")

    states = Uncommitted(Database(tmp_path / "alerts.db", SCHEMA))
    world = World(RULE, store=states)
    states.failing = True
    for i in range(10):
        world.step(i * 30 * S, 5.0)
    assert caplog.text.count("cannot be saved") == 1
    assert "saved again" not in caplog.text
    states.failing = False
    world.step(300 * S, 5.0)
    assert "saved again: after=5m failures=10" in caplog.text
