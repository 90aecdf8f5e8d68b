"""Samples that real servers hold come out of them as they went in."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import bcrypt
import httpx
import pytest

from rulepush.backtest.sources.server import NO_STALE_MARKERS, RawSampleWay
from rulepush.errors import SampleSourceError
from rulepush.model.sample import STALE, is_stale
from tests.backtest.loading import (
    Points,
    Refusing,
    exact,
    flush,
    needed,
    points_of,
    prometheus,
    remote_write,
    series,
    source,
    victoria_metrics,
)
from tests.servers import wait_for

pytestmark = pytest.mark.e2e

NOT_FOUND = httpx.Response(404, text="404 page not found\n")
NO_REMOTE_READ = {"/api/v1/read": NOT_FOUND}
NOW = int(time.time()) * 1000
FIRST = NOW - 3_600_000 + 123
STEP = 15_000


def held() -> Points:
    """An hour: a gauge, a counter from another job, one that ends by a stale marker in between, and a value of each
    special kind."""
    times = range(FIRST, NOW - 60_000, STEP)
    found: Points = {
        series('x_gauge{job="a",instance="a:1"}'): [(t, i * 0.1) for i, t in enumerate(times)],
        series('y_total{job="b",instance="b:1",path="a\\"b\\\\c\\n"}'): [(t + 7, i * 3.0) for i, t in enumerate(times)],
        series('unwanted{job="a",instance="a:1"}'): [(t, 1.0) for t in times],
    }
    ends = [(t, 5.0) for t in times[:40]]
    found[series('x_gauge{job="a",instance="a:2"}')] = [*ends, (times[40], STALE), *((t, 6.0) for t in times[60:])]
    special = (float("inf"), float("-inf"), 1e-300, 0.0, 1.7976931348623157e308)
    found[series('x_gauge{job="a",instance="a:3"}')] = list(zip(times, special, strict=False))
    return found


WANTED = ("x_gauge", "y_total")


def expected(points: Points, start: int = 0, end: int = NOW) -> Points:
    cut = {k: [(t, v) for t, v in p if start <= t <= end] for k, p in points.items() if k.name in WANTED}
    return {k: p for k, p in cut.items() if p}


@pytest.fixture(scope="module")
def prometheus_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    config = "global: {scrape_interval: 1h, external_labels: {site: hz1, job: overridden}}\n"
    with prometheus(tmp_path_factory.mktemp("prometheus"), config) as url:
        remote_write(url, held())
        yield url


@pytest.fixture(scope="module")
def victoria_metrics_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with victoria_metrics(tmp_path_factory.mktemp("vm")) as url:
        remote_write(url, held())
        flush(url, '{__name__!=""}', sum(map(len, held().values())))
        yield url


def test_remote_read_gives_every_sample_bit_by_bit_without_the_external_labels(prometheus_url: str) -> None:
    with source(prometheus_url, needed("x_gauge", 'y_total{job="b"}', 'x_gauge{instance="a:1"}')) as found:
        assert found.way is RawSampleWay.REMOTE_READ
        assert exact(points_of(found.events(FIRST - STEP, NOW))) == exact(expected(held()))
        assert found.problems == ()
        assert found.external_labels.get("site") == "hz1"


def test_both_ends_of_the_time_asked_for_are_inclusive(prometheus_url: str) -> None:
    start, end = FIRST + 10 * STEP, FIRST + 20 * STEP
    for refused in ({}, NO_REMOTE_READ):
        with source(prometheus_url, needed(*WANTED), Refusing(refused)) as found:
            assert list(points_of(found.events(start, end))[series('x_gauge{job="a",instance="a:1"}')]) == [
                (FIRST + i * STEP, i * 0.1) for i in range(10, 21)
            ]


def test_without_remote_read_range_selectors_give_all_but_the_stale_markers_and_that_is_said(
    prometheus_url: str,
) -> None:
    points = expected(held())
    without = {k: [(t, v) for t, v in p if not is_stale(v)] for k, p in points.items()}
    with source(prometheus_url, needed(*WANTED), Refusing(NO_REMOTE_READ)) as found:
        assert found.way is RawSampleWay.QUERY
        assert exact(points_of(found.events(FIRST - STEP, NOW))) == exact(without)
        assert found.problems == (NO_STALE_MARKERS,)


def test_victoria_metrics_exports_every_sample_and_its_stale_markers(victoria_metrics_url: str) -> None:
    with source(victoria_metrics_url, needed(*WANTED)) as found:
        assert found.way is RawSampleWay.EXPORT
        got = points_of(found.events(FIRST, NOW))
        assert found.problems == ()
    for labels, samples in expected(held()).items():
        # VictoriaMetrics keeps about 15 decimal digits, and no sign of a zero.
        assert [t for t, _ in got[labels]] == [t for t, _ in samples]
        for (_, mine), (_, theirs) in zip(got[labels], samples, strict=True):
            assert is_stale(mine) == is_stale(theirs)
            assert is_stale(mine) or mine == pytest.approx(theirs, rel=1e-12)
    assert got.keys() == expected(held()).keys()


def test_victoria_metrics_without_export_answers_range_selectors(victoria_metrics_url: str) -> None:
    refused = {**NO_REMOTE_READ, "/api/v1/export": NOT_FOUND}
    with source(victoria_metrics_url, needed(*WANTED), Refusing(refused)) as found:
        assert found.way is RawSampleWay.QUERY
        start = FIRST + STEP
        got = points_of(found.events(start, NOW))
    labels = series('y_total{job="b",instance="b:1",path="a\\"b\\\\c\\n"}')
    assert got[labels] == expected(held(), start)[labels]


def test_a_path_prefix_is_part_of_the_url(tmp_path: Path) -> None:
    home = tmp_path / "prometheus"
    home.mkdir()
    flags = ["--web.route-prefix=/prom", "--web.external-url=http://127.0.0.1/prom"]
    with prometheus(home, "global: {}\n", *flags, ready="/prom/-/ready") as url:
        with source(f"{url}/prom/", needed("up")) as found:
            assert found.way is RawSampleWay.REMOTE_READ
        with pytest.raises(SampleSourceError, match="answered 404 Not Found, so the Prometheus HTTP API is not there"):
            source(url, needed("up"))


def test_credentials_are_asked_for_and_those_in_the_url_are_used(tmp_path: Path) -> None:
    hashed = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
    (tmp_path / "web.yml").write_text(f"basic_auth_users: {{ops: '{hashed}'}}\n")
    with prometheus(tmp_path, "global: {}\n", f"--web.config.file={tmp_path / 'web.yml'}", ready="") as url:
        wait_for("an answer", lambda: httpx.get(url, trust_env=False, timeout=60).status_code == 401)
        with pytest.raises(SampleSourceError, match="answered 401 Unauthorized: it wants credentials"):
            source(url, needed("up"))
        secured = url.replace("//", "//ops:secret@")
        with source(secured, needed("up")) as found:
            assert found.way is RawSampleWay.REMOTE_READ
        with pytest.raises(SampleSourceError) as refused:
            source(url.replace("//", "//ops:wrong@"), needed("up"))
        assert "wrong" not in str(refused.value)


def test_a_server_that_refuses_large_queries_is_asked_in_smaller_windows(tmp_path: Path) -> None:
    limits = ["--query.max-samples=150", "--storage.remote.read-sample-limit=100"]
    with prometheus(tmp_path, "global: {}\n", *limits) as url:
        remote_write(url, held())
        for refused in ({}, NO_REMOTE_READ):
            transport = Refusing(refused)
            with source(url, needed('x_gauge{instance="a:1"}'), transport) as found:
                got = points_of(found.events(FIRST, NOW))
            labels = series('x_gauge{job="a",instance="a:1"}')
            assert got == {labels: held()[labels]}
            assert len(transport.asked) > 4
