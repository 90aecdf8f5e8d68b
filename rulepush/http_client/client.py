"""Client: httpx' client, with every way in which a request can fail as one family of errors.

httpx raises more than its HTTPError: InvalidURL is none, a host name that IDNA refuses (in a redirect, perhaps) is a
ValueError, and a header value with a line break is quoted in the error's text, secret or not. A caller of this
client catches httpx.HTTPError and may log its text.
"""

from __future__ import annotations

import os
import ssl
from typing import Any, Final, Protocol

import httpx

from rulepush.model.secret import masked_parameters

_QUOTES_A_HEADER: Final = "Illegal header value"  # how h11's text begins

# OpenSSL's defaults against Go's: crypto/tls takes RSA keys of 1024 bits and the CBC ciphers with SHA-1.
_WEAK_TLS_HINT: Final = (
    " (OpenSSL refuses by default what Prometheus takes: RSA keys under 2048 bits and ciphers with SHA-1, such as "
    "ECDHE-RSA-AES128-SHA. Renew the server's certificate or ciphers, or set min_version: TLS10 in tls_config, which "
    "accepts them)"
)


def reason(e: BaseException) -> str:
    """What went wrong with a request, beneath httpx: its own texts say less ("All connection attempts failed")."""
    cause: BaseException | None = e
    while cause is not None:
        if isinstance(cause, BaseExceptionGroup):  # anyio's, where a name has several addresses: one reason is enough
            cause = cause.exceptions[0]
        if isinstance(cause, ssl.SSLCertVerificationError):
            hint = _WEAK_TLS_HINT if "too weak" in cause.verify_message or "too small" in cause.verify_message else ""
            return f"tls: failed to verify certificate: {cause.verify_message}{hint}"
        if isinstance(cause, ssl.SSLError) and cause.reason:
            hint = _WEAK_TLS_HINT if "HANDSHAKE_FAILURE" in cause.reason or "TOO_SMALL" in cause.reason else ""
            return f"tls: {cause.reason.replace('_', ' ').lower()}{hint}"
        if isinstance(cause, OSError) and cause.strerror:
            # asyncio's own text for a refused connection is "Connect call failed (address)", which hides the reason.
            return os.strerror(cause.errno).lower() if cause.errno and cause.errno > 0 else cause.strerror
        # What is raised `from None` means to hide its cause; but httpcore does that to errors of its own making.
        hides = cause.__suppress_context__ and not type(cause).__module__.startswith("httpcore")
        cause = cause.__cause__ or (None if hides else cause.__context__)
    if not str(e) and isinstance(e, httpx.ConnectError):  # anyio's end of the stream, which has no text
        return f"tls: the server closed the connection during the handshake{_WEAK_TLS_HINT}"
    return str(e) or ("timeout" if isinstance(e, httpx.TimeoutException) else type(e).__name__)


def met_plain_http(detail: str) -> bool:
    """Whether this reason is what a TLS handshake gets from a server that speaks HTTP."""
    return "wrong version number" in detail or "record layer failure" in detail


def met_unknown_authority(detail: str) -> bool:
    """Whether this reason is that nobody who is trusted issued the server's certificate."""
    return "local issuer certificate" in detail or "self-signed certificate" in detail


def is_request_failure(e: Exception) -> bool:
    """Whether this is what httpx, or the network below it, raises for a request that failed."""
    return isinstance(e, (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError, ValueError))  # SSLErrors, too


def failed_url(e: BaseException, url: str) -> str:
    """The URL whose request failed, without credentials: another one than `url` after a redirect."""
    try:
        asked = e.request.url if isinstance(e, httpx.RequestError) else None
    except RuntimeError:  # it was never sent
        asked = None
    return url if asked is None or asked == httpx.URL(url) else shown_url(str(asked))


def shown_url(url: str) -> str:
    """A URL for logs and labels: without user, password and the values of parameters that are secrets."""
    try:
        parsed = httpx.URL(url)
        known = str(parsed.copy_with(username=None, password=None)) if parsed.userinfo else url
    except (httpx.InvalidURL, ValueError):
        known = url.rpartition("@")[2]
    return masked_parameters(known)


def server_of(url: str) -> str:
    """`https://host:9090` of a URL whose path and parameters may hold a secret; "" when it is no URL."""
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, ValueError):
        return ""
    return f"{parsed.scheme}://{parsed.netloc.decode('ascii')}" if parsed.host else ""


class ConnectionCloser(Protocol):
    """What knows the connections of owners: the transport."""

    async def close_owned(self, owner: object) -> None:
        """Close the connections of this owner."""
        ...


class Client(httpx.AsyncClient):
    """Raises httpx.HTTPError and nothing else. Header values that are not ASCII are sent as UTF-8, as Go does."""

    def __init__(self, closer: ConnectionCloser, **settings: Any):
        """`settings` are httpx' own."""
        super().__init__(**settings)
        self._closer = closer

    async def close_owned(self, owner: object) -> None:
        """Close the connections of requests with this CONNECTION_OWNER: no more will come."""
        await self._closer.close_owned(owner)

    def build_request(self, *args: Any, **kwargs: Any) -> httpx.Request:
        headers = kwargs.get("headers")
        try:
            if isinstance(headers, dict):
                kwargs["headers"] = [(n.encode(), v.encode()) for n, v in headers.items()]
            return super().build_request(*args, **kwargs)
        except (httpx.InvalidURL, ValueError) as e:
            raise httpx.RequestError(_text(e)) from None

    async def send(self, *args: Any, **kwargs: Any) -> httpx.Response:
        if self.is_closed:  # httpx raises RuntimeError
            raise httpx.RequestError("the connections are closed")
        try:
            return await super().send(*args, **kwargs)
        except httpx.LocalProtocolError as e:
            if str(e).startswith(_QUOTES_A_HEADER):
                raise httpx.RequestError("a header value holds a line break or another control character") from None
            raise
        except (httpx.InvalidURL, OSError, ValueError) as e:
            raise httpx.RequestError(_text(e)) from e


def _text(e: Exception) -> str:
    """The reason; UnicodeError's texts quote a character and its place, which may be a secret's."""
    return "not a valid host name" if isinstance(e, UnicodeError) else str(e) or type(e).__name__
