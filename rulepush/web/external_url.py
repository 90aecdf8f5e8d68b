"""ExternalURL: `--web.external-url` and `--web.route-prefix`, and what follows from them for links and routes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from rulepush.model.host_port import join_host_port

_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True)
class ExternalURL:
    """`url` is the external URL, `port` the one that is listened on, `routes` is `--web.route-prefix`."""

    url: str
    port: int
    routes: str = ""

    @property
    def prefix(self) -> str:
        """The path of the external URL, with which all links begin; no slash at its end."""
        return urlsplit(self.url).path.rstrip("/")

    @property
    def route_prefix(self) -> str:
        """The prefix of all routes; no slash at its end. Behind a proxy that strips the path, `routes` is `/`."""
        if not self.routes:
            return self.prefix
        path = self.routes.strip("/")
        return path and f"/{path}"

    def global_url(self, url: str) -> str:
        """The URL of a loopback target as seen from elsewhere: with the external URL's host, or for this process itself
        the external URL. Other URLs are returned unchanged, invalid ones too: a discovery may return `[::1`, and one
        such target must not hide the others. Source: web/api/v1/api.go, getGlobalURL."""
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
        return parts._replace(netloc=join_host_port(host, port)).geturl()
