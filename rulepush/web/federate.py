"""`/federate`: the newest samples of some series, for a Prometheus that scrapes them.

Sources: prometheus web/federate.go; prometheus/common expfmt/encode.go (Negotiate). Only the text format is written:
whatever a client accepts, it can read that, and Prometheus does not offer OpenMetrics there either.

A scraper sees neither comments nor headers, so an answer that lacks series would look as if there were none. Where
what is kept does not suffice, the answer is 422 and says why: the scrape fails, and `up` is 0. With `incomplete=allow`
the client takes what is there, and the reasons are comments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from rulepush.clock import Clock
from rulepush.errors import EvaluationError, QueryLimitError
from rulepush.exposition.write import sample_line, type_line
from rulepush.histogram.boxes import box_mask
from rulepush.http_request import while_connected
from rulepush.model.labels import METRIC_NAME, Labels
from rulepush.model.matcher import Matcher
from rulepush.promql import Engine, Query
from rulepush.promql.eval.selectors import newest
from rulepush.promql.syntax import ast
from rulepush.storage.selection import Querier
from rulepush.web.answers import ApiError, ErrorType
from rulepush.web.compression import Compression
from rulepush.web.evaluator import Lacking, QueryEvaluator
from rulepush.web.params import Params
from rulepush.web.results import StreamedBody

_CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8; escaping="
_UTF8: Final = "allow-utf-8"
_INSTANCE: Final = "instance"

Newest = tuple[Labels, float, int]
"""A series with the value and the time (ms) of its newest sample."""


class FederationApi:
    """`external_labels()` are those of the configuration in force; `ready()` tells whether there is one."""

    def __init__(
        self,
        evaluator: QueryEvaluator,
        clock: Clock,
        external_labels: Callable[[], Mapping[str, str]],
        ready: Callable[[], bool],
    ):
        self._evaluator = evaluator
        self._clock = clock
        self._external_labels = external_labels
        self._ready = ready

    def routes(self) -> list[Route]:
        """The routes, at the root."""
        return [Route("/federate", self.federate, methods=["GET"], middleware=[Middleware(Compression)])]

    async def federate(self, request: Request) -> Response:
        """The series that match any of `match[]`, each once, with their newest sample of the look-back delta."""
        if not self._ready():
            return PlainTextResponse("Service Unavailable\n", 503)
        try:
            params = await Params.of(request)
            texts = params.texts("match[]")
            selectors = await self._evaluator.in_thread_if_long(
                sum(map(len, texts)), lambda: params.matchers(loose=True)
            )
            return await self._answer(request, selectors, params.text("incomplete") == "allow")
        except ApiError as e:
            return PlainTextResponse(f"{e}\n", e.kind.value[1])

    async def _answer(self, request: Request, selectors: Sequence[Sequence[Matcher]], allow: bool) -> Response:
        utf8_names = accepts_utf8_names(request.headers.get("accept", ""))
        content_type = _CONTENT_TYPE + (_UTF8 if utf8_names else "underscores")
        if not selectors:
            return Response(headers={"Content-Type": content_type})
        if not all(selectors):
            raise ApiError(ErrorType.BAD_DATA, "match[] must contain at least one matcher")
        ts, external = self._clock.now(), self._external_labels()

        def answer(engine: Engine, data: Querier, lacking: Lacking) -> StreamedBody:
            found = newest_samples(selectors, ts, engine.options.lookback_delta_ms, data)
            lacks = lacking()
            if lacks and not allow:
                raise ApiError(ErrorType.EXECUTION, "\n".join([*lacks, _HOW_TO_GO_ON]))
            comments = (f"# {lack}\n".replace("\n", " ").rstrip() + "\n" for lack in lacks)
            return StreamedBody.of(_lines(comments, found, external, utf8_names))

        try:
            evaluated = self._evaluator.evaluated(_query(selectors), ts, ts, answer)
            return (await while_connected(request, evaluated)).response(content_type)
        except QueryLimitError as e:
            raise ApiError(ErrorType.TIMEOUT if "timed out" in str(e) else ErrorType.EXECUTION, str(e)) from None
        except EvaluationError as e:
            raise ApiError(ErrorType.EXECUTION, str(e)) from None


_HOW_TO_GO_ON: Final = (
    "rulepush: nothing is answered, for whoever scrapes this would not see what is missing. Select only what the rules "
    "need, or add incomplete=allow to the parameters to take what is there."
)


def _query(selectors: Sequence[Sequence[Matcher]]) -> Query:
    """What says which samples are read. It is not evaluated."""
    return Query("federate", ast.Call("federate", tuple(ast.VectorSelector("", tuple(m)) for m in selectors)))


def newest_samples(selectors: Sequence[Sequence[Matcher]], ts: int, lookback_ms: int, data: Querier) -> list[Newest]:
    """The newest sample of each series at `ts` (ms), unless it is a stale marker; by metric name, then by labels."""
    found: dict[Labels, Newest] = {}
    for matchers in selectors:
        selection = data.select(tuple(matchers), ts - lookback_ms + 1, ts)
        if not len(selection.index):
            continue
        times, values, present = newest(selection, ts, lookback_ms)
        if selection.boxes is not None:
            present &= ~box_mask(values)  # a text format has no native histograms
        rows = zip(selection.index.labels, values.tolist(), times.tolist(), present.tolist(), strict=True)
        found |= {labels: (labels, value, at) for labels, value, at, here in rows if here and labels.name}
    return sorted(found.values(), key=lambda row: (row[0].name, row[0]))


def _lines(
    comments: Iterable[str], rows: Iterable[Newest], external: Mapping[str, str], utf8_names: bool
) -> Iterator[str]:
    # Without an instance, the scraper would give the series its own.
    added = sorted({_INSTANCE: "", **external}.items())
    yield from comments
    name = ""
    for labels, value, ts in rows:
        if labels.name != name:
            name = labels.name
            yield type_line(name, "untyped", utf8_names=utf8_names)
        own = {label: text for label, text in labels if label != METRIC_NAME}
        pairs = [*own.items(), *(pair for pair in added if pair[0] not in own)]
        yield sample_line(name, pairs, value, ts, utf8_names=utf8_names)


def accepts_utf8_names(accept: str) -> bool:
    """Whether names that are not legacy ones may be written in quotes: the client says so where it names the text
    format, or something that it likes better."""
    clauses = []
    for clause in accept.split(","):
        media_type, *params = (part.strip() for part in clause.split(";"))
        given = {name.strip().lower(): value.strip() for name, _, value in (param.partition("=") for param in params)}
        clauses.append((_quality(given.get("q", "")), media_type.lower(), given))
    utf8 = False
    for _, media_type, given in sorted(clauses, key=lambda one: -one[0]):
        utf8 = given["escaping"] == _UTF8 if given.get("escaping") in _SCHEMES else utf8
        if media_type == "text/plain" and given.get("version", "") in ("", "0.0.4"):
            break
    return utf8


_SCHEMES: Final = (_UTF8, "underscores", "dots", "values")


def _quality(text: str) -> float:
    try:
        return float(text) if text else 1.0
    except ValueError:
        return 0.0
