"""The page of an alert: before, during, after, and when nothing is known of it."""

from __future__ import annotations

import asyncio
import json
import re
from html import unescape

import httpx
import pytest

from rulepush.delivery import DeliveryStatus, ReceiverKind
from rulepush.history.deliveries import Attempt, Outcome, SentAlert
from rulepush.model.fingerprint import fingerprint
from rulepush.model.labels import Labels, quote_label_value
from rulepush.rules.alert import AlertState
from rulepush.rules.transition import ChangeReason, RuleRef, Transition, of_rule
from rulepush.site.alert import with_outages
from tests.rules.world import M, S
from tests.web.app_parts import Parts
from tests.web.asking import ask_app

RULES = """
groups:
- name: g
  interval: 30s
  rules:
  - alert: Hot
    expr: temp > 50
    for: 2m
    keep_firing_for: 1m
    labels: {severity: page}
    annotations:
      summary: "{{ $labels.room }} is at {{ $value }}"
      summary_zh: "{{ $labels.room }} 温度 {{ $value }}"
      runbook_url: https://example.com/run
      dashboard: "javascript:alert(1)"
  - {alert: Both, expr: temp > 50 and on () lamp == 1}
  - {alert: Bound, expr: temp > on (room) bound}
  - {alert: Wet, expr: absent(dry)}
"""
ROOM = 'a"<script>alert(1)</script>'
HOT = Labels.of(alertname="Hot", room=ROOM, severity="page")
AM = "http://am:9093/api/v2/alerts"


class House(Parts):
    """A world whose time a test moves: `at` seconds, at which `temp` has a value, None: gone."""

    def __init__(self, prefix: str = "") -> None:
        super().__init__(prefix=prefix, rules=RULES, deliveries=[DeliveryStatus(ReceiverKind.ALERTMANAGER, AM)])
        self.start = self.clock.now()

    def goes(self, at: int, temp: float | None, **others: float) -> None:
        self.clock.set_wall(self.start + at * S)
        ms = self.clock.now() - 1_700_000_000_000
        self.world.put(ms, temp, name="temp", room=ROOM)
        for name, value in others.items():
            self.world.put(ms, value, name=name, room=ROOM)
        self.world.tick(ms)

    def page(self, labels: Labels = HOT, query: str = "", language: str = "en") -> httpx.Response:
        return self.ask(f"/alerts/{fingerprint(labels)}{query}", language)

    def ask(self, url: str, language: str = "en") -> httpx.Response:
        return ask_app(self.routes(), "GET", url, headers={"accept-language": language})


def text_of(answer: httpx.Response) -> str:
    """What a reader reads, in one line."""
    body = answer.text[answer.text.index("<main") :]
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", body)).split())


def test_a_pending_alert_says_when_it_fires() -> None:
    house = House()
    house.goes(0, 70)
    house.goes(30, 71)
    answer = house.page()
    text = text_of(answer)
    assert answer.status_code == 200
    assert "pending Hot" in text
    assert "fires in 1m30s" in text
    assert "A pending alert is not sent." in text
    assert f"{ROOM} is at 71" in text


def test_that_the_rule_failed_is_told_where_the_alert_was_active() -> None:
    ref = RuleRef("r.yml", "g", "Hot")

    def change(ts: int, was: str, now: str, reason: ChangeReason, labels: Labels = HOT) -> Transition:
        return Transition(ts, ref, labels, was, now, reason)

    began = change(10, "inactive", "firing", ChangeReason.CONDITION_TRUE)
    over = change(40, "firing", "inactive", ChangeReason.NOT_IN_RESULT)
    failed, works, again = (
        of_rule(ts, ref, "", "", reason)
        for ts, reason in (
            (20, ChangeReason.EVALUATION_FAILED),
            (40, ChangeReason.EVALUATION_WORKS),
            (50, ChangeReason.EVALUATION_FAILED),
        )
    )
    assert with_outages([over, began], [again, works, failed]) == [over, works, failed, began]
    assert with_outages([over, began], []) == [over, began]


def test_a_firing_alert_shows_its_value_against_its_threshold_and_its_bands() -> None:
    house = House()
    for at in range(0, 181, 30):
        house.goes(at, 60 + at / 10)
    answer = house.page()
    text = text_of(answer)
    assert "firing Hot" in text
    assert "firing since" in text
    assert "now 78" in text
    assert 'class="line threshold"' not in answer.text
    assert re.search(r'<text class="threshold"[^>]*>&gt; 50</text>', answer.text)
    assert re.findall(r'<rect class="band (\w+)"[^>]*height="200"', answer.text) == ["pending", "firing"]
    (line,) = re.findall(r'<path class="line c0" d="([^"]*)"', answer.text)
    assert line.count("L") > 10
    assert "temp over time, compared with &gt; 50" in answer.text


def test_the_changes_are_told_with_time_reason_and_value_the_newest_first() -> None:
    house = House()
    for at, value in ((0, 70.0), (120, 75.0), (150, 20.0), (210, 20.0)):
        house.goes(at, value)
    text = text_of(house.page())
    told = text[text.index("What happened") :]
    order = [
        "firing → inactive the condition is no longer true 20 > 50 is not true; `keep_firing_for` is over",
        "the condition is no longer true, `keep_firing_for` goes on",
        "pending → firing the condition has been true for as long as `for` asks true for 2m 75",
        "inactive → pending the condition became true fires after 2m 70",
    ]
    places = [told.index(one) for one in order]
    assert places == sorted(places)


def test_an_alert_that_is_kept_says_when_it_resolves() -> None:
    house = House()
    for at, value in ((0, 70.0), (120, 75.0), (150, 20.0), (180, 20.0)):
        house.goes(at, value)
    assert "resolves in 30s" in text_of(house.page())


def test_an_hour_after_it_resolved_the_page_still_tells_all() -> None:
    house = House()
    for at, value in ((0, 70.0), (120, 75.0), (150, 20.0), (210, 20.0)):
        house.goes(at, value)
    asyncio.run(house.history.write())
    for at in (210 + 20 * 60, 210 + 60 * 60):
        house.goes(at, 20.0)
    assert house.world.rule.alert_of(HOT) is None  # the rules have forgotten it
    answer = house.page()
    text = text_of(answer)
    assert answer.status_code == 200
    assert "resolved Hot" in text
    assert "Not active now. Last change:" in text
    assert "the condition became true" in text
    assert re.findall(r'<rect class="band (\w+)"[^>]*height="200"', answer.text) == ["pending", "firing"]


def test_the_values_of_changes_are_points_where_no_sample_is_kept_any_more() -> None:
    house, later = House(), House()
    for at, value in ((0, 70.0), (120, 75.0), (150, 20.0), (210, 20.0)):
        house.goes(at, value)
    later.history = house.history  # another process, with the history of the former and none of its samples
    later.clock.set_wall(house.start + 3600 * S)
    (points,) = re.findall(r'data-name="at changes" data-points="([^"]*)"', later.page().text)
    assert [value for _, value in json.loads(points)] == [70, 75, 20, 20]


def test_a_rule_that_a_reload_removed_leaves_the_page_of_its_alert() -> None:
    house = House()
    for at in (0, 120):
        house.goes(at, 70)
    house.world.reload("groups: [{name: other}]", house.clock.now() - 1_700_000_000_000)
    answer = house.page()
    text = text_of(answer)
    assert answer.status_code == 200
    assert "a reload removed its rule" in text
    assert "no longer in force" in text
    assert "g / Hot" in text


def test_a_fingerprint_that_nobody_knows_is_404_with_what_is_near() -> None:
    house = House()
    house.goes(0, 70)
    answer = house.ask("/alerts/0123456789abcdef?expr=temp+%3E+50")
    text = text_of(answer)
    assert answer.status_code == 404
    assert "No rule has an alert with the fingerprint 0123456789abcdef now" in text
    assert "g / Hot" in text
    assert "the condition became true" in text
    assert f'href="/alerts/{fingerprint(HOT)}"' in answer.text


@pytest.mark.parametrize("mark", ["x", "%3Cscript%3E", "0" * 15, "g" * 16])
def test_what_is_no_fingerprint_is_404(mark: str) -> None:
    answer = House().ask(f"/alerts/{mark}")
    assert answer.status_code == 404
    assert "<script>" not in answer.text[answer.text.index("<main") :]


def test_the_link_of_a_notification_leads_to_the_alert_and_an_old_one_to_the_query() -> None:
    house = House(prefix="/mon")
    house.goes(0, 70)
    mark = fingerprint(HOT)
    answer = house.ask(f"/mon/graph?g0.expr=temp+%3E+50&g0.tab=1&alert={mark}")
    assert (answer.status_code, answer.headers["location"]) == (302, f"/mon/alerts/{mark}?expr=temp+%3E+50")
    assert house.ask(answer.headers["location"]).status_code == 200
    for url in ("/mon/graph?g0.expr=temp&g0.tab=1", "/mon/graph?g0.expr=temp&alert=x"):
        old = house.ask(url)
        assert old.status_code == 200
        assert "temp{room=" in unescape(old.text)


def test_of_two_rules_with_the_same_alert_the_one_that_has_it_active_is_shown() -> None:
    house = House()
    twin = RULES + "- name: h\n  rules: [{alert: Hot, expr: temp > 20, labels: {severity: page}}]\n"
    house.world.reload(twin, house.clock.now() - 1_700_000_000_000)
    for at, value in ((0, 70), (120, 70), (150, 30), (210, 30)):
        house.goes(at, value)
    found = [rule.alert_of(HOT) for rule in house.world.groups.alerting_rules()]
    assert [alert.state for alert in found if alert] == [AlertState.INACTIVE, AlertState.FIRING]
    text = text_of(house.page())
    assert "firing Hot" in text
    assert "h / Hot" in text


def test_what_each_alertmanager_answered_is_told() -> None:
    house = House()
    for at in (0, 120):
        house.goes(at, 70)
    assert "not tried yet" in text_of(house.page())
    sent = [SentAlert(fingerprint(HOT), house.clock.now(), False)]
    house.history.attempted(Attempt(AM, house.clock.now(), Outcome.FAILED, 503, "failed with <503>"), sent)
    failed = text_of(house.page())
    assert f"{AM} firing not yet 503 failed with <503> 1 try" in failed
    house.history.attempted(Attempt(AM, house.clock.now() + S, Outcome.ACCEPTED, 200, ""), sent)
    text = text_of(house.page())
    assert "200 accepted 2 tries" in text
    assert "failed with <503>" in text  # the last failure stays
    assert "not yet" not in text


def test_an_alertmanager_whose_relabelling_drops_the_alert_is_not_one_that_was_not_tried_yet() -> None:
    house = House()
    house.deliveries = [
        DeliveryStatus(ReceiverKind.ALERTMANAGER, url) for url in (AM, "http://127.0.0.1:7/api/v2/alerts")
    ]
    house.sent_as = lambda alert: {"http://127.0.0.1:7/api/v2/alerts": alert.labels}
    for at in (0, 120):
        house.goes(at, 70)
    answer = house.page()
    text = text_of(answer)
    assert f"{AM} not sent there alert_relabel_configs drop it" in text
    assert "http://127.0.0.1:7/api/v2/alerts not tried yet" in text
    assert re.findall(r'href="([^"]*)#/silences', answer.text) == [
        "http://outside.example:7/"
    ]  # as seen from elsewhere


def test_passwords_in_the_addresses_of_alertmanagers_are_not_shown() -> None:
    house = House()
    urls = [f"http://u{n}:hunter2@am{n}:9093/api/v2/alerts" for n in range(3)]
    house.deliveries = [DeliveryStatus(ReceiverKind.ALERTMANAGER, url) for url in urls]
    house.sent_as = lambda alert: dict.fromkeys(urls[:2], alert.labels)
    for at in (0, 120):
        house.goes(at, 70)
    sent = [SentAlert(fingerprint(HOT), house.clock.now(), False)]
    house.history.attempted(Attempt(urls[0], house.clock.now(), Outcome.ACCEPTED, 200, ""), sent)
    answer = house.page()
    assert re.findall("http://(?:u.:)?am.:9093/api/v2/alerts (?:firing|not tried|not sent)", text_of(answer)) == [
        "http://am0:9093/api/v2/alerts firing",
        "http://am1:9093/api/v2/alerts not tried",
        "http://am2:9093/api/v2/alerts not sent",
    ]
    assert "hunter2" not in answer.text


def test_an_hour_after_it_resolved_it_still_has_its_texts_and_links() -> None:
    house = House()
    for at, value in ((0, 70.0), (120, 75.0), (150, 20.0), (210, 20.0), (3900, 20.0), (3930, 20.0)):
        house.goes(at, value)
    assert all(rule.alert_of(HOT) is None for rule in house.world.groups.alerting_rules())
    answer = house.page()
    text = text_of(answer)
    assert f"{ROOM} is at 75" in text
    assert 'href="https://example.com/run"' in answer.text
    assert "The texts are those of the rule, with the value of 2023-11-14 22:15:35 UTC" in text
    assert f"{ROOM} 温度 75" in text_of(house.page(language="zh"))


def test_a_text_that_runs_queries_is_left_out_once_the_alert_is_over() -> None:
    house = House()
    asks = RULES.replace('"{{ $labels.room }} is at {{ $value }}"', """'{{ range query "up" }}{{ .Value }}{{ end }}'""")
    house.world.reload(asks, house.clock.now() - 1_700_000_000_000)
    for at, value in ((0, 70.0), (120, 75.0), (150, 20.0), (210, 20.0), (3900, 20.0), (3930, 20.0)):
        house.goes(at, value)
    answer = house.page()
    assert "error expanding" not in answer.text
    assert 'href="https://example.com/run"' in answer.text


def test_labels_annotations_and_answers_are_escaped_and_links_are_http() -> None:
    house = House()
    for at in (0, 120):
        house.goes(at, 70)
    body = house.page().text
    assert "<script>alert" not in body
    assert 'href="https://example.com/run"' in body
    assert 'href="javascript' not in body
    assert "javascript:alert(1)" in body
    assert " style=" not in body
    assert "script-src 'self'" in house.page().headers["content-security-policy"]


def test_an_alert_can_be_silenced_with_its_labels() -> None:
    house = House()
    for at in (0, 120):
        house.goes(at, 70)
    (link,) = re.findall(r'href="(http://am:9093/[^"]*)"', house.page().text)
    assert link.startswith("http://am:9093/#/silences/new?filter=%7Balertname%3D%22Hot%22")


def test_the_page_says_why_the_alert_is_in_its_state() -> None:
    house = House()
    house.goes(0, 70)
    assert "fires" in text_of(house.page()).partition("Why")[2]
    for at, value in ((120, 75.0), (150, 20.0), (210, 20.0)):
        house.goes(at, value)
    why = text_of(house.page()).partition("Why")[2].partition("Rule Name")[0]
    assert "20 > 50 is not true" in why  # as the history remembers it


def test_who_reads_chinese_gets_chinese() -> None:
    house = House()
    house.goes(0, 70)
    text = text_of(house.page(language="zh-CN"))
    assert "条件成立" in text
    assert "2分 后触发" in text
    assert "温度 70" in text


def test_the_details_of_a_reason_are_in_the_language_of_the_reader_too() -> None:
    house = House()
    for at, value in ((0, 70.0), (120, 75.0), (150, 20.0), (210, 20.0)):
        house.goes(at, value)
    text = text_of(house.page(language="zh")).partition("发生了什么")[2]
    for words in (
        "条件成立 2m 后触发",
        "已成立 2m",
        "20 > 50 不成立; 直到过了 1m",
        "20 > 50 不成立; `keep_firing_for` 已到，继续触发了 1m",
    ):
        assert words in text


def test_the_comparisons_of_an_and_have_a_chart_each() -> None:
    house = House()
    for at in (0, 30):
        house.goes(at, 70, lamp=1)
    both = Labels.of(alertname="Both", room=ROOM)
    answer = house.page(both)
    assert re.findall(r"<desc [^>]*>([^<]*)</desc>", answer.text) == [
        "temp over time, compared with &gt; 50",
        "lamp over time, compared with == 1",
    ]
    assert len(re.findall(r'<path class="line', answer.text)) == 2


def test_only_the_series_of_the_alert_are_drawn() -> None:
    house = House()
    for at in (0, 30):
        house.goes(at, 70)
        house.world.put(house.clock.now() - 1_700_000_000_000, 1, name="temp")  # without a room
        house.world.put(house.clock.now() - 1_700_000_000_000, 2, name="temp", room="other")
    (name,) = re.findall(r'data-name="([^"]*)"', house.page().text)
    assert unescape(name) == f"temp{{room={quote_label_value(ROOM)}}}"


def test_a_threshold_that_is_an_expression_is_a_line_of_its_own() -> None:
    house = House()
    for at in (0, 30, 60):
        house.goes(at, 70, bound=60 + at / 10)
    answer = house.page(Labels.of(alertname="Bound", room=ROOM))
    (path,) = re.findall(r'<path class="threshold" d="([^"]*)"', answer.text)
    assert path.count("L") > 3


def test_an_expression_without_a_comparison_is_drawn_whole() -> None:
    house = House()
    for at in (0, 30):
        house.goes(at, 70)
    answer = house.page(Labels.of(alertname="Wet"))
    assert re.findall(r"<desc [^>]*>([^<]*)</desc>", answer.text) == ["absent(dry) over time"]


@pytest.mark.parametrize(("query", "minutes"), [("?range=15m", 15), ("?range=6h", 360), ("?range=x", 5), ("", 5)])
def test_the_range_can_be_chosen(query: str, minutes: int) -> None:
    house = House()
    for at in (0, 120):
        house.goes(at, 70)
    ((start, end),) = re.findall(r'data-start="(\d+)" data-end="(\d+)"', house.page(query=query).text)
    assert int(end) - int(start) == pytest.approx(minutes * M, rel=0.01)
