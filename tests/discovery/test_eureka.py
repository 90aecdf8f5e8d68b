"""eureka_sd_configs against a fake server."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import httpx
import pytest

from rulepush.discovery.eureka import EurekaDiscovery, EurekaSdConfig
from rulepush.discovery.eureka_answer import ApplicationsXml
from tests.discovery.driving import environment, read_sd, running
from tests.discovery.eureka_server import FakeEureka, applications_xml, spring_instance
from tests.http_server import HttpReply

SERVER = "http://eureka:8761/eureka"


def config(text: str = f"server: '{SERVER}'") -> EurekaSdConfig:
    found, problems = read_sd("eureka_sd_configs", "{" + text + "}")
    assert problems == []
    assert isinstance(found, EurekaSdConfig)
    return found


def once(eureka: FakeEureka, text: str = f"server: '{SERVER}'") -> list[dict[str, str]]:
    """The targets after the first refresh."""

    async def go() -> list[dict[str, str]]:
        env = environment()
        async with running(EurekaDiscovery(config(text), env, eureka.transport()), env) as seen:
            assert env.reporter.last_errors == {}
            return seen.merged()

    return asyncio.run(go())


def failure(transport: httpx.AsyncBaseTransport, text: str = f"server: '{SERVER}'") -> str:
    """The error of the first refresh."""

    async def go() -> str:
        env = environment()
        async with running(EurekaDiscovery(config(text), env, transport), env) as seen:
            assert seen.lists == []
            assert env.reporter.failures["eureka"] == 1
            return next(iter(env.reporter.last_errors.values()))

    return asyncio.run(go())


def answering(body: bytes, kind: str = "application/xml") -> httpx.MockTransport:
    return FakeEureka(instead=HttpReply(body, 200, kind)).transport()


def of_body(inside: str) -> list[dict[str, str]]:
    """The targets of one instance whose XML is `inside`."""
    body = f"<applications><application><name>A</name><instance>{inside}</instance></application></applications>"
    return once(FakeEureka(instead=HttpReply(body.encode(), 200, "application/xml")))


def test_an_instance_carries_what_it_registered() -> None:
    metadata = {"management.port": "8090", "prometheus.path": "/actuator/prometheus", "my_zone": "a&b", "说明": "x"}
    amazon = ("Amazon", {"availability-zone": "us-east-1c", "instance-id": "i-1"})
    instance = spring_instance("ORDER", "order-1.hz", metadata=metadata, dataCenterInfo=amazon)
    assert once(FakeEureka({"ORDER": [instance]})) == [
        {
            "__address__": "order-1.hz:8080",
            "instance": "order-1.hz:order:8080",
            "__meta_eureka_app_name": "ORDER",
            "__meta_eureka_app_instance_hostname": "order-1.hz",
            "__meta_eureka_app_instance_homepage_url": "http://order-1.hz:8080/",
            "__meta_eureka_app_instance_statuspage_url": "http://order-1.hz:8080/actuator/info",
            "__meta_eureka_app_instance_healthcheck_url": "http://order-1.hz:8080/actuator/health",
            "__meta_eureka_app_instance_ip_addr": "10.0.0.1",
            "__meta_eureka_app_instance_vip_address": "order",
            "__meta_eureka_app_instance_secure_vip_address": "order",
            "__meta_eureka_app_instance_status": "UP",
            "__meta_eureka_app_instance_port": "8080",
            "__meta_eureka_app_instance_port_enabled": "true",
            "__meta_eureka_app_instance_secure_port": "443",
            "__meta_eureka_app_instance_secure_port_enabled": "false",
            "__meta_eureka_app_instance_datacenterinfo_name": "Amazon",
            "__meta_eureka_app_instance_datacenterinfo_metadata_availability_zone": "us-east-1c",
            "__meta_eureka_app_instance_datacenterinfo_metadata_instance_id": "i-1",
            "__meta_eureka_app_instance_country_id": "1",
            "__meta_eureka_app_instance_id": "order-1.hz:order:8080",
            "__meta_eureka_app_instance_metadata_management_port": "8090",
            "__meta_eureka_app_instance_metadata_prometheus_path": "/actuator/prometheus",
            # XStream doubles the underscore in the name of the element, and Prometheus takes the value as it was sent.
            "__meta_eureka_app_instance_metadata_my__zone": "a&amp;b",
            "__meta_eureka_app_instance_metadata___": "x",
        }
    ]


def test_json_gives_the_targets_that_xml_gives() -> None:
    apps = {
        "ORDER": [
            spring_instance("ORDER", "order-1", dataCenterInfo=("Amazon", {"ami-id": "a"})),
            spring_instance("ORDER", "order-2", metadata={}, securePort=(8443, True), status="DOWN"),
        ],
        "PAY": [spring_instance("PAY", "pay-1")],
    }
    xml, in_json = FakeEureka(apps), FakeEureka(apps, only_json=True)
    found = once(xml)
    assert len(found) == 3
    assert once(in_json) == found
    assert xml.requests[0]["accept"] == "application/xml"


def test_json_of_one_application_with_one_instance_needs_no_lists() -> None:
    """JsonXStream's."""
    body = (
        b'{"applications":{"application":{"name":"A","instance":{"hostName":"a","port":{"$":"1","@enabled":"true"}}}}}'
    )
    (target,) = once(FakeEureka(instead=HttpReply(body, 200, "application/json")))
    assert target["__address__"] == "a:1"
    empty = b'{"applications":{"versions__delta":1,"apps__hashcode":"","application":""}}'
    assert once(FakeEureka(instead=HttpReply(empty, 200, "application/json"))) == []


def test_an_instance_without_port_is_on_80_and_an_ipv6_host_stands_in_brackets() -> None:
    without = spring_instance("A", "fe80::1")
    del without["port"], without["securePort"], without["dataCenterInfo"], without["metadata"]
    (target,) = once(FakeEureka({"A": [without]}))
    assert target["__address__"] == "[fe80::1]:80"
    assert not [name for name in target if "port" in name or "datacenter" in name]


@pytest.mark.parametrize(
    ("inside", "name", "value"),
    [
        ("<hostName>a&amp;b</hostName>", "hostname", "a&b"),
        ("<hostName>a<x>y</x>b</hostName>", "hostname", "ab"),
        ("<hostName> a </hostName>", "hostname", " a "),
        ("<n:hostName xmlns:n='u'>a</n:hostName>", "hostname", "a"),
        ("<status>UP</status><status>DOWN</status>", "status", "DOWN"),
        ("<port enabled='1'> 0080 </port>", "port", "80"),
        ("<port enabled='1'> 0080 </port>", "port_enabled", "true"),
        ("<port enabled='F'/>", "port", "0"),
        ("<port enabled='F'/>", "port_enabled", "false"),
        ("<port>7</port>", "port_enabled", "false"),
        ("<countryId/>", "country_id", "0"),
        ("<dataCenterInfo><name>x</name></dataCenterInfo>", "datacenterinfo_name", "x"),
        ("<metadata><a><b>1</b> <!-- c --></a></metadata>", "metadata_a", "<b>1</b> <!-- c -->"),
        ("<metadata><a x='>'> &lt;\n</a></metadata>", "metadata_a", " &lt;\n"),
        ("<metadata><a><![CDATA[x]]></a></metadata>", "metadata_a", "<![CDATA[x]]>"),
        ("<metadata><a.b>1</a.b><a-b>2</a-b></metadata>", "metadata_a_b", "2"),
        ("<metadata><a>1</a></metadata><metadata><b>2</b></metadata>", "metadata_a", "1"),
    ],
)
def test_xml_is_read_as_prometheus_reads_it(inside: str, name: str, value: str) -> None:
    (target,) = of_body(inside)
    assert target[f"__meta_eureka_app_instance_{name}"] == value


def test_pieces_of_any_size_give_the_same() -> None:
    whole = spring_instance("A", "a", metadata={"x.y": "é&<ü", "empty": "", "long": "z" * 50})
    body = applications_xml({"A": [whole, spring_instance("A", "b")], "B": [spring_instance("B", "c")]}).encode()

    def parsed(size: int) -> Any:
        reader = ApplicationsXml()
        for at in range(0, len(body), size):
            reader.feed(body[at : at + size])
        return reader.close()

    expected = parsed(len(body))
    assert expected[0].instances[0].metadata == {"x.y": "é&amp;&lt;ü", "empty": "", "long": "z" * 50}
    for size in (1, 2, 3, 7, 64, 1000):
        assert parsed(size) == expected


def test_each_application_is_a_group_and_only_what_changed_is_told() -> None:
    eureka = FakeEureka({"A": [spring_instance("A", h) for h in ("a2", "a1")], "B": [spring_instance("B", "b")]})

    async def go() -> None:
        env = environment()
        async with running(EurekaDiscovery(config(), env, eureka.transport()), env) as seen:
            assert seen.changes == [{"A", "B"}]
            eureka.apps["A"].reverse()  # the order of a Java map says nothing
            await seen.clock.advance(30)
            assert len(eureka.requests) == 2
            assert len(seen.changes) == 1
            eureka.apps["B"][0]["status"] = "DOWN"
            await seen.clock.advance(30)
            assert seen.changes[1:] == [{"B"}]
            del eureka.apps["B"]
            eureka.apps["C"] = [spring_instance("C", "c")]
            await seen.clock.advance(30)
            assert seen.changes[2:] == [{"B", "C"}]
            assert seen.addresses() == ["a1:8080", "a2:8080", "c:8080"]

    asyncio.run(go())


def test_targets_stay_while_the_server_fails_and_go_when_its_registry_is_empty() -> None:
    eureka = FakeEureka({"A": [spring_instance("A", "a")]}, user="u:pw")

    async def go() -> None:
        env = environment()
        found = config(
            "server: 'http://eureka:8761/eureka/', refresh_interval: 10s, basic_auth: {username: u, password: pw}"
        )
        async with running(EurekaDiscovery(found, env, eureka.transport()), env) as seen:
            assert seen.addresses() == ["a:8080"]
            for instead in (HttpReply(b"", 500), HttpReply(b""), HttpReply(b"<html/>"), HttpReply(b"<applications>")):
                eureka.instead = instead
                await seen.clock.advance(10)
                assert env.reporter.last_errors
            assert seen.addresses() == ["a:8080"]
            eureka.instead = None
            eureka.apps.clear()
            await seen.clock.advance(10)
            assert env.reporter.last_errors == {}
            assert seen.addresses() == []

    asyncio.run(go())


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (
            HttpReply(b"", 401),
            "server returned HTTP status 401 Unauthorized: set basic_auth (or authorization) to what Eureka asks its "
            "clients for",
        ),
        (
            HttpReply(b"", 403),
            "server returned HTTP status 403 Forbidden: Eureka gives no list while it starts and fills its registry; "
            "if this stays, it does not let this user read",
        ),
        (HttpReply(b"", 502), "server returned HTTP status 502 Bad Gateway"),
        (HttpReply(b""), "the answer is empty; is server the address of Eureka?"),
        (
            HttpReply(b"<!DOCTYPE html><html><head><title>Sign in</title>"),
            'answered with a page "Sign in" instead of a list of applications: set basic_auth where it is a login '
            "page, and server to the URL under which Eureka has /apps (Spring Cloud: http://HOST:8761/eureka)",
        ),
        (
            HttpReply(b"\n<html><body>hello"),
            "answered with a page instead of a list of applications: set basic_auth where it is a login page, and "
            "server to the URL under which Eureka has /apps (Spring Cloud: http://HOST:8761/eureka)",
        ),
        (
            HttpReply(b"up 1\n"),
            "line 1: not valid XML: syntax error; is server the URL under which Eureka has /apps?",
        ),
        (
            HttpReply(b"<applications>\n<application></applications>"),
            "line 2: not valid XML: mismatched tag",
        ),
        (
            HttpReply(b"<applications>\n<application>"),
            "the answer ends before </applications>: it was cut off on its way",
        ),
        (
            HttpReply(b"<services/>"),
            "line 1: expected <applications>, got <services>; is server the URL under which Eureka has /apps?",
        ),
        (HttpReply(b'{"applications": {"application": [1]}}'), "application: expected an object"),
        (HttpReply(b'{"status": "UP"}'), 'expected {"applications": {"application": [...]}}'),
        (HttpReply(b'{"a":\n'), "line 2: not valid JSON: Expecting value"),
        (HttpReply(b'{"a": "\xff"}'), "not valid UTF-8"),
    ],
)
def test_failures_say_what_to_do(reply: HttpReply, expected: str) -> None:
    assert failure(FakeEureka(instead=reply).transport()) == expected


def test_a_wrong_port_is_named() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))

        async def go() -> str:
            env = environment()
            found = config(f"server: 'http://127.0.0.1:{unused.getsockname()[1]}/eureka'")
            async with running(EurekaDiscovery(found, env), env) as seen:
                async with asyncio.timeout(60):
                    while not env.reporter.last_errors:
                        await seen.clock.settle()
                return next(iter(env.reporter.last_errors.values()))

        assert asyncio.run(go()) == "connection refused: nothing listens there; is the port of server right?"


@pytest.mark.parametrize(
    ("detail", "advice"),
    [
        ("[SSL: CERTIFICATE_VERIFY_FAILED] unable to get local issuer certificate", "set ca_file in tls_config"),
        ("[SSL] record layer failure", "is server http://?"),
    ],
)
def test_what_is_wrong_with_tls_says_what_to_do(detail: str, advice: str) -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError(detail)

    assert advice in failure(httpx.MockTransport(refuse))


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        (
            "http://eureka:8761",
            "server returned HTTP status 404 Not Found for /apps: the list is at server + /apps; for Spring Cloud's "
            "Eureka set server: http://eureka:8761/eureka",
        ),
        (
            "http://u:pw@eureka:8761/",
            "server returned HTTP status 404 Not Found for /apps: the list is at server + /apps; for Spring Cloud's "
            "Eureka set server: http://eureka:8761/eureka",
        ),
        (
            "http://eureka:8761/registry/eureka",
            "server returned HTTP status 404 Not Found for /registry/eureka/apps: is server right? Netflix' own Eureka "
            "needs /registry/eureka/v2",
        ),
    ],
)
def test_a_wrong_path_is_named_with_the_right_one(server: str, expected: str) -> None:
    assert failure(FakeEureka().transport(), f"server: '{server}'") == expected


@pytest.mark.parametrize(
    ("inside", "complaint"),
    [
        ("<port>http</port>", "port: 'http' is not a number"),
        ("<securePort> </securePort>", "securePort: ' ' is not a number"),
        ("<port>8_0</port>", "port: '8_0' is not a number"),
        ("<countryId>9999999999999999999</countryId>", "countryId: '9999999999999999999' is not a number"),
        ("<port enabled='yes'>1</port>", "port: enabled: 'yes' is neither true nor false"),
        ("<a>" * 200, "nested too deeply"),
        ("<hostName>&nbsp;</hostName>", "undefined entity"),
    ],
)
def test_what_prometheus_refuses_is_refused(inside: str, complaint: str) -> None:
    body = f"<applications><application><instance>{inside}</instance></application></applications>"
    assert complaint in failure(answering(body.encode()))


def test_entities_are_not_expanded() -> None:
    bomb = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]><applications>&b;</applications>'
    assert failure(answering(bomb)).startswith(
        "line 1: has a document type declaration (<!DOCTYPE>), which Eureka does not send"
    )
    file = b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><applications>&a;</applications>'
    assert "document type declaration" in failure(answering(file))


def test_a_server_that_hangs_is_given_up() -> None:
    async def handle(_: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    asked: list[float] = []

    def at_once(seconds: float) -> asyncio.Timeout:
        asked.append(seconds)
        return asyncio.timeout(0)

    async def go() -> str:
        env = environment()
        async with running(EurekaDiscovery(config(), env, httpx.MockTransport(handle), at_once), env):
            return next(iter(env.reporter.last_errors.values()))

    expected = "no answer within 30s; is server the address of Eureka, and does it answer others?"
    assert asyncio.run(go()) == expected
    assert asked == [30]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{}", "eureka_sd: empty or null eureka server"),
        ("{server: }", "eureka_sd: empty or null eureka server"),
        ("{server: ''}", "server: expected a URL that starts with http:// or https://, got ''"),
        ("{server: 'eureka.com'}", "server: expected a URL that starts with http:// or https://, got 'eureka.com'"),
        ("{server: 'http://e', servr: x}", "unknown key 'servr' (did you mean 'server'?)"),
        ("{server: 'http://e', refresh_interval: 1x}", "refresh_interval: "),
        ("{server: 'http://e', bearer_token: a, bearer_token_file: b}", "at most one of bearer_token"),
    ],
)
def test_what_prometheus_refuses_in_a_configuration_is_refused(text: str, complaint: str) -> None:
    _, problems = read_sd("eureka_sd_configs", text)
    assert len(problems) == 1
    assert complaint in problems[0]


def test_the_defaults_are_those_of_prometheus() -> None:
    found = config()
    assert found.refresh_interval_ms == 30_000
    assert found.server.reveal() == SERVER
