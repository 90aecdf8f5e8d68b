"""The page of a rule."""

from __future__ import annotations

import re
from html import unescape
from urllib.parse import quote

import pytest

from rulepush.model.fingerprint import fingerprint
from rulepush.model.labels import Labels
from rulepush.site.links import rule_url
from tests.rules.world import S
from tests.site.test_alert_page import HOT, ROOM, House, text_of

BROKEN = """
groups:
- name: a/b c
  interval: 30s
  rules:
  - {alert: "x/y?<i>", expr: temp > on () temp, annotations: {text: "<u>x"}}
  - {record: half, expr: temp / 2}
"""


def broken() -> House:
    house = House()
    house.world.reload(BROKEN, house.clock.now() - 1_700_000_000_000)
    for at in (30, 60):
        house.goes(at, 70)
        house.world.put(house.clock.now() - 1_700_000_000_000, 1, name="temp", room="other")
    house.goes(90, 71)
    return house


def test_a_rule_shows_its_alerts_with_links_and_its_evaluations() -> None:
    house = House()
    for at in (0, 60, 120, 180):
        house.goes(at, 70)
    answer = house.ask(rule_url("r.yml", "g", "Hot"))
    text = text_of(answer)
    assert answer.status_code == 200
    assert "ok firing Hot" in text
    assert f'href="/alerts/{fingerprint(HOT)}"' in answer.text
    assert "for 2m keep_firing_for 1m" in text
    assert "r.yml:6" in text
    assert text.count("2 samples") == 4  # ALERTS and ALERTS_FOR_STATE
    assert "temp for 5m" in text
    assert "pending → firing" in text
    assert re.search(r'<rect class="band firing"', answer.text)
    assert re.search(r'<text class="threshold"[^>]*>&gt; 50</text>', answer.text)


def test_a_rule_that_cannot_be_evaluated_wears_no_green_inactive() -> None:
    answer = broken().ask(rule_url("r.yml", "a/b c", "x/y?<i>"))
    text = text_of(answer)
    assert answer.status_code == 200
    assert "error x/y?<i>" in text
    assert "It cannot be evaluated, so nothing new is known of its alerts:" in text
    assert "many-to-many matching not allowed" in text or "duplicate series" in text
    assert 'class="badge inactive"' not in answer.text
    assert "ok → error" in text
    assert "the rule cannot be evaluated" in text


def test_a_group_and_a_name_with_a_slash_are_found_and_escaped() -> None:
    answer = broken().ask(f"/rules/{quote('a/b c', safe='')}/{quote('x/y?<i>', safe='')}")
    assert answer.status_code == 200
    assert "<i>" not in answer.text
    assert "<u>" not in answer.text
    assert "&lt;u&gt;x" in answer.text


def test_a_recording_rule_has_no_state_and_no_alerts() -> None:
    answer = broken().ask(rule_url("r.yml", "a/b c", "half"))
    text = text_of(answer)
    assert "ok half" in text
    assert "Its alerts" not in text
    assert "inactive" not in text


def test_a_rule_that_a_reload_removed_is_told_from_the_history() -> None:
    house = House()
    for at in (0, 120):
        house.goes(at, 70)
    house.world.reload("groups: [{name: other}]", house.clock.now() - 1_700_000_000_000)
    answer = house.ask(rule_url("r.yml", "g", "Hot"))
    text = text_of(answer)
    assert answer.status_code == 200
    assert "This rule is no longer in force." in text
    assert "a reload removed its rule" in text


@pytest.mark.parametrize("url", ["/rules/g/Nothing", "/rules/nogroup/Hot", "/rules/g", "/rules/g/Hot?file=other.yml"])
def test_what_is_no_rule_is_404(url: str) -> None:
    house = House()
    house.goes(0, 20)
    answer = house.ask(url)
    assert answer.status_code == 404
    assert "No rule of this name is in the group" in text_of(answer)


def test_rules_of_one_name_are_on_one_page_with_anchors() -> None:
    house = House()
    twin = (
        "groups: [{name: g, rules: [{alert: Hot, expr: temp > 50, labels: {severity: page}}, "
        "{alert: Hot, expr: temp > 20, labels: {severity: warn}}]}]"
    )
    house.world.reload(twin, house.clock.now() - 1_700_000_000_000)
    house.goes(30, 40)
    answer = house.ask(rule_url("r.yml", "g", "Hot"))
    assert re.findall(r'<section id="([^"]*)"', answer.text) == ["rule-1", "rule-2"]
    text = text_of(answer)
    assert "It has no alert now." in text
    warn = Labels.of(alertname="Hot", room=ROOM, severity="warn")
    assert f'href="/alerts/{fingerprint(warn)}"' in answer.text


def test_many_alerts_are_counted_and_not_all_shown() -> None:
    house = House()
    house.clock.set_wall(house.start + 10 * S)
    at = house.clock.now() - 1_700_000_000_000
    for i in range(60):
        house.world.put(at, 99, name="temp", room=str(i))
    house.world.tick(at)
    text = text_of(house.ask(rule_url("r.yml", "g", "Hot")))
    assert "50 of 60 are shown." in text


def test_the_page_says_why_the_rule_has_its_result() -> None:
    house = House()
    house.goes(0, 20)
    answer = house.ask(rule_url("r.yml", "g", "Hot"))
    why = text_of(answer).partition("Why")[2]
    assert "> 50" in why
    assert "dropped:" in why
    assert re.findall(r'<details class="parts" id="([^"]*)"', answer.text) == ["explained-rule-1"]


def test_a_rule_page_is_in_chinese_for_who_reads_it() -> None:
    house = House()
    house.goes(0, 70)
    text = text_of(house.ask(rule_url("r.yml", "g", "Hot"), "zh"))
    assert "最近的求值" in text
    assert "它的告警" in text
    assert unescape("待触发") in text
