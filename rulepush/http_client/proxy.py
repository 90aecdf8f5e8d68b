"""Which proxy a request takes: Go's golang.org/x/net/http/httpproxy, which Prometheus uses."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass

from rulepush.http_client.config import ProxyConfig

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class NoProxy:
    """A parsed no_proxy list."""

    everything: bool = False
    networks: tuple[tuple[Network, int | None], ...] = ()
    domains: tuple[tuple[str, bool, int | None], ...] = ()  # suffix with its dot, the bare host too, port

    @classmethod
    def parse(cls, text: str) -> NoProxy:
        """Hosts, domains (`.example.com`: only below it), addresses and networks, `:port` behind each; `*` for all."""
        networks: list[tuple[Network, int | None]] = []
        domains: list[tuple[str, bool, int | None]] = []
        for entry in (e.strip().lower() for e in text.split(",")):
            if not entry:
                continue
            if entry == "*":
                return cls(everything=True)
            try:
                networks.append((ipaddress.ip_network(entry, strict=False), None))
                continue
            except ValueError:
                pass
            host, port = split_port(entry)
            try:
                networks.append((ipaddress.ip_network(host, strict=False), port))
                continue
            except ValueError:
                pass
            if host.startswith("*."):
                host = host[1:]
            if host.startswith("."):
                domains.append((host, False, port))
            elif host:
                domains.append(("." + host, True, port))
        return cls(False, tuple(networks), tuple(domains))

    def covers(self, host: str, port: int) -> bool:
        """Whether requests to this host go without a proxy. Loopback always does, as in Go."""
        host = host.lower().strip("[]").rstrip(".")
        if self.everything or host == "localhost":
            return True
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return any(
                (host.endswith(suffix) or (bare and host == suffix[1:])) and only in (None, port)
                for suffix, bare, only in self.domains
            )
        if address.is_loopback:
            return True
        return any(address.version == n.version and address in n and only in (None, port) for n, only in self.networks)


class ProxyChooser:
    """Answers which proxy a request takes."""

    def __init__(self, config: ProxyConfig, environment: Mapping[str, str]):
        self._fixed = config.url.reveal()
        self._by_scheme: dict[str, str] = {}
        self._no_proxy: NoProxy | None = None
        if config.from_environment:
            for scheme in ("http", "https"):
                self._by_scheme[scheme] = _first(environment, f"{scheme.upper()}_PROXY", f"{scheme}_proxy")
            if environment.get("REQUEST_METHOD"):
                self._by_scheme["http"] = ""  # a CGI's client could set HTTP_PROXY by a header
            self._no_proxy = NoProxy.parse(_first(environment, "NO_PROXY", "no_proxy"))
        elif config.no_proxy:
            self._no_proxy = NoProxy.parse(config.no_proxy)

    def choose(self, scheme: str, host: str, port: int | None) -> str:
        """The proxy's URL, "" for none."""
        proxy = self._fixed or self._by_scheme.get(scheme, "")
        if not proxy:
            return ""
        if self._no_proxy and self._no_proxy.covers(host, port or (443 if scheme == "https" else 80)):
            return ""
        return proxy if "://" in proxy else "http://" + proxy


def _first(environment: Mapping[str, str], *names: str) -> str:
    return next((environment[n] for n in names if environment.get(n)), "")


def split_port(text: str) -> tuple[str, int | None]:
    """`host:8080` -> ("host", 8080); `[::1]:80` too; without a port (text, None)."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or (":" in host and not host.startswith("[")):
        return text.strip("[]"), None
    return host.strip("[]"), int(port)
