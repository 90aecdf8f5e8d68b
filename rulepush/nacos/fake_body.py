"""What a Nacos server answers at /nacos/actuator/prometheus, built from a few numbers.

Which series a release exposes, and what it never writes, is read from alibaba/nacos, tags 1.4.6 to 3.0.3:
naming/.../monitor/MetricsMonitor.java and PerformanceLoggerThread.java, config/.../monitor/MetricsMonitor.java,
core/.../monitor/MetricsMonitor.java, lock/.../monitor/LockMetricsMonitor.java, JRaftServer.java, RaftStore.java,
RaftCore.java. A value that nothing writes keeps its initial value here, too.

The labels, order and number format are those of Micrometer's simpleclient registry, which Nacos 1.x to 3.2.0 uses: a
trailing comma in every label list, Java's doubles, and (2.2 to 2.5) summary parts under the gauge `nacos_monitor`.
3.2.2 and later (Micrometer 1.15, PR 15060) write no trailing comma, and two JVM metrics without their `_percent`.
Everything here is a pure function of a NacosReadings and a time.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from rulepush.nacos.releases import Release

Labels = Mapping[str, str]
MIB = 1024.0 * 1024.0
_NEW_CLIENT: Final = (3, 2, 2)
# Written only by the Raft that Nacos had until 1.4.0 (RaftCore.java, RaftStore.java); "unhealth" never was.
_BEFORE_1_4: Final = (("naming", "disk"), ("naming", "leaderSendBeatFailed"))
_NEVER: Final = ("config", "unhealth")


@dataclass(frozen=True, slots=True)
class NacosReadings:
    """The state of one Nacos server that the body shows. Ratios are 0 to 1, times are ms since the epoch."""

    release: Release
    started_at: int
    push_failures: float = 0
    empty_pushes: float = 0
    push_cost_ms: float = -1  # -1: nothing was pushed, as Nacos says it
    push_pending: float = 0
    notify_tasks: float = 0
    dump_tasks: float = 0
    long_polls: float = 0
    long_connections: float = 0
    services: float = 0
    instances: float = 0
    configs: float = 0
    leader: bool = False
    grpc_queue: float = 0
    grpc_rejected: float = 0
    http_errors: float = 0
    log_errors: float = 0
    raft_read_failures: float = 0
    locks: float = 0  # that were asked for, of which
    lock_failures: float = 0  # were not given
    old_gen_ratio: float = 0.26
    blocked_threads: float = 0
    open_files: float = 412
    cpu_ratio: float = 0.04
    exceptions: Mapping[tuple[str, str], float] = field(
        default_factory=dict
    )  # (module, name) -> count; no key: no series


@dataclass(frozen=True, slots=True)
class BodyFamily:
    """One `# TYPE` block. `samples` holds (suffix, labels, value)."""

    name: str
    kind: str
    samples: tuple[tuple[str, Labels, float], ...]
    help: str = ""


def render_body(readings: NacosReadings, ts: int) -> bytes:
    """The whole body at `ts` (ms since the epoch), UTF-8."""
    lines: list[str] = []
    new = readings.release >= _NEW_CLIENT
    families = list(_families(readings, ts))
    for family in sorted(families, key=lambda f: f.name) if new else families:
        if family.help or not new:
            lines.append(f"# HELP {family.name} {family.help or ' '}")
        lines.append(f"# TYPE {family.name} {family.kind}")
        for suffix, labels, value in family.samples:
            inner = ",".join(f'{name}="{_escape(text)}"' for name, text in labels.items()) + ("" if new else ",")
            number = str(int(value)) if new and suffix == "_count" else java_double(value)
            lines.append(f"{family.name}{suffix}{'{' + inner + '}' if labels else ''} {number}")
    return ("\n".join(lines) + "\n").encode()


def java_double(value: float) -> str:
    """Java's Double.toString: plain between 1e-3 and 1e7, else with an E; infinities as simpleclient writes them."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if value == 0 or 1e-3 <= abs(value) < 1e7:
        return repr(float(value))
    mantissa, exponent = f"{value:.16e}".split("e")
    for digits in range(1, 17):  # the shortest text that reads back as the same double
        short = f"{value:.{digits}e}"
        if float(short) == value:
            mantissa, exponent = short.split("e")
            break
    mantissa = mantissa.rstrip("0")
    return f"{mantissa + '0' if mantissa.endswith('.') else mantissa}E{int(exponent)}"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _families(now: NacosReadings, ts: int) -> Iterable[BodyFamily]:
    age = max(0.0, (ts - now.started_at) / 1000)
    yield from _nacos(now, age)
    if now.release >= (2, 3, 1):
        yield from _grpc(now, age)
    yield from _jvm(now, age)
    yield from _process(now, age)
    yield from _http(now, age)


def _gauge(name: str, value: float, help_text: str = "") -> BodyFamily:
    return BodyFamily(name, "gauge", (("", {}, value),), help_text)


def _by(name: str, kind: str, label: str, values: Mapping[str, float], help_text: str = "") -> BodyFamily:
    return BodyFamily(name, kind, tuple(("", {label: key}, value) for key, value in values.items()), help_text)


def _timer(name: str, rows: Iterable[tuple[Labels, float, float]]) -> Iterable[BodyFamily]:
    """Micrometer's Timer: a summary of count and sum, and beside it a gauge of the recent maximum."""
    kept = list(rows)
    yield BodyFamily(
        name, "summary", tuple(s for row in kept for s in (("_count", row[0], row[1]), ("_sum", row[0], row[2])))
    )
    yield BodyFamily(f"{name}_max", "gauge", tuple(("", row[0], 0.0) for row in kept))


def _nacos(now: NacosReadings, age: float) -> Iterable[BodyFamily]:
    config: dict[str, float] = {
        "longPolling": now.long_polls,
        "configCount": now.configs,
        "publish": math.floor(age / 60),
        "getConfig": math.floor(age * 1.5),
        "dumpTask": now.dump_tasks,
        "notifyTask": now.notify_tasks,
    }
    mysql = "mysqlhealthCheck" if now.release < (2, 0, 0) else "mysqlHealthCheck"
    naming: dict[str, float] = {
        mysql: 0,
        "httpHealthCheck": 0,
        "tcpHealthCheck": 0,
        "serviceCount": now.services,
        "ipCount": now.instances,
        # Since 1.4.0 it is written only in a cluster with older members (VersionJudgement.java); 2.2.0 removed the
        # writer.
        "leaderStatus": 1 if now.leader and now.release < (1, 4, 0) else 0,
        "totalPush": math.floor(age * 2) + now.push_failures,
        "failedPush": now.push_failures,
        "maxPushCost": now.push_cost_ms * 2 if now.push_cost_ms > 0 else -1,
        "avgPushCost": now.push_cost_ms,
    }
    core: dict[str, float] = {}
    lock: dict[str, float] = {}
    modern = now.release >= (2, 2, 0)
    if now.release >= (2, 0, 0):
        config |= {"notifyClientTask": 0, "longConnection": now.long_connections}
        naming |= {"subscriberCount": now.instances * 4, "totalPushCountForAvg": 0, "totalPushCostForAvg": 0}
    if modern:
        config["fuzzySearch"] = 88
        naming |= {
            "emptyPush": now.empty_pushes,
            "serviceSubscribedEventQueueSize": 0,
            "serviceChangedEventQueueSize": 0,
            "pushPendingTaskCount": now.push_pending,
        }
    if now.release >= (2, 3, 1):  # per module: MetricsMonitor.refreshModuleConnectionCount
        core["longConnection"] = now.long_connections + 4
        naming["longConnection"] = 4
    if now.release >= (3, 0, 0):
        lock = {
            "grpcLockTotal": now.locks,
            "grpcLockSuccess": now.locks - now.lock_failures,
            "grpcUnLockTotal": now.locks - now.lock_failures,
            "grpcUnLockSuccess": now.locks - now.lock_failures,
            "aliveLockCount": 0,  # it has no writer
        }
    rows: list[tuple[str, Labels, float]] = [
        ("", {"module": module, "name": name}, value)
        for module, values in (("config", config), ("naming", naming), ("core", core), ("lock", lock))
        for name, value in values.items()
    ]
    raft: list[tuple[Labels, float, float]] = [
        ({"module": "core", "name": "raft_read_index_failed"}, now.raft_read_failures, now.raft_read_failures),
        ({"module": "core", "name": "raft_read_from_leader"}, now.raft_read_failures, now.raft_read_failures),
    ]
    mixed = modern and now.release < (3, 0, 0)
    if mixed:  # really so: the parts of a summary under a gauge's TYPE line
        rows += [s for row in raft for s in (("_count", row[0], row[1]), ("_sum", row[0], row[2]))]
    yield BodyFamily("nacos_monitor", "gauge", tuple(rows))
    if modern:
        timers: list[tuple[Labels, float, float]] = [  # nothing calls their getters, in any release
            ({"module": "core", "name": "raft_apply_log_timer"}, 0, 0),
            ({"module": "core", "name": "raft_apply_read_timer"}, 0, 0),
        ]
        yield from _timer("nacos_monitor_seconds" if mixed else "nacos_monitor_summary_seconds", timers)
        if mixed:
            yield BodyFamily("nacos_monitor_max", "gauge", tuple(("", row[0], 0.0) for row in raft))
        else:
            yield from _timer("nacos_monitor_summary", raft)
        yield _by("nacos_config_subscriber", "gauge", "version", {"v1": 0, "v2": 9})
        yield _by("nacos_naming_subscriber", "gauge", "version", {"v1": 0, "v2": 9})
        yield _by("nacos_naming_publisher", "gauge", "version", {"v1": 0, "v2": 9})
    names = ["notifyRt"]
    names += ["readConfigRt", "writeConfigRt"] if modern else []
    names += ["dumpRt"] if now.release >= (2, 4, 0) else []
    yield from _timer(
        "nacos_timer_seconds",
        [({"module": "config", "name": name}, math.floor(age / 60), math.floor(age / 60) * 0.02) for name in names],
    )
    counted = {key: count for key, count in now.exceptions.items() if _is_counted(key, now.release)}
    if counted:  # lazy: no series, and no TYPE line, before the first exception
        yield BodyFamily(
            "nacos_exception_total",
            "counter",
            tuple(("", {"module": m, "name": n}, count) for (m, n), count in counted.items()),
        )


def _is_counted(key: tuple[str, str], release: Release) -> bool:
    return key != _NEVER and (release < (1, 4, 0) or key not in _BEFORE_1_4)


def _grpc(now: NacosReadings, age: float) -> Iterable[BodyFamily]:
    done = math.floor(age * 3)
    executor: list[tuple[str, Labels, float]] = []
    for kind, queue in (("grpcSdkServer", now.grpc_queue), ("grpcClusterServer", 0.0)):
        busy = 64.0 if queue else 0.0
        values = {"activeCount": busy, "poolSize": 64, "corePoolSize": 64, "maximumPoolSize": 64}
        values |= {"inQueueTaskCount": queue, "taskCount": done + busy + queue, "completedTaskCount": done}
        executor += [("", {"module": "core", "name": name, "type": kind}, value) for name, value in values.items()]
    yield BodyFamily("grpc_server_executor", "gauge", tuple(executor))
    requests: list[tuple[Labels, float, float]] = []
    for module, request, share in (
        ("config", "ConfigQueryRequest", 1.0),
        ("config", "ConfigBatchListenRequest", 0.8),
        ("naming", "InstanceRequest", 0.2),
        ("cluster", "DistroDataRequest", 0.5),
        ("internal", "HealthCheckRequest", 0.5),
    ):
        good = math.floor(age * share)
        requests.append((_grpc_labels(module, request, "0", True), good, good * 3e-4))
    if now.grpc_rejected:
        labels = _grpc_labels("config", "ConfigQueryRequest", "500", False)
        requests.append((labels, now.grpc_rejected, now.grpc_rejected * 1e-4))
    yield from _timer("grpc_server_requests_seconds", requests)


def _grpc_labels(module: str, request: str, code: str, success: bool) -> Labels:
    return {
        "errorCode": code,
        "module": module,
        "requestClass": request,
        "success": str(success).lower(),
        "throwableClass": "None",
    }


def _jvm(now: NacosReadings, age: float) -> Iterable[BodyFamily]:
    modern = now.release >= (2, 0, 0)
    young = (0.1 + 0.8 * ((age / 40) % 1)) * 256 * MIB  # fills, and is collected every 40 s
    old = now.old_gen_ratio * 1024 * MIB
    if modern:
        heap = {
            "G1 Survivor Space": (12 * MIB, 16 * MIB, -1.0),
            "G1 Old Gen": (old, 1024 * MIB, 1024 * MIB),
            "G1 Eden Space": (young, 256 * MIB, -1.0),
        }
        other = {
            "Metaspace": (130e6, 134e6, -1.0),
            "CodeHeap 'non-nmethods'": (1.5e6, 2.5e6, 5840896.0),
            "CodeHeap 'profiled nmethods'": (25e6, 26e6, 122.9e6),
            "Compressed Class Space": (17e6, 18e6, 1024 * MIB),
        }
    else:
        heap = {
            "PS Survivor Space": (1.6 * MIB, 2 * MIB, 2 * MIB),
            "PS Old Gen": (old, 1024 * MIB, 1024 * MIB),
            "PS Eden Space": (young, 256 * MIB, 1020 * MIB),
        }
        other = {"Metaspace": (86e6, 90e6, 320 * MIB), "Code Cache": (53e6, 54e6, 240 * MIB)}
    pools = [("heap", name, sizes) for name, sizes in heap.items()]
    pools += [("nonheap", name, sizes) for name, sizes in other.items()]
    for column, suffix in enumerate(("used", "committed", "max")):
        rows = tuple(("", {"area": area, "id": name}, sizes[column]) for area, name, sizes in pools)
        yield BodyFamily(f"jvm_memory_{suffix}_bytes", "gauge", rows, f"The {suffix} amount of memory")
    minor, cause = math.floor(age / 40), "G1 Evacuation Pause" if modern else "Allocation Failure"
    yield from _timer("jvm_gc_pause_seconds", [({"action": "end of minor GC", "cause": cause}, minor, minor * 0.009)])
    yield BodyFamily("jvm_gc_memory_allocated_bytes_total", "counter", (("", {}, age * 6.4 * MIB),))
    yield BodyFamily("jvm_gc_memory_promoted_bytes_total", "counter", (("", {}, age * 0.02 * MIB),))
    yield _gauge("jvm_gc_live_data_size_bytes", 210e6)
    yield _gauge("jvm_gc_max_data_size_bytes", 1024 * MIB)
    if modern:
        after = {"area": "heap", "pool": "long-lived"}
        percent = "" if now.release >= _NEW_CLIENT else "_percent"  # Micrometer 1.13 dropped it
        yield BodyFamily(f"jvm_memory_usage_after_gc{percent}", "gauge", (("", after, now.old_gen_ratio),))
        yield _gauge(f"jvm_gc_overhead{percent}", 1.2e-4)
    states = {"runnable": 34, "blocked": now.blocked_threads, "waiting": 124, "timed-waiting": 42, "new": 0}
    yield _by("jvm_threads_states_threads", "gauge", "state", states | {"terminated": 0})
    yield _gauge("jvm_threads_live_threads", 200 + now.blocked_threads)
    yield _gauge("jvm_threads_daemon_threads", 172)
    yield _gauge("jvm_threads_peak_threads", 260)
    yield _by("jvm_buffer_memory_used_bytes", "gauge", "id", {"direct": 26 * MIB, "mapped": 0})
    yield _by("jvm_buffer_total_capacity_bytes", "gauge", "id", {"direct": 26 * MIB, "mapped": 0})
    yield _by("jvm_buffer_count_buffers", "gauge", "id", {"direct": 38, "mapped": 0})
    yield _gauge("jvm_classes_loaded_classes", 21840)
    yield BodyFamily("jvm_classes_unloaded_classes_total", "counter", (("", {}, 12),))


def _process(now: NacosReadings, age: float) -> Iterable[BodyFamily]:
    yield _gauge("process_uptime_seconds", age, "The uptime of the Java virtual machine")
    yield _gauge("process_start_time_seconds", now.started_at / 1000, "Start time of the process since unix epoch.")
    yield _gauge("process_cpu_usage", now.cpu_ratio)
    yield _gauge("system_cpu_usage", min(1.0, now.cpu_ratio * 1.5 + 0.02))
    yield _gauge("system_cpu_count", 4)
    yield _gauge("system_load_average_1m", now.cpu_ratio * 4)
    yield _gauge("process_files_open_files", now.open_files)
    yield _gauge("process_files_max_files", 65535)
    log = {
        "warn": math.floor(age / 100),
        "debug": 0.0,
        "error": now.log_errors,
        "trace": 0.0,
        "info": math.floor(age * 2),
    }
    yield _by("logback_events_total", "counter", "level", log)


def _http(now: NacosReadings, age: float) -> Iterable[BodyFamily]:
    rows: list[tuple[Labels, float, float]] = []
    for method, uri, share in (("GET", "/actuator/prometheus", 0.1), ("GET", "/v1/cs/configs", 0.5)):
        count = math.floor(age * share)
        rows.append((_http_labels(now, method, uri, "200", "SUCCESS"), count, count * 0.004))
    if now.http_errors:
        labels = _http_labels(now, "POST", "/v1/cs/configs", "500", "SERVER_ERROR")
        rows.append((labels, now.http_errors, now.http_errors * 0.05))
    yield from _timer("http_server_requests_seconds", rows)


def _http_labels(now: NacosReadings, method: str, uri: str, status: str, outcome: str) -> Labels:
    none = (
        {"exception": "None"} if now.release < (3, 0, 0) else {"error": "none", "exception": "none"}
    )  # Boot 2, Boot 3
    return none | {"method": method, "outcome": outcome, "status": status, "uri": uri}
