"""A session with a Nacos cluster: which server answers, the login, and the reason of a refusal.

Nothing here depends on the version of the API; the paths and shapes are in dialects.py.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, quote_plus

import httpx

from rulepush.clock import Clock
from rulepush.errors import DiscoveryError
from rulepush.http_client.auth import text_source
from rulepush.http_client.client import reason, shown_url
from rulepush.http_client.rules import IDEMPOTENT
from rulepush.model.json_text import parse_json
from rulepush.model.secret import MASK, NO_SECRET, Secret

_LOGIN_PATHS: Final = ("/v3/auth/user/login", "/v1/auth/login", "/v1/auth/users/login")
_MAX_BYTES: Final = 64 << 20
_SECONDS: Final = 30.0  # for one answer; httpx' own timeout restarts at every byte received
ABSENT: Final = frozenset({404, 405, 410, 501})  # 3.x answers 410 for the APIs it has retired

# "service g@@s is not found!" and "cluster X is not found!" of CatalogServiceV2Impl.java (2.x, 3.x) and
# CatalogController.java (1.x)
_GONE: Final = re.compile(r"\b(service|cluster) \S+ is not found\b")


class NacosAbsentError(DiscoveryError):
    """This server has no such API."""


class NacosGoneError(DiscoveryError):
    """Nacos itself answers that the object does not exist; the API does. `what`: "service" or "cluster"."""

    def __init__(self, message: str, what: str):
        super().__init__(message)
        self.what = what


class NacosRefusedError(DiscoveryError):
    """401 or 403."""


@dataclass(frozen=True, slots=True)
class NacosLogin:
    """The login: a user, or the identity header that Nacos servers send each other, or none.

    The client sends the header, as one of its `http_headers`: it must not follow a redirect to another host.
    """

    username: str = ""
    password: Secret = NO_SECRET
    password_file: str = ""
    identity_key: str = ""
    identity_value: Secret = NO_SECRET


class NacosSession:
    """Sends requests to the first server that answers, with a token that is renewed before it expires.

    `servers` are base URLs with their context path (`http://nacos-0:8848/nacos`).
    """

    def __init__(self, client: httpx.AsyncClient, servers: Sequence[str], login: NacosLogin, clock: Clock):
        self._client = client
        self._servers = list(servers)
        self._login = login
        self._password = text_source(login.password.reveal(), login.password_file)
        self._clock = clock
        self._token = ""
        self._sent_password = ""
        self._logging_in = asyncio.Lock()
        self._renew_at = 0.0
        self._login_paths = list(_LOGIN_PATHS)

    @property
    def server(self) -> str:
        """The base URL that is asked first: the one that answered last."""
        return self._servers[0]

    async def get(self, path: str, params: Mapping[str, str | int] | None = None) -> Any:
        """The JSON that a path (behind the context path) answers. Raises DiscoveryError."""
        token = await self._access_token()
        try:
            return await self._get(path, params, token)
        except NacosRefusedError:
            if not self._login.username:
                raise
            if self._token == token:  # unless another request has renewed it by now
                self._token = ""  # the servers were restarted with another key, or the token was withdrawn
            return await self._get(path, params, await self._access_token())

    async def _get(self, path: str, params: Mapping[str, str | int] | None, token: str) -> Any:
        query = dict(params or {})
        if token:
            query["accessToken"] = token
        response = await self._send("GET", path, params=query)
        return self._parsed(path, response)

    async def _access_token(self) -> str:
        if not self._login.username:
            return ""
        async with self._logging_in:  # requests run concurrently, and one login serves all of them
            if self._token and self._clock.monotonic() < self._renew_at:
                return self._token
            return await self._log_in()

    async def _log_in(self) -> str:
        self._sent_password = self._password()
        form = {"username": self._login.username, "password": self._sent_password}
        who = f"login as {self._login.username!r}"
        for path in list(self._login_paths):
            response = await self._send("POST", path, data=form, extensions={IDEMPOTENT: True})
            if response.status_code in ABSENT:
                continue
            try:
                answer = self._parsed(path, response)
            except NacosRefusedError:
                raise DiscoveryError(f"{who} was refused: {self._words(response)}") from None
            inner = answer.get("data", answer) if isinstance(answer, dict) else {}
            token = inner.get("accessToken") if isinstance(inner, dict) else None
            if not isinstance(token, str) or not token:
                raise DiscoveryError(f"{who} gave no accessToken")
            ttl = as_float(inner.get("tokenTtl"), 0.0)
            lifetime = ttl if ttl > 0 else 18_000.0
            self._token, self._renew_at = token, self._clock.monotonic() + lifetime * 0.9
            self._login_paths = [path]
            return token
        self._login_paths = list(_LOGIN_PATHS)
        raise DiscoveryError("no login API: tried " + ", ".join(_LOGIN_PATHS))

    async def _send(self, method: str, path: str, **content: Any) -> httpx.Response:
        headers = {"Accept": "application/json", "User-Agent": self._client.headers.get("User-Agent", "rulepush")}
        failures = []
        for server in list(self._servers):
            try:
                response = await self._whole(method, server + path, headers=headers, **content)
            except TimeoutError:
                failures.append(f"{shown_url(server)}: no answer within {_SECONDS:g}s")
                continue
            except httpx.HTTPError as e:
                failures.append(f"{shown_url(server)}: {reason(e)}")
                continue
            if response.status_code in (502, 503, 504):
                failures.append(f"{shown_url(server)}: {response.status_code} {response.reason_phrase}")
                continue
            self._servers.remove(server)
            self._servers.insert(0, server)
            return response
        raise DiscoveryError("no Nacos server answers: " + "; ".join(failures))

    async def _whole(self, method: str, url: str, **content: Any) -> httpx.Response:
        """The answer, limited in total time and in bytes. Raises TimeoutError or httpx.HTTPError."""
        body = bytearray()
        async with asyncio.timeout(_SECONDS), self._client.stream(method, url, **content) as response:
            async for part in response.aiter_bytes():
                body += part
                if len(body) > _MAX_BYTES:
                    raise httpx.RemoteProtocolError(f"the answer is larger than {_MAX_BYTES >> 20} MiB")
        kind = {"Content-Type": response.headers.get("Content-Type", "")}
        return httpx.Response(
            response.status_code,
            headers=kind,
            content=bytes(body),
            extensions=response.extensions,
            request=response.request,
        )

    def _parsed(self, path: str, response: httpx.Response) -> Any:
        status = response.status_code
        if status in ABSENT:
            raise self._absent(path, response)
        if status in (401, 403):
            raise NacosRefusedError(f"{path}: {status} {response.reason_phrase}: {self._words(response)}")
        if status != 200:
            raise DiscoveryError(f"{path}: {status} {response.reason_phrase}: {self._words(response)}")
        try:
            answer = parse_json(response.content.decode())
        except (ValueError, RecursionError):
            kind = response.headers.get("Content-Type", "no content type")
            hint = "; is this the port of a gateway or of the console?" if "html" in kind else ""
            raise DiscoveryError(f"{path}: the answer is not JSON ({kind}){hint}") from None
        if isinstance(answer, dict) and isinstance(answer.get("message"), str):
            answer["message"] = self._shown(answer["message"], response)  # errors will quote it
        return answer

    def _absent(self, path: str, response: httpx.Response) -> DiscoveryError:
        """What a 404, 405, 410 or 501 means. Only Nacos' own messages prove that an object is gone: 404 also comes from
        gateways, and from Nacos for what it does not expose (docs/nacos-api.md)."""
        message = f"{path}: {response.status_code} {response.reason_phrase}: {self._words(response)}"
        if response.status_code != 404 or _from_spring(response):
            return NacosAbsentError(message)
        if gone := _GONE.search(self._words(response)):
            return NacosGoneError(message, gone[1])
        return DiscoveryError(message) if _is_result(response) else NacosAbsentError(message)

    def _words(self, response: httpx.Response) -> str:
        """The reason in an error's body, shortened; never a secret that was sent.

        2.x and 3.x give `{"code", "message", "data"}`, where `data` holds the details of the error that `message`
        names; a 410 of 3.x carries this as text in the `message` of Spring's own error.
        """
        try:
            text = _reason(response.json())
        except (ValueError, RecursionError):
            html = "html" in response.headers.get("Content-Type", "")
            text = "a web page" if html else response.text
        return self._shown(text, response) or "no reason given"

    def _shown(self, text: str, response: httpx.Response) -> str:
        """Shortened, and without secrets: some servers and gateways quote the request they refuse."""
        secrets = [self._token, response.request.url.params.get("accessToken", "")]
        secrets += [self._sent_password, self._login.identity_value.reveal()]
        secrets.append(response.request.headers.get("Authorization", "").partition(" ")[2])
        for secret in sorted({form for s in secrets for form in (s, quote(s, safe=""), quote_plus(s))}, key=len)[::-1]:
            if secret:
                text = text.replace(secret, MASK)
        return " ".join(text.split())[:200]


def _reason(body: Any) -> str:
    if not isinstance(body, dict):
        return str(body)
    message, data = str(body.get("message") or ""), body.get("data")
    if message.startswith("{"):  # ApiCompatibilityFilter.java puts a whole Result into sendError()
        inner = parse_json(message)
        return _reason(inner) if isinstance(inner, dict) else message
    if isinstance(data, str) and data and isinstance(body.get("code"), int):
        return f"{message}: {data}" if message else data
    return message or str(body.get("error") or "")


def _json_of(response: httpx.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def _is_result(response: httpx.Response) -> bool:
    """Whether the body is Nacos' `{"code": 20004, "message": ...}`."""
    return isinstance(_json_of(response).get("code"), int)


def _from_spring(response: httpx.Response) -> bool:
    """Whether Spring answered that there is no such path: `{"timestamp", "status", "error", "path"}`."""
    return "status" in (body := _json_of(response)) and "error" in body


def as_float(value: object, default: float) -> float:
    """A number of an answer; `default` for anything else, and for integers that no float holds."""
    try:
        return float(value) if isinstance(value, int | float) else default
    except OverflowError:
        return default
