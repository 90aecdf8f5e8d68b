"""CredentialsError: apart from what uses it, for an httpx.RequestError needs httpx."""

from __future__ import annotations

import httpx

from rulepush.errors import RulepushError


class CredentialsError(RulepushError, httpx.RequestError):
    """Credentials or certificates cannot be used. Also a RequestError: to a caller it is a request that failed."""

    def __init__(self, message: str):
        httpx.RequestError.__init__(self, message)
