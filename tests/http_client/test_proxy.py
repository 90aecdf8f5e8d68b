"""Which proxy a request takes; cases of golang.org/x/net/http/httpproxy's own tests among them."""

from __future__ import annotations

import pytest

from rulepush.http_client.config import ProxyConfig
from rulepush.http_client.proxy import NoProxy, ProxyChooser
from rulepush.model.secret import Secret


@pytest.mark.parametrize(
    ("entries", "host", "port", "covered"),
    [
        ("", "example.com", 80, False),
        ("*", "example.com", 80, True),
        ("example.com", "example.com", 80, True),
        ("example.com", "a.example.com", 80, True),
        ("example.com", "notexample.com", 80, False),
        (".example.com", "example.com", 80, False),
        (".example.com", "a.example.com", 80, True),
        ("*.example.com", "a.example.com", 80, True),
        ("*.example.com", "example.com", 80, False),
        ("Example.COM", "EXAMPLE.com", 80, True),
        ("example.com:8080", "example.com", 8080, True),
        ("example.com:8080", "example.com", 80, False),
        ("10.0.0.1", "10.0.0.1", 80, True),
        ("10.0.0.1:81", "10.0.0.1", 80, False),
        ("10.0.0.0/8", "10.200.0.1", 80, True),
        ("10.0.0.0/8", "11.0.0.1", 80, False),
        ("fe80::/10", "[fe80::1]", 80, True),
        ("[::2]:90", "::2", 90, True),
        (" a , b.c ,", "b.c", 80, True),
        ("x", "localhost", 80, True),
        ("x", "127.9.9.9", 80, True),
        ("x", "::1", 80, True),
    ],
)
def test_no_proxy(entries: str, host: str, port: int, covered: bool) -> None:
    assert NoProxy.parse(entries).covers(host, port) is covered


def test_a_configured_proxy_takes_everything_but_no_proxy() -> None:
    chooser = ProxyChooser(ProxyConfig(Secret("http://p:1"), "a.b"), {"HTTP_PROXY": "http://other:1"})
    assert chooser.choose("http", "x", None) == "http://p:1"
    assert chooser.choose("https", "c.a.b", None) == ""
    assert ProxyChooser(ProxyConfig(Secret("http://p:1")), {}).choose("http", "localhost", 80) == "http://p:1"


def test_the_environment_counts_only_when_asked() -> None:
    environment = {"HTTP_PROXY": "p:1", "https_proxy": "https://s:2", "NO_PROXY": "skip"}
    chooser = ProxyChooser(ProxyConfig(from_environment=True), environment)
    assert chooser.choose("http", "x", None) == "http://p:1"
    assert chooser.choose("https", "x", None) == "https://s:2"
    assert chooser.choose("https", "skip", None) == ""
    assert ProxyChooser(ProxyConfig(), environment).choose("http", "x", None) == ""
    cgi = ProxyChooser(ProxyConfig(from_environment=True), environment | {"REQUEST_METHOD": "GET"})
    assert cgi.choose("http", "x", None) == ""
