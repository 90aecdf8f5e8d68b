"""Targets that come and go while they are scraped: what stays keeps its connection and the moment of its scrapes.

    .venv/bin/python benchmarks/scraped_churn.py [--targets 1000] [--share 0.2] [--interval 10] [--seconds 60]

`rulepush run` reads its targets from a file (file_sd_configs) and scrapes all of them from one server process, which
has an address of 127.0.0.0/8 for each and 20 lines. For `--seconds` nothing changes, then a `--share` of the targets
goes a minute, and others come.

Prints the CPU share of a core, without changes and with them; and of the targets that were there all the time how many
connections the server accepted, how many scrapes are missing, and how far their moments moved from that before the
changes, as the server saw them. Exit code 1 when one that stayed has had another connection, lacks a scrape, or has
another moment.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import httpx
from processes import Usage, free_port, process, usage, wait_until_ready

CHANGE_SECONDS: Final = 3.0
MOVED_LIMIT: Final = 0.2  # of the interval: more is another moment, and not a late scrape
LINES: Final = "".join(f'requests_total{{uri="/{n}"}} {n}\n' for n in range(20)).encode()
ANSWER: Final = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s" % (len(LINES), LINES)
CONFIG: Final = """
global: {{scrape_interval: {interval}s, scrape_timeout: {interval}s}}
scrape_configs:
- {{job_name: targets, file_sd_configs: [{{files: [{file}], refresh_interval: 1s}}]}}
"""


class Scraped(asyncio.Protocol):
    """One connection. `accepted` counts them by the address they came to, `asked` has the moments of the scrapes."""

    accepted: dict[str, int] = {}  # noqa: RUF012
    asked: dict[str, list[float]] = {}  # noqa: RUF012

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._address = transport.get_extra_info("sockname")[0]
        self._received = b""
        self.accepted[self._address] = self.accepted.get(self._address, 0) + 1

    def data_received(self, data: bytes) -> None:
        self._received += data
        while b"\r\n\r\n" in self._received:
            _, _, self._received = self._received.partition(b"\r\n\r\n")
            self.asked.setdefault(self._address, []).append(time.monotonic())
            self._transport.write(ANSWER)


async def serve(port: int, addresses: int) -> None:
    """The targets' process: the first line of stdin ends it, and what it saw is printed."""
    loop = asyncio.get_running_loop()
    await loop.create_server(Scraped, [address(n) for n in range(addresses)], port, backlog=20)
    print("ready", flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)
    print(json.dumps({"accepted": Scraped.accepted, "asked": Scraped.asked}), flush=True)


def address(number: int) -> str:
    """A loopback address of its own for each target."""
    return f"127.1.{number // 200}.{number % 200 + 1}"


def write(file: Path, port: int, numbers: list[int]) -> None:
    """The list of targets, a group each, put in place as a whole."""
    new = file.with_suffix(".new")
    new.write_text(json.dumps([{"targets": [f"{address(n)}:{port}"]} for n in numbers]))
    new.rename(file)


def changes(
    numbers: list[int], spare: Iterator[int], each: int, seconds: float, put: Callable[[list[int]], None]
) -> None:
    """Let the eldest of those that do not stay go, and others come, until the time is over."""
    due, ends = time.monotonic(), time.monotonic() + seconds
    while time.monotonic() < ends:
        del numbers[:each]
        numbers += [next(spare) for _ in range(each)]
        put(numbers)
        due += CHANGE_SECONDS
        time.sleep(max(0.0, due - time.monotonic()))


def cpu_share(pid: int, before: Usage, began: float) -> str:
    now = usage(pid)
    share = (now.cpu_s - before.cpu_s) / (time.monotonic() - began)
    return f"{share:.2%} of a core, {now.rss:.0f} MiB; load {os.getloadavg()[0]:.1f}"


def measure(args: argparse.Namespace) -> bool:
    directory = Path(tempfile.mkdtemp(prefix="scraped_churn"))
    port, ours, file = free_port(), free_port(), directory / "targets.json"
    each = round(args.targets * args.share * CHANGE_SECONDS / 60)
    most = args.targets + each * (round(args.seconds / CHANGE_SECONDS) + 2)
    config = directory / "prometheus.yml"
    config.write_text(CONFIG.format(interval=args.interval, file=file))
    numbers = list(range(args.targets))
    write(file, port, numbers)
    with ExitStack() as stack:
        server = subprocess.Popen(
            [sys.executable, __file__, "--serve", str(port), "--targets", str(most)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        stack.callback(server.kill)
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdout.readline()
        run = ["run", f"--config.file={config}", f"--web.listen-address=127.0.0.1:{ours}"]
        run.append(f"--storage.path={directory / 'state'}")
        rulepush = stack.enter_context(process([sys.executable, "-m", "rulepush", *run], directory / "log"))
        wait_until_ready(httpx.Client(base_url=f"http://127.0.0.1:{ours}", timeout=60))
        time.sleep(args.interval * 2)
        before, began = usage(rulepush.pid), time.monotonic()
        time.sleep(args.seconds)
        print("no changes:", cpu_share(rulepush.pid, before, began))
        before, began = usage(rulepush.pid), time.monotonic()
        spare = iter(range(args.targets, most))
        changes(numbers, spare, each, args.seconds, lambda now: write(file, port, now))
        ended = time.monotonic()
        print(
            f"{each} of {args.targets} go and come each {CHANGE_SECONDS:g} s:", cpu_share(rulepush.pid, before, began)
        )
        time.sleep(1)
        print("x", file=server.stdin, flush=True)
        seen = json.loads(server.stdout.readline())
    stayed = {address(n) for n in numbers if n < args.targets}
    connections = [seen["accepted"][one] for one in stayed]
    moved, missing = [], 0
    for one in stayed:
        undisturbed = max(moment for moment in seen["asked"][one] if moment < began)
        times = [moment for moment in seen["asked"][one] if undisturbed <= moment <= ended]
        turns = [round((moment - undisturbed) / args.interval) for moment in times]
        moved += [abs(moment - undisturbed - n * args.interval) for moment, n in zip(times, turns, strict=True)]
        missing += turns[-1] + 1 - len(set(turns))
    moved.sort()
    came = [n for n in range(args.targets, most) if address(n) in seen["asked"]]
    print(f"{len(stayed)} stayed, {len(came)} came and were scraped")
    print(f"  connections of those that stayed: {sum(connections)}, {max(connections)} at most of one")
    print(f"  their scrapes: {len(moved)}, {missing} missing")
    print(f"  away from their moment: p50 {moved[len(moved) // 2]:.3f} s, the most {moved[-1]:.3f} s")
    return max(connections) == 1 and not missing and moved[-1] < MOVED_LIMIT * args.interval


def main() -> None:
    """Measure, and say whether what stayed was left alone; or be the process of the targets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--targets", type=int, default=1000)
    parser.add_argument("--share", type=float, default=0.2, help="of the targets that go a minute")
    parser.add_argument("--interval", type=int, default=10, help="of the scrapes, in seconds")
    parser.add_argument("--seconds", type=float, default=60.0, help="without changes, and with them")
    parser.add_argument("--serve", type=int, dest="port", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.port:
        asyncio.run(serve(args.port, args.targets))
        return
    good = measure(args)
    print("what stayed was left alone" if good else "NOT: what stayed was disturbed")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
