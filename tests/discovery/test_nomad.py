"""nomad_sd_configs against a fake Nomad.

The fake is written from hashicorp/nomad: command/agent/service_registration_endpoint.go (`/v1/services`,
`/v1/service/:name`), api/services.go (the shapes), nomad/structs/errors.go and command/agent/http.go (what it says).
The case with all labels is that of Prometheus' discovery/nomad/nomad_test.go (3.14). Debian's Prometheus 3.5 has no
Nomad discovery, so there is no comparison beside it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from rulepush.discovery.nomad import NomadDiscovery, NomadSdConfig
from tests.discovery.driving import Seen, environment, read_sd, running

Instance = dict[str, Any]


def instance(service: str, port: int = 30456, address: str = "127.0.0.1", **changes: Any) -> Instance:
    """A ServiceRegistration."""
    return {
        "ID": f"_nomad-task-6a1d5f0a-group-{service}-{service}-http-{port}",
        "ServiceName": service,
        "Namespace": "default",
        "NodeID": "d92fdc3c-9c2b-298a-e8f4-c33f3a449f09",
        "Datacenter": "dc1",
        "JobID": "dashboard",
        "AllocID": "6a1d5f0a-7362-3f5d-9baf-5ed438918e50",
        "Tags": ["metrics"],
        "Address": address,
        "Port": port,
        "CreateIndex": 226,
        "ModifyIndex": 226,
        **changes,
    }


@dataclass
class FakeNomad:
    """`fail` may answer in place of everything."""

    instances: list[Instance] = field(default_factory=list)
    token: str = ""
    fail: Callable[[httpx.Request], httpx.Response | None] = lambda _: None
    requests: list[httpx.Request] = field(default_factory=list)

    def handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        failure = self.fail(request)
        if failure is not None:
            return failure
        if self.token:
            sent = request.headers.get("X-Nomad-Token") or request.headers.get("Authorization", "").partition(" ")[2]
            if sent != self.token:
                return httpx.Response(403, text="ACL token not found" if sent else "Permission denied")
        path = request.url.path
        if path == "/v1/services":
            names = dict.fromkeys(i["ServiceName"] for i in self.instances)
            services = [{"ServiceName": name, "Tags": []} for name in names]
            return httpx.Response(200, json=[{"Namespace": "default", "Services": services}] if services else [])
        if path.startswith("/v1/service/"):
            name = path.removeprefix("/v1/service/")
            return httpx.Response(200, json=[i for i in self.instances if i["ServiceName"] == name])
        return httpx.Response(404, text="404 page not found\n")


def config(text: str = "server: 'http://nomad:4646'") -> NomadSdConfig:
    found, problems = read_sd("nomad_sd_configs", "{" + text + "}")
    assert problems == []
    assert isinstance(found, NomadSdConfig)
    return found


def drive(nomad: FakeNomad, steps: Callable[[Seen], Any], text: str = "server: 'http://nomad:4646'") -> None:
    async def go() -> None:
        env = environment()
        async with running(NomadDiscovery(config(text), env, httpx.MockTransport(nomad.handle)), env) as seen:
            await steps(seen)

    asyncio.run(go())


def error(nomad: FakeNomad, text: str = "server: 'http://nomad:4646'") -> str:
    said = ""

    async def steps(seen: Seen) -> None:
        nonlocal said
        assert seen.lists == []
        said = seen.reporter.last_errors[f"nomad {config(text).shown}"]

    drive(nomad, steps, text)
    return said


def test_the_labels_of_an_instance_are_those_of_prometheus() -> None:
    nomad = FakeNomad([instance("hashicups")])

    async def steps(seen: Seen) -> None:
        assert seen.merged() == [
            {
                "__address__": "127.0.0.1:30456",
                "__meta_nomad_address": "127.0.0.1",
                "__meta_nomad_dc": "dc1",
                "__meta_nomad_namespace": "default",
                "__meta_nomad_node_id": "d92fdc3c-9c2b-298a-e8f4-c33f3a449f09",
                "__meta_nomad_service": "hashicups",
                "__meta_nomad_service_address": "127.0.0.1",
                "__meta_nomad_service_id": "_nomad-task-6a1d5f0a-group-hashicups-hashicups-http-30456",
                "__meta_nomad_service_port": "30456",
                "__meta_nomad_tags": ",metrics,",
            }
        ]

    drive(nomad, steps)
    expected = "http://nomad:4646/v1/services?region=global&namespace=default&stale="
    assert [str(r.url) for r in nomad.requests] == [expected, expected.replace("services", "service/hashicups")]


def test_no_tags_are_no_label_and_an_ipv6_address_stands_in_brackets() -> None:
    nomad = FakeNomad([instance("a", 80, "fd00::1", Tags=None), instance("a", 81, Tags=["x", "y"])])

    async def steps(seen: Seen) -> None:
        first, second = sorted(seen.merged(), key=lambda t: t["__meta_nomad_service_port"])
        assert first["__address__"] == "[fd00::1]:80"
        assert "__meta_nomad_tags" not in first
        assert second["__meta_nomad_tags"] == "|x|y|"

    drive(nomad, steps, "server: 'http://nomad:4646/', tag_separator: '|'")


def test_each_service_is_a_group_and_failures_keep_the_list() -> None:
    nomad = FakeNomad([instance("a"), instance("b"), instance("c d/e")])

    async def steps(seen: Seen) -> None:
        assert seen.changes == [{"a", "b", "c d/e"}]
        nomad.instances[1]["Port"] = 9
        await seen.clock.advance(60)
        nomad.fail = lambda r: httpx.Response(500, text="No cluster leader") if "/service/" in r.url.path else None
        nomad.instances.pop()
        await seen.clock.advance(60)
        assert "No cluster leader" in str(seen.reporter.last_errors)
        assert seen.changes[1:] == [{"b"}]
        nomad.fail = lambda _: None
        await seen.clock.advance(60)
        assert seen.changes[2:] == [{"c d/e"}]
        assert seen.reporter.last_errors == {}

    drive(nomad, steps)


@pytest.mark.parametrize("text", ["authorization: {credentials: t}", "http_headers: {X-Nomad-Token: {secrets: [t]}}"])
def test_a_token_comes_by_authorization_or_by_nomads_own_header(text: str) -> None:
    async def steps(seen: Seen) -> None:
        assert seen.addresses() == ["127.0.0.1:30456"]

    drive(FakeNomad([instance("a")], token="t"), steps, f"server: 'http://nomad:4646', {text}")


def answers(response: httpx.Response) -> FakeNomad:
    return FakeNomad([instance("a")], fail=lambda _: response)


@pytest.mark.parametrize(
    ("nomad", "said"),
    [
        (FakeNomad(token="t"), 'a token whose policy has namespace "..." { capabilities = ["read-job"] }'),
        (answers(httpx.Response(403, text="ACL token not found")), "Nomad does not know the token"),
        (answers(httpx.Response(500, text="No path to region")), "correct `region`"),
        (answers(httpx.Response(404, text="404 page not found")), "not the API of Nomad 1.3 or later"),
        (answers(httpx.Response(200, html="<html><title>Sign in</title></html>")), 'answered with a page "Sign in"'),
        (answers(httpx.Response(200, json={"a": 1})), "not the API of Nomad"),
        (answers(httpx.Response(200, json=[1])), "expected a list of objects"),
        (answers(httpx.Response(200, json=[{"Services": 1}])), "Services is no list of objects"),
        (answers(httpx.Response(200, text='[{"Services": [')), "not valid JSON"),
        (FakeNomad([instance("a", Port="80")]), "Port is no number"),
        (FakeNomad([instance("a", Datacenter=1)]), "Datacenter is not a text"),
    ],
)
def test_a_failure_is_one_sentence_that_names_what_to_do(nomad: FakeNomad, said: str) -> None:
    assert said in error(nomad)


def test_a_missing_port_is_named_when_nobody_answers() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("connection refused")

    said = error(FakeNomad(fail=refuse), "server: 'http://nomad'")
    assert said == "http://nomad/v1/services: connection refused (server names no port; Nomad's is 4646)"


def test_every_key_of_prometheus_is_read_and_the_defaults_are_its_own() -> None:
    defaults = config("")
    assert defaults.server.reveal() == "http://localhost:4646"
    assert (defaults.namespace, defaults.region, defaults.tag_separator) == ("default", "global", ",")
    assert (defaults.allow_stale, defaults.refresh_interval_ms) == (True, 60_000)
    found = config(
        "server: 'https://n:1/', namespace: a, region: b, allow_stale: false, tag_separator: ';', "
        "refresh_interval: 5s, basic_auth: {username: u}, tls_config: {insecure_skip_verify: true}"
    )
    assert (found.namespace, found.region, found.allow_stale, found.tag_separator) == ("a", "b", False, ";")
    assert (found.refresh_interval_ms, found.server.reveal()) == (5_000, "https://n:1")
    assert found.shown == "https://n:1 (namespace a; region b)"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("server: ''", "nomad SD configuration requires a server address"),
        ("server: 'nomad:4646'", "server"),
        ("regoin: a", "did you mean 'region'?"),
        ("basic_auth: {username: u}, authorization: {credentials: c}", "at most one of basic_auth"),
    ],
)
def test_faults_of_the_configuration(text: str, problem: str) -> None:
    _, problems = read_sd("nomad_sd_configs", "{" + text + "}")
    assert len(problems) == 1
    assert problem in problems[0]
