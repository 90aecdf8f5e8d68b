"""Rules on an engine elsewhere, beside vmalert: 1,000 rules in 50 groups, on the same VictoriaMetrics, at once.

    .venv/bin/python benchmarks/datasource_vs_vmalert.py [--runs 3] [--seconds 120] [--outage 60] [--only cost,kill]

Prints what both take (CPU, memory; ratios, the median over the runs) and how long a breach takes from its first sample
to the Alertmanager. Then what each does when the engine stands still for a minute (SIGSTOP), dies for one (SIGKILL),
and answers partially for one: alerts that end at the Alertmanager, resolved or expired, although their condition held
all the time. Exit code 1 when a limit is not reached: 1.5 times vmalert's CPU and memory, and fewer false ends.

Each rule watches five series of its own; every five seconds there is a sample of each. Of the series 5 % are above the
threshold all the time, and 2 % cross it every minute. Half of the values change at every sample. Half of the rules
have `for: 30s`. vmalert resends after a minute here, as rulepush and Prometheus do; where the engine fails there is
another one with its own default, each evaluation.
Binaries: those of .servers and of $PATH (victoria-metrics, vmalert).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

import httpx
from processes import Usage, free_port, process, usage, wait_until_ready

ROOT: Final = Path(__file__).resolve().parent.parent
BENCH: Final = ROOT.parent / "shared" / "bench"
GROUPS, RULES_EACH, SERIES_EACH = 50, 20, 5
INTERVAL_S, OFFSET_S, STEP_S, FOR_S = 15, 5, 5, 30
ABOVE, BELOW = 97.0, 10.0
HIGH_S = 75  # of those that cross the threshold
ALWAYS, CROSSING_A_MINUTE = 0.05, 0.02  # of the series
LIMIT: Final = 1.5
WARM_UP_S: Final = 90
AFTERWARDS_S: Final = 90

Key = tuple[str, str]
"""alertname, instance."""


@dataclass(slots=True)
class Series:
    """One that a rule watches. `breaches` are the times (s) at which it went above the threshold."""

    key: Key
    text: str
    noisy: bool
    above: bool = False
    breaches: list[float] = field(default_factory=list)


class Feed(threading.Thread):
    """Writes a sample of each series every STEP_S seconds; what could not be written is written afterwards."""

    def __init__(self, engine: str):
        super().__init__(daemon=True)
        self.random = random.Random(17)
        self.series = [
            Series((f"A{g}_{r}", f"i{i}:80"), f'm{r}{{shard="s{g}",instance="i{i}:80",job="app"}}', r % 4 < 2)
            for g in range(GROUPS)
            for r in range(RULES_EACH)
            for i in range(SERIES_EACH)
        ]
        shuffled = self.random.sample(self.series, len(self.series))
        always = round(ALWAYS * len(shuffled))
        self.always, self.others = shuffled[:always], shuffled[always:]
        for one in self.always:
            one.above = True
        self._engine = httpx.Client(base_url=engine, timeout=10)
        self._unwritten: list[bytes] = []
        self._ending = threading.Event()

    def run(self) -> None:
        now = time.time()
        for back in range(60, 0, -STEP_S):
            self._write(now - back)
        at = now
        crossings = round(CROSSING_A_MINUTE * len(self.series) * STEP_S / 60)
        high: list[Series] = []
        while not self._ending.is_set():
            # One half goes up, the other half comes down again, HIGH_S later.
            for one in self.random.sample([s for s in self.others if not s.above], crossings // 2):
                one.above = True
                one.breaches.append(at)
                high.append(one)
            while len(high) > crossings // 2 * HIGH_S // STEP_S:
                high.pop(0).above = False
            self._write(at)
            at += STEP_S
            self._ending.wait(max(0.0, at - time.time()))

    def _write(self, at: float) -> None:
        ms, number = round(at * 1000), self.random.random
        lines = [
            f"{s.text} {(ABOVE if s.above else BELOW) + (number() if s.noisy else 0):.3f} {ms}" for s in self.series
        ]
        self._unwritten.append("\n".join(lines).encode())
        with contextlib.suppress(httpx.HTTPError):
            while self._unwritten:
                self._engine.post("/api/v1/import/prometheus", content=self._unwritten[0]).raise_for_status()
                self._unwritten.pop(0)

    def end(self) -> None:
        """Write no more."""
        self._ending.set()
        self.join()


def _rules() -> str:
    groups = []
    for g in range(GROUPS):
        rules = []
        for r in range(RULES_EACH):
            rule: dict[str, object] = {"alert": f"A{g}_{r}", "expr": f'm{r}{{shard="s{g}"}} > 95'}
            if r % 2:
                rule["for"] = f"{FOR_S}s"
            rule["labels"] = {"severity": "warning"}
            rule["annotations"] = {"summary": "{{ $labels.instance }} is at {{ $value }}"}
            rules.append(rule)
        groups.append({"name": f"g{g}", "interval": f"{INTERVAL_S}s", "rules": rules})
    return json.dumps({"groups": groups})


# --- what an Alertmanager sees


@dataclass(frozen=True, slots=True)
class Arrival:
    """An alert as it came, times in seconds."""

    at: float
    starts_at: float
    ends_at: float


def _arrivals(log: Path) -> dict[Key, list[Arrival]]:
    found: dict[Key, list[Arrival]] = {}
    for line in log.read_text().splitlines():
        with contextlib.suppress(ValueError, KeyError):
            alert = json.loads(line)
            labels = alert["labels"]
            arrival = Arrival(alert["t"], _seconds(alert["startsAt"]), _seconds(alert["endsAt"]))
            found.setdefault((labels["alertname"], labels["instance"]), []).append(arrival)
    return found


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _false_ends(arrivals: Mapping[Key, Sequence[Arrival]], always: Sequence[Series], until: float) -> tuple[int, int]:
    """How often an alert whose condition held was resolved, and how often it expired."""
    resolved = expired = 0
    for one in always:
        ends_at: float | None = None  # of an alert that is active at the Alertmanager
        for arrival in arrivals.get(one.key, ()):
            if arrival.at > until:
                break
            if ends_at is not None and ends_at < arrival.at:
                expired += 1
                ends_at = None
            if arrival.ends_at > arrival.at:
                ends_at = arrival.ends_at
            elif ends_at is not None:
                resolved += 1
                ends_at = None
        expired += ends_at is not None and ends_at < until
    return resolved, expired


def _delays(
    arrivals: Mapping[Key, Sequence[Arrival]], series: Sequence[Series], since: float, until: float
) -> list[float]:
    """Seconds from the first sample above the threshold to the alert, without `for`; infinite where none came."""
    found = []
    for one in series:
        wait = FOR_S if int(one.key[0].rpartition("_")[2]) % 2 else 0
        for breach in one.breaches:
            if since <= breach <= until - HIGH_S:
                came = [a.at for a in arrivals.get(one.key, ()) if a.starts_at >= breach and a.ends_at > a.at]
                found.append(min(came, default=float("inf")) - breach - wait)
    return found


# --- who is compared


@dataclass(slots=True)
class Contender:
    """One that evaluates the rules, and the log of its Alertmanager."""

    name: str
    log: Path
    running: subprocess.Popen[bytes]


@dataclass(slots=True)
class Scene:
    """All that runs."""

    contenders: list[Contender]
    feed: Feed
    flag: Path
    stop: Callable[[], None]
    go_on: Callable[[], None]
    kill: Callable[[], None]
    start: Callable[[], None]


def _run(folder: Path, act: Callable[[Scene], None], *, proxied: bool, defaults_too: bool) -> None:
    folder.mkdir()
    (folder / "rules.yml").write_text(_rules())
    engine_port, flag = free_port(), folder / "partial"
    binary = _binary("victoria-metrics")
    command = [binary, f"-storageDataPath={folder}/vm", f"-httpListenAddr=127.0.0.1:{engine_port}"]
    command.append(f"-search.latencyOffset={OFFSET_S}s")
    engine = f"http://127.0.0.1:{engine_port}"
    with contextlib.ExitStack() as stack:
        engines = [stack.enter_context(process(command, folder / "vm.log"))]
        client = stack.enter_context(httpx.Client(base_url=engine, timeout=10))
        wait_until_ready(client, "/health")
        feed = Feed(engine)
        feed.start()
        stack.callback(feed.end)
        asked = engine
        if proxied:
            port = free_port()
            proxy = [
                sys.executable,
                str(ROOT / "benchmarks" / "partial_proxy.py"),
                str(port),
                str(engine_port),
                str(flag),
            ]
            stack.enter_context(process(proxy, folder / "proxy.log"))
            asked = f"http://127.0.0.1:{port}"
        time.sleep(5)
        contenders = [_rulepush(stack, folder, asked), _vmalert(stack, folder, asked, engine, "vmalert", "1m")]
        if defaults_too:
            contenders.append(_vmalert(stack, folder, asked, engine, "vmalert, resendDelay 0", "0"))

        def kill() -> None:
            engines[-1].kill()
            engines[-1].wait()

        def start() -> None:
            engines.append(stack.enter_context(process(command, folder / "vm.log")))

        act(
            Scene(
                contenders,
                feed,
                flag,
                stop=lambda: engines[-1].send_signal(signal.SIGSTOP),
                go_on=lambda: engines[-1].send_signal(signal.SIGCONT),
                kill=kill,
                start=start,
            )
        )


def _sink(stack: contextlib.ExitStack, log: Path) -> str:
    port = free_port()
    stack.enter_context(process([sys.executable, str(BENCH / "amsink.py"), str(port)], log))
    return f"127.0.0.1:{port}"


def _rulepush(stack: contextlib.ExitStack, folder: Path, asked: str) -> Contender:
    log = folder / "rulepush.alerts"
    config = {
        "global": {"evaluation_interval": f"{INTERVAL_S}s"},
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [_sink(stack, log)]}]}]},
        "remote_write": [{"name": "central", "url": f"{asked}/api/v1/write"}],
        "datasources": [
            {
                "name": "central",
                "url": asked,
                "rule_files": [str(folder / "rules.yml")],
                "query_offset": f"{OFFSET_S}s",
                "write_to": "central",
            }
        ],
    }
    (folder / "prometheus.yml").write_text(json.dumps(config))
    command = [*os.environ.get("RULEPUSH", f"{sys.executable} -m rulepush").split(), "run"]
    command += [f"--config.file={folder}/prometheus.yml", f"--storage.path={folder}/state"]
    command.append(f"--web.listen-address=127.0.0.1:{free_port()}")
    return Contender("rulepush", log, stack.enter_context(process(command, folder / "rulepush.log")))


def _vmalert(stack: contextlib.ExitStack, folder: Path, asked: str, engine: str, name: str, resend: str) -> Contender:
    log = folder / f"{name}.alerts"
    command = [_binary("vmalert"), f"-rule={folder}/rules.yml", f"-datasource.url={asked}"]
    command += [f"-remoteWrite.url={engine}", f"-remoteRead.url={engine}", f"-notifier.url=http://{_sink(stack, log)}"]
    command += [f"-evaluationInterval={INTERVAL_S}s", f"-rule.evalDelay={OFFSET_S}s", f"-rule.resendDelay={resend}"]
    command.append(f"-httpListenAddr=127.0.0.1:{free_port()}")
    return Contender(name, log, stack.enter_context(process(command, folder / f"{name}.log")))


def _binary(name: str) -> str:
    own = ROOT / ".servers" / "usr" / "bin" / name
    found = str(own) if own.exists() else shutil.which(name)
    return found or sys.exit(f"{name} is missing: it belongs into .servers/usr/bin or $PATH")


# --- what is measured


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one run, by contender."""

    used: dict[str, Usage]
    delays: dict[str, list[float]]


def _cost(folder: Path, seconds: int) -> Cost:
    costs: list[Cost] = []

    def act(scene: Scene) -> None:
        since = time.time() + INTERVAL_S  # they have begun by then
        time.sleep(WARM_UP_S)
        before = {c.name: usage(c.running.pid) for c in scene.contenders}
        time.sleep(seconds)
        after = {c.name: usage(c.running.pid) for c in scene.contenders}
        until = time.time()
        used = {name: Usage(after[name].cpu_s - before[name].cpu_s, after[name].rss) for name in after}
        delays = {c.name: _delays(_arrivals(c.log), scene.feed.others, since, until) for c in scene.contenders}
        costs.append(Cost(used, delays))

    _run(folder, act, proxied=False, defaults_too=False)
    return costs[0]


def _report_cost(runs: Sequence[Cost], seconds: int) -> bool:
    print(f"| | CPU in {seconds} s | RSS | sample to alert p50 | p95 | breaches seen |\n|---|---|---|---|---|---|")
    for name in runs[0].used:
        cpu = statistics.median(r.used[name].cpu_s for r in runs)
        rss = statistics.median(r.used[name].rss for r in runs)
        delays = sorted(d for r in runs for d in r.delays[name])
        seen = [d for d in delays if d < float("inf")]
        p50, p95 = (delays[int(len(delays) * q)] if delays else float("nan") for q in (0.5, 0.95))
        cells = [name, f"{cpu:.2f} s", f"{rss:.0f} MiB", f"{p50:.1f} s", f"{p95:.1f} s", f"{len(seen)}/{len(delays)}"]
        print(f"| {' | '.join(cells)} |", flush=True)
    cpu = statistics.median(r.used["rulepush"].cpu_s / r.used["vmalert"].cpu_s for r in runs)
    rss = statistics.median(r.used["rulepush"].rss / r.used["vmalert"].rss for r in runs)
    good = cpu <= LIMIT and rss <= LIMIT
    said = "reached" if good else "**not reached**"
    print(f"\nratios: CPU {cpu:.2f}, RSS {rss:.2f} (limit {LIMIT:g}): {said}\n", flush=True)
    return good


def _trouble(folder: Path, kind: str, outage_s: int) -> bool:
    """One outage of the engine; whether rulepush ended fewer alerts for nothing, or none."""
    found: dict[str, tuple[int, int]] = {}
    known: dict[str, int] = {}

    def act(scene: Scene) -> None:
        time.sleep(WARM_UP_S)
        if kind == "stop":
            scene.stop()
        elif kind == "kill":
            scene.kill()
        else:
            scene.flag.touch()
        time.sleep(outage_s)
        if kind == "stop":
            scene.go_on()
        elif kind == "kill":
            scene.start()
        else:
            scene.flag.unlink()
        time.sleep(AFTERWARDS_S)
        until = time.time()
        for contender in scene.contenders:
            arrivals = _arrivals(contender.log)
            known[contender.name] = sum(one.key in arrivals for one in scene.feed.always)
            found[contender.name] = _false_ends(arrivals, scene.feed.always, until)

    _run(folder, act, proxied=kind == "partial", defaults_too=True)
    for name, (resolved, expired) in found.items():
        print(f"| {kind} | {name} | {known[name]} | {resolved} | {expired} |", flush=True)
    ours = sum(found["rulepush"])
    return all(ours < sum(theirs) or not ours for name, theirs in found.items() if name != "rulepush")


def main() -> int:
    """Run what is wanted, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3, help="of the costs")
    parser.add_argument("--seconds", type=int, default=120, help="measured, after a warm-up")
    parser.add_argument("--outage", type=int, default=60, help="seconds for which the engine fails")
    parser.add_argument("--only", default="cost,stop,kill,partial")
    parser.add_argument("--keep", type=Path, help="a new directory for the logs, which stay")
    args = parser.parse_args()
    if not BENCH.is_dir():
        sys.exit(f"{BENCH} is missing: the Alertmanager comes from there")
    wanted, good = args.only.split(","), True
    with tempfile.TemporaryDirectory(prefix="datasource-bench-") as temporary:
        folder = args.keep or Path(temporary)
        folder.mkdir(exist_ok=True)
        if "cost" in wanted:
            good &= _report_cost([_cost(folder / f"cost{i}", args.seconds) for i in range(args.runs)], args.seconds)
        troubles = [kind for kind in ("stop", "kill", "partial") if kind in wanted]
        if troubles:
            print(f"| the engine, for {args.outage} s | | alerts that hold | ended falsely: resolved | expired |")
            print("|---|---|---|---|---|")
        for kind in troubles:
            good &= _trouble(folder / kind, kind, args.outage)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
