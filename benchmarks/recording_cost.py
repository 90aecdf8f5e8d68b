"""What `storage.record` costs: two rulepush beside each other, over the same targets, one with a recording.

    .venv/bin/python benchmarks/recording_cost.py [--only 1,100,churn] [--seconds 120] [--against DIR] [--remote-write]

Prints one line a workload: CPU of both as a share of a core and their ratio, resident memory of both, and the bytes
that a sample takes on disk. Both run at once, so that what else the machine does meets both. With `--against` the first
one is the rulepush of another checkout, and neither records; with `--remote-write` both send all samples on to a server
that takes them. The fleet and the rules are those of ../shared/bench.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
from processes import free_port, process, usage, wait_until_ready

ROOT: Final = Path(__file__).resolve().parent.parent
BENCH: Final = ROOT.parent / "shared" / "bench"
WARM_UP_S: Final = 30


@dataclass(frozen=True, slots=True)
class Workload:
    """`churn`: the share of scrapes in which a series is replaced by a new one."""

    targets: int
    interval_s: int
    churn: float = 0.0


WORKLOADS: Final = {"1": Workload(1, 5), "100": Workload(100, 5), "churn": Workload(100, 5, 0.2)}


def main() -> int:
    """Run the workloads, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(WORKLOADS), help="comma-separated: " + ",".join(WORKLOADS))
    parser.add_argument("--seconds", type=int, default=120, help="measured, after a warm-up")
    parser.add_argument("--against", type=Path, help="another checkout")
    parser.add_argument("--remote-write", action="store_true")
    args = parser.parse_args()
    if not BENCH.is_dir():
        sys.exit(f"{BENCH} is missing: the fleet of fake targets comes from there")
    print("| targets | CPU without | CPU with | ratio | RSS without | RSS with | bytes a sample |")
    print("|---|---|---|---|---|---|---|")
    for key in args.only.split(","):
        with tempfile.TemporaryDirectory(prefix="recording-bench-") as folder:
            _run(WORKLOADS[key], Path(folder), args.seconds, args.against, args.remote_write)
    return 0


def _run(work: Workload, folder: Path, seconds: int, against: Path | None, remote_write: bool) -> None:
    fleet, sink = free_port(), free_port()
    fleet_command = [sys.executable, str(BENCH / "target.py"), str(fleet), "120", str(work.churn)]
    with contextlib.ExitStack() as running:
        running.enter_context(process(fleet_command, folder / "target.log"))
        running.enter_context(process([sys.executable, str(BENCH / "amsink.py"), str(sink)], folder / "alerts.log"))
        pids, clients = [], []
        for name, record in (("without", False), ("with", against is None)):
            own = folder / name
            own.mkdir()
            web = free_port()
            config = own / "prometheus.yml"
            config.write_text(json.dumps(_config(work, fleet, sink, record=record, remote_write=remote_write)))
            command = [sys.executable, "-m", "rulepush", "run", f"--config.file={config}"]
            command += [f"--storage.path={own}/state", f"--web.listen-address=127.0.0.1:{web}"]
            checkout = against if name == "without" and against is not None else ROOT
            environment = {**os.environ, "PYTHONPATH": str(checkout)}
            pids.append(running.enter_context(process(command, own / "rulepush.log", environment)).pid)
            clients.append(running.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{web}", timeout=30)))
        for client in clients:
            wait_until_ready(client)
        time.sleep(WARM_UP_S)
        before = [usage(pid) for pid in pids]
        time.sleep(seconds)
        after = [usage(pid) for pid in pids]
        text = clients[1].get("/metrics").text
    shares = [(b.cpu_s - a.cpu_s) / seconds for a, b in zip(before, after, strict=True)]
    samples, size = _number(text, "rulepush_recording_samples_total"), _number(text, "rulepush_recording_bytes")
    churn = f", churn {work.churn:g}" if work.churn else ""
    cells = [f"{work.targets:,}, {work.interval_s} s{churn}", *(f"{share * 100:.2f} %" for share in shares)]
    cells += [f"{shares[1] / shares[0]:.3f}", *(f"{u.rss:.1f} MiB" for u in after)]
    cells.append(f"{size / samples:.2f}" if samples else "-")
    print(f"| {' | '.join(cells)} |", flush=True)


def _config(work: Workload, fleet: int, sink: int, *, record: bool, remote_write: bool) -> dict[str, Any]:
    interval = f"{work.interval_s}s"
    groups = [
        {
            "targets": [f"127.0.0.1:{fleet}"],
            "labels": {"__metrics_path__": f"/t/{i}/metrics", "instance": f"app{i}:80"},
        }
        for i in range(work.targets)
    ]
    config: dict[str, Any] = {
        "global": {"scrape_interval": interval, "scrape_timeout": "5s", "evaluation_interval": interval},
        "rule_files": [str(BENCH / "rules.yml")],
        "scrape_configs": [{"job_name": "fleet", "static_configs": groups}],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [f"127.0.0.1:{sink}"]}]}]},
    }
    if record:
        config["storage"] = {"record": {}}
    if remote_write:
        config["remote_write"] = [{"url": f"http://127.0.0.1:{sink}/api/v1/write"}]
    return config


def _number(text: str, name: str) -> float:
    found = re.search(rf"^{name} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


if __name__ == "__main__":
    sys.exit(main())
