"""The rules page in a browser."""

from __future__ import annotations

import pytest

from tests.browser.browser import DESK, PHONE, Browser, View
from tests.browser.stage import Stage


def shown(browser: Browser) -> list[str]:
    """The names of the rules that one sees."""
    return [text for text in browser.texts(".rule h3 > a") if text]


@pytest.mark.parametrize("width", [DESK, PHONE])
def test_a_rule_that_cannot_be_evaluated_is_not_called_healthy(browser: Browser, stage: Stage, width: int) -> None:
    browser.open(stage.page("/rules"), View(width))
    assert "1 cannot be evaluated" in browser.text(".sum")
    (rule,) = [text for text in browser.texts(".rule") if text.startswith("CannotBeEvaluated")]
    assert "error" in rule
    assert "found duplicate series" in rule


def test_filters_are_in_the_address(browser: Browser, stage: Stage) -> None:
    browser.open(stage.page("/rules"))
    browser.type("#q", "queue_jobs critical")
    browser.first("form button").click()
    assert shown(browser) == ["QueueLong", "CannotBeEvaluated"]
    assert "2 of 11 rules shown" in browser.text(".sum")
    browser.open(browser.url)
    assert shown(browser) == ["QueueLong", "CannotBeEvaluated"]
    browser.open(stage.page("/rules", health="err"))
    assert shown(browser) == ["CannotBeEvaluated"]
    browser.open(stage.page("/rules", state="pending"))
    assert shown(browser) == ["QueueGrows", "TargetDown"]
    browser.open(stage.page("/rules", type="recording"))
    assert shown(browser) == ["queue:jobs:sum"]
    browser.open(stage.page("/rules", q="nothing has this"))
    assert "No rule fits this filter." in browser.text("main")


def test_groups_fold_but_never_over_a_rule_that_fails(browser: Browser, stage: Stage) -> None:
    browser.open(stage.page("/rules", fold="all"), View(scripts=False))
    assert [s.partition("\n")[0].partition(" ")[0] for s in browser.texts("details.group > summary")] == [
        "crowd",
        "heartbeat",
        "states",
    ]
    assert "Crowded" not in shown(browser)
    assert "CannotBeEvaluated" in shown(browser)
    browser.open(stage.page("/rules", fold="none"))
    assert len(shown(browser)) == 11


def test_a_link_to_a_rule_opens_its_group(browser: Browser, stage: Stage) -> None:
    browser.open(stage.page("/rules", fold="all") + "#crowd.Crowded")
    assert "Crowded" in shown(browser)


def test_the_last_evaluations_and_what_is_kept(browser: Browser, stage: Stage) -> None:
    browser.open(stage.page("/rules", q="Crowded"))
    browser.first(".rule details summary").click()
    rows = browser.texts(".evaluations tbody tr")
    assert 1 <= len(rows) <= 8
    assert "600 samples" in rows[0], "ALERTS and ALERTS_FOR_STATE of each alert"
    assert browser.text(".rule .kept") == "crowd_level kept for 5m"
