"""Client: httpx' client, with every way in which a request can fail as one family of errors.

httpx raises more than its HTTPError: InvalidURL is none, a host name that IDNA refuses (in a redirect, perhaps) is a
ValueError, and a header value with a line break is quoted in the error's text, secret or not. Whoever sends requests
here catches httpx.HTTPError and may log its text.
"""

from __future__ import annotations

from typing import Any, Final

import httpx

_QUOTES_A_HEADER: Final = "Illegal header value"  # how h11's text begins


def shown_url(url: str) -> str:
    """A URL without its user and password, for logs and labels."""
    try:
        parsed = httpx.URL(url)
        return str(parsed.copy_with(username=None, password=None)) if parsed.userinfo else url
    except (httpx.InvalidURL, ValueError):
        return url.rpartition("@")[2]


class Client(httpx.AsyncClient):
    """Raises httpx.HTTPError and nothing else. Header values that are not ASCII are sent as UTF-8, as Go does."""

    def build_request(self, *args: Any, **kwargs: Any) -> httpx.Request:
        headers = kwargs.get("headers")
        try:
            if isinstance(headers, dict):
                kwargs["headers"] = [(n.encode(), v.encode()) for n, v in headers.items()]
            return super().build_request(*args, **kwargs)
        except (httpx.InvalidURL, ValueError) as e:
            raise httpx.RequestError(_text(e)) from None

    async def send(self, *args: Any, **kwargs: Any) -> httpx.Response:
        try:
            return await super().send(*args, **kwargs)
        except httpx.LocalProtocolError as e:
            if str(e).startswith(_QUOTES_A_HEADER):
                raise httpx.RequestError("a header value holds a line break or another control character") from None
            raise
        except (httpx.InvalidURL, OSError, ValueError) as e:
            raise httpx.RequestError(_text(e)) from e


def _text(e: Exception) -> str:
    """The reason; UnicodeError's texts quote a character and its place, which may be a secret's."""
    return "not a valid host name" if isinstance(e, UnicodeError) else str(e) or type(e).__name__
