"""Targets, service discovery, deliveries and pushed groups in a browser, on a desk and on a phone."""

from __future__ import annotations

import pytest

from tests.browser.browser import DESK, PHONE, Browser, View
from tests.browser.stage import Stage

every_width = pytest.mark.parametrize("width", [DESK, PHONE])


@every_width
def test_what_is_down_is_seen_first_with_what_to_do(browser: Browser, stage: Stage, width: int) -> None:
    browser.open(stage.page("/targets"), View(width))
    assert browser.text(".sum").split() == ["2", "up", "2", "down"]
    first, second, *_ = browser.texts("#targets .box")
    shown = f"{first} {second}"
    assert "Nothing listens there" in shown
    assert "A proxy answers, and the server behind it does not: is it running?" in shown


def test_the_filter_of_targets_is_in_the_address(browser: Browser, stage: Stage) -> None:
    browser.open(stage.page("/targets"))
    browser.type('input[name="text"]', "nothing has this")
    browser.first("form.filter button").click()
    browser.wait_until("return location.search.includes('text=nothing+has+this')")
    assert "No target fits." in browser.text("main")
    browser.open(stage.page("/targets", job="nodes", health="down"))
    assert browser.text("nav.pager") == "1 to 2 of 2"
    assert browser.first('select[name="job"]').get_attribute("value") == "nodes"


@every_width
def test_a_target_shows_what_relabelling_did_and_its_last_body_as_text(
    browser: Browser, stage: Stage, width: int
) -> None:
    browser.open(stage.page("/targets", job="queues"), View(width))
    browser.first("#targets td a").click()
    assert stage.queues.address in browser.text("h1")
    assert browser.too_wide() == []
    assert browser.poor_contrasts() == []
    assert "The job has no relabel_configs." in browser.text("main")
    browser.first('a[href^="/targets/body"]').click()
    assert browser.run("return document.contentType") == "text/plain"
    assert "<script>document.title" in browser.text("body")
    assert browser.run("return document.title") == ""
    browser.open(stage.page("/targets", job="nodes"), View(width))
    browser.first("#targets td a").click()
    steps = browser.texts("ol.steps li")
    assert len(steps) == 2
    assert "target_label: host" in steps[0]
    assert "host: 127.0.0.1" in steps[0]
    assert "changed nothing" in steps[1]
    assert browser.too_wide() == []


@every_width
def test_a_target_that_was_dropped_is_found_with_its_rule(browser: Browser, stage: Stage, width: int) -> None:
    browser.open(stage.page("/targets"), View(width))
    browser.type('input[name="text"]', "gone.example")
    browser.first("form.filter button").click()
    browser.first('a[href^="/service-discovery?text"]').click()
    (row,) = browser.texts("#found tbody tr")
    assert "dropped by rule 2" in row
    assert "regex: 'gone.*'" in row
    assert "gone.example:80" in row


@every_width
def test_deliveries_tell_the_one_that_refuses_from_the_one_that_takes(
    browser: Browser, stage: Stage, width: int
) -> None:
    browser.open(stage.page("/delivery"), View(width))
    refusing, taking = browser.texts("section.card")
    assert stage.refusing.address in refusing
    assert "refuses" in refusing
    assert stage.alertmanager.address in taking
    assert "Waiting\n0 alerts" in taking
    browser.first("section.card details summary").click()
    assert "no receiver matches <b>these</b> labels" in browser.text("section.card details table")
    assert browser.too_wide() == []


def test_pushed_groups_are_shown_and_nothing_can_be_done_to_them(browser: Browser, stage: Stage) -> None:
    browser.open(stage.page("/groups"))
    assert 'job="nightly"' in browser.text("table")
    assert "no limit" in browser.text("table")
    assert browser.run("return document.querySelectorAll('main form[method=post], main button').length") == 1


@pytest.mark.parametrize("bookmark", ["/new/targets", "/classic/status", "/alertmanager-discovery", "/tsdb-status"])
def test_bookmarks_of_prometheus_lead_to_a_page(browser: Browser, stage: Stage, bookmark: str) -> None:
    browser.open(stage.page(bookmark))
    assert browser.text("h1") in ("Targets", "Status", "Delivery", "Samples in memory")
