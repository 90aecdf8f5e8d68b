"""A command that runs in the place of this process, as far as others can tell: it has the same standard streams, gets
the signals that are meant for it, and its exit code is ours."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

PASSED_ON: Final = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
)
NOT_FOUND: Final = 127  # as shells have it (POSIX, Shell Command Language, section 2.8.2)
NOT_STARTED: Final = 126
_SIGNAL_BASE: Final = 128
_IGNORED_BY_PYTHON: Final = (signal.SIGPIPE, signal.SIGXFSZ)  # a child would inherit that


class CommandNotStarted(Exception):
    """The command cannot be run: its text says why, `exit_code` is what a shell gives."""

    def __init__(self, exit_code: int, message: str):
        self.exit_code = exit_code
        super().__init__(message)


class ChildProcess:
    """The command, running. Construct it before any other thread starts: it blocks the signals of PASSED_ON for this
    thread and those that come after it, and they are blocked for good; one that comes at any time is then passed on.

    posix_spawn and sigwaitinfo, not subprocess and handlers: between a fork and a handler a signal could be lost, and
    only sigwaitinfo tells who sent it.
    """

    def __init__(self, command: Sequence[str]):
        """Raises CommandNotStarted."""
        self._lock = threading.Lock()
        self._exit_code: int | None = None
        former = signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)
        self._pid = _spawn(command, [int(number) for number in former])

    def wait(self) -> int:
        """Blocks until it ends, in any thread; its exit code, 128 + N when signal N ended it."""
        if self._exit_code is None:
            with contextlib.suppress(ChildProcessError):  # another thread was faster
                os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOWAIT)
        with self._lock:  # from here on its process id may be another's
            if self._exit_code is None:
                _, status = os.waitpid(self._pid, 0)
                code = os.waitstatus_to_exitcode(status)
                self._exit_code = _SIGNAL_BASE - code if code < 0 else code
            return self._exit_code

    def pass_signals_on(self, on_late: Callable[[], None]) -> None:
        """Blocks for good: call it in a daemon thread. `on_late` is called for a signal after the command's end."""
        while True:
            info = signal.sigwaitinfo(PASSED_ON)
            with self._lock:
                if self._exit_code is not None:
                    on_late()
                elif info.si_code <= 0:  # sent by a process; by the kernel (SI_KERNEL): see the next line
                    # Ctrl-C at a terminal, and its hang-up, reach the whole process group, and so the command already.
                    os.kill(self._pid, info.si_signo)


def _spawn(command: Sequence[str], signal_mask: Sequence[int]) -> int:
    def start(program: str, arguments: Sequence[str]) -> int:
        return os.posix_spawnp(
            program, list(arguments), os.environ, setsigmask=signal_mask, setsigdef=[int(n) for n in _IGNORED_BY_PYTHON]
        )

    try:
        try:
            return start(command[0], command)
        except OSError as e:
            if e.errno != errno.ENOEXEC:
                raise
            # A script without a first line that names its interpreter: as shells and execvp do.
            script = shutil.which(command[0]) or command[0]
            return start("/bin/sh", ["sh", script, *command[1:]])
    except OSError as e:
        raise _not_started(command[0], e) from None


def _not_started(program: str, e: OSError) -> CommandNotStarted:
    found = shutil.which(program)
    if e.errno != errno.ENOENT:
        reason = (e.strerror or str(e)).lower()
        return CommandNotStarted(NOT_STARTED, f"{program}: {reason}{_permission_hint(program, e)}")
    if found is None:
        return CommandNotStarted(NOT_FOUND, f"{program}: not found{_path_hint(program)}")
    text = f"{found}: the interpreter that its first line names is not found{_carriage_return(found)}"
    return CommandNotStarted(NOT_FOUND, text)


def _path_hint(program: str) -> str:
    if "/" in program:
        return ""
    return f" in PATH; the one in this directory is ./{program}" if Path(program).exists() else " in PATH"


def _permission_hint(program: str, e: OSError) -> str:
    return f" (chmod +x {program})" if e.errno == errno.EACCES and Path(program).is_file() else ""


def _carriage_return(script: str) -> str:
    """Why most of them are not found."""
    try:
        with open(script, "rb") as file:
            first = file.readline(256)
    except OSError:
        return ""
    return ": the line ends with a carriage return, as on Windows" if first.endswith(b"\r\n") else ""
