"""Which routes an alert takes, by the configuration that Alertmanager shows."""

from __future__ import annotations

import pytest

from rulepush.deliverytest.routing import Integration, Routing, TakenRoute, parse_route_matcher, read_routing
from rulepush.model.labels import Labels

# As Alertmanager 0.33 writes it in GET /api/v2/status (config.original).
ORIGINAL = """
route:
  receiver: dingtalk
  group_by:
  - alertname
  continue: false
  routes:
  - receiver: "null"
    matchers:
    - severity="info"
    continue: true
  - receiver: dingtalk
    matchers:
    - severity="info"
    mute_time_intervals:
    - never
    continue: false
    routes:
    - receiver: mail
      group_by: ['...']
      matchers:
      - team=~"a|b"
      continue: false
    group_wait: 2s
  - receiver: mail
    match:
      service: db
    match_re:
      zone: hz.*
    group_by: [zone]
  - matchers:
    - severity!~"info|warning"
    - '"a b"!="x \\" y"'
    group_interval: 1h
  group_wait: 1s
receivers:
- name: "null"
  labels:
    name: "null"
- name: mail
  email_configs:
  - send_resolved: false
    to: a@b.c
- name: dingtalk
  webhook_configs:
  - send_resolved: true
    url: <secret>
  - send_resolved: true
    url: http://relay:8060/dingtalk/ops/send
  slack_configs: null
"""


@pytest.fixture
def routing() -> Routing:
    read = read_routing(ORIGINAL)
    assert read is not None
    return read


NAME = ("alertname",)


@pytest.mark.parametrize(
    ("labels", "taken"),
    [
        (
            {"severity": "info"},
            [TakenRoute("null", 1000, 300_000, NAME), TakenRoute("dingtalk", 2000, 300_000, NAME)],
        ),
        (
            {"severity": "info", "team": "b"},
            [TakenRoute("null", 1000, 300_000, NAME), TakenRoute("mail", 2000, 300_000, ("...",))],
        ),
        ({"severity": "warning"}, [TakenRoute("dingtalk", 1000, 300_000, NAME)]),
        ({"severity": "critical"}, [TakenRoute("dingtalk", 1000, 3_600_000, NAME)]),
        ({"severity": "critical", "a b": 'x " y'}, [TakenRoute("dingtalk", 1000, 300_000, NAME)]),
        ({"severity": "warning", "service": "db", "zone": "hz1"}, [TakenRoute("mail", 1000, 300_000, ("zone",))]),
        ({"severity": "warning", "service": "db", "zone": "sh1"}, [TakenRoute("dingtalk", 1000, 300_000, NAME)]),
    ],
)
def test_an_alert_takes_the_routes_that_alertmanager_would_take(
    routing: Routing, labels: dict[str, str], taken: list[TakenRoute]
) -> None:
    assert list(routing.routes(Labels(labels))) == taken


def test_without_times_those_of_alertmanager_hold() -> None:
    routing = read_routing("{route: {receiver: a}, receivers: [{name: a}]}")
    assert routing is not None
    [route] = routing.routes(Labels())
    assert (route.group_wait, route.group_interval, route.alone, route.first_wait) == (30_000, 300_000, False, 300_000)


def test_an_alert_of_its_own_group_waits_for_group_wait_only() -> None:
    assert TakenRoute("a", 30_000, 300_000, ("cluster", "alertname")).first_wait == 30_000
    assert TakenRoute("a", 30_000, 300_000, ("cluster",)).first_wait == 300_000
    assert TakenRoute("a", 30_000, 300_000, ("...",)).alone


def test_integrations_are_read_by_the_names_of_the_metrics(routing: Routing) -> None:
    assert routing.receivers["null"] == ()
    assert routing.receivers["mail"] == (Integration("email", False),)
    relay = "http://relay:8060/dingtalk/ops/send"
    assert routing.receivers["dingtalk"] == (Integration("webhook", True), Integration("webhook", True, relay))


@pytest.mark.parametrize(
    "text", ["", "x", "[1]", "{route: 1, receivers: []}", "{receivers: []}", "a: [", "{route: {}}"]
)
def test_what_is_no_configuration_is_none(text: str) -> None:
    assert read_routing(text) is None


@pytest.mark.parametrize("matcher", ["severity", '"severity="x"', 'a=~"("', "{a: b}"])
def test_a_matcher_that_cannot_be_read_leaves_the_routes_open(matcher: str) -> None:
    routing = read_routing(
        f"{{route: {{receiver: a, routes: [{{matchers: ['{matcher}']}}]}}, receivers: [{{name: a}}]}}"
    )
    assert routing is not None
    assert routing.routes(Labels()) == ()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('severity="info"', 'severity="info"'),
        (" team =~ a|b ", 'team=~"a|b"'),
        ('"a.b"!~"x,y=z"', '{"a.b"!~"x,y=z"}'),
        ('a=""', 'a=""'),
    ],
)
def test_matchers_are_read_with_and_without_quotes(text: str, shown: str) -> None:
    assert str(parse_route_matcher(text)) == shown.strip("{}")
