"""HTTP client settings as Prometheus writes them: credentials, TLS, proxies, redirects, headers.

Names and checks follow prometheus/common config/http_config.go.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from rulepush.model.secret import NO_SECRET, Secret

if TYPE_CHECKING:
    from rulepush.yaml.nodes import MapReader

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")
_TLS_VERSIONS: Final = ("TLS10", "TLS11", "TLS12", "TLS13")
# What no `headers` section may set, whatever it is for.
ALWAYS_RESERVED_HEADERS: Final = frozenset(
    [
        "authorization",
        "host",
        "content-encoding",
        "content-length",
        "content-type",
        "user-agent",
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "www-authenticate",
        "x-prometheus-remote-write-version",
        "x-amz-date",
        "x-amz-security-token",
        "x-amz-content-sha256",
    ]
)
_RESERVED_HEADERS: Final = ALWAYS_RESERVED_HEADERS | {
    "accept-encoding",
    "x-prometheus-remote-read-version",
    "x-prometheus-scrape-timeout-seconds",
}


@dataclass(frozen=True, slots=True)
class BasicAuth:
    """The `_file` forms are read when they are used, and again when they change."""

    username: str = ""
    username_file: str = ""
    password: Secret = NO_SECRET
    password_file: str = ""


@dataclass(frozen=True, slots=True)
class Authorization:
    """`Authorization: <type> <credentials>`."""

    type: str = "Bearer"
    credentials: Secret = NO_SECRET
    credentials_file: str = ""


@dataclass(frozen=True, slots=True)
class TLSConfig:
    """`ca`, `cert` and `key` hold PEM texts, the `_file` forms paths. An empty `min_version` is TLS 1.2."""

    ca: str = ""
    ca_file: str = ""
    cert: str = ""
    cert_file: str = ""
    key: Secret = NO_SECRET
    key_file: str = ""
    server_name: str = ""
    insecure_skip_verify: bool = False
    min_version: str = ""
    max_version: str = ""


@dataclass(frozen=True, slots=True)
class ProxyConfig:
    """`url` may hold a password. `connect_headers` go with the CONNECT request to the proxy."""

    url: Secret = NO_SECRET
    no_proxy: str = ""
    from_environment: bool = False
    connect_headers: tuple[tuple[str, tuple[Secret, ...]], ...] = ()


@dataclass(frozen=True, slots=True)
class OAuth2:
    """Client credentials grant."""

    client_id: str
    token_url: Secret
    client_secret: Secret = NO_SECRET
    client_secret_file: str = ""
    scopes: tuple[str, ...] = ()
    endpoint_params: tuple[tuple[str, str], ...] = ()
    tls: TLSConfig = TLSConfig()
    proxy: ProxyConfig = ProxyConfig()


@dataclass(frozen=True, slots=True)
class HTTPHeader:
    """One header of `http_headers`, sent once for each value, secret and file."""

    name: str
    values: tuple[str, ...] = ()
    secrets: tuple[Secret, ...] = ()
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HTTPClientConfig:
    """At most one of `basic_auth`, `authorization` and `oauth2` is set."""

    basic_auth: BasicAuth | None = None
    authorization: Authorization | None = None
    oauth2: OAuth2 | None = None
    tls: TLSConfig = TLSConfig()
    proxy: ProxyConfig = ProxyConfig()
    follow_redirects: bool = True
    enable_http2: bool = True  # accepted; HTTP/1.1 is spoken
    headers: tuple[HTTPHeader, ...] = field(default=())

    def files(self) -> tuple[str, ...]:
        """Every file that the settings name."""
        tls = [self.tls] + ([self.oauth2.tls] if self.oauth2 else [])
        named = [f for t in tls for f in (t.ca_file, t.cert_file, t.key_file)]
        if self.basic_auth:
            named += [self.basic_auth.username_file, self.basic_auth.password_file]
        if self.authorization:
            named.append(self.authorization.credentials_file)
        if self.oauth2:
            named.append(self.oauth2.client_secret_file)
        named += [f for header in self.headers for f in header.files]
        return tuple(f for f in named if f)


NO_CLIENT_SETTINGS: Final = HTTPClientConfig()


def read_http_client(m: MapReader) -> HTTPClientConfig:
    """Read the client settings that stand inline in a mapping (a scrape config, an Alertmanager, a discovery)."""
    basic, authorization, oauth2 = _read_basic_auth(m), _read_authorization(m), _read_oauth2(m)
    token, token_file = m.secret("bearer_token"), m.path("bearer_token_file")
    if token and token_file:
        m.problem("at most one of bearer_token & bearer_token_file must be configured", "bearer_token_file")
    if token or token_file:
        key = "bearer_token" if token else "bearer_token_file"
        if basic or oauth2:
            m.problem("at most one of basic_auth, oauth2, bearer_token & bearer_token_file must be configured", key)
        if authorization:
            m.problem("authorization is not compatible with bearer_token & bearer_token_file", key)
        authorization = Authorization("Bearer", token, token_file)  # the old form, as Prometheus 3 still takes it
        check_header(m, key, "Authorization", token.reveal())
    elif sum(x is not None for x in (basic, authorization, oauth2)) > 1:
        m.problem("at most one of basic_auth, oauth2 & authorization must be configured")
    return HTTPClientConfig(
        basic_auth=basic,
        authorization=authorization,
        oauth2=oauth2,
        tls=read_tls(m),
        proxy=_read_proxy(m),
        follow_redirects=m.flag("follow_redirects", True),
        enable_http2=m.flag("enable_http2", True),
        headers=_read_headers(m),
    )


def header_fault(name: str, value: str = "") -> str:
    """Why HTTP has no such header, in a few words without the value; "" when it has."""
    if not _TOKEN.fullmatch(name):
        return f"{name!r} is not a valid header name"
    if _CONTROL.search(value):
        return f"the value of {name} holds a line break or another control character"
    return ""


def check_header(m: MapReader, key: str, name: str, *values: str) -> None:
    """Note a problem at `key` when HTTP has no such header; sending it would fail every request."""
    faults = [header_fault(name, value) for value in values or ("",)]
    for fault in dict.fromkeys(f for f in faults if f):
        m.problem(fault, key)


def read_tls(m: MapReader) -> TLSConfig:
    """Read `tls_config` of a mapping."""
    inner = m.section("tls_config")
    if inner is None:
        return TLSConfig()
    config = TLSConfig(
        ca=inner.text("ca"),
        ca_file=inner.path("ca_file"),
        cert=inner.text("cert"),
        cert_file=inner.path("cert_file"),
        key=inner.secret("key"),
        key_file=inner.path("key_file"),
        server_name=inner.text("server_name"),
        insecure_skip_verify=inner.flag("insecure_skip_verify"),
        min_version=inner.one_of("min_version", _TLS_VERSIONS, ""),
        max_version=inner.one_of("max_version", _TLS_VERSIONS, ""),
    )
    for key in ("ca_ref", "cert_ref", "key_ref"):
        inner.unsupported(key, "")
    for name, text, file in (
        ("ca", config.ca, config.ca_file),
        ("cert", config.cert, config.cert_file),
        ("key", config.key, config.key_file),
    ):
        if text and file:
            inner.problem(f"at most one of {name} and {name}_file must be configured", f"{name}_file")
    has_cert, has_key = bool(config.cert or config.cert_file), bool(config.key or config.key_file)
    if has_cert and not has_key:
        inner.problem("exactly one of key or key_file must be configured when a client certificate is configured")
    if has_key and not has_cert:
        inner.problem("exactly one of cert or cert_file must be configured when a client key is configured")
    inner.finish()
    return config


def _read_basic_auth(m: MapReader) -> BasicAuth | None:
    inner = m.section("basic_auth")
    if inner is None:
        return None
    config = BasicAuth(
        inner.text("username"), inner.path("username_file"), inner.secret("password"), inner.path("password_file")
    )
    inner.unsupported("username_ref", "")
    inner.unsupported("password_ref", "")
    if config.username and config.username_file:
        inner.problem("at most one of basic_auth username & username_file must be configured", "username_file")
    if config.password and config.password_file:
        inner.problem("at most one of basic_auth password & password_file must be configured", "password_file")
    inner.finish()
    return config


def _read_authorization(m: MapReader) -> Authorization | None:
    inner = m.section("authorization")
    if inner is None:
        return None
    config = Authorization(
        inner.text("type").strip() or "Bearer", inner.secret("credentials"), inner.path("credentials_file")
    )
    inner.unsupported("credentials_ref", "")
    if config.credentials and config.credentials_file:
        text = "at most one of authorization credentials & credentials_file must be configured"
        inner.problem(text, "credentials_file")
    if config.type.lower() == "basic":
        inner.problem('authorization type cannot be set to "basic", use "basic_auth" instead', "type")
    check_header(inner, "type", "Authorization", config.type)
    check_header(inner, "credentials", "Authorization", config.credentials.reveal())
    inner.finish()
    return config


def _read_oauth2(m: MapReader) -> OAuth2 | None:
    inner = m.section("oauth2")
    if inner is None:
        return None
    config = OAuth2(
        client_id=inner.text("client_id"),
        token_url=inner.url("token_url"),
        client_secret=inner.secret("client_secret"),
        client_secret_file=inner.path("client_secret_file"),
        scopes=inner.texts("scopes"),
        endpoint_params=tuple(inner.text_map("endpoint_params").items()),
        tls=read_tls(inner),
        proxy=_read_proxy(inner),
    )
    inner.unsupported("grant_type", "", "client_credentials")
    for key in ("client_secret_ref", "client_certificate_key_id", "client_certificate_key", "http_headers", "claims"):
        inner.unsupported(key, "")
    for key in ("client_certificate_key_file", "client_certificate_key_ref", "signature_algorithm", "iss", "audience"):
        inner.unsupported(key, "")
    if not config.client_id:
        inner.problem("oauth2 client_id must be configured")
    if not inner.has("token_url"):
        inner.problem("oauth2 token_url must be configured")
    if config.client_secret and config.client_secret_file:
        text = "at most one of oauth2 client_secret & client_secret_file must be configured"
        inner.problem(text, "client_secret_file")
    inner.finish()
    return config


def _read_proxy(m: MapReader) -> ProxyConfig:
    headers = m.section("proxy_connect_header")
    has_url = bool(m.text("proxy_url"))  # `proxy_url: ""` is none, as for Prometheus
    config = ProxyConfig(
        url=m.url("proxy_url") if has_url else NO_SECRET,
        no_proxy=m.text("no_proxy"),
        from_environment=m.flag("proxy_from_environment"),
        connect_headers=tuple((n, headers.secrets(n)) for n in headers.keys()) if headers else (),  # noqa: SIM118
    )
    if headers:
        for name, values in config.connect_headers:
            check_header(headers, name, name, *(v.reveal() for v in values))
    if config.connect_headers and not (config.from_environment or has_url):
        text = "if proxy_connect_header is configured, proxy_url or proxy_from_environment must also be configured"
        m.problem(text, "proxy_connect_header")
    if config.from_environment and config.url:
        m.problem("if proxy_from_environment is configured, proxy_url must not be configured", "proxy_url")
    if config.from_environment and config.no_proxy:
        m.problem("if proxy_from_environment is configured, no_proxy must not be configured", "no_proxy")
    if config.no_proxy and not m.has("proxy_url") and not config.from_environment:
        m.problem("if no_proxy is configured, proxy_url must also be configured", "no_proxy")
    return config


def _read_headers(m: MapReader) -> tuple[HTTPHeader, ...]:
    outer = m.section("http_headers")
    if outer is None:
        return ()
    headers = []
    for name in outer.keys():  # noqa: SIM118
        if name.lower() in _RESERVED_HEADERS:
            outer.problem(f'setting header "{name}" is not allowed', name)
        inner = outer.section(name)
        if inner is not None:
            files = inner.paths("files")
            header = HTTPHeader(name, inner.texts("values"), inner.secrets("secrets"), files)
            headers.append(header)
            check_header(outer, name, name, *header.values, *(s.reveal() for s in header.secrets))
            inner.finish()
    return tuple(headers)
