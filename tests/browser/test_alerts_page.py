"""The alerts page in a browser."""

from __future__ import annotations

from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from tests.browser.browser import DESK, PHONE, Browser, View
from tests.browser.stage import CROWD, Stage

TITLES = "article.alert h3"


def titles(browser: Browser) -> list[str]:
    """What one sees of the alerts, without unfolding anything."""
    return [text for text in browser.texts(TITLES) if text]


@pytest.mark.parametrize("width", [DESK, PHONE])
def test_the_critical_alerts_come_first_and_a_crowd_is_one_line(browser: Browser, stage: Stage, width: int) -> None:
    browser.open(stage.page("/alerts"), View(width))
    assert [h.split()[0] for h in browser.texts("main h2")][:3] == ["critical", "warning", "info"]
    first = browser.first("main section")
    assert "critical" in first.text
    assert "mail has 250 jobs that wait, and nobody takes them" in first.text
    assert not [text for text in titles(browser) if text.startswith("shard ")]
    (crowd,) = [text for text in browser.texts("details.fold > summary") if "Crowded" in text]
    assert str(CROWD) in crowd
    assert int(browser.run("return document.documentElement.scrollHeight")) < 6 * 900


def test_a_crowd_unfolds_to_the_newest_and_a_link_to_all(browser: Browser, stage: Stage) -> None:
    browser.open(stage.page("/alerts"), View(PHONE))
    (crowd,) = [one for one in browser.all("details.fold > summary") if "Crowded" in one.text]
    crowd.click()
    assert len([text for text in titles(browser) if text.startswith("shard ")]) == 10
    (more,) = [one for one in browser.all("p.more a") if one.text]
    assert more.text == f"Show all {CROWD}"
    more.click()
    assert "alertname=Crowded" in browser.url
    assert len(titles(browser)) == 100
    assert browser.text("main [role=status]").startswith(f"{CROWD} of 3")


def test_filters_are_in_the_address_and_stay_in_the_form(browser: Browser, stage: Stage) -> None:
    browser.open(stage.page("/alerts"))
    browser.type("input[name=q]", "mail jobs")
    browser.first("form button").click()
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


@pytest.mark.parametrize("width", [DESK, PHONE])
def test_an_alert_says_what_comes_next(browser: Browser, stage: Stage, width: int) -> None:
    browser.open(stage.page("/alerts"), View(width))
    alerts = browser.texts("article.alert")
    (grows,) = [text for text in alerts if text.startswith("print is at 70 jobs")]
    assert "pending" in grows
    assert "fires in 2h" in grows
    (held,) = [text for text in alerts if text.startswith(f"{stage.node.address} is bad")]
    assert "held: target down" in held
    assert "resolves in 59m" in held or "resolves in 1h" in held


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
    assert "/alerts/" in browser.url
    assert "QueueLong" in browser.text("h1")


def test_what_always_fires_stands_apart_and_what_is_over_is_told(browser: Browser, stage: Stage) -> None:
    browser.open(stage.page("/alerts"))
    always = browser.text("section[aria-labelledby=always]")
    assert "Watchdog" in always
    assert "firing" in always
    assert "Watchdog" not in " ".join(browser.texts("article.alert"))
    browser.first("#resolved summary").click()
    assert "refuses jobs" in browser.text("#resolved")


def test_a_rule_that_cannot_be_evaluated_is_not_called_inactive(browser: Browser, stage: Stage) -> None:
    browser.open(stage.page("/alerts"), View(PHONE))
    assert browser.text("#failing summary") == "1 cannot be evaluated: CannotBeEvaluated"
    browser.first("#failing summary").click()
    assert "found duplicate series" in browser.text("#failing")
    browser.first("#quiet summary").click()
    assert "CannotBeEvaluated" not in browser.text("#quiet")


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
    browser.until("return !first.isConnected")
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
