"""ExternalURL: how others reach this process and what runs beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True)
class ExternalURL:
    """`url` is the external URL, `port` the one that is listened on, `routes` is `--web.route-prefix`."""

    url: str
    port: int
    routes: str = ""

    @property
    def prefix(self) -> str:
        """The path of the external URL, which all links begin with; no slash at its end."""
        return urlsplit(self.url).path.rstrip("/")

    @property
    def route_prefix(self) -> str:
        """What all routes are below; no slash at its end. A proxy that takes the prefix off wants `/` for `routes`."""
        if not self.routes:
            return self.prefix
        path = self.routes.strip("/")
        return path and f"/{path}"

    def global_url(self, url: str) -> str:
        """A loopback target's URL as others reach it: on the external URL's host, and this process itself under its
        external URL. Other URLs stay, those too that are none: a discovery may say `[::1` and one such target must not
        hide the others. Source: web/api/v1/api.go, getGlobalURL."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            return url
        if parts.hostname not in _LOOPBACK or port is None:
            return url
        external = urlsplit(self.url)
        if port == self.port:
            return parts._replace(scheme=external.scheme, netloc=external.netloc.rpartition("@")[2]).geturl()
        host = external.hostname or ""
        return parts._replace(netloc=f"[{host}]:{port}" if ":" in host else f"{host}:{port}").geturl()
