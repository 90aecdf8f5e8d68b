"""The key `heartbeats`."""

from __future__ import annotations

from pathlib import Path

import pytest

from rulepush.config import load_config, render_config
from rulepush.config.references import check_references
from rulepush.config.sections import HeartbeatConfig
from rulepush.errors import ConfigError
from rulepush.http_client.config import BasicAuth, HTTPClientConfig
from rulepush.model.secret import Secret


def write(tmp_path: Path, text: str) -> str:
    path = tmp_path / "prometheus.yml"
    path.write_text(text)
    return str(path)


def test_a_url_is_enough(tmp_path: Path) -> None:
    (one,) = load_config(write(tmp_path, "heartbeats: [{url: https://hc-ping.com/uuid}]\n")).heartbeats
    assert one == HeartbeatConfig(Secret("https://hc-ping.com/uuid"), "hc-ping.com", 60_000, 10_000, "GET")


def test_everything_can_be_set_and_the_url_is_masked_as_a_whole(tmp_path: Path) -> None:
    text = """\
heartbeats:
- name: kuma
  url: http://kuma:3001/api/push/tokentoken?status=up
  interval: 5s
  method: POST
  body: "key=hush"
  basic_auth: {username: u, password: hush}
- {url: 'http://other.example:3001/api/push/other', timeout: 2s, http_headers: {X-A: {values: [b]}}}
"""
    config = load_config(write(tmp_path, text))
    kuma, other = config.heartbeats
    assert (kuma.name, kuma.interval_ms, kuma.timeout_ms) == ("kuma", 5_000, 5_000)
    assert (kuma.method, kuma.body) == ("POST", "key=hush")
    assert kuma.http_client == HTTPClientConfig(basic_auth=BasicAuth("u", password=Secret("hush")))
    assert (other.name, other.timeout_ms) == ("other.example", 2_000)
    shown = render_config(config) + repr(config.heartbeats)
    assert "tokentoken" not in shown
    assert "push/other" not in shown
    assert "hush" not in shown


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ("{interval: 1m}", "heartbeats[0]: url of a heartbeat is empty"),
        ("{url: hc-ping.com/tokentoken}", "heartbeats[0].url: expected a URL that starts with http:// or https://"),
        ("{url: 'https://hc/token token'}", "heartbeats[0].url: expected a URL"),
        ("{url: 'https://hc:x/tokentoken'}", "heartbeats[0].url: expected a URL"),
        ("{url: https://hc/t, interval: 500ms}", "heartbeats[0].interval: expected 1s or more"),
        ("{url: https://hc/t, interval: 5s, timeout: 6s}", "heartbeats[0].timeout: expected a duration above 0"),
        ("{url: https://hc/t, timeout: 0s}", "heartbeats[0].timeout: expected a duration above 0"),
        ("{url: https://hc/t, method: PUT}", "heartbeats[0].method"),
        ("{url: https://hc/t, body: x}", "a body is sent with method: POST only"),
        ("{url: https://hc/t, intervall: 5s}", "intervall"),
        (
            "{url: https://hc/a}, {url: https://hc/b}",
            'found multiple heartbeats with name "hc"; give each entry a name',
        ),
    ],
)
def test_a_mistake_is_named_without_the_url(tmp_path: Path, entry: str, problem: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load_config(write(tmp_path, f"heartbeats: [{entry}]\n"))
    assert problem in str(raised.value)
    assert "token" not in str(raised.value)


def test_the_files_of_its_client_settings_are_checked(tmp_path: Path) -> None:
    text = "heartbeats: [{url: https://hc/t, tls_config: {ca_file: missing.pem}}]\n"
    problems, warnings = check_references(load_config(write(tmp_path, text)))
    assert "missing.pem" in str([*problems, *warnings])
