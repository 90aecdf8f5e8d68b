"""What is known of the metrics of Nacos and Micrometer beyond what one scrape shows.

Gathered from the sources of Nacos 1.0 to 3.1 and of Micrometer. The tables are literal: a new release is a new row.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Named:
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


# Series that are created by the first event they count. Their absence is no mistake.
LAZY: Final = (
    Named("nacos_exception_total", "it appears with the first exception"),
    Named("nacos_exception_total", "it appears with the first such exception", "name", "db|configNotify|disk|nacos"),
    Named("nacos_exception_total", "it appears with the first such exception", "name", "illegalArgument|unhealth"),
    Named("nacos_exception_total", "it appears with the first such exception", "name", "leaderSendBeatFailed"),
    Named("nacos_exception_total", "it appears with the first such exception", "module", "config|naming"),
    Named("nacos_timer_seconds_(count|sum|max)", "it appears with the first event"),
    Named(
        "nacos_timer_seconds_(count|sum|max)",
        "it appears with the first such event",
        "name",
        "notifyRt|dumpRt|readConfigRt|writeConfigRt|lockHandlerRt",
    ),
    Named("nacos_monitor", "it appears when a client of that module connects", "module", "cluster|internal|lock|ai"),
    Named("(config|service)_change_count", "it appears with the first change, and is built anew every 30 seconds"),
    Named("grpc_server_requests_seconds_(count|sum|max)", "it appears with the first request"),
    Named(
        "grpc_server_requests_seconds_(count|sum|max)",
        "it appears with the first such request",
        "errorCode",
    ),
    Named("grpc_server_requests_seconds_(count|sum|max)", "it appears with the first such request", "success"),
    Named("grpc_server_requests_seconds_(count|sum|max)", "it appears with the first such request", "requestClass"),
    Named("grpc_server_requests_seconds_(count|sum|max)", "it appears with the first such request", "throwableClass"),
    Named("grpc_server_requests_seconds_(count|sum|max)", "it appears with the first such request", "module"),
    Named("jvm_gc_pause_seconds_(count|sum|max)", "it appears with the first collection"),
    Named(
        "jvm_gc_pause_seconds_(count|sum|max)",
        "it appears with the first such collection",
        "action",
        "end of (major|minor) GC( pause)?|end of (GC )?cycle|end of concurrent GC pause",
    ),
    Named("jvm_gc_pause_seconds_(count|sum|max)", "it appears with the first such collection", "cause"),
    Named("http_(server|client)_requests_seconds_(count|sum|max)", "it appears with the first request"),
    Named("http_(server|client)_requests_seconds_.*", "it appears with the first such request", "status"),
    Named("http_(server|client)_requests_seconds_.*", "it appears with the first such request", "outcome", "[A-Z_]+"),
    Named("http_(server|client)_requests_seconds_.*", "it appears with the first such request", "uri"),
    Named("http_(server|client)_requests_seconds_.*", "it appears with the first such request", "method", "[A-Z]+"),
    Named("http_(server|client)_requests_seconds_.*", "it appears with the first such request", "exception"),
    Named("http_(server|client)_requests_seconds_.*", "it appears with the first such request", "error"),
)

# What only some releases expose. A rule on it is right, and silent on the others.
RELEASES: Final = (
    Named("(nacos_config_subscriber|nacos_naming_(subscriber|publisher))", "Nacos 2.2 and later"),
    Named("(config|service)_change_count", "Nacos 2.2 and later"),
    Named("nacos_monitor(_seconds)?_(count|sum|max)", "Nacos 2.2 to 2.5"),
    Named("nacos_monitor_summary(_seconds)?_(count|sum|max)", "Nacos 3.0 and later"),
    Named("grpc_server_executor", "Nacos 2.3.1 and later"),
    Named("grpc_server_requests_seconds_(count|sum|max)", "Nacos 2.3.1 and later"),
    Named(
        "nacos_monitor",
        "Nacos 2.0 and later",
        "name",
        "longConnection|notifyClientTask|subscriberCount|totalPush(Count|Cost)ForAvg|mysqlHealthCheck",
    ),
    Named("nacos_monitor", "Nacos 1.x", "name", "mysqlhealthCheck"),
    Named(
        "nacos_monitor",
        "Nacos 2.2 and later",
        "name",
        "fuzzySearch|emptyPush|service(Subscribed|Changed)EventQueueSize|pushPendingTaskCount",
    ),
    Named("nacos_monitor", "Nacos 3.0 and later", "name", "grpc(Un)?Lock(Total|Success)|aliveLockCount"),
    Named("nacos_monitor", "Nacos 2.3.1 and later", "module", "core"),
    Named("nacos_monitor", "Nacos 3.0 and later", "module", "lock"),
    Named("jvm_(memory_usage_after_gc|gc_overhead)_percent", "Micrometer 1.6 to 1.12 (Spring Boot 2.4 to 3.2)"),
    Named("jvm_(memory_usage_after_gc|gc_overhead)", "Micrometer 1.13 and later (Spring Boot 3.3 and later)"),
    Named("jvm_threads_started_threads_total", "Micrometer 1.12 and later"),
    Named("process_cpu_time_ns_total", "Micrometer 1.13 and later"),
    Named("jvm_info", "Spring Boot 2.7 and later"),
    Named("jvm_compilation_time_ms_total", "Spring Boot 3.0 and later"),
    Named("disk_(free|total)_bytes", "Spring Boot 2.6 and later"),
    Named("application_(started|ready)_time_seconds", "Spring Boot 2.6 and later"),
    Named("executor_.*", "Spring Boot 2.6 and later, with an executor bean"),
)

# What is exposed only with a setting, or never by some kind of application.
SETTINGS: Final = (
    Named(
        "tomcat_(threads|connections|global|servlet|cache)_.*",
        "Spring Boot 2.2 and later expose it only with server.tomcat.mbeanregistry.enabled=true.",
    ),
    Named(
        "(http_server_requests)_seconds_bucket",
        "Set management.metrics.distribution.percentiles-histogram.http.server.requests=true in the application, "
        "or use rate(..._sum[5m]) / rate(..._count[5m]).",
    ),
    Named("jvm_threads_deadlocked(_threads)?", "Micrometer does not bind it by default."),
    Named("hikaricp_.*", "It needs a Hikari DataSource that is a Spring bean."),
)

# What counts nothing in any release, or in these: a rule on it can never fire.
NEVER_COUNTED: Final = (
    Named(
        "nacos_exception_total",
        "no release of Nacos counts anything under this name: nothing in its source increments it",
        "name",
        "unhealth",
    ),
)

# On a server that looks like Nacos, these can never be.
NOT_OF_NACOS: Final = (
    Named("hikaricp_.*", "Nacos builds its Hikari pool outside of Spring, so no release exposes hikaricp metrics"),
)

# What people write for what Nacos calls otherwise. The text is what to use.
MEANT: Final = (
    Named(
        "nacos_(monitor_)?(pushFailCount|push_fail.*)",
        'nacos_monitor{module="naming",name="failedPush"}',
    ),
    Named(
        "nacos_service_registration_failure_total",
        'grpc_server_requests_seconds_count{requestClass="InstanceRequest",success="false"} (Nacos 2.3.1 and later)',
    ),
    Named("nacos_(monitor_)?configLongPoll.*", 'nacos_monitor{module="config",name="longPolling"}'),
    Named(
        "nacos_(server_|monitor_)?(grpc_)?connections?_count",
        'nacos_monitor{name="longConnection"} (Nacos 2.0 and later)',
    ),
    Named("nacos_raft_leader", 'nacos_monitor{module="naming",name="leaderStatus"}'),
    Named(
        "nacos_(monitor_)?distro_.*",
        'grpc_server_requests_seconds_count{requestClass="DistroDataRequest",success="false"} (Nacos 2.3.1 and later)',
    ),
    Named(
        "nacos_server_jvm_heap(Used|Max)", 'jvm_memory_used_bytes{area="heap"} and jvm_memory_max_bytes{area="heap"}'
    ),
    Named(
        "nacos_(cluster_node_state|service_up|monitor_module_health)|nacos_config_last_successful_update_timestamp",
        'up{job="nacos"}',
    ),
    Named(
        "nacos_((monitor_)?instanceCount|monitor_instanceCount|service_instance_count|discovery_instances"
        "|total_instance_count|unhealthy_instance_count|naming_health_(un)?healthyCount)",
        'nacos_monitor{module="naming",name="ipCount"}; the health of single instances is not exposed',
    ),
    Named("nacos_naming_service_count", 'nacos_monitor{module="naming",name="serviceCount"}'),
    Named("nacos_config_.*(fail|load|change_failure).*", 'nacos_exception_total{module="config"}'),
    Named("nacos_config_publish_total", 'nacos_monitor{module="config",name="publish"}, which counts all publications'),
    Named(
        "nacos_tps_.*",
        'grpc_server_requests_seconds_count{success="false"} by errorCode (Nacos 2.3.1 and later)',
    ),
    Named(
        "nacos_discovery_duration_.*",
        "rate(grpc_server_requests_seconds_sum[5m]) / rate(grpc_server_requests_seconds_count[5m]) "
        "(Nacos 2.3.1 and later; there are no buckets)",
    ),
    Named("jvm_threads_daemon", "jvm_threads_daemon_threads"),
    Named("jvm_threads_current", "jvm_threads_live_threads"),
    Named(
        "jvm_memory_bytes_(used|max|committed)",
        "jvm_memory_used_bytes, jvm_memory_max_bytes, jvm_memory_committed_bytes",
    ),
    Named("jvm_gc_collection_seconds_(count|sum)", "jvm_gc_pause_seconds_count and _sum"),
    Named("nacos_monitor", "longConnection", "name", "grpcConnectionCount|connectionCount|grpcConnections?"),
    Named("nacos_monitor", "publish", "name", "configPublish|publishCount"),
    Named("nacos_monitor", "serviceCount", "name", "domCount"),
    Named("nacos_monitor", "failedPush", "name", "pushFail(ed)?(Count)?"),
    Named("nacos_monitor", "ipCount", "name", "instanceCount"),
)


def find(rows: tuple[Named, ...], metric: str, label: str = "", value: str = "") -> str:
    """The text of the first row that applies, "" when none does."""
    return next((row.text for row in rows if row.applies(metric, label, value)), "")


def is_nacos(metric_names: tuple[str, ...]) -> bool:
    """Whether a Nacos server is among what was scraped."""
    return "nacos_monitor" in metric_names


def looks_like(metric_names: frozenset[str], monitor_names: frozenset[str]) -> str:
    """What kind of application exposes these metrics, "" when nothing is known. `monitor_names`: of nacos_monitor."""
    if "nacos_monitor" not in metric_names:
        return "a JVM with Micrometer" if "jvm_threads_live_threads" in metric_names else ""
    if "nacos_monitor_summary_count" in metric_names:
        return "Nacos 3.x"
    if "grpc_server_executor" in metric_names:
        return "Nacos 2.3.1 to 2.5"
    if "nacos_config_subscriber" in metric_names:
        return "Nacos 2.2 or 2.3.0"
    return "Nacos 2.0 or 2.1" if "longConnection" in monitor_names else "Nacos 1.x"
