"""`/api/v1/query`, `query_range`, `format_query`, `parse_query`, `series`, `labels`, `label/<name>/values`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rulepush.clock import Clock
from rulepush.errors import EvaluationError, ParseError, QueryLimitError
from rulepush.model.floats import format_float_json
from rulepush.model.labels import METRIC_NAME, Labels, is_valid_utf8_name
from rulepush.model.matcher import Matcher
from rulepush.promql import Engine, Query, QueryResult, parse_expr
from rulepush.promql.values import ValueType
from rulepush.storage.head import Head
from rulepush.web.answers import ApiError, ErrorType, seconds, success
from rulepush.web.params import Params

MAX_POINTS: Final = 11_000
_FAR_PAST: Final = -(1 << 62)
_FAR_FUTURE: Final = 1 << 62


class QueryApi:
    """The read side of the API over one Head. `engine` gives the engine of now (a reload may change it)."""

    def __init__(self, engine: Callable[[], Engine], head: Head, clock: Clock):
        self._engine = engine
        self._head = head
        self._clock = clock

    def routes(self) -> list[Route]:
        """The routes, below /api/v1."""
        both = ["GET", "POST"]
        return [
            Route("/query", self.query, methods=both),
            Route("/query_range", self.query_range, methods=both),
            Route("/format_query", self.format_query, methods=both),
            Route("/series", self.series, methods=both),
            Route("/labels", self.labels, methods=both),
            Route("/label/{name}/values", self.label_values, methods=["GET"]),
        ]

    async def query(self, request: Request) -> Response:
        """An instant query."""
        params = await Params.of(request)
        ts = params.time("time", self._clock.now())
        limit = params.limit()
        query = _parse(params)
        result = self._evaluate(lambda: self._engine().instant(query, ts, self._head.querier()))
        data, cut = _instant_data(result, ts, limit)
        return self._answer(query, result, data, cut)

    async def query_range(self, request: Request) -> Response:
        """A range query, at most 11,000 points a series."""
        params = await Params.of(request)
        start, end = params.time("start"), params.time("end")
        if end < start:
            raise ApiError(ErrorType.BAD_DATA, 'invalid parameter "end": end timestamp must not be before start time')
        step = params.duration("step")
        if step <= 0:
            reason = "zero or negative query resolution step widths are not accepted. Try a positive integer"
            raise ApiError(ErrorType.BAD_DATA, f'invalid parameter "step": {reason}')
        if (end - start) // step > MAX_POINTS:
            raise ApiError(
                ErrorType.BAD_DATA,
                "exceeded maximum resolution of 11,000 points per timeseries. "
                "Try decreasing the query resolution (?step=XX)",
            )
        limit = params.limit()
        query = _parse(params)
        if query.value_type not in (ValueType.VECTOR, ValueType.SCALAR):
            raise ApiError(
                ErrorType.BAD_DATA,
                f'invalid parameter "query": invalid expression type "{_type_text(query.value_type)}" '
                "for range query, must be Scalar or instant Vector",
            )
        result = self._evaluate(lambda: self._engine().range(query, start, end, step, self._head.querier()))
        series = sorted(result.series(), key=lambda s: s.labels)
        cut = limit is not None and len(series) > limit
        data = {"resultType": "matrix", "result": [_series_json(s) for s in series[:limit]]}
        return self._answer(query, result, data, cut)

    async def format_query(self, request: Request) -> Response:
        """The expression in Prometheus' canonical form."""
        return success(str(_parse(await Params.of(request))))

    async def series(self, request: Request) -> Response:
        """The label sets that match any of `match[]`."""
        params = await Params.of(request)
        found = set(self._matching(params, required=True))
        return _limited([labels.as_dict() for labels in sorted(found)], params.limit())

    async def labels(self, request: Request) -> Response:
        """The label names in use."""
        params = await Params.of(request)
        names = {name for labels in self._matching(params) for name, _ in labels}
        return _limited(sorted(names), params.limit())

    async def label_values(self, request: Request) -> Response:
        """The values of one label."""
        params = await Params.of(request)
        name = _unescape_name(request.path_params["name"])
        if not is_valid_utf8_name(name):
            raise ApiError(ErrorType.BAD_DATA, f'invalid label name: "{name}"')
        values = {labels.get(name) for labels in self._matching(params)} - {""}
        return _limited(sorted(values), params.limit())

    def _matching(self, params: Params, *, required: bool = False) -> Iterable[Labels]:
        selectors: list[Sequence[Matcher]] = params.matchers()
        if required and not selectors:
            raise ApiError(ErrorType.BAD_DATA, "no match[] parameter provided")
        start, end = params.time("start", _FAR_PAST), params.time("end", _FAR_FUTURE)
        if end < start:
            raise ApiError(ErrorType.BAD_DATA, 'invalid parameter "end": end timestamp must not be before start time')
        for selector in selectors or [()]:
            yield from self._head.series(selector)

    def _evaluate(self, evaluate: Callable[[], QueryResult]) -> QueryResult:
        try:
            return evaluate()
        except QueryLimitError as e:
            kind = ErrorType.TIMEOUT if "timed out" in str(e) else ErrorType.EXECUTION
            raise ApiError(kind, str(e)) from e
        except EvaluationError as e:
            raise ApiError(ErrorType.EXECUTION, str(e)) from e

    def _answer(self, query: Query, result: QueryResult, data: Any, cut: bool) -> Response:
        warnings = list(result.annotations.warnings)
        if cut:
            warnings.append("results truncated due to limit")
        warnings += [unkept for unkept in map(self._unkept, query.selectors()) if unkept]
        return success(data, warnings, result.annotations.infos)

    def _unkept(self, selector: Any) -> str:
        name = next((m.value for m in selector.matchers if m.name == METRIC_NAME and m.op.value == "="), "")
        if not name or self._head.demand.wants_name(name):
            return ""
        return (
            f"rulepush: no rule needs the metric {name!r}, so its samples are not kept; "
            "set `storage: {keep: all}` in the configuration to explore all that is scraped"
        )


def _parse(params: Params) -> Query:
    try:
        return parse_expr(params.text("query"))
    except ParseError as e:
        raise ApiError(ErrorType.BAD_DATA, f'invalid parameter "query": {e}') from None


def _type_text(value_type: ValueType) -> str:
    return "range vector" if value_type is ValueType.MATRIX else value_type.value


def _instant_data(result: QueryResult, ts: int, limit: int | None) -> tuple[dict[str, Any], bool]:
    kind = result.value_type
    if kind is ValueType.SCALAR:
        value = result.samples()[0].value
        return {"resultType": "scalar", "result": [seconds(ts), format_float_json(value)]}, False
    if kind is ValueType.STRING:
        return {"resultType": "string", "result": [seconds(ts), result.string]}, False
    if kind is ValueType.MATRIX:
        series = sorted(result.series(), key=lambda s: s.labels)
        cut = limit is not None and len(series) > limit
        return {"resultType": "matrix", "result": [_series_json(s) for s in series[:limit]]}, cut
    samples = result.samples()
    cut = limit is not None and len(samples) > limit
    rows = [
        {"metric": s.labels.as_dict(), "value": [seconds(s.ts), format_float_json(s.value)]} for s in samples[:limit]
    ]
    return {"resultType": "vector", "result": rows}, cut


def _series_json(series: Any) -> dict[str, Any]:
    points = zip(series.times, series.values, strict=True)
    return {
        "metric": series.labels.as_dict(),
        "values": [[seconds(int(t)), format_float_json(float(v))] for t, v in points],
    }


def _limited(data: list[Any], limit: int | None) -> Response:
    if limit is not None and len(data) > limit:
        return success(data[:limit], ["results truncated due to limit"])
    return success(data)


def _unescape_name(name: str) -> str:
    """`U__http_2e_status` -> `http.status`: how Prometheus takes names that are not legacy in a path."""
    if not name.startswith("U__"):
        return name
    out, rest = "", name[3:]
    while rest:
        if rest.startswith("__"):
            out, rest = out + "_", rest[2:]
        elif rest.startswith("_"):
            code, found, rest_after = rest[1:].partition("_")
            try:
                out, rest = out + chr(int(code, 16)), rest_after
            except (ValueError, OverflowError):
                return name
            if not found:
                return name
        else:
            out, rest = out + rest[0], rest[1:]
    return out
