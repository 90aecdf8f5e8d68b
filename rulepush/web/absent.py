"""Endpoints of Prometheus that rulepush does not have: each answers with what it is and what to use in its place.

Source of the paths: prometheus web/api/v1/api.go, Register.
"""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from rulepush.web.answers import ApiError, ErrorType

_BOTH: Final = ["GET", "POST"]
_ADMIN: Final = ["POST", "PUT"]


class AbsentApi:
    """Statuses and content types are those of a Prometheus where the feature is off."""

    def routes(self) -> list[Route]:
        """The routes, below /api/v1; they come after those of receivers that are on."""
        return [
            Route("/write", self.remote_write, methods=["POST"]),
            Route("/read", self.remote_read, methods=["POST"]),
            Route("/otlp/v1/metrics", self.otlp, methods=["POST"]),
            Route("/openapi.yaml", self.openapi, methods=["GET"]),
            Route("/admin/tsdb/delete_series", self.admin, methods=_ADMIN),
            Route("/admin/tsdb/clean_tombstones", self.admin, methods=_ADMIN),
            Route("/admin/tsdb/snapshot", self.admin, methods=_ADMIN),
            *(Route(f"/search/{what}", self.search, methods=_BOTH) for what in _SEARCHED),
        ]

    async def remote_write(self, _: Request) -> Response:
        """The receiver is off."""
        return _plain("remote write receiver needs to be enabled with --web.enable-remote-write-receiver")

    async def remote_read(self, _: Request) -> Response:
        """Other than here, Prometheus always has it."""
        return _plain("rulepush has no remote read: ask /api/v1/query and /api/v1/query_range, or /federate")

    async def otlp(self, _: Request) -> Response:
        """There is no such receiver."""
        return _plain(
            "rulepush has no OTLP receiver: it takes remote write (--web.enable-remote-write-receiver) and pushes"
        )

    async def openapi(self, _: Request) -> Response:
        """There is no such description."""
        return _plain("rulepush has no OpenAPI description: its API is Prometheus', see docs/differences.md")

    async def admin(self, _: Request) -> Response:
        """There is no TSDB."""
        raise ApiError(ErrorType.UNAVAILABLE, "admin APIs disabled: rulepush has no TSDB to change")

    async def search(self, _: Request) -> Response:
        """As where Prometheus' feature is off."""
        raise ApiError(
            ErrorType.UNAVAILABLE, "search API disabled: rulepush has labels, label/<name>/values and series"
        )


_SEARCHED: Final = ("metric_names", "label_names", "label_values")


def _plain(text: str) -> Response:
    return PlainTextResponse(f"{text}\n", 404)
