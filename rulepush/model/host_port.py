"""An address of a host and its port."""

from __future__ import annotations


def join_host_port(host: str, port: int | str) -> str:
    """`host:port`, with brackets around an IPv6 address (Go's net.JoinHostPort)."""
    return f"{bracketed(host)}:{port}"


def bracketed(host: str) -> str:
    """The host as URLs have it: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host
