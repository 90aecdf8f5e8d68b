"""OAuth 2.0 client credentials (RFC 6749, section 4.4), as golang.org/x/oauth2/clientcredentials asks for a token."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote_plus

import httpx

from rulepush.clock import Clock
from rulepush.http_client.auth import text_source
from rulepush.http_client.client import reason
from rulepush.http_client.config import OAuth2
from rulepush.http_client.failures import CredentialsError
from rulepush.http_client.rules import IDEMPOTENT

_EARLY_S: Final = 10.0  # a token counts as expired this long before it does
_MAX_READ: Final = 1 << 20  # bytes of an answer, as in Go
_TYPES: Final = {"": "Bearer", "bearer": "Bearer", "mac": "MAC", "basic": "Basic"}


@dataclass(frozen=True, slots=True)
class _TokenAnswer:
    """What the token server said; `body` only of a success."""

    status: int
    phrase: str
    body: bytes

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300


class ClientCredentials:
    """Keeps one token. The secret goes in the header first; a server that refuses that gets it in the form."""

    def __init__(self, config: OAuth2, client: httpx.AsyncClient, clock: Clock):
        self._config = config
        self._client = client
        self._clock = clock
        self._secret = text_source(config.client_secret.reveal(), config.client_secret_file)
        self._lock = asyncio.Lock()
        self._header = ""
        self._good_until = 0.0
        self._used_secret = ""
        self._in_form = False

    async def header(self) -> str:
        """The value of `Authorization`. Raises CredentialsError."""
        async with self._lock:
            secret = self._secret()
            if not self._header or self._clock.monotonic() >= self._good_until or secret != self._used_secret:
                await self._fetch(secret)
            return self._header

    def forget(self, header: str) -> None:
        """The server refused this one: fetch another when asked next."""
        if self._header == header:
            self._header = ""

    async def aclose(self) -> None:
        """Close the client that fetches tokens."""
        await self._client.aclose()

    async def _fetch(self, secret: str) -> None:
        response = await self._ask(secret)
        if 400 <= response.status < 500:
            first = response
            self._in_form = not self._in_form
            response = await self._ask(secret)
            if not response.is_success:
                self._in_form = not self._in_form
                response = first
        if not response.is_success:
            raise CredentialsError(f"oauth2: cannot fetch token: {response.status} {response.phrase}")
        token, kind, lifetime = _token_of(response.body)
        self._header = f"{_TYPES.get(kind.lower(), kind)} {token}"
        self._good_until = self._clock.monotonic() + lifetime - _EARLY_S if lifetime > 0 else float("inf")
        self._used_secret = secret

    async def _ask(self, secret: str) -> _TokenAnswer:
        config = self._config
        form = {"grant_type": "client_credentials"}
        if config.scopes:
            form["scope"] = " ".join(config.scopes)
        form.update(config.endpoint_params)
        basic = httpx.Auth()  # none
        if self._in_form:
            form |= {"client_id": config.client_id} | ({"client_secret": secret} if secret else {})
        else:
            basic = httpx.BasicAuth(quote_plus(config.client_id), quote_plus(secret))
        url, headers = config.token_url.reveal(), {"Accept-Encoding": "identity"}
        body = bytearray()
        try:
            async with self._client.stream(
                "POST", url, data=form, auth=basic, headers=headers, extensions={IDEMPOTENT: True}
            ) as response:
                assert isinstance(response.stream, httpx.AsyncByteStream)
                if response.is_success:
                    async for part in response.stream:  # as it comes: unpacked, a small one may be enormous
                        body += part
                        if len(body) > _MAX_READ:
                            raise CredentialsError("oauth2: the token response is larger than 1 MiB")
        except CredentialsError:
            raise
        except httpx.HTTPError as e:
            raise CredentialsError(f"oauth2: cannot fetch token: {reason(e)}") from None
        return _TokenAnswer(response.status_code, response.reason_phrase, bytes(body))


def _token_of(body: bytes) -> tuple[str, str, float]:
    """The token, its type, and its lifetime in seconds (0 when the server does not say)."""
    try:
        parsed = json.loads(body)
        token, kind = parsed.get("access_token"), parsed.get("token_type") or ""
        lifetime = float(parsed.get("expires_in") or 0)
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        raise CredentialsError("oauth2: cannot parse the token response") from None
    if not isinstance(token, str) or not token or not isinstance(kind, str):
        raise CredentialsError("oauth2: server response missing access_token")
    return token, kind, lifetime
