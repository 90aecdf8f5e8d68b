"""Credentials of requests, as httpx wants them: set on the first request, dropped on a redirect to another host."""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Final, Protocol

import httpx

from rulepush.http_client.config import Authorization, BasicAuth, HTTPHeader, header_fault
from rulepush.http_client.failures import CredentialsError
from rulepush.http_client.files import WatchedFile
from rulepush.http_client.rules import SENT_SECRETS

_AUTHORIZATION: Final = "Authorization"
_MAX_SLURP_BYTES: Final = 2048  # bytes: net/http/client.go maxBodySlurpSize


def text_source(text: str, path: str) -> Callable[[], str]:
    """A callable that answers the text, or what is in the file at the time."""
    return WatchedFile(path).text if path else lambda: text


def header_bytes(name: str, value: str) -> tuple[bytes, bytes]:
    """A header as it is sent, its value in UTF-8. Raises CredentialsError, without the value, when HTTP has none such:
    the text may come from a file."""
    fault = header_fault(name, value)
    if fault:
        raise CredentialsError(fault)
    return name.encode(), value.strip(" \t").encode()


async def drop_body(response: httpx.Response) -> None:
    """Leave the body of an answer that another request follows; httpx would read all of it, however large. A short one
    is read to its end, as Go's client does, which keeps the connection."""
    assert isinstance(response.stream, httpx.AsyncByteStream)
    read = 0
    async for part in response.stream:
        read += len(part)
        if read > _MAX_SLURP_BYTES:
            break
    await response.stream.aclose()
    response.stream = httpx.ByteStream(b"")


def _authorize(request: httpx.Request, value: str) -> None:
    others = [(n, v) for n, v in request.headers.raw if n.lower() != b"authorization"]
    request.headers = httpx.Headers([*others, header_bytes(_AUTHORIZATION, value)])


class BasicAuthFlow(httpx.Auth):
    """HTTP basic authentication."""

    def __init__(self, config: BasicAuth):
        self._username = text_source(config.username, config.username_file)
        self._password = text_source(config.password.reveal(), config.password_file)

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        if _AUTHORIZATION not in request.headers:
            pair = f"{self._username()}:{self._password()}".encode()
            _authorize(request, "Basic " + base64.b64encode(pair).decode())
        yield request


class AuthorizationFlow(httpx.Auth):
    """`Authorization: <type> <credentials>`."""

    def __init__(self, config: Authorization):
        self._type = config.type
        self._credentials = text_source(config.credentials.reveal(), config.credentials_file)

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        if _AUTHORIZATION not in request.headers:
            _authorize(request, f"{self._type} {self._credentials()}")
        yield request


class TokenSource(Protocol):
    """Where TokenFlow gets its header; see oauth2.py."""

    async def header(self) -> str:
        """The value of `Authorization`. Raises CredentialsError."""
        ...

    def forget(self, header: str) -> None:
        """The server refused this one."""
        ...


class TokenFlow(httpx.Auth):
    """A token that is fetched, kept while it is good, and fetched once more when the server answers 401."""

    def __init__(self, source: TokenSource):
        self._source = source

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        header = await self._source.header()
        _authorize(request, header)
        response = yield request
        if response.status_code == 401:
            self._source.forget(header)
            await drop_body(response)
            _authorize(request, await self._source.header())
            yield request


class ExtraHeaders:
    """The headers of `http_headers`."""

    def __init__(self, headers: tuple[HTTPHeader, ...]):
        self._sources: list[tuple[str, Callable[[], str], bool]] = []  # name, value, whether that is a secret
        for header in headers:
            self._sources += [(header.name, text_source(v, ""), False) for v in header.values]
            self._sources += [(header.name, text_source(s.reveal(), ""), True) for s in header.secrets]
            self._sources += [(header.name, text_source("", f), True) for f in header.files]
        self._names = {name.lower().encode() for name, _, _ in self._sources}

    def add_to(self, request: httpx.Request) -> None:
        """Replace the client's defaults of these names (Accept, ...) by every value configured."""
        if self._sources:
            values = [(name, source(), secret) for name, source, secret in self._sources]
            sent = [header_bytes(name, value) for name, value, _ in values]
            request.headers = httpx.Headers(self._others(request) + sent)
            request.extensions[SENT_SECRETS] = tuple(value for _, value, secret in values if secret)

    def remove_from(self, request: httpx.Request) -> None:
        """Take them away again."""
        if self._sources:
            request.headers = httpx.Headers(self._others(request))

    def _others(self, request: httpx.Request) -> list[tuple[bytes, bytes]]:
        return [(n, v) for n, v in request.headers.raw if n.lower() not in self._names]
