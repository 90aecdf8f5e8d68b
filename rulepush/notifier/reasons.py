"""Why an Alertmanager took nothing, in words that say what to change: for the log, `check live` and `init`."""

from __future__ import annotations

import json
import re
import socket
from typing import TYPE_CHECKING, Final

from rulepush.http_client.exchange import HTTPExchange
from rulepush.http_client.pages import is_page, page_named

if TYPE_CHECKING:
    import httpx

_NO_API: Final = "there is no Alertmanager API here: check path_prefix"
_HINTS: Final = {
    401: "it wants credentials, or refuses the ones given: check basic_auth, authorization or oauth2",
    403: "these credentials may not post alerts",
    404: _NO_API,
    405: _NO_API,
    407: "the proxy wants credentials",
    410: "this Alertmanager has no API v1 any more: leave api_version out",
    429: "too many requests",
}
# What answers 400 to anything, whatever the alerts are, and how its text says so.
_MISPLACED: Final = (
    # Go's net/http, nginx, Apache, Tomcat
    (
        re.compile(
            r"(?i)HTTP request to an HTTPS server|plain HTTP request was sent to HTTPS|speaking plain HTTP to an"
        ),
        "it wants https: set scheme: https",
    ),
    (re.compile(r"(?i)combination of host and port requires TLS"), "it wants https: set scheme: https"),
    # VictoriaMetrics, vmalert, vmagent: lib/httpserver
    (re.compile(r"^unsupported path requested"), "this is a server of VictoriaMetrics, not an Alertmanager"),
)


def network_failure(e: httpx.HTTPError, url: str) -> str:
    """Describes the failure; "not reached" only where there was no connection."""
    from rulepush.http_client.client import failed_url

    failed = failed_url(e, url)
    return unreachable(e, url) if failed == url else f"redirected to {failed}: {unreachable(e, failed)}"


def unreachable(e: httpx.HTTPError, url: str) -> str:
    """The same without a word on redirects; of `url` only host and port are told."""
    import httpx

    from rulepush.http_client.client import reason

    if _caused_by(e, socket.gaierror):
        return f"not reached: name not found: {host_and_path(url)[0]}: {reason(e)}"
    if isinstance(e, httpx.ProxyError):
        return f"not reached through the proxy: {reason(e)}"
    why = reason(e)
    if isinstance(e, httpx.ConnectError) and not why.startswith("tls:"):
        return f"not reached: {why}" + (": nothing listens at this address" if "refused" in why else "")
    if why.startswith("tls:") and ("version number" in why or "unknown protocol" in why or "http request" in why):
        return f"{why}: it does not speak TLS there: scheme: http is meant"
    return why


def host_and_path(url: str) -> tuple[str, str]:
    """`http://u:p@host:9093/api/v2/alerts` -> ("host:9093", "/api/v2/alerts"), of any text: relabelling may give one
    that is no URL."""
    authority, slash, path = url.partition("://")[2].partition("/")
    return authority.rpartition("@")[2], slash + path


def _caused_by(e: BaseException | None, kind: type[BaseException]) -> bool:
    while e is not None and not isinstance(e, kind):
        e = e.__cause__ or e.__context__
    return e is not None


def misplaced(got: HTTPExchange) -> str:
    """Why a 400 says nothing about the alerts, for this server answers it to anything; "" where it may."""
    if got.status != 400:
        return ""
    return next((hint for text, hint in _MISPLACED if text.search(got.text)), "")


def refusal(got: HTTPExchange, url: str, hint: str = "") -> str:
    """`refused with 404 Not Found: leave /api/v1 out of path_prefix: <their text>`, of an answer that is no 2xx. `hint`
    takes the place of what the answer alone suggests."""
    text = "" if hint or is_page(got.text) else got.text[:300].strip()
    prefix = host_and_path(url)[1].rpartition("/api/")[0]
    named = next((api for api in ("/api/v1", "/api/v2") if api in prefix), "")
    if not hint and got.status in (404, 405) and named:
        hint = f"leave {named} out of path_prefix"
    hint = hint or misplaced(got) or _HINTS.get(got.status, "")
    verb = "redirected with" if 300 <= got.status < 400 else "refused with" if got.status < 500 else "failed with"
    return ": ".join(part for part in (f"{verb} {got.status} {got.phrase}".rstrip(), hint, text) if part)


def no_acceptance(text: str) -> str:
    """Why a 2xx accepted nothing, "" where it did. Alertmanager's body is empty; a login page, the page of another
    service, and gateways that put their error into a JSON object answer 200 as well."""
    if not text.strip():
        return ""
    if is_page(text):
        return (
            f"answered with {page_named(text)} instead of accepting the alerts: check that this is an "
            "Alertmanager's address"
        )
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(answer, dict):
        return ""
    is_bad = (
        str(answer.get("status", "")).lower() in ("error", "fail", "failed")
        or answer.get("success") is False
        or bool(answer.get("error"))
        or answer.get("errcode", 0) not in (0, "0")
        or str(answer.get("code", 200))[:1] in ("4", "5")
    )
    return f"answered with an error instead of accepting the alerts: {text[:300].strip()}" if is_bad else ""
