"""`/api/v1/query`, `query_range`, `query_exemplars`, `format_query`, `parse_query`, `series`, `labels` and
`label/<name>/values`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rulepush.clock import Clock
from rulepush.errors import EvaluationError, ParseError, QueryLimitError
from rulepush.http_request import while_connected
from rulepush.model.labels import Labels, is_valid_utf8_name
from rulepush.model.matcher import Matcher
from rulepush.promql import Query, QueryResult
from rulepush.promql.syntax.pretty import pretty
from rulepush.promql.vectors.values import ValueType
from rulepush.web.answers import ApiError, ErrorType, success
from rulepush.web.ast_json import tree_json
from rulepush.web.evaluator import QueryEvaluator
from rulepush.web.params import Params
from rulepush.web.results import StreamedBody, success_pieces
from rulepush.web.statistics import QueryStatistics, stats_warnings

MAX_POINTS: Final = 11_000
POSTED_READS: Final = (
    "/query",
    "/query_range",
    "/query_exemplars",
    "/format_query",
    "/parse_query",
    "/series",
    "/labels",
)
"""The endpoints that take a POST and only read."""
_FAR_PAST: Final = -(1 << 62)
_FAR_FUTURE: Final = 1 << 62


class QueryApi:
    """The read side of the API."""

    def __init__(self, evaluator: QueryEvaluator, clock: Clock):
        self._evaluator = evaluator
        self._clock = clock

    def routes(self) -> list[Route]:
        """The routes, below /api/v1."""
        both = ["GET", "POST"]
        return [
            Route("/query", self.query, methods=both),
            Route("/query_range", self.query_range, methods=both),
            Route("/query_exemplars", self.query_exemplars, methods=both),
            Route("/format_query", self.format_query, methods=both),
            Route("/parse_query", self.parse_query, methods=both),
            Route("/series", self.series, methods=both),
            Route("/labels", self.labels, methods=both),
            Route("/label/{name}/values", self.label_values, methods=["GET"]),
        ]

    async def query(self, request: Request) -> Response:
        """An instant query."""
        params, asked_at = await Params.of(request), self._evaluator.asked_at()
        ts = params.optional_time("time", self._clock.now())
        limit, timeout = params.limit(), params.duration("timeout", 0)
        query = resolved(await self._parsed(params), 0, 0)
        stats = QueryStatistics.wanted(params.text("stats"))
        finish = _finish(limit, stats, stats_warnings(params.text("stats")))
        answer = self._evaluator.instant(query, ts, finish, timeout, asked_at, stats, _lookback(params))
        return await _answered(request, answer)

    async def query_range(self, request: Request) -> Response:
        """A range query, at most 11,000 points a series."""
        params, asked_at = await Params.of(request), self._evaluator.asked_at()
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
        limit, timeout = params.limit(), params.duration("timeout", 0)
        query = resolved(await self._parsed(params), step, end - start)
        if query.value_type not in (ValueType.VECTOR, ValueType.SCALAR):
            raise ApiError(
                ErrorType.BAD_DATA,
                f'invalid parameter "query": invalid expression type "{_type_text(query.value_type)}" '
                "for range query, must be Scalar or instant Vector",
            )
        stats = QueryStatistics.wanted(params.text("stats"))
        finish = _finish(limit, stats, stats_warnings(params.text("stats")))
        answer = self._evaluator.range(query, start, end, step, finish, timeout, asked_at, stats, _lookback(params))
        return await _answered(request, answer)

    async def query_exemplars(self, request: Request) -> Response:
        """None: exemplars are not kept. Grafana asks for them beside a query, and an error would be shown."""
        params = await Params.of(request)
        params.optional_time("start", _FAR_PAST), params.optional_time("end", _FAR_FUTURE)
        await self._parsed(params)
        return success([])

    async def format_query(self, request: Request) -> Response:
        """The expression laid out for people."""
        return success(pretty((await self._parsed(await Params.of(request))).root))

    async def parse_query(self, request: Request) -> Response:
        """The syntax tree of the expression."""
        query = await self._parsed(await Params.of(request))
        try:
            return success(tree_json(query.root))
        except RecursionError:
            raise ApiError(ErrorType.BAD_DATA, 'invalid parameter "query": it is nested too deeply') from None

    async def series(self, request: Request) -> Response:
        """The label sets that match any of `match[]`."""
        return await self._listed(request, _dicts, required=True)

    async def labels(self, request: Request) -> Response:
        """The label names in use."""
        return await self._listed(request, lambda found: sorted({name for labels in found for name, _ in labels}))

    async def label_values(self, request: Request) -> Response:
        """The values of one label."""
        name = _unescape_name(request.path_params["name"])
        if not is_valid_utf8_name(name):
            raise ApiError(ErrorType.BAD_DATA, f'invalid label name: "{name}"')
        return await self._listed(request, lambda found: sorted({labels.get(name) for labels in found} - {""}))

    async def _listed(
        self, request: Request, make: Callable[[Sequence[Labels]], list[Any]], *, required: bool = False
    ) -> Response:
        """A list made of the series that are asked for. Sorting and writing many labels takes time, too: not in the
        event loop."""
        params = await Params.of(request)
        selectors: list[Sequence[Matcher]] = await self._evaluator.in_thread_if_long(
            sum(map(len, params.texts("match[]"))), params.matchers
        )
        if required and not selectors:
            raise ApiError(ErrorType.BAD_DATA, "no match[] parameter provided")
        selectors = selectors or [()]
        start, end = params.optional_time("start", _FAR_PAST), params.optional_time("end", _FAR_FUTURE)
        limit = params.limit()
        if start > end:
            return success([])  # a time in which nothing can be: the answer lacks nothing

        def answer(found: Sequence[Labels], incomplete: Sequence[str]) -> Response:
            data = make(found)
            if limit is not None and len(data) > limit:
                return success(data[:limit], ["results truncated due to limit", *incomplete])
            return success(data, incomplete)

        try:
            return await self._evaluator.listed(selectors, None if start == _FAR_PAST else start, end, answer)
        except QueryLimitError as e:
            kind = ErrorType.TIMEOUT if "timed out" in str(e) else ErrorType.EXECUTION
            raise ApiError(kind, str(e)) from None

    async def _parsed(self, params: Params) -> Query:
        try:
            return await self._evaluator.parsed(params.text("query"))
        except ParseError as e:
            raise ApiError(ErrorType.BAD_DATA, f'invalid parameter "query": {e}') from None


def _lookback(params: Params) -> int:
    """The look-back delta (ms) that a query asks for; 0 where it does not."""
    try:
        return params.duration("lookback_delta", 0)
    except ApiError as e:
        reason = str(e).partition(": ")[2]
        raise ApiError(ErrorType.BAD_DATA, f"error parsing lookback delta duration: {reason}") from None


def _finish(
    limit: int | None, stats: QueryStatistics | None, warnings: Sequence[str]
) -> Callable[[QueryResult, Sequence[str]], StreamedBody[str]]:
    def finish(result: QueryResult, incomplete: Sequence[str]) -> StreamedBody[str]:
        shown = None if stats is None else stats.as_json(result.steps)
        return StreamedBody.of(success_pieces(result, limit, [*warnings, *incomplete], shown), "")

    return finish


async def _answered(request: Request, answer: Awaitable[StreamedBody[str]]) -> Response:
    """The answer to a query, which is given up when its client leaves."""
    try:
        return (await while_connected(request, answer)).response()
    except QueryLimitError as e:
        kind = ErrorType.TIMEOUT if "timed out" in str(e) else ErrorType.EXECUTION
        raise ApiError(kind, str(e)) from e
    except EvaluationError as e:
        raise ApiError(ErrorType.EXECUTION, str(e)) from e


def resolved(query: Query, step: int, span: int) -> Query:
    """The query with its durations, which may depend on the step and the range (ms) that are asked for. Raises
    ApiError."""
    try:
        return query.resolved(step, span)
    except EvaluationError as e:
        raise ApiError(ErrorType.BAD_DATA, f'invalid parameter "query": {e}') from None


def _dicts(found: Sequence[Labels]) -> list[Any]:
    return [labels.as_dict() for labels in sorted(set(found))]


def _type_text(value_type: ValueType) -> str:
    return "range vector" if value_type is ValueType.MATRIX else value_type.value


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
