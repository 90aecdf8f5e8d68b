"""docker_sd_configs against a fake engine. The cases are those of Prometheus' discovery/moby/docker_test.go (3.14),
written anew; tests/e2e/test_docker_vs_prometheus.py has the comparison."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from pathlib import Path

import httpx
import pytest

from rulepush.discovery.docker import DockerDiscovery, DockerSdConfig
from rulepush.http_client.config import NO_CLIENT_SETTINGS
from tests.discovery.docker_server import FakeDocker, compose, container, endpoint, network, port
from tests.discovery.driving import environment, read_sd, running
from tests.http_client.certificates import Authority
from tests.http_server import HttpReply, LoopbackServer
from tests.registry_server import serving

TCP = "host: 'tcp://docker:2375'"


def config(text: str) -> DockerSdConfig:
    found, problems = read_sd("docker_sd_configs", "{" + text + "}")
    assert problems == []
    assert isinstance(found, DockerSdConfig)
    return found


def once(docker: FakeDocker, text: str = TCP) -> list[dict[str, str]]:
    """The targets of the first refresh."""

    async def go() -> list[dict[str, str]]:
        env = environment()
        made = DockerDiscovery(config(text), env, httpx.MockTransport(docker.handle))
        async with running(made, env) as seen:
            assert env.reporter.last_errors == {}
            return seen.merged()

    return asyncio.run(go())


def error(docker: FakeDocker, text: str = TCP) -> str:
    """The failure of the first refresh."""

    async def go() -> str:
        env = environment()
        made = DockerDiscovery(config(text), env, httpx.MockTransport(docker.handle))
        async with running(made, env) as seen:
            assert seen.lists == []
            return next(iter(env.reporter.last_errors.values()))

    return asyncio.run(go())


def addresses(targets: list[dict[str, str]]) -> list[str]:
    return sorted(f"{t['__meta_docker_container_name'].lstrip('/')} {t['__address__']}" for t in targets)


def test_the_labels_of_a_container_are_those_of_prometheus() -> None:
    docker = FakeDocker(
        [
            container(
                "node",
                port(9100, 19100, "0.0.0.0"),
                networks={"app_default": endpoint("app_default", "127.19.0.2")},
                image="prom/node-exporter:v1.1.2",
                image_id="sha256:c19a",
                labels={"com.docker.compose.service": "node", "prometheus-job": "n"},
            )
        ],
        [network("app_default", scope="swarm", internal=True, ingress=True, labels={"a.b": "c"})],
    )
    assert once(docker) == [
        {
            "__address__": "127.19.0.2:9100",
            "__meta_docker_container_id": docker.containers[0]["Id"],
            "__meta_docker_container_image": "prom/node-exporter:v1.1.2",
            "__meta_docker_container_image_id": "sha256:c19a",
            "__meta_docker_container_label_com_docker_compose_service": "node",
            "__meta_docker_container_label_prometheus_job": "n",
            "__meta_docker_container_name": "/node",
            "__meta_docker_container_network_mode": "app_default",
            "__meta_docker_network_id": "id-of-app_default",
            "__meta_docker_network_ingress": "true",
            "__meta_docker_network_internal": "true",
            "__meta_docker_network_ip": "127.19.0.2",
            "__meta_docker_network_label_a_b": "c",
            "__meta_docker_network_name": "app_default",
            "__meta_docker_network_scope": "swarm",
            "__meta_docker_port_private": "9100",
            "__meta_docker_port_public": "19100",
            "__meta_docker_port_public_ip": "0.0.0.0",
        }
    ]


def test_each_network_and_port_of_each_container_is_a_target() -> None:
    expected = [
        "both 127.21.0.3:9000",
        "exporter 127.20.0.2:9104",
        "front 127.19.0.9:443",
        "front 127.19.0.9:80",
        "hosted localhost",
        "isolated :80",
        "mapped 127.19.0.5:80",
        "mapped 127.19.0.5:80",
        "mysql 127.20.0.2:33060",
        "mysql 127.20.0.2:3306",
        "node 127.19.0.2:9100",
        "noport 127.19.0.3:80",
        "sidecar 127.20.0.2:80",
        "six [::1]:9000",
        "udp 127.19.0.4:80",
        "unlisted 127.22.0.2:8",
    ]
    assert addresses(once(compose())) == sorted(expected)
    every = once(compose(), f"{TCP}, match_first_network: false")
    assert addresses(every) == sorted([*expected, "front 127.20.0.9:443", "front 127.20.0.9:80"])


def test_two_containers_that_use_each_others_network_end_the_search() -> None:
    one, two = container("one"), container("two")
    one["HostConfig"]["NetworkMode"] = f"container:{two['Id']}"
    two["HostConfig"]["NetworkMode"] = f"container:{one['Id']}"
    assert once(FakeDocker([one, two])) == []


def test_filters_are_sent_as_dockers_own_client_writes_them() -> None:
    docker = compose()
    text = "filters: [{name: label, values: [a, b=c]}, {name: status, values: [running]}, {name: id, values: []}]"
    once(docker, f"{TCP}, {text}")
    asked = [r for r in docker.requests if r.url.path == "/containers/json"]
    assert asked[0].url.params["filters"] == '{"label":{"a":true,"b=c":true},"status":{"running":true}}'
    once(docker, f"{TCP}, filters: []")
    assert docker.requests[-2].url.query == b""


def test_a_change_of_one_container_is_a_change_of_one_group_and_failures_keep_the_list() -> None:
    async def go() -> None:
        env = environment()
        docker = compose()
        running_only = "refresh_interval: 10s, filters: [{name: status, values: [running]}]"
        made = DockerDiscovery(config(f"{TCP}, {running_only}"), env, httpx.MockTransport(docker.handle))
        async with running(made, env) as seen:
            before = len(seen.addresses())
            docker.fail = lambda _: httpx.Response(500, json={"message": "not now"})
            await seen.clock.advance(60)
            assert len(seen.addresses()) == before
            assert "status 500 Internal Server Error: " in next(iter(env.reporter.last_errors.values()))
            assert next(iter(env.reporter.last_errors)) == "docker tcp://docker:2375 (status running)"
            docker.fail = None
            gone = docker.containers.pop(0)
            await seen.clock.advance(10)
            assert seen.changes[1:] == [{f"{gone['Id']}/node"}]

    asyncio.run(go())


PAGE = "<html><head><title>Portainer</title></head></html>"


@pytest.mark.parametrize(
    ("response", "said"),
    [
        (httpx.Response(200, html=PAGE), 'answered with a page "Portainer", which is not the API of Docker'),
        (httpx.Response(200, json={"a": 1}), "not the API of Docker: the JSON is of another kind"),
        (httpx.Response(200, json=[1]), "not the API of Docker: expected a list of objects"),
        (httpx.Response(200, json=[{"Names": ["/a"], "Ports": [1]}]), ""),
        (httpx.Response(200, json=[{"Names": ["/a"], "NetworkSettings": []}]), ""),
        (
            httpx.Response(200, json=[{"Names": ["/a"], "NetworkSettings": {"Networks": [1]}}]),
            "not a list of containers",
        ),
        (httpx.Response(404, text="404 page not found"), "not the API of Docker; correct `host`"),
        (httpx.Response(403, html=PAGE), "allow GET of /containers and /networks"),
        (httpx.Response(400, json={"message": "invalid filter 'nmae'"}), "invalid filter 'nmae'"),
        (
            httpx.Response(400, text="Client sent an HTTP request to an HTTPS server."),
            "http://docker:2375/containers/json speaks HTTPS: write `host: https://...`, with `tls_config`",
        ),
        (httpx.Response(200, content=b'[{"Id": "'), "not valid JSON"),
    ],
)
def test_a_failure_is_one_sentence_that_names_what_to_do(response: httpx.Response, said: str) -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(response.status_code, headers=response.headers, content=response.content)

    if said:
        assert said in error(FakeDocker(fail=answer))
    else:  # nulls and empty lists in place of objects are as good as none
        assert once(FakeDocker(fail=answer)) == []


def test_a_missing_port_is_named_when_nobody_answers() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("connection refused", request=request)

    docker = FakeDocker(fail=refuse)
    assert error(docker).endswith("/containers/json: connection refused")
    assert error(docker, "host: 'tcp://docker'").endswith("(host names no port; Docker's is 2375, 2376 with TLS)")


def over_network(text: str) -> tuple[list[str], str]:
    """What comes over a real connection: the addresses of the first list, or the error."""

    async def go() -> tuple[list[str], str]:
        env = environment()
        async with running(DockerDiscovery(config(text), env), env) as seen:
            for _ in range(500):
                if seen.lists or env.reporter.last_errors:
                    break
                await asyncio.sleep(0.01)
            found = seen.addresses() if seen.lists else []
            return found, next(iter(env.reporter.last_errors.values()), "")

    return asyncio.run(go())


@pytest.mark.parametrize(
    ("detail", "said"),
    [
        ("tls: tlsv13 alert certificate required", "(the engine wants a client certificate"),
        ("broken pipe", "(perhaps the engine wants a client certificate"),
        ("connection reset by peer", "(perhaps the engine wants a client certificate"),
        ("Server disconnected without sending a response.", "(perhaps the engine wants a client certificate"),
    ],
)
def test_a_refusal_of_the_handshake_speaks_of_the_client_certificate(tmp_path: Path, detail: str, said: str) -> None:
    cert, key = tmp_path / "c.pem", tmp_path / "c.key"
    Authority().issue(cert, key)

    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadError(detail, request=request)

    docker = FakeDocker(fail=refuse)
    assert said in error(docker, "host: 'https://d:2376'")
    shown = error(docker, f"host: 'https://d:2376', tls_config: {{cert_file: {cert}, key_file: {key}}}")
    assert ("perhaps" in said) != ("client certificate" in shown)


def by_socket(path: Path) -> tuple[list[str], str]:
    return over_network(f"host: 'unix://{path}'")


def test_tcp_with_tls_shows_the_certificate_of_the_client(tmp_path: Path) -> None:
    authority = Authority()
    ca = authority.write(tmp_path / "ca.pem")
    for name in ("server", "client"):
        authority.issue(tmp_path / f"{name}.pem", tmp_path / f"{name}.key")
    files = tmp_path / "server.pem", tmp_path / "server.key"
    with serving(compose().handle, tls=files, client_authority=ca) as address:
        trust = f"host: 'https://{address}', tls_config: {{ca_file: {ca}"
        shown = f"cert_file: {tmp_path / 'client.pem'}, key_file: {tmp_path / 'client.key'}"
        found, failed = over_network(f"{trust}, {shown}}}")
        assert failed == ""
        assert "127.19.0.2:9100" in found
        failed = over_network(f"host: 'https://{address}'")[1]
        assert "tls: failed to verify certificate" in failed
    with serving(compose().handle) as address:
        failed = over_network(f"host: 'https://{address}'")[1]
        assert failed.endswith("(the engine speaks plain HTTP: write `host: tcp://...`)")


def test_a_client_certificate_that_is_missing_is_named(tmp_path: Path) -> None:
    authority = Authority()
    ca = authority.write(tmp_path / "ca.pem")
    authority.issue(tmp_path / "server.pem", tmp_path / "server.key")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")
    context.load_verify_locations(ca)
    context.verify_mode = ssl.CERT_REQUIRED
    # The alert and the end of the connection race with the request, as with a real engine: the advice is the same.
    server = LoopbackServer(lambda _: HttpReply(b"[]"), context)
    failed = over_network(f"host: 'https://{server.address}', tls_config: {{ca_file: {ca}}}")[1]
    server.close()
    assert failed.endswith("the engine wants a client certificate: set cert_file and key_file in `tls_config`)")


def test_the_unix_socket_is_asked(tmp_path: Path) -> None:
    with serving(compose().handle, tmp_path / "docker.sock") as path:
        found, failed = by_socket(Path(path))
    assert failed == ""
    assert "127.19.0.2:9100" in found


def test_what_is_wrong_with_a_unix_socket_is_said(tmp_path: Path) -> None:
    missing = tmp_path / "missing.sock"
    assert by_socket(missing)[1] == (
        f"{missing} does not exist: correct `host`, or, in a container, mount the socket "
        f"(docker run -v {missing}:{missing}:ro)"
    )
    dead = tmp_path / "dead.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(dead))
    assert by_socket(dead)[1] == f"{dead}: connection refused (no engine listens there)"


def test_a_socket_that_may_not_be_opened_names_the_group() -> None:
    def denied(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("permission denied", request=request) from PermissionError(13, os.strerror(13))

    said = error(FakeDocker(fail=denied), "host: 'unix:///var/run/docker.sock'")
    assert said == (
        "/var/run/docker.sock may not be opened (permission denied): add the user of rulepush to the group that owns "
        "the socket, mostly `docker` (in a container: docker run --group-add)"
    )


@pytest.mark.parametrize(
    ("text", "base", "uds"),
    [
        ("host: 'unix:///var/run/docker.sock'", "http://docker", "/var/run/docker.sock"),
        ("host: 'tcp://d:2375'", "http://d:2375", ""),
        ("host: 'http://d:2375/'", "http://d:2375", ""),
        ("host: 'https://[::1]:2376/engine'", "https://[::1]:2376/engine", ""),
    ],
)
def test_where_the_engine_is(text: str, base: str, uds: str) -> None:
    found = config(text)
    assert (found.base, found.uds) == (base, uds)


def test_every_key_of_prometheus_is_read() -> None:
    found = config(
        "host: 'https://d:1', port: 9, filters: [{name: n, values: [a, b]}], host_networking_host: h, "
        "match_first_network: false, refresh_interval: 5s, basic_auth: {username: u}, "
        "tls_config: {insecure_skip_verify: true}, proxy_url: 'http://p:1', http_headers: {X: {values: [y]}}"
    )
    assert (found.port, found.filters) == (9, (("n", ("a", "b")),))
    assert (found.host_networking_host, found.match_first_network, found.refresh_interval_ms) == ("h", False, 5000)
    assert found.http_client.tls.insecure_skip_verify
    defaults = config(TCP)
    assert (defaults.port, defaults.filters, defaults.host_networking_host) == (80, (), "localhost")
    assert (defaults.match_first_network, defaults.refresh_interval_ms) == (True, 60_000)


def test_client_settings_are_not_for_a_unix_socket() -> None:
    assert config("host: 'unix:///s', basic_auth: {username: u}").http_client == NO_CLIENT_SETTINGS


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("port: 1", "host missing"),
        ("host: ''", "host missing"),
        ("host: /var/run/docker.sock", "expected unix:///var/run/docker.sock, tcp://HOST:2375 or https://HOST:2376"),
        ("host: 'docker:2375'", "expected unix:///var/run/docker.sock"),
        ("host: 'npipe:////./pipe/docker_engine'", "expected unix:///var/run/docker.sock"),
        ("host: 'tcp://d:x'", "expected unix:///var/run/docker.sock"),
        ("host: 'unix://'", "expected unix:///var/run/docker.sock"),
        (f"{TCP}, port: x", "expected a whole number"),
        (f"{TCP}, filters: {{name: [a]}}", "expected a list"),
        (f"{TCP}, filters: [{{name: a, value: [b]}}]", "unknown key 'value' (did you mean 'values'?)"),
        (f"{TCP}, match_first_netwrok: true", "did you mean 'match_first_network'?"),
        (f"{TCP}, basic_auth: {{username: u}}, authorization: {{credentials: c}}", "at most one of basic_auth"),
    ],
)
def test_faults_of_the_configuration(text: str, problem: str) -> None:
    _, problems = read_sd("docker_sd_configs", "{" + text + "}")
    assert len(problems) == 1
    assert problem in problems[0]
