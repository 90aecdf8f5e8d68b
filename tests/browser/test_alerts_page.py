"""The alerts page in a browser, with 300 alerts of one rule beside the others."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from tests.browser.browser import DESK, PHONE, Browser, View
from tests.browser.stage import CROWD, Stage

widths = pytest.mark.parametrize("width", [DESK, PHONE])


def titles(browser: Browser) -> list[str]:
    """What one sees of the alerts."""
    return [text for text in browser.texts("article.alert h3") if text]


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
    assert re.search(r"fires in 2h\d+m", text)
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


def test_a_crowd_unfolds_to_the_newest_and_a_link_to_all(browser: Browser, stage: Stage) -> None:
    browser.open(stage.page("/alerts"), View(PHONE))
    (crowd,) = [one for one in browser.all("details.fold > summary") if "Crowded" in one.text]
    crowd.click()
    assert len([text for text in titles(browser) if text.startswith("shard ")]) == 10
    (more,) = [one for one in browser.all("p.more a") if one.text]
    assert more.text == f"Show all {CROWD}"
    more.click()
    browser.wait_until("return location.search.includes('alertname=Crowded')")
    assert len(titles(browser)) == 100
    assert browser.text("main [role=status]").startswith(f"{CROWD} of 3")


def test_the_form_shows_the_filters_that_are_set(browser: Browser, stage: Stage) -> None:
    browser.open(stage.page("/alerts"))
    browser.type("input[name=q]", "mail jobs")
    browser.first("form button").click()
    browser.wait_until("return location.search.includes('q=')")
    assert parse_qs(urlsplit(browser.url).query)["q"] == ["mail jobs"]
    assert titles(browser) == ["mail has 250 jobs that wait, and nobody takes them", "mail is at 250 jobs"]
    assert browser.first("input[name=q]").get_attribute("value") == "mail jobs"
    browser.open(stage.page("/alerts", state="held"))
    assert titles(browser) == [f"{stage.node.address} is bad"]
    browser.open(stage.page("/alerts", severity="critical", job="queues"))
    assert titles(browser) == ["mail has 250 jobs that wait, and nobody takes them"]
    browser.open(stage.page("/alerts", q="nothing has this"))
    assert titles(browser) == []
    assert browser.text("main [role=status]").startswith("0 of ")


def test_an_alert_leads_to_its_page_its_runbook_and_its_silence(browser: Browser, stage: Stage) -> None:
    browser.open(stage.page("/alerts"))
    (article,) = [one for one in browser.all("article.alert") if one.text.startswith("mail has 250")]
    links = {link.text: str(link.get_attribute("href")) for link in article.find_elements("css selector", "a")}
    assert links["Runbook"] == "https://runbooks.example/queue-long?queue=mail"
    assert links["Dashboard"] == "http://grafana.example/d/queues"
    port = stage.alertmanager.address.rpartition(":")[2]  # the host is as the outside knows it
    (silence,) = [href for text, href in links.items() if text.endswith(f":{port})")]
    assert f":{port}/#/silences/new?filter=" in silence
    matchers = unquote(silence.partition("filter=")[2])
    assert 'alertname="QueueLong"' in matchers
    assert 'site="stage"' in matchers, "as the Alertmanager knows it"
    browser.run("arguments[0].click()", article.find_element("css selector", "h3 a"))
    browser.wait_until("return location.pathname.includes('/alerts/')")
    assert "QueueLong" in browser.text("h1")


def test_what_is_over_is_told_for_a_while(browser: Browser, stage: Stage) -> None:
    browser.open(stage.page("/alerts"))
    assert "refuses jobs" not in browser.text("main")
    browser.first("#resolved summary").click()
    assert "refuses jobs" in browser.text("#resolved")


def test_a_refresh_keeps_what_is_unfolded_read_and_in_focus(browser: Browser, stage: Stage) -> None:
    browser.open(stage.page("/alerts"), View(PHONE))
    for one in browser.all("details.fold > summary, #troubles summary"):
        one.click()
    browser.run(
        # A section is missing, as if its alert came only with the refresh: above what is being read.
        "document.querySelector('main section').remove();"
        "const link = document.querySelector('details.fold .links a');"
        "link.focus(); scrollTo(0, link.getBoundingClientRect().top + scrollY - 300);"
        "window.first = document.querySelector('article.alert'); window.at = document.activeElement.href;"
        "window.place = () => Math.round(document.activeElement.getBoundingClientRect().top);"
        "window.before = place(); document.dispatchEvent(new Event('visibilitychange'));"
    )
    browser.wait_until("return !first.isConnected")
    assert browser.run("return document.activeElement.href === at")
    assert abs(browser.run("return place() - before")) <= 1
    assert browser.run("return document.querySelectorAll('details.fold:not([open])').length") == 0
    assert browser.run("return document.querySelectorAll('#troubles details:not([open])').length") == 0


def test_who_turns_refreshing_off_or_types_is_left_alone(browser: Browser, stage: Stage) -> None:
    browser.open(stage.page("/alerts"))
    ask = "document.dispatchEvent(new Event('visibilitychange'));"
    watch = "window.asked = 0; const real = fetch; window.fetch = (...a) => { asked += 1; return real(...a); };"
    browser.run(watch)
    browser.type("input[name=q]", "ma")
    browser.run(ask)
    assert browser.run("return asked") == 0
    browser.first("input[name=q]").clear()
    button = browser.first("#refreshing")
    try:
        button.click()
        assert button.get_attribute("aria-pressed") == "false"
        browser.run(ask)
        assert browser.run("return asked") == 0
        browser.open(stage.page("/alerts"))
        assert browser.first("#refreshing").get_attribute("aria-pressed") == "false", "it is remembered"
        browser.run(watch)
        browser.first("#refreshing").click()
        assert browser.run("return asked") == 1
    finally:
        browser.run("localStorage.clear()")
