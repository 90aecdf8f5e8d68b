"""The simulated Nacos says what a real one says, and breaks only where a test asks for it."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import httpx
import pytest

from rulepush.nacos.fake_body import java_double
from rulepush.nacos.fake_server import METRICS_PATH, FakeNacos
from tests.fakes import FakeClock
from tests.needs import shared

NOW = 1_700_000_000_000


def _nacos(version: str = "2.4") -> FakeNacos:
    return FakeNacos(version, clock=FakeClock(NOW))


def _get(fake: FakeNacos, path: str) -> httpx.Response:
    async def get() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(fake.app), base_url="http://nacos") as client:
            return await client.get(path)

    return asyncio.run(get())


def _series(body: bytes) -> dict[str, float]:
    lines = [line for line in body.decode().splitlines() if line and not line.startswith("#")]
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


def _monitor(body: bytes, module: str, name: str) -> float:
    return _series(body)[f'nacos_monitor{{module="{module}",name="{name}",}}']


def test_a_body_is_a_pure_function_of_time_and_its_values_move() -> None:
    fake = _nacos()
    assert fake.body(NOW) == fake.body(NOW)
    later = _series(fake.body(NOW + 60_000))
    moved = [name for name, value in _series(fake.body(NOW)).items() if later[name] != value]
    assert any("getConfig" in name for name in moved)
    assert any("longConnection" in name for name in moved)
    assert not any("failedPush" in name for name in moved)


@pytest.mark.parametrize("version", ["1.3.2", "1.4", "2.0", "2.2", "2.4", "3.0", "3.2"])
def test_no_series_is_written_twice(version: str) -> None:
    lines = [line.rpartition(" ")[0] for line in _nacos(version).body(NOW).decode().splitlines() if line[0] != "#"]
    assert len(lines) == len(set(lines)) > 60


def test_exceptions_have_no_series_before_the_first_one() -> None:
    fake = _nacos()
    assert b"nacos_exception_total" not in fake.body(NOW)
    fake.exceptions[("config", "db")] = 1
    assert _series(fake.body(NOW))['nacos_exception_total{module="config",name="db",}'] == 1


def test_versions_differ_as_the_releases_do() -> None:
    assert b'name="mysqlhealthCheck"' in _nacos("1.4").body(NOW)
    assert b'name="mysqlHealthCheck"' in _nacos("2.0").body(NOW)
    assert b"emptyPush" not in _nacos("2.1").body(NOW)
    assert b"emptyPush" in _nacos("2.2").body(NOW)
    assert b"grpc_server_executor" not in _nacos("2.3.0").body(NOW)
    assert b"grpc_server_executor" in _nacos("2.3.1").body(NOW)
    assert b'name="dumpRt"' not in _nacos("2.3").body(NOW)
    assert b'name="dumpRt"' in _nacos("2.4.0").body(NOW)
    assert b'nacos_monitor_count{module="core"' in _nacos("2.4").body(NOW)
    assert b'module="lock"' not in _nacos("2.5").body(NOW)
    assert b'nacos_monitor{module="lock",name="grpcLockTotal",}' in _nacos("3.0").body(NOW)
    assert b'nacos_monitor_summary_count{module="core"' in _nacos("3.0").body(NOW)
    assert b'error="none",exception="none"' in _nacos("3.0").body(NOW)
    assert b",}" not in _nacos("3.2.2").body(NOW)
    assert b"jvm_gc_overhead 1.2E-4" in _nacos("3.2.2").body(NOW)


@pytest.mark.parametrize("version", ["1.4", "2.0", "2.2", "2.4", "3.0", "3.2"])
def test_what_no_release_writes_stays_at_its_first_value(version: str) -> None:
    fake = _nacos(version)
    fake.leader = True
    fake.exceptions = {("naming", "disk"): 4, ("naming", "leaderSendBeatFailed"): 4, ("config", "unhealth"): 4}
    series = _series(fake.body(NOW))
    assert not any("nacos_exception_total" in name for name in series)
    assert [v for name, v in series.items() if "leaderStatus" in name] == [0]
    timers = {v for name, v in series.items() if "raft_apply" in name}
    assert timers == (set() if version in ("1.4", "2.0") else {0})


def test_releases_before_1_4_show_their_leader_and_its_troubles() -> None:
    fake = _nacos("1.3.2")
    fake.exceptions = {("naming", "disk"): 4, ("naming", "leaderSendBeatFailed"): 5}
    assert _monitor(fake.body(NOW), "naming", "leaderStatus") == 1
    assert [v for name, v in _series(fake.body(NOW)).items() if name.startswith("nacos_exception")] == [4, 5]


@pytest.mark.parametrize(("version", "file"), [("1.4", "nacos-1.4-real.prom"), ("2.4", "nacos24-synthetic.prom")])
def test_every_metric_of_the_body_is_one_that_the_sample_has(version: str, file: str) -> None:
    sample = shared(f"samples/{file}").read_text()

    def names(body: str) -> set[str]:
        return {re.split(r"[{ ]", line)[0] for line in body.splitlines() if line and line[0] != "#"}

    assert names(_nacos(version).body(NOW).decode()) <= names(sample)


def test_breaking_and_healing() -> None:
    fake = _nacos()
    fake.push_failures += 30
    fake.long_connections = 3
    assert _monitor(fake.body(NOW), "naming", "failedPush") == 37
    assert _monitor(fake.body(NOW), "config", "longConnection") == 3
    fake.heal()
    assert _monitor(fake.body(NOW), "config", "longConnection") > 500
    assert _monitor(fake.body(NOW), "naming", "failedPush") == 37, "a count that only grows does not go back"
    fake.restart(NOW)
    assert _monitor(fake.body(NOW), "naming", "failedPush") == 0


def test_the_metrics_endpoint_and_its_known_troubles() -> None:
    fake = _nacos()
    good = _get(fake, METRICS_PATH)
    assert good.status_code == 200
    assert good.headers["content-type"] == "text/plain;version=0.0.4;charset=utf-8"
    assert good.content == fake.body(NOW)
    fake.metrics_exposed = False
    assert _get(fake, METRICS_PATH).json()["error"] == "Not Found"
    fake.html = True
    assert _get(fake, METRICS_PATH).headers["content-type"].startswith("text/html")
    fake.down = True
    assert _get(fake, METRICS_PATH).status_code == 503


@pytest.mark.parametrize(("version", "status"), [("3.0.0", 404), ("3.0.1", 200), ("3.2.1", 404), ("3.2.2", 200)])
def test_releases_without_the_endpoint_answer_404_whatever_is_set(version: str, status: int) -> None:
    assert _get(_nacos(version), METRICS_PATH).status_code == status


def test_the_open_api_answers_by_version() -> None:
    assert _get(_nacos("2.4.3"), "/nacos/v1/console/server/state").json()["version"] == "2.4.3"
    retired = _get(_nacos("3.0"), "/nacos/v1/console/namespaces")
    assert retired.status_code == 410
    assert json.loads(retired.json()["message"])["code"] == 40000
    assert _get(_nacos("3.0.1"), "/nacos/v3/admin/core/state").json()["data"]["version"] == "3.0.1"
    assert _get(_nacos("1.4"), "/nacos/v2/core/cluster/node/list").status_code == 404
    assert _get(_nacos("2.1"), "/nacos/v2/core/cluster/node/list").status_code == 404
    nodes = _get(_nacos("2.4"), "/nacos/v2/core/cluster/node/list").json()["data"]
    assert [node["address"] for node in nodes] == ["127.0.0.1:8848"]


PAY = ("public", "PAY", "pay")
ASK = "serviceName=pay&groupName=PAY"


def _pay(version: str) -> FakeNacos:
    fake = _nacos(version)
    fake.registry.services = {
        PAY: [
            {"ip": "10.0.0.1", "port": 1, "clusterName": "HZ", "healthy": False},
            {"ip": "10.0.0.2", "port": 2, "clusterName": "HZ", "healthy": False, "enabled": False},
        ]
    }
    return fake


def _hosts(answer: Any) -> list[tuple[str, bool]]:
    return [(host["ip"], host["healthy"]) for host in answer]


def test_the_list_for_clients_hides_and_protects_as_each_release_does() -> None:
    path = f"instance/list?{ASK}"
    assert _hosts(_get(_pay("1.4"), f"/nacos/v1/ns/{path}").json()["hosts"]) == [("10.0.0.1", True)]
    assert _hosts(_get(_pay("2.4"), f"/nacos/v1/ns/{path}").json()["hosts"]) == [("10.0.0.1", False)]
    protected = _pay("2.4")
    protected.registry.thresholds[PAY] = 0.5
    assert _hosts(_get(protected, f"/nacos/v2/ns/{path}").json()["data"]["hosts"]) == [("10.0.0.1", True)]
    view = _get(_pay("2.4"), "/nacos/v1/ns/catalog/services?pageNo=1&pageSize=9").json()["serviceList"][0]
    assert (view["ipCount"], view["healthyInstanceCount"]) == (2, 0)


def test_v3_means_cluster_default_up_to_3_2_0() -> None:
    path = f"/nacos/v3/admin/ns/instance/list?{ASK}"
    answer = _get(_pay("3.0.3"), path)
    assert answer.status_code == 404
    assert answer.json() == {"code": 30000, "message": "server error", "data": "cluster DEFAULT is not found!"}
    assert _hosts(_get(_pay("3.0.3"), path + "&clusterName=HZ").json()["data"]) == [
        ("10.0.0.1", False),
        ("10.0.0.2", False),
    ]
    assert len(_get(_pay("3.2.2"), path).json()["data"]) == 2
    with_instances = _get(_pay("3.0.3"), "/nacos/v3/admin/ns/service/list?withInstances=true").json()["data"]
    assert len(with_instances["pageItems"][0]["clusterMap"]["HZ"]["hosts"]) == 2


def test_a_service_that_is_gone_is_reported_in_nacos_words() -> None:
    gone = "pageNo=1&pageSize=9&clusterName=HZ&serviceName=PAY@@no"
    answer = _get(_pay("2.4"), f"/nacos/v1/ns/catalog/instances?{gone}")
    assert (answer.status_code, answer.text) == (404, "service PAY@@no is not found!")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.0"),
        (55.0, "55.0"),
        (-1.0, "-1.0"),
        (1e9, "1.0E9"),
        (6.975758e8, "6.975758E8"),
        (1.2e-4, "1.2E-4"),
        (414279.499, "414279.499"),
        (1.675857115245e9, "1.675857115245E9"),
    ],
)
def test_numbers_are_written_as_java_writes_them(value: float, text: str) -> None:
    assert java_double(value) == text
