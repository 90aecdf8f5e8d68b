"""Parses the URLs that a person types."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final
from urllib.parse import unquote, urlsplit

from rulepush.errors import RulepushError

_METRICS: Final = "/actuator/prometheus"
_CONTEXT: Final = "/nacos"


class AddressError(RulepushError):
    """A URL that cannot be used."""


@dataclass(frozen=True, slots=True)
class Address:
    """`host` has its port. `path` has no trailing slash, "" when there is none."""

    scheme: str
    host: str
    path: str = ""
    username: str = ""
    password: str = ""

    @property
    def base(self) -> str:
        """Without credentials."""
        return f"{self.scheme}://{self.host}{self.path}"

    @property
    def is_loopback(self) -> bool:
        """Whether it means this machine, which inside of a container is the container."""
        name = (urlsplit(f"//{self.host}").hostname or "").rstrip(".")
        if name == "localhost":
            return True
        try:
            return ip_address(name).is_loopback
        except ValueError:
            return False


def nacos_address(url: str) -> Address:
    """`path` is the context path, /nacos when the URL has none. Raises AddressError."""
    address = _address(url, "--server", 8848)
    path = address.path.removesuffix(_METRICS) or _CONTEXT
    return Address(address.scheme, address.host, path, address.username, address.password)


def alertmanager_address(url: str) -> Address:
    """`path` is the prefix. Raises AddressError."""
    address = _address(url, "--alertmanager", 9093)
    path = address.path.removesuffix("/alerts").removesuffix("/api/v2")
    return Address(address.scheme, address.host, path, address.username, address.password)


def _address(url: str, flag: str, port: int) -> Address:
    text = url if "://" in url else f"http://{url}"
    try:
        parts = urlsplit(text)
        given = parts.port
    except ValueError as e:
        raise AddressError(f"{flag}: {url!r} is not a URL: {e}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise AddressError(f"{flag}: {url!r} is not a URL such as http://HOST:{port}")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    usual = given or (443 if parts.scheme == "https" else port)
    return Address(
        parts.scheme,
        f"{host}:{usual}",
        parts.path.rstrip("/"),
        unquote(parts.username or ""),
        unquote(parts.password or ""),
    )
