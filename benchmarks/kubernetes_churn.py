"""Targets of a Kubernetes cluster that changes, beside Prometheus: 5,000 pods, 50 changes a second, the real watch.

    PATH=PROMETHEUS:$PATH .venv/bin/python benchmarks/kubernetes_churn.py [--role endpointslice] [--pods 5000]
        [--per-service 100] [--attach-node] [--rate 50] [--seconds 60] [--annotated 1.0] [--no-prometheus] [--profile]
        [--rounds 0 --round-rate 500]

The tests' API server, in a process of its own, has objects as large as real ones (kubernetes_cluster.py): pods of some
10 KB, half of it `managedFields`. Of the changes half are of a status that no label says, a quarter change a label or
whether the pod is ready, and in the last quarter objects go and others come. With the roles of endpoints, those of the
pods change the endpoints of their service too, so that there are 75 events a second. `rulepush run` and `prometheus`
read the same configuration: the role, with the usual relabelling by the `prometheus.io/...` annotations, which the
share `--annotated` has; the others are dropped. The interval is a day, so that scrapes cost nothing.

Prints of both: seconds to the first targets, CPU share of a core while pods change, memory, and how long after the last
change all targets are right. Of rulepush: the longest time that the event loop was held (CPU time of one callback, and
of one search for garbage), for the first list, while objects change, when all pods of a service change at once, for a
new list after 410 Gone, and for a reload that changes the job; and how late a change comes to the sink of the discovery
(targets change when that has settled, at most 5 s later, in both). With `--rounds` also memory after each round of 10 s
with many changes. Exit code 1 when a limit is not reached: 5 % of a core, 50 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import gc
import itertools
import json
import os
import queue
import runpy
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, TextIO

import httpx
from kubernetes_cluster import ChangingCluster
from processes import Usage, free_port, process, usage, wait_until_ready

CPU_LIMIT: Final = 0.05
HELD_LIMIT_MS: Final = 50.0
NOTED_MS: Final = 3.0
SETTLED_SECONDS: Final = 12.0
HELD_SECONDS: Final = 15.0
LATENESS: Final = signal.SIGRTMIN
MEMORY: Final = signal.SIGRTMIN + 1
CONFIG: Final = """
global: {{scrape_interval: 1d}}
scrape_configs:
- job_name: targets
  metrics_path: {path}
  kubernetes_sd_configs: [{{role: {role}, api_server: "{server}", attach_metadata: {{node: {node}}}}}]
  relabel_configs:
  - {{source_labels: [__meta_kubernetes_{of}_annotation_prometheus_io_scrape], action: keep, regex: "true"}}
  - {{source_labels: [__meta_kubernetes_pod_phase], action: drop, regex: "(Pending|Succeeded|Failed|Completed)"}}
  - source_labels: [__meta_kubernetes_{of}_annotation_prometheus_io_scheme]
    regex: (https?)
    target_label: __scheme__
  - source_labels: [__meta_kubernetes_{of}_annotation_prometheus_io_path]
    regex: (.+)
    target_label: __metrics_path__
  - source_labels: [__address__, __meta_kubernetes_{of}_annotation_prometheus_io_port]
    regex: "([^:]+)(?::\\\\d+)?;(\\\\d+)"
    replacement: $1:$2
    target_label: __address__
  - {{action: labelmap, regex: "__meta_kubernetes_{of}_label_(.+)"}}
  - {{source_labels: [__meta_kubernetes_namespace], target_label: namespace}}
  - {{source_labels: [__meta_kubernetes_{of}_name], target_label: name}}
"""


def serve(args: argparse.Namespace) -> None:
    """The API server's process: changes begin with the first line of stdin; then `expire` is a 410 for all, `burst` a
    change of a whole service, `rate N` another rate, and `stop` ends the changes and prints the version of each target.
    """
    sys.path.insert(0, str(Path(__file__).parent.parent))
    from tests.kubernetes_server import KubernetesServer

    cluster = ChangingCluster(args.role, args.pods, args.per_service, args.annotated)
    objects = list(cluster.objects())
    size = sum(len(json.dumps(made, separators=(",", ":"))) for made in objects) / len(objects)
    server = KubernetesServer(*objects, port=args.port)
    del objects
    print(f"{size:.0f}", flush=True)
    commands: queue.Queue[str] = queue.Queue()

    def listen() -> None:
        for line in sys.stdin:
            commands.put(line.strip())

    threading.Thread(target=listen, daemon=True).start()
    commands.get()
    rate, due = args.rate, time.monotonic()
    for turn in itertools.count(1):
        due += 1 / rate
        time.sleep(max(0.0, due - time.monotonic()))
        cluster.change(turn, server)
        match [] if commands.empty() else commands.get().split():
            case ["expire"]:
                server.compact()
                server.cut_streams()
            case ["burst"]:
                cluster.burst(server)
            case ["rate", text]:
                rate, due = float(text), time.monotonic()
            case ["stop"]:
                cluster.settle(server)
                print(json.dumps(cluster.versions()), flush=True)
                threading.Event().wait()


def probed(log: Path, profile: Path, arguments: list[str]) -> None:
    """`rulepush` with these arguments, in this process; what holds its event loop goes to `log`, a line each: the
    moment, "loop" or "garbage", the CPU milliseconds, what it was. SIGUSR1 begins and ends a profile. SIGUSR2 ends the
    noting, or begins it again: to ask for a thread's CPU time is a system call, which costs much in a sandbox. LATENESS
    begins to note how late changes come to the sink, and MEMORY notes the blocks of Python's allocator."""
    out = log.open("a", buffering=1)
    run = asyncio.Handle._run
    began_garbage = 0.0

    gc_ms = 0.0  # in this callback

    def timed(handle: Any) -> None:
        nonlocal gc_ms
        began, gc_ms = time.thread_time(), 0.0
        run(handle)
        took = (time.thread_time() - began) * 1000
        if took >= NOTED_MS:
            owner = getattr(getattr(handle, "_callback", None), "__self__", None)
            what = owner.get_name() if isinstance(owner, asyncio.Task) else repr(getattr(handle, "_callback", None))
            coroutine = owner.get_coro() if isinstance(owner, asyncio.Task) else None
            shared = getattr(getattr(coroutine, "cr_frame", None), "f_locals", {}).get("run")
            part = getattr(shared, "__self__", None)  # of SharedParts
            of = (
                f"{type(part).__name__} {getattr(part, 'scope', '')}"
                if part
                else getattr(coroutine, "__qualname__", "")
            )
            out.write(f"{time.monotonic():.3f} loop {took:.1f} {what} {of}, {gc_ms:.1f} ms of it garbage\n")

    def collected(phase: str, info: dict[str, int]) -> None:
        nonlocal began_garbage, gc_ms
        if phase == "start":
            began_garbage = time.thread_time()
            return
        took = (time.thread_time() - began_garbage) * 1000
        gc_ms += took
        if took >= NOTED_MS:
            out.write(f"{time.monotonic():.3f} garbage {took:.1f} generation {info['generation']}\n")

    def note(*_: object) -> None:
        noting = asyncio.Handle._run is run
        asyncio.Handle._run = timed if noting else run  # type: ignore[method-assign, assignment]

    note()
    signal.signal(signal.SIGUSR2, note)
    signal.signal(LATENESS, lambda *_: note_lateness(out))
    signal.signal(MEMORY, lambda *_: out.write(f"0 blocks {gc.collect() * 0 + sys.getallocatedblocks()} -\n"))
    gc.callbacks.append(collected)
    profiler: list[cProfile.Profile] = []

    def toggle(*_: object) -> None:
        if profiler:
            profiler[0].disable()
            profiler.pop().dump_stats(profile)
        else:
            profiler.append(cProfile.Profile())
            profiler[0].enable()

    signal.signal(signal.SIGUSR1, toggle)
    sys.argv = ["rulepush", *arguments]
    runpy.run_module("rulepush", run_name="__main__", alter_sys=False)


def note_lateness(out: TextIO) -> None:
    """Write a line for each version that comes to a watch, and to a sink, from now on: how many ms old it is. What is
    late at the watch already, the API server or the network was late with."""
    from rulepush.discovery.groups import TargetGroup
    from rulepush.discovery.known_groups import KnownGroups
    from rulepush.discovery.kubernetes.watching import ResourceWatch

    update = KnownGroups.update
    known: dict[str, set[str]] = {}

    def versions(group: TargetGroup) -> set[str]:
        pairs = itertools.chain(group.labels, *group.targets)
        return {value for name, value in pairs if name.endswith("_label_version")}

    def noted(sink: KnownGroups, groups: Iterable[TargetGroup] = (), gone: Iterable[str] = ()) -> None:
        groups = list(groups)
        now = time.monotonic() * 1000
        for group in groups:
            before = known.get(group.source)
            known[group.source] = versions(group)
            for version in known[group.source] - before if before is not None else ():
                out.write(f"0 late {now - float(version):.0f} {group.source}\n")
        update(sink, groups, gone)

    take = ResourceWatch._take

    def taken(watch: ResourceWatch[Any], events: Sequence[Any]) -> None:
        for event in events:
            version = float((event.object["metadata"].get("labels") or {}).get("version", 0))
            if event.type == "ADDED" and version:
                out.write(f"0 seen {time.monotonic() * 1000 - version:.0f} -\n")
        take(watch, events)

    ResourceWatch._take = taken  # type: ignore[method-assign, assignment]
    KnownGroups.update = noted  # type: ignore[method-assign, assignment]


class HeldLog:
    """What the probe has written since the last look."""

    def __init__(self, path: Path):
        self._path = path
        self._at = 0

    def longest(self, what: str, shown: int = 3) -> float:
        """The longest time in which the loop was held, in milliseconds; the longest ones are printed."""
        lines = self._path.read_text().splitlines()
        new, self._at = lines[self._at :], len(lines)
        new = [line for line in new if "run_until_signal" not in line]  # what is before the service runs: imports
        found = sorted(((float(line.split(" ", 3)[2]), line) for line in new), reverse=True)
        garbage = max((took for took, line in found if line.split()[1] == "garbage"), default=0.0)
        loop = max((took for took, line in found if line.split()[1] == "loop"), default=0.0)
        print(f"{what}: loop held for {loop:.1f} ms at most, a search for garbage took {garbage:.1f} ms")
        for _, line in found[:shown]:
            print("   ", line.split(" ", 1)[1])
        return loop

    def values(self, kind: str) -> list[float]:
        """What was written of another kind since the last look, sorted."""
        lines = self._path.read_text().splitlines()
        new, self._at = lines[self._at :], len(lines)
        return sorted(float(line.split()[2]) for line in new if line.split()[1] == kind)


def targets(client: httpx.Client) -> dict[str, str]:
    """The objects that are targets, with their version."""
    found = client.get("/api/v1/targets", params={"state": "active"}).json()
    return {target["labels"]["name"]: target["labels"]["version"] for target in found["data"]["activeTargets"]}


def discovered(client: httpx.Client) -> int:
    """How many targets the metrics tell of, without making a page of them."""
    names = ("prometheus_sd_discovered_targets{", "rulepush_discovery_discovered_targets{")
    lines = client.get("/metrics").text.splitlines()
    return max((int(float(line.rpartition(" ")[2])) for line in lines if line.startswith(names)), default=0)


@contextmanager
def api_server(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    """The API server, once it has its pods."""
    running = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert running.stdout is not None
        print(f"an object has {running.stdout.readline().strip()} bytes; load {os.getloadavg()[0]:.1f}")
        yield running
    finally:
        running.kill()
        running.wait()


def tell(server: subprocess.Popen[str], command: str) -> None:
    """One line for the API server."""
    assert server.stdin is not None
    server.stdin.write(command + "\n")
    server.stdin.flush()


def share(before: Usage, after: Usage, wall: float) -> float:
    return (after.cpu_s - before.cpu_s) / wall


def first_targets(client: httpx.Client, began: float) -> float:
    """Seconds until there are targets, looked for with little cost."""
    while time.monotonic() - began < 120:
        try:
            if discovered(client):
                return time.monotonic() - began
        except httpx.TransportError:
            pass
        time.sleep(0.5)
    sys.exit(f"{client.base_url} had no targets within two minutes")


def arrival(clients: Mapping[str, httpx.Client], expected: dict[str, str]) -> None:
    """Wait until all targets are right, at most a minute."""
    began, waiting = time.monotonic(), dict(clients)
    while waiting and time.monotonic() - began < 60:
        time.sleep(1)
        for name, client in list(waiting.items()):
            found = targets(client)
            if found == expected:
                print(
                    f"{name}: all {len(found)} targets are right {time.monotonic() - began:.0f} s after the last change"
                )
                del waiting[name]
    for name, client in waiting.items():
        found = targets(client)
        print(
            f"{name}: {len(found)} targets, {len(found.items() ^ expected.items())} NOT as they are after two minutes"
        )


def measure(args: argparse.Namespace) -> bool:
    me = [sys.executable, str(Path(__file__).resolve())]
    directory = Path(tempfile.mkdtemp(prefix="kubernetes_churn"))
    port, ours, theirs = free_port(), free_port(), free_port()
    config = directory / "prometheus.yml"
    settings = {"server": f"http://127.0.0.1:{port}", "role": args.role, "node": str(args.attach_node).lower()}
    settings["of"] = "pod" if args.role in ("endpoints", "endpointslice") else args.role
    config.write_text(CONFIG.format(path="/metrics", **settings))
    held, profile = directory / "held", directory / "profile"
    with ExitStack() as stack:
        server = stack.enter_context(api_server([*me, "--serve", str(port), *sys.argv[1:]]))
        run = ["run", f"--config.file={config}", f"--web.listen-address=127.0.0.1:{ours}"]
        run.append(f"--storage.path={directory / 'state'}")
        began = time.monotonic()
        rulepush = stack.enter_context(process([*me, "probed", str(held), str(profile), *run], directory / "log"))
        clients = {"rulepush": httpx.Client(base_url=f"http://127.0.0.1:{ours}", timeout=60)}
        running = {"rulepush": rulepush}
        wait_until_ready(clients["rulepush"])
        print(f"rulepush: first targets after {first_targets(clients['rulepush'], began):.1f} s")
        time.sleep(5)
        log = HeldLog(held)
        worst = log.longest("first list")
        taken = usage(rulepush.pid)
        print(f"  {taken.cpu_s:.2f} s of CPU since the start, {taken.rss:.0f} MiB")
        prometheus = shutil.which("prometheus")
        if not args.no_prometheus and prometheus is not None:
            options = [f"--config.file={config}", f"--web.listen-address=127.0.0.1:{theirs}", "--web.enable-lifecycle"]
            options.append(f"--storage.tsdb.path={directory / 'tsdb'}")
            began = time.monotonic()
            running["prometheus"] = stack.enter_context(process([prometheus, *options], directory / "prometheus.log"))
            clients["prometheus"] = httpx.Client(base_url=f"http://127.0.0.1:{theirs}", timeout=60)
            wait_until_ready(clients["prometheus"])
            print(f"prometheus: first targets after {first_targets(clients['prometheus'], began):.1f} s")
            time.sleep(5)
            taken = usage(running["prometheus"].pid)
            print(f"  {taken.cpu_s:.2f} s of CPU since the start, {taken.rss:.0f} MiB")
        tell(server, "begin")
        time.sleep(SETTLED_SECONDS)
        log.longest("changes begin", 0)
        rulepush.send_signal(signal.SIGUSR2)
        if args.profile:
            rulepush.send_signal(signal.SIGUSR1)
        before = {name: usage(one.pid) for name, one in running.items()}
        wall = time.monotonic()
        time.sleep(args.seconds)
        after = {name: usage(one.pid) for name, one in running.items()}
        wall = time.monotonic() - wall
        if args.profile:
            rulepush.send_signal(signal.SIGUSR1)
        shares = {name: share(before[name], after[name], wall) for name in running}
        for name, value in shares.items():
            print(f"{name}: {value:.2%} of a core, {after[name].rss:.0f} MiB; load {os.getloadavg()[0]:.1f}")
        if "prometheus" in shares:
            print(f"  ratio of the CPU {shares['rulepush'] / shares['prometheus']:.2f}")
        rulepush.send_signal(signal.SIGUSR2)
        time.sleep(HELD_SECONDS)
        worst = max(worst, log.longest("changes"))
        if settings["of"] == "pod":
            tell(server, "burst")
            time.sleep(SETTLED_SECONDS)
            worst = max(worst, log.longest("all pods of a service"))
        tell(server, "expire")
        time.sleep(SETTLED_SECONDS)
        worst = max(worst, log.longest("a new list after 410 Gone"))
        config.write_text(CONFIG.format(path="/other", **settings))
        rulepush.send_signal(signal.SIGHUP)
        time.sleep(SETTLED_SECONDS)
        worst = max(worst, log.longest("a reload of the job"))
        rulepush.send_signal(signal.SIGUSR2)
        rulepush.send_signal(LATENESS)
        time.sleep(HELD_SECONDS)
        noted = held.read_text()
        late, seen = (
            log.values("late"),
            sorted(float(x.split()[2]) for x in noted.splitlines() if x.startswith("0 seen")),
        )
        if late:
            print(
                f"{len(late)} changes came to the sink: p50 {late[len(late) // 2]:.0f} ms, "
                f"p99 {late[len(late) * 99 // 100]:.0f} ms, the last {late[-1]:.0f} ms after they were made"
            )
            at_watch = f"p50 {seen[len(seen) // 2]:.0f} ms, the last {seen[-1]:.0f} ms" if seen else "none came new"
            print(f"  at the watch: {at_watch}")
        for number in range(args.rounds):
            if not number:
                tell(server, f"rate {args.round_rate}")
            time.sleep(10)
            rulepush.send_signal(MEMORY)
            time.sleep(1)
            blocks = log.values("blocks")
            print(f"round {number}: {usage(rulepush.pid).rss:.0f} MiB, {blocks[-1] if blocks else 0:.0f} blocks")
        tell(server, "stop")
        assert server.stdout is not None
        arrival(clients, json.loads(server.stdout.readline()))
        print(f"RSS at the end: {usage(rulepush.pid).rss:.0f} MiB; {directory}")
    if args.profile:
        import pstats

        pstats.Stats(str(profile)).sort_stats("tottime").print_stats(45)
    return shares["rulepush"] < CPU_LIMIT and worst < HELD_LIMIT_MS


def main() -> None:
    """Measure, and say whether the limits are kept; or be one of the benchmark's processes."""
    if sys.argv[1:2] == ["probed"]:
        probed(Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4:])
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    roles = ("pod", "endpoints", "endpointslice", "service", "node", "ingress")
    parser.add_argument("--role", choices=roles, default="pod")
    parser.add_argument("--pods", type=int, default=5000, help="or services, nodes, ingresses")
    parser.add_argument("--per-service", type=int, default=100, help="pods of a service, which has one slice")
    parser.add_argument("--attach-node", action="store_true", help="attach_metadata: {node: true}")
    parser.add_argument("--rate", type=float, default=50.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--annotated", type=float, default=1.0, help="share of the pods that are targets")
    parser.add_argument("--no-prometheus", action="store_true")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--rounds", type=int, default=0, help="of 10 s, at the end, with memory after each")
    parser.add_argument("--round-rate", type=float, default=500.0)
    parser.add_argument("--serve", type=int, dest="port", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.port:
        serve(args)
        return
    good = measure(args)
    print("within the limits" if good else f"NOT within the limits: {CPU_LIMIT:.0%} of a core, {HELD_LIMIT_MS:g} ms")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
