"""The pages of a rulepush with 1,000 alerts and 300 rules, and of one with 1,000 targets: how long each takes, and
whether an evaluation waits for it.

    .venv/bin/python benchmarks/pages.py [--requests 20] [--profile PATH]

A rulepush process on loopback scrapes one target with 1,000 series that all are too high, and has 300 rules; then
another one scrapes 1,000 targets, of which 50 have no metrics, and knows as many that relabelling dropped. An HTTP
client in another process asks for each page, one request after the other. A line a page, of medians over the requests:
the answer (and the longest), the CPU time that it costs, its size, the CPU time of the longest turn of the event loop
meanwhile, and for how long the loop did nothing else by the clock (and the longest). While the loop is held no rule is
evaluated and no alert is sent.

Exit code 1 where a page costs 100 ms of CPU or more, or holds the loop for a turn of more than 20 ms. On a quiet
machine an answer takes as long as its CPU time; on a busy one the times by the clock measure the machine. Beside a
thread that works the loop may wait 5 ms for the interpreter.

`--profile PATH` prints where the time of this one page goes, in the process that serves it.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import io
import json
import pstats
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import httpx

from rulepush.model.labels import Labels
from rulepush.service.app import App
from rulepush.service.options import ServiceOptions
from rulepush.site.links import alert_url

ALERTS: Final = 1000
RULES: Final = 300
TARGETS: Final = 1000
MISSING: Final = 50
MAX_CPU_MS: Final = 100.0
MAX_TURN_MS: Final = 20.0
FIRING_RULES: Final = 10
PAGES: Final = (
    "/alerts",
    "/alerts?severity=critical",
    "/rules",
    "/rules?fold=none",
    "/rules?q=Firing",
    "/targets",
    "/graph",
    "/graph?g0.expr=level&g0.tab=1",
    "/graph?g0.expr=sum(level)&g0.tab=0&g0.range_input=5m",
    "/backtest",
    "/backtest?group=group%200&rule=Firing3&range=1h&threshold=350",
    "/delivery",
    "/groups",
    "/status",
)
TARGET_PAGES: Final = (
    "/targets",
    "/targets?page=20",
    "/targets?text=n%3D%22999",
    "/targets?health=down",
    "/service-discovery",
    "/service-discovery?text=n%3D%22999",
    "/status",
)
ALERT: Final = Labels.of(
    alertname="Firing3", instance="", job="fleet", part="3", severity="critical", shard="shard-0342", team="team3"
)


def alert_and_rule_pages(address: str) -> tuple[str, ...]:
    """Of one of the alerts, and of its rule with its 100 alerts. `address` is that of the target."""
    labels = ALERT.with_({"instance": address})
    return (alert_url(labels), "/rules/group%200/Firing3", "/rules/group%200/Quiet15", "/api/v1/alerts/history")


def fleet_jobs(address: str) -> str:
    """Jobs with TARGETS targets at one address, MISSING of them without metrics, and as many that are dropped. The
    first scrape comes after half an interval at the latest."""

    def job(name: str, path: str, numbers: range, **more: object) -> dict[str, object]:
        found = [{"targets": [address], "labels": {"n": str(n), "zone": f"zone-{n % 9}"}} for n in numbers]
        return {"job_name": name, "metrics_path": path, "static_configs": found, "scrape_interval": "3m", **more}

    drop = {"source_labels": ["zone"], "regex": "zone-.*", "action": "drop"}
    jobs = [
        job("few", "/few", range(TARGETS - MISSING)),
        job("missing", "/missing", range(MISSING)),
        job("dropped", "/few", range(TARGETS), relabel_configs=[drop]),
    ]
    return json.dumps({"scrape_configs": jobs})


def rules() -> str:
    """FIRING_RULES rules with ALERTS alerts in all, and quiet ones."""
    groups: dict[int, list[dict[str, Any]]] = {}
    each = ALERTS // FIRING_RULES
    for n in range(RULES):
        severity = ("critical", "warning", "info")[n % 3]
        expr = f'level{{part="{n}"}} > 1' if n < FIRING_RULES else f"sum by (job) (rate(level[5m])) > {n} and up == 1"
        groups.setdefault(n // 20, []).append(
            {
                "alert": f"{'Firing' if n < FIRING_RULES else 'Quiet'}{n}",
                "expr": expr,
                "labels": {"severity": severity, "team": f"team{n % 7}"},
                "annotations": {
                    "summary": "Shard {{ $labels.shard }} is at {{ $value }}",
                    "summary_zh": "分片 {{ $labels.shard }} 的值为 {{ $value }}",
                    "description": f"{each} shards can be too high at the same time; look at their queues first.",
                    "runbook_url": "https://runbooks.example/shard",
                },
            }
        )
    # JSON is YAML.
    return json.dumps({"groups": [{"name": f"group {n}", "rules": found} for n, found in groups.items()]})


def body() -> bytes:
    """The target's metrics."""
    each = ALERTS // FIRING_RULES
    return "".join(f'level{{part="{n // each}",shard="shard-{n:04d}"}} {n + 2}\n' for n in range(ALERTS)).encode()


@contextmanager
def target() -> Iterator[str]:
    """Its address; it is the Alertmanager, too."""
    text = body()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = {"/few": b"few 1\n", "/missing": b""}.get(self.path, text)
            self.send_response(404 if self.path == "/missing" else 200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def do_POST(self) -> None:  # as an Alertmanager that takes every alert
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    class Web(ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:  # a rulepush that ends leaves in the middle
            pass

    server = Web(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()


class HoldWatch:
    """For how long the event loop did nothing else, at the longest, since it was asked last: by the clock, and by the
    CPU time of its thread alone."""

    def __init__(self) -> None:
        self._longest = self._turn = 0.0

    async def run(self) -> None:
        while True:
            before, worked = time.perf_counter(), time.thread_time()
            await asyncio.sleep(0.001)
            self._longest = max(self._longest, time.perf_counter() - before - 0.001)
            self._turn = max(self._turn, time.thread_time() - worked)

    def taken(self) -> tuple[float, float]:
        """Both in ms."""
        taken = self._longest * 1000, self._turn * 1000
        self._longest = self._turn = 0.0
        return taken


async def serve(config: Path) -> None:
    """Run rulepush. For each line of stdin print one: the port first, then the longest hold since, the longest turn and
    the CPU time so far, all in ms; `profile` and `end` begin and print a profile of the event loop."""
    app = App(ServiceOptions(str(config), storage_path=config.parent / f"state of {config.name}"))
    watch, profile = HoldWatch(), cProfile.Profile()
    print(app.port, flush=True)
    loop = asyncio.get_running_loop()

    async def answer() -> None:
        while line := (await loop.run_in_executor(None, sys.stdin.readline)).strip():
            if line == "profile":
                profile.enable()
            elif line == "end":
                profile.disable()
                out = io.StringIO()
                pstats.Stats(profile, stream=out).sort_stats("cumulative").print_stats(45)
                print(json.dumps(out.getvalue()), flush=True)
            else:
                print(*watch.taken(), time.process_time() * 1000, flush=True)
        app.stop()

    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(watch.run())
        answering = tasks.create_task(answer())
        await app.run()
        watching.cancel()
        answering.cancel()


class Serving:
    """The process with rulepush, and a client of its pages."""

    def __init__(self, config: Path):
        command = [sys.executable, __file__, "--serve", str(config)]
        quiet = subprocess.DEVNULL  # each of the alerts is logged
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=quiet, text=True
        )
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.said()}", timeout=30, trust_env=False)

    def said(self, line: str = "") -> str:
        """What it prints, when it was told this."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        if line:
            print(line, file=self._process.stdin, flush=True)
        return self._process.stdout.readline().strip()

    def held(self) -> tuple[float, float, float]:
        """The longest hold since this was called last, the longest turn, and the CPU time so far, all in ms."""
        hold, turn, cpu = map(float, self.said("hold").split())
        return hold, turn, cpu

    def tell(self, line: str) -> None:
        assert self._process.stdin is not None
        print(line, file=self._process.stdin, flush=True)

    def wait_for(self, what: str, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            try:
                if ready():
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.2)
        raise SystemExit(f"{what} within two minutes")

    def wait_for_alerts(self) -> None:
        self.wait_for("the alerts did not fire", lambda: len(self._data("alerts")["alerts"]) == ALERTS)

    def wait_for_targets(self) -> None:
        def scraped() -> bool:
            targets = self._data("targets?state=active")["activeTargets"]
            return len(targets) == TARGETS and all(target["health"] != "unknown" for target in targets)

        self.wait_for("the targets were not scraped", scraped)

    def _data(self, path: str) -> Any:
        return self.client.get(f"/api/v1/{path}").json()["data"]

    def close(self) -> None:
        assert self._process.stdin is not None
        self.client.close()
        self._process.stdin.close()
        self._process.wait(20)


def measure(serving: Serving, path: str, requests: int) -> bool:
    """Print a page's line; whether it is within the limits."""
    answers, holds, turns, cpus, size = [], [], [], [], 0
    serving.client.get(path).raise_for_status()
    for _ in range(requests):
        time.sleep(0.02)
        cpu_before = serving.held()[2]
        before = time.perf_counter()
        answer = serving.client.get(path)
        answers.append((time.perf_counter() - before) * 1000)
        time.sleep(0.005)
        hold, turn, cpu = serving.held()
        holds.append(hold)
        turns.append(turn)
        cpus.append(cpu - cpu_before)
        size = len(answer.raise_for_status().content)
    cpu, turn = statistics.median(cpus), statistics.median(turns)
    good = cpu < MAX_CPU_MS and turn <= MAX_TURN_MS
    print(
        f"{path:<55} {statistics.median(answers):6.1f} {max(answers):7.1f} ms   cpu {cpu:6.1f} ms"
        f" {size / 1024:5.0f} KiB   turn {turn:5.1f} ms   hold {statistics.median(holds):5.1f} {max(holds):6.1f} ms"
        f"   {'ok' if good else 'TOO SLOW'}",
        flush=True,
    )
    return good


def idle(serving: Serving, seconds: float = 6) -> None:
    """Print the longest hold while nobody asks: scrapes, evaluations, sending."""
    serving.held()
    time.sleep(seconds)
    print(f"{'(nobody asks)':<55} longest hold {serving.held()[0]:.1f} ms", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description="The pages with 1,000 alerts and 300 rules.")
    parser.add_argument("--requests", type=int, default=20)
    parser.add_argument("--profile", default="")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        asyncio.run(serve(args.serve))
        return 0
    with tempfile.TemporaryDirectory() as directory, target() as address:
        config = Path(directory) / "prometheus.yml"
        (Path(directory) / "rules.yml").write_text(rules())
        config.write_text(
            "global: {scrape_interval: 15s, evaluation_interval: 15s}\nrule_files: [rules.yml]\n"
            f"scrape_configs: [{{job_name: fleet, static_configs: [{{targets: ['{address}']}}]}}]\n"
            f"alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{address}']}}]}}]}}\n"
            "storage: {record: {}}\n"
        )
        serving = Serving(config)
        try:
            serving.wait_for_alerts()
            if args.profile:
                serving.tell("profile")
                for _ in range(args.requests):
                    serving.client.get(args.profile).raise_for_status()
                print(json.loads(serving.said("end")))
                return 0
            idle(serving)
            good = [measure(serving, path, args.requests) for path in (*alert_and_rule_pages(address), *PAGES)]
        finally:
            serving.close()
        config.write_text(fleet_jobs(address))
        serving = Serving(config)
        try:
            serving.wait_for_targets()
            print(f"with {TARGETS} targets:")
            good += [measure(serving, path, args.requests) for path in TARGET_PAGES]
        finally:
            serving.close()
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
