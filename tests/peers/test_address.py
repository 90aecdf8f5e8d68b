"""What --web.peers may say, and which peers a name stands for."""

from __future__ import annotations

import asyncio

import pytest

from rulepush.discovery.dns import Record
from rulepush.errors import DiscoveryError, RulepushError
from rulepush.peers.address import read_peer

RECORDS = {
    ("evaluators", "A"): [Record("10.0.0.2"), Record("10.0.0.1")],
    ("evaluators", "AAAA"): [Record("fd00::1")],
    ("_web._tcp.evaluators", "SRV"): [Record("e-0.evaluators.", 9095), Record("e-1.evaluators.", 9096)],
}


async def look_up(name: str, kind: str) -> list[Record]:
    return RECORDS.get((name, kind), [])


def resolved(text: str) -> list[str]:
    return [one.url.reveal() for one in asyncio.run(read_peer(text).resolve(look_up))]


def test_a_url_is_one_peer() -> None:
    assert resolved("http://e-0:9095/prefix/") == ["http://e-0:9095/prefix"]


def test_a_name_is_as_many_peers_as_it_has_addresses() -> None:
    assert resolved("dns+http://evaluators:9095") == [
        "http://10.0.0.1:9095",
        "http://10.0.0.2:9095",
        "http://[fd00::1]:9095",
    ]


def test_srv_records_have_the_ports() -> None:
    assert resolved("dnssrv+https://u:p@_web._tcp.evaluators/x") == [
        "https://u:p@e-0.evaluators:9095/x",
        "https://u:p@e-1.evaluators:9096/x",
    ]


def test_a_name_without_records_is_a_failure_and_not_an_empty_list() -> None:
    with pytest.raises(DiscoveryError, match="'nobody' has no A or AAAA records"):
        resolved("dns+http://nobody:1")


def test_a_password_is_never_shown() -> None:
    peer = read_peer("dns+http://u:hunter2@evaluators:9095")
    assert peer.shown == "dns+http://evaluators:9095"
    assert "hunter2" not in repr(peer)


@pytest.mark.parametrize(
    "text", ["e-0:9095", "ftp://e-0", "http://", "http://u:hunter2@e-0:x", "http://u:hunter2@e-0/?a=b", "dns+e-0", ""]
)
def test_what_is_no_url_is_refused_without_its_password(text: str) -> None:
    with pytest.raises(RulepushError, match=r"--web\.peers: .* is not the URL of a rulepush") as e:
        read_peer(text)
    assert "hunter2" not in str(e.value)
