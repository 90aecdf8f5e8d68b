"""Reading `heartbeats`, a key of our own."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from rulepush.config.sections import HeartbeatConfig
from rulepush.http_client.config import read_http_client
from rulepush.model.secret import Secret
from rulepush.yaml.nodes import MapReader

_METHODS: Final = ("GET", "POST", "HEAD")
_LEAST_INTERVAL_MS: Final = 1_000


def read_heartbeats(m: MapReader) -> tuple[HeartbeatConfig, ...]:
    """Read `heartbeats`; names must be unique."""
    seen: set[str] = set()
    configs = []
    for entry in m.sections("heartbeats"):
        config = _read_heartbeat(entry)
        if config.name in seen:
            text = "" if entry.has("name") else "; give each entry a name of its own"
            entry.problem(f'found multiple heartbeats with name "{config.name}"{text}', "name")
        seen.add(config.name)
        configs.append(config)
    return tuple(configs)


def _read_heartbeat(m: MapReader) -> HeartbeatConfig:
    url = _read_url(m)
    interval = m.duration("interval", 60_000)
    if interval < _LEAST_INTERVAL_MS:
        m.wrong("interval", "expected 1s or more")
    timeout = m.duration("timeout", min(10_000, interval))
    if timeout == 0 or timeout > max(interval, _LEAST_INTERVAL_MS):
        m.wrong("timeout", "expected a duration above 0, and not above the interval")
    method = m.one_of("method", _METHODS, "GET")
    body = m.secret("body").reveal()
    if body and method != "POST":
        m.problem("a body is sent with method: POST only", "body")
    config = HeartbeatConfig(
        url=url,
        name=m.text("name") or _host(url),
        interval_ms=interval,
        timeout_ms=timeout,
        method=method,
        body=body,
        http_client=read_http_client(m),
    )
    if not config.name.isprintable():
        m.wrong("name", "expected printable characters")
    m.finish()
    return config


def _read_url(m: MapReader) -> Secret:
    """Never shown, in no message either: who knows the path can pretend that all is well."""
    url = m.secret("url")
    text = url.reveal()
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not m.has("url"):
        m.problem("url of a heartbeat is empty")
    elif not good or not text.isprintable() or " " in text:
        m.wrong("url", "expected a URL that starts with http:// or https:// (not shown: it is a secret)")
    return url


def _host(url: Secret) -> str:
    try:
        return urlsplit(url.reveal()).hostname or ""
    except ValueError:
        return ""
