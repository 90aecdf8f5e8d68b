"""What a Spring Boot application answers at /actuator/prometheus, built from the sources of Boot and Micrometer.

spring-projects/spring-boot: JvmMetricsAutoConfiguration, SystemMetricsAutoConfiguration, StartupTimeMetricsListener,
TaskExecutorMetricsAutoConfiguration, DefaultWebMvcTagsProvider, tags v2.1.18.RELEASE, v2.5.15, v2.7.18, v3.0.13,
v3.2.12, v3.5.9. spring-projects/spring-framework: DefaultServerRequestObservationConvention.
micrometer-metrics/micrometer: binder/jvm, binder/system, binder/tomcat, binder/logging, DefaultMeterObservationHandler,
tags v1.1.19 to v1.15.0. Boot before 3.3 writes with simpleclient (a trailing comma in label lists), later ones with
client_java 1.x (none, and the families sorted).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

Release = tuple[int, int]
_GC = {"action": "end of minor GC", "cause": "G1 Evacuation Pause"}
_POOLS = (
    ("heap", "G1 Eden Space", 2.5e7, -1.0),
    ("heap", "G1 Survivor Space", 4.0e6, -1.0),
    ("heap", "G1 Old Gen", 6.1e7, 1.073741824e9),
    ("nonheap", "Metaspace", 8.2e7, -1.0),
    ("nonheap", "CodeHeap 'non-nmethods'", 1.4e6, 5.84e6),
    ("nonheap", "CodeHeap 'profiled nmethods'", 1.9e7, 1.229e8),
)


class Add(Protocol):
    """Adds a sample to a family."""

    def __call__(self, family: str, kind: str, value: float, suffix: str = "", **labels: str) -> None: ...


@dataclass
class BootApp:
    """An application of one release of Boot, and what it has. `tags`: management.metrics.tags."""

    release: Release = (3, 5)
    server: str = "tomcat"
    requests: int = 40
    errors: int = 0
    hikari: bool = False
    logback: bool = True
    executor: bool = True
    tags: Mapping[str, str] = field(default_factory=dict)
    started_at: float = 1_700_000_000.0

    def body(self) -> bytes:
        """The text format 0.0.4."""
        families: dict[str, tuple[str, list[str]]] = {}

        def add(family: str, kind: str, value: float, suffix: str = "", **labels: str) -> None:
            pairs = [f'{name}="{value}"' for name, value in sorted({**self.tags, **labels}.items())]
            ending = "," if pairs and self.release < (3, 3) else ""
            shown = f"{{{','.join(pairs)}{ending}}}" if pairs else ""
            lines = families.setdefault(family, (kind, []))[1]
            lines.append(f"{family}{suffix}{shown} {value}")

        self._jvm(add)
        self._system(add)
        self._boot(add)
        self._http(add)
        ordered = sorted(families.items()) if self.release >= (3, 3) else families.items()
        text = "".join(
            f"# TYPE {name} {kind}\n" + "".join(f"{line}\n" for line in lines) for name, (kind, lines) in ordered
        )
        return text.encode()

    def _jvm(self, add: Add) -> None:
        for area, pool, used, limit in _POOLS:
            add("jvm_memory_used_bytes", "gauge", used, area=area, id=pool)
            add("jvm_memory_committed_bytes", "gauge", used * 1.2, area=area, id=pool)
            add("jvm_memory_max_bytes", "gauge", limit, area=area, id=pool)
        for name in ("count_buffers", "memory_used_bytes", "total_capacity_bytes"):
            for pool in ("direct", "mapped"):
                add(f"jvm_buffer_{name}", "gauge", 81920.0 if pool == "direct" else 0.0, id=pool)
        gc = {**_GC, "gc": "G1 Young Generation"} if self.release >= (3, 1) else _GC
        add("jvm_gc_pause_seconds", "summary", 12.0, "_count", **gc)
        add("jvm_gc_pause_seconds", "summary", 0.09, "_sum", **gc)
        add("jvm_gc_pause_seconds_max", "gauge", 0.0, **gc)
        for name in ("live_data_size", "max_data_size"):
            add(f"jvm_gc_{name}_bytes", "gauge", 0.0 if name == "live_data_size" else 1.073741824e9)
        add("jvm_gc_memory_allocated_bytes_total", "counter", 9.0e8)
        add("jvm_gc_memory_promoted_bytes_total", "counter", 3.0e7)
        if self.release >= (2, 6):
            suffix = "" if self.release >= (3, 3) else "_percent"
            add(f"jvm_memory_usage_after_gc{suffix}", "gauge", 0.06, area="heap", pool="long-lived")
            add(f"jvm_gc_overhead{suffix}", "gauge", 0.001)
        if self.release >= (3, 0):
            add(
                "jvm_info", "gauge", 1.0, runtime="OpenJDK Runtime Environment", vendor="Eclipse Adoptium", version="21"
            )
            add("jvm_compilation_time_ms_total", "counter", 9500.0, compiler="HotSpot 64-Bit Tiered Compilers")
        for name, value in (("live", 28.0), ("daemon", 24.0), ("peak", 31.0)):
            add(f"jvm_threads_{name}_threads", "gauge", value)
        if self.release >= (3, 2):
            add("jvm_threads_started_threads_total", "counter", 44.0)
        for state in ("runnable", "blocked", "waiting", "timed-waiting", "new", "terminated"):
            add("jvm_threads_states_threads", "gauge", 9.0 if state == "runnable" else 0.0, state=state)
        add("jvm_classes_loaded_classes", "gauge", 14200.0)
        add("jvm_classes_unloaded_classes_total", "counter", 2.0)

    def _system(self, add: Add) -> None:
        add("process_uptime_seconds", "gauge", 812.4)
        add("process_start_time_seconds", "gauge", self.started_at)
        add("process_cpu_usage", "gauge", 0.02)
        add("system_cpu_usage", "gauge", 0.11)
        add("system_cpu_count", "gauge", 4.0)
        add("system_load_average_1m", "gauge", 0.4)
        add("process_files_open_files", "gauge", 96.0)
        add("process_files_max_files", "gauge", 1048576.0)
        if self.release >= (3, 3):
            add("process_cpu_time_ns_total", "counter", 3.1e10)

    def _boot(self, add: Add) -> None:
        if self.release >= (2, 6):
            for name in ("started", "ready"):
                add(f"application_{name}_time_seconds", "gauge", 2.9, main_application_class="com.example.shop.Shop")
            for name, value in (("free", 3.0e10), ("total", 1.0e11)):
                add(f"disk_{name}_bytes", "gauge", value, path="/app/.")
            if self.executor:
                for name in ("active_threads", "queued_tasks", "queue_remaining_tasks", "pool_size_threads"):
                    remaining = name == "queue_remaining_tasks"
                    add(f"executor_{name}", "gauge", 2147483647.0 if remaining else 0.0, name="applicationTaskExecutor")
        if self.logback:
            for level in ("error", "warn", "info", "debug", "trace"):
                add("logback_events_total", "counter", 30.0 if level == "info" else 0.0, level=level)
        if self.server == "tomcat":
            for name in ("active_current", "active_max"):
                add(f"tomcat_sessions_{name}_sessions", "gauge", 0.0)
            add("tomcat_sessions_rejected_sessions_total", "counter", 0.0)
        if self.hikari:
            for name, value in (("", 10.0), ("_active", 1.0), ("_idle", 9.0), ("_max", 10.0), ("_pending", 0.0)):
                add(f"hikaricp_connections{name}", "gauge", value, pool="HikariPool-1")
            add("hikaricp_connections_timeout_total", "counter", 0.0, pool="HikariPool-1")

    def _http(self, add: Add) -> None:
        for status, count in (("200", self.requests), ("500", self.errors)):
            if not count:
                continue
            labels = {"method": "GET", "status": status, "uri": "/orders/{id}"}
            labels["outcome"] = "SUCCESS" if status == "200" else "SERVER_ERROR"
            labels["exception"] = "none" if self.release >= (3, 0) else "None"
            if self.release >= (3, 0):
                labels["error"] = "none"
            add("http_server_requests_seconds", "summary", float(count), "_count", **labels)
            add("http_server_requests_seconds", "summary", 0.02 * count, "_sum", **labels)
            add("http_server_requests_seconds_max", "gauge", 0.03, **labels)
