"""What all ways to send a request share, with httpx and without."""

from __future__ import annotations

from typing import Final

CONNECTION_OWNER: Final = "rulepush_connection_owner"
"""The extension of a request that says whose connections it uses: requests with the same object share theirs with
no others. A pool of connections visits all it has for every request, so what keeps asking many servers, as
scraping does, has one per server."""

IDEMPOTENT: Final = "rulepush_idempotent"
"""The extension of a request whose method says nothing of it: it may be sent twice."""

SENT_SECRETS: Final = "rulepush_secrets"
"""The extension of a request that tells which secrets are in its headers."""

IDLE_SECONDS: Final = 300.0  # above every usual scrape interval, so that connections live from scrape to scrape
NO_ANSWER: Final = "Server disconnected without sending a response."
