"""URLs as others reach them; the expected ones are what Prometheus' getGlobalURL gives."""

from __future__ import annotations

import pytest

from rulepush.web.external_url import ExternalURL


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:8848/nacos/metrics?x=1", "http://mon.example:8848/nacos/metrics?x=1"),
        ("http://localhost:8848/m", "http://mon.example:8848/m"),
        ("http://[::1]:8848/m", "http://mon.example:8848/m"),
        ("http://127.0.0.1:9095/metrics", "https://mon.example:443/metrics"),  # this process itself
        ("http://10.0.0.1:8848/m", "http://10.0.0.1:8848/m"),
        ("http://127.0.0.1/m", "http://127.0.0.1/m"),
        ("http://127.0.0.1:99999999/m", "http://127.0.0.1:99999999/m"),
        ("http://[::1/m", "http://[::1/m"),
        ("http://a\u2100:80/m", "http://a\u2100:80/m"),
    ],
)
def test_loopback_targets_are_shown_on_the_external_host(url: str, expected: str) -> None:
    assert ExternalURL("https://mon.example:443/rules", 9095).global_url(url) == expected


def test_an_ipv6_host_keeps_its_brackets() -> None:
    assert (
        ExternalURL("http://[2001:db8::1]:9095", 9095).global_url("http://localhost:1/m") == "http://[2001:db8::1]:1/m"
    )


def test_the_prefix_has_no_slash_at_its_end() -> None:
    assert ExternalURL("http://mon.example/a/b/", 1).prefix == "/a/b"
    assert ExternalURL("http://mon.example/", 1).prefix == ""


@pytest.mark.parametrize(("routes", "expected"), [("", "/a"), ("/", ""), ("x", "/x"), ("/x/y/", "/x/y")])
def test_routes_are_below_the_same_path_unless_told_otherwise(routes: str, expected: str) -> None:
    own = ExternalURL("http://mon.example/a", 1, routes)
    assert (own.prefix, own.route_prefix) == ("/a", expected)
