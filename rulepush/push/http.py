"""The HTTP side of the push receiver: Pushgateway's routes."""

from __future__ import annotations

import asyncio
import posixpath
from collections.abc import Callable
from typing import Final
from urllib.parse import quote, unquote

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from rulepush.clock import Clock
from rulepush.errors import PushError, RequestRefused
from rulepush.exposition import Format
from rulepush.exposition.content_type import split_content_type
from rulepush.exposition.families import ParsedFamilies
from rulepush.http_request import GZIP, in_thread_if_large, read_content
from rulepush.model.durations import parse_duration
from rulepush.push.bodies import parse_push_openmetrics, parse_push_text
from rulepush.push.closed import PUSH_METHODS, PUSH_PATHS
from rulepush.push.group import grouped
from rulepush.push.groups import PushedGroups
from rulepush.push.url import TTL_HEADER, GroupKey, parse_push_path
from rulepush.push.view import metrics_view
from rulepush.slices import in_turns

MAX_BODY_BYTES: Final = 16 << 20  # as sent, and decompressed
_METHODS: Final = ("PUT", "POST", "DELETE")
_DELIMITED: Final = {"proto": "io.prometheus.client.MetricFamily", "encoding": "delimited"}


def _unsnap(data: bytes, limit: int) -> bytes:
    from rulepush.push.snappy_stream import unsnap_stream

    return unsnap_stream(data, limit)


_ENCODINGS: Final = {**GZIP, "snappy": _unsnap}


def push_routes(groups: PushedGroups, clock: Clock, max_body_bytes: int = MAX_BODY_BYTES) -> list[Route]:
    """PUT, POST and DELETE below /metrics/job, and GET /api/v1/metrics."""

    changing = asyncio.Lock()  # pushes and deletions come one after the other, however many turns each takes

    async def change(request: Request) -> Response:
        raw_path = _raw_path(request)
        clean = _cleaned(raw_path)
        if clean != raw_path:
            # As Go's router; curl -L then sends a GET, which is refused.
            query = request.url.query
            return RedirectResponse(clean + (f"?{query}" if query else ""), 301)
        if request.method not in _METHODS:
            return PlainTextResponse("Method Not Allowed\n", 405)
        try:
            key = parse_push_path(raw_path)
            if request.method == "DELETE":
                async with changing:
                    await in_turns(groups.delete_in_slices(key))
                return Response(status_code=202)
            await _push(request, key)
        except RequestRefused as e:
            return PlainTextResponse(f"{e}\n", e.status)
        return Response(status_code=200)

    async def _push(request: Request, key: GroupKey) -> None:
        ttl_ms = _ttl(request.headers.get(TTL_HEADER))
        parse = _parser(request.headers.get("content-type", ""))
        body = await read_content(request, max_body_bytes, _ENCODINGS)
        parsed = await in_thread_if_large(body, lambda content: grouped(parse(content), key))
        async with changing:
            await in_turns(groups.push_in_slices(key, parsed, request.method == "PUT", clock.now(), ttl_ms))

    async def metrics(_: Request) -> Response:
        return JSONResponse({"status": "success", "data": metrics_view(groups)})

    return [
        *(Route(path, change, methods=PUSH_METHODS) for path in PUSH_PATHS),
        Route("/api/v1/metrics", metrics, methods=["GET"]),
    ]


def _raw_path(request: Request) -> str:
    """The path as sent: its percent-encoding must be decoded once only, and strictly."""
    raw = request.scope.get("raw_path")
    path = raw.decode("ascii", "replace").partition("?")[0] if raw else quote(request.url.path)
    root = request.scope.get("root_path", "").rstrip("/")
    return path.removeprefix(root)


def _cleaned(raw_path: str) -> str:
    """The path without empty, `.` and `..` components, as Go's ServeMux cleans it: once it is decoded, so that an
    encoded slash at the edge of a value counts, too. (`@base64` is how Pushgateway's clients send such a value.)"""
    decoded = unquote(raw_path, errors="surrogateescape")
    if "//" not in decoded and "/." not in decoded:
        return raw_path
    path = posixpath.normpath(decoded)
    clean = "/" + path.lstrip("/") + ("/" if decoded.endswith("/") and path != "/" else "")
    return raw_path if clean == decoded else quote(clean, errors="surrogateescape")


def _ttl(text: str | None) -> int | None:
    if text is None or not text.strip():
        return None
    try:
        return parse_duration(text.strip())
    except ValueError as e:
        raise PushError(400, f"{TTL_HEADER}: {e}") from None


def _parser(content_type: str) -> Callable[[bytes], ParsedFamilies]:
    """The parser for a content type. As in Pushgateway, an unknown one means the text format."""
    media_type, parameters = split_content_type(content_type)
    if media_type == "application/openmetrics-text":
        return parse_push_openmetrics
    if media_type == Format.PROTOBUF.value and parameters.items() >= _DELIMITED.items():
        from rulepush.push.protobuf_bodies import parse_push_protobuf  # needs the protobuf library

        return parse_push_protobuf
    return parse_push_text
