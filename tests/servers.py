"""Real servers for the end-to-end tests: found by tests.needs, started on loopback, waited for with a bound."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx

from tests.needs import binary as binary

T = TypeVar("T")

PATIENCE_S: Final = 60.0
"""How long tests wait for what comes soon. With a load of 17 on two cores, rulepush took more than 20 s to be ready."""

QUICK_DISCOVERY: Final = "--scrape.discovery-reload-interval=100ms"
"""A flag of Prometheus and of rulepush: changes of discoveries take effect soon, and not after 5 s."""


_GIVEN: Final[set[int]] = set()


def free_port() -> int:
    """A loopback port that is free now. None is given twice: the server of the first may not have taken it yet."""
    while True:
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port: int = s.getsockname()[1]
        if port not in _GIVEN:
            _GIVEN.add(port)
            return port


def wait_for(what: str, probe: Callable[[], T | None], seconds: float = PATIENCE_S, every: float = 0.05) -> T:
    """The first result of `probe` that is true; fails after `seconds`. A probe that costs much is made less often."""
    deadline = time.monotonic() + seconds
    last: object = None
    while time.monotonic() < deadline:
        try:
            result = probe()
            if result:
                return result
        except (httpx.HTTPError, OSError, KeyError, IndexError, ValueError) as e:
            last = e
        time.sleep(every)
    raise AssertionError(f"{what} did not come within {seconds}s (last: {last})")


def get_json(url: str, **params: str) -> Any:
    """The JSON of a GET."""
    answer = httpx.get(url, params=params, timeout=PATIENCE_S, trust_env=False)
    answer.raise_for_status()
    return answer.json()


def answers(url: str) -> bool:
    """Whether a GET succeeds now."""
    try:
        return httpx.get(url, timeout=10, trust_env=False).is_success
    except httpx.HTTPError:
        return False


class Server:
    """A process of ours on loopback."""

    def __init__(self, command: Sequence[str], log: Path, cwd: Path | None = None):
        self.command = list(command)
        self.log = log
        self._cwd = cwd
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start it, or start it again with the same command."""
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(self.command, stdout=out, stderr=subprocess.STDOUT, cwd=self._cwd)

    def terminate(self, seconds: float = PATIENCE_S) -> int:
        """SIGTERM; the exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(seconds)

    def kill(self) -> None:
        """SIGKILL."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(PATIENCE_S)

    def output(self) -> str:
        """What it printed so far."""
        return self.log.read_text(errors="replace")

    def close(self) -> None:
        """Stop it in whatever state it is."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(PATIENCE_S)


@contextlib.contextmanager
def running(
    command: Sequence[str], log: Path, ready_url: str | None = None, cwd: Path | None = None
) -> Iterator[Server]:
    """A server for the length of a with block, awaited at `ready_url`."""
    server = Server(command, log, cwd)
    try:
        if ready_url is not None:
            wait_for(f"{command[0]} ready", lambda: answers(ready_url))
        yield server
    except AssertionError as e:
        raise AssertionError(f"{e}\n--- {log.name}:\n{server.output()[-4000:]}") from e
    finally:
        server.close()


ALERTMANAGER_CONFIG = "route: {receiver: none, group_wait: 0s}\nreceivers: [{name: none}]\n"


def alertmanager_command(directory: Path, port: int, config: str = ALERTMANAGER_CONFIG) -> list[str]:
    """A real Alertmanager on `port`, alone, with its data in `directory`."""
    program = binary("prometheus-alertmanager")
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "alertmanager.yml").write_text(config)
    return [
        program,
        f"--config.file={directory / 'alertmanager.yml'}",
        f"--storage.path={directory / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    ]


def rulepush_command(*args: str) -> list[str]:
    """rulepush as this Python runs it."""
    return [sys.executable, "-m", "rulepush", *args]
