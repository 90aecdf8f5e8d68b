"""TLS contexts. One is built per distinct setting, when the first https request needs it: each costs memory."""

from __future__ import annotations

import os
import ssl
from functools import lru_cache
from typing import Final

from rulepush.http_client.config import TLSConfig
from rulepush.http_client.failures import CredentialsError
from rulepush.http_client.files import Stamp, stamp
from rulepush.model.secret import Secret

_VERSIONS: Final = {
    "TLS10": ssl.TLSVersion.TLSv1,
    "TLS11": ssl.TLSVersion.TLSv1_1,
    "TLS12": ssl.TLSVersion.TLSv1_2,
    "TLS13": ssl.TLSVersion.TLSv1_3,
}
_OLD_VERSIONS: Final = ("TLS10", "TLS11")
Stamps = tuple[Stamp | None, ...]


def tls_stamps(config: TLSConfig) -> Stamps:
    """Changes when one of the files that the settings name changes."""
    return tuple(stamp(f) for f in (config.ca_file, config.cert_file, config.key_file) if f)


def client_context(config: TLSConfig) -> ssl.SSLContext:
    """The context for these settings with the files as they are now; shared. Raises CredentialsError."""
    return _build(config, tls_stamps(config))


def set_ciphers(context: ssl.SSLContext, min_version: str, ciphers: str = "") -> None:
    """OpenSSL's own choice of ciphers, or these. TLS 1.0 and 1.1 sign with SHA-1, which OpenSSL 3 takes on its lowest
    security level only, whatever the lowest version is: who asks for these versions gets it."""
    if min_version in _OLD_VERSIONS:
        context.set_ciphers(f"{ciphers or 'DEFAULT:!aNULL:!eNULL'}:@SECLEVEL=0")
    elif ciphers:
        context.set_ciphers(ciphers)


def trust_any_anchor(context: ssl.SSLContext) -> None:
    """Whatever certificate is given as an authority is trusted, as in Go: a chain need not lead on to a self-signed
    root, so that an intermediate authority, or the server's own certificate, will do."""
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN


class _NamedContext(ssl.SSLContext):
    """Asks for `name`, and for a certificate of that name, whatever the address is: `server_name`.

    httpx' own extension for it says nothing to a target behind a proxy.
    """

    name = ""

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        return super().wrap_bio(incoming, outgoing, server_side, self.name, session)


def _context(name: str) -> ssl.SSLContext:
    if not name:
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context = _NamedContext(ssl.PROTOCOL_TLS_CLIENT)
    context.name = name
    return context


@lru_cache(maxsize=64)
def _build(config: TLSConfig, stamps: Stamps) -> ssl.SSLContext:
    context = _context(config.server_name)
    if config.min_version:
        context.minimum_version = _VERSIONS[config.min_version]
        set_ciphers(context, config.min_version)
    if config.max_version:
        context.maximum_version = _VERSIONS[config.max_version]
    trust_any_anchor(context)
    if config.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif config.ca or config.ca_file:
        _load_ca(context, config)
    else:
        _load_system_roots(context)
    if config.cert or config.cert_file:
        _load_client_certificate(context, config)
    return context


def _load_ca(context: ssl.SSLContext, config: TLSConfig) -> None:
    where = config.ca_file or "ca"
    try:
        if config.ca:
            context.load_verify_locations(cadata=config.ca)
        else:
            context.load_verify_locations(cafile=config.ca_file)
    except (OSError, ValueError) as e:
        raise CredentialsError(f"unable to use CA cert {where}: {_reason(e)}") from None


def _load_system_roots(context: ssl.SSLContext) -> None:
    """The machine's own roots, as Prometheus takes them; certifi's where the machine has none."""
    paths = ssl.get_default_verify_paths()
    if paths.cafile or (paths.capath and os.path.isdir(paths.capath) and os.listdir(paths.capath)):
        context.set_default_verify_paths()  # a directory of roots is then read as needed, not at once
        return
    import certifi

    context.load_verify_locations(cafile=certifi.where())


def _load_client_certificate(context: ssl.SSLContext, config: TLSConfig) -> None:
    where = f"{config.cert_file or 'cert'} and {config.key_file or 'key'}"
    try:
        load_certificate(context, config.cert, config.cert_file, config.key, config.key_file)
    except (OSError, ValueError) as e:
        raise CredentialsError(f"unable to use client certificate {where}: {_reason(e)}") from None


def load_certificate(context: ssl.SSLContext, cert: str, cert_file: str, key: Secret, key_file: str) -> None:
    """Give a context its own certificate, from PEM texts or from files. Raises OSError (ssl.SSLError) or ValueError."""
    cert_path, cert_fd = _as_path(cert, cert_file)
    key_path, key_fd = _as_path(key.reveal(), key_file)
    try:
        # A key with a passphrase would make OpenSSL ask on the terminal.
        context.load_cert_chain(cert_path, key_path, password=lambda: "")
    finally:
        for fd in (cert_fd, key_fd):
            if fd is not None:
                os.close(fd)


def _as_path(text: str, path: str) -> tuple[str, int | None]:
    """OpenSSL reads certificates from paths only: an inline one gets a path in memory, and a descriptor to close."""
    if not text:
        return path, None
    fd = os.memfd_create("rulepush")
    os.write(fd, text.encode())
    return f"/proc/self/fd/{fd}", fd


def _reason(e: Exception) -> str:
    if isinstance(e, ssl.SSLError):
        return e.reason or "not a valid PEM file"
    return (e.strerror or "unreadable") if isinstance(e, OSError) else "not a valid PEM text"
