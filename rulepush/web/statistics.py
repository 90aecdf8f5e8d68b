"""The `stats` of a query's answer. Source: prometheus util/stats/query_stats.go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from rulepush.model.arrays import Ints
from rulepush.promql.eval.evaluation import QuerySamples

_KNOWN: Final = ("", "true", "all")


@dataclass(slots=True)
class QueryStatistics:
    """What one query took, in seconds: waiting for a slot, finding and copying its samples, evaluating; and what it
    read. `per_step`: each step for itself, too."""

    per_step: bool
    samples: QuerySamples = field(default_factory=QuerySamples)
    queued_s: float = 0.0
    prepared_s: float = 0.0
    evaluated_s: float = 0.0

    @classmethod
    def wanted(cls, text: str) -> QueryStatistics | None:
        """As the parameter `stats` asks for: any value does, and `all` for each step."""
        return cls(text == "all") if text else None

    def as_json(self, steps: Ints) -> dict[str, Any]:
        """In Prometheus' shape. The result is sorted while it is evaluated, so that has no time of its own; the peak
        are all samples that were held at any time, as --query.max-samples counts them."""
        from rulepush.web.answers import unix_seconds  # with it comes the HTTP server

        per_step: dict[str, Any] = {}
        if self.per_step:
            times = (unix_seconds(ts) for ts in steps.tolist())
            per_step["totalQueryableSamplesPerStep"] = [
                list(pair) for pair in zip(times, self.samples.per_step.tolist(), strict=True)
            ]
        evaluated = self.prepared_s + self.evaluated_s
        return {
            "timings": {
                "evalTotalTime": evaluated,
                "resultSortTime": 0,
                "queryPreparationTime": self.prepared_s,
                "innerEvalTime": self.evaluated_s,
                "execQueueTime": self.queued_s,
                "execTotalTime": self.queued_s + evaluated,
            },
            "samples": {
                **per_step,
                "totalQueryableSamples": self.samples.total,
                "peakSamples": self.samples.held,
            },
        }


def stats_warnings(text: str) -> Sequence[str]:
    """What Prometheus says of other values of the parameter."""
    if text in _KNOWN:
        return ()
    return (
        f'value "{text}" for parameter "stats" is deprecated and will be rejected in the next major release, '
        'use "true" or "all"',
    )
