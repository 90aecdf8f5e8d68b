"""Settings of HTTP clients: what is refused, and that no secret is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.config.loading import problems


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        (
            "basic_auth: {username: a}, bearer_token: b",
            "at most one of basic_auth, oauth2, bearer_token & bearer_token_file",
        ),
        ("bearer_token: a, bearer_token_file: b", "at most one of bearer_token & bearer_token_file must be configured"),
        ("authorization: {credentials: a}, bearer_token: b", "authorization is not compatible with bearer_token"),
        ("authorization: {}, basic_auth: {}", "at most one of basic_auth, oauth2 & authorization must be configured"),
        ("authorization: {type: Basic}", 'authorization type cannot be set to "basic", use "basic_auth" instead'),
        (
            "authorization: {credentials: a, credentials_file: b}",
            "at most one of authorization credentials & credentials_file",
        ),
        ("basic_auth: {password: a, password_file: b}", "at most one of basic_auth password & password_file"),
        ("oauth2: {client_id: a}", "oauth2 token_url must be configured"),
        ("oauth2: {token_url: 'http://a'}", "oauth2 client_id must be configured"),
        ("oauth2: {token_url: 'http://a', client_id: a, grant_type: jwt}", "grant_type is not supported yet"),
        ("tls_config: {cert_file: a}", "exactly one of key or key_file must be configured when a client certificate"),
        ("tls_config: {key: a}", "exactly one of cert or cert_file must be configured when a client key"),
        ("tls_config: {ca: a, ca_file: b}", "at most one of ca and ca_file must be configured"),
        ("tls_config: {min_version: TLS9}", "min_version: expected one of TLS10, TLS11, TLS12, TLS13, got 'TLS9'"),
        ("no_proxy: a", "if no_proxy is configured, proxy_url must also be configured"),
        (
            "proxy_url: 'http://a', proxy_from_environment: true",
            "if proxy_from_environment is configured, proxy_url must not",
        ),
        (
            "proxy_connect_header: {a: [b]}",
            "if proxy_connect_header is configured, proxy_url or proxy_from_environment",
        ),
        ("http_headers: {authorization: {values: [a]}}", 'setting header "authorization" is not allowed'),
        ("http_headers: {a b: {values: [a]}}", "'a b' is not a valid header name"),
        ('http_headers: {a: {secrets: ["x\\ny"]}}', "the value of a holds a line break or another control character"),
        ('authorization: {credentials: "x\\ny"}', "the value of Authorization holds a line break or another control"),
        ('bearer_token: "x\\ny"', "the value of Authorization holds a line break or another control character"),
        ('proxy_url: "http://p", proxy_connect_header: {a: ["x\\ny"]}', "the value of a holds a line break"),
        ("http_headers: {a: {value: [a]}}", "unknown key 'value' (did you mean 'values'?)"),
    ],
)
def test_client_settings_are_checked_as_prometheus_does(tmp_path: Path, settings: str, complaint: str) -> None:
    found = problems(tmp_path, "scrape_configs: [{job_name: a, " + settings + "}]")
    assert any(complaint in p for p in found), found


def test_secrets_are_in_no_problem(tmp_path: Path) -> None:
    text = (
        "scrape_configs:\n- job_name: a\n  basic_auth: {password: [hunter2]}\n  http_sd_configs:\n"
        "  - url: 'ftp://u:hunter2@x'\n  - url: 'http://u:hunter2@x:port'\n"
        "  authorization: {credentials: {x: hunter2}}\n"
        '  http_headers: {X-A: {secrets: ["hunter2\\r"]}}\n'
    )
    found = problems(tmp_path, text)
    assert len(found) >= 5
    assert "hunter2" not in str(found)


@pytest.mark.parametrize(
    "settings",
    [
        "basic_auth: hunter2",
        "oauth2: hunter2",
        "authorization: hunter2",
        "http_headers: {X-Key: hunter2}",
        "http_headers: {X-Key: {secrets: hunter2}}",
        "proxy_url: 'http://p', proxy_connect_header: {X-Key: hunter2}",
        "nacos_sd_configs: [{server: 'http://n', server_identity: hunter2}]",
    ],
)
def test_a_secret_in_the_wrong_place_is_not_told(tmp_path: Path, settings: str) -> None:
    found = problems(tmp_path, "scrape_configs: [{job_name: a, " + settings + "}]")
    assert any("got a text" in p for p in found), found
    assert "hunter2" not in str(found)
