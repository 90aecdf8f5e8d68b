"""Queries of the HTTP API, and what it refuses, beside a real Prometheus: same keys, types and values."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.api_pair import Pair, running_pair

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with running_pair(tmp_path_factory.mktemp("api")) as both:
        yield both


QUERIES = [
    "x",
    'x{zone="a"}',
    "odd",
    "sum(x)",
    "1",
    "-1 / 0",
    '"text"',
    "vector(NaN)",
    "time()",
    "up",
    "ALERTS",
    "ALERTS_FOR_STATE * 0",
    "job:x:sum",
    "x:copy",
    "nosuch",
    "hits_total",
    'count_values("v", x)',
    "topk(2, x)",
    "scrape_samples_scraped",
    "histogram_quantile(0.5, took_seconds_bucket)",
    'label_join(x, "d", ",", "zone", "job")',
    "1 == 2",
    "1 == bool 2",
    "x @ start()",
    "-x",
]


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_instant_queries(pair: Pair, query: str, method: str) -> None:
    pair.same("query", [("query", query), ("time", str(pair.at))], method)


@pytest.mark.parametrize(
    "text", ["1e3", "1600000000.0005", "2020-01-01T00:00:00Z", "2020-01-01T00:00:00.1234+02:00", "-5"]
)
def test_times(pair: Pair, text: str) -> None:
    pair.same("query", [("query", "1"), ("time", text)])


@pytest.mark.parametrize("query", ["x", "sum(x)", "time()", "nosuch", "1", "ALERTS", "x > 1e30", "job:x:sum"])
@pytest.mark.parametrize(("step", "method"), [("1", "GET"), ("0.5", "POST"), ("1s", "GET")])
def test_range_queries(pair: Pair, query: str, step: str, method: str) -> None:
    at = [("start", str(pair.at - 2)), ("end", str(pair.at)), ("step", step)]
    pair.same("query_range", [("query", query), *at], method)


def test_a_range_query_takes_11001_points_and_no_more(pair: Pair) -> None:
    assert len(pair.same("query_range", _range("1", 0, 11000, 1))["result"][0]["values"]) == 11001
    pair.same("query_range", _range("1", 0, 11001, 1))


def _range(query: str, start: float, end: float, step: float | str) -> list[tuple[str, str]]:
    return [("query", query), ("start", str(start)), ("end", str(end)), ("step", str(step))]


SAME_ERRORS: list[tuple[str, list[tuple[str, str]]]] = [
    ("query", []),
    ("query", [("query", "x{")]),
    ("query", [("query", "x +")]),
    ("query", [("query", "sum(")]),
    ("query", [("query", "rate(x)")]),
    ("query", [("query", "foo(x)")]),
    ("query", [("query", '1 + "a"')]),
    ("query", [("query", "x and")]),
    ("query", [("query", "{}")]),
    ("query", [("query", "x[5m")]),
    ("query", [("query", "sum(1)")]),
    ("query", [("query", 'predict_linear(x[5m], "a")')]),
    ("query", [("query", "{__name__=~'.*'}")]),
    ("query", [("query", "1"), ("time", "abc")]),
    ("query", [("query", "1"), ("time", "1"), ("timeout", "abc")]),
    ("query_range", []),
    ("query_range", _range("1", 5, 3, 1)),
    ("query_range", _range("1", 1, 3, 0)),
    ("query_range", _range("1", 1, 3, -1)),
    ("query_range", _range("1", 1, 3, "abc")),
    ("query_range", _range("1", 1, 3, "1e30")),
    ("query_range", [("query", "1"), ("end", "1"), ("step", "1")]),
    ("query_range", [("query", "1"), ("start", "x"), ("end", "1"), ("step", "1")]),
    ("query_range", [*_range("1", 1, 3, 1), ("timeout", "abc")]),
    ("format_query", []),
    ("format_query", [("query", "x{")]),
    ("series", []),
    ("series", [("match[]", "x{")]),
    ("series", [("match[]", "x"), ("start", "abc")]),
    ("labels", [("end", "abc")]),
    ("label/zone/values", [("start", "abc")]),
    ("rules", [("type", "nonsense")]),
    ("metadata", [("limit", "abc")]),
    ("targets/metadata", [("limit", "abc")]),
    ("targets/metadata", [("match_target", "{")]),
]


@pytest.mark.parametrize(("path", "params"), SAME_ERRORS)
def test_errors_say_the_same(pair: Pair, path: str, params: list[tuple[str, str]]) -> None:
    theirs, ours = pair.ask(path, params)
    assert theirs.status_code >= 400
    assert ours.status_code == theirs.status_code
    assert ours.json() == theirs.json()


ALIKE_ERRORS: list[tuple[str, list[tuple[str, str]]]] = [
    # Prometheus 3 names the parameter; which of the duplicates is shown is chance; RE2 has words of its own.
    ("query", [("query", 'x{zone=~"["}')]),
    ("query", [("query", "x * on(job) x")]),
    ("query_range", _range('"a"', 1, 3, 1)),
    ("query_range", _range("x[5m]", 1, 3, 1)),
    ("query_range", _range("x{", 1, 3, 1)),
    ("labels", [("match[]", "x{")]),
    ("labels", [("match[]", "{}")]),
    ("series", [("match[]", "sum(x)")]),
    ("series", [("match[]", "")]),
    ("label/zone/values", [("match[]", "x[5m]")]),
]


@pytest.mark.parametrize(("path", "params"), ALIKE_ERRORS)
def test_errors_are_of_the_same_kind(pair: Pair, path: str, params: list[tuple[str, str]]) -> None:
    theirs, ours = pair.ask(path, params)
    assert theirs.status_code >= 400
    assert ours.status_code == theirs.status_code
    assert ours.json().keys() == theirs.json().keys()
    assert ours.json()["errorType"] == theirs.json()["errorType"]


@pytest.mark.parametrize(
    ("method", "path"),
    [("PUT", "query"), ("POST", "rules"), ("POST", "label/job/values"), ("GET", "nosuch"), ("GET", "status/nosuch")],
)
def test_what_is_not_there_has_the_same_status(pair: Pair, method: str, path: str) -> None:
    theirs, ours = pair.ask(path, [("query", "1")], method)
    assert ours.status_code == theirs.status_code


@pytest.mark.parametrize(
    "query",
    [
        "sum by(a)(x)",
        "rate(x[5m])  +  1",
        "1 + 2 * 3",
        'x{b="1",a=~"2"}',
        "sum without(a,b) (x) / on (c) group_left (d) y",
        "a and b or c unless d",
        "x[1h:5m]@123",
        "'a'",
        "sum(" + "a" * 50 + "+" + "b" * 50 + ") / on(job) group_left(x) rate(" + "c" * 60 + "[5m])",
        f'label_replace({"a" * 60}, "d", "$1", "{"s" * 40}", "(.*)")',
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_format_query(pair: Pair, query: str, method: str) -> None:
    pair.same("format_query", [("query", query)], method)


@pytest.mark.parametrize("path", ["series", "labels", "label/zone/values", "label/__name__/values"])
@pytest.mark.parametrize(
    "matches", [["x"], ["x", "hits_total"], ['{job="app"}'], ["nosuch"], ['x{zone=""}'], ['{__name__=~"x|odd"}']]
)
def test_series_and_labels(pair: Pair, path: str, matches: list[str]) -> None:
    params = [("match[]", m) for m in matches]
    data = pair.same(path, params)
    assert data or matches in (["nosuch"], ['x{zone=""}']), data
    if not path.startswith("label/"):
        pair.same(path, params, "POST")


def test_label_names_and_values_without_a_selector(pair: Pair) -> None:
    assert "zone" in pair.same("labels")
    assert pair.same("label/job/values") == ["app", "down"]
    assert pair.same("label/nosuch/values") == []
    now = [("start", str(pair.at - 3)), ("end", str(pair.at))]
    pair.same("labels", now)
    pair.same("series", [("match[]", "x"), *now])
    assert pair.same("label/zone/values", [("start", "5"), ("end", "3")]) == []
