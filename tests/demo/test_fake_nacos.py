"""The simulated Nacos says what a real one says, and breaks only where it is told to."""

from __future__ import annotations

import asyncio
import re

import httpx
import pytest

from rulepush.demo.fake_nacos import METRICS_PATH, FakeNacos
from rulepush.demo.nacos_body import java_double
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


@pytest.mark.parametrize("version", ["1.4", "2.0", "2.2", "2.4", "3.0"])
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
    assert b"grpc_server_executor" not in _nacos("2.2").body(NOW)
    assert b'nacos_monitor_count{module="core"' in _nacos("2.4").body(NOW)
    assert b'nacos_monitor_summary_count{module="core"' in _nacos("3.0").body(NOW)
    assert b'error="none",exception="none"' in _nacos("3.0").body(NOW)


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


def test_the_open_api_answers_by_version() -> None:
    assert _get(_nacos("2.4.3"), "/nacos/v1/console/server/state").json()["version"] == "2.4.3"
    assert _get(_nacos("3.0"), "/nacos/v1/console/server/state").status_code == 404
    assert _get(_nacos("3.0"), "/nacos/v3/admin/core/state").json()["data"]["version"] == "3.0.0"
    assert _get(_nacos("1.4"), "/nacos/v2/core/cluster/node/list").status_code == 404
    nodes = _get(_nacos("2.4"), "/nacos/v2/core/cluster/node/list").json()["data"]
    assert [node["address"] for node in nodes] == ["127.0.0.1:8848"]


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
