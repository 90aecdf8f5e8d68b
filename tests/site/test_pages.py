"""The pages for people."""

from __future__ import annotations

import re

import pytest

from tests.rules.world import World
from tests.site.reading import read
from tests.web.app_parts import RULES, Parts, job
from tests.web.asking import ask_app


@pytest.fixture(scope="module")
def parts() -> Parts:
    return Parts()


def test_alerts_show_what_fires_first_and_count(parts: Parts) -> None:
    text = read(parts, "/alerts")
    assert "1 firing, 1 pending" in text
    assert "1 cannot be evaluated : Broken" in text.replace(":", " :").replace("  ", " ")
    assert text.index("QueueLong") < text.index("Down"), "a page goes before an alert without severity"
    assert "fires in 30m" in text
    assert "1 rule without an alert Never queue_size > 1000000000" in text
    assert 'q="a<b>"' in text
    assert "a<b> is <long>" in text
    assert "many-to-many" in text or "found duplicate series" in text


def test_what_a_filter_leaves_is_shown_without_unfolding_it() -> None:
    five = job("app", *(f"host{i}:1" for i in range(5)))
    text = "groups: [{name: g, rules: [{alert: Up, expr: up >= 0}, {alert: Size, expr: queue_size > 0}]}]"
    parts = Parts(rules=text, jobs_wanted=(five,))

    def folds(**params: str) -> list[str]:
        page = ask_app(parts.routes(), "GET", "/alerts", params=params).text
        return re.findall(r'<details class="fold"[^>]*>', page)

    assert [fold.endswith(" open>") for fold in folds()] == [False, False]
    assert [fold.endswith(" open>") for fold in folds(state="firing")] == [True, True]
    assert [fold.endswith(" open>") for fold in folds(alertname="Up")] == [True]


def test_before_the_first_evaluation_the_alerts_page_is_not_green() -> None:
    fresh = Parts()
    fresh.world = World(RULES)
    text = read(fresh, "/alerts")
    assert "4 rules were not evaluated yet" in text
    assert "No alert is pending or firing" not in text
    calm = Parts(rules="groups: [{name: g, rules: [{alert: Calm, expr: up == 7}]}]")
    assert "No alert is pending or firing" in read(calm, "/alerts")


def test_rules_show_health_errors_and_ages(parts: Parts) -> None:
    text = read(parts, "/rules")
    assert "queues recording, 0.0 ms #" in text
    assert "queues 1 cannot be evaluated 1 firing 1 pending r.yml, every 30s, 5 rules, evaluated 0s ago" in text
    assert 'team="x"' in text
    assert "0s ago" in text
    assert "found duplicate series" in text


def test_a_query_shows_its_rows(parts: Parts) -> None:
    text = read(parts, "/graph", **{"g0.expr": 'queue_size{q="a<b>"}'})
    assert "1 series, 2023-11-14 22:13:35 UTC" in text
    assert 'queue_size{instance="app:1", job="app", q="a<b>"} 7 ' in text
    assert "7 @1700000" in read(parts, "/query", expr="queue_size[1m]")
    assert "hello" in read(parts, "/graph", expr='"hello"')
    assert "Empty result." in read(parts, "/graph", expr="queue_size > 9")
    assert "Execute" in read(parts, "/graph")


def test_a_query_shows_errors_and_warnings(parts: Parts) -> None:
    assert "parse error" in read(parts, "/graph", expr="queue_size +")
    assert "found duplicate series" in read(parts, "/graph", expr="up + on() up")
    assert "might not be a counter" in read(parts, "/graph", expr="rate(queue_size[1m])")


def test_without_rules_and_jobs_the_pages_say_so() -> None:
    empty = Parts(jobs_wanted=(), rules="groups: []")
    assert "No alerting rules." in read(empty, "/alerts")
    assert "No rules are configured." in read(empty, "/rules")
    assert "No jobs are configured." in read(empty, "/targets")
