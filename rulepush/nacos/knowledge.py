"""What is known of the metrics of Nacos and Micrometer beyond what one scrape shows.

Collected from the sources of Nacos 1.3.2 to 3.2 and of Micrometer; docs/nacos-api.md has the files. The tables are
literal: a new release is a new row.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from rulepush.nacos.releases import Release


@dataclass(frozen=True, slots=True)
class KnownMetrics:
    """A row about metrics whose whole name matches `pattern`; with `label`, about values of it that match `values`."""

    pattern: str
    text: str
    label: str = ""
    values: str = ".*"

    def applies(self, metric: str, label: str = "", value: str = "") -> bool:
        """Whether this row is about the metric, or about that value of that label of it."""
        return bool(
            re.fullmatch(self.pattern, metric)
            and self.label == label
            and (not label or re.fullmatch(self.values, value))
        )


# Series that are created by the first event they count. Their absence is not a mistake.
LAZY: Final = (
    KnownMetrics("nacos_exception_total", "it appears with the first exception"),
    KnownMetrics(
        "nacos_exception_total", "it appears with the first such exception", "name", "db|configNotify|disk|nacos"
    ),
    KnownMetrics(
        "nacos_exception_total", "it appears with the first such exception", "name", "illegalArgument|unhealth"
    ),
    KnownMetrics("nacos_exception_total", "it appears with the first such exception", "name", "leaderSendBeatFailed"),
    KnownMetrics("nacos_exception_total", "it appears with the first such exception", "module", "config|naming"),
    KnownMetrics("nacos_timer_seconds_(count|sum|max)", "it appears with the first event"),
    KnownMetrics(
        "nacos_timer_seconds_(count|sum|max)", "it appears with the first lock (Nacos 3.0 and later)", "module", "lock"
    ),
    KnownMetrics(
        "nacos_timer_seconds_(count|sum|max)",
        "it appears with the first such event",
        "name",
        "notifyRt|dumpRt|(read|write)Config(Rpc)?Rt|lockHandlerRt",
    ),
    KnownMetrics(
        "nacos_monitor", "it appears when a client of that module connects", "module", "cluster|internal|lock|ai"
    ),
    KnownMetrics("(config|service)_change_count", "it appears with the first change, and is rebuilt every 30 seconds"),
    KnownMetrics("grpc_server_requests_seconds_(count|sum|max)", "it appears with the first request"),
    KnownMetrics(
        "grpc_server_requests_seconds_(count|sum|max)",
        "it appears with the first such request",
        "errorCode",
    ),
    KnownMetrics("grpc_server_requests_seconds_(count|sum|max)", "it appears with the first such request", "success"),
    KnownMetrics(
        "grpc_server_requests_seconds_(count|sum|max)", "it appears with the first such request", "requestClass"
    ),
    KnownMetrics(
        "grpc_server_requests_seconds_(count|sum|max)", "it appears with the first such request", "throwableClass"
    ),
    KnownMetrics("grpc_server_requests_seconds_(count|sum|max)", "it appears with the first such request", "module"),
    KnownMetrics("jvm_gc_pause_seconds_(count|sum|max)", "it appears with the first collection"),
    KnownMetrics(
        "jvm_gc_pause_seconds_(count|sum|max)",
        "it appears with the first such collection",
        "action",
        "end of (major|minor) GC( pause)?|end of (GC )?cycle|end of concurrent GC pause",
    ),
    KnownMetrics("jvm_gc_pause_seconds_(count|sum|max)", "it appears with the first such collection", "cause"),
    KnownMetrics("http_(server|client)_requests_seconds_(count|sum|max)", "it appears with the first request"),
    KnownMetrics("http_(server|client)_requests_seconds_.*", "it appears with the first such request", "status"),
    KnownMetrics(
        "http_(server|client)_requests_seconds_.*", "it appears with the first such request", "outcome", "[A-Z_]+"
    ),
    KnownMetrics("http_(server|client)_requests_seconds_.*", "it appears with the first such request", "uri"),
    KnownMetrics(
        "http_(server|client)_requests_seconds_.*", "it appears with the first such request", "method", "[A-Z]+"
    ),
    KnownMetrics("http_(server|client)_requests_seconds_.*", "it appears with the first such request", "exception"),
    KnownMetrics("http_(server|client)_requests_seconds_.*", "it appears with the first such request", "error"),
)

# What only some releases expose. A rule on it is correct, and never fires on the others.
RELEASES: Final = (
    KnownMetrics("(nacos_config_subscriber|nacos_naming_(subscriber|publisher))", "Nacos 2.2 and later"),
    KnownMetrics("(config|service)_change_count", "Nacos 2.2 and later"),
    KnownMetrics("nacos_monitor(_seconds)?_(count|sum|max)", "Nacos 2.2 to 2.5"),
    KnownMetrics("nacos_monitor_summary(_seconds)?_(count|sum|max)", "Nacos 3.0 and later"),
    KnownMetrics("grpc_server_executor", "Nacos 2.3.1 and later"),
    KnownMetrics("grpc_server_requests_seconds_(count|sum|max)", "Nacos 2.3.1 and later"),
    KnownMetrics(
        "nacos_monitor",
        "Nacos 2.0 and later",
        "name",
        "longConnection|notifyClientTask|subscriberCount|totalPush(Count|Cost)ForAvg|mysqlHealthCheck",
    ),
    KnownMetrics("nacos_monitor", "Nacos 1.x", "name", "mysqlhealthCheck"),
    KnownMetrics(
        "nacos_monitor",
        "Nacos 2.2 and later",
        "name",
        "fuzzySearch|emptyPush|service(Subscribed|Changed)EventQueueSize|pushPendingTaskCount",
    ),
    KnownMetrics("nacos_monitor", "Nacos 3.0 and later", "name", "grpc(Un)?Lock(Total|Success)|aliveLockCount"),
    KnownMetrics("nacos_monitor", "Nacos 2.3.1 and later", "module", "core"),
    KnownMetrics("nacos_monitor", "Nacos 3.0 and later", "module", "lock"),
    KnownMetrics("jvm_(memory_usage_after_gc|gc_overhead)_percent", "Micrometer 1.6 to 1.12 (Spring Boot 2.4 to 3.2)"),
    KnownMetrics("jvm_(memory_usage_after_gc|gc_overhead)", "Micrometer 1.13 and later (Spring Boot 3.3 and later)"),
    KnownMetrics("jvm_threads_started_threads_total", "Micrometer 1.12 and later"),
    KnownMetrics("process_cpu_time_ns_total", "Micrometer 1.13 and later"),
    KnownMetrics("jvm_info", "Spring Boot 3.0 and later"),
    KnownMetrics("jvm_compilation_time_ms_total", "Spring Boot 3.0 and later"),
    KnownMetrics("disk_(free|total)_bytes", "Spring Boot 2.6 and later"),
    KnownMetrics("application_(started|ready)_time_seconds", "Spring Boot 2.6 and later"),
    KnownMetrics("executor_.*", "Spring Boot 2.6 and later, with an executor bean"),
)

# What is exposed only with a setting, or never by some kind of application.
SETTINGS: Final = (
    KnownMetrics(
        "tomcat_(threads|connections|global|servlet|cache)_.*",
        "Spring Boot 2.2 and later expose it only with server.tomcat.mbeanregistry.enabled=true.",
    ),
    KnownMetrics(
        "(http_server_requests)_seconds_bucket",
        "Set management.metrics.distribution.percentiles-histogram.http.server.requests=true in the application, "
        "or use rate(..._sum[5m]) / rate(..._count[5m]).",
    ),
    KnownMetrics("jvm_threads_deadlocked(_threads)?", "Micrometer does not bind it by default."),
    KnownMetrics("hikaricp_.*", "It needs a Hikari DataSource that is a Spring bean."),
)


@dataclass(frozen=True, slots=True)
class NeverWritten:
    """A series that is exposed, or would be, and that nothing writes.

    `since`   the first release without any writer; (0, 0, 0): no release has one
    `rarely`  the first release in which it is written under `when` only; None: there is no such release
    """

    metrics: KnownMetrics
    since: Release = (0, 0, 0)
    rarely: Release | None = None
    when: str = ""
    instead: str = "Remove the rule."

    @property
    def reason(self) -> str:
        """Since when, and why."""
        if self.since == (0, 0, 0):
            return f"no release of Nacos {self.metrics.text}"
        major, minor, patch = self.since
        return f"Nacos {major}.{minor}.{patch} and later never {self.metrics.text}"


_OLD_RAFT: Final = "the cluster still has a member older than 1.4.0"
_RAFT_SERIES: Final = "Use rulepush_nacos_raft_leader_up, made of the list of servers (nacos_sd_configs, role: server)."
# Sources: MetricsMonitor.java of naming, config, core and lock, and who calls its getters, tags 1.3.2 to 3.0.3.
NEVER_WRITTEN: Final = (
    NeverWritten(
        KnownMetrics("nacos_monitor", "write it: it stays at 0", "name", "leaderStatus"),
        since=(2, 2, 0),
        rarely=(1, 4, 0),
        when=_OLD_RAFT,
        instead=_RAFT_SERIES,
    ),
    NeverWritten(
        KnownMetrics(
            "nacos_monitor(_summary)?_seconds_(count|sum|max)",
            "measures the Raft timers that it exposes: they stay at 0",
        ),
        instead="Remove the rule. rate(jvm_gc_pause_seconds_sum[5m]) and the disk of data/protocol/raft tell more.",
    ),
    NeverWritten(
        KnownMetrics("nacos_exception_total", "count anything under this name", "name", "disk"),
        since=(2, 2, 0),
        rarely=(1, 4, 0),
        when=_OLD_RAFT,
        instead="Watch the volume of nacos/data from outside (node_filesystem_avail_bytes, kubelet_volume_stats_*).",
    ),
    NeverWritten(
        KnownMetrics("nacos_exception_total", "count anything under this name", "name", "leaderSendBeatFailed"),
        since=(2, 2, 0),
        rarely=(1, 4, 0),
        when=_OLD_RAFT,
        instead=_RAFT_SERIES,
    ),
    NeverWritten(
        KnownMetrics(
            "nacos_exception_total",
            "counts anything under this name: nothing in its source increments it",
            "name",
            "unhealth",
        ),
        instead='Remove the rule. up and nacos_exception_total{name="configNotify"} tell of what is not reached.',
    ),
    NeverWritten(
        KnownMetrics("nacos_monitor", "writes it: it stays at 0", "name", "aliveLockCount"),
        instead='Use nacos_monitor{module="lock",name="grpcLockTotal"}.',
    ),
)

# What later releases count for a part of the requests only: (first such release, what it is about, what they count).
ONLY_PARTLY: Final = (
    (
        (3, 0, 0),
        KnownMetrics(
            "nacos_exception_total",
            "Nacos 3.x counts it for the v1 HTTP API of configurations only; v2, v3 and gRPC count nothing there",
            "name",
            "nacos|illegalArgument",
        ),
    ),
)

# These cannot exist on a Nacos server.
NOT_OF_NACOS: Final = (
    KnownMetrics(
        "hikaricp_.*", "Nacos builds its Hikari pool outside of Spring, so no release exposes hikaricp metrics"
    ),
)

# Wrong names that people use for metrics of Nacos. The text is what to use.
MEANT: Final = (
    KnownMetrics(
        "nacos_(monitor_)?(pushFailCount|push_fail.*)",
        'nacos_monitor{module="naming",name="failedPush"}',
    ),
    KnownMetrics(
        "nacos_service_registration_failure_total",
        'grpc_server_requests_seconds_count{requestClass="InstanceRequest",success="false"} (Nacos 2.3.1 and later)',
    ),
    KnownMetrics("nacos_(monitor_)?configLongPoll.*", 'nacos_monitor{module="config",name="longPolling"}'),
    KnownMetrics(
        "nacos_(server_|monitor_)?(grpc_)?connections?_count",
        'nacos_monitor{name="longConnection"} (Nacos 2.0 and later)',
    ),
    KnownMetrics(
        "nacos_raft_leader",
        "rulepush_nacos_raft_leader_up, which rulepush makes of the list of servers (nacos_sd_configs, role: server)",
    ),
    KnownMetrics(
        "nacos_(monitor_)?distro_.*",
        'grpc_server_requests_seconds_count{requestClass="DistroDataRequest",success="false"} (Nacos 2.3.1 and later)',
    ),
    KnownMetrics(
        "nacos_server_jvm_heap(Used|Max)", 'jvm_memory_used_bytes{area="heap"} and jvm_memory_max_bytes{area="heap"}'
    ),
    KnownMetrics(
        "nacos_(cluster_node_state|service_up|monitor_module_health)|nacos_config_last_successful_update_timestamp",
        'up{job="nacos"}',
    ),
    KnownMetrics(
        "nacos_((monitor_)?instanceCount|monitor_instanceCount|service_instance_count|discovery_instances"
        "|total_instance_count|unhealthy_instance_count|naming_health_(un)?healthyCount)",
        'nacos_monitor{module="naming",name="ipCount"}; the health of single instances is not exposed',
    ),
    KnownMetrics("nacos_naming_service_count", 'nacos_monitor{module="naming",name="serviceCount"}'),
    KnownMetrics("nacos_config_.*(fail|load|change_failure).*", 'nacos_exception_total{module="config"}'),
    KnownMetrics(
        "nacos_config_publish_total", 'nacos_monitor{module="config",name="publish"}, which counts all publications'
    ),
    KnownMetrics(
        "nacos_tps_.*",
        'grpc_server_requests_seconds_count{success="false"} by errorCode (Nacos 2.3.1 and later)',
    ),
    KnownMetrics(
        "nacos_discovery_duration_.*",
        "rate(grpc_server_requests_seconds_sum[5m]) / rate(grpc_server_requests_seconds_count[5m]) "
        "(Nacos 2.3.1 and later; there are no buckets)",
    ),
    KnownMetrics("jvm_threads_daemon", "jvm_threads_daemon_threads"),
    KnownMetrics("jvm_threads_current", "jvm_threads_live_threads"),
    KnownMetrics(
        "jvm_memory_bytes_(used|max|committed)",
        "jvm_memory_used_bytes, jvm_memory_max_bytes, jvm_memory_committed_bytes",
    ),
    KnownMetrics("jvm_gc_collection_seconds_(count|sum)", "jvm_gc_pause_seconds_count and _sum"),
    KnownMetrics("nacos_monitor", "longConnection", "name", "grpcConnectionCount|connectionCount|grpcConnections?"),
    KnownMetrics("nacos_monitor", "publish", "name", "configPublish|publishCount"),
    KnownMetrics("nacos_monitor", "serviceCount", "name", "domCount"),
    KnownMetrics("nacos_monitor", "failedPush", "name", "pushFail(ed)?(Count)?"),
    KnownMetrics("nacos_monitor", "ipCount", "name", "instanceCount"),
)


def find(rows: tuple[KnownMetrics, ...], metric: str, label: str = "", value: str = "") -> str:
    """The text of the first row that applies, "" when none does."""
    return next((row.text for row in rows if row.applies(metric, label, value)), "")


def never_written(metric: str, label: str = "", value: str = "") -> NeverWritten | None:
    """The first row that applies."""
    return next((row for row in NEVER_WRITTEN if row.metrics.applies(metric, label, value)), None)


def only_partly(release: Release, metric: str, label: str, value: str) -> str:
    """What this release still counts of it; "" when it counts all, or nothing is known."""
    return next((row.text for first, row in ONLY_PARTLY if release >= first and row.applies(metric, label, value)), "")


def is_nacos(metric_names: tuple[str, ...]) -> bool:
    """Whether one of the scraped targets is a Nacos server."""
    return "nacos_monitor" in metric_names


# From the newest to the oldest: what only these releases expose, the lowest and highest of them, their name.
_LATEST: Final = (99, 0, 0)
_SIGNS: Final = (
    ("nacos_monitor_summary_count", (3, 0, 0), _LATEST, "Nacos 3.x"),
    ("grpc_server_executor", (2, 3, 1), (2, 5, 99), "Nacos 2.3.1 to 2.5"),
    ("nacos_config_subscriber", (2, 2, 0), (2, 3, 0), "Nacos 2.2 or 2.3.0"),
)


def release_range(metric_names: frozenset[str], monitor_names: frozenset[str]) -> tuple[Release, Release, str] | None:
    """The releases that expose these metrics: the lowest, the highest, their common name; None when it is not Nacos.
    `monitor_names`: the values of `name` in nacos_monitor."""
    if "nacos_monitor" not in metric_names:
        return None
    for sign, low, high, name in _SIGNS:
        if sign in metric_names:
            return low, high, name
    if "longConnection" in monitor_names:
        return (2, 0, 0), (2, 1, 99), "Nacos 2.0 or 2.1"
    return (1, 0, 0), (1, 4, 99), "Nacos 1.x"
