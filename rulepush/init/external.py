"""The address under which others reach this machine."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from typing import Final

from rulepush.init.addresses import AddressError
from rulepush.init.setup import PORT
from rulepush.model.typed_url import is_loopback_host, typed_url, without_credentials

_ELSEWHERE: Final = ("192.0.2.1", "2001:db8::1")
"""Addresses for documentation (RFC 5737, RFC 3849), which the default route leads to. Nothing is sent there."""


def machine_address(towards: Iterable[str], source_address: Callable[[str], str] | None = None) -> str:
    """This machine's address on the way to the first of the hosts that is another machine, else on its default route,
    else loopback. An IPv6 address has brackets. `source_address` gives this machine's address on the way to a host, ""
    for no way."""
    source_address = source_address or route_source
    for host in (*towards, *_ELSEWHERE):
        address = source_address(host)
        if address and not is_loopback_host(address):
            return f"[{address}]" if ":" in address else address
    return "127.0.0.1"


def route_source(host: str) -> str:
    """This machine's address on the way to a host, "" where no route leads there, or its name is not known. Nothing is
    sent: a datagram socket only asks for the route."""
    try:
        found = socket.getaddrinfo(host, PORT, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError):
        return ""
    for family, kind, protocol, _, address in found:
        try:
            with socket.socket(family, kind, protocol) as s:
                s.connect(address)
                return str(s.getsockname()[0])
        except OSError:
            continue
    return ""


def external_url(text: str) -> str:
    """A URL for `--web.external-url`, from what a person typed: http where no scheme is given, and then rulepush's own
    port where none is. No slash at its end. Raises AddressError."""
    try:
        parts = typed_url(text)
        if parts.query or parts.fragment or parts.username:
            raise ValueError
    except ValueError as e:
        shown = without_credentials(text)
        raise AddressError(f"--external-url: {shown!r} is not a URL such as http://192.168.1.10:{PORT}{e}") from None
    if "://" not in text and parts.port is None:
        parts = parts._replace(netloc=f"{parts.netloc}:{PORT}")
    return parts.geturl().rstrip("/")
