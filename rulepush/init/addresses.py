"""Parses the URLs that a person types."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import unquote, urlsplit

from rulepush.errors import RulepushError
from rulepush.model.typed_url import is_loopback_host, typed_url, without_credentials

_METRICS: Final = "/actuator/prometheus"
_CONTEXT: Final = "/nacos"
_CONSOLE: Final = "/index.html"
_SEPARATORS: Final = re.compile(r"[,;\s]+")
_ALERTMANAGER_API: Final = re.compile(r"/api/v[12](/[a-z]+)?$|/alerts$")


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
        return is_loopback_host(urlsplit(f"//{self.host}").hostname or "")


def split_addresses(texts: Iterable[str]) -> tuple[str, ...]:
    """The URLs of a flag that takes several, also as one text in the way of Nacos' `server-addr`:
    `10.0.0.1:8848, 10.0.0.2:8848`. Each one once."""
    return tuple(dict.fromkeys(url for text in texts for url in _SEPARATORS.split(text) if url))


def nacos_address(url: str) -> Address:
    """`path` is the context path, /nacos when the URL has none; "" when the URL is that of metrics without one.
    Raises AddressError."""
    address = _address(url, "--server", 8848)
    if address.path.endswith(_METRICS):
        return replace(address, path=address.path.removesuffix(_METRICS))
    return replace(address, path=address.path.removesuffix(_CONSOLE) or _CONTEXT)


def alertmanager_address(url: str) -> Address:
    """`path` is the prefix. Raises AddressError."""
    address = _address(url, "--alertmanager", 9093)
    return replace(address, path=_ALERTMANAGER_API.sub("", address.path))


def _address(url: str, flag: str, port: int) -> Address:
    try:
        parts = typed_url(url)
    except ValueError as e:
        raise AddressError(f"{flag}: {without_credentials(url)!r} is not a URL such as http://HOST:{port}{e}") from None
    name = parts.hostname or ""
    host = f"[{name}]" if ":" in name else name
    usual = parts.port or (443 if parts.scheme == "https" else port)
    return Address(
        parts.scheme,
        f"{host}:{usual}",
        parts.path.rstrip("/"),
        unquote(parts.username or ""),
        unquote(parts.password or ""),
    )
