"""Every number of a whole rulepush, read by the parser that everybody uses."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from rulepush.nacos.dialects import Member, RaftView
from rulepush.packs import pack
from rulepush.promql import parse_expr
from rulepush.rules.rulefmt import load_rule_files
from rulepush.service.app import App
from rulepush.service.options import ServiceOptions
from tests.fakes import FakeClock

CONFIG = """
global: {scrape_interval: 10s, evaluation_interval: 10s}
rule_files: [rules.yml]
scrape_configs:
- {job_name: app, static_configs: [{targets: [app, down]}]}
alerting:
  alertmanagers:
  - {static_configs: [{targets: [am, amdown]}]}
remote_write: [{url: 'http://store/api/v1/write', name: store}]
pushgateways: [{url: 'http://gateway', jobs: [app]}]
heartbeats: [{url: 'http://hc/ping/tokentoken'}]
storage: {record: {}}
datasources:
- {name: central, url: 'http://user:hush@vm', rule_files: [far.yml], write_to: store}
"""
AWAY = """\
- {name: gone, url: 'http://vmdown', rule_files: [lost.yml]}
- {name: unused, url: 'http://vm'}
"""
FAR = "groups: [{name: NAME, rules: [{alert: Far, expr: m > 1}, {alert: Further, expr: m > 2}]}]\n"
RULES = """
groups:
- name: g
  rules:
  - {alert: Down, expr: up == 0}
  - {alert: Soon, expr: up == 0, for: 1h}
  - {record: broken, expr: m + on() up}
"""
NAMES = """
rulepush_build_info process_cpu_seconds_total process_resident_memory_bytes process_virtual_memory_bytes
process_start_time_seconds process_open_fds

rulepush_scrapes_total rulepush_scrape_failures_total rulepush_scrapes_skipped_total rulepush_overloaded
rulepush_scrape_lateness_seconds rulepush_scrape_seconds_total
rulepush_scraped_bytes_total rulepush_samples_scraped_total rulepush_samples_kept_total rulepush_samples_dropped_total
rulepush_samples_out_of_order_total rulepush_samples_duplicate_total rulepush_targets

rulepush_discovery_refreshes_total rulepush_discovery_failures_total rulepush_discovery_failing_sources
rulepush_discovery_failing_seconds rulepush_discovery_received_updates_total rulepush_discovery_updates_total
rulepush_discovery_discovered_targets rulepush_discovery_last_update_timestamp_seconds

rulepush_nacos_member_up rulepush_nacos_raft_leader_up rulepush_nacos_raft_leaders rulepush_nacos_raft_term

rulepush_head_series rulepush_head_samples rulepush_head_bytes rulepush_memory_bytes rulepush_time_jumps_total
rulepush_state_errors_total
rulepush_storage_writable
rulepush_journal_samples_total rulepush_journal_errors_total rulepush_journal_lost_samples_total

rulepush_rule_evaluations_total rulepush_rule_evaluation_failures_total rulepush_rule_group_iterations_total
rulepush_rule_group_iterations_missed_total rulepush_rule_evaluation_seconds_total
rulepush_rule_group_last_duration_seconds rulepush_rule_group_interval_seconds rulepush_rule_group_rules
rulepush_rule_group_last_evaluation_timestamp_seconds rulepush_alerts

rulepush_datasource_up rulepush_datasource_last_answer_timestamp_seconds rulepush_datasource_questions_total
rulepush_datasource_failures_total rulepush_datasource_requests_total rulepush_datasource_retries_total
rulepush_datasource_request_seconds_total

rulepush_notifications_sent_total rulepush_notifications_retried_total rulepush_notifications_rejected_total
rulepush_notifications_errors_total rulepush_outbox_alerts rulepush_outbox_oldest_seconds rulepush_alertmanagers
rulepush_notifications_dropped_total

rulepush_remote_storage_samples_total rulepush_remote_storage_retries_total
rulepush_remote_storage_refused_samples_total rulepush_remote_storage_lost_samples_total
rulepush_remote_storage_expired_samples_total rulepush_remote_storage_samples_pending
rulepush_remote_storage_buffer_bytes rulepush_remote_storage_highest_timestamp_seconds

rulepush_pushgateway_pushes_total rulepush_pushgateway_deletes_total rulepush_pushgateway_retries_total
rulepush_pushgateway_refused_total rulepush_pushgateway_groups_waiting

rulepush_heartbeats_total rulepush_heartbeat_withheld rulepush_heartbeat_last_success_timestamp_seconds
rulepush_heartbeat_interval_seconds

rulepush_recording_up rulepush_recording_bytes rulepush_recording_oldest_timestamp_seconds
rulepush_recording_samples_total rulepush_recording_blocks_total rulepush_recording_dropped_events_total
rulepush_recording_damaged_segments_total

rulepush_queries_total rulepush_query_failures_total rulepush_query_seconds_total
rulepush_recording_queries_total rulepush_recording_query_seconds_total

rulepush_config_last_reload_successful rulepush_config_last_reload_success_timestamp_seconds

rulepush_push_groups rulepush_pushes_total rulepush_push_deletes_total rulepush_pushes_refused_total
rulepush_push_groups_expired_total

rulepush_remote_write_requests_total rulepush_remote_write_refused_requests_total rulepush_remote_write_samples_total
rulepush_remote_write_samples_dropped_total rulepush_remote_write_refused_samples_total
rulepush_remote_write_histograms_total
"""
Numbers = dict[str, float]


def answer(request: httpx.Request) -> httpx.Response:
    if "down" in request.url.host:
        raise httpx.ConnectError("connection refused", request=request)
    if request.url.host == "vm":
        return httpx.Response(200, json={"status": "success", "data": {"resultType": "vector", "result": []}})
    if request.method != "GET":
        return httpx.Response(200)
    return httpx.Response(200, text="m 1\nunwanted 2\n", headers={"Content-Type": "text/plain"})


def numbers(app: App) -> Numbers:
    """By name and labels, as `name{a="b"}`."""
    found: Numbers = {}
    for family in text_string_to_metric_families(app.telemetry.render().decode()):
        for s in family.samples:
            labels = ",".join(f'{n}="{v}"' for n, v in sorted(s.labels.items()))
            key = f"{s.name}{{{labels}}}" if labels else s.name
            assert key not in found, key
            found[key] = s.value
    return found


def run(directory: Path, look: Callable[[App, FakeClock], object], config: str = CONFIG) -> None:
    """A whole service for 35 seconds of fake time; then `look`."""
    (directory / "prometheus.yml").write_text(config)
    (directory / "rules.yml").write_text(RULES)
    (directory / "far.yml").write_text(FAR.replace("NAME", "far"))
    (directory / "lost.yml").write_text(FAR.replace("NAME", "lost"))
    clock = FakeClock()
    options = ServiceOptions(
        str(directory / "prometheus.yml"), directory / "state", enable_remote_write=True, enable_push=True
    )

    async def main() -> None:
        app = App(options, clock, httpx.MockTransport(answer))
        task = asyncio.create_task(app.run())
        try:
            await clock.advance(35)
            look(app, clock)
        finally:
            app.stop("test")
            await asyncio.wait_for(task, 60)

    asyncio.run(main())


def test_what_a_whole_service_tells_of_itself(tmp_path: Path) -> None:
    def look(app: App, clock: FakeClock) -> None:
        n = numbers(app)
        group = f'rule_group="{tmp_path}/rules.yml;g"'
        assert n["rulepush_targets"] == 2
        assert n['rulepush_scrapes_skipped_total{reason="overload"}'] == n["rulepush_overloaded"] == 0
        assert n["rulepush_scrape_lateness_seconds"] == 0
        assert n["rulepush_scrapes_total"] == 2 * n["rulepush_scrape_failures_total"] >= 6
        assert n["rulepush_samples_kept_total"] == n["rulepush_samples_dropped_total"] >= 3
        assert n["rulepush_head_series"] > 3
        assert n['rulepush_memory_bytes{part="samples"}'] == n["rulepush_head_bytes"] > 0
        assert n['rulepush_memory_bytes{part="labels"}'] > 100 * n["rulepush_head_series"]
        assert n['rulepush_memory_bytes{part="derived_labels"}'] > 0
        assert n['rulepush_memory_bytes{part="lines"}'] > 0
        assert n["rulepush_state_errors_total"] == 0
        assert n["rulepush_recording_up"] == 1
        assert n["rulepush_recording_dropped_events_total"] == n["rulepush_recording_damaged_segments_total"] == 0
        assert n['rulepush_memory_bytes{part="recording"}'] > 0
        evaluations = n[f"rulepush_rule_evaluations_total{{{group}}}"]
        assert evaluations == 3 * n[f"rulepush_rule_group_iterations_total{{{group}}}"] >= 9
        assert n[f"rulepush_rule_evaluation_failures_total{{{group}}}"] == evaluations / 3
        assert n[f"rulepush_rule_group_rules{{{group}}}"] == 3
        last = n[f"rulepush_rule_group_last_evaluation_timestamp_seconds{{{group}}}"]
        assert clock.now() / 1000 - 15 < last <= clock.now() / 1000
        assert (n['rulepush_alerts{state="firing"}'], n['rulepush_alerts{state="pending"}']) == (1, 1)
        up, down = 'alertmanager="http://am/api/v2/alerts"', 'alertmanager="http://amdown/api/v2/alerts"'
        assert n["rulepush_alertmanagers"] == 2
        assert n[f"rulepush_notifications_sent_total{{{up}}}"] == 1
        assert n[f"rulepush_outbox_alerts{{{up}}}"] == n[f"rulepush_outbox_oldest_seconds{{{up}}}"] == 0
        assert n[f"rulepush_notifications_errors_total{{{down}}}"] > 1
        assert n[f"rulepush_outbox_alerts{{{down}}}"] == 1
        assert n[f"rulepush_outbox_oldest_seconds{{{down}}}"] > 20
        assert n["rulepush_push_groups"] == n["rulepush_pushes_total"] == n["rulepush_remote_write_samples_total"] == 0
        assert n["rulepush_config_last_reload_successful"] == 1
        assert n["rulepush_queries_total"] == 0
        assert n['rulepush_heartbeats_total{name="hc",outcome="sent"}'] == 1
        assert n['rulepush_heartbeat_withheld{name="hc"}'] == 0

    run(tmp_path, look)


def test_what_is_told_of_datasources(tmp_path: Path) -> None:
    def look(app: App, clock: FakeClock) -> None:
        n = {name: value for name, value in numbers(app).items() if name.startswith("rulepush_datasource")}

        def of(metric: str, name: str) -> float | None:
            return n.get(f'rulepush_datasource_{metric}{{datasource="{name}"}}')

        assert (of("up", "central"), of("up", "gone"), of("up", "unused")) == (1, 0, None)
        assert of("questions_total", "central") == of("requests_total", "central")
        assert (of("questions_total", "central") or 0) >= 4
        assert (of("failures_total", "central"), of("retries_total", "central")) == (0, 0)
        age = clock.now() / 1000 - (of("last_answer_timestamp_seconds", "central") or 0)
        assert 0 <= age < 15
        failed, requests = of("failures_total", "gone") or 0, of("requests_total", "gone") or 0
        assert requests > failed >= 2
        assert (of("retries_total", "gone") or 0) > 0
        assert (of("last_answer_timestamp_seconds", "gone"), of("questions_total", "unused")) == (0, 0)
        assert "hush" not in app.telemetry.render().decode()

    run(tmp_path, look, CONFIG + AWAY)


def test_what_the_list_of_nacos_servers_tells_is_shown(tmp_path: Path) -> None:
    raft = {"g": RaftView("10.0.0.1:7848", 3)}
    members = tuple(Member(f"10.0.0.{i}", 8848, s, "2.4.3", 7848, raft) for i, s in ((1, "DOWN"), (2, "UP")))

    def look(app: App, clock: FakeClock) -> None:
        assert not any("rulepush_nacos" in name for name in numbers(app))
        app.resources.discoveries.nacos_members["http://n/nacos"] = members
        n = numbers(app)
        assert n['rulepush_nacos_member_up{member="10.0.0.1:8848",nacos="http://n/nacos"}'] == 0
        assert n['rulepush_nacos_member_up{member="10.0.0.2:8848",nacos="http://n/nacos"}'] == 1
        group = 'nacos="http://n/nacos",raft_group="g"'
        assert n[f"rulepush_nacos_raft_leader_up{{{group}}}"] == 0
        assert n[f"rulepush_nacos_raft_leaders{{{group}}}"] == 1
        assert n[f"rulepush_nacos_raft_term{{{group}}}"] == 3

    run(tmp_path, look)


def test_the_metrics_that_dashboards_and_rules_know_are_all_there(tmp_path: Path) -> None:
    def look(app: App, clock: FakeClock) -> None:
        shown = re.findall(r"^# TYPE (\S+) ", app.telemetry.render().decode(), re.MULTILINE)
        assert shown == NAMES.split()

    run(tmp_path, look)


def test_names_follow_the_conventions_and_every_metric_has_its_help(tmp_path: Path) -> None:
    def look(app: App, clock: FakeClock) -> None:
        families = list(text_string_to_metric_families(app.telemetry.render().decode()))
        assert len({family.name for family in families}) == len(families) > 40
        for family in families:
            assert re.fullmatch(r"(rulepush|process)_[a-z_]+", family.name)
            assert family.documentation.endswith("."), family.name
            assert family.type in ("counter", "gauge")

    run(tmp_path, look)


def test_the_pack_for_rulepush_itself_reads_metrics_that_there_are(tmp_path: Path) -> None:
    read = {
        matcher.value
        for group in load_rule_files([str(pack("self"))])
        for rule in group.rules
        for use in parse_expr(str(rule.query)).selectors()
        for matcher in use.matchers
        if matcher.name == "__name__" and matcher.value.startswith(("rulepush_", "process_"))
    }
    assert read

    def look(app: App, clock: FakeClock) -> None:
        exposed = {s.name for f in text_string_to_metric_families(app.telemetry.render().decode()) for s in f.samples}
        lazy = {name for name in read - exposed if not name.startswith("rulepush_discovery")}
        assert lazy == set()

    run(tmp_path, look)


def test_without_an_error_every_reading_is_a_number(tmp_path: Path) -> None:
    def look(app: App, clock: FakeClock) -> None:
        assert all(value == value for value in numbers(app).values())

    run(tmp_path, look)


@pytest.mark.parametrize("name", ["nacos", "jvm", "spring-boot", "jobs", "self"])
def test_the_packs_are_found(name: str) -> None:
    assert load_rule_files([str(pack(name))])
