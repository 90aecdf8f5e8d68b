"""Where peers are: `--web.peers` as URLs, or as a name whose DNS records are the peers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit, urlunsplit

from rulepush.errors import DiscoveryError, RulepushError
from rulepush.model.host_port import bracketed
from rulepush.model.secret import Secret

if TYPE_CHECKING:
    from rulepush.discovery.dns import Lookup

PEERS_FLAG: Final = "--web.peers"


class PeerLookup(Enum):
    """How a peer's host is found. The value is the prefix of its URL, that of Thanos' `--endpoint`."""

    STATIC = ""
    ADDRESSES = "dns+"
    SERVICE = "dnssrv+"


@dataclass(frozen=True, slots=True)
class PeerAddress:
    """One value of the flag. `url` has no slash at its end, and may hold a password; `shown` has none."""

    url: Secret
    shown: str
    lookup: PeerLookup = PeerLookup.STATIC

    async def resolve(self, look_up: Lookup) -> Sequence[PeerAddress]:
        """The peers behind it, sorted, each with an address in place of the name. Raises DiscoveryError where that is
        not known; a name that does not exist is one, for nobody lists peers that are none."""
        if self.lookup is PeerLookup.STATIC:
            return (self,)
        parts = urlsplit(self.url.reveal())
        name = parts.hostname or ""
        hosts: set[str] = set()
        for kind in ("SRV",) if self.lookup is PeerLookup.SERVICE else ("A", "AAAA"):
            for record in await look_up(name, kind):
                host = record.target.rstrip(".")
                host = bracketed(host)
                port = record.port if kind == "SRV" else parts.port
                hosts.add(host if port is None else f"{host}:{port}")
        if not hosts:
            raise DiscoveryError(
                f"{name!r} has no {'SRV' if self.lookup is PeerLookup.SERVICE else 'A or AAAA'} records"
            )
        user, at, _ = parts.netloc.rpartition("@")
        return [read_peer(urlunsplit(parts._replace(netloc=f"{user}{at}{host}"))) for host in sorted(hosts)]


def read_peer(text: str) -> PeerAddress:
    """One value of `--web.peers`. Raises RulepushError, whose text holds no password."""
    lookup = next((kind for kind in PeerLookup if kind.value and text.startswith(kind.value)), PeerLookup.STATIC)
    url = text.removeprefix(lookup.value).rstrip("/")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        parts, host = urlsplit(""), None
    shown = f"{lookup.value}{urlunsplit(parts._replace(netloc=parts.netloc.rpartition('@')[2], query=''))}"
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment:
        named = shown if host else repr(text.rpartition("@")[2])
        raise RulepushError(
            f"{PEERS_FLAG}: {named} is not the URL of a rulepush, such as http://host:9095, or "
            "dns+http://name:9095 for all addresses of a name"
        )
    return PeerAddress(Secret(url), shown, lookup)
