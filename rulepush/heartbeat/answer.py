"""What the receiver of a heartbeat answered. Services tell in the body of a 200, too, that they know no such check."""

from __future__ import annotations

import json
import re
from typing import Final

from rulepush.http_client.exchange import HTTPExchange
from rulepush.http_client.pages import is_page, page_named

# healthchecks.io, HTTP API: a call by UUID is always answered with 200, for old clients.
_NOT_TAKEN: Final = re.compile(r"OK \((?:not found|rate limited)[^)]*\)")


def heartbeat_fault(got: HTTPExchange) -> str:
    """Why the heartbeat was not taken, "" when it was."""
    text = got.text.strip()
    if not got.is_success:
        said = "" if is_page(text) else text[:200]
        return ": ".join(filter(None, (f"HTTP status {got.status} {got.phrase}".rstrip(), said)))
    if is_page(text):
        return f"answered with {page_named(text)}, which is no acknowledgement: check the url"
    if _NOT_TAKEN.match(text):
        return f"answered: {text[:200]}"
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    if isinstance(answer, dict) and (
        answer.get("ok") is False or answer.get("success") is False or answer.get("error")
    ):  # Uptime Kuma: {"ok": false, "msg": "Monitor not found or not active."}
        return f"answered with an error: {text[:200]}"
    return ""
