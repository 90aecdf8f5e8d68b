"""What rulepush tells of itself at `/metrics`: one table, each row a name and where its number is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from rulepush.nacos.raft_state import RaftGroupState, is_up, raft_groups
from rulepush.notifier.sendloop import SendLoop
from rulepush.rules.group import EvaluationGroup
from rulepush.telemetry import MetricReading, Telemetry, single

if TYPE_CHECKING:
    from rulepush.forward.pushgateway import PushgatewayForwarder
    from rulepush.remote.sender import RemoteWriteSender
    from rulepush.service.app import App

Read = Callable[[], Iterable[MetricReading]]


def register(app: App) -> None:
    """Expose the numbers of this app."""
    telemetry = app.telemetry
    _scraping(telemetry, app)
    _storage(telemetry, app)
    _rules(telemetry, app)
    _notifications(telemetry, app)
    _outputs(telemetry, app)
    _queries(telemetry, app)
    _configuration(telemetry, app)


def _scraping(t: Telemetry, app: App) -> None:
    tally = app.jobs.tally
    t.counter("rulepush_scrapes", "Scrapes that took place.", single(lambda: tally.scrapes))
    t.counter("rulepush_scrape_failures", "Scrapes that failed.", single(lambda: tally.failed))
    t.counter(
        "rulepush_scrapes_skipped",
        "Scrapes left out, nothing is written of them: rulepush had too much to do (overload), the target hung for "
        "longer than its interval (slow_target), or the clock was set (time_jump).",
        lambda: [
            MetricReading(("overload",), tally.skipped_overloaded),
            MetricReading(("slow_target",), tally.skipped_slow_target),
            MetricReading(("time_jump",), tally.skipped_time_jump),
        ],
        ("reason",),
    )
    overload = app.jobs.overload
    t.gauge(
        "rulepush_overloaded",
        "Whether scrapes were left out within the last minute or two, for rulepush had too much to do.",
        single(lambda: float(overload.overloaded)),
    )
    t.gauge(
        "rulepush_scrape_lateness_seconds",
        "How long after its planned time the latest scrape of the last minute or two began.",
        single(lambda: overload.lateness_s),
    )
    t.counter("rulepush_scrape_seconds", "Time that scrapes took, with the fetch.", single(lambda: tally.seconds))
    t.counter("rulepush_scraped_bytes", "Bodies scraped, decompressed.", single(lambda: tally.body_bytes))
    t.counter("rulepush_samples_scraped", "Samples in scraped bodies.", single(lambda: tally.samples_scraped))
    t.counter("rulepush_samples_kept", "Scraped samples that a rule needs.", single(lambda: tally.samples_kept))
    t.counter(
        "rulepush_samples_dropped", "Scraped samples that no rule needs.", single(lambda: tally.samples_not_wanted)
    )
    t.counter(
        "rulepush_samples_out_of_order", "Scraped samples refused as out of order.", single(lambda: tally.out_of_order)
    )
    t.counter("rulepush_samples_duplicate", "Scraped samples that came twice.", single(lambda: tally.duplicates))
    t.gauge("rulepush_targets", "Targets that are scraped.", single(lambda: app.jobs.target_count))
    t.counter(
        "rulepush_discovery_refreshes",
        "Refreshes of discoveries, by mechanism.",
        lambda: [MetricReading((kind,), n) for kind, n in app.tally.refreshes.items()],
        ("mechanism",),
    )
    t.counter(
        "rulepush_discovery_failures",
        "Refreshes of discoveries that failed; the last good list stays.",
        lambda: [MetricReading((kind,), n) for kind, n in app.tally.failures.items()],
        ("mechanism",),
    )
    _nacos_clusters(t, app)


def _nacos_clusters(t: Telemetry, app: App) -> None:
    """What the list of servers says that Nacos' own metrics do not: for nacos_sd_configs with role: server."""

    def members() -> Iterable[MetricReading]:
        return [
            MetricReading((cluster, f"{member.ip}:{member.port}"), float(is_up(member)))
            for cluster, found in app.tally.nacos_members.items()
            for member in found
        ]

    def groups(number: Callable[[RaftGroupState], float]) -> Read:
        return lambda: [
            MetricReading((cluster, group), number(state))
            for cluster, found in app.tally.nacos_members.items()
            for group, state in raft_groups(found).items()
        ]

    group = ("nacos", "raft_group")
    t.gauge("rulepush_nacos_member_up", "Whether the server is UP for the one asked.", members, ("nacos", "member"))
    t.gauge(
        "rulepush_nacos_raft_leader_up",
        "Whether the leader of the newest term is a server that is UP.",
        groups(lambda state: float(state.leader_up)),
        group,
    )
    t.gauge(
        "rulepush_nacos_raft_leaders",
        "How many servers are named as the leader; more than one: they do not agree.",
        groups(lambda state: state.leaders),
        group,
    )
    t.gauge(
        "rulepush_nacos_raft_term", "The newest term; each election adds one.", groups(lambda state: state.term), group
    )


def _storage(t: Telemetry, app: App) -> None:
    head = app.head
    t.gauge("rulepush_head_series", "Series in memory.", single(lambda: head.series_count))
    t.gauge("rulepush_head_samples", "Samples in memory.", single(lambda: head.sample_count))
    t.gauge("rulepush_head_bytes", "Memory of the samples.", single(lambda: head.nbytes))
    t.counter(
        "rulepush_time_jumps",
        "Times that the clock was set, or the process stood still.",
        single(lambda: app.clock_watch.breaks),
    )
    t.counter(
        "rulepush_state_errors",
        "Failed reads and writes of the state databases.",
        single(lambda: sum(database.errors for database in app.state.all())),
    )
    journal = app.journal
    if journal is not None:
        t.counter("rulepush_journal_samples", "Samples written to the journal.", single(lambda: journal.tally.written))
        t.counter(
            "rulepush_journal_errors", "Writes of the journal that failed.", single(lambda: journal.tally.failures)
        )
        t.counter("rulepush_journal_lost_samples", "Samples the journal gave up.", single(lambda: journal.tally.lost))


def _rules(t: Telemetry, app: App) -> None:
    def each(number: Callable[[EvaluationGroup], float]) -> Read:
        return lambda: [MetricReading((f"{g.file};{g.name}",), number(g)) for g in app.groups.all()]

    group = ("rule_group",)
    t.counter("rulepush_rule_evaluations", "Rule evaluations.", each(lambda g: g.counters.evaluations), group)
    t.counter(
        "rulepush_rule_evaluation_failures", "Rule evaluations that failed.", each(lambda g: g.counters.failures), group
    )
    t.counter(
        "rulepush_rule_group_iterations",
        "Evaluations due, missed ones included.",
        each(lambda g: g.counters.iterations),
        group,
    )
    t.counter(
        "rulepush_rule_group_iterations_missed",
        "Evaluations left out: the group was late.",
        each(lambda g: g.counters.iterations_missed),
        group,
    )
    t.counter(
        "rulepush_rule_evaluation_seconds",
        "Time that evaluations took.",
        each(lambda g: g.counters.seconds_total),
        group,
    )
    t.gauge(
        "rulepush_rule_group_last_duration_seconds",
        "Time of the last evaluation.",
        each(lambda g: g.evaluation_seconds),
        group,
    )
    t.gauge(
        "rulepush_rule_group_interval_seconds", "Interval of the group.", each(lambda g: g.interval_ms / 1000), group
    )
    t.gauge("rulepush_rule_group_rules", "Rules of the group.", each(lambda g: len(g.rules)), group)
    t.gauge(
        "rulepush_rule_group_last_evaluation_timestamp_seconds",
        "When the group was last evaluated; 0 before the first time.",
        each(lambda g: (g.last_evaluation or 0) / 1000),
        group,
    )

    def alerts() -> Iterable[MetricReading]:
        active = app.groups.active_alerts()
        return [MetricReading((state,), sum(a.state.value == state for a in active)) for state in ("pending", "firing")]

    t.gauge("rulepush_alerts", "Pending and firing alerts.", alerts, ("state",))


def _notifications(t: Telemetry, app: App) -> None:
    def each(number: Callable[[SendLoop], float]) -> Read:
        return lambda: [MetricReading((loop.url,), number(loop)) for loop in app.notifier.loops]

    def oldest(loop: SendLoop) -> float:
        queued = loop.outbox.oldest()
        return 0.0 if queued is None else (app.clock.now() - queued) / 1000

    url = ("alertmanager",)
    t.counter("rulepush_notifications_sent", "Alerts accepted by the Alertmanager.", each(lambda s: s.counts.sent), url)
    t.counter(
        "rulepush_notifications_retried", "Alerts of batches sent again later.", each(lambda s: s.counts.retried), url
    )
    t.counter(
        "rulepush_notifications_rejected", "Alerts that it refused for good.", each(lambda s: s.counts.rejected), url
    )
    t.counter("rulepush_notifications_errors", "Attempts that failed.", each(lambda s: s.counts.errors), url)
    t.gauge("rulepush_outbox_alerts", "Alerts that wait to be accepted.", each(lambda s: len(s.outbox)), url)
    t.gauge("rulepush_outbox_oldest_seconds", "How long the oldest of them waits.", each(oldest), url)
    t.gauge("rulepush_alertmanagers", "Alertmanagers that alerts go to.", single(lambda: len(app.notifier.loops)))
    t.counter(
        "rulepush_notifications_dropped",
        "Alerts dropped by alert_relabel_configs.",
        single(lambda: app.notifier.dropped_by_relabel),
    )


def _outputs(t: Telemetry, app: App) -> None:
    def each(number: Callable[[RemoteWriteSender], float]) -> Read:
        return lambda: [MetricReading((sender.name,), number(sender)) for sender in app.outputs.senders]

    remote = ("remote_name",)
    t.counter(
        "rulepush_remote_storage_samples", "Samples that a remote write took.", each(lambda s: s.counts.sent), remote
    )
    t.counter("rulepush_remote_storage_retries", "Requests sent again.", each(lambda s: s.counts.retries), remote)
    t.counter(
        "rulepush_remote_storage_refused_samples", "Samples it refused.", each(lambda s: s.counts.refused), remote
    )
    t.counter(
        "rulepush_remote_storage_lost_samples", "Lost: the buffer was full.", each(lambda s: s.lost_samples), remote
    )
    t.counter("rulepush_remote_storage_expired_samples", "Given up: too old.", each(lambda s: s.counts.expired), remote)
    t.gauge(
        "rulepush_remote_storage_samples_pending",
        "Samples waiting in memory.",
        each(lambda s: s.pending_samples),
        remote,
    )
    t.gauge("rulepush_remote_storage_buffer_bytes", "Bytes waiting on disk.", each(lambda s: s.buffer_bytes), remote)
    t.gauge(
        "rulepush_remote_storage_highest_timestamp_seconds",
        "Time of the newest sample it took.",
        each(lambda s: s.newest_sent / 1000),
        remote,
    )

    def gateways(number: Callable[[PushgatewayForwarder], float]) -> Read:
        return lambda: [MetricReading((forwarder.name,), number(forwarder)) for forwarder in app.outputs.forwarders]

    name = ("pushgateway",)
    t.counter("rulepush_pushgateway_pushes", "Groups pushed.", gateways(lambda f: f.counts.pushed), name)
    t.counter("rulepush_pushgateway_deletes", "Groups deleted.", gateways(lambda f: f.counts.deleted), name)
    t.counter("rulepush_pushgateway_retries", "Pushes tried again.", gateways(lambda f: f.counts.retried), name)
    t.counter("rulepush_pushgateway_refused", "Pushes refused for good.", gateways(lambda f: f.counts.refused), name)
    t.gauge("rulepush_pushgateway_groups_waiting", "Groups not delivered yet.", gateways(lambda f: f.waiting), name)


def _queries(t: Telemetry, app: App) -> None:
    counts = app.queries.counts
    t.counter("rulepush_queries", "Queries of the API.", single(lambda: counts.queries))
    t.counter("rulepush_query_failures", "Of these, those that failed.", single(lambda: counts.failures))
    t.counter("rulepush_query_seconds", "Time they took, with the wait.", single(lambda: counts.seconds))


def _configuration(t: Telemetry, app: App) -> None:
    t.gauge(
        "rulepush_config_last_reload_successful",
        "Whether the last attempt to load the configuration was good.",
        single(lambda: float(app.last_reload_ok)),
    )
    t.gauge(
        "rulepush_config_last_reload_success_timestamp_seconds",
        "When the configuration in force was loaded.",
        single(lambda: app.last_reload_at / 1000),
    )
