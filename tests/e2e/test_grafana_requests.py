"""The requests of Grafana's Prometheus data source, to rulepush and to a real Prometheus.

Sources: grafana/grafana pkg/promlib/healthcheck.go, pkg/promlib/heuristics.go (buildinfo) and
pkg/promlib/client/client.go: forms, methods, how times are written, POST first and GET after a 405.
"""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.e2e.api_pair import Pair, running_pair

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with running_pair(tmp_path_factory.mktemp("grafana")) as both:
        yield both


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_the_health_check(pair: Pair, method: str) -> None:
    data = pair.same("query", [("query", "1+1"), ("time", "4")], method)
    assert data == {"resultType": "scalar", "result": [4, "2"]}


def test_buildinfo_tells_a_version(pair: Pair) -> None:
    theirs, ours = pair.ask("status/buildinfo")
    assert ours.json()["data"].keys() >= theirs.json()["data"].keys() - {"features"}
    assert ours.json()["data"]["version"]


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_a_panel(pair: Pair, method: str) -> None:
    times = [("start", f"{pair.at - 2}.5"), ("end", str(pair.at)), ("step", "0.5")]
    data = pair.same("query_range", [("query", 'x{zone="a"}'), *times, ("timeout", "60s")], method)
    assert len(data["result"]) == 1
    assert pair.same("query_exemplars", [("query", 'x{zone="a"}'), *times[:2]], method) == []


@pytest.mark.parametrize(
    ("path", "method", "params"),
    [
        ("labels", "POST", [("match[]", '{__name__="x"}'), ("limit", "40000")]),
        ("labels", "GET", [("limit", "40000")]),
        ("label/__name__/values", "GET", [("match[]", '{__name__=~".*hits.*"}'), ("limit", "1000")]),
        ("label/zone/values", "GET", [("match[]", "x"), ("match[]", "hits_total")]),
        ("label/job/values", "GET", []),
        ("series", "POST", [("match[]", "x"), ("limit", "40000")]),
        ("series", "GET", [("match[]", '{job="app",__name__=~"x|odd"}')]),
        ("metadata", "GET", [("limit", "40000")]),
        ("metadata", "GET", [("metric", "x")]),
        ("rules", "GET", []),
        ("rules", "GET", [("type", "alert"), ("exclude_alerts", "true")]),
        ("alerts", "GET", []),
    ],
)
def test_what_its_editors_and_lists_ask_for(pair: Pair, path: str, method: str, params: list[tuple[str, str]]) -> None:
    timed = path not in ("metadata", "rules", "alerts")
    times = [("start", str(pair.at - 3)), ("end", str(pair.at))] if timed else []
    theirs, ours = pair.ask(path, [*times, *params], method)
    assert ours.status_code == theirs.status_code == 200
    if not timed:
        pair.same(path, params, method)
    elif path == "series":
        assert {tuple(sorted(row.items())) for row in ours.json()["data"]} >= {
            tuple(sorted(row.items())) for row in theirs.json()["data"]
        }
    else:
        assert ours.json()["data"] == theirs.json()["data"]


@pytest.mark.parametrize("path", ["metadata", "rules", "label/zone/values", "status/buildinfo", "alerts"])
def test_a_post_that_it_repeats_as_a_get(pair: Pair, path: str) -> None:
    theirs, ours = pair.ask(path, (), "POST")
    assert ours.status_code == theirs.status_code == 405
    assert pair.ask(path)[1].status_code == 200


def test_a_browser_that_asks_by_itself(pair: Pair) -> None:
    headers = {
        "Origin": "http://grafana.example:3000",
        "Sec-Fetch-Site": "cross-site",
        "Sec-Fetch-Mode": "cors",
        "Content-Type": "application/x-www-form-urlencoded",
        "Accept-Encoding": "gzip, deflate, br",
    }
    for base in (pair.prometheus, pair.ours):
        url = f"{base}/api/v1/query_range"
        asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
        first = httpx.request("OPTIONS", url, headers={**headers, **asked}, trust_env=False, timeout=60)
        assert first.status_code == 204
        assert "Content-Type" in first.headers["access-control-allow-headers"]
        form = f"query=x&start={pair.at - 2}&end={pair.at}&step=1"
        answer = httpx.post(url, content=form, headers=headers, trust_env=False, timeout=60)
        assert answer.status_code == 200, answer.text
        assert answer.headers["access-control-allow-origin"] in ("*", headers["Origin"])
        assert answer.json()["data"]["result"]
