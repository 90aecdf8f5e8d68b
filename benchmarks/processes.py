"""What the benchmarks that run servers share: starting and ending them, free ports, what a process takes."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds, and resident memory in MiB."""

    cpu_s: float
    rss: float


def usage(pid: int) -> Usage:
    """What a process has taken by now, all of its threads."""
    process = Path(f"/proc/{pid}")
    on_cpu_ns = sum(int((task / "schedstat").read_text().split()[0]) for task in (process / "task").iterdir())
    pages = int((process / "statm").read_text().split()[1])
    return Usage(on_cpu_ns / 1e9, pages * os.sysconf("SC_PAGE_SIZE") / 2**20)


@contextlib.contextmanager
def process(
    command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A server, ended with SIGTERM; its output is appended to `log`."""
    with log.open("a") as out:
        running = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=environment)
        try:
            yield running
        finally:
            running.send_signal(signal.SIGTERM)
            try:
                running.wait(20)
            except subprocess.TimeoutExpired:
                running.kill()


def free_port() -> int:
    """A TCP port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until_ready(client: httpx.Client, path: str = "/-/ready", seconds: float = 60) -> None:
    """Wait for a 200; ends the benchmark when it does not come."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with contextlib.suppress(httpx.TransportError):
            if client.get(path).status_code == 200:
                return
        time.sleep(0.2)
    sys.exit(f"{client.base_url}{path.lstrip('/')} was not there within {seconds:g} s")
