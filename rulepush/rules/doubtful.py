"""Native histograms that an engine has shown without all that they are: no rule may store them or add them up."""

from __future__ import annotations

from collections.abc import Iterable

from rulepush.errors import EvaluationError
from rulepush.histogram.sample import HistogramSample
from rulepush.model.sample import Sample


def refuse_doubtful(samples: Iterable[Sample], use: str) -> None:
    """Before histograms are stored or added up. Raises EvaluationError, which says of which series, `use` and why."""
    for sample in samples:
        if type(sample) is HistogramSample and sample.doubt:
            raise EvaluationError(
                f"cannot {use} the native histogram of {sample.labels} as the engine has it: {sample.doubt}. Let the "
                "engine compute a number of it in the same expression, histogram_quantile(...) for example, or "
                "evaluate the rule in memory (rule_files)"
            )
