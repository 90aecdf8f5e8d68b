"""Where bookmarks of Prometheus lead: the addresses that its pages had in some version and that no page of ours has.

Source: prometheus web/web.go: `oldUIReactRouterPaths`, `newUIReactRouterPaths` and their siblings. Its React pages were
below `/new` while they were new, the old ones below `/classic` later. Pages of the same name need no redirect.
"""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

_MOVED: Final = {
    "/alertmanager-discovery": "/delivery",
    "/agent": "/status",
    "/starting": "/status",
}
_SAME: Final = frozenset(
    f"/{page}"
    for page in [
        "alerts",
        "config",
        "flags",
        "graph",
        "query",
        "rules",
        "service-discovery",
        "status",
        "targets",
        "tsdb-status",
    ]
)
_FORMER_PREFIXES: Final = ("/new", "/classic")


def bookmark_routes(prefix: str) -> list[Route]:
    """Redirects to pages below `prefix`, the path of `--web.external-url`, with the parameters of the bookmark."""

    async def lead(request: Request) -> Response:
        page = "/" + request.path_params.get("page", "").strip("/")
        target = _MOVED.get(page, page if page in _SAME else "/alerts")  # nothing else: it must not lead elsewhere
        query = request.url.query
        return RedirectResponse(f"{prefix}{target}" + (f"?{query}" if query else ""), 302)

    def moved(target: str) -> Route:
        async def go(_: Request) -> Response:
            return RedirectResponse(f"{prefix}{_MOVED[target]}", 302)

        return Route(target, go, methods=["GET"])

    return [
        *(moved(target) for target in _MOVED),
        *(Route(f"{former}/{{page:path}}", lead, methods=["GET"]) for former in _FORMER_PREFIXES),
    ]
