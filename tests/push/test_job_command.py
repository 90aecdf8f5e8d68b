"""`rulepush push ... -- COMMAND` as a process of its own, with real commands, signals and receivers."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.push.fixtures import Receiver, receiver
from tests.servers import free_port, rulepush_command, wait_for

pytestmark = pytest.mark.e2e

PREFIX = "rulepush_job_"
# Says which signals it gets; SIGUSR2 ends it.
LISTENER = """
import signal, sys, time
def got(number, frame):
    print(signal.Signals(number).name, flush=True)
    if number == signal.SIGUSR2:
        sys.exit(9)
for name in ("TERM", "INT", "HUP", "QUIT", "USR1", "USR2"):
    signal.signal(getattr(signal, "SIG" + name), got)
print("ready", flush=True)
while True:  # pause() would miss a signal that comes just before it
    time.sleep(0.05)
"""


def words(command: Sequence[str], *options: str) -> list[str]:
    return rulepush_command("push", "--job", "backup", *options, "--", *command)


def run(
    command: Sequence[str], *options: str, stdin: bytes = b"", cwd: Path | None = None
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(words(command, *options), input=stdin, capture_output=True, timeout=60, check=False, cwd=cwd)


@pytest.fixture(scope="module")
def gateway() -> Iterator[Receiver]:
    with receiver() as r:
        yield r


def values(r: Receiver, job: str = "backup") -> dict[str, float]:
    """The metrics of the job, without their prefix."""
    return {
        labels.get("__name__").removeprefix(PREFIX): value
        for labels, value in r.series().items()
        if labels.get("job") == job and labels.get("__name__").startswith(PREFIX)
    }


@contextlib.contextmanager
def silent_server() -> Iterator[str]:
    """Takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_standard_streams_and_exit_code_are_the_commands(gateway: Receiver) -> None:
    lines = b"".join(b"line %d\n" % i for i in range(400_000))
    script = "cat; echo to the other side >&2; exit 3"
    done = run(["sh", "-c", script], gateway.url, stdin=lines)
    assert done.returncode == 3
    assert done.stdout == lines
    assert done.stderr == b"to the other side\n"


@pytest.mark.parametrize(
    ("command", "code", "complaint"),
    [
        (["true"], 0, ""),
        (["sh", "-c", "exit 255"], 255, ""),
        (["sh", "-c", "kill -9 $$"], 137, ""),
        (["sh", "-c", "kill -TERM $$"], 143, ""),
        (["./nowhere.sh"], 127, "./nowhere.sh: not found\n"),
        (["bakcup"], 127, "bakcup: not found in PATH\n"),
        (["plain.sh"], 127, "plain.sh: not found in PATH; the one in this directory is ./plain.sh\n"),
        (["./locked.sh"], 126, "./locked.sh: permission denied (chmod +x ./locked.sh)\n"),
        (["."], 126, ".: permission denied\n"),
        (["./plain.sh", "a b"], 4, ""),
        (["./windows.sh"], 127, "is not found: the line ends with a carriage return, as on Windows\n"),
    ],
)
def test_exit_codes_are_a_shells(
    gateway: Receiver, tmp_path: Path, command: list[str], code: int, complaint: str
) -> None:
    for name, mode, text in (
        ("locked.sh", 0o644, "#!/bin/sh\n"),
        ("plain.sh", 0o755, 'test "$1" = "a b" && exit 4\n'),
        ("windows.sh", 0o755, "#!/bin/sh\r\n"),
    ):
        (tmp_path / name).write_text(text, newline="")
        (tmp_path / name).chmod(mode)
    done = run(command, gateway.url, cwd=tmp_path)
    assert done.returncode == code
    assert done.stderr.decode().endswith(complaint)
    assert bool(done.stderr) == bool(complaint)
    pushed = values(gateway)
    assert (pushed["last_exit_code"], pushed["last_succeeded"]) == (code, code == 0)


def test_a_run_that_fails_and_one_that_starts_keep_the_last_success() -> None:
    with receiver() as r:
        before = time.time()
        options = ("--ttl", "26h", "--max-duration", "2h", "--label", "host=db1", r.url)
        assert run(["true"], *options).returncode == 0
        first = values(r)
        assert before <= first["last_start_timestamp_seconds"] <= first["last_end_timestamp_seconds"] <= time.time()
        assert first["last_success_timestamp_seconds"] == first["last_end_timestamp_seconds"]
        assert first["last_duration_seconds"] == pytest.approx(
            first["last_end_timestamp_seconds"] - first["last_start_timestamp_seconds"], abs=1e-5
        )
        limits = ("max_age_seconds", "max_duration_seconds", "heartbeat_seconds")
        assert [first[name] for name in limits] == [26 * 3600, 7200, 60]
        assert run(["false"], *options).returncode == 1
        second = values(r)
        assert second["last_success_timestamp_seconds"] == first["last_success_timestamp_seconds"]
        assert second["last_end_timestamp_seconds"] > first["last_end_timestamp_seconds"]
        assert (second["last_exit_code"], second["last_succeeded"]) == (1, 0)
        with running(["cat"], *options, stdin=subprocess.PIPE) as process:
            wait_for(
                "the start",
                lambda: values(r)["last_start_timestamp_seconds"] > second["last_start_timestamp_seconds"],
            )
            kept = {name: value for name, value in values(r).items() if "last_start" not in name}
            assert kept == {name: value for name, value in second.items() if "last_start" not in name}
            assert process.stdin is not None
            process.stdin.close()
            assert process.wait(60) == 0
        assert values(r)["last_success_timestamp_seconds"] > second["last_end_timestamp_seconds"]
        (group,) = r.groups
        assert group.ttl_ms == 26 * 3_600_000


def test_the_lifetime_is_renewed_while_the_command_runs() -> None:
    with receiver() as r, running(["cat"], "--heartbeat", "50ms", r.url, stdin=subprocess.PIPE) as process:
        wait_for("three pushes", lambda: r.groups.counts.pushes >= 3)
        (group,) = r.groups
        assert wait_for("one more", lambda: next(iter(r.groups)).renewed_at > group.renewed_at)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(60) == 0


@contextlib.contextmanager
def running(
    command: Sequence[str], *options: str, stdin: int | None = None, stdout: int | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(words(command, *options), stdin=stdin, stdout=stdout, stderr=subprocess.PIPE)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(60)
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def test_signals_are_passed_on(gateway: Receiver) -> None:
    names = ["SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"]
    with running([sys.executable, "-c", LISTENER], gateway.url, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        for name in names:
            process.send_signal(signal.Signals[name])
            assert process.stdout.readline().decode() == f"{name}\n"
        assert process.wait(60) == 9


def test_a_command_that_a_signal_ends_is_reported(gateway: Receiver) -> None:
    with running(["sh", "-c", "echo ready; exec sleep 60"], gateway.url, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.terminate()
        assert process.wait(60) == 143
    assert values(gateway)["last_exit_code"] == 143


def test_ctrl_c_at_a_terminal_reaches_the_command_once(gateway: Receiver) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, words([sys.executable, "-c", LISTENER], gateway.url))
    shown = b""

    def read_until(text: bytes) -> None:
        nonlocal shown
        while text not in shown:
            assert select.select([terminal], [], [], 60)[0], shown
            shown += os.read(terminal, 1000)

    try:
        read_until(b"ready")
        os.write(terminal, b"\x03")
        read_until(b"SIGINT")
        os.kill(pid, signal.SIGUSR2)  # passed on after a SIGINT that would be passed on, too
        read_until(b"SIGUSR2")
        assert shown.count(b"SIGINT") == 1
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == 9
    finally:
        os.close(terminal)


def test_the_command_ignores_no_signal_that_python_ignores(gateway: Receiver) -> None:
    """SIGPIPE: without it `yes | head -1` in a script would complain."""
    done = run(["sh", "-c", "grep -E 'SigIgn|SigBlk' /proc/self/status"], gateway.url)
    sets = dict(line.split() for line in done.stdout.decode().splitlines())
    of_python = sum(1 << (number - 1) for number in (signal.SIGPIPE, signal.SIGXFSZ))
    assert int(sets["SigBlk:"], 16) == 0
    assert int(sets["SigIgn:"], 16) & of_python == 0


def test_the_environment_and_the_directory_are_the_commands(gateway: Receiver, tmp_path: Path) -> None:
    environment = {**os.environ, "BACKUP_KEY": "a=b\n c"}
    environment.pop("OPENBLAS_NUM_THREADS", None)  # what other commands of rulepush set for themselves
    script = "import os, json; print(json.dumps([dict(os.environ), os.getcwd()]))"
    command = words([sys.executable, "-c", script], gateway.url)
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, timeout=60, check=True)
    assert json.loads(done.stdout) == [environment, str(tmp_path)]


def test_a_receiver_that_never_answers_delays_the_end_by_a_bound_and_changes_nothing() -> None:
    with silent_server() as url:
        begin = time.monotonic()
        done = run(["sh", "-c", "echo done; exit 5"], "--timeout", "0.2", "--retries", "1", url)
        assert time.monotonic() - begin < 60
    assert (done.returncode, done.stdout) == (5, b"done\n")
    lines = done.stderr.decode().splitlines()
    assert lines[-1] == f"rulepush push: the result is not pushed: {url} cannot be reached: no answer within 0.2s"


def test_no_receiver_at_all_changes_nothing() -> None:
    done = run(["sh", "-c", "echo done"], "--retries", "0", f"http://127.0.0.1:{free_port()}")
    assert (done.returncode, done.stdout) == (0, b"done\n")
    assert b"the result is not pushed: http://127.0.0.1:" in done.stderr
    assert b"connection refused" in done.stderr


def has_child(process: subprocess.Popen[bytes]) -> bool:
    return any((thread / "children").read_text() for thread in Path(f"/proc/{process.pid}/task").iterdir())


def wait_for_the_commands_end(process: subprocess.Popen[bytes]) -> None:
    wait_for("its threads", lambda: len(list(Path(f"/proc/{process.pid}/task").iterdir())) >= 2)
    wait_for("the command's end", lambda: not has_child(process))


def test_a_signal_after_the_end_gives_the_push_up() -> None:
    with silent_server() as url, running(["sh", "-c", "exit 5"], "--timeout", "300", url) as process:
        wait_for_the_commands_end(process)

        def ended() -> bool:
            process.send_signal(signal.SIGTERM)  # those of the first second count as the command's own
            return process.poll() is not None

        wait_for("the end of the push", ended)
        assert process.wait(60) == 5


def test_a_signal_with_the_end_does_not_give_the_push_up() -> None:
    """As GNU timeout (src/timeout.c, cleanup) sends it: to the command, and then to the process group."""
    with silent_server() as url, running(["true"], "--timeout", "2", "--retries", "0", url) as process:
        wait_for_the_commands_end(process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert process.stderr is not None
        assert process.stderr.read().decode().splitlines()[-1].endswith("cannot be reached: no answer within 2s")


def test_the_command_starts_while_the_receiver_does_not_answer() -> None:
    with silent_server() as url, running(["cat"], "--timeout", "300", url, stdin=-1, stdout=-1) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"here\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"here\n"


def test_what_the_command_writes_is_pushed_beside_the_result(tmp_path: Path) -> None:
    file = tmp_path / "own.prom"
    script = f"echo 'backup_bytes 12' > {file}; exit 2"
    with receiver() as r:
        done = run(["sh", "-c", script], "--file", str(file), r.url)
        assert (done.returncode, done.stderr) == (2, b"")
        names = {labels.get("__name__") for labels in r.series()}
        assert {"backup_bytes", PREFIX + "last_exit_code"} <= names


@pytest.mark.parametrize(
    ("content", "written_s", "complaint"),
    [
        ("backup_bytes x\n", 600, "text format parsing error in line 1"),
        ("backup_bytes 1\n", -100, "it is older than the start of the command, and is not pushed"),
        (None, 0, "No such file or directory"),
    ],
)
def test_a_bad_file_does_not_take_the_result_away(
    tmp_path: Path, content: str | None, written_s: int, complaint: str
) -> None:
    """`written_s` is seen from now, and long after any start of the command where it is not before it."""
    file = tmp_path / "own.prom"
    if content is not None:
        file.write_text(content)
        os.utime(file, (time.time() + written_s,) * 2)
    with receiver() as r:
        done = run(["true"], "--file", str(file), r.url)
        assert done.returncode == 0
        assert complaint in done.stderr.decode()
        assert values(r)["last_succeeded"] == 1
        assert not any(labels.get("__name__") == "backup_bytes" for labels in r.series())


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--ttl", "26x"], '--ttl: not a valid duration string: "26x"'),
        (["--label", "host"], "--label 'host': expected NAME=VALUE"),
        (["rulepush:9095"], "a URL begins with http://"),
        (["--method", "post"], "--method, --allow-empty and --file - are for pushes without a command"),
    ],
)
def test_an_invalid_option_ends_it_before_the_command(tmp_path: Path, options: list[str], complaint: str) -> None:
    done = run(["touch", str(tmp_path / "ran")], *options)
    assert done.returncode == 125
    assert complaint in done.stderr.decode()
    assert not (tmp_path / "ran").exists()
