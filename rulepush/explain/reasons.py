"""Why an expression gives what it gives, and an alert is in its state: kinds of reasons, and their words.

A Reason holds its kind and the values of its sentence, so that a page can say it in another language; `message` is the
English sentence. Where the log says the same, the words are those of the log (`rules.alert.describe_change`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from rulepush.model.floats import format_float
from rulepush.model.timestamps import format_rfc3339


class ReasonKind(Enum):
    """The value is the name in the API."""

    # of a comparison
    DROPPED = "dropped"
    NAN = "nan"
    # of two sides
    LEFT_EMPTY = "left-empty"
    RIGHT_EMPTY = "right-empty"
    NO_PARTNER = "no-partner"
    EXCLUDED = "excluded"
    # of a selector
    NOT_SEEN = "not-seen"
    NO_TARGET = "no-target"
    NOT_SCRAPED = "not-scraped"
    RELABELLED = "relabelled"
    NOT_KEPT_YET = "not-kept-yet"
    RECORDED = "recorded"
    ENDED = "ended"
    TOO_OLD = "too-old"
    TARGET_DOWN = "target-down"
    TARGET_GONE = "target-gone"
    FOUND = "found"
    # of a function
    TOO_FEW_SAMPLES = "too-few-samples"
    ABSENT_FALSE = "absent-false"
    SCALAR_NAN = "scalar-nan"
    DIVIDED_BY_ZERO = "divided-by-zero"
    # of the rule
    RESULT = "result"
    VALUE = "value"
    FAILS = "fails"
    NEAREST = "nearest"
    # of an alert
    FIRES_AT = "fires-at"
    NO_FOR = "no-for"
    FIRING_SINCE = "firing-since"
    KEPT_FIRING = "kept-firing"
    HELD = "held"
    NO_LONGER = "no-longer"
    MISSED = "missed"
    SERIES_GONE = "series-gone"
    RESOLVED_AT = "resolved-at"
    RETURNED = "returned"
    TRANSITION = "transition"


WORDS: Final[Mapping[ReasonKind, str]] = {
    ReasonKind.DROPPED: "{op} {threshold} drops {dropped} of {count}",
    ReasonKind.NAN: "{count} of {total} values are NaN: no comparison with NaN holds",
    ReasonKind.LEFT_EMPTY: "the left side of `{op}` is empty",
    ReasonKind.RIGHT_EMPTY: "the right side of `{op}` is empty",
    ReasonKind.NO_PARTNER: "{count} of {total} on the {side} find no partner for `{op}`: {difference}",
    ReasonKind.EXCLUDED: "`unless` removes {count} of {total}: the right side has the same {labels}",
    ReasonKind.NOT_SEEN: "no series: {metric} was not seen on {where}: it is not in the last scrape, and no sample "
    "of it is kept",
    ReasonKind.NO_TARGET: "no target has {labels}",
    ReasonKind.NOT_SCRAPED: "no target could be scraped yet",
    ReasonKind.RELABELLED: "{where} exposes {metric}, and metric_relabel_configs drops it",
    ReasonKind.NOT_KEPT_YET: "{where} exposes it, and it is kept from the next scrape on",
    ReasonKind.RECORDED: "the recording rule {rule} (group {group}) writes it, and has no result: explain {rule}",
    ReasonKind.ENDED: "{count} series ended at {time}: the scrapes since do not have them",
    ReasonKind.TOO_OLD: "{count} series have no sample in the last {lookback}",
    ReasonKind.TARGET_DOWN: "target {target} is down since {time}: {error}",
    ReasonKind.TARGET_GONE: "no target has {labels} any more",
    ReasonKind.FOUND: "{message}",
    ReasonKind.TOO_FEW_SAMPLES: "{count} of {total} series have fewer than two samples in {range}, so {function}() "
    "gives nothing for them",
    ReasonKind.ABSENT_FALSE: "{function}() gives nothing: its argument has {count} series",
    ReasonKind.SCALAR_NAN: "scalar() is NaN: its argument has {count} elements, not one",
    ReasonKind.DIVIDED_BY_ZERO: "{count} of {total} results are NaN: 0 / 0, or an operand is NaN",
    ReasonKind.RESULT: "{count} in the result",
    ReasonKind.VALUE: "the value is {value}",
    ReasonKind.FAILS: "{expr}: {error}",
    ReasonKind.NEAREST: "the nearest: {labels}: {missed}",
    ReasonKind.FIRES_AT: "in the result since {since}; fires at the evaluation of {time} (in {left}) if it stays so: "
    "`for` is {duration}",
    ReasonKind.NO_FOR: "in the result since {since}; fires at the next evaluation",
    ReasonKind.FIRING_SINCE: "firing since {time}, active since {since}",
    ReasonKind.KEPT_FIRING: "no longer in the result since {since}, kept firing until {time}: `keep_firing_for` is "
    "{duration}",
    ReasonKind.HELD: "held since {since} (its target cannot be scraped), until {time} at the latest",
    ReasonKind.NO_LONGER: "no longer in the result",
    ReasonKind.MISSED: "{labels}: {missed}",
    ReasonKind.SERIES_GONE: "its series are gone: the last scrape of its target does not have them",
    ReasonKind.RESOLVED_AT: "resolved at {time}, fired at {fired}",
    ReasonKind.RETURNED: "in the result again: the next evaluation makes a new alert of it",
    ReasonKind.TRANSITION: "{message}",
}


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason. `values` are those of the sentence of its kind, by name; `suggestion` is what to do, or ""."""

    kind: ReasonKind
    values: tuple[tuple[str, str], ...] = ()
    suggestion: str = ""

    @property
    def message(self) -> str:
        """The English sentence."""
        return WORDS[self.kind].format_map(dict(self.values))


def because(kind: ReasonKind, suggestion: str = "", /, **values: object) -> Reason:
    """A reason, its values as texts."""
    return Reason(kind, tuple((name, str(value)) for name, value in values.items()), suggestion)


def number(value: float) -> str:
    """A value for people: six digits, whole numbers without an exponent."""
    if value != value or value in (float("inf"), float("-inf")):
        return format_float(value)
    if abs(value) >= 1e6 and abs(value) < 1e15:
        return f"{value:.0f}"
    return f"{value:.6g}"


def percent(ratio: float) -> str:
    """A ratio as a percentage with at most two decimals, one below 10 %."""
    size = abs(ratio) * 100
    return f"{size:.0f} %" if size >= 100 else f"{size:.1f} %" if size >= 0.1 or size == 0 else f"{size:.2g} %"


def time_text(ms: int) -> str:
    """A time to the second, as RFC 3339."""
    return format_rfc3339(ms // 1000 * 1000)
