"""What other evaluators have, on the pages of this one; and those that do not answer."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from rulepush.model.fingerprint import fingerprint
from rulepush.model.labels import Labels
from rulepush.peers.address import read_peer
from rulepush.peers.answer import EvaluatorIdentity
from rulepush.peers.peers import Peers
from rulepush.rules.api import groups_json
from tests.rules.world import T0
from tests.site.reading import outline, read
from tests.web.app_parts import Parts

QUIET = "groups: [{name: calm, rules: [{alert: Quiet, expr: queue_size > 1e9}]}]"
LABELS = {"alertname": "Far<b>", "job": "shop", "severity": "critical"}
MARK = fingerprint(Labels(LABELS))


def group(*alerts: dict[str, Any], health: str = "ok", error: str = "") -> dict[str, Any]:
    rule: dict[str, Any] = {
        "type": "alerting",
        "name": "Far<b>",
        "query": "far > 1",
        "labels": {},
        "state": "firing",
        "health": health,
    }
    rule |= {"alerts": list(alerts)} | ({"lastError": error} if error else {})
    return {"name": "away", "file": "/there/far.yml", "rules": [rule]}


def alert(state: str = "firing", **labels: str) -> dict[str, Any]:
    said = {"summary": "far away <i>", "summary_zh": "很远"}
    return {"labels": LABELS | labels, "annotations": said, "state": state, "activeAt": "2023-11-14T22:00:00Z"}


def parts(*groups: dict[str, Any], url: str = "https://b.example/x/", status: int = 200) -> Parts:
    """A page server whose rules are calm, with one peer `b` that has these groups."""
    found = Parts(rules=QUIET)
    evaluator = {"instance": "b", "shard": "1/2", "url": url}
    body = {"status": "success", "data": {"groups": list(groups), "evaluator": evaluator}}
    transport = httpx.MockTransport(lambda _: httpx.Response(status, json=body))
    found.peers = Peers(
        [read_peer("http://user:hunter2@b:9095")],
        httpx.AsyncClient(transport=transport),
        found.clock,
        lambda: groups_json(found.world.groups.all()),
        EvaluatorIdentity.of_process("0/2"),
        name="http://here",
    )
    return found


def test_the_alerts_of_others_are_shown_with_links_to_them() -> None:
    world = parts(group(alert()))
    page = outline(world, "/alerts")
    assert "On other evaluators firing Far<b>" in page.text
    assert "far away <i>" in page.text
    assert f"https://b.example/x/alerts/{MARK}" in page.links
    assert "No alert is pending or firing" not in page.text
    assert "很远" in outline(world, "/alerts", headers={"Accept-Language": "zh"}).text


def test_the_filters_are_those_of_the_page() -> None:
    world = parts(group(alert()))
    for wanted in ({"job": "shop"}, {"q": "away"}, {"state": "firing"}, {"severity": "critical"}):
        assert "Far<b>" in read(world, "/alerts", **wanted)
    for unwanted in ({"job": "other"}, {"q": "near"}, {"state": "pending"}, {"severity": "info"}):
        assert "Far<b>" not in read(world, "/alerts", **unwanted)


def test_a_page_is_calm_only_when_the_others_are() -> None:
    assert "No alert is pending or firing" in read(parts(group()), "/alerts")
    missing = read(parts(status=500), "/alerts")
    assert "No alert is pending or firing" not in missing
    assert "Not everything is shown: other evaluators of the rules do not answer." in missing
    assert re.search(r"http://b:9095, for \S+ ?\S*: HTTP status 500", missing)
    assert "hunter2" not in missing
    assert "No evaluator that is known has shard 1/2." in missing


def test_the_rules_of_others_are_shown_and_filtered() -> None:
    world = parts(group(alert(), health="err", error="no <engine>"))
    page = outline(world, "/rules")
    assert "On other evaluators away / Far<b> error firing far > 1" in page.text
    assert "no <engine>" in page.text
    assert "https://b.example/x/rules/away/Far%3Cb%3E" in page.links
    assert "far > 1" in read(world, "/rules", health="err")
    assert "far > 1" not in read(world, "/rules", health="ok")
    assert "far > 1" not in read(world, "/rules", q="near")


def test_the_page_of_an_alert_or_rule_of_others_leads_to_them() -> None:
    world = parts(group(alert()))
    page = outline(world, f"/alerts/{MARK}")
    assert "Other evaluators have it: b.example" in page.text
    assert f"https://b.example/x/alerts/{MARK}" in page.links
    assert "No rule has an alert" not in page.text
    page = outline(world, "/rules/away/Far%3Cb%3E")
    assert "https://b.example/x/rules/away/Far%3Cb%3E" in page.links
    outline(world, "/alerts/0000000000000000", 404)
    outline(world, "/rules/away/other", 404)


@pytest.mark.parametrize("url", ["javascript:alert(1)", "https://b.example/ x", ""])
def test_what_a_peer_says_of_its_address_becomes_a_link_only_where_it_is_one(url: str) -> None:
    links = outline(parts(group(alert()), url=url), "/alerts").links
    assert not any(link.startswith("javascript") or " " in link for link in links)
    assert any(link == f"http://b:9095/alerts/{MARK}" for link in links) is (url == "")


def test_an_alert_that_is_here_too_is_not_shown_twice() -> None:
    world = Parts()
    (own,) = [a for a in world.world.groups.active_alerts() if a.labels.get("alertname") == "QueueLong"]
    other = parts()
    assert other.peers is not None
    body = {"status": "success", "data": {"groups": groups_json(world.world.groups.all())}}
    world.peers = Peers(
        [read_peer("http://b")],
        httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(200, json=body))),
        world.clock,
        lambda: groups_json(world.world.groups.all()),
        EvaluatorIdentity.of_process("0/1"),
        name="http://here",
    )
    text = read(world, "/alerts")
    assert own.labels.get("alertname") in text
    assert "On other evaluators" not in text
    assert "On other evaluators" not in read(world, "/rules")
    assert world.clock.now() > T0
