"""Query results as the JSON of Prometheus' API, in pieces: a large answer is never whole in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, AnyStr, Final, Generic

from starlette.responses import Response, StreamingResponse

from rulepush.histogram.histogram import FloatHistogram
from rulepush.histogram.sample import HistogramSample
from rulepush.histogram.text import histogram_json
from rulepush.model.floats import format_float_json
from rulepush.model.labels import Labels
from rulepush.model.sample import Sample
from rulepush.promql import QueryResult, ResultSeries
from rulepush.promql.vectors.values import ValueType
from rulepush.web.answers import json_text_of, unix_seconds

_MAX_UNSTREAMED: Final = 1 << 20  # characters: an answer up to this is sent whole, with its length
_PIECE_SIZE: Final = 1 << 16
_MAX_ANNOTATIONS: Final = 10  # warnings, and as many infos


@dataclass(frozen=True, slots=True)
class StreamedBody(Generic[AnyStr]):
    """The first pieces of a body, texts or bytes, and those that are still to be made."""

    begun: AnyStr
    rest: Iterator[AnyStr] | None

    @classmethod
    def of(cls, pieces: Iterable[AnyStr], empty: AnyStr) -> StreamedBody[AnyStr]:
        """Make the body as far as it is sent at once. `empty` is the body without pieces."""
        left = iter(pieces)
        begun: AnyStr = next(_gathered(left, _MAX_UNSTREAMED), empty)
        rest: Iterator[AnyStr] = _gathered(left, _PIECE_SIZE)
        following: AnyStr | None = next(rest, None)
        return cls(begun, None if following is None else _after(following, rest))

    def response(self, content_type: str = "application/json") -> Response:
        """With status 200. What is still to be made is made in a thread, as fast as it is read."""
        if self.rest is None:
            return Response(self.begun, headers={"Content-Type": content_type})
        pieces = (piece if isinstance(piece, bytes) else piece.encode() for piece in chain((self.begun,), self.rest))
        return StreamingResponse(pieces, headers={"Content-Type": content_type})


def _gathered(pieces: Iterable[AnyStr], size: int) -> Iterator[AnyStr]:
    """The same in pieces of about `size` characters or bytes."""
    parts: list[AnyStr] = []
    length = 0
    for piece in pieces:
        parts.append(piece)
        length += len(piece)
        if length >= size:
            yield parts[0][:0].join(parts)
            parts.clear()
            length = 0
    if parts:
        yield parts[0][:0].join(parts)


def _after(first: AnyStr, rest: Iterator[AnyStr]) -> Iterator[AnyStr]:
    yield first
    yield from rest


def success_pieces(
    result: QueryResult, limit: int | None, warnings: Sequence[str], stats: Mapping[str, Any] | None = None
) -> Iterator[str]:
    """The success envelope around at most `limit` series; `warnings` come after those of the evaluation."""
    kind, ts = result.value_type, unix_seconds(int(result.steps[0]))
    cut = False
    yield f'{{"status":"success","data":{{"resultType":"{kind.value}","result":'
    if kind is ValueType.SCALAR:
        yield _point(str(ts), format_float_json(result.scalar))
    elif kind is ValueType.STRING:
        yield _point(str(ts), result.string)
    elif kind is ValueType.MATRIX:
        series = result.series()
        cut = limit is not None and len(series) > limit
        times: dict[bytes, list[str]] = {}
        yield from _listed(_series(s, times) for s in series[:limit])
    else:
        samples = result.samples()
        cut = limit is not None and len(samples) > limit
        if result.boxes is None:
            head, end = '{"metric":', f',"value":[{ts},"'
            made = (f'{head}{_metric(s.labels)}{end}{format_float_json(s.value)}"]}}' for s in samples[:limit])
        else:
            made = (_sample(s, ts) for s in samples[:limit])
        yield from _listed(made)
    if stats is not None:
        yield f',"stats":{json_text_of(stats)}'
    yield "}"
    said = result.annotations
    all_warnings = [*_shown(said.warnings, "warning"), *(["results truncated due to limit"] if cut else []), *warnings]
    if all_warnings:
        yield f',"warnings":{json_text_of(all_warnings)}'
    if said.infos:
        yield f',"infos":{json_text_of(_shown(said.infos, "info"))}'
    yield "}"


def _shown(notes: Sequence[str], kind: str) -> list[str]:
    """The first of the annotations, and how many more there are: as Prometheus' web/api/v1/api.go asks AsStrings."""
    more = len(notes) - _MAX_ANNOTATIONS
    return [*notes[:_MAX_ANNOTATIONS], *([f"{more} more {kind} annotations omitted"] if more > 0 else [])]


def _listed(items: Iterable[str]) -> Iterator[str]:
    yield "["
    for i, item in enumerate(items):
        yield f",{item}" if i else item
    yield "]"


def _sample(sample: Sample, ts: int | float) -> str:
    if isinstance(sample, HistogramSample):
        return f'{{"metric":{_metric(sample.labels)},"histogram":[{ts},{_histogram(sample.histogram)}]}}'
    return f'{{"metric":{_metric(sample.labels)},"value":[{ts},"{format_float_json(sample.value)}"]}}'


def _series(series: ResultSeries, times: dict[bytes, list[str]]) -> str:
    """`times` remembers the texts of the times of the series before: mostly those of this one, too."""
    held = series.histograms
    whole = f'{{"metric":{_metric(series.labels)}'
    floats = series.floats if held else series
    key = floats.times.tobytes()
    texts = times.get(key)
    if texts is None:
        times.clear()
        texts = times[key] = [f'[{unix_seconds(t)},"' for t in floats.times.tolist()]
    points = [f'{text}{format_float_json(v)}"]' for text, v in zip(texts, floats.values.tolist(), strict=True)]
    if points:
        whole += f',"values":[{",".join(points)}]'
    if held:
        at = series.times.tolist()
        histograms = (f"[{unix_seconds(at[place])},{_histogram(held[place])}]" for place in sorted(held))
        whole += f',"histograms":[{",".join(histograms)}]'
    return whole + "}"


def _histogram(histogram: FloatHistogram) -> str:
    return json_text_of(histogram_json(histogram))


def _metric(labels: Labels) -> str:
    return json_text_of(labels.as_dict())


def _point(time: str, value: str) -> str:
    return f"[{time},{json_text_of(value)}]"
