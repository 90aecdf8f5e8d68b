"""What answers pushes while the receiver is off, so that a client's first attempt is told which flag to set. Apart from
the receiver: a process that needs none does not import it."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

PUSH_PATHS: Final = ("/metrics/job/{rest:path}", "/metrics/job@base64/{rest:path}")
PUSH_METHODS: Final = ("GET", "HEAD", "PUT", "POST", "DELETE", "PATCH")


def closed_push_routes() -> list[Route]:
    """The routes of the receiver; each answers 404, as without them, and says why."""

    async def closed(_: Request) -> Response:
        return PlainTextResponse("the push receiver is off: start rulepush with --web.enable-push-receiver\n", 404)

    return [Route(path, closed, methods=PUSH_METHODS) for path in PUSH_PATHS]
