"""`--web.config.file`: TLS, client certificates and passwords of the HTTP server, in the exporter toolkit's format."""

from __future__ import annotations

import asyncio
import hashlib
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import bcrypt
import yaml

from rulepush.errors import ConfigError, Problem
from rulepush.http_client.tls import load_certificate, set_ciphers, trust_any_anchor
from rulepush.model.secret import NO_SECRET, Secret
from rulepush.yaml.nodes import LoadSession, MapReader, kind, line_of, read_yaml

_VERSIONS: Final = {
    "TLS10": ssl.TLSVersion.TLSv1,
    "TLS11": ssl.TLSVersion.TLSv1_1,
    "TLS12": ssl.TLSVersion.TLSv1_2,
    "TLS13": ssl.TLSVersion.TLSv1_3,
}
# A client certificate that is not verified proves nothing, and Python cannot require one without verifying it.
_CLIENT_AUTH: Final = {
    "NoClientCert": ssl.CERT_NONE,
    "RequestClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
_HEADERS: Final = (
    "Strict-Transport-Security",
    "X-Content-Type-Options",
    "X-Frame-Options",
    "X-XSS-Protection",
    "Content-Security-Policy",
)
_CIPHERS: Final = {
    f"TLS_{exchange}_WITH_{go}": f"{exchange.replace('_', '-')}-{openssl}"
    for exchange in ("ECDHE_ECDSA", "ECDHE_RSA")
    for go, openssl in {
        "AES_128_GCM_SHA256": "AES128-GCM-SHA256",
        "AES_256_GCM_SHA384": "AES256-GCM-SHA384",
        "CHACHA20_POLY1305_SHA256": "CHACHA20-POLY1305",
        "CHACHA20_POLY1305": "CHACHA20-POLY1305",
        "AES_128_CBC_SHA256": "AES128-SHA256",
        "AES_128_CBC_SHA": "AES128-SHA",
        "AES_256_CBC_SHA": "AES256-SHA",
    }.items()
} | {
    "TLS_RSA_WITH_AES_128_GCM_SHA256": "AES128-GCM-SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384": "AES256-GCM-SHA384",
    "TLS_RSA_WITH_AES_128_CBC_SHA": "AES128-SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA": "AES256-SHA",
}
_TLS13_CIPHERS: Final = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")
# Compared with for an unknown user, so that the response time does not reveal which users exist.
_NOBODY: Final = b"$2b$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi"
_CACHED: Final = 100
_BCRYPT_BYTES: Final = 72  # bcrypt ignores the rest


@dataclass(frozen=True, slots=True)
class TLSServerConfig:
    """`tls_server_config`. Paths are absolute; `cert`, `key`, `client_ca` hold PEM texts in their place."""

    cert: str = ""
    cert_file: str = ""
    key: Secret = NO_SECRET
    key_file: str = ""
    client_auth: str = "NoClientCert"
    client_ca: str = ""
    client_ca_file: str = ""
    min_version: str = "TLS12"
    max_version: str = "TLS13"
    ciphers: tuple[str, ...] = ()  # OpenSSL's names
    prefer_server_ciphers: bool = True


@dataclass(frozen=True, slots=True)
class WebConfig:
    """The file's content. `users` maps names to bcrypt hashes; empty means no authentication."""

    path: str = ""
    tls: TLSServerConfig | None = None
    headers: tuple[tuple[str, str], ...] = ()
    users: tuple[tuple[str, Secret], ...] = ()
    ignored: tuple[str, ...] = ()

    def tls_context(self) -> ssl.SSLContext | None:
        """The context of the listening socket; None without TLS. Raises ConfigError when a file cannot be used."""
        return None if self.tls is None else _context(self.tls, self.path)

    def renew(self, context: ssl.SSLContext) -> None:
        """Apply these settings to a context in use, for new connections. Raises ConfigError."""
        if self.tls is not None:
            _context(self.tls, self.path)  # an invalid pair of files must not replace the one in use
            _load(context, self.tls, self.path)

    def files(self) -> tuple[str, ...]:
        """The file itself, and those it names."""
        named = (self.tls.cert_file, self.tls.key_file, self.tls.client_ca_file) if self.tls else ()
        return (self.path, *(f for f in named if f))

    def passwords(self) -> Passwords | None:
        """The checker of passwords; None without authentication."""
        return Passwords(dict(self.users)) if self.users else None


class Passwords:
    """Checks passwords against bcrypt hashes. Correct ones are cached, as salted hashes: bcrypt is slow."""

    def __init__(self, users: Mapping[str, Secret]):
        self._users = users
        self._salt = os.urandom(16)
        self._good: dict[bytes, None] = {}
        self._turn = asyncio.Lock()

    def replace(self, users: Mapping[str, Secret]) -> None:
        """Use these users from now on."""
        self._users = users
        self._good.clear()

    async def verify(self, user: str, password: str) -> bool:
        """Whether the password is right; a comparison runs in a thread, so that it does not hold up the loop.

        One at a time, as in the exporter toolkit: a password guesser would otherwise occupy all threads, which
        name resolution needs as well."""
        key = self._key(user, password)
        if key in self._good:
            return True
        async with self._turn:
            if key in self._good:  # another request of the same user was first
                return True
            users = self._users
            if not await asyncio.to_thread(self.check, user, password):
                return False
        if users is self._users:  # a password that was replaced in between must not be cached
            if len(self._good) >= _CACHED:
                self._good.pop(next(iter(self._good)))
            self._good[key] = None
        return True

    def check(self, user: str, password: str) -> bool:
        """The same, in the caller's thread and without the cache."""
        known = self._users.get(user)
        digest = known.reveal().encode() if known is not None else _NOBODY
        try:
            same = bcrypt.checkpw(password.encode("utf-8", "surrogatepass")[:_BCRYPT_BYTES], digest)
        except ValueError:
            return False
        return same and known is not None

    def _key(self, user: str, password: str) -> bytes:
        parts = (user.encode("utf-8", "surrogatepass"), password.encode("utf-8", "surrogatepass"))
        return hashlib.sha256(self._salt + b"".join(len(p).to_bytes(8, "big") + p for p in parts)).digest()


def load_web_config(path: str) -> WebConfig:
    """Read and check the file. Raises ConfigError with every problem. An empty file enables nothing."""
    reading = LoadSession()
    source, root = read_yaml(path, reading)
    config = WebConfig(path)
    if isinstance(root, yaml.MappingNode):
        config = _read(MapReader(source, root), path)
    elif root is not None:
        source.problem(line_of(root), f"expected a mapping, got {kind(root)}")
    if reading.problems:
        raise ConfigError(sorted(reading.problems, key=lambda p: p.line))
    return config


def _read(m: MapReader, path: str) -> WebConfig:
    tls = _read_tls(m.section("tls_server_config"))
    headers = _read_http(m.section("http_server_config"))
    users = m.section("basic_auth_users")
    pairs = tuple((name, users.secret(name)) for name in users.keys()) if users else ()  # noqa: SIM118
    for name, digest in pairs:
        if users is not None and not _is_bcrypt(digest.reveal()):
            users.problem(f"the password of {name!r} is not a bcrypt hash ($2y$...): see htpasswd -nBC 10 ''", name)
    m.ignore("rate_limit")
    m.finish()
    return WebConfig(path, tls, headers, pairs, tuple(m.source.reading.ignored))


def _is_bcrypt(text: str) -> bool:
    return text.startswith(("$2a$", "$2b$", "$2y$")) and len(text) == 60


def _read_tls(m: MapReader | None) -> TLSServerConfig | None:
    if m is None:
        return None
    suites = m.texts("cipher_suites")
    for suite in suites:
        if suite not in _CIPHERS and suite not in _TLS13_CIPHERS:
            m.problem(f"unknown cipher: {suite}", "cipher_suites")
    if m.text("client_auth_type") == "RequireAnyClientCert":
        m.problem("client_auth_type: RequireAnyClientCert is not supported by rulepush", "client_auth_type")
    config = TLSServerConfig(
        cert=m.text("cert"),
        cert_file=m.path("cert_file"),
        key=m.secret("key"),
        key_file=m.path("key_file"),
        client_auth=m.one_of("client_auth_type", ("", *_CLIENT_AUTH, "RequireAnyClientCert"), "") or "NoClientCert",
        client_ca=m.text("client_ca"),
        client_ca_file=m.path("client_ca_file"),
        min_version=m.one_of("min_version", tuple(_VERSIONS), "TLS12"),
        max_version=m.one_of("max_version", tuple(_VERSIONS), "TLS13"),
        ciphers=tuple(_CIPHERS[s] for s in suites if s in _CIPHERS),
        prefer_server_ciphers=m.flag("prefer_server_cipher_suites", True),
    )
    m.ignore("curve_preferences")
    m.unsupported("client_allowed_sans")
    for name in ("cert", "key"):
        inline, file = bool(getattr(config, name)), bool(getattr(config, f"{name}_file"))
        if inline == file:
            m.problem(f"exactly one of {name} and {name}_file must be configured", f"{name}_file")
    has_ca = bool(config.client_ca or config.client_ca_file)
    verifies = config.client_auth in ("VerifyClientCertIfGiven", "RequireAndVerifyClientCert")
    if has_ca and config.client_auth == "NoClientCert":
        m.problem("Client CA's have been configured without a Client Auth Policy", "client_ca_file")
    if verifies and not has_ca:
        m.problem(f"client_auth_type: {config.client_auth} needs client_ca_file", "client_auth_type")
    m.finish()
    return config


def _read_http(m: MapReader | None) -> tuple[tuple[str, str], ...]:
    if m is None:
        return ()
    m.flag("http2", True)  # HTTP/1.1 is spoken
    headers = m.section("headers")
    pairs = tuple((name, headers.text(name)) for name in _HEADERS) if headers else ()
    if headers:
        headers.finish()
    m.finish()
    return tuple((name, value) for name, value in pairs if value)


def _context(config: TLSServerConfig, path: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if config.prefer_server_ciphers:
        context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    trust_any_anchor(context)
    _load(context, config, path)
    return context


def _load(context: ssl.SSLContext, config: TLSServerConfig, path: str) -> None:
    """Load the settings that may change while the context is in use. Raises ConfigError."""
    where = f"{config.cert_file or 'cert'} and {config.key_file or 'key'}"
    try:
        set_ciphers(context, config.min_version, ":".join(config.ciphers))
        load_certificate(context, config.cert, config.cert_file, config.key, config.key_file)
        where = config.client_ca_file or "client_ca"
        if config.client_ca:
            context.load_verify_locations(cadata=config.client_ca)
        elif config.client_ca_file:
            context.load_verify_locations(cafile=config.client_ca_file)
    except (OSError, ValueError) as e:
        reason = (e.reason or "not a valid PEM file") if isinstance(e, ssl.SSLError) else getattr(e, "strerror", None)
        raise ConfigError([Problem(path, 0, f"{where} cannot be used: {reason or 'not a valid PEM text'}")]) from None
    context.minimum_version, context.maximum_version = _VERSIONS[config.min_version], _VERSIONS[config.max_version]
    context.verify_mode = _CLIENT_AUTH[config.client_auth]
