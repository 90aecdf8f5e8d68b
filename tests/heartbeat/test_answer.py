"""What services answer to a heartbeat."""

from __future__ import annotations

import pytest

from rulepush.heartbeat.answer import heartbeat_fault
from rulepush.http_client.exchange import HTTPExchange


@pytest.mark.parametrize(
    ("status", "text", "fault"),
    [
        (200, "OK", ""),
        (200, "", ""),
        (202, "Got it, thanks!\n", ""),  # Dead Man's Snitch
        (200, '{"ok":true}', ""),  # Uptime Kuma, server/routers/api-router.js
        (200, '{"status":"success"}', ""),
        (204, "", ""),
        # healthchecks.io, by UUID: 200 for old clients
        (200, "OK (not found)", "answered: OK (not found)"),
        (200, "OK (rate limited)", "answered: OK (rate limited)"),
        (404, "not found", "HTTP status 404 Not Found: not found"),
        (200, '{"ok":false,"msg":"x"}', 'answered with an error: {"ok":false,"msg":"x"}'),
        (200, '{"success": false}', 'answered with an error: {"success": false}'),
        (
            200,
            "<!DOCTYPE html><title>Uptime Kuma</title>",
            'answered with a page "Uptime Kuma", which is no acknowledgement: check the url',
        ),
        (502, "<html>", "HTTP status 502 Bad Gateway"),
    ],
)
def test_only_what_was_taken_counts(status: int, text: str, fault: str) -> None:
    phrase = {404: "Not Found", 502: "Bad Gateway"}.get(status, "")
    assert heartbeat_fault(HTTPExchange(status, phrase, text, {})) == fault
