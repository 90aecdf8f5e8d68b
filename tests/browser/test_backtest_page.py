"""The backtest page in a browser: a process that has recorded since the stage was set, seconds ago."""

from __future__ import annotations

import pytest
from selenium.webdriver.common.keys import Keys

from tests.browser.browser import DESK, PHONE, Browser, View
from tests.browser.stage import HOSTILE, Stage
from tests.servers import wait_for

LONG = {"group": "states", "rule": "QueueLong", "range": "1h"}


def tried(stage: Stage, **params: str) -> str:
    """The page of QueueLong with these fields."""
    return stage.page("/backtest", **{**LONG, **params})


@pytest.mark.parametrize("view", [View(DESK, scripts=False), View(PHONE, "zh-CN", dark=True, scripts=False)])
def test_a_lower_threshold_fires_for_more_without_scripts(browser: Browser, stage: Stage, view: View) -> None:
    browser.open(tried(stage, threshold="60"), view)
    lanes = browser.texts("figure.lane figcaption")
    assert ['queue="mail"' in lane or 'queue="print"' in lane for lane in lanes] == [True, True]
    assert len(browser.all("figure.lane .band.firing")) == 3, "mail in both versions, print in the edited one"
    chart, lane = browser.first("svg.chart").rect, browser.first("svg.lane").rect
    assert (chart["x"], chart["width"]) == (lane["x"], lane["width"]), "their times are the same"
    assert chart["width"] > view.width - 60
    assert browser.too_wide() == []
    assert browser.poor_contrasts() == []
    assert browser.console() == []


def test_the_fields_are_edited_and_tried_without_scripts(browser: Browser, stage: Stage) -> None:
    browser.open(tried(stage), View(PHONE, scripts=False))
    assert browser.text(".lead") == "The current rule fired once."
    browser.type("#threshold", "60")
    browser.type("#for", "1s")
    browser.first("form.backtest button").click()
    wait_for("the answer", lambda: "threshold=60" in browser.url)
    assert browser.text(".lead").startswith(
        "The current rule fired once, the edited one fired 2 times. 1 would have fired"
    )
    assert "expr: queue_jobs > 60\n  for: 1s" in browser.text("pre.yaml")
    assert browser.first("#threshold").get_attribute("value") == "60"


def test_an_edited_expression_moves_the_threshold_and_enter_tries_it(browser: Browser, stage: Stage) -> None:
    browser.open(tried(stage))
    browser.type("textarea", "queue_jobs > 1000")
    browser.key(Keys.ESCAPE)
    browser.key(Keys.ENTER)
    wait_for("the answer", lambda: "1000" in browser.url)
    assert browser.first("#threshold").get_attribute("value") == "1000"
    assert browser.text(".lead") == "The current rule fired once, the edited one did not fire. 1 would not have fired."
    assert browser.console() == []


def test_metrics_are_suggested_for_a_new_expression(browser: Browser, stage: Stage) -> None:
    browser.open(stage.page("/backtest"))
    browser.type("textarea", "queue_j")
    assert wait_for("suggestions", lambda: browser.texts(".suggestions li")) == ["queue_jobs"]
    assert browser.console() == []


def test_the_crosshair_shows_the_values_of_the_recording(browser: Browser, stage: Stage) -> None:
    browser.open(tried(stage))
    browser.hover("svg.chart", 0.9)
    assert "250 queue_jobs{" in browser.text(".readout")


def test_mistakes_stand_at_their_fields(browser: Browser, stage: Stage) -> None:
    browser.open(tried(stage, threshold="80%", **{"for": "soon"}), View(PHONE))
    for name, said in (("threshold", "'80%' is not a number"), ("for", "'soon' is not a duration")):
        field, fault = browser.first(f"#{name}"), browser.first(f"#{name}-fault")
        assert said in fault.text
        assert field.get_attribute("aria-describedby") == f"{name}-fault"
        assert fault.rect["y"] >= field.rect["y"] + field.rect["height"] - 1
    assert browser.too_wide() == []
    browser.open(tried(stage, expr="sum(queue_jobs) by bogus"), View(PHONE))
    assert browser.text(".placed mark") == "bogus"


def test_hostile_labels_are_text(browser: Browser, stage: Stage) -> None:
    browser.open(stage.page("/backtest", group="states", rule="Hostile", threshold="0.5", range="1h"))
    assert any(HOSTILE in text for text in browser.texts("figure.lane figcaption"))
    assert browser.run("return document.title") == "Backtest - rulepush"
    assert browser.console() == []


def test_of_a_crowd_the_longest_are_shown_and_the_rest_counted(browser: Browser, stage: Stage) -> None:
    browser.open(stage.page("/backtest", group="crowd", rule="Crowded", threshold="200", range="1h"))
    assert len(browser.all("figure.lane")) == 15
    assert "285 more are not" in browser.text("main")
    assert "10 of 300 series are drawn" in browser.text("main")


@pytest.mark.parametrize("width", [DESK, PHONE])
def test_the_page_of_a_rule_leads_here(browser: Browser, stage: Stage, width: int) -> None:
    browser.open(stage.page("/rules/states/QueueGrows"), View(width, scripts=False))
    browser.first('a[href*="/backtest?"]').click()
    assert browser.first("#for").get_attribute("value") == "3h"
    assert browser.text(".lead") == "The current rule did not fire."
    assert "2 were pending only" in browser.text("#pending summary")
