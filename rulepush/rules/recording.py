"""A recording rule: its expression's result under a name of its own. Source: Prometheus rules/recording.go."""

from __future__ import annotations

from rulepush.errors import EvaluationError
from rulepush.histogram.errors import InvalidHistogram
from rulepush.histogram.sample import HistogramSample
from rulepush.model.labels import METRIC_NAME, Labels
from rulepush.model.sample import Sample
from rulepush.rules.context import Tick
from rulepush.rules.doubtful import refuse_doubtful
from rulepush.rules.health import RuleHealth
from rulepush.rules.specs import RecordingSpec

_DUPLICATE_LABELS = "vector contains metrics with the same labelset after applying rule labels"
_REMEMBERED = 100_000


def storable(samples: list[Sample]) -> tuple[list[Sample], str]:
    """The samples without histograms that contradict themselves, and why such a one is none, "" without any.

    A difference may have buckets below zero: an expression goes on with it, but Prometheus' storage takes it not, with
    these words (tsdb/head_append_v2.go; rules/group.go discards the sample and keeps the others of the rule).
    """
    if not any(type(s) is HistogramSample for s in samples):
        return samples, ""
    from rulepush.histogram.validate import validate_histogram

    kept, error = [], ""
    for s in samples:
        try:
            if type(s) is HistogramSample and not s.histogram.is_stale:
                validate_histogram(s.histogram)
            kept.append(s)
        except InvalidHistogram as e:
            error = f"{s.labels}: {e}"
    return kept, error


class RecordingRule:
    """Evaluated by its group."""

    def __init__(self, spec: RecordingSpec):
        self.spec = spec
        self.status = RuleHealth()
        self._set = {METRIC_NAME: spec.name, **dict(spec.labels)}
        self._named: dict[Labels, Labels] = {}

    def evaluate(self, tick: Tick) -> list[Sample]:
        """The samples to store at `tick.query_ts`. Raises EvaluationError; nothing is stored then."""
        result = tick.run(self.spec.query)
        refuse_doubtful(result, "record")
        rename, ts = self._rename, tick.query_ts
        out = [
            HistogramSample(rename(s.labels), ts, s.value, s.histogram)
            if type(s) is HistogramSample
            else Sample(rename(s.labels), ts, s.value)
            for s in result
        ]
        if len({s.labels for s in out}) != len(out):
            raise EvaluationError(_DUPLICATE_LABELS)
        if 0 < tick.limit < len(out):
            raise EvaluationError(f"exceeded limit of {tick.limit} with {len(out)} series")
        return out

    def _rename(self, labels: Labels) -> Labels:
        named = self._named.get(labels)
        if named is None:
            if len(self._named) >= _REMEMBERED:
                self._named.clear()
            named = self._named[labels] = labels.with_(self._set)
        return named
