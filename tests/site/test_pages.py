"""The pages for people."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser

import pytest

from tests.web.app_parts import Parts
from tests.web.asking import ask_app

VOID = {"meta", "br", "input", "link", "!doctype"}


class Outline(HTMLParser):
    """Checks that tags are balanced, and collects the text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""
        self.scripts = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.scripts += tag == "script"
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += f"{data} "


@pytest.fixture(scope="module")
def parts() -> Parts:
    return Parts()


def read(parts: Parts, path: str, **params: str) -> str:
    """The text of a page, which must be well-formed."""
    answer = ask_app(parts.routes(), "GET", path, params=params)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    outline = Outline()
    outline.feed(answer.text)
    assert outline.open == []
    assert outline.scripts == 1, "the frame's own"
    return " ".join(outline.text.split())


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


def test_rules_show_health_errors_and_ages(parts: Parts) -> None:
    text = read(parts, "/rules")
    assert "queues r.yml, every 30s" in text
    assert 'team="x"' in text
    assert "0s ago" in text
    assert "found duplicate series" in text


def test_targets_show_each_job_and_what_was_dropped(parts: Parts) -> None:
    text = read(parts, "/targets")
    assert "app 1 of 1 up" in text
    assert "dead 0 of 1 up" in text
    assert "connection refused" in text
    assert "1 dropped by relabelling" in text
    assert '__address__="gone:1"' in text


def test_a_query_shows_its_rows(parts: Parts) -> None:
    text = read(parts, "/graph", **{"g0.expr": 'queue_size{q="a<b>"}'})
    assert "1 row, 2023-11-14 22:13:35 UTC" in text
    assert 'queue_size{instance="app:1", job="app", q="a<b>"} 7 ' in text
    assert "7 @1700000" in read(parts, "/query", expr="queue_size[1m]")
    assert "hello" in read(parts, "/graph", expr='"hello"')
    assert "Empty result." in read(parts, "/graph", expr="queue_size > 9")
    assert "Execute" in read(parts, "/graph")


def test_a_query_shows_errors_and_warnings(parts: Parts) -> None:
    assert "parse error" in read(parts, "/graph", expr="queue_size +")
    assert "found duplicate series" in read(parts, "/graph", expr="up + on() up")
    assert "might not be a counter" in read(parts, "/graph", expr="rate(queue_size[1m])")


def test_status_shows_the_configuration_and_a_failed_reload(parts: Parts) -> None:
    text = read(parts, "/status")
    assert "last attempt good" in text
    assert "scrape_configs: <secret>" in text
    assert "--web.enable-lifecycle true" in text
    assert "http://am:9093/api/v2/alerts" in text
    parts.status = replace(parts.status, reload_successful=False, dropped_alertmanagers=("http://x",))
    text = read(parts, "/status")
    assert "failed, the one below is still in effect" in text
    assert "Dropped Alertmanager http://x" in text


def test_without_rules_and_jobs_the_pages_say_so() -> None:
    empty = Parts(jobs_wanted=(), rules="groups: []")
    assert "No alerting rules." in read(empty, "/alerts")
    assert "No rules are configured." in read(empty, "/rules")
    assert "No jobs are configured." in read(empty, "/targets")
