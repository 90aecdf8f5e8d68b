"""What is kept of each metric and since when: for suggestions, and so that nobody takes what is not kept for absent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rulepush.model.matcher import exact_metric_name, selector_text
from rulepush.storage.demand import Demand, exactly_named
from rulepush.storage.demand_history import KeptView

MAX_SHOWN: Final = 50  # metrics with what is kept of them
MAX_NAMES: Final = 2_000  # names that are suggested


@dataclass(frozen=True, slots=True)
class KeptPart:
    """`selector` is kept for `lookback_ms`, at present since `since` (ms; None: not known). An empty selector means all
    series, which the configuration keeps."""

    selector: str
    lookback_ms: int
    since: int | None


@dataclass(frozen=True, slots=True)
class KeptMetric:
    """A metric with as many series now (0: a rule asks for it, and no target has it), and what of it is kept."""

    name: str
    series: int
    parts: Sequence[KeptPart]


@dataclass(frozen=True, slots=True)
class KeptMetrics:
    """The metrics whose name contains what was looked for: `shown` are the first of `count`. `names` are all that there
    are, for suggestions; `keeps_all` tells whether everything scraped is kept, `recorded_since` (ms; None: it is not)
    since when it is recorded."""

    shown: Sequence[KeptMetric]
    count: int
    names: Sequence[str]
    keeps_all: bool
    recorded_since: int | None = None


def kept_metrics(
    sizes: Mapping[str, int],
    view: KeptView,
    wanted: str = "",
    asked_for: Sequence[str] = (),
    max_shown: int = MAX_SHOWN,
    recorded_since: int | None = None,
) -> KeptMetrics:
    """The metrics with `wanted` in their name, or all: first those of an expression, `asked_for`, whether they are
    there or not. `sizes` has the series of each metric that there is. It takes a while where there are many selectors:
    not for the event loop."""
    demand = view.demand
    names = sorted({*sizes, *_named(demand)})
    if wanted:
        matching = [name for name in names if wanted.lower() in name.lower()]
        matching.sort(key=lambda name: name != wanted)  # a name that was typed in full is what is meant
    else:
        matching = list(dict.fromkeys([*asked_for, *names]))
    shown = [_kept(name, sizes.get(name, 0), view) for name in matching[:max_shown]]
    return KeptMetrics(shown, len(matching), names[:MAX_NAMES], demand.keeps_all, recorded_since)


def _kept(name: str, series: int, view: KeptView) -> KeptMetric:
    of_name = (exactly_named(name),)
    parts = []
    if view.demand.keeps_all:
        kept = view.kept(of_name)
        if kept is not None:
            parts.append(KeptPart("", kept.retention.lookback_ms, kept.since))
    else:
        for matchers in view.demand.kept_of(of_name):
            kept = view.kept(matchers)
            lookback_ms = view.demand.keep(name).lookback_ms if kept is None else kept.retention.lookback_ms
            parts.append(KeptPart(selector_text(matchers), lookback_ms, None if kept is None else kept.since))
    return KeptMetric(name, series, parts)


def _named(demand: Demand) -> Iterable[str]:
    """The metrics that a selector names."""
    return (name for use in demand.uses if (name := exact_metric_name(use.matchers)) is not None)
