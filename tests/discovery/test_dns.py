"""dns_sd_configs: on a fake lookup, and the lookup itself against a small server on loopback."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import cast

import dns.asyncresolver
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rrset
import pytest

from rulepush.discovery.dns import DnsDiscovery, DnsSdConfig, Record, resolve_with, system_lookup
from rulepush.errors import DiscoveryError
from tests.discovery.driving import environment, read_sd, running


class Names:
    """A Lookup whose answers the test sets."""

    def __init__(self, **answers: list[Record]) -> None:
        self.answers = answers
        self.failing: set[str] = set()

    async def __call__(self, name: str, kind: str) -> list[Record]:
        if name in self.failing:
            raise DiscoveryError(f"could not resolve {name!r}: timeout")
        return self.answers.get(name, [])


def test_srv_records_give_host_and_port() -> None:
    names = Names(svc=[Record("b.example.", 9100), Record("a.example.", 9101)])

    async def go() -> None:
        env = environment()
        async with running(DnsDiscovery(DnsSdConfig(("svc",)), env, names), env) as seen:
            assert seen.merged() == [
                {
                    "__address__": "a.example:9101",
                    "__meta_dns_name": "svc",
                    "__meta_dns_srv_record_target": "a.example.",
                    "__meta_dns_srv_record_port": "9101",
                },
                {
                    "__address__": "b.example:9100",
                    "__meta_dns_name": "svc",
                    "__meta_dns_srv_record_target": "b.example.",
                    "__meta_dns_srv_record_port": "9100",
                },
            ]

    asyncio.run(go())


@pytest.mark.parametrize(
    ("kind", "record", "address", "label"),
    [
        ("A", Record("10.0.0.1"), "10.0.0.1:80", None),
        ("AAAA", Record("fe80::1"), "[fe80::1]:80", None),
        ("MX", Record("mail.example."), "mail.example:80", "__meta_dns_mx_record_target"),
        ("NS", Record("ns.example."), "ns.example:80", "__meta_dns_ns_record_target"),
    ],
)
def test_other_records_take_the_configured_port(kind: str, record: Record, address: str, label: str | None) -> None:
    async def go() -> None:
        env = environment()
        config = DnsSdConfig(("n",), kind, 80)
        async with running(DnsDiscovery(config, env, Names(n=[record])), env) as seen:
            expected = {"__address__": address, "__meta_dns_name": "n"} | ({label: record.target} if label else {})
            assert seen.merged() == [expected]

    asyncio.run(go())


def test_a_name_that_fails_keeps_its_targets_and_one_that_is_gone_loses_them() -> None:
    names = Names(a=[Record("1.1.1.1")], b=[Record("2.2.2.2")])

    async def go() -> None:
        env = environment()
        async with running(DnsDiscovery(DnsSdConfig(("a", "b"), "A", 1), env, names), env) as seen:
            names.failing = {"a"}
            names.answers["b"] = [Record("3.3.3.3")]
            await seen.clock.advance(30)
            assert seen.addresses() == ["1.1.1.1:1", "3.3.3.3:1"]
            names.failing = {"a", "b"}
            await seen.clock.advance(300)
            assert seen.addresses() == ["1.1.1.1:1", "3.3.3.3:1"]
            assert "could not resolve 'a': timeout" in str(env.reporter.last_errors)
            names.failing, names.answers = set(), {"b": [Record("3.3.3.3")]}
            await seen.clock.advance(60)
            assert seen.addresses() == ["3.3.3.3:1"]
            assert env.reporter.last_errors == {}

    asyncio.run(go())


ZONE = {
    ("a.test.", "A"): ["10.0.0.1", "10.0.0.2"],
    ("a.test.", "AAAA"): ["fe80::1"],
    ("_m._tcp.test.", "SRV"): ["10 20 9100 a.test."],
    ("test.", "MX"): ["10 mail.test."],
    ("test.", "NS"): ["ns.test."],
}


class _Server(asyncio.DatagramProtocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        question = query.question[0]
        name = question.name.to_text()
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.RA
        if "broken" in name:
            answer.set_rcode(dns.rcode.SERVFAIL)
        elif not any(n == name for n, _ in ZONE):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        records = ZONE.get((name, dns.rdatatype.to_text(question.rdtype)))
        if records:
            answer.answer.append(dns.rrset.from_text(name, 60, "IN", dns.rdatatype.to_text(question.rdtype), *records))
        cast(asyncio.DatagramTransport, self.transport).sendto(answer.to_wire(), addr)


def ask(name: str, kind: str, search: tuple[str, ...] = ("test.",)) -> list[Record]:
    async def go() -> list[Record]:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(_Server, local_addr=("127.0.0.1", 0))
        resolver = dns.asyncresolver.Resolver(configure=False)
        resolver.nameservers = ["127.0.0.1"]
        resolver.port = transport.get_extra_info("sockname")[1]
        resolver.search = [dns.name.from_text(s) for s in search]
        try:
            return await resolve_with(resolver, name, kind)
        finally:
            transport.close()

    return asyncio.run(go())


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("a.test", "A", [Record("10.0.0.1"), Record("10.0.0.2")]),
        ("a", "A", [Record("10.0.0.1"), Record("10.0.0.2")]),  # through the search list
        ("a.test.", "AAAA", [Record("fe80::1")]),
        ("_m._tcp.test", "SRV", [Record("a.test.", 9100)]),
        ("test.", "MX", [Record("mail.test.")]),
        ("test.", "NS", [Record("ns.test.")]),
        ("none.test", "A", []),
        ("a.test", "MX", []),
    ],
)
def test_asks_the_servers(name: str, kind: str, expected: list[Record]) -> None:
    assert sorted(ask(name, kind), key=str) == expected


@pytest.mark.parametrize(
    "search", [("broken.", "test."), ("none.", "broken.", "test."), (("x" * 63 + ".") * 3 + "x" * 61 + ".", "test.")]
)
def test_a_search_domain_whose_servers_fail_does_not_hide_the_next(search: tuple[str, ...]) -> None:
    assert len(ask("a", "A", search)) == 2
    with pytest.raises(DiscoveryError, match="could not resolve 'b'"):
        ask("b", "A", search)


def test_a_name_that_exists_without_such_records_ends_the_search() -> None:
    assert ask("a", "MX", ("test.", "broken.")) == []


@pytest.mark.parametrize(
    "text", ["", "nameserver localhost\n", "nameserver 127.0.0.1\nsearch a..b\n", "nameserver 127.0.0.1\nsearch \xff\n"]
)
def test_a_resolv_conf_that_cannot_be_used_is_a_failure_not_a_crash(tmp_path: Path, text: str) -> None:
    file = tmp_path / "resolv.conf"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(DiscoveryError, match="could not load"):
        asyncio.run(system_lookup("a.test", "A", str(file)))


@pytest.mark.parametrize("name", ["broken.test", "x" * 64 + ".test"])
def test_servers_that_fail_are_a_failure_not_an_empty_answer(name: str) -> None:
    with pytest.raises(DiscoveryError, match="could not resolve"):
        ask(name, "A")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{}", "must contain at least one SRV record name"),
        ("{names: [a], type: A}", "a port is required in DNS-SD configs for all record types except SRV"),
        ("{names: [a], type: TXT}", "invalid DNS-SD records type 'TXT'"),
        ("{names: [a], type: a, port: 70000}", "expected a number up to 65535"),
    ],
)
def test_configuration_faults(text: str, complaint: str) -> None:
    _, problems = read_sd("dns_sd_configs", text)
    assert any(complaint in p for p in problems), problems
