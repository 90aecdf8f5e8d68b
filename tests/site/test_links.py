"""Addresses of pages, and links to others."""

from __future__ import annotations

from urllib.parse import unquote

import httpx
import pytest

from rulepush.model.labels import Labels
from rulepush.site.links import alert_url, query_url, rule_names, rule_url, safe_link, silence_url, with_parameters


def test_a_page_of_an_alert_is_named_by_its_fingerprint() -> None:
    labels = Labels({"name": "garland, briggs", "fear": "love is not enough"})
    assert alert_url(labels) == f"/alerts/{5799056148416392346:016x}"


def test_a_page_of_a_rule_is_named_by_group_and_name() -> None:
    assert rule_url("r/a.yml", "my group", "Down/Up?") == "/rules/my%20group/Down%2FUp%3F?file=r%2Fa.yml"


@pytest.mark.parametrize(
    ("group", "name"),
    [("my group", "Down/Up?"), ("..", "."), (".", ".."), ("~..", "~~."), ("~x", "~"), ("世%2F", "#?<b>"), ("...", " ")],
)
def test_no_name_of_a_rule_becomes_another_path(group: str, name: str) -> None:
    address = httpx.URL("http://x" + rule_url("r.yml", group, name))
    path = address.raw_path.decode().partition("?")[0]
    assert all(segment not in (".", "..") for segment in unquote(path).replace("Down/Up", "").split("/"))
    assert rule_names(path) == (group, name)


def test_a_path_of_one_name_has_no_group() -> None:
    assert (rule_names("/rules/x"), rule_names("x")) == (("rules", "x"), ("", "x"))


def test_a_query_is_addressed_as_in_prometheus() -> None:
    assert query_url('up{a="b"} == 0') == "/graph?g0.expr=up%7Ba%3D%22b%22%7D+%3D%3D+0&g0.tab=1"


@pytest.mark.parametrize(
    "address",
    [
        "http://am:9093/api/v2/alerts",
        "http://am:9093/api/v2/alerts#2",
        "http://am:9093",
        "http://am:9093/",
    ],
)
def test_a_silence_has_a_matcher_for_each_label(address: str) -> None:
    labels = Labels({"alertname": "Down", "q": 'a "b"'})
    filled = "%7Balertname%3D%22Down%22%2C%20q%3D%22a%20%5C%22b%5C%22%22%7D"
    assert silence_url(address, labels) == f"http://am:9093/#/silences/new?filter={filled}"


def test_a_silence_goes_to_the_path_of_the_alertmanager() -> None:
    assert silence_url("https://x/am/api/v2/alerts", Labels()).startswith("https://x/am/#/silences/new?")


@pytest.mark.parametrize("text", ["http://x", "https://wiki.example/run?book=1#a", " https://x/y \n", "HTTPS://x/Y"])
def test_web_addresses_are_links(text: str) -> None:
    assert safe_link(text) == text.strip()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "see https://x",
        "https://x and more",
        "javascript:alert(1)",
        "java\nscript:alert(1)",
        "https://x\n/y",
        "data:text/html,x",
        "ftp://x",
        "http:///nohost",
        "//x",
        "/relative",
        "http://[::1",
    ],
)
def test_nothing_else_is_a_link(text: str) -> None:
    assert safe_link(text) == ""


def test_parameters_without_a_value_are_left_out() -> None:
    assert with_parameters("/alerts", {"state": "firing", "job": ""}) == "/alerts?state=firing"
    assert with_parameters("/alerts", {"state": ""}) == "/alerts"
