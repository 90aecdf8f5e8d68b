"""State databases that are corrupt, locked, read-only or on a full disk: it is reported, and alerting goes on."""

from __future__ import annotations

import contextlib
import random
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.faults.recording import RecordingAlertmanager
from tests.harness import BREACH, Scene, Target, job, section
from tests.needs import not_permitted
from tests.servers import Server, wait_for

pytestmark = pytest.mark.e2e

FILES = ("alerts.db", "history.db", "samples.db")


class Story:
    """One target, one Alertmanager, one rulepush whose state directory the test spoils."""

    def __init__(self, directory: Path, state: Path):
        self.app, self.alertmanager = Target(), RecordingAlertmanager()
        self.scene = Scene(directory, [job("app", [self.app.address])], [section([self.alertmanager.address])])
        self.scene.state = state

    def goes_through(self) -> None:
        """An alert's life, from firing to resolved."""
        self.app.value = 99
        wait_for("the alert", lambda: self.alertmanager.firing() == {"Breach"})
        self.app.value = 0
        wait_for("its resolution", lambda: self.alertmanager.firing() == set())

    def goes_through_until(self, what: str, probe: Callable[[], bool]) -> None:
        """Lives, until something is so: the files are used when an alert changes."""

        def live_and_look() -> bool:
            self.goes_through()
            return probe()

        wait_for(what, live_and_look)

    def saves_again(self) -> None:
        self.goes_through_until("saved again", lambda: "alert states are saved again" in self.scene.log())

    def survives_a_kill(self, server: Server) -> None:
        """What is saved now is what a restart finds: the same alert."""
        self.app.value = 99
        wait_for("the alert", lambda: self.alertmanager.firing() == {"Breach"})
        start = self.alertmanager.of("Breach")[-1].starts_at
        server.kill()
        count = len(self.alertmanager.posted)
        with self.scene.rulepush():
            wait_for("it again", lambda: len(self.alertmanager.posted) > count)
            assert self.alertmanager.of("Breach")[-1].starts_at == start

    def errors(self) -> float:
        return self.scene.own("rulepush_state_errors_total")

    def close(self) -> None:
        self.app.close()
        self.alertmanager.close()


@contextlib.contextmanager
def story(directory: Path, state: Path | None = None) -> Iterator[Story]:
    one = Story(directory, state or directory / "state")
    try:
        yield one
        assert "Traceback" not in one.scene.log()
    finally:
        one.close()


def spoil(path: Path, how: str) -> None:
    """Damage a file as disks and people do."""
    data = bytearray(path.read_bytes())
    path.with_name(path.name + "-wal").unlink(missing_ok=True)
    rng = random.Random(how)
    match how:
        case "garbage":
            data = bytearray(rng.randbytes(5000))
        case "cut":
            del data[len(data) // 2 :]
        case "pages":
            data[4096:] = rng.randbytes(len(data) - 4096)
        case "one page":
            data[-4096:] = rng.randbytes(4096)
        case "empty":
            data.clear()
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("how", ["garbage", "cut", "pages", "one page", "empty"])
def test_a_corrupt_file_is_set_aside_and_replaced(tmp_path: Path, how: str) -> None:
    with story(tmp_path) as one:
        with one.scene.rulepush() as server:
            one.app.value = 99
            wait_for("an alert to remember", lambda: one.alertmanager.firing() == {"Breach"})
            assert server.terminate() == 0  # all is in the main files, not in their logs
        for name in FILES:
            spoil(tmp_path / "state" / name, how)
        with one.scene.rulepush() as server:
            wait_for("it still fires", lambda: set(one.scene.states().values()) == {"firing"})
            one.app.value = 0
            wait_for("its resolution", lambda: one.alertmanager.firing() == set())
            if how != "empty":  # an empty file is a new database, to SQLite
                assert "set aside and recreated" in one.scene.log()
                assert one.errors() >= 1
                assert (tmp_path / "state" / "alerts.db.corrupt-1").exists()
            one.survives_a_kill(server)


def test_a_file_that_is_overwritten_while_it_is_used_stops_nothing(tmp_path: Path) -> None:
    with story(tmp_path) as one:
        with one.scene.rulepush() as server:
            overwritten_while_used(one, tmp_path)
            one.app.value = 99
            wait_for("the alert", lambda: one.alertmanager.firing() == {"Breach"})
            server.kill()
            earlier = len(one.alertmanager.of("Breach"))
        with one.scene.rulepush() as server:
            wait_for("it still fires", lambda: set(one.scene.states().values()) == {"firing"})
            # Its state was lost with the file, so it may be a new alert: wait until Alertmanager has received it.
            wait_for("it is sent again", lambda: len(one.alertmanager.of("Breach")) > earlier)
            assert not one.alertmanager.of("Breach")[-1].resolved
            one.survives_a_kill(server)


def overwritten_while_used(one: Story, tmp_path: Path) -> None:
    one.goes_through()
    for name in FILES:
        for suffix in ("", "-wal"):
            path = tmp_path / "state" / (name + suffix)
            if path.exists():
                with path.open("r+b") as f:  # in place: the process has it open
                    f.write(random.Random(1).randbytes(max(4096, path.stat().st_size)))
    one.goes_through()


@contextlib.contextmanager
def locked(state: Path) -> Iterator[None]:
    """Every database is locked by this process, as by a backup or a shell."""
    connections = [sqlite3.connect(state / name, timeout=5, isolation_level=None) for name in FILES]
    try:
        for connection in connections:
            connection.execute("BEGIN IMMEDIATE")
        yield
    finally:
        for connection in connections:
            connection.close()


def test_while_another_process_locks_the_files_alerting_goes_on(tmp_path: Path) -> None:
    with story(tmp_path) as one, one.scene.rulepush() as server:
        one.goes_through()
        with locked(tmp_path / "state"):
            one.goes_through()
            wait_for("it is counted", lambda: one.errors() > 0)
            assert "database is locked" in one.scene.log()
        one.saves_again()
        one.survives_a_kill(server)


def test_files_that_are_locked_at_the_start_are_taken_up_when_they_are_free(tmp_path: Path) -> None:
    with story(tmp_path) as one:
        with one.scene.rulepush() as server:
            one.app.value = 99
            wait_for("the alert", lambda: one.alertmanager.firing() == {"Breach"})
            start = one.alertmanager.of("Breach")[0].starts_at
            server.kill()
        count = len(one.alertmanager.posted)
        connection = sqlite3.connect(tmp_path / "state" / "alerts.db", isolation_level=None)
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        connection.execute("BEGIN EXCLUSIVE")
        with one.scene.rulepush():
            wait_for("it fires", lambda: len(one.alertmanager.posted) > count)
            assert one.errors() > 0
            connection.close()
            wait_for("saved again", lambda: "alert states are saved again" in one.scene.log())
            wait_for("its old start", lambda: one.alertmanager.of("Breach")[-1].starts_at == start)
            assert not any(p.resolved for p in one.alertmanager.posted)


class Disk:
    """A small file system in memory, for which the test needs the right to mount."""

    def __init__(self, path: Path, size: str):
        self.path = path
        path.mkdir()
        self._run("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path))

    def _run(self, *command: str) -> None:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            not_permitted(f"mounting a small disk: {done.stderr.strip()}")

    def read_only(self, on: bool) -> None:
        self._run("mount", "-o", f"remount,{'ro' if on else 'rw'}", str(self.path))

    def fill(self) -> None:
        with contextlib.suppress(OSError), (self.path / "filler").open("wb", buffering=0) as f:
            while f.write(bytes(4096)):
                pass

    def free(self) -> None:
        (self.path / "filler").unlink()

    def close(self) -> None:
        subprocess.run(["umount", "-l", str(self.path)], capture_output=True, check=False)


@contextlib.contextmanager
def disk(path: Path, size: str = "2m") -> Iterator[Disk]:
    one = Disk(path, size)
    try:
        yield one
    finally:
        one.close()


def test_a_disk_that_is_full_at_the_start_and_one_that_fills_up_stop_nothing(tmp_path: Path) -> None:
    with disk(tmp_path / "disk") as small, story(tmp_path, tmp_path / "disk" / "state") as one:
        small.fill()
        with one.scene.rulepush() as server:
            one.goes_through()
            assert one.errors() > 0
            assert "cannot" in one.scene.log()
            small.free()
            one.saves_again()
            one.survives_a_kill(server)
        one.app.value = 0
        with one.scene.rulepush() as server:
            one.goes_through()
            before = one.errors()
            small.fill()
            one.goes_through_until("errors", lambda: one.errors() > before)
            assert "disk is full" in one.scene.log()
            small.free()
            one.goes_through()
            one.survives_a_kill(server)


@pytest.mark.parametrize("still_full", [True, False])
def test_what_resolved_while_the_disk_was_full_does_not_fire_again_after_a_kill(
    tmp_path: Path, still_full: bool
) -> None:
    with disk(tmp_path / "disk") as small, story(tmp_path, tmp_path / "disk" / "state") as one:
        with one.scene.rulepush() as server:
            one.app.value = 99
            wait_for("the alert", lambda: one.alertmanager.firing() == {"Breach"})
            small.fill()
            one.app.value = 0
            wait_for("its resolution", lambda: one.alertmanager.firing() == set())
            assert "alert states cannot be saved" in one.scene.log()
            server.kill()
        earlier = len(one.alertmanager.of("Breach"))
        if not still_full:
            small.free()
        with one.scene.rulepush():
            wait_for("it is sent again", lambda: len(one.alertmanager.of("Breach")) > earlier)
            assert (
                'msg="alert states restored" active=1 ' in one.scene.log()
            )  # FIRING, the state before the disk was full
            assert "alert states may be out of date" in one.scene.log()
            assert all(posted.resolved for posted in one.alertmanager.of("Breach")[earlier:])
            assert one.alertmanager.firing() == set()


def test_what_still_fires_after_a_full_disk_and_a_kill_goes_on_with_a_new_start(tmp_path: Path) -> None:
    with disk(tmp_path / "disk") as small, story(tmp_path, tmp_path / "disk" / "state") as one:
        with one.scene.rulepush() as server:
            one.app.value = 99
            wait_for("the alert", lambda: one.alertmanager.firing() == {"Breach"})
            start = one.alertmanager.of("Breach")[-1].starts_at
            small.fill()
            wait_for("a state that is not saved", lambda: "alert states cannot be saved" in one.scene.log())
            server.kill()
        earlier = len(one.alertmanager.of("Breach"))
        with one.scene.rulepush():
            wait_for("it is sent again", lambda: len(one.alertmanager.of("Breach")) > earlier)
            assert all(p.starts_at > start for p in one.alertmanager.of("Breach")[earlier:])  # it may have resolved
            assert not any(p.resolved for p in one.alertmanager.of("Breach")[earlier:])


def test_a_read_only_directory_ends_the_start_unless_it_is_optional(tmp_path: Path) -> None:
    with disk(tmp_path / "disk") as small, story(tmp_path, tmp_path / "disk" / "state") as one:
        small.read_only(True)
        server = Server(one.scene.command(), tmp_path / "rulepush.log")
        assert server.process is not None
        assert server.process.wait(60) == 1
        assert f"--storage.path {tmp_path / 'disk' / 'state'} cannot be written by uid " in one.scene.log()
        assert "read-only" in one.scene.log().splitlines()[-1]
        one.scene.flags.append("--storage.optional")
        with one.scene.rulepush() as server:
            one.goes_through()
            assert one.errors() > 0
            assert one.scene.own("rulepush_storage_writable") == 0
            assert "Read-only file system" in one.scene.log()
            assert "Nothing can be saved in" in httpx.get(f"{one.scene.url}/alerts", trust_env=False, timeout=60).text
            small.read_only(False)
            one.saves_again()
            one.survives_a_kill(server)


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_what_a_read_only_directory_holds_is_known_after_the_start(tmp_path: Path, end: str) -> None:
    """A clean stop leaves a file alone, a kill one with SQLite's -wal and -shm files beside it."""
    with disk(tmp_path / "disk") as small, story(tmp_path, tmp_path / "disk" / "state") as one:
        targets, receivers = [job("app", [one.app.address])], [section([one.alertmanager.address])]
        one.scene.configure(targets, receivers, BREACH.format(hold="2s"))
        with one.scene.rulepush() as server:
            one.app.value = 99
            wait_for("the alert", lambda: one.alertmanager.firing() == {"Breach"})
            start = one.alertmanager.of("Breach")[-1].starts_at
            wait_for("its samples", lambda: one.scene.own("rulepush_journal_samples_total") > 0)
            server.terminate() if end == "stop" else server.kill()
        small.read_only(True)
        posted = len(one.alertmanager.of("Breach"))
        before = len(one.scene.log())
        one.scene.flags.append("--storage.optional")
        with one.scene.rulepush() as server:
            wait_for("it again", lambda: len(one.alertmanager.of("Breach")) > posted)
            log = one.scene.log()[before:]
            assert "level=WARN component=storage" in log
            assert "the state directory cannot be written: what it holds is used, but nothing can be saved" in log
            assert 'msg="alert states restored" active=1 ' in log
            assert "alert states may be out of date" in log  # the mark could not have been removed since
            assert 'msg="samples restored"' in log
            assert "PENDING" not in log  # it is known, and need not wait for its `for` again
            assert all(p.starts_at > start for p in one.alertmanager.of("Breach")[posted:])  # it may have resolved
            small.read_only(False)
            one.saves_again()
            one.survives_a_kill(server)


@pytest.mark.parametrize("state", ["file", "file/state"])
def test_an_optional_directory_that_cannot_be_made_stops_nothing(tmp_path: Path, state: str) -> None:
    (tmp_path / "file").write_text("")
    with story(tmp_path, tmp_path / state) as one:
        one.scene.flags.append("--storage.optional")
        with one.scene.rulepush():
            one.goes_through()
            assert one.errors() > 0
        assert (tmp_path / "file").read_text() == ""
