"""What an engine's answer means: only a whole one is a result."""

from __future__ import annotations

import json
import math

import pytest

from rulepush.datasource.answer import RetryableError, samples_of
from rulepush.errors import DatasourceError, EvaluationError
from rulepush.histogram import Buckets, FloatHistogram
from rulepush.histogram.sample import HistogramSample
from rulepush.histogram.text import histogram_json
from rulepush.model.labels import EMPTY_LABELS, Labels
from rulepush.model.sample import Sample, is_stale

T = 1_700_000_000_123
JSON = "application/json"


def success(kind: str, result: object, **more: object) -> str:
    return json.dumps({"status": "success", "data": {"resultType": kind, "result": result}, **more})


def answer(text: str, status: int = 200, content_type: str = JSON) -> list[Sample]:
    return samples_of(status, "", content_type, text, T)


def test_a_vector_is_samples_at_the_time_that_was_asked_for() -> None:
    element = {"metric": {"__name__": "m", "job": "a"}, "value": [1_700_000_000.0, "0.5"]}
    assert answer(success("vector", [element])) == [Sample(Labels.of(__name__="m", job="a"), T, 0.5)]


def test_a_scalar_is_one_sample_without_labels() -> None:
    assert answer(success("scalar", [1_700_000_000, "+Inf"])) == [Sample(EMPTY_LABELS, T, math.inf)]


def test_other_results_cannot_be_those_of_a_rule() -> None:
    with pytest.raises(EvaluationError, match="not a vector or scalar but a matrix"):
        answer(success("matrix", []))


def test_a_native_histogram_of_a_vector_is_a_sample() -> None:
    h = FloatHistogram(3, 5.0, 2.5, 0.001, 1.0, positive=Buckets.at(-4, [1.0, 3.0]))
    element = {"metric": {"job": "a"}, "histogram": [1.5, histogram_json(h)]}
    assert answer(success("vector", [element])) == [HistogramSample(Labels.of(job="a"), T, 0.0, h)]


def test_a_series_of_a_range_may_change_its_kind() -> None:
    h = FloatHistogram(1, 2.0, 2.5, positive=Buckets.at(1, [2.0]))
    element = {"metric": {}, "values": [[1, "7"]], "histograms": [[2, histogram_json(h)]]}
    found = samples_of(200, "", JSON, success("matrix", [element]), T, is_range=True)
    assert sorted(found, key=lambda s: s.ts) == [
        Sample(EMPTY_LABELS, 1000, 7.0),
        HistogramSample(EMPTY_LABELS, 2000, 0.0, h),
    ]


@pytest.mark.parametrize("bounds", [[1, "-1", "-0.3", "1"], [3, "-0.1", "0.1", "1"]])
def test_a_histogram_of_no_schema_is_refused_with_its_series(bounds: list[object]) -> None:
    found = {"count": "2", "sum": "2", "buckets": [bounds, [0, "1", "1.3", "1"]]}
    with pytest.raises(EvaluationError, match=r'of \{job="a"\} cannot be read: the bounds of its buckets fit') as e:
        answer(success("vector", [{"metric": {"job": "a"}, "histogram": [1, found]}]))
    assert not isinstance(e.value, DatasourceError)  # the engine has answered


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (success("vector", [], isPartial=True), "the answer is partial: some storage nodes did not answer"),
        (
            success("vector", [], warnings=["receive series from Addr: store-1: rpc error: Unavailable"]),
            "the answer may be partial: receive series from Addr: store-1: rpc error: Unavailable",
        ),
        (success("vector", [], warnings=["PromQL warning: x", "blocks are missing"]), "may be partial: blocks are"),
    ],
)
def test_what_may_be_partial_is_no_answer(text: str, said: str) -> None:
    with pytest.raises(RetryableError, match=said):
        answer(text)


def test_remarks_about_the_expression_do_not_make_an_answer_partial() -> None:
    text = success("vector", [], warnings=["PromQL warning: ignored histograms"], infos=["PromQL info: no counter"])
    assert answer(text) == []


@pytest.mark.parametrize(
    ("status", "text", "content_type", "said", "retried"),
    [
        (400, '{"status":"error","errorType":"bad_data","error":"parse\\n error"}', JSON, "^bad_data: parse error", 0),
        (422, '{"status":"error","errorType":"execution","error":"too many"}', JSON, "^execution: too many", 0),
        (422, '{"status":"error","errorType":"422","error":"timeout"}', JSON, "^422: timeout", 1),
        (503, '{"status":"error","errorType":"timeout","error":"late"}', JSON, "^HTTP status 503: late", 1),
        (503, "no healthy upstream", "text/plain", "HTTP status 503: it answered 'no healthy upstream'", 1),
        (500, "<html>", "text/html; charset=utf-8", "HTTP status 500: an HTML page", 1),
        (401, "", "", "HTTP status 401: it wants credentials", 0),
        (404, "", "", "HTTP status 404: the Prometheus HTTP API is not there; url is the base", 0),
        (429, "", "", "HTTP status 429: too many requests", 1),
        (302, "", "", "HTTP status 302", 0),
        (200, "<html>login</html>", "text/html", "an HTML page .of a login, perhaps., where", 0),
        (200, '{"status":"success","data":[]}', JSON, "where the Prometheus HTTP API answers JSON", 0),
        (200, '{"status":"success","data":{"resultType":"vector","result":[{}]}}', JSON, "an element that is none", 0),
        (200, '{"status":"error","errorType":"timeout","error":"late"}', JSON, "^timeout: late", 1),
    ],
)
def test_what_is_no_answer_says_why(status: int, text: str, content_type: str, said: str, retried: int) -> None:
    with pytest.raises(DatasourceError, match=said) as e:
        answer(text, status, content_type)
    assert isinstance(e.value, RetryableError) == bool(retried)


@pytest.mark.parametrize("nan_is_stale", [False, True])
def test_victoria_metrics_shows_the_stale_marker_of_a_range_as_nan(nan_is_stale: bool) -> None:
    """Seen with 1.145: a NaN that is written is not stored, and a stale marker comes as "NaN"."""
    element = {"metric": {"__name__": "r"}, "values": [[1.5, "2"], [2, "NaN"]]}
    found = samples_of(200, "", JSON, success("matrix", [element]), T, is_range=True, nan_is_stale=nan_is_stale)
    assert [s.ts for s in found] == [1500, 2000]
    assert is_stale(found[1].value) == nan_is_stale
