"""The query side of the API; expected shapes are those of Prometheus' web/api/v1/api_test.go."""

from collections.abc import Mapping

import httpx
import pytest

from rulepush.model.labels import Labels
from rulepush.promql import Engine
from rulepush.storage.demand import Demand, ManualDemand
from rulepush.storage.demand_history import DemandHistory
from rulepush.storage.head import Head
from rulepush.web.evaluator import QueryEvaluator
from rulepush.web.query import QueryApi
from tests.fakes import FakeClock
from tests.web.asking import ask

START = 1_700_000_000_000


def api(demand: Demand | None = None) -> QueryApi:
    head = Head(demand or Demand.keep_all(900_000))
    for step in range(5):
        for zone in ("a", "b"):
            value = step * (1.0 if zone == "a" else 1e-7)
            head.append(Labels.of(__name__="x", zone=zone), START + step * 15_000, value)
    engine, clock = Engine(), FakeClock(START + 60_000)
    return QueryApi(QueryEvaluator(lambda: engine, head, DemandHistory(head.demand, 0), clock), clock)


def get(path: str, params: Mapping[str, str | int] | None = None, demand: Demand | None = None) -> httpx.Response:
    return ask(api(demand).routes(), "GET", "/api/v1" + path, params=params)


def test_an_instant_vector() -> None:
    answer = get("/query", {"query": "x", "time": str(START / 1000 + 60)})
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "success",
        "data": {
            "resultType": "vector",
            "result": [
                {"metric": {"__name__": "x", "zone": "a"}, "value": [1_700_000_060, "4"]},
                {"metric": {"__name__": "x", "zone": "b"}, "value": [1_700_000_060, "4e-07"]},
            ],
        },
    }


def test_the_time_defaults_to_now_and_keeps_its_milliseconds() -> None:
    assert get("/query", {"query": "1"}).json()["data"] == {"resultType": "scalar", "result": [1_700_000_060, "1"]}
    answer = get("/query", {"query": "vector(1)", "time": "2023-11-14T22:13:20.5Z"})
    assert answer.json()["data"]["result"] == [{"metric": {}, "value": [1_700_000_000.5, "1"]}]


def test_strings_and_range_vectors_have_their_own_types() -> None:
    assert get("/query", {"query": '"hello"'}).json()["data"] == {
        "resultType": "string",
        "result": [1_700_000_060, "hello"],
    }
    data = get("/query", {"query": 'x{zone="a"}[31s]'}).json()["data"]
    assert data["resultType"] == "matrix"
    assert data["result"][0]["values"] == [[1_700_000_030, "2"], [1_700_000_045, "3"], [1_700_000_060, "4"]]


def test_a_posted_form_is_read_as_well() -> None:
    answer = ask(api().routes(), "POST", "/api/v1/query", data={"query": "sum(x > 1)"})
    assert answer.json()["data"]["result"][0]["value"][1] == "4"


def test_a_range_query() -> None:
    params = {"query": "sum(x)", "start": "1700000000", "end": "1700000030", "step": "15s"}
    data = get("/query_range", params).json()["data"]
    assert data == {
        "resultType": "matrix",
        "result": [
            {"metric": {}, "values": [[1_700_000_000, "0"], [1_700_000_015, "1.0000001"], [1_700_000_030, "2.0000002"]]}
        ],
    }


def test_durations_depend_on_the_step_and_the_range_that_are_asked_for() -> None:
    params = {"query": "count(x offset (step() * 2))", "start": "1700000000", "end": "1700000030", "step": "15s"}
    assert [ts for ts, _ in get("/query_range", params).json()["data"]["result"][0]["values"]] == [1_700_000_030]
    params["query"] = "sum(x offset (range() / 2))"  # which also decides what is copied for it
    found = get("/query_range", params).json()["data"]["result"][0]["values"]
    assert found == [[1_700_000_015, "0"], [1_700_000_030, "1.0000001"]]


@pytest.mark.parametrize(
    ("path", "params", "status", "kind", "text"),
    [
        ("/query", {"query": "x +"}, 400, "bad_data", 'invalid parameter "query": '),
        ("/query", {"query": "x", "time": "soon"}, 400, "bad_data", "invalid time value for 'time': cannot parse"),
        ("/query", {"query": "x + on() group_left() x"}, 422, "execution", "found duplicate series"),
        ("/query_range", {"query": "x", "start": "2", "end": "1", "step": "1"}, 400, "bad_data", "must not be before"),
        ("/query_range", {"query": "x", "start": "1", "end": "2", "step": "0"}, 400, "bad_data", "zero or negative"),
        ("/query_range", {"query": "x", "start": "1", "end": "99999", "step": "1"}, 400, "bad_data", "11,000 points"),
        ("/query_range", {"query": "x[1m]", "start": "1", "end": "2", "step": "1"}, 400, "bad_data", "range vector"),
        ("/query", {"query": "x[step()]"}, 400, "bad_data", 'invalid parameter "query": 2:8: duration must be greater'),
        ("/query", {"query": "idelta(x[1m] anchored)"}, 422, "execution", "anchored modifier can only be used with"),
        ("/series", {}, 400, "bad_data", "no match[] parameter provided"),
        ("/labels", {"match[]": "{"}, 400, "bad_data", 'invalid parameter "match[]"'),
        ("/labels", {"limit": "-1"}, 400, "bad_data", "limit must be non-negative"),
    ],
)
def test_errors_have_the_envelope_and_status_of_prometheus(
    path: str, params: dict[str, str], status: int, kind: str, text: str
) -> None:
    answer = get(path, params)
    assert (answer.status_code, answer.json()["status"], answer.json()["errorType"]) == (status, "error", kind)
    assert text in answer.json()["error"]


def test_series_labels_and_values() -> None:
    found = get("/series", {"match[]": 'x{zone=~"a|b"}'}).json()["data"]
    assert found == [{"__name__": "x", "zone": "a"}, {"__name__": "x", "zone": "b"}]
    assert get("/labels").json()["data"] == ["__name__", "zone"]
    assert get("/label/zone/values").json()["data"] == ["a", "b"]
    assert get("/label/U__zone/values").json()["data"] == ["a", "b"]
    assert get("/label/zone/values", {"limit": 1}).json() == {
        "status": "success",
        "data": ["a"],
        "warnings": ["results truncated due to limit"],
    }


def test_format_query() -> None:
    assert get("/format_query", {"query": "sum   by(zone)(x)"}).json()["data"] == "sum by (zone) (x)"


def test_a_metric_that_no_rule_needs_is_answered_with_a_warning() -> None:
    demand = Demand.of([ManualDemand.metric("y", 300_000)])
    answer = get("/query", {"query": "x + y"}, demand).json()
    assert [w for w in answer["warnings"] if "'x'" in w]
    assert not [w for w in answer["warnings"] if "'y'" in w]


def test_annotations_reach_the_client() -> None:
    assert get("/query", {"query": "rate(x[1m])"}).json()["infos"]


def test_a_long_expression_is_parsed_as_any_other() -> None:
    long = " + ".join(["1"] * 100) + " " * 20_000
    assert get_posted({"query": long}).json()["data"]["result"][1] == "100"
    assert get_posted({"query": "(" * 20_000}).json()["errorType"] == "bad_data"


def test_of_many_metrics_that_are_not_kept_some_are_named() -> None:
    demand = Demand.of([ManualDemand.metric("y", 300_000)])
    expr = " or ".join(f"z{i}" for i in range(50))
    assert len(get("/query", {"query": expr}, demand).json()["warnings"]) == 10


def get_posted(form: dict[str, str]) -> httpx.Response:
    return ask(api().routes(), "POST", "/api/v1/query", data=form)


@pytest.mark.parametrize(
    "expr", ["sum(increase(x[30s] anchored))", "sum(rate(x[1m] smoothed offset 7s))", "x smoothed"]
)
def test_what_is_read_beyond_a_range_is_copied_too(expr: str) -> None:
    params = {"query": expr, "start": "1700000000", "end": "1700000060", "step": "15s"}
    assert get("/query_range", params).json()["data"]["result"]
    assert get("/query", {"query": expr, "time": "1700000031"}).json()["data"]["result"]


def test_statistics_are_given_where_they_are_asked_for() -> None:
    params = {"query": "sum(x)", "start": str(START / 1000), "end": str(START / 1000 + 60), "step": "30"}
    assert "stats" not in get("/query_range", params).json()["data"]
    data = get("/query_range", {**params, "stats": "true"}).json()["data"]
    assert data["stats"]["samples"] == {"totalQueryableSamples": 6, "peakSamples": 6}
    assert set(data["stats"]["timings"]) == {
        "evalTotalTime",
        "resultSortTime",
        "queryPreparationTime",
        "innerEvalTime",
        "execQueueTime",
        "execTotalTime",
    }
    samples = get("/query_range", {**params, "stats": "all"}).json()["data"]["stats"]["samples"]
    assert samples["totalQueryableSamplesPerStep"] == [[1_700_000_000 + s, 2] for s in (0, 30, 60)]
    answer = get("/query", {"query": "x[1m]", "stats": "yes"}).json()
    assert answer["data"]["stats"]["samples"]["totalQueryableSamples"] == 8
    assert [warning[:37] for warning in answer["warnings"]] == ['value "yes" for parameter "stats" is ']


def test_a_query_may_look_back_less_or_further() -> None:
    at = str(START / 1000 + 70)  # ten seconds after the newest sample
    assert len(get("/query", {"query": "x", "time": at}).json()["data"]["result"]) == 2
    assert get("/query", {"query": "x", "time": at, "lookback_delta": "9s"}).json()["data"]["result"] == []
    late = {"query": "x", "start": str(START / 1000 + 400), "end": str(START / 1000 + 400), "step": "1"}
    assert get("/query_range", late).json()["data"]["result"] == []
    assert len(get("/query_range", {**late, "lookback_delta": "10m"}).json()["data"]["result"]) == 2
    answer = get("/query", {"query": "x", "lookback_delta": "soon"})
    reason = 'error parsing lookback delta duration: cannot parse "soon" to a valid duration'
    assert (answer.status_code, answer.json()["error"]) == (400, reason)
