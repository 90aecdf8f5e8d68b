"""The pages of deliveries and of pushed groups."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from rulepush.delivery import DeliveryStatus, HeartbeatState, HeartbeatStatus, ReceiverKind, Refusal
from rulepush.push.bodies import parse_push_text
from rulepush.push.groups import PushedGroups
from rulepush.push.url import GroupKey
from rulepush.site.group_views import group_list
from tests.push.fixtures import MemoryStore
from tests.site.reading import get, outline, read
from tests.web.app_parts import Parts

EVIL = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def world() -> Parts:
    return Parts()


@pytest.fixture
def parts(world: Parts) -> Iterator[Parts]:
    yield world
    world.deliveries, world.heartbeats, world.pushed = (), (), None


def status(parts: Parts, name: str, **state: Any) -> DeliveryStatus:
    """Of an Alertmanager that took ten alerts 5 s ago."""
    now = parts.clock.now()
    given = {"kind": ReceiverKind.ALERTMANAGER, "address": name, "accepted": 10, "last_success": now - 5_000, **state}
    return DeliveryStatus(name=name, **given)


def test_an_alertmanager_that_is_away_comes_first_with_what_waits_and_why(parts: Parts) -> None:
    now = parts.clock.now()
    away = status(
        parts,
        "http://away/api/v2/alerts",
        waiting=205,
        waiting_since=now - 700_000,
        failing_since=now - 720_000,
        tries=31,
        next_try=now + 12_000,
        last_error="not reached: connection refused: nothing listens at this address",
        last_error_at=now - 3_000,
        last_success=now - 721_000,
    )
    parts.deliveries = (status(parts, "http://fine/api/v2/alerts"), away)
    text = read(parts, "/delivery")
    assert text.index("http://away") < text.index("http://fine")
    assert "http://away/api/v2/alerts not delivered Failing since 2023-11-14 22:01:35 UTC, 12m ago" in text
    assert "31 tries failed in a row, the next one in 12s." in text
    assert "not reached: connection refused: nothing listens at this address" in text
    assert "Accepted 10 alerts Waiting 205 alerts, the oldest for 11m40s" in text
    assert "http://fine/api/v2/alerts ok Last success 5s ago Accepted 10 alerts Waiting 0 alerts" in text


def test_what_was_refused_is_named_with_the_answer_as_text(parts: Parts) -> None:
    now = parts.clock.now()
    refusal = Refusal(now - 60_000, f'{{alertname="{EVIL}"}}', f"HTTP status 400: {EVIL}")
    parts.deliveries = (status(parts, "http://fine"), status(parts, "http://am", refused=7, refusals=(refusal,)))
    assert "http://am refuses Last success" in read(parts, "/delivery")
    assert read(parts, "/delivery").index("http://am refuses") < read(parts, "/delivery").index("http://fine ok")
    parts.deliveries = (status(parts, "http://am", refused=7, refusals=(refusal,)),)
    page = outline(parts, "/delivery")
    assert f"Refused 7 alerts, the last 1m ago : HTTP status 400: {EVIL}" in page.text
    assert "What was refused last, and why Time What Answer 1m ago" in page.text
    assert "<script>alert" not in get(parts, "/delivery").text


def test_each_kind_of_receiver_has_its_section_and_its_unit(parts: Parts) -> None:
    write = status(
        parts, "far", kind=ReceiverKind.REMOTE_WRITE, address="http://far:9", waiting=3, waiting_bytes=1 << 20, lost=99
    )
    gate = status(parts, "gate", kind=ReceiverKind.PUSHGATEWAY, address="http://gate:9091", last_success=0, accepted=0)
    parts.deliveries = (status(parts, "http://am"), write, gate)
    text = read(parts, "/delivery")
    assert text.index("Alertmanagers") < text.index("Remote write") < text.index("Pushgateways")
    assert "far ok Address http://far:9" in text
    assert "Waiting 3 samples, 1.0 MiB on disk Lost 99 samples: the buffer was full, or they waited too long" in text
    assert "gate nothing sent yet Address http://gate:9091 Last success never Accepted 0 pushes" in text


def test_an_error_that_is_over_is_still_told(parts: Parts) -> None:
    now = parts.clock.now()
    parts.deliveries = (status(parts, "http://am", last_error="no answer within 10s", last_error_at=now - 90_000),)
    assert "http://am ok" in read(parts, "/delivery")
    assert "Last error 1m30s ago : no answer within 10s" in read(parts, "/delivery")


def test_without_an_alertmanager_the_page_says_so_and_names_those_that_were_dropped(parts: Parts) -> None:
    before = parts.status
    parts.status = replace(before, dropped_alertmanagers=("http://x/<b>",))
    text = read(parts, "/delivery")
    parts.status = before
    assert "No Alertmanager is configured: alerts are only logged." in text
    assert "Alertmanagers dropped by relabelling http://x/<b>" in text


def test_the_deliveries_in_chinese(parts: Parts) -> None:
    parts.deliveries = (status(parts, "http://am", waiting=2),)
    page = get(parts, "/delivery", headers={"Accept-Language": "zh"}).text
    assert "等待中" in page
    assert "2 条告警" in page


# --- pushed groups


def push(groups: PushedGroups, parts: Parts, body: str, ago: int, ttl: int | None = None, **labels: str) -> None:
    key: GroupKey = tuple(sorted(labels.items()))
    groups.push(key, parse_push_text(body.encode()), True, parts.clock.now() - ago, ttl)


def test_pushed_groups_show_lifetime_series_and_failures(parts: Parts) -> None:
    groups = parts.pushed = PushedGroups(MemoryStore(), default_ttl_ms=0)
    push(groups, parts, 'a{n="1"} 1\na{n="2"} 2\nb 1\n', 30_000, job="nightly", site="<b>")
    push(groups, parts, "a 1\n", 60_000, 120_000, job="limited")
    push(groups, parts, "a 1\n", 300_000, 120_000, job="stopped")
    groups.collect(parts.clock.now())
    text = read(parts, "/groups")
    assert "3 groups 4 series 1 expired" in text
    assert text.index('job="stopped"') < text.index('job="nightly"')
    assert 'ok job="nightly" site="<b>" 3 series 30s ago no limit' in text
    assert 'ok job="limited" 1 series 1m ago 2m, 1m left' in text
    assert 'expired job="stopped" 0 series 5m ago 2m, over for 3m' in text
    only = read(parts, "/groups", text="NIGHT")
    assert "1 to 1 of 1" in only
    assert 'job="limited"' not in only
    assert "No group fits." in read(parts, "/groups", text="x" * 20)


def test_a_group_whose_last_push_was_refused_says_so(parts: Parts) -> None:
    groups = parts.pushed = PushedGroups(MemoryStore(), max_series=1)
    push(groups, parts, "a 1\n", 30_000, job="j")
    with pytest.raises(Exception, match="more than its limit"):
        push(groups, parts, 'a{n="1"} 1\na{n="2"} 1\n', 10_000, job="j")
    text = read(parts, "/groups")
    assert "1 group 1 series 1 refused at the last push" in text
    assert 'refused job="j" 1 series 30s ago last refused 10s ago' in text


def test_the_groups_page_changes_nothing_and_has_no_form_that_does(parts: Parts) -> None:
    parts.pushed = PushedGroups(MemoryStore())
    push(parts.pushed, parts, "a 1\n", 0, job="j")
    assert 'method="post"' not in get(parts, "/groups").text.lower()
    assert len(parts.pushed) == 1


def test_a_closed_door_and_an_empty_room(parts: Parts) -> None:
    assert "--web.enable-push-receiver" in read(parts, "/groups")
    parts.pushed = PushedGroups(MemoryStore())
    assert "Nothing has been pushed." in read(parts, "/groups")


def test_many_groups_have_pages(parts: Parts) -> None:
    groups = PushedGroups(MemoryStore())
    for n in range(120):
        push(groups, parts, "a 1\n", 0, job="j", n=f"{n:03}")
    found = group_list(groups, parts.clock.now(), "", 3)
    assert (found.groups, found.rows.first, found.rows.last, found.rows.pages) == (120, 101, 120, 3)


def test_the_page_tells_of_heartbeats_and_why_one_is_withheld(parts: Parts) -> None:
    now = parts.clock.now()
    withheld = HeartbeatStatus(
        "hc",
        "https://hc-ping.com",
        60_000,
        HeartbeatState.WITHHELD,
        sent=12,
        failed=3,
        withheld=2,
        last_success=now - 120_000,
        since=now - 60_000,
        reason="http://am takes no alerts: not reached",
    )
    parts.heartbeats = (withheld, HeartbeatStatus("kuma", "http://kuma:3001", 30_000, HeartbeatState.BEATING))
    text = read(parts, "/delivery")
    assert "hc withheld Not all works, so it must not come: since 2023-11-14 22:12:35 UTC, 1m ago." in text
    assert "http://am takes no alerts: not reached Address https://hc-ping.com Interval 1m Last success 2m ago" in text
    assert "12 received, 3 tries failed, 2 withheld" in text
    assert "kuma ok Address http://kuma:3001 Interval 30s" in text
    parts.heartbeats = ()
    assert "Heartbeats" not in read(parts, "/delivery")
