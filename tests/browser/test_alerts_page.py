"""The alerts page in a browser, with 300 alerts of one rule beside the others."""

from __future__ import annotations

import re

import pytest

from tests.browser.browser import DESK, PHONE, Browser, View
from tests.browser.stage import CROWD, Stage

widths = pytest.mark.parametrize("width", [DESK, PHONE])


@widths
def test_what_is_critical_is_seen_first_however_many_others_there_are(
    browser: Browser, stage: Stage, width: int
) -> None:
    browser.open(stage.page("/alerts"), View(width))
    text = browser.text("main")
    assert text.index("QueueLong") < text.index("Crowded")
    seen_at = browser.run(
        "return [...document.querySelectorAll('main a')].find(e => e.textContent.includes('mail has 250 jobs'))"
        ".getBoundingClientRect().bottom"
    )
    assert seen_at < 900, "without scrolling"
    assert browser.run("return document.documentElement.scrollHeight") < 6000, "300 alerts are folded"


def test_a_crowd_is_folded_and_counted(browser: Browser, stage: Stage) -> None:
    browser.open(stage.page("/alerts"), View(scripts=False))
    (fold,) = [s for s in browser.all("summary") if "Crowded" in s.text]
    assert str(CROWD) in fold.text
    assert "shard 007 is at 18" not in browser.text("main")
    fold.click()
    assert "shard" in browser.text("main")


def test_what_always_fires_stands_apart(browser: Browser, stage: Stage) -> None:
    browser.open(stage.page("/alerts"))
    text = browser.run("return document.querySelector('main').textContent")
    assert text.index("Watchdog") > text.index("Crowded")


def test_a_rule_that_cannot_be_evaluated_is_not_called_inactive(browser: Browser, stage: Stage) -> None:
    browser.open(stage.page("/alerts"))
    assert "1 cannot be evaluated: CannotBeEvaluated" in browser.text("main")


@pytest.mark.parametrize(
    ("parameters", "names", "others"),
    [
        ({"severity": "critical"}, ["QueueLong", "NodeFails"], ["Crowded", "Hostile", "QueueGrows"]),
        ({"state": "pending"}, ["QueueGrows", "TargetDown"], ["QueueLong", "Crowded"]),
        ({"job": "nodes"}, ["NodeFails", "TargetDown"], ["QueueLong", "Crowded"]),
        ({"q": "print"}, ["QueueGrows"], ["QueueLong", "Crowded"]),
    ],
)
def test_filters_are_in_the_address(
    browser: Browser, stage: Stage, parameters: dict[str, str], names: list[str], others: list[str]
) -> None:
    browser.open(stage.page("/alerts", **parameters), View(scripts=False))
    text = browser.run(
        "return [...document.querySelectorAll('main article, main .card, main section')].map(e => e.innerText).join()"
    )
    assert [name for name in names if name not in text] == []
    assert [name for name in others if name in text] == []


@widths
def test_clocks_say_what_happens_next(browser: Browser, stage: Stage, width: int) -> None:
    browser.open(stage.page("/alerts"), View(width))
    text = browser.text("main")
    assert re.search(r"fires in 2h5\dm", text)
    assert "held: target down" in text


def test_an_open_page_shows_what_changed_and_stays_where_it_was(browser: Browser, stage: Stage) -> None:
    browser.open(stage.page("/alerts"), View(PHONE))
    (fold,) = [s for s in browser.all("summary") if "Crowded" in s.text]
    fold.click()
    browser.run("scrollTo(0, 700)")
    before = browser.run("return scrollY")
    browser.run("document.querySelector('main h1, main').dataset.marked = 'old'")
    browser.run("document.dispatchEvent(new Event('visibilitychange'))")
    browser.wait_until("return !document.querySelector('main h1[data-marked]')")
    assert browser.run("return scrollY") == before
    assert [text for text in browser.texts("details[open] > summary") if "Crowded" in text]
