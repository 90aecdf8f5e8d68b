"""What holds for every page, on a desk and on a phone."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

import pytest

from tests.browser.browser import DESK, PHONE, Browser, View, names_of
from tests.browser.stage import CHINESE, HOSTILE, Stage

PAGES: Final = (
    "/alerts",
    "/rules",
    "/rules?fold=none",
    "/targets",
    "/targets?health=down",
    "/graph",
    "/graph?g0.expr=queue_jobs&g0.tab=0&g0.range_input=5m",
    "/graph?g0.expr=hostile&g0.tab=1",
    "/graph?g0.expr=sum(&g0.tab=1",
    "/backtest",
    "/backtest?group=states&rule=QueueLong&threshold=60&for=5s&range=1h",
    "/backtest?group=states&rule=Hostile&threshold=60&range=1h",
    "/backtest?expr=sum(&for=x",
    "/rules/states/QueueLong",
    "/rules/states/CannotBeEvaluated",
    "the alert QueueLong",
    "the alert Hostile",
    "/delivery",
    "/groups",
    "/status",
    "/config",
    "/flags",
    "/service-discovery",
    "/config",
    "/flags",
    "/service-discovery",
    "/tsdb-status",
)
VIEWS: Final = (View(DESK), View(PHONE), View(PHONE, dark=True), View(DESK, "zh-CN", dark=True), View(PHONE, "zh-CN"))
every_page = pytest.mark.parametrize("path", PAGES)
every_view = pytest.mark.parametrize("view", VIEWS, ids=lambda v: f"{v.width}-{v.language}{'-dark' if v.dark else ''}")


def url_of(stage: Stage, path: str) -> str:
    """Of a page; "the alert NAME" is where a notification of it leads."""
    name = path.removeprefix("the alert ")
    if name == path:
        return stage.url + path
    parts = urlsplit(stage.generator_url(name))
    return f"{stage.url}{parts.path}?{parts.query}"


@every_view
@every_page
def test_a_page_fits_and_can_be_read(browser: Browser, stage: Stage, path: str, view: View) -> None:
    browser.open(url_of(stage, path), view)
    assert browser.too_wide() == []
    assert browser.poor_contrasts() == []
    assert browser.narrow_texts("dd, td, li, p") == [], "a column of a few letters cannot be read"
    console = browser.console()
    assert console == [], names_of(console)


@every_page
def test_a_page_needs_no_script(browser: Browser, stage: Stage, path: str) -> None:
    browser.open(url_of(stage, path), View(PHONE, scripts=False))
    assert browser.text("h1")
    assert len(browser.text("main")) > 40


@every_page
def test_the_keyboard_leads_through_a_page_and_one_sees_where_it_is(browser: Browser, stage: Stage, path: str) -> None:
    browser.open(url_of(stage, path))
    browser.run("document.querySelector('a, input, button').focus()")
    assert browser.text(":focus") == "Skip to the content", "it comes first, and is seen when it has the focus"
    for _ in range(40):
        found = browser.tab()
        if found["tag"] == "body":  # the end of the page
            break
        assert found["seen"], found


@every_page
def test_every_field_has_a_name(browser: Browser, stage: Stage, path: str) -> None:
    browser.open(url_of(stage, path))
    nameless = browser.run(
        "return [...document.querySelectorAll('input:not([type=hidden]), select, textarea, button')]"
        ".filter(e => !(e.labels && e.labels.length) && !e.getAttribute('aria-label') && !e.textContent.trim())"
        ".map(e => e.outerHTML.slice(0, 80))"
    )
    assert nameless == []
    doubled = browser.run(
        "const ids = [...document.querySelectorAll('[id]')].map(e => e.id);"
        "return ids.filter((id, i) => ids.indexOf(id) !== i)"
    )
    assert doubled == []


@pytest.mark.parametrize("path", ["/alerts", "/graph?g0.expr=hostile", "/graph?g0.expr=hostile&g0.tab=0"])
def test_markup_in_a_label_is_text(browser: Browser, stage: Stage, path: str) -> None:
    browser.open(url_of(stage, path))
    assert "broken in" not in browser.run("return document.title")
    shown = browser.run("return document.querySelector('main').textContent")
    assert HOSTILE in shown or HOSTILE.replace('"', '\\"') in shown, "as it is, or quoted in a label"
    assert browser.run("return document.querySelectorAll('main script, main b b').length") == 0


def test_links_that_are_no_addresses_are_not_clickable(browser: Browser, stage: Stage) -> None:
    browser.open(stage.page("/alerts"))
    links = browser.run("return [...document.querySelectorAll('a')].map(e => e.getAttribute('href'))")
    assert "https://runbooks.example/queue-long?queue=mail" in links
    assert not [link for link in links if link.lower().startswith("javascript:")]


def test_chinese_is_the_language_of_who_prefers_it(browser: Browser, stage: Stage) -> None:
    browser.open(stage.page("/alerts"), View(language="zh-CN"))
    assert browser.text("h1") == "告警"
    assert browser.run("return document.documentElement.lang") == "zh"
    assert CHINESE in browser.text("main")
    browser.open(stage.page("/alerts"), View(language="en"))
    assert browser.text("h1") == "Alerts"
    assert "队列太长了，请检查消费者是否还在运行：mail" not in browser.text("main")


def test_the_switch_changes_the_language_and_keeps_the_page(browser: Browser, stage: Stage) -> None:
    browser.open(stage.page("/rules", q="Queue"))
    try:
        browser.first('footer a[lang="zh"]').click()
        assert browser.text("h1") == "规则"
        assert browser.first("#q").get_attribute("value") == "Queue"
        browser.open(stage.page("/targets"))
        assert browser.text("h1") == "抓取目标", "it is remembered"
    finally:
        browser.forget()


def test_an_alertmanager_that_refuses_is_on_every_page(browser: Browser, stage: Stage) -> None:
    for path in PAGES:
        browser.open(url_of(stage, path))
        bar = browser.text("#troubles")
        assert f"http://{stage.refusing.address}/api/v2/alerts refuses alerts" in bar
        assert stage.alertmanager.address not in bar
        for summary in browser.all("#troubles summary"):
            summary.click()
        assert "no receiver matches <b>these</b> labels" in browser.text("#troubles")
