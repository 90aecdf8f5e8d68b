"""The style sheet and the script, served from paths of our own that change with their content."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from rulepush.site.compression import compressed, takes_gzip

_TYPES: Final = {"style.css": "text/css", "site.js": "text/javascript"}
_FOR_EVER: Final = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class Asset:
    """`path` is below the prefix, and has a hash of the content: a browser keeps the file for as long as it is this."""

    path: str
    content: bytes
    zipped: bytes
    media_type: str


@cache
def assets() -> dict[str, Asset]:
    """By file name; read when the first page is asked for."""
    found = {}
    for name, media_type in _TYPES.items():
        content = (files("rulepush.site") / "static" / name).read_bytes()
        stem, _, suffix = name.partition(".")
        digest = hashlib.sha256(content).hexdigest()[:12]
        found[name] = Asset(f"/assets/{stem}-{digest}.{suffix}", content, compressed(content), media_type)
    return found


def asset_route() -> Route:
    """Serves them. One of another version is not there: the page that names it is of another version too."""
    return Route("/assets/{file}", _serve, methods=["GET"])


async def _serve(request: Request) -> Response:
    path = f"/assets/{request.path_params['file']}"
    asset = next((a for a in assets().values() if a.path == path), None)
    if asset is None:
        return PlainTextResponse("Not Found\n", 404)
    headers = {"Cache-Control": _FOR_EVER, "X-Content-Type-Options": "nosniff", "Vary": "Accept-Encoding"}
    if takes_gzip(request):
        return Response(asset.zipped, media_type=asset.media_type, headers={**headers, "Content-Encoding": "gzip"})
    return Response(asset.content, media_type=asset.media_type, headers=headers)
