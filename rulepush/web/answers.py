"""The JSON envelopes of Prometheus' HTTP API v1. Source: prometheus web/api/v1/api.go."""

from __future__ import annotations

import json
from collections.abc import Sequence
from enum import Enum
from typing import Any

from starlette.responses import Response

from rulepush.errors import RulepushError


class ErrorType(Enum):
    """`errorType` and its HTTP status."""

    BAD_DATA = ("bad_data", 400)
    NOT_FOUND = ("not_found", 404)
    EXECUTION = ("execution", 422)
    TIMEOUT = ("timeout", 503)
    INTERNAL = ("internal", 500)
    UNAVAILABLE = ("unavailable", 500)  # a feature that is off


class ApiError(RulepushError):
    """Raised by a handler; becomes the error envelope."""

    def __init__(self, kind: ErrorType, message: str):
        self.kind = kind
        super().__init__(message)


def success(data: Any, warnings: Sequence[str] = (), infos: Sequence[str] = ()) -> Response:
    """`{"status":"success","data":...}` with warnings and infos where there are any."""
    body: dict[str, Any] = {"status": "success", "data": data}
    if warnings:
        body["warnings"] = list(warnings)
    if infos:
        body["infos"] = list(infos)
    return _json(body, 200)


def failure(kind: ErrorType, message: str) -> Response:
    """`{"status":"error","errorType":...,"error":...}` with the status of its kind."""
    name, status = kind.value
    return _json({"status": "error", "errorType": name, "error": message}, status)


def _json(body: dict[str, Any], status: int) -> Response:
    return Response(json_text_of(body), status, media_type="application/json")


def json_text_of(data: Any) -> str:
    """JSON as Prometheus writes it: no spaces, UTF-8."""
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def unix_seconds(ms: int) -> int | float:
    """A time of the API: Unix seconds, with decimals only where there are milliseconds."""
    return ms // 1000 if ms % 1000 == 0 else ms / 1000
