"""The listening socket. It is taken at the start, before anything that serves it is there."""

from __future__ import annotations

import socket

from rulepush.errors import RulepushError


def bind(address: str) -> socket.socket:
    """Listen on `host:port`, `:port` (all addresses) or `[::1]:port`. Raises RulepushError."""
    listener = _listen(address)
    # Connections inherit it. asyncio does not set it for them, and an answer on a kept connection, whose headers and
    # body are two writes, would wait 40 ms for the client's delayed acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _listen(address: str) -> socket.socket:
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:
        raise RulepushError(f"--web.listen-address: {address!r} is not host:port")
    host = host.removeprefix("[").removesuffix("]")
    try:
        if not host:
            both = socket.has_dualstack_ipv6()
            family = socket.AF_INET6 if both else socket.AF_INET
            return socket.create_server(("", int(port)), family=family, dualstack_ipv6=both)
        family = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, int(port)), family=family)
    except OSError as e:
        reason = (e.strerror or str(e)).partition(" (while attempting")[0]
        raise RulepushError(f"cannot listen on {address}: {reason}") from None


def address_of(listener: socket.socket) -> str:
    """`host:port` or `[host]:port` of a bound socket."""
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if listener.family == socket.AF_INET6 else f"{host}:{port}"
