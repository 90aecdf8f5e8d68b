"""Why a push was not taken, and what to do: most first attempts go to the wrong port, path or server."""

from __future__ import annotations

import json
from typing import Final

import httpx

from rulepush.http_client.client import met_plain_http, shown_url
from rulepush.http_client.exchange import HTTPExchange, exchange
from rulepush.http_client.pages import is_html, page_title

_MAX_WORDS: Final = 500
_PROBE_S: Final = 3.0
RECEIVERS: Final = "a rulepush that runs with --web.enable-push-receiver, or a Pushgateway"
_NO_RECEIVER: Final = frozenset((404, 405, 501))


def was_taken(answer: HTTPExchange) -> bool:
    """Receivers answer 200 or 202 with no body. A page of HTML is a login page; JSON comes from a server that stores
    documents under any path (Elasticsearch takes a PUT of /metrics/job/x)."""
    return answer.is_success and not (answer.text.strip() and _kind(answer) in ("html", "json"))


def refusal_text(answer: HTTPExchange) -> str:
    """What the answer says, without what only the server can be asked (see `who_answers`)."""
    status = answer.status
    if 300 <= status < 400:
        where = shown_url(answer.headers.get("location", "")) or "another place"
        return f"redirects to {where} (status {status}), which is not followed: a login page? Else name that URL"
    if _kind(answer) == "html":
        title = page_title(answer.text)
        named = f' ("{title}")' if title else ""
        return f"answered {status} with a page of HTML{named}: not a push receiver, or a login page before it"
    if answer.is_success:
        return f"answered {status} with a JSON document: this is not a push receiver, but {RECEIVERS} is needed"
    words = answer.text.strip()[:_MAX_WORDS] or answer.phrase
    return f"answered {status}: {words}{_advice(answer)}"


def _advice(answer: HTTPExchange) -> str:
    if answer.status == 401:
        return " (user and password go into the URL, http://USER:PASSWORD@HOST, a token into --header)"
    if "HTTP request to an HTTPS server" in answer.text:
        return " (use https://)"
    if answer.text.startswith("unsupported path requested"):
        return " (of VictoriaMetrics; its URL for pushes ends with /api/v1/import/prometheus)"
    return ""


def failure_advice(url: str, why: str) -> str:
    """What to do when there was no answer; `why` is the reason in words."""
    if "connection refused" in why:
        return f" (nothing listens there: is the port right, and is it {RECEIVERS}?)"
    if "name or service not known" in why.lower():
        return " (is the name of the host right?)"
    if url.startswith("https:") and met_plain_http(why):
        return " (this port does not speak TLS: use http://)"
    if "failed to verify certificate" in why:
        return " (--ca-file names the authority to trust)"
    if url.startswith("http:") and "disconnected" in why:
        return " (does it speak TLS? Then use https://)"
    return ""


async def who_answers(client: httpx.AsyncClient, url: str, answer: HTTPExchange) -> str:
    """What stands at `url`, where its answer to a push shows that it takes none; "" otherwise, or when it has said so
    itself. Asks the server once or twice more."""
    if answer.status not in _NO_RECEIVER or "push" in answer.text:
        return ""
    try:
        build = await exchange(client, "GET", url + "/api/v1/status/buildinfo", b"", {}, _PROBE_S)
        go_version = _field(build, "data", "goVersion")
        if go_version.startswith("python"):
            return "this is rulepush, and its push receiver is off: start it with --web.enable-push-receiver"
        if go_version:
            return f"this is Prometheus, which takes no pushes: push to {RECEIVERS}"
        status = await exchange(client, "GET", url + "/api/v2/status", b"", {}, _PROBE_S)
        if _field(status, "versionInfo", "version"):
            return f"this is Alertmanager, which takes alerts and no metrics: push to {RECEIVERS}"
    except (TimeoutError, httpx.HTTPError):
        pass
    return f"nothing takes pushes there: are port and path right? It should be {RECEIVERS}"


def _field(answer: HTTPExchange, section: str, name: str) -> str:
    try:
        content = json.loads(answer.text)
        return str(content[section].get(name, ""))
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""


def _kind(answer: HTTPExchange) -> str:
    media_type = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type in ("text/html", "application/xhtml+xml") or is_html(answer.text):
        return "html"
    return "json" if media_type == "application/json" else ""
