"""What a target looks like, told by the names and labels of its series, and the rule packs that are for it. Pure.

Read from spring-projects/spring-boot (JvmMetricsAutoConfiguration, SystemMetricsAutoConfiguration,
StartupTimeMetricsListener, DefaultWebMvcTagsProvider, tags v2.1.18 to v4.1.1), spring-projects/spring-framework
(DefaultServerRequestObservationConvention) and micrometer-metrics/micrometer (binder/jvm, tags v1.1.19 to v1.17.1):

- Boot 2 gives `http_server_requests` the labels exception, method, outcome, status, uri. In Boot 3 it is an
  observation, and Micrometer's DefaultMeterObservationHandler adds `error` to each; `http_client_requests` likewise.
  Micronaut has no `outcome` there (micronaut-micrometer, WebMetricsHelper). Quarkus counts `jvm_info_total`
  (quarkusio/quarkus, JVMInfoBinder) and has Vert.x' `worker_pool_active` (VertxPoolMetrics).
- Boot 3 binds `jvm_info` and `jvm_compilation_time_ms_total`, Boot 2 does not.
- Boot 2.6 and later time their start: `application_started_time_seconds`, `application_ready_time_seconds`.

The name of the client library is in none of it: Micrometer 1.x on either of Prometheus' Java clients has these names.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from enum import Enum
from typing import Final

from rulepush.model.labels import METRIC_NAME
from rulepush.nacos.diagnose import METRICS


class TargetKind(Enum):
    """What can be told of a target, the most particular first. The value is its name in a report. A target has several:
    a Nacos server is a Spring Boot application too, and that is a JVM."""

    NACOS = "Nacos"
    SPRING_BOOT_2 = "Spring Boot 2"
    SPRING_BOOT_3 = "Spring Boot 3 or later"
    SPRING_BOOT = "Spring Boot"
    QUARKUS = "Quarkus"
    MICRONAUT = "Micronaut"
    MICROMETER_JVM = "a JVM with Micrometer"
    CLIENT_JAVA_JVM = "a JVM with Prometheus' own Java client or JMX exporter"
    NODE_EXPORTER = "node_exporter"
    RULEPUSH = "rulepush"
    GO = "a Go program"
    PYTHON = "a Python program"


_BOOT: Final = frozenset((TargetKind.SPRING_BOOT, TargetKind.SPRING_BOOT_2, TargetKind.SPRING_BOOT_3))
_REQUESTS: Final = frozenset(("http_server_requests_seconds_count", "http_server_requests_seconds_sum"))
_CALLS: Final = frozenset(("http_client_requests_seconds_count", "http_client_requests_seconds_sum"))
_OF_SPRING: Final = frozenset(("exception", "method", "outcome", "status", "uri"))
_STARTED: Final = frozenset(("application_started_time_seconds", "application_ready_time_seconds"))
_BOUND_BY_BOOT_3: Final = frozenset(("jvm_info", "jvm_compilation_time_ms_total"))
_MICROMETER: Final = frozenset(
    ("jvm_threads_live_threads", "jvm_memory_max_bytes", "jvm_gc_memory_allocated_bytes_total")
)
_CLIENT_JAVA: Final = frozenset(
    ("jvm_threads_current", "jvm_memory_bytes_used", "jvm_memory_objects_pending_finalization")
)
_QUARKUS: Final = frozenset(("jvm_info_total", "worker_pool_active"))
_SIGNS: Final = (
    ("node_exporter_build_info", TargetKind.NODE_EXPORTER),
    ("node_uname_info", TargetKind.NODE_EXPORTER),
    ("rulepush_build_info", TargetKind.RULEPUSH),
    ("go_info", TargetKind.GO),
    ("python_info", TargetKind.PYTHON),
)
_ON_A_JVM: Final = _BOOT | {TargetKind.QUARKUS, TargetKind.MICRONAUT}


def kinds_of(series: Iterable[Iterable[tuple[str, str]]], path: str = "") -> frozenset[TargetKind]:
    """What a target is, by the label pairs of its series (`__name__` among them) and the path they came from. Empty
    when nothing tells."""
    names: set[str] = set()
    requests: set[str] = set()
    calls: set[str] = set()
    for pairs in series:
        labels = dict(pairs)
        name = labels.get(METRIC_NAME, "")
        names.add(name)
        if name in _REQUESTS:
            requests |= labels.keys()
        elif name in _CALLS:
            calls |= labels.keys()
    found = {kind for sign, kind in _SIGNS if sign in names}
    nacos = "nacos_monitor" in names
    jvm = not _MICROMETER.isdisjoint(names)
    # Of a filtered body (includedNames) the path may be all that there is; other programs have no actuator.
    boot = nacos or not _STARTED.isdisjoint(names) or requests >= _OF_SPRING or (jvm and path.endswith(METRICS))
    if nacos:
        found.add(TargetKind.NACOS)
    if boot:
        found |= {TargetKind.SPRING_BOOT, *_boot_release(names, requests, calls)}
    elif jvm and not _QUARKUS.isdisjoint(names):
        found.add(TargetKind.QUARKUS)
    elif jvm and requests >= _OF_SPRING - {"outcome"}:
        found.add(TargetKind.MICRONAUT)
    if boot or jvm:
        found.add(TargetKind.MICROMETER_JVM)
    elif not _CLIENT_JAVA.isdisjoint(names):
        found.add(TargetKind.CLIENT_JAVA_JVM)
    return frozenset(found)


def _boot_release(names: Set[str], requests: Set[str], calls: Set[str]) -> Iterable[TargetKind]:
    """Nothing when the body does not tell."""
    if "error" in requests | calls:
        return (TargetKind.SPRING_BOOT_3,)
    if requests | calls:
        return (TargetKind.SPRING_BOOT_2,)
    if not _BOUND_BY_BOOT_3.isdisjoint(names):
        return (TargetKind.SPRING_BOOT_3,)
    return (TargetKind.SPRING_BOOT_2,) if names >= _MICROMETER else ()


def packs_for(kinds: Set[TargetKind]) -> tuple[str, ...]:
    """The rule packs for targets of these kinds, the most particular first. Empty where none is for them."""
    wanted = {
        "nacos": TargetKind.NACOS in kinds,
        "spring-boot": not _BOOT.isdisjoint(kinds),
        "jvm": TargetKind.MICROMETER_JVM in kinds,
        "self": TargetKind.RULEPUSH in kinds,
    }
    return tuple(name for name, is_wanted in wanted.items() if is_wanted)


def name_of_kinds(kinds: Set[TargetKind], release: str = "") -> str:
    """How a report names a target of these kinds, "" for none. `release`: the name of a Nacos server with its release,
    when it is known."""
    kind = next((kind for kind in TargetKind if kind in kinds), None)
    if kind is None:
        return ""
    if kind is TargetKind.NACOS:
        return release or kind.value
    return f"{kind.value} on a JVM" if kind in _ON_A_JVM else kind.value
