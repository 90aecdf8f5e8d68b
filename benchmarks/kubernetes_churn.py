"""Targets of a Kubernetes cluster that changes, beside Prometheus: 5,000 pods, 50 changes a second, the real watch.

    PATH=PROMETHEUS:$PATH .venv/bin/python benchmarks/kubernetes_churn.py [--pods 5000] [--rate 50] [--seconds 60]
        [--annotated 1.0] [--no-prometheus] [--profile]

The tests' API server, in a process of its own, has pods of some 10 KB; half of it are `managedFields`. Of the changes,
half are of a status that no label says, a quarter change a label or whether the pod is ready, and in the last quarter
pods go and others come. `rulepush run` and `prometheus` read the same configuration: role pod, the usual relabelling by
the `prometheus.io/...` annotations, which the share `--annotated` of the pods has; the others are dropped. The interval
is a day, so that scrapes cost nothing.

Prints of both: seconds to the first targets, CPU share of a core while pods change, memory. Of rulepush: the longest
time that the event loop was held (CPU time of one callback, and of one search for garbage), for the first list, while
pods change, for a new list after 410 Gone, and for a reload that changes the job. Exit code 1 when a limit is not
reached: 5 % of a core, 50 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import gc
import itertools
import json
import os
import random
import runpy
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
from processes import Usage, free_port, process, usage, wait_until_ready

CPU_LIMIT: Final = 0.05
HELD_LIMIT_MS: Final = 50.0
NOTED_MS: Final = 3.0
SETTLED_SECONDS: Final = 12.0
HELD_SECONDS: Final = 15.0
CONFIG: Final = """
global: {{scrape_interval: 1d}}
scrape_configs:
- job_name: pods
  metrics_path: {path}
  kubernetes_sd_configs: [{{role: pod, api_server: "{server}"}}]
  relabel_configs:
  - {{source_labels: [__meta_kubernetes_pod_annotation_prometheus_io_scrape], action: keep, regex: "true"}}
  - {{source_labels: [__meta_kubernetes_pod_phase], action: drop, regex: "(Pending|Succeeded|Failed|Completed)"}}
  - source_labels: [__meta_kubernetes_pod_annotation_prometheus_io_scheme]
    regex: (https?)
    target_label: __scheme__
  - source_labels: [__meta_kubernetes_pod_annotation_prometheus_io_path]
    regex: (.+)
    target_label: __metrics_path__
  - source_labels: [__address__, __meta_kubernetes_pod_annotation_prometheus_io_port]
    regex: "([^:]+)(?::\\\\d+)?;(\\\\d+)"
    replacement: $1:$2
    target_label: __address__
  - {{action: labelmap, regex: "__meta_kubernetes_pod_label_(.+)"}}
  - {{source_labels: [__meta_kubernetes_namespace], target_label: namespace}}
  - {{source_labels: [__meta_kubernetes_pod_name], target_label: pod}}
"""


def pod(number: int, generation: int, status: int, annotated: bool) -> dict[str, Any]:
    """A pod as a deployment makes it. `generation` shows in its labels, `status` does not."""
    app = f"app-{number % 50}"
    texts = {"app.kubernetes.io/name": app, "app.kubernetes.io/instance": app, "app.kubernetes.io/part-of": "shop"}
    texts |= {"team": f"team-{number % 7}", "tier": "backend", "pod-template-hash": "6d4cf56db6"}
    texts |= {"version": str(generation)}
    annotations = {"prometheus.io/port": "8080", "prometheus.io/path": "/actuator/prometheus"}
    annotations |= {"prometheus.io/scrape": "true" if annotated else "false"}
    condition = {"lastProbeTime": None, "lastTransitionTime": "2026-11-29T00:00:00Z", "status": "True"}
    conditions = [{**condition, "type": kind} for kind in ("Initialized", "ContainersReady", "PodScheduled")]
    conditions.append({**condition, "type": "Ready", "status": "False" if generation % 2 else "True"})
    conditions.append({**condition, "type": "Probed", "message": f"probe {status}"})
    variables = [{"name": f"SETTING_{i}", "value": f"value {i} of {app}"} for i in range(40)]
    probe = {"httpGet": {"path": "/health", "port": 8080, "scheme": "HTTP"}, "periodSeconds": 10, "timeoutSeconds": 1}
    fields: dict[str, Any] = {f'k:{{"name":"SETTING_{i}"}}': {".": {}, "f:name": {}, "f:value": {}} for i in range(70)}
    managed = {
        "manager": "kube-controller-manager",
        "operation": "Update",
        "apiVersion": "v1",
        "fieldsType": "FieldsV1",
    }
    return {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {
            "name": f"{app}-6d4cf56db6-{number:05x}",
            "generateName": f"{app}-6d4cf56db6-",
            "namespace": f"ns-{number % 20}",
            "uid": f"8f9e1d3c-7a5e-4b6e-9c7a-{number:012x}",
            "creationTimestamp": "2026-11-29T00:00:00Z",
            "labels": texts,
            "annotations": annotations,
            "ownerReferences": [
                {
                    "apiVersion": "apps/v1",
                    "kind": "ReplicaSet",
                    "name": f"{app}-6d4cf56db6",
                    "uid": "1",
                    "controller": True,
                }
            ],
            "managedFields": [{**managed, "fieldsV1": {"f:spec": {"f:containers": {"f:env": fields}}}}],
        },
        "spec": {
            "volumes": [{"name": f"volume-{i}", "configMap": {"name": f"{app}-{i}"}} for i in range(4)],
            "containers": [
                {
                    "name": "app",
                    "image": f"registry.example.com/shop/{app}:1",
                    "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
                    "env": variables,
                    "resources": {"limits": {"memory": "1Gi"}, "requests": {"cpu": "500m", "memory": "1Gi"}},
                    "volumeMounts": [{"name": f"volume-{i}", "mountPath": f"/etc/{app}/{i}"} for i in range(4)],
                    "livenessProbe": probe,
                    "readinessProbe": probe,
                }
            ],
            "restartPolicy": "Always",
            "nodeName": f"node-{number % 100}",
            "serviceAccountName": app,
            "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}],
        },
        "status": {
            "phase": "Running",
            "conditions": conditions,
            "hostIP": f"192.168.0.{number % 100}",
            "podIP": f"127.{1 + (number >> 16 & 127)}.{number >> 8 & 255}.{number & 255}",  # a stray scrape stays here
            "startTime": "2026-11-29T00:00:00Z",
            "containerStatuses": [
                {
                    "name": "app",
                    "state": {"running": {"startedAt": "2026-11-29T00:00:00Z"}},
                    "ready": True,
                    "restartCount": 0,
                    "image": f"registry.example.com/shop/{app}:1",
                    "containerID": f"containerd://{number:064x}",
                }
            ],
            "qosClass": "Burstable",
        },
    }


def serve(port: int, pods: int, rate: float, annotated: float) -> None:
    """The API server's process: changes begin with the first line of stdin; then `expire` is a 410 for all, and `stop`
    ends the changes and prints which pods there are, with their generation."""
    sys.path.insert(0, str(Path(__file__).parent.parent))
    from tests.kubernetes_server import ApiRequest, KubernetesServer

    def wanted(number: int) -> bool:
        return number * 7919 % 1000 < annotated * 1000

    there = list(range(pods))
    generations = [0] * pods
    server = KubernetesServer(*(pod(n, 0, 0, wanted(n)) for n in there), port=port)
    every = server.list_page("Pod", ApiRequest("list", "pods", "", {}, {}))
    print(f"{len(every.body) / pods:.0f}", flush=True)
    commands = iter(sys.stdin)
    next(commands)

    stopped = threading.Event()

    def obey() -> None:
        for command in commands:
            if command.strip() == "stop":
                stopped.set()
            else:
                server.compact()
                server.cut_streams()

    threading.Thread(target=obey, daemon=True).start()
    chance, numbers, due = random.Random(7), itertools.count(pods), time.monotonic()
    for turn in itertools.count(1):
        due += 1 / rate
        time.sleep(max(0.0, due - time.monotonic()))
        if stopped.is_set():
            pairs = [(n, g) for n, g in zip(there, generations, strict=True) if wanted(n)]
            print(json.dumps({f"app-{n % 50}-6d4cf56db6-{n:05x}": str(g) for n, g in pairs}), flush=True)
            threading.Event().wait()
        kind = turn % 8
        place = chance.randrange(len(there))
        if kind == 7:
            there.append(next(numbers))
            generations.append(0)
            place = -1
        elif kind in (1, 5):
            generations[place] += 1
        number, generation = there[place], generations[place]
        if kind == 3:
            made = pod(number, 0, 0, False)["metadata"]
            server.delete("Pod", f"{made['namespace']}/{made['name']}")
            there[place], generations[place] = there[-1], generations[-1]
            there.pop()
            generations.pop()
        else:
            server.put(pod(number, generation, turn, wanted(number)))


def probed(log: Path, profile: Path, arguments: list[str]) -> None:
    """`rulepush` with these arguments, in this process; what holds its event loop goes to `log`, a line each: the
    moment, "loop" or "garbage", the CPU milliseconds, what it was. SIGUSR1 begins and ends a profile. SIGUSR2 ends the
    noting, or begins it again: to ask for a thread's CPU time is a system call, which costs much in a sandbox."""
    out = log.open("a", buffering=1)
    run = asyncio.Handle._run
    began_garbage = 0.0

    def timed(handle: Any) -> None:
        began = time.thread_time()
        run(handle)
        took = (time.thread_time() - began) * 1000
        if took >= NOTED_MS:
            owner = getattr(getattr(handle, "_callback", None), "__self__", None)
            what = owner.get_name() if isinstance(owner, asyncio.Task) else repr(getattr(handle, "_callback", None))
            coroutine = getattr(owner.get_coro(), "__qualname__", "") if isinstance(owner, asyncio.Task) else ""
            out.write(f"{time.monotonic():.3f} loop {took:.1f} {what} {coroutine}\n")

    def collected(phase: str, info: dict[str, int]) -> None:
        nonlocal began_garbage
        if phase == "start":
            began_garbage = time.thread_time()
        elif (took := (time.thread_time() - began_garbage) * 1000) >= NOTED_MS:
            out.write(f"{time.monotonic():.3f} garbage {took:.1f} generation {info['generation']}\n")

    def note(*_: object) -> None:
        noting = asyncio.Handle._run is run
        asyncio.Handle._run = timed if noting else run  # type: ignore[method-assign, assignment]

    note()
    signal.signal(signal.SIGUSR2, note)
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


def targets(client: httpx.Client) -> dict[str, str]:
    """The pods that are targets, with their generation."""
    found = client.get("/api/v1/targets", params={"state": "active"}).json()
    return {target["labels"]["pod"]: target["labels"]["version"] for target in found["data"]["activeTargets"]}


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
        print(f"a pod has {running.stdout.readline().strip()} bytes; load {os.getloadavg()[0]:.1f}")
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


def measure(args: argparse.Namespace) -> bool:
    me = [sys.executable, str(Path(__file__).resolve())]
    directory = Path(tempfile.mkdtemp(prefix="kubernetes_churn"))
    port, ours, theirs = free_port(), free_port(), free_port()
    config = directory / "prometheus.yml"
    config.write_text(CONFIG.format(server=f"http://127.0.0.1:{port}", path="/metrics"))
    held, profile = directory / "held", directory / "profile"
    with ExitStack() as stack:
        serving = [*me, "serve", str(port), str(args.pods), str(args.rate), str(args.annotated)]
        server = stack.enter_context(api_server(serving))
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
        tell(server, "expire")
        time.sleep(SETTLED_SECONDS)
        worst = max(worst, log.longest("a new list after 410 Gone"))
        config.write_text(CONFIG.format(server=f"http://127.0.0.1:{port}", path="/other"))
        rulepush.send_signal(signal.SIGHUP)
        time.sleep(SETTLED_SECONDS)
        worst = max(worst, log.longest("a reload of the job"))
        tell(server, "stop")
        assert server.stdout is not None
        expected = json.loads(server.stdout.readline())
        time.sleep(SETTLED_SECONDS)
        for name, client in clients.items():
            found = targets(client)
            print(f"{name}: {len(found)} targets, {len(found.items() ^ expected.items())} not as they are")
        print(f"RSS at the end: {usage(rulepush.pid).rss:.0f} MiB; {directory}")
    if args.profile:
        import pstats

        pstats.Stats(str(profile)).sort_stats("tottime").print_stats(40)
    return shares["rulepush"] < CPU_LIMIT and worst < HELD_LIMIT_MS


def main() -> None:
    """Measure, and say whether the limits are kept; or be one of the benchmark's processes."""
    if sys.argv[1:2] == ["serve"]:
        serve(int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), float(sys.argv[5]))
        return
    if sys.argv[1:2] == ["probed"]:
        probed(Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4:])
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pods", type=int, default=5000)
    parser.add_argument("--rate", type=float, default=50.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--annotated", type=float, default=1.0, help="share of the pods that are targets")
    parser.add_argument("--no-prometheus", action="store_true")
    parser.add_argument("--profile", action="store_true")
    good = measure(parser.parse_args())
    print("within the limits" if good else f"NOT within the limits: {CPU_LIMIT:.0%} of a core, {HELD_LIMIT_MS:g} ms")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
