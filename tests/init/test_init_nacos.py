"""`rulepush init nacos`: looks first, writes files that work, and never overwrites unasked."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import yaml

from rulepush.__main__ import main
from rulepush.clock import SystemClock
from rulepush.config import load_config
from rulepush.config.sections import RecordConfig
from rulepush.init.addresses import Address, AddressError, alertmanager_address, nacos_address
from rulepush.init.directory import working_directory
from rulepush.init.nacos import NacosTargets, nacos_jobs
from rulepush.init.probe import ProbeResult, ask_alertmanager, probe_nacos
from rulepush.init.setup import NewFile, Setup
from rulepush.livecheck import TargetProblem
from rulepush.nacos.fake_server import METRICS_PATH, FakeNacos
from rulepush.relay.settings import Language
from rulepush.rules.rulefmt import load_rule_files
from tests.fakes import FakeClock
from tests.livecheck.servers import Reply, serving
from tests.servers import free_port, rulepush_command


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("nacos", "http://nacos:8848/nacos"),
        ("nacos:8849", "http://nacos:8849/nacos"),
        ("http://nacos:8848/", "http://nacos:8848/nacos"),
        ("https://n.example/registry", "https://n.example:443/registry"),
        ("http://nacos:8848/nacos/actuator/prometheus", "http://nacos:8848/nacos"),
        ("http://nacos:8848/actuator/prometheus", "http://nacos:8848"),
        ("http://[::1]:8848", "http://[::1]:8848/nacos"),
        ("http://user:p%40ss@nacos:8848", "http://nacos:8848/nacos"),
    ],
)
def test_the_server_as_people_type_it(url: str, base: str) -> None:
    assert nacos_address(url).base == base


def test_credentials_and_loopback() -> None:
    address = nacos_address("http://user:p%40ss@nacos:8848")
    assert (address.username, address.password) == ("user", "p@ss")
    assert nacos_address("localhost:8848").is_loopback
    assert nacos_address("http://[::1]:8848").is_loopback
    assert not nacos_address("http://10.0.0.1").is_loopback


def test_the_alertmanager_as_people_type_it() -> None:
    assert alertmanager_address("am").base == "http://am:9093"
    assert alertmanager_address("http://am/prefix/api/v2/alerts").base == "http://am:9093/prefix"


@pytest.mark.parametrize("url", ["ftp://x", "http://", "http://x:y", "http://x:99999"])
def test_what_is_no_url(url: str) -> None:
    with pytest.raises(AddressError):
        nacos_address(url)


def _look(fake: FakeNacos) -> ProbeResult:
    transport = httpx.ASGITransport(fake.app)
    return asyncio.run(probe_nacos(nacos_address("http://nacos:8848"), FakeClock(), transport))


@pytest.mark.parametrize("version", ["1.4.6", "2.0.4", "2.4.3", "3.0.1"])
def test_looking_finds_the_version_and_the_members(version: str) -> None:
    members = ("10.0.0.1:8848", "10.0.0.2:8848", "10.0.0.3:8848")
    looked = _look(FakeNacos(version, clock=FakeClock(), members=members))
    assert looked.trouble is None
    assert looked.version == version
    assert looked.members == members
    assert looked.samples > 60


def test_a_lone_server_is_reached_as_it_was_named() -> None:
    assert _look(FakeNacos("2.4.3", clock=FakeClock())).members == ("nacos:8848",)


def test_looking_says_what_is_wrong() -> None:
    fake = FakeNacos("2.4.3", clock=FakeClock())
    fake.metrics_exposed = False
    looked = _look(fake)
    assert looked.trouble is not None
    assert "management.endpoints.web.exposure.include=prometheus" in looked.trouble.suggestion
    assert looked.version == "2.4.3"


@pytest.mark.parametrize(("version", "newer"), [("3.0.0", "3.0.1"), ("3.2.1", "3.2.2")])
def test_a_release_without_the_endpoint_is_named_and_no_setting_is_advised(version: str, newer: str) -> None:
    fake = FakeNacos(version, clock=FakeClock())
    fake.registry.users = {"nacos": "pw"}  # the version is shown without a login
    looked = _look(fake)
    assert looked.version == version
    assert looked.trouble is not None
    assert looked.trouble.suggestion == (
        f"This is Nacos {version}, which was built without this endpoint: no setting brings it. Upgrade to {newer} or "
        "later."
    )


def test_the_alertmanager_is_asked_with_the_credentials_of_its_url() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.headers.get("Authorization") != "Basic dTpw":
            return httpx.Response(401)
        return httpx.Response(200, json={"cluster": {"status": "ready"}, "versionInfo": {"version": "0.27.0"}})

    def look(url: str) -> TargetProblem | None:
        return asyncio.run(ask_alertmanager(alertmanager_address(url), httpx.MockTransport(answer)))

    assert look("http://u:p@am:9093") is None
    refused = look("http://am:9093")
    assert refused is not None
    assert refused.message.startswith("refused with 401 Unauthorized: it wants credentials")
    assert "USER:PASSWORD" in refused.suggestion


@pytest.mark.parametrize("proxy", [True, False], ids=["a proxy wants credentials", "Nacos wants a login"])
def test_credentials_of_the_url_go_where_they_are_asked_for(proxy: bool) -> None:
    fake = FakeNacos("2.4.3", clock=FakeClock(), members=("10.0.0.1:8848", "10.0.0.2:8848"))
    passed_on = httpx.ASGITransport(fake.app)

    class Guarded(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if request.url.path.endswith("/login"):
                return httpx.Response(200, json={"accessToken": "t", "tokenTtl": 18000})
            if proxy and "Authorization" not in request.headers:
                return httpx.Response(401)
            if "cluster" in request.url.path and request.url.params.get("accessToken") != "t":
                return httpx.Response(403)
            return await passed_on.handle_async_request(request)

    address = nacos_address("http://nacos:secret@nacos:8848")
    looked = asyncio.run(probe_nacos(address, FakeClock(), Guarded()))
    assert looked.trouble is None
    assert looked.basic_auth is proxy
    assert looked.members == ("10.0.0.1:8848", "10.0.0.2:8848")


def _files(
    server: Address, alertmanager: Address, members: tuple[str, ...] = (), packs: dict[str, str] | None = None
) -> list[NewFile]:
    jobs = nacos_jobs([NacosTargets(replace(server, host=""), members or (server.host,))], Language.EN)
    setup = Setup("nacos", "Nacos", jobs, packs or {}, "http://10.9.9.9:9095", "10.9.9.9", (alertmanager,))
    return working_directory(setup)


def test_what_is_written_loads(tmp_path: Path) -> None:
    server = Address("https", "n1:8848", "/registry", "reader", 'p"w: {x}')
    alertmanager = Address("http", "am:9093", "/prefix", "pusher", "s")
    packs = {"nacos": "groups: []\n"}
    for file in _files(server, alertmanager, ("n1:8848", "n2:8848"), packs):
        (tmp_path / file.path).parent.mkdir(exist_ok=True)
        (tmp_path / file.path).write_text(file.text)
        assert file.secret == (file.path == "prometheus.yml")
    config = load_config(str(tmp_path / "prometheus.yml"))
    job = config.scrape_configs[0]
    assert (job.scheme, job.metrics_path) == ("https", "/registry/actuator/prometheus")
    assert job.http_client.basic_auth is not None
    manager = config.alerting.alertmanagers[0]
    assert manager.path_prefix == "/prefix"
    assert manager.http_client.basic_auth is not None
    assert config.rule_files == (str(tmp_path / "rules/nacos.yml"),)
    assert config.storage.record == RecordConfig()
    assert config.warnings == ()


@pytest.mark.parametrize(("host", "shared"), [("127.0.0.1:8848", True), ("nacos:8848", False)])
def test_the_container_reaches_what_listens_on_loopback(host: str, shared: bool) -> None:
    files = _files(Address("http", host, "/nacos"), Address("http", "am:9093"))
    service = yaml.safe_load(next(f.text for f in files if f.path == "compose.yaml"))["services"]["rulepush"]
    assert (service.get("network_mode") == "host") is shared
    assert ("ports" in service) is not shared
    listen = next(word for word in service["command"] if "listen-address" in word)
    assert listen.endswith("0.0.0.0:9095"), "phones reach it at the external URL"


def test_what_is_recorded_lies_on_a_volume() -> None:
    files = _files(Address("http", "nacos:8848"), Address("http", "am:9093"))
    composed = yaml.safe_load(next(f.text for f in files if f.path == "compose.yaml"))
    service = composed["services"]["rulepush"]
    (directory,) = (word.partition("=")[2] for word in service["command"] if word.startswith("--storage.path"))
    (volume,) = (mount.partition(":")[0] for mount in service["volumes"] if mount.endswith(f":{directory}"))
    assert volume in composed["volumes"]


def _reply(path: str) -> Reply:
    fake = FakeNacos("2.4.3")
    if path == METRICS_PATH:
        return 200, "text/plain;version=0.0.4", fake.body(SystemClock().now())
    if path == "/api/v2/status":
        return 200, "application/json", b'{"cluster":{"status":"ready"},"versionInfo":{"version":"0.33.1"}}'
    return 404, "application/json", json.dumps({"status": 404}).encode()


def test_the_command_writes_a_directory_that_checks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = tmp_path / "new" / "watch"
    with serving(_reply) as address:
        words = ["init", "nacos", "--server", address, "--alertmanager", f"http://{address}", "--dir", str(directory)]
        assert main(words) == 0
        said = capsys.readouterr()
        assert main(["check", "config", str(directory / "prometheus.yml")]) == 0
    assert "samples" in said.out
    assert "ready" in said.out
    assert "check live --config.file" in said.out
    assert said.err == ""
    assert len(load_rule_files(map(str, (directory / "rules").glob("*.yml")))) == 18
    assert sorted(str(p.relative_to(directory)) for p in directory.rglob("*") if p.is_file()) == [
        "README.md",
        "compose.yaml",
        "prometheus.yml",
        "rules/jvm.yml",
        "rules/nacos.yml",
        "rules/self.yml",
        "rules/spring-boot.yml",
    ]


def test_a_directory_that_is_closed_to_containers_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["init", "nacos", "--server", f"127.0.0.1:{free_port()}", "--external-url", "http://10.0.0.5:9095"]
    for mode, said in ((0o700, True), (0o755, False)):
        directory = tmp_path / f"{mode:o}"
        directory.mkdir(mode=mode)
        assert main([*words, "--dir", str(directory)]) == 0
        assert (f"chmod o+rx {directory}" in capsys.readouterr().out) is said


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    """`rulepush init ... | head`: the files are written, and nobody complains of a pipe."""
    command = rulepush_command("init", "nacos", "--server", f"127.0.0.1:{free_port()}", "--dir", str(tmp_path / "d"))
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, timeout=60, check=False)
    os.close(write)
    assert b"ipe" not in done.stderr
    assert (tmp_path / "d" / "prometheus.yml").exists()


def test_nothing_is_overwritten_without_force(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(_reply) as address:
        words = ["init", "nacos", "--server", address, "--alertmanager", address, "--dir", str(tmp_path)]
        (tmp_path / "prometheus.yml").write_text("mine")
        assert main(words) == 1
        assert [p.name for p in tmp_path.iterdir()] == ["prometheus.yml"]
        assert (tmp_path / "prometheus.yml").read_text() == "mine"
        assert "--force" in capsys.readouterr().err
        assert main([*words, "--force"]) == 0
        assert (tmp_path / "prometheus.yml").read_text() != "mine"
        assert main(words) == 0, "the same files again are no conflict"


def test_a_file_in_the_place_of_the_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "watch").write_text("")
    words = ["init", "nacos", "--server", "127.0.0.1:1", "--alertmanager", "127.0.0.1:1", "--dir"]
    assert main([*words, str(tmp_path / "watch")]) == 1
    assert "is no directory" in capsys.readouterr().err


def test_a_password_is_for_its_owner_and_the_hint_names_the_container(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = "http://user:secret@127.0.0.1:1"
    assert main(["init", "nacos", "--server", url, "--alertmanager", url, "--dir", str(tmp_path)]) == 0
    assert (tmp_path / "prometheus.yml").stat().st_mode & 0o777 == 0o600
    assert "chown 10001 prometheus.yml" in (tmp_path / "compose.yaml").read_text()
    said = capsys.readouterr()
    assert "chown 10001 prometheus.yml" in said.out
    assert "secret" not in said.out + said.err


def test_servers_that_do_not_answer_yet_are_no_obstacle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        assert main(["init", "nacos", "--server", url, "--alertmanager", url, "--dir", str(tmp_path)]) == 0
    err = capsys.readouterr().err
    assert "gives no metrics yet" in err
    assert "cannot take alerts yet" in err
    assert (tmp_path / "prometheus.yml").exists()
