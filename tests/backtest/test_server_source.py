"""What servers say that cannot give all, or are none: answers built from the sources of Thanos, Mimir, VictoriaMetrics
and Prometheus."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest

from rulepush.backtest.sources.selectors import NeededSeries
from rulepush.backtest.sources.server import NO_STALE_MARKERS, RawSampleWay
from rulepush.errors import SampleSourceError
from rulepush.model.matcher import selector_text
from rulepush.promql import parse_selector
from rulepush.recorded.events import Origin, RecordedBlock, RecordedEvaluation
from rulepush.remote.messages import ReadRequest, ReadResponse
from rulepush.remote.snappy import compress, decompress
from rulepush.rules.rulefmt import load_rule_files
from rulepush.rules.specs import RuleGroup
from tests.backtest.loading import needed, points_of, series, source
from tests.fakes import FakeClock

URL = "http://server.test:9090"
NOW = 1_700_000_000_000

Handler = Callable[[httpx.Request], httpx.Response]


def success(data: Any, **more: Any) -> httpx.Response:
    return httpx.Response(200, json={"status": "success", "data": data, **more})


def matrix(*times: int, **more: Any) -> httpx.Response:
    values = [[t / 1000, "1"] for t in times]
    result = [{"metric": {"__name__": "x", "job": "a"}, "values": values}] if times else []
    return success({"resultType": "matrix", "result": result}, **more)


VECTOR = success({"resultType": "vector", "result": [{"metric": {}, "value": [NOW / 1000, "1"]}]})


def parameters(request: httpx.Request) -> dict[str, str]:
    text = request.url.query.decode() or request.content.decode()
    return {k: v[0] for k, v in parse_qs(text).items()}


def query_only(answer: Handler) -> httpx.MockTransport:
    """A server with /api/v1/query alone, as thanos query (pkg/api/query/v1.go registers no /read): 404 elsewhere."""

    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.path != "/api/v1/query":
            return httpx.Response(404, text="404 page not found")
        return VECTOR if parameters(request)["query"] == "vector(1)" else answer(request)

    return httpx.MockTransport(handle)


def test_a_thanos_whose_store_does_not_answer_is_told() -> None:
    """Thanos answers 200 with what it has, and `warnings` (pkg/api/api.go, Respond; the text is of
    pkg/store/proxy_merge.go)."""
    warning = "receive series from Addr: store:10901 : rpc error: code = Unavailable desc = connection refused"
    with source(URL, needed("x"), query_only(lambda _: matrix(NOW, warnings=[warning]))) as found:
        assert found.way is RawSampleWay.QUERY
        assert len(points_of(found.events(NOW - 1000, NOW))) == 1
        assert found.problems == (NO_STALE_MARKERS, f"{URL}: {warning}")


def test_a_partial_answer_of_a_victoria_metrics_cluster_is_told() -> None:
    """`isPartial` stands beside the data (cluster branch, app/vmselect/prometheus/query_response.qtpl)."""
    with source(URL, needed("x"), query_only(lambda _: matrix(NOW, isPartial=True))) as found:
        points_of(found.events(NOW - 1000, NOW))
        assert found.problems[1] == f"{URL}: the answer is partial: some storage nodes did not answer (isPartial)"


def test_an_export_of_a_victoria_metrics_cluster_that_lacks_a_node_is_refused_with_its_words() -> None:
    """Exports deny partial answers (cluster branch, app/vmselect/prometheus/prometheus.go, exportHandler)."""
    said = "error when exporting data: cannot perform search on vmstorage: connection refused"

    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/v1/query":
            return VECTOR
        if request.url.path != "/api/v1/export":
            return httpx.Response(400, text="unsupported path requested")
        if parameters(request)["end"] == "0.000":
            return httpx.Response(200, headers={"Content-Type": "application/stream+json; charset=utf-8"})
        return httpx.Response(503, text=said)

    with (
        source(URL, needed("x"), httpx.MockTransport(handle)) as found,
        pytest.raises(SampleSourceError, match=r"answered 503: error when exporting data.*asked for 30s of x"),
    ):
        list(found.events(NOW - 3_600_000, NOW))


def test_an_export_that_breaks_off_is_no_end_of_the_samples() -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/v1/query":
            return VECTOR
        if request.url.path != "/api/v1/export":
            return httpx.Response(400)
        line = json.dumps({"metric": {"__name__": "x"}, "values": [1], "timestamps": [NOW]})
        headers = {"Content-Type": "application/stream+json; charset=utf-8"}
        return httpx.Response(200, headers=headers, text=f'{line}\n{{"metric":{{"__na')

    with (
        source(URL, needed("x"), httpx.MockTransport(handle)) as found,
        pytest.raises(SampleSourceError, match="broke off its export"),
    ):
        list(found.events(NOW - 1000, NOW))


class Mimir:
    """Remote read under a prefix, limited in chunks: 422 in the form of the query API (pkg/querier/remote_read.go maps
    errors by their type; limits are `err-mimir-max-chunks-per-query`, pkg/util/globalerror). No /status/config."""

    def __init__(self, widest_ms: int):
        self.widest_ms = widest_ms
        self.windows: list[tuple[int, int]] = []
        self.tenants: set[str] = set()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.tenants.add(request.headers.get("X-Scope-OrgID", ""))
        match request.url.path.removeprefix("/prometheus"):
            case "/api/v1/query":
                return VECTOR
            case "/api/v1/read":
                return self._read(ReadRequest.FromString(decompress(request.content, 1 << 20)))
        return httpx.Response(404, text="404 page not found")

    def _read(self, request: Any) -> httpx.Response:
        query = request.queries[0]
        first, last = query.start_timestamp_ms, query.end_timestamp_ms
        if last - first > self.widest_ms:
            text = "the query exceeded the maximum number of chunks (err-mimir-max-chunks-per-query)"
            return httpx.Response(422, json={"status": "error", "errorType": "execution", "error": text})
        if last:
            self.windows.append((first, last))
        response = ReadResponse()
        found = response.results.add().timeseries.add()
        found.labels.add(name="__name__", value="x")
        for t in range(-(-first // 60_000) * 60_000, last + 1, 60_000) if last else ():
            found.samples.add(timestamp=t, value=1.0)
        headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"}
        return httpx.Response(200, headers=headers, content=compress(response.SerializeToString()))


def test_windows_shrink_until_a_mimir_takes_them_and_leave_no_gap() -> None:
    mimir = Mimir(widest_ms=500_000)
    with source(f"{URL}/prometheus", needed("x"), httpx.MockTransport(mimir)) as found:
        assert found.way is RawSampleWay.REMOTE_READ
        got = points_of(found.events(NOW, NOW + 3_600_000))
        assert found.problems == ()
    assert [t for t, _ in got[series("x")]] == [t for t in range(NOW, NOW + 3_600_001) if t % 60_000 == 0]
    assert mimir.windows[0][0] == NOW
    assert mimir.windows[-1][1] == NOW + 3_600_000
    assert all(a[1] + 1 == b[0] for a, b in zip(mimir.windows, mimir.windows[1:], strict=False))


def test_a_server_that_takes_no_window_is_given_up_with_its_words() -> None:
    with (
        source(URL, needed("x"), httpx.MockTransport(Mimir(widest_ms=1000))) as found,
        pytest.raises(SampleSourceError, match=r"err-mimir-max-chunks-per-query.*raise the server's limit"),
    ):
        list(found.events(NOW, NOW + 3_600_000))


def test_an_answer_beyond_the_bound_is_asked_for_in_smaller_windows() -> None:
    asked: list[int] = []

    def answer(request: httpx.Request) -> httpx.Response:
        end = round(float(parameters(request)["time"]) * 1000)
        length = int(parameters(request)["query"].removeprefix("x[").removesuffix("ms]"))
        asked.append(length)
        return matrix(*range(end - length + 1, end + 1, 100))

    with source(URL, needed("x"), query_only(answer), max_bytes=20_000) as found:
        got = points_of(found.events(NOW + 1, NOW + 1_800_000))
    assert len(got[series('x{job="a"}')]) == pytest.approx(18_000, abs=50)
    assert asked[0] == 1_800_000
    assert min(asked) < 100_000


RULES = """
groups:
- name: g
  rules:
  - {record: "x:sum", expr: 'sum(x)'}
  - {alert: A, expr: 'x:sum > 1 and on () y'}
  - {alert: B, expr: 'y{job="a"} > 1', annotations: {n: '{{ query "z" }}'}}
"""


def rule_groups(directory: Path, text: str) -> tuple[RuleGroup, ...]:
    file = directory / f"{len(list(directory.iterdir()))}.yml"
    file.write_text(text)
    return load_rule_files([str(file)])


def selectors(need: NeededSeries) -> set[str]:
    return {selector_text(s) for s in need.selectors}


def test_rules_need_what_they_and_their_templates_select_but_not_what_they_record(tmp_path: Path) -> None:
    need = NeededSeries.of_rules([rule_groups(tmp_path, RULES)])
    assert selectors(need) == {"x", "y", "z"}


def test_what_only_one_version_of_the_rules_records_is_needed_for_the_other(tmp_path: Path) -> None:
    other = """groups: [{name: g, rules: [{alert: C, expr: 'x:sum > 1 and ALERTS{alertname="D"}'}]}]"""
    need = NeededSeries.of_rules([rule_groups(tmp_path, RULES), rule_groups(tmp_path, other)])
    assert selectors(need) == {"x", "y", "z", "x:sum", 'ALERTS{alertname="D"}'}


def test_what_rules_wrote_comes_marked_as_such_in_a_block_of_its_own() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        names = ("x", "x:sum", "y")
        return success({"result": [{"metric": {"__name__": n}, "values": [[NOW / 1000, "1"]]} for n in names]})

    need = NeededSeries([parse_selector('{__name__=~".+"}')], ["x:sum"])
    with source(URL, need, query_only(answer)) as found:
        blocks = [e for e in found.events(NOW - 1000, NOW) if isinstance(e, RecordedBlock)]
    assert [(b.at, b.origin, [str(s) for s in b.block.series]) for b in blocks] == [
        (NOW, Origin.SCRAPE, ["x", "y"]),
        (NOW, Origin.RULE, ["x:sum"]),
    ]


def rules_answer(*groups: tuple[str, float, str]) -> httpx.Response:
    """`/api/v1/rules` (prometheus web/api/v1/api.go, RuleGroup): an interval in seconds, times of Go."""
    found = [
        {"name": n, "file": f"/etc/{n}.yml", "interval": i, "lastEvaluation": last, "rules": []}
        for n, i, last in groups
    ]
    return success({"groups": found})


def test_the_moments_of_the_servers_evaluations_stand_among_the_samples() -> None:
    rules = rules_answer(
        ("mine", 15, "2023-11-14T23:00:05.123456789+01:00"),
        ("unread", 15, "2023-11-14T22:00:01Z"),
        ("slow", 60, "2023-11-14T22:00:02.5Z"),
        ("never", 20, "0001-01-01T00:00:00Z"),
    )

    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/v1/rules":
            return rules
        return query_only(lambda _: matrix(NOW + 123)).handler(request)  # type: ignore[return-value]

    with source(URL, needed("x"), httpx.MockTransport(handle), group_names=["mine"]) as found:
        events = list(found.events(NOW, NOW + 60_000))
    assert isinstance(events[0], RecordedBlock)
    marks = [e for e in events if isinstance(e, RecordedEvaluation)]
    assert [(e.at - NOW, e.group, e.file) for e in marks if e.group == "mine"] == [
        (ms, "mine", "/etc/mine.yml") for ms in (123, 15_123, 30_123, 45_123)
    ]
    # 22:13:20 is NOW: the next minute and 2.5 seconds are 42.5 s later.
    assert [(e.at - NOW, e.group) for e in marks if e.group != "mine"] == [(42_500, "slow")]


def test_the_bounds_are_the_oldest_samples_of_any_selector_and_now() -> None:
    oldest = {"count(x)": NOW - 86_400_000, "count(y)": NOW - 3_600_000}

    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.path != "/api/v1/query_range":
            return query_only(lambda _: matrix()).handler(request)  # type: ignore[return-value]
        return matrix(oldest[parameters(request)["query"]], NOW)

    clock = FakeClock(NOW)
    with source(URL, needed("x", "y"), httpx.MockTransport(handle), clock=clock) as found:
        assert found.bounds() == (NOW - 86_400_000 - 2_678_000, NOW)
        # (31 days in 1,000 steps)


def test_external_labels_that_cannot_be_known_are_told() -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/v1/status/config":
            return httpx.Response(403, text="forbidden")
        return Mimir(1 << 40)(request)

    with source(URL, needed("x"), httpx.MockTransport(handle)) as found:
        assert len(found.problems) == 1
        assert "external_labels are not known" in found.problems[0]


HTML = {"Content-Type": "text/html; charset=utf-8"}


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (httpx.Response(200, headers=HTML, text="<html>Sign in"), "answered an HTML page"),
        (httpx.Response(502, headers=HTML, text="<html>Bad gateway"), "answered an HTML page"),
        (
            httpx.Response(200, text="hello"),
            "answered something else where the Prometheus HTTP API answers JSON: 'hello'",
        ),
        (httpx.Response(200, json=[1]), "answered something else"),
        (httpx.Response(404, text="not found"), "answered 404 Not Found, so the Prometheus HTTP API is not there"),
        (httpx.Response(401, text="no org id"), "answered 401 Unauthorized: it wants credentials"),
        (
            httpx.Response(403, text="not yours"),
            "answered 403 Forbidden: these credentials may not read here: not yours",
        ),
        (httpx.Response(500, text="boom"), "answered 500: boom"),
    ],
)
def test_what_is_no_prometheus_is_told_in_one_message(answer: httpx.Response, message: str) -> None:
    with pytest.raises(SampleSourceError, match=message) as failure:
        source(URL, needed("x"), httpx.MockTransport(lambda _: answer))
    assert str(failure.value).startswith(URL)
    assert "\n" not in str(failure.value)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (httpx.ConnectError("All connection attempts failed"), "cannot be reached: All connection attempts failed"),
        (httpx.ReadTimeout(""), "did not answer within 60s"),
    ],
)
def test_a_server_that_does_not_answer_is_told(error: Exception, message: str) -> None:
    def fail(_request: httpx.Request) -> httpx.Response:
        raise error

    with pytest.raises(SampleSourceError, match=message):
        source(URL, needed("x"), httpx.MockTransport(fail))


def test_an_unknown_host_is_told_by_its_name_without_the_password() -> None:
    with pytest.raises(SampleSourceError, match=r"http://no-such-host\.invalid:9090 cannot be reached: ") as failure:
        source("http://ops:secret@no-such-host.invalid:9090", needed("x"))
    assert "secret" not in str(failure.value)


@pytest.mark.parametrize("url", ["", "ftp://x", "http://", "http://[::1"])
def test_what_is_no_url_is_told(url: str) -> None:
    with pytest.raises(SampleSourceError, match="is not a URL"):
        source(url, needed("x"))
