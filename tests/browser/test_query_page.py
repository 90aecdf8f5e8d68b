"""The query page in a browser."""

from __future__ import annotations

import pytest
from selenium.webdriver.common.keys import Keys

from tests.browser.browser import DESK, PHONE, Browser, View
from tests.browser.stage import Stage
from tests.servers import wait_for


def suggestions(browser: Browser, text: str) -> list[str]:
    """What is suggested when this is typed into the empty expression."""
    browser.type("textarea", text)
    return wait_for("suggestions", lambda: browser.texts(".suggestions li"))


def test_a_table_shows_each_series(browser: Browser, stage: Stage) -> None:
    browser.open(stage.page("/graph", **{"g0.expr": 'queue_jobs{queue="mail"}', "g0.tab": "1"}))
    (row,) = browser.texts("section table tbody tr")
    assert 'queue="mail"' in row
    assert row.endswith("250")


def test_the_expression_of_a_rule_leads_to_its_values(browser: Browser, stage: Stage) -> None:
    browser.open(stage.page("/rules", q="QueueLong"))
    browser.first(".rule a.expr").click()
    assert browser.first("textarea").get_attribute("value") == "queue_jobs > 100"
    assert "250" in browser.text("section table")


@pytest.mark.parametrize("width", [DESK, PHONE])
def test_an_error_shows_its_place_in_the_expression(browser: Browser, stage: Stage, width: int) -> None:
    browser.open(stage.page("/graph", **{"g0.expr": "sum(queue_jobs) by bogus"}), View(width))
    assert "parse error" in browser.text('[role="alert"]')
    assert browser.text(".placed mark") == "bogus"
    assert browser.text(".placed") == "sum(queue_jobs) by bogus"


def test_what_the_recording_lacks_is_said_in_words(browser: Browser, stage: Stage) -> None:
    browser.open(stage.page("/graph", **{"g0.expr": "no_such_metric offset 1d"}))
    assert "no_such_metric is read from" in browser.text(".box")
    assert "Empty result." in browser.text("section")


def test_enter_executes_and_keeps_the_range(browser: Browser, stage: Stage) -> None:
    browser.open(stage.page("/graph", **{"g0.expr": "", "g0.tab": "0", "g0.range_input": "10m"}))
    browser.type("textarea", "sum(queue_jobs)")
    browser.key(Keys.ENTER)
    wait_for("the result", lambda: "g0.expr=sum" in browser.url)
    assert "g0.range_input=10m" in browser.url
    assert wait_for("the last value", lambda: browser.texts(".lines td.n"))[0] == "320"


def test_metrics_and_functions_are_suggested_while_typing(browser: Browser, stage: Stage) -> None:
    browser.open(stage.page("/graph"))
    assert suggestions(browser, "queue_j") == ["queue_jobs"]
    assert "hostile" in suggestions(browser, "sum(host")
    assert "ratePromQL" in suggestions(browser, "ra")
    browser.type("textarea", "sum(queue_j")
    wait_for("suggestions", lambda: browser.texts(".suggestions li") == ["queue_jobs"])
    browser.key(Keys.ARROW_DOWN)
    browser.key(Keys.ENTER)
    assert browser.first("textarea").get_attribute("value") == "sum(queue_jobs"
    assert browser.texts(".suggestions li") == []
    assert browser.console() == []


def test_labels_and_their_values_are_suggested(browser: Browser, stage: Stage) -> None:
    browser.open(stage.page("/graph"))
    assert suggestions(browser, "queue_jobs{qu") == ["queue"]
    assert suggestions(browser, 'queue_jobs{queue="') == ["mail", "print"]
    assert suggestions(browser, 'queue_jobs{job="queues", queue=~"pr') == ["print"]
    assert suggestions(browser, "sum by (shar") == ["shard"]


def test_a_suggestion_that_is_markup_is_shown_as_text(browser: Browser, stage: Stage) -> None:
    browser.open(stage.page("/graph"))
    assert any("<script>" in text for text in suggestions(browser, 'hostile{text="<'))
    assert browser.run("return document.title") == "Query - rulepush"


def test_what_is_kept_of_a_metric_is_looked_up_without_scripts(browser: Browser, stage: Stage) -> None:
    browser.open(stage.page("/graph", metric="crowd"), View(scripts=False))
    (row,) = browser.texts("#kept tbody tr")
    assert row.startswith("crowd_level 300\ncrowd_level for 5m, since 20")


def test_an_old_link_keeps_its_time(browser: Browser, stage: Stage) -> None:
    link = {"g0.expr": "up", "g0.tab": "0", "g0.range_input": "30m", "g0.end_input": "2001-02-03 04:05"}
    browser.open(stage.page("/graph", **link))
    assert browser.first('[id="g0.end"]').get_attribute("value") == "2001-02-03 04:05:00"
    assert "Empty result." in browser.text("section")
    assert "is read from 2001-02-03T03:3" in browser.text(".box")


GRAPH = {"g0.expr": "queue_jobs", "g0.tab": "0", "g0.range_input": "1m", "g0.step_input": "1"}


@pytest.mark.parametrize("width", [DESK, PHONE])
def test_a_graph_is_drawn_and_its_figures_stand_below(browser: Browser, stage: Stage, width: int) -> None:
    browser.open(stage.page("/graph", **GRAPH), View(width, scripts=False))
    box = browser.first("svg.chart").size
    assert box["width"] > width - 60
    assert box["height"] > 200
    assert len(browser.all("svg.chart path.line")) == 2
    mail = next(row for row in browser.texts(".lines tbody tr") if 'queue="mail"' in row)
    assert mail.split()[-3:] == ["250", "250", "250"]


def test_the_values_of_a_graph_are_a_table_too(browser: Browser, stage: Stage) -> None:
    browser.open(stage.page("/graph", **GRAPH), View(PHONE, scripts=False))
    browser.first("#values0 summary").click()
    assert browser.texts("#values0 tbody tr")[0].endswith("UTC 250 70")
    assert browser.too_wide() == []


def test_a_crosshair_shows_the_values_under_the_pointer_and_for_the_arrow_keys(browser: Browser, stage: Stage) -> None:
    browser.open(stage.page("/graph", **GRAPH))
    browser.hover("svg.chart", 0.99)
    assert browser.text(".readout").splitlines()[0].endswith("UTC")
    assert "250 queue_jobs{" in browser.text(".readout")
    browser.run("document.querySelector('svg.chart').focus()")
    browser.key(Keys.ARROW_LEFT)
    first = browser.text(".readout")
    browser.key(Keys.ARROW_LEFT)
    assert browser.text(".readout") != first
    browser.key(Keys.ESCAPE)
    assert browser.all(".readout:not([hidden])") == []
    assert browser.console() == []


def test_of_many_series_it_says_how_many_are_not_shown(browser: Browser, stage: Stage) -> None:
    browser.open(stage.page("/graph", **{**GRAPH, "g0.expr": "crowd_level"}))
    assert "300 series, the first 30 shown, 270 more" in browser.text("section")
    assert len(browser.all("svg.chart path.line")) == 30
