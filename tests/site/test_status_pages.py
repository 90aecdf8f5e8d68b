"""The pages about the process: status, configuration, flags, samples in memory; and Prometheus' bookmarks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest

from rulepush.site.facts import DatabaseState, RecordingState, ReloadState, StorageState
from rulepush.site.formats import binary_size
from rulepush.site.paging import PAGE_ROWS, page_number, paged
from tests.rules.world import T0
from tests.site.reading import get, outline, read
from tests.web.app_parts import FACTS, Parts

STORAGE = StorageState(
    "/var/lib/rulepush", True, 5 << 30, (DatabaseState("alerts.db", 40_960, 0, 0),), journal_written=123_456
)


@pytest.fixture(scope="module")
def world() -> Parts:
    return Parts()


@pytest.fixture
def parts(world: Parts) -> Iterator[Parts]:
    yield world
    world.facts = FACTS


def test_status_shows_the_process_its_memory_and_its_load(parts: Parts) -> None:
    text = read(parts, "/status")
    assert "rulepush 1.2.3, Python 3.11.2" in text
    assert "Started 2023-11-14 21:13:20 UTC, 1h ago" in text
    assert "The process 60.0 MiB" in text
    assert "56,789 of 1,234 series, only what the rules need is kept." in text
    assert "rulepush_memory_bytes what grows with the work, by part: samples 3.0 MiB labels 4.9 KiB" in text
    assert "Load keeps up" in text
    assert "1,000,000 samples scraped, 25,000 of them kept" in text
    assert "Rules 5 Rule groups 1" in text
    assert "in memory only" in text
    assert "a restart forgets the states of alerts" in text


def test_status_shows_which_shard_of_the_rules_this_is(parts: Parts) -> None:
    parts.facts = replace(FACTS, rule_shard="2/5", groups_of_others=4)
    assert "Rule groups Shard 2/5, counted from 0: 1 of 5 groups." in read(parts, "/status")
    assert "分片 2/5" in outline(parts, "/status", headers={"Accept-Language": "zh"}).text


def test_status_shows_why_the_last_reload_failed(parts: Parts) -> None:
    problem = "/etc/prometheus.yml:3: <b>: no such key\n/etc/rules.yml:9: parse error"
    parts.facts = replace(FACTS, reload=ReloadState("/etc/prometheus.yml", T0 - 60_000, T0 - 30_000, problem))
    for path in ("/status", "/config"):
        text = read(parts, path)
        assert "last reload failed" in text
        assert "/etc/prometheus.yml:3: <b>: no such key /etc/rules.yml:9: parse error" in text
    assert "Failing since 2023-11-14 22:12:50 UTC" in read(parts, "/status")


@pytest.mark.parametrize(
    ("storage", "shown"),
    [
        (STORAGE, "Storage ok Directory /var/lib/rulepush Free 5.0 GiB alerts.db 40.0 KiB Samples written 123,456"),
        (replace(STORAGE, writable=False), "cannot be relied on Directory /var/lib/rulepush cannot be written"),
        (replace(STORAGE, databases=(DatabaseState("alerts.db", 1, 3, 2),)), "alerts.db 1 B, 3 failures since"),
        (replace(STORAGE, journal_failures=2, journal_lost=50), "2 failures since the start, 50 given up"),
        (STORAGE, "Samples written 123,456 Recording off"),
        (
            replace(STORAGE, recording=RecordingState(5 << 20, T0 - 60_000)),
            "Recording 5.0 MiB, since 2023-11-14 22:12:20 UTC",
        ),
        (
            replace(STORAGE, recording=RecordingState(5 << 20, None, T0 - 60_000, "no space left on device")),
            "Recording 5.0 MiB, stopped 1m15s ago no space left on device",
        ),
    ],
)
def test_status_shows_whether_the_storage_can_be_relied_on(parts: Parts, storage: StorageState, shown: str) -> None:
    parts.facts = replace(FACTS, storage=storage)
    text = read(parts, "/status")
    assert shown in text
    assert ("cannot be relied on" in text) is storage.failing


def test_status_shows_overload(parts: Parts) -> None:
    parts.facts = replace(FACTS, overload="3 left out and 9 done lately", scrapes_skipped=3, time_jumps=2)
    text = read(parts, "/status")
    assert "Load overloaded Scrapes 3 left out and 9 done lately" in text
    assert "3 scrapes left out" in text
    assert "Time jumps 2" in text


def test_the_configuration_is_shown_as_the_api_shows_it(parts: Parts) -> None:
    shown = get(parts, "/api/v1/status/config").json()["data"]["yaml"]
    assert shown.strip() in read(parts, "/config")
    assert "<secret>" in read(parts, "/config")
    assert "&lt;secret&gt;" in get(parts, "/config").text


def test_flags_are_shown_as_the_api_shows_them_and_can_be_looked_for(parts: Parts) -> None:
    for name, value in get(parts, "/api/v1/status/flags").json()["data"].items():
        assert f"--{name} {value}" in read(parts, "/flags")
    assert "--web.enable-lifecycle true" in read(parts, "/flags", text="LIFE")
    assert "No flag fits." in read(parts, "/flags", text="nothing")


def test_the_metrics_in_memory_are_listed_with_how_long_they_are_kept(parts: Parts) -> None:
    text = read(parts, "/tsdb-status")
    assert "the rules decide what is kept" in text
    assert re.search(r"queue_size 1 series 2 samples \d+ B 1d", text)
    assert "queue_size" not in read(parts, "/tsdb-status", text="other").partition("Filter")[2]


def test_every_page_about_the_process_leads_to_the_others(parts: Parts) -> None:
    paths = ["/status", "/config", "/flags", "/service-discovery", "/tsdb-status"]
    for path in paths:
        page = outline(parts, path)
        assert [link for link in page.links if link in paths and page.links.count(link) > 0][:1]
        assert set(paths) <= set(page.links)


# --- bookmarks


@pytest.mark.parametrize(
    ("bookmark", "leads_to"),
    [
        ("/alertmanager-discovery", "/delivery"),
        ("/new/targets?search=x", "/targets?search=x"),
        ("/classic/graph?g0.expr=up%20%3D%3D%200&g0.tab=1", "/graph?g0.expr=up%20%3D%3D%200&g0.tab=1"),
        ("/classic/service-discovery", "/service-discovery"),
        ("/new/alertmanager-discovery", "/delivery"),
        ("/new/", "/alerts"),
        ("/agent", "/status"),
    ],
)
@pytest.mark.parametrize("prefix", ["", "/rp"])
def test_a_bookmark_of_prometheus_leads_to_the_page(prefix: str, bookmark: str, leads_to: str) -> None:
    parts = Parts(prefix=prefix, jobs_wanted=(), rules="groups: []")
    answer = get(parts, prefix + bookmark, 302)
    assert answer.headers["location"] == prefix + leads_to
    get(parts, answer.headers["location"])


@pytest.mark.parametrize("path", ["/new//evil.example", "/new/%5C%5Cevil.example", "/classic/https:/evil.example"])
def test_a_bookmark_leads_nowhere_else(parts: Parts, path: str) -> None:
    assert get(parts, path, 302).headers["location"] == "/alerts"


@pytest.mark.parametrize(
    "path",
    ["config", "flags", "service-discovery", "status", "targets", "alerts", "graph", "query", "rules", "tsdb-status"],
)
@pytest.mark.parametrize("prefix", ["", "/rp"])
def test_the_pages_of_prometheus_are_at_their_addresses(prefix: str, path: str) -> None:
    """Source: prometheus web/web.go, oldUIReactRouterPaths, newUIReactRouterPaths and their siblings."""
    page = outline(Parts(prefix=prefix, jobs_wanted=(), rules="groups: []"), f"{prefix}/{path}")
    for link in page.links:
        if link.startswith("/"):
            assert link.startswith(f"{prefix}/"), link


# --- small parts


def test_a_page_that_is_not_there_is_the_nearest_one() -> None:
    rows = list(range(120))
    assert paged(rows, 3).rows == rows[100:]
    assert (paged(rows, 9).number, paged(rows, 0).number, paged([], 5).number) == (3, 1, 1)
    assert (paged([], 1).first, paged([], 1).last, paged([], 1).pages) == (0, 0, 1)
    assert [page_number(text) for text in ("", "2", "-1", "x", "\N{SUPERSCRIPT TWO}", "9" * 30)] == [1, 2, 1, 1, 1, 1]
    assert len(paged(rows, 1).rows) == PAGE_ROWS


@pytest.mark.parametrize(
    ("nbytes", "text"),
    [(0, "0 B"), (1_023, "1023 B"), (1_536, "1.5 KiB"), (5_000_000, "4.8 MiB"), (1 << 50, "1024.0 TiB")],
)
def test_a_size_is_short(nbytes: int, text: str) -> None:
    assert binary_size(nbytes) == text


def test_status_says_which_shard_of_the_targets_this_is(parts: Parts) -> None:
    assert "Shard" not in read(parts, "/status")
    parts.facts = replace(FACTS, targets=203, sharding="2/5", left_to_others=812)
    assert "Shard 2/5, counted from 0: 203 of 1,015 targets." in read(parts, "/status")
