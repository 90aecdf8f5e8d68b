"""The page of an alert in a browser: before it fires, while it does, and after it resolved."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest

from tests.browser.browser import DESK, PHONE, Browser, View
from tests.browser.stage import CHINESE, Stage
from tests.servers import wait_for

widths = pytest.mark.parametrize("width", [DESK, PHONE])


def link_of(stage: Stage, name: str) -> str:
    """Where the notification's link leads, on this machine: its host is a name that only the outside knows."""
    parts = urlsplit(stage.generator_url(name))
    return f"{stage.url}{parts.path}?{parts.query}"


@widths
def test_the_link_of_a_notification_leads_to_the_alert(browser: Browser, stage: Stage, width: int) -> None:
    browser.open(link_of(stage, "QueueLong"), View(width))
    assert "/alerts/" in browser.url
    assert browser.text("h1") == "firing QueueLong"
    text = browser.text("main")
    assert "mail has 250 jobs that wait, and nobody takes them" in text
    assert "now 250" in text
    assert "firing since" in text


def test_the_summary_comes_before_labels_and_value(browser: Browser, stage: Stage) -> None:
    browser.open(link_of(stage, "QueueLong"), View(PHONE))
    text = browser.text("main")
    assert text.index("nobody takes them") < text.index('queue="mail"') < text.index("Delivery")
    top = browser.run("return document.querySelector('.lead').getBoundingClientRect().bottom")
    assert top < 500, "it is seen on a phone without scrolling"


def test_the_value_is_drawn_against_its_threshold(browser: Browser, stage: Stage) -> None:
    browser.open(link_of(stage, "QueueLong"), View(scripts=False))
    assert browser.text("svg.chart text.threshold") == "> 100"
    line = browser.first("svg.chart path.line").rect
    threshold = browser.first("svg.chart line.threshold").rect
    assert line["y"] < threshold["y"], "250 is above 100"
    assert browser.all("svg.chart .band.firing") != []


def test_each_alertmanager_says_what_it_did_with_the_alert(browser: Browser, stage: Stage) -> None:
    def refused() -> list[str]:
        browser.open(link_of(stage, "QueueLong"))
        rows = browser.texts("table tbody tr")
        return [row for row in rows if stage.refusing.address in row and "not tried yet" not in row]

    (row,) = wait_for("the refusal", refused)
    assert "not yet" in row
    assert "no receiver matches <b>these</b> labels" in row
    rows = browser.texts("table tbody tr")
    (taken,) = [row for row in rows if stage.alertmanager.address in row]
    assert "200 accepted" in taken


def test_links_and_silences(browser: Browser, stage: Stage) -> None:
    browser.open(link_of(stage, "QueueLong"))
    links = browser.run("return [...document.querySelectorAll('main a')].map(e => e.href)")
    assert "https://runbooks.example/queue-long?queue=mail" in links
    assert "http://grafana.example/d/queues" in links
    silences = [link for link in links if "/#/silences/new" in link]
    assert len(silences) == 2, "one an Alertmanager"
    assert all("queue%3D%22mail%22" in link for link in silences)
    assert not [link for link in links if link.startswith("javascript:")]


def test_before_it_fires_it_says_when_it_will(browser: Browser, stage: Stage) -> None:
    browser.open(stage.page("/alerts", state="pending"), View(PHONE))
    pending = browser.run(
        "return [...document.querySelectorAll('main a[href*=\"/alerts/\"]')]"
        ".filter(e => e.textContent.includes('is at 250 jobs')).map(e => e.href)"
    )
    browser.open(pending[0], View(PHONE))
    assert browser.text("h1") == "pending QueueGrows"
    assert re.search(r"fires in 2h\d+m", browser.text("main"))


@widths
def test_after_it_resolved_its_page_is_still_there(browser: Browser, stage: Stage, width: int) -> None:
    browser.open(link_of(stage, "QueueRefuses"), View(width))
    assert browser.text("h1") == "resolved QueueRefuses"
    changes = [row for row in browser.texts("table tbody tr") if "→" in row]
    assert len(changes) == 2
    assert "firing" in changes[0]
    assert "no longer" in changes[0] or "is not any more" in changes[0] or "0" in changes[0]
    assert "inactive" in changes[1]


def test_an_alert_whose_target_is_down_is_held(browser: Browser, stage: Stage) -> None:
    browser.open(link_of(stage, "NodeFails"))
    assert browser.text("h1") == "firing NodeFails"
    assert "held: its target cannot be scraped" in browser.text("main")


def test_who_reads_chinese_gets_the_chinese_annotations(browser: Browser, stage: Stage) -> None:
    browser.open(link_of(stage, "QueueLong"), View(PHONE, "zh-CN"))
    assert browser.text(".lead").startswith(CHINESE)
    assert "nobody takes them" not in browser.text("main")


def test_markup_in_its_labels_is_text(browser: Browser, stage: Stage) -> None:
    browser.open(stage.page("/alerts", q="broken in"))
    browser.first('main a[href*="/alerts/"]').click()
    assert "broken in" in browser.text("main")
    assert "broken in" not in browser.run("return document.title")
    assert browser.run("return document.querySelectorAll('main script').length") == 0


def test_a_silence_has_the_labels_that_the_alertmanager_knows(browser: Browser, stage: Stage) -> None:
    browser.open(stage.page("/alerts", q="QueueLong"))
    links = browser.run("return [...document.querySelectorAll('main a')].map(e => e.href)")
    silences = [link for link in links if "/#/silences/new" in link]
    assert len(silences) == 2
    assert all("site%3D%22stage%22" in link for link in silences), "with the external labels"
