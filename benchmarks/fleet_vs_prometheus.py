"""A fleet of targets beside a real Prometheus: the same targets, rules and intervals, one system after the other.

    .venv/bin/python benchmarks/fleet_vs_prometheus.py [--runs 3] [--only 1,100,churn,...] [--overload 3000]

Prints one line a workload: CPU, memory and detection time as ratios to Prometheus (the median over the runs), and
whether each is within its limit; exit code 1 when one is not. The fleet, the rules and the driver are those of
../shared/bench. To its rules this adds `up == 0` without a `for`, so that one failed scrape counts as an alert that
nothing justifies. Binaries: $PROMETHEUS and $RULEPUSH, otherwise those of .servers and of this environment.

The last workload is rulepush alone: more targets than one process can scrape, then one sixth of them. What is skipped
must be counted, no alert may come of it, and afterwards no scrape may be skipped any more.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
from processes import free_port, process, wait_until_ready

ROOT: Final = Path(__file__).resolve().parent.parent
BENCH: Final = ROOT.parent / "shared" / "bench"
FAILED_SCRAPE: Final = """\
- name: failed scrapes
  rules:
  - alert: ScrapeFailed
    expr: up == 0
"""
RECOVERY_INTERVALS: Final = 8  # within these, after the load is gone, nothing may be skipped any more


@dataclass(frozen=True, slots=True)
class Workload:
    """What is run, and the highest ratios to Prometheus that count as reached."""

    key: str
    targets: int
    interval_s: int
    churn: float
    cpu: float
    rss: float
    detection: float
    seconds: int = 60

    @property
    def title(self) -> str:
        """For the table."""
        churn = f", churn {self.churn:g}" if self.churn else ""
        return f"{self.targets:,} target{'s' if self.targets > 1 else ''}, {self.interval_s} s{churn}"


WORKLOADS: Final = (
    Workload("1", 1, 5, 0.0, cpu=0.5, rss=0.7, detection=0.6, seconds=120),
    Workload("100", 100, 5, 0.0, cpu=0.25, rss=0.5, detection=0.6),
    Workload("churn", 100, 5, 0.2, cpu=0.6, rss=0.8, detection=0.7, seconds=120),
    Workload("1000", 1000, 15, 0.0, cpu=0.5, rss=0.5, detection=0.7, seconds=120),
    Workload("1000churn", 1000, 15, 0.05, cpu=0.8, rss=0.6, detection=0.7, seconds=120),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run of one workload: ratios of rulepush to Prometheus, and what rulepush did."""

    cpu: float
    rss: float
    detection: float | None
    ours: dict[str, Any]

    @property
    def clean(self) -> bool:
        """All breaches seen, every target scraped within two intervals, no alert that nothing justifies."""
        wave, due = self.ours["first_wave_s"], 2 * self.ours["interval_s"]
        scraped = wave is not None and wave <= due
        return self.ours["seen"] == self.ours["flips"] and scraped and not self.ours["unexpected_alerts"]


def main() -> int:
    """Run the workloads, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", help=f"comma-separated: {','.join(w.key for w in WORKLOADS)},overload")
    parser.add_argument("--overload", type=int, default=3000, help="targets of the overload run")
    args = parser.parse_args()
    if not BENCH.is_dir():
        sys.exit(f"{BENCH} is missing: the fleet of fake targets comes from there")
    wanted = set(args.only.split(",")) if args.only else {w.key for w in WORKLOADS} | {"overload"}
    print("| work | CPU | RSS | detection p50 | seen | first round | unexpected alerts | |")
    print("|---|---|---|---|---|---|---|---|")
    good = True
    with tempfile.TemporaryDirectory(prefix="fleet-bench-") as folder:
        rules = Path(folder) / "rules.yml"
        rules.write_text((BENCH / "rules.yml").read_text() + FAILED_SCRAPE)
        for work in WORKLOADS:
            if work.key in wanted:
                good &= _report(work, [_run(work, rules) for _ in range(args.runs)])
        if "overload" in wanted:
            good &= _overload(args.overload, rules, Path(folder))
    return 0 if good else 1


# --- beside Prometheus


def _run(work: Workload, rules: Path) -> Outcome:
    command = [sys.executable, str(BENCH / "bench.py"), "prometheus,rulepush", f"--targets={work.targets}"]
    command += [f"--interval={work.interval_s}", f"--seconds={work.seconds}", f"--churn={work.churn}"]
    command += [f"--rules={rules}"]
    done = subprocess.run(command, env=_environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    _, ours, ratio = lines
    print(f"  {json.dumps(lines)}", file=sys.stderr)
    return Outcome(ratio["cpu"], ratio["rss"], ratio["latency_p50"], ours)


def _report(work: Workload, runs: Sequence[Outcome]) -> bool:
    cpu, rss = (statistics.median(numbers) for numbers in zip(*((r.cpu, r.rss) for r in runs), strict=True))
    times = [r.detection for r in runs if r.detection is not None]
    detection = statistics.median(times) if times else float("inf")
    seen = ", ".join(f"{r.ours['seen']}/{r.ours['flips']}" for r in runs)
    waves = ", ".join(f"{r.ours['first_wave_s']} s" for r in runs)
    others: dict[str, int] = {}
    for run in runs:
        for name, count in run.ours["unexpected_alerts"].items():
            others[name] = others.get(name, 0) + count
    good = cpu <= work.cpu and rss <= work.rss and detection <= work.detection and all(r.clean for r in runs)
    cells = [work.title]
    cells += [
        f"{got:.2f} (limit {limit:g})" for got, limit in ((cpu, work.cpu), (rss, work.rss), (detection, work.detection))
    ]
    cells += [seen, waves, str(others or "none"), "reached" if good else "**not reached**"]
    print(f"| {' | '.join(cells)} |", flush=True)
    return good


def _environment() -> dict[str, str]:
    environment = dict(os.environ)
    servers = ROOT / ".servers" / "usr" / "bin" / "prometheus"
    if "PROMETHEUS" not in environment and servers.exists():
        environment["PROMETHEUS"] = str(servers)
    environment.setdefault("RULEPUSH", f"{sys.executable} -m rulepush")
    return environment


# --- more than one process can scrape


@dataclass(frozen=True, slots=True)
class _Reading:
    skipped: float
    failed: float
    down: int
    healthy_s: float


def _overload(targets: int, rules: Path, folder: Path) -> bool:
    interval_s, few = 15, targets // 6
    fleet, sink, web = free_port(), free_port(), free_port()
    listed = folder / "targets.json"
    config = folder / "prometheus.yml"
    config.write_text(json.dumps(_config(interval_s, rules, listed, sink)))
    _list_targets(listed, fleet, targets)
    alerts = folder / "alerts.log"
    ours = [*_environment()["RULEPUSH"].split(), "run", f"--config.file={config}", f"--storage.path={folder}/state"]
    ours.append(f"--web.listen-address=127.0.0.1:{web}")
    with (
        process([sys.executable, str(BENCH / "target.py"), str(fleet)], folder / "target.log"),
        process([sys.executable, str(BENCH / "amsink.py"), str(sink)], alerts),
        process(ours, folder / "rulepush.log"),
        httpx.Client(base_url=f"http://127.0.0.1:{web}", timeout=30) as client,
    ):
        wait_until_ready(client)
        worst = 0.0
        until = time.monotonic() + 10 * interval_s
        while time.monotonic() < until:
            worst = max(worst, _read(client).healthy_s)
            time.sleep(1)
        loaded = _read(client)
        _list_targets(listed, fleet, few)
        time.sleep(RECOVERY_INTERVALS * interval_s)
        before = _read(client)
        time.sleep(4 * interval_s)
        after = _read(client)
    unexpected = _alert_names(alerts)
    still = after.skipped - before.skipped
    good = not unexpected and not still and not after.failed and not after.down
    cells = [f"{targets:,} targets, {interval_s} s, then {few:,}", f"skipped {loaded.skipped:.0f}"]
    cells += [f"then {still:.0f}", f"failed {after.failed:.0f}", f"down {after.down}", f"/-/healthy {worst:.1f} s"]
    cells += [str(unexpected or "none"), "reached" if good else "**not reached**"]
    print(f"| {' | '.join(cells)} |", flush=True)
    return good


def _config(interval_s: int, rules: Path, listed: Path, sink: int) -> dict[str, Any]:
    interval = f"{interval_s}s"
    return {
        "global": {"scrape_interval": interval, "scrape_timeout": "5s", "evaluation_interval": interval},
        "rule_files": [str(rules)],
        "scrape_configs": [
            {"job_name": "fleet", "file_sd_configs": [{"files": [str(listed)], "refresh_interval": "1s"}]}
        ],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [f"127.0.0.1:{sink}"]}]}]},
    }


def _list_targets(listed: Path, fleet: int, count: int) -> None:
    groups = [
        {
            "targets": [f"127.0.0.1:{fleet}"],
            "labels": {"__metrics_path__": f"/t/{i}/metrics", "instance": f"app{i}:80"},
        }
        for i in range(count)
    ]
    fresh = listed.with_suffix(".new")
    fresh.write_text(json.dumps(groups))
    fresh.rename(listed)


def _read(client: httpx.Client) -> _Reading:
    began = time.monotonic()
    client.get("/-/healthy").raise_for_status()
    healthy_s = time.monotonic() - began
    text = client.get("/metrics").text
    answer = client.get("/api/v1/query", params={"query": "count(up == 0)"}).json()
    result = answer["data"]["result"]
    down = int(result[0]["value"][1]) if result else 0
    return _Reading(
        _total(text, "rulepush_scrapes_skipped_total"), _total(text, "rulepush_scrape_failures_total"), down, healthy_s
    )


def _total(text: str, name: str) -> float:
    return sum(float(number) for number in re.findall(rf"^{name}(?:\{{.*\}})? (\S+)$", text, re.MULTILINE))


def _alert_names(log: Path) -> dict[str, int]:
    names: dict[str, int] = {}
    for line in log.read_text().splitlines():
        name = json.loads(line).get("labels", {}).get("alertname", "?")
        names[name] = names.get(name, 0) + 1
    return names


if __name__ == "__main__":
    sys.exit(main())
