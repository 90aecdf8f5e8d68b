"""What a target looks like, and the packs that are for it."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from rulepush.exposition import Format, parse_body
from rulepush.livecheck.kinds import TargetKind, kinds_of, name_of_kinds, packs_for
from rulepush.nacos.fake_server import FakeNacos
from tests.fakes import FakeClock
from tests.livecheck.bodies import NOW
from tests.needs import binary, shared
from tests.servers import free_port, running
from tests.spring_boot import BootApp, Release

ACTUATOR = "/actuator/prometheus"
BOOT = {TargetKind.SPRING_BOOT, TargetKind.MICROMETER_JVM}


def _kinds(body: bytes, path: str = "", fmt: Format = Format.TEXT) -> frozenset[TargetKind]:
    return kinds_of((sample.pairs for sample in parse_body(body, fmt).samples), path)


@pytest.mark.parametrize(
    ("release", "kind"),
    [
        ((2, 1), TargetKind.SPRING_BOOT_2),
        ((2, 5), TargetKind.SPRING_BOOT_2),
        ((2, 7), TargetKind.SPRING_BOOT_2),
        ((3, 0), TargetKind.SPRING_BOOT_3),
        ((3, 2), TargetKind.SPRING_BOOT_3),
        ((3, 5), TargetKind.SPRING_BOOT_3),
    ],
)
@pytest.mark.parametrize("requests", [0, 40], ids=["before the first request", "with requests"])
def test_a_spring_boot_application_of_each_release(release: Release, kind: TargetKind, requests: int) -> None:
    assert _kinds(BootApp(release, requests=requests).body(), ACTUATOR) == {*BOOT, kind}


def test_the_labels_of_a_request_tell_more_than_what_a_bean_adds() -> None:
    body = BootApp((2, 7)).body() + b'# TYPE jvm_info gauge\njvm_info{version="17"} 1\n'
    assert TargetKind.SPRING_BOOT_2 in _kinds(body, ACTUATOR)
    assert TargetKind.SPRING_BOOT_2 in _kinds(
        b'http_client_requests_seconds_count{clientName="a"} 1\n' + body, ACTUATOR
    )


def test_a_body_that_was_filtered_is_spring_boot_of_no_known_release() -> None:
    kinds = _kinds(b"jvm_threads_live_threads 3\n", ACTUATOR)
    assert kinds == BOOT
    assert name_of_kinds(kinds) == "Spring Boot on a JVM"


def test_the_path_is_not_needed_since_boot_times_its_start() -> None:
    assert TargetKind.SPRING_BOOT_3 in _kinds(BootApp((3, 5), requests=0).body(), "/metrics")


def test_the_boot_3_sample() -> None:
    body = shared("samples/boot34om-synthetic.prom").read_bytes()
    kinds = _kinds(body, fmt=Format.OPENMETRICS)
    assert kinds == {*BOOT, TargetKind.SPRING_BOOT_3}
    assert packs_for(kinds) == ("spring-boot", "jvm")
    assert name_of_kinds(kinds) == "Spring Boot 3 or later on a JVM"


@pytest.mark.parametrize("version", ["1.4", "2.0", "2.2", "2.4", "3.0", "3.2"])
def test_nacos_is_spring_boot_too_and_named_by_its_release(version: str) -> None:
    kinds = _kinds(FakeNacos(version, clock=FakeClock(NOW)).body(NOW))
    assert {TargetKind.NACOS, *BOOT} <= kinds
    assert packs_for(kinds) == ("nacos", "spring-boot", "jvm")
    assert name_of_kinds(kinds, "Nacos 3.x") == "Nacos 3.x"
    assert name_of_kinds(kinds) == "Nacos"


def test_a_jvm_without_spring() -> None:
    boot = BootApp((2, 5), requests=0, server="netty", logback=False).body()
    kinds = _kinds(boot, "/metrics")
    assert kinds == {TargetKind.MICROMETER_JVM}
    assert packs_for(kinds) == ("jvm",)


@pytest.mark.parametrize(
    ("more", "kind"),
    [
        (b"jvm_info_total 1\n", TargetKind.QUARKUS),
        (b'worker_pool_active{pool_type="worker"} 0\n', TargetKind.QUARKUS),
        (
            b'http_server_requests_seconds_count{exception="none",method="GET",status="200",uri="/a"} 3\n',
            TargetKind.MICRONAUT,
        ),
    ],
)
def test_other_frameworks_on_a_jvm_get_its_pack_and_not_that_of_spring(more: bytes, kind: TargetKind) -> None:
    kinds = _kinds(b"jvm_threads_live_threads 3\n" + more)
    assert kinds == {kind, TargetKind.MICROMETER_JVM}
    assert packs_for(kinds) == ("jvm",)


@pytest.mark.parametrize(
    ("body", "kind", "packs"),
    [
        (b'jvm_threads_current 9\njvm_info{version="17"} 1\n', TargetKind.CLIENT_JAVA_JVM, ()),
        (b'go_info{version="go1.24"} 1\n', TargetKind.GO, ()),
        (b'python_info{version="3.13"} 1\n', TargetKind.PYTHON, ()),
        (b'rulepush_build_info{version="1"} 1\npython_info{version="3"} 1\n', TargetKind.RULEPUSH, ("self",)),
    ],
)
def test_what_no_micrometer_measures(body: bytes, kind: TargetKind, packs: tuple[str, ...]) -> None:
    kinds = _kinds(body)
    assert name_of_kinds(kinds) == kind.value
    assert packs_for(kinds) == packs


def test_what_nothing_tells_of_has_no_kind() -> None:
    assert _kinds(b"orders_total 1\n", ACTUATOR) == frozenset()
    assert name_of_kinds(frozenset()) == ""


def test_a_real_node_exporter(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    command = [binary("prometheus-node-exporter"), f"--web.listen-address={address}"]
    with running(command, tmp_path / "log", f"http://{address}/metrics"):
        body = httpx.get(f"http://{address}/metrics", trust_env=False, timeout=60).content
    kinds = _kinds(body, "/metrics")
    assert kinds == {TargetKind.NODE_EXPORTER, TargetKind.GO}
    assert name_of_kinds(kinds) == "node_exporter"
    assert packs_for(kinds) == ()
