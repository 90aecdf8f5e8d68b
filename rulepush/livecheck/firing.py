"""What would fire now: the rules are evaluated over what was scraped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from rulepush.errors import EvaluationError
from rulepush.histogram.sample import HistogramSample
from rulepush.histogram.text import format_histogram
from rulepush.livecheck.finding import Finding, FindingKind, Level, problem
from rulepush.livecheck.rules import LiveRule
from rulepush.livecheck.seen import LiveData
from rulepush.model.durations import format_duration
from rulepush.model.labels import METRIC_NAME
from rulepush.model.sample import Sample
from rulepush.promql import Engine
from rulepush.rules.specs import result_fault

_EXAMPLES = 2


def record(rules: Sequence[LiveRule], seen: LiveData) -> None:
    """Store the results of the recording rules at each scrape, in their order, so that alerts can read them."""
    engine = Engine()
    for ts in seen.times:
        for rule in rules:
            if rule.alert or result_fault(rule.query):
                continue
            try:
                samples = engine.instant(rule.query, ts, seen.head.querier()).samples()
            except EvaluationError:
                continue  # reported by `fires`
            for sample in samples:
                seen.keep(replace(sample, labels=sample.labels.with_({METRIC_NAME: rule.name}), ts=ts))


def fires(rule: LiveRule, seen: LiveData) -> Iterator[Finding]:
    """Whether the rule would be active at the last scrape, or fail."""
    if fault := result_fault(rule.query):
        yield problem(FindingKind.FAILS, f"it fails at every evaluation: {fault}")
        return
    try:
        samples = Engine().instant(rule.query, seen.now, seen.head.querier()).samples()
    except EvaluationError as e:
        yield problem(FindingKind.FAILS, f"it cannot be evaluated on this data: {e}")
        return
    if rule.alert and samples:
        yield fires_now(rule, samples)


def fires_now(rule: LiveRule, samples: Sequence[Sample]) -> Finding:
    """That the expression of an alert has these elements now."""
    shown = "; ".join(f"{s.labels} = {_value(s)}" for s in samples[:_EXAMPLES])
    more = f" and {len(samples) - _EXAMPLES} more" if len(samples) > _EXAMPLES else ""
    when = f"is true now, and fires when it stays so for {format_duration(rule.for_ms)}" if rule.for_ms else "fires now"
    return Finding(FindingKind.FIRES_NOW, Level.FIRES, f"it {when}: {shown}{more}")


def _value(sample: Sample) -> str:
    return format_histogram(sample.histogram) if isinstance(sample, HistogramSample) else f"{sample.value:g}"


def reads_history(rule: LiveRule) -> bool:
    """Whether one scrape is not enough to evaluate it: it reads ranges, or the past."""
    return any(use.ranged or use.lookback_ms > 300_000 for use in rule.query.selectors())
