"""Fetching one body: headers as Prometheus sends them, limits while it streams, errors in Prometheus' words."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import http
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from rulepush.errors import HTTPStatusError, ScrapeError
from rulepush.http_client.on_demand import ClientOnDemand
from rulepush.http_client.plain import NotPlain, PlainHead, PlainRequest, Sink
from rulepush.http_client.rules import CONNECTION_OWNER, SENT_SECRETS
from rulepush.model.floats import format_float
from rulepush.model.secret import MASK, masked_parameters

if TYPE_CHECKING:
    import httpx

    from rulepush.http_client.on_demand import AnyClient

# Without body_size_limit a target may still not exhaust memory or time. Reading a body costs several times its size,
# and more for each line than for its bytes; a line without an end is no exposition.
DEFAULT_BODY_LIMIT: Final = 64 << 20
_BYTES_A_LINE: Final = 128
_MIN_LINE_LIMIT: Final = 100_000
_MAX_LINE_BYTES: Final = 1 << 20
_UNPACK_BYTES: Final = 1 << 18
_MAX_REDIRECTS: Final = 10
_MIN_SECRET: Final = 4  # characters: where a shorter one was replaced everywhere, one could guess it
_GZIP: Final = 31  # zlib's wbits for a gzip header

_PROTOBUF: Final = "application/vnd.google.protobuf"
_PROTOCOL_HEADERS: Final = {
    "PrometheusProto": f"{_PROTOBUF};proto=io.prometheus.client.MetricFamily;encoding=delimited",
    "OpenMetricsText1.0.0": "application/openmetrics-text;version=1.0.0",
    "OpenMetricsText0.0.1": "application/openmetrics-text;version=0.0.1",
    "PrometheusText1.0.0": "text/plain;version=1.0.0",
    "PrometheusText0.0.4": "text/plain;version=0.0.4",
}

Deadline = Callable[[float], AbstractAsyncContextManager[object]]


@dataclass(frozen=True, slots=True)
class Fetched:
    """A body, decompressed, and how it is labelled."""

    body: bytes
    content_type: str


def accept_header(protocols: tuple[str, ...], escaping: str = "allow-utf-8") -> str:
    """The Accept header for `scrape_protocols`, in order of preference, as Prometheus weighs them."""
    values = []
    weight = 6
    for protocol in protocols:
        value = _PROTOCOL_HEADERS[protocol]
        if value.endswith("=1.0.0"):
            value += f";escaping={escaping}"
        values.append(f"{value};q=0.{weight}")
        weight -= 1
    return ",".join([*values, f"*/*;q=0.{weight}"])


def line_limit(body_size_limit: int) -> int:
    """How many lines a body may have with this `body_size_limit`, 0 for the default."""
    return max(_MIN_LINE_LIMIT, (body_size_limit or DEFAULT_BODY_LIMIT) // _BYTES_A_LINE)


class Fetcher:
    """Fetches for one target, through the client of its job, over connections of its own."""

    def __init__(
        self,
        client: AnyClient,
        accept: str,
        *,
        compression: bool = True,
        body_size_limit: int = 0,
        deadline: Deadline = asyncio.timeout,
        error_body_bytes: int = 0,
    ):
        """`body_size_limit` in decompressed bytes, 0 for the default. `deadline` raises TimeoutError in its block.
        `error_body_bytes` is how much of the body is read when the status is not 200, for the HTTPStatusError."""
        self._client = client
        self._headers = {"Accept": accept, "Accept-Encoding": "gzip" if compression else "identity"}
        self._limit = body_size_limit or DEFAULT_BODY_LIMIT
        self._deadline = deadline
        self._error_body_bytes = error_body_bytes
        self._refused: _ErrorBody | None = None  # by the status of the present answer, while its body is read
        self._secrets: tuple[bytes, ...] = ()  # that were sent for the present answer, where its body may be shown
        self._prepared: _Prepared | None = None  # of the last URL and timeout

    async def fetch(self, url: str, timeout_ms: int) -> Fetched:
        """GET `url`, all of it within the timeout. Raises ScrapeError."""
        self._refused, self._secrets = None, ()
        try:
            async with self._deadline(timeout_ms / 1000):
                prepared = self._prepare(url, timeout_ms)
                if prepared.plain is not None and not self._client.is_closed:
                    try:
                        return await self._fetch_plain(prepared.plain)
                    except NotPlain as e:
                        if e.__cause__ is None:  # the server is not like that; an error may be over the next time
                            prepared.plain = None
                response = await self._send(self._full(), prepared)
                try:
                    return await self._read(response)
                finally:
                    await response.aclose()
        except TimeoutError:
            if self._refused is not None:
                raise self._refused.error() from None
            raise ScrapeError(f'Get "{masked_parameters(url)}": context deadline exceeded') from None
        except ScrapeError:
            raise
        except Exception as e:
            from rulepush.http_client.client import failed_url, is_request_failure, reason

            if not is_request_failure(e):
                raise
            if self._refused is not None:
                raise self._refused.error() from None
            raise ScrapeError(f'Get "{masked_parameters(failed_url(e, url))}": {reason(e)}') from e

    def without_secrets(self, body: bytes) -> bytes:
        """The last body for people: without the credentials of its request, which some servers quote."""
        for secret in self._secrets:
            body = body.replace(secret, MASK.encode())
        return body

    async def close(self) -> None:
        """Close the connections: the target is gone."""
        if isinstance(self._client, ClientOnDemand):
            await self._client.close_owned(self)

    def _full(self) -> httpx.AsyncClient:
        return self._client.full if isinstance(self._client, ClientOnDemand) else self._client

    def _prepare(self, url: str, timeout_ms: int) -> _Prepared:
        """The URL and headers of a request, put together once."""
        prepared = self._prepared
        if prepared is None or (prepared.url, prepared.timeout_ms) != (url, timeout_ms):
            headers = {**self._headers, "X-Prometheus-Scrape-Timeout-Seconds": format_float(timeout_ms / 1000)}
            client = self._client
            plain = client.plain_request("GET", url, headers, self) if isinstance(client, ClientOnDemand) else None
            prepared = self._prepared = _Prepared(url, timeout_ms, headers, plain)
        return prepared

    async def _fetch_plain(self, plain: PlainRequest) -> Fetched:
        content_type, received = "", _Received(self._limit, lines=True)

        def begin(head: PlainHead) -> Sink:
            nonlocal content_type, received
            content_type = head.headers.get("content-type", "")
            packed = _is_gzip(head.headers.get("content-encoding", ""))
            if head.status != 200:
                error = HTTPStatusError(head.status, _phrase(head.status, head.phrase))
                return self._refuse(error, content_type, packed)
            received = _received(self._limit, content_type, packed)
            return received.add

        try:
            await plain.fetch(begin)
        except BaseException:
            received.forget()
            raise
        if self._refused is not None:
            raise self._refused.error()
        return Fetched(received.body(), content_type)

    async def _send(self, client: httpx.AsyncClient, prepared: _Prepared) -> httpx.Response:
        """Follow redirects here, for httpx would read the whole body of each one."""
        import httpx

        if prepared.request is None:
            prepared.request = client.build_request("GET", prepared.url, headers=prepared.headers, timeout=None)
        asked = prepared.request
        # A new one each time, for what sends it changes it.
        request = httpx.Request(
            "GET", asked.url, headers=asked.headers, extensions={**asked.extensions, CONNECTION_OWNER: self}
        )
        response = await client.send(request, stream=True, follow_redirects=False)
        for _ in range(_MAX_REDIRECTS):
            following = response.next_request if client.follow_redirects else None
            client.cookies.clear()  # Prometheus keeps none, and a job's targets share the client
            if following is None:
                return response
            await response.aclose()
            # The credentials are in its headers already if it stays on the same host, and must not go elsewhere.
            response = await client.send(following, auth=httpx.Auth(), stream=True, follow_redirects=False)
        await response.aclose()
        raise httpx.TooManyRedirects(f"stopped after {_MAX_REDIRECTS} redirects")

    async def _read(self, response: httpx.Response) -> Fetched:
        if self._error_body_bytes:
            self._secrets = tuple(_secrets_of(response.request))
        # Of several lines the first counts, as for Go; httpx would join them.
        content_type = next(iter(response.headers.get_list("Content-Type")), "")
        packed = _is_gzip(response.headers.get("Content-Encoding", ""))
        received = _received(self._limit, content_type, packed)
        add: Sink = received.add
        if response.status_code != 200:
            phrase = _phrase(response.status_code, response.reason_phrase)
            add = self._refuse(HTTPStatusError(response.status_code, phrase), content_type, packed)
        # The bytes as they come over the wire; httpx' own way would unpack them without a limit.
        try:
            async for part in cast("httpx.AsyncByteStream", response.stream):
                add(part)
        except BaseException:
            received.forget()
            raise
        if self._refused is not None:
            raise self._refused.error()
        return Fetched(received.body(), content_type)

    def _refuse(self, error: HTTPStatusError, content_type: str, packed: bool) -> Sink:
        """The answer's status is not 200: raises `error`, or returns what takes the beginning of the body first."""
        if not self._error_body_bytes:
            raise error
        self._refused = _ErrorBody(error, content_type, packed, self._error_body_bytes)
        return self._refused.add


@dataclass(slots=True)
class _Prepared:
    """A request; `request` is httpx'. `plain` is None once it was found that it must be sent by httpx."""

    url: str
    timeout_ms: int
    headers: dict[str, str]
    plain: PlainRequest | None
    request: httpx.Request | None = None


class _Received:
    """What has come of a body, held to its limits."""

    def __init__(self, limit: int, *, lines: bool):
        """`limit` in bytes. `lines`: whether it is a text, whose lines are bounded too."""
        self._limit = limit
        self._is_text = lines
        self._max_lines = line_limit(limit)
        self._parts: list[bytes] = []
        self._size = self._lines = self._since_newline = self._counted = 0

    def add(self, part: bytes) -> None:
        """Raises ScrapeError at a limit."""
        self._size += len(part)
        if self._size > self._limit:
            raise ScrapeError("body size limit exceeded")
        self._parts.append(part)
        if self._is_text and self._size > min(
            self._max_lines, _MAX_LINE_BYTES
        ):  # less than that breaks no limit, however it is split
            for uncounted in self._parts[self._counted :]:
                self._count_lines(uncounted)
            self._counted = len(self._parts)

    def forget(self) -> None:
        """The scrape has failed. The traceback may live for long, and what has come would live with it."""
        self._parts.clear()

    def _count_lines(self, part: bytes) -> None:
        newlines = part.count(b"\n")
        self._lines += newlines
        if self._lines > self._max_lines:
            raise ScrapeError(f"body size limit exceeded: more than {self._max_lines} lines")
        self._since_newline = len(part) - part.rfind(b"\n") - 1 if newlines else self._since_newline + len(part)
        if self._since_newline > _MAX_LINE_BYTES:
            raise ScrapeError(f"body size limit exceeded: a line of more than {_MAX_LINE_BYTES >> 20} MiB")

    def body(self) -> bytes:
        """All of it."""
        return b"".join(self._parts)


class _Unpacked(_Received):
    """The same of a gzip body, unpacked as it comes, up to the limit: a small body may unpack to an enormous one."""

    def __init__(self, limit: int, *, lines: bool):
        super().__init__(limit, lines=lines)
        self._unpacker = zlib.decompressobj(_GZIP)

    def add(self, part: bytes) -> None:
        try:
            while part:
                super().add(self._unpacker.decompress(part, _UNPACK_BYTES))
                part = self._unpacker.unconsumed_tail
                if self._unpacker.eof and self._unpacker.unused_data:  # gzip members may follow each other
                    part, self._unpacker = self._unpacker.unused_data, zlib.decompressobj(_GZIP)
        except zlib.error as e:
            raise ScrapeError(f"gzip: {e}") from None

    def body(self) -> bytes:
        if not self._unpacker.eof:
            raise ScrapeError("unexpected EOF")
        return super().body()


def _received(limit: int, content_type: str, packed: bool) -> _Received:
    lines = not content_type.lower().startswith(_PROTOBUF)
    return _Unpacked(limit, lines=lines) if packed else _Received(limit, lines=lines)


class _ErrorBody:
    """The beginning of the body of an answer whose status is not 200: for people, so whatever comes will do."""

    def __init__(self, error: HTTPStatusError, content_type: str, packed: bool, limit: int):
        self._error = error
        self._content_type = content_type
        self._packed = packed
        self._limit = limit
        self._raw = b""

    def add(self, part: bytes) -> None:
        """Raises the error when there is enough."""
        self._raw += part
        if len(self._raw) >= self._limit:
            raise self.error()

    def error(self) -> HTTPStatusError:
        """The error with what has come of the body."""
        body = self._raw
        if self._packed:
            try:
                body = zlib.decompressobj(_GZIP).decompress(body, self._limit)
            except zlib.error:
                body = b""
        self._error.content_type, self._error.body = self._content_type, body[: self._limit]
        return self._error


def _secrets_of(request: httpx.Request) -> Iterator[bytes]:
    """The credentials that were sent, as they were sent; and a password as it is."""
    kind, _, credentials = request.headers.get("Authorization", "").partition(" ")
    texts = [credentials, *request.extensions.get(SENT_SECRETS, ())]
    if kind.lower() == "basic":
        with contextlib.suppress(ValueError):
            texts.append(base64.b64decode(credentials, validate=True).decode().partition(":")[2])
    for text in texts:
        if len(text) >= _MIN_SECRET:
            yield text.encode("utf-8", "surrogateescape")


def _is_gzip(encoding: str) -> bool:
    return encoding.strip().lower() == "gzip"


def _phrase(status: int, phrase: str) -> str:
    if not phrase:
        try:
            phrase = http.HTTPStatus(status).phrase
        except ValueError:
            return ""
    return phrase
