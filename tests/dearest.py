"""The files of tests that take longest, in the order in which workers should begin them.

pytest-xdist gives a worker whole files, and begins with those of many tests. What takes long has few of them as a rule,
and a worker that gets it last goes on for minutes while the others have nothing to do. What takes long and is not here
costs no more than that. Seconds are in the output of `pytest --durations=0 -vv`.
"""

from __future__ import annotations

from typing import Final

import pytest

DEAREST: Final = (
    "faults/test_replay_of_a_life.py",
    "faults/test_kills.py",
    "docs/test_getting_started.py",
    "rule_packs/test_life.py",
    "faults/test_state_files.py",
    "rule_packs/test_packs.py",
    "faults/test_datasource_trouble.py",
    "faults/test_clock_jumps.py",
    "e2e/test_datasources.py",
    "e2e/test_pushgateway_compat.py",
    "cli/test_terminal.py",
    "push/test_job_command.py",
    "e2e/test_native_histograms_vs_prometheus.py",
    "e2e/test_delivery_test_e2e.py",
    "promql/test_functions_range.py",
    "relay/test_render.py",
    "e2e/test_main_job.py",
    "e2e/test_dingtalk_e2e.py",
    "e2e/test_rule_shards.py",
    "scrape/test_fuzz.py",
    "promql/test_rows_in_step.py",
    "recorded/test_kill.py",
    "faults/test_discovery_trouble.py",
    "e2e/test_api_queries_vs_prometheus.py",
    "faults/test_reloading.py",
    "recorded/test_round_trip.py",
    "scrape/test_siblings.py",
    "scrape/test_changing_body.py",
    "e2e/test_api_status_vs_prometheus.py",
    "faults/test_alertmanager_trouble.py",
    "e2e/test_federation.py",
    "backtest/test_replay_is_live.py",
    "rules/test_cli.py",
    "e2e/test_check_datasource.py",
    "promql/test_churn_properties.py",
    "faults/test_outages.py",
    "e2e/test_jobs.py",
    "faults/test_stopping.py",
    "docs/test_getting_started_jobs.py",
    "livecheck/test_packs.py",
    "backtest/test_unit_test.py",
    "service/test_incomplete_answers.py",
    "docs/test_getting_started_spring_boot.py",
    "storage/test_journal.py",
    "site/test_backtest_page.py",
    "http_client/test_plain.py",
    "promql/test_windows_properties.py",
    "histogram/test_properties.py",
    "scrape/test_protobuf.py",
    "livecheck/test_choice.py",
    "e2e/test_histograms_vs_prometheus.py",
    "service/test_datasource_pages.py",
    "test_needs.py",
)


def begin_with_the_dearest(items: list[pytest.Item]) -> None:
    """Put the tests of these files before all others, which stay in their order."""
    places = {f"tests/{name}": place for place, name in enumerate(DEAREST)}
    items.sort(key=lambda item: places.get(item.nodeid.partition("::")[0], len(places)))
