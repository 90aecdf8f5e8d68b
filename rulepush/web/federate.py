"""`/federate`: the newest samples of some series, for a Prometheus that scrapes them.

Sources: prometheus web/federate.go; for the format, exposition/negotiation.py. Native histograms go out in protobuf
only. Those with custom buckets become classic histograms, in text as well.

A scraper sees neither comments nor headers, so an answer that lacks series would look as if there were none. Where
what is kept does not suffice, the answer is 422 and says why: the scrape fails, and `up` is 0. With `incomplete=allow`
the client takes what is there, and in text the reasons are comments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, groupby
from typing import Final, NamedTuple

from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from rulepush.clock import Clock
from rulepush.errors import EvaluationError, QueryLimitError
from rulepush.exposition.negotiation import NameEscaping, escape_name, negotiated
from rulepush.exposition.write import sample_line, type_line
from rulepush.histogram.classic import cumulative_buckets
from rulepush.histogram.histogram import CounterResetHint, FloatHistogram
from rulepush.http_request import while_connected
from rulepush.model.floats import format_float_g
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

_INSTANCE: Final = "instance"


Newest = tuple[str, Labels, float, int, FloatHistogram | None]
"""A series with its newest sample: metric name, labels, value, time (ms), histogram. The value of a histogram means
nothing. A plain tuple, in the order in which rows are sorted: there is one for each series that is told."""


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
        asked = negotiated(request.headers.get("accept", ""))
        content_type = asked.content_type
        if not selectors:
            return Response(headers={"Content-Type": content_type})
        if not all(selectors):
            raise ApiError(ErrorType.BAD_DATA, "match[] must contain at least one matcher")
        ts, external = self._clock.now(), self._external_labels()

        def answer(engine: Engine, data: Querier, lacking: Lacking) -> StreamedBody[str] | StreamedBody[bytes]:
            found = newest_samples(selectors, ts, engine.options.lookback_delta_ms, data)
            lacks = lacking()
            if lacks and not allow:
                raise ApiError(ErrorType.EXECUTION, "\n".join([*lacks, _HOW_TO_GO_ON]))
            if asked.protobuf:
                return StreamedBody.of(_messages(_families(found), external, asked.escaping), b"")
            comments = (f"# {lack}\n".replace("\n", " ").rstrip() + "\n" for lack in lacks)
            texts = [row for row in found if row[-1] is None or row[-1].uses_custom_buckets]
            return StreamedBody.of(chain(comments, _lines(_families(texts), external, asked.escaping)), "")

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
        rows = zip(selection.index.labels, values.tolist(), times.tolist(), present.tolist(), strict=True)
        boxes = selection.boxes
        if boxes is None:
            for labels, value, at, here in rows:
                if here and (name := labels.name):
                    found[labels] = name, labels, value, at, None
            continue
        for labels, value, at, here in rows:
            if here and (name := labels.name):
                found[labels] = name, labels, value, at, boxes.unbox(value)
    return sorted(found.values())  # no two have the same labels, so that nothing beyond these is compared


class _Family(NamedTuple):
    """Rows that stand together. As in Prometheus, a metric may have several families, one of each kind: whoever reads
    this can tell them apart, and they could not be sent otherwise."""

    name: str
    is_histogram: bool
    is_gauge: bool
    rows: Iterator[Newest]


def _families(rows: Iterable[Newest]) -> Iterator[_Family]:
    def kind(row: Newest) -> tuple[str, bool, bool]:
        name, _, _, _, of = row
        if of is None:
            return name, False, False
        return name, True, of.counter_reset_hint is CounterResetHint.GAUGE

    for key, members in groupby(rows, kind):
        yield _Family(*key, members)


class _SeriesLabels:
    """The labels of series as they are written: without the name, with the external labels that a series has not."""

    def __init__(self, external: Mapping[str, str], escaping: NameEscaping):
        # Without an instance, the scraper would give the series its own.
        self._added = sorted({_INSTANCE: "", **external}.items())
        self._escaping = escaping
        self._as_they_are = escaping is NameEscaping.ALLOW_UTF8
        self._names: dict[str, str] = {}

    def of(self, labels: Labels) -> list[tuple[str, str]]:
        """In the order of Prometheus."""
        own = {label: text for label, text in labels if label != METRIC_NAME}
        pairs = [*own.items(), *[pair for pair in self._added if pair[0] not in own]]
        if self._as_they_are:
            return pairs
        return [(self._names.get(label) or self._escaped(label), text) for label, text in pairs]

    def _escaped(self, label: str) -> str:
        found = self._names[label] = escape_name(label, self._escaping)
        return found


def _lines(families: Iterable[_Family], external: Mapping[str, str], escaping: NameEscaping) -> Iterator[str]:
    written = _SeriesLabels(external, escaping)
    for family in families:
        name = escape_name(family.name, escaping)
        yield type_line(name, "histogram" if family.is_histogram else "untyped")
        for _, labels, value, ts, histogram in family.rows:
            pairs = written.of(labels)
            if histogram is None:
                yield sample_line(name, pairs, value, ts)
                continue
            for bound, cumulative in cumulative_buckets(histogram)[:-1]:
                yield sample_line(f"{name}_bucket", [*pairs, ("le", format_float_g(bound))], cumulative, ts)
            yield sample_line(f"{name}_bucket", [*pairs, ("le", "+Inf")], histogram.count, ts)
            yield sample_line(f"{name}_sum", pairs, histogram.sum, ts)
            yield sample_line(f"{name}_count", pairs, histogram.count, ts)


def _messages(families: Iterable[_Family], external: Mapping[str, str], escaping: NameEscaping) -> Iterator[bytes]:
    from rulepush.exposition.protobuf import write as protobuf  # only for those who ask for it

    written = _SeriesLabels(external, escaping)
    for family in families:
        kind = protobuf.MetricType.UNTYPED
        if family.is_histogram:
            kind = protobuf.MetricType.GAUGE_HISTOGRAM if family.is_gauge else protobuf.MetricType.HISTOGRAM
        metrics = (
            protobuf.number_metric(kind, written.of(labels), value, ts)
            if histogram is None
            else protobuf.histogram_metric(written.of(labels), histogram, ts)
            for _, labels, value, ts, histogram in family.rows
        )
        yield protobuf.delimited_family(escape_name(family.name, escaping), kind, metrics)
