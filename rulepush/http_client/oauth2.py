"""OAuth 2.0 client credentials (RFC 6749, section 4.4), as golang.org/x/oauth2/clientcredentials asks for a token."""

from __future__ import annotations

import asyncio
from typing import Final
from urllib.parse import quote_plus

import httpx

from rulepush.clock import Clock
from rulepush.http_client.auth import text_source
from rulepush.http_client.client import reason
from rulepush.http_client.config import OAuth2
from rulepush.http_client.files import CredentialsError

_EARLY_S: Final = 10.0  # a token counts as expired this long before it does
_TYPES: Final = {"": "Bearer", "bearer": "Bearer", "mac": "MAC", "basic": "Basic"}


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
        if response.is_client_error:
            first = response
            self._in_form = not self._in_form
            response = await self._ask(secret)
            if not response.is_success:
                self._in_form = not self._in_form
                response = first
        if not response.is_success:
            raise CredentialsError(f"oauth2: cannot fetch token: {response.status_code} {response.reason_phrase}")
        token, kind, lifetime = _token_of(response)
        self._header = f"{_TYPES.get(kind.lower(), kind)} {token}"
        self._good_until = self._clock.monotonic() + lifetime - _EARLY_S if lifetime > 0 else float("inf")
        self._used_secret = secret

    async def _ask(self, secret: str) -> httpx.Response:
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
        try:
            return await self._client.post(config.token_url.reveal(), data=form, auth=basic)
        except CredentialsError:
            raise
        except httpx.HTTPError as e:
            raise CredentialsError(f"oauth2: cannot fetch token: {reason(e)}") from None


def _token_of(response: httpx.Response) -> tuple[str, str, float]:
    """The token, its type, and its lifetime in seconds (0 when the server does not say)."""
    try:
        body = response.json()
        token, kind = body.get("access_token"), body.get("token_type") or ""
        lifetime = float(body.get("expires_in") or 0)
    except (ValueError, TypeError, AttributeError):
        raise CredentialsError("oauth2: cannot parse the token response") from None
    if not isinstance(token, str) or not token or not isinstance(kind, str):
        raise CredentialsError("oauth2: server response missing access_token")
    return token, kind, lifetime
