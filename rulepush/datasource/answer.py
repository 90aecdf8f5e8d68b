"""What the answer of an engine to an instant query means. Pure.

Sources: prometheus web/api/v1/api.go (`warnings`, `infos`, statuses of errors), util/annotations (their prefixes);
VictoriaMetrics app/vmselect/prometheus/query_response.qtpl of the cluster branch (`isPartial`); thanos pkg/api/api.go
and mimir pkg/frontend (partial answers as `warnings`).

An answer of which the engine says that something may be missing is none: what is missing would resolve alerts.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any, Final

from rulepush.errors import DatasourceError, EvaluationError
from rulepush.model.floats import parse_float
from rulepush.model.labels import EMPTY_LABELS, Labels
from rulepush.model.sample import STALE, Sample

_MAX_QUOTED: Final = 300
_OF_THE_QUERY: Final = "PromQL "  # warnings and infos about the expression begin so; they say nothing of missing data
WHERE: Final = (
    "url is the base of the API, without /api/v1: http://prometheus:9090, http://thanos-query:10902, "
    "http://mimir:8080/prometheus, http://victoria-metrics:8428 or http://vmselect:8481/select/0/prometheus"
)
"""What `url` of a datasource is."""
_UNANSWERED: Final = {
    401: "it wants credentials, or refuses the ones given: check basic_auth, authorization or oauth2",
    403: "these credentials may not read here",
    404: f"the Prometheus HTTP API is not there; {WHERE}",
    429: "too many requests",
}
_RETRIED: Final = frozenset((429, 500, 502, 503, 504))
_OF_THE_EXPRESSION: Final = frozenset((400, 422))


class RetryableError(DatasourceError):
    """Asking again within the same evaluation may help."""


def samples_of(
    status: int,
    phrase: str,
    content_type: str,
    text: str,
    ts: int,
    *,
    is_range: bool = False,
    nan_is_stale: bool = False,
) -> list[Sample]:
    """The samples of an answer, at `ts` (ms); a scalar is one without labels. With `is_range` those of a range
    selector, at their times; a NaN among them is a stale marker with `nan_is_stale`. Raises EvaluationError:
    DatasourceError where the engine did not give the whole answer."""
    if not 200 <= status < 300:
        raise _failure(status, phrase, content_type, text)
    try:
        answer = json.loads(text)
        if answer["status"] != "success":
            raise _refused(str(answer.get("errorType", "")), str(answer["error"]))
        data, warnings = answer["data"], [str(w) for w in answer.get("warnings") or ()]
        partial = answer.get("isPartial") is True
        kind, result = data["resultType"], data["result"]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise _not_the_api(content_type, text) from None
    if partial:
        raise RetryableError("the answer is partial: some storage nodes did not answer (isPartial)")
    missing = [w for w in warnings if not w.startswith(_OF_THE_QUERY)]
    if missing:
        raise RetryableError(f"the answer may be partial: {'; '.join(missing)[:_MAX_QUOTED]}")
    return _samples(kind, result, ts, is_range, nan_is_stale)


def _samples(kind: str, result: Any, ts: int, is_range: bool, nan_is_stale: bool) -> list[Sample]:
    try:
        if kind == "matrix" and is_range:
            return [sample for element in result for sample in _of_series(element, nan_is_stale)]
        if kind == "scalar":
            return [Sample(EMPTY_LABELS, ts, parse_float(result[1]))]
        if kind == "vector":
            return [_of_instant(element, ts) for element in result]
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        raise DatasourceError(f"the answer has an element that is none of a {kind}") from None
    raise EvaluationError(f"rule result is not a vector or scalar but a {kind}")


def _of_series(element: dict[str, Any], nan_is_stale: bool) -> Iterator[Sample]:
    labels = Labels(element["metric"])
    for at, histogram in element.get("histograms", ()):
        yield _histogram_sample(labels, round(float(at) * 1000), histogram)
    for at, value in element.get("values", ()) if "histograms" in element else element["values"]:
        number = parse_float(value)
        ended = nan_is_stale and math.isnan(number)
        yield Sample(labels, round(float(at) * 1000), STALE if ended else number)


def _of_instant(element: dict[str, Any], ts: int) -> Sample:
    labels = Labels(element["metric"])
    if "histogram" in element:
        return _histogram_sample(labels, ts, element["histogram"][1])
    return Sample(labels, ts, parse_float(element["value"][1]))


def _histogram_sample(labels: Labels, ts: int, found: Any) -> Sample:
    from rulepush.histogram.errors import InvalidHistogram  # few engines have any
    from rulepush.histogram.from_json import histogram_from_json
    from rulepush.histogram.sample import HistogramSample

    try:
        histogram, doubt = histogram_from_json(found)
    except InvalidHistogram as e:
        raise EvaluationError(f"the native histogram of {labels} cannot be read: {e}") from None
    return HistogramSample(labels, ts, 0.0, histogram, doubt)


def _failure(status: int, phrase: str, content_type: str, text: str) -> EvaluationError:
    said = _said(text)
    shown = f"HTTP status {status} {phrase}".rstrip()
    if status in _OF_THE_EXPRESSION and said is not None:
        return _refused(*said)
    if status in _UNANSWERED:
        kind = RetryableError if status in _RETRIED else DatasourceError
        return kind(f"{shown}: {_UNANSWERED[status]}")
    quoted = said[1] if said is not None else _quoted(content_type, text)
    kind = RetryableError if status in _RETRIED else DatasourceError
    return kind(f"{shown}: {quoted[:_MAX_QUOTED]}")


def _refused(error_type: str, error: str) -> EvaluationError:
    """The engine says that it cannot evaluate the expression, or not in time. What it computed is not known either
    way, so alerts stay; only where it is the expression's own fault does asking again not help."""
    text = " ".join(error.split())[:_MAX_QUOTED]
    kind = DatasourceError if error_type in ("bad_data", "execution", "") else RetryableError
    return kind(f"{error_type}: {text}" if error_type else text)


def _said(text: str) -> tuple[str, str] | None:
    """`errorType` and `error` of an answer of the API; None for another one."""
    try:
        answer = json.loads(text)
        return str(answer.get("errorType", "")), str(answer["error"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _not_the_api(content_type: str, text: str) -> DatasourceError:
    return DatasourceError(f"{_quoted(content_type, text)}, where the Prometheus HTTP API answers JSON; {WHERE}")


def _quoted(content_type: str, text: str) -> str:
    if content_type.partition(";")[0].strip().lower() == "text/html":
        return "an HTML page (of a login, perhaps)"
    return f"it answered {' '.join(text.split())[:80]!r}"
