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
    # of one element that it dropped
    UNDER = "under"
    OVER = "over"
    AWAY = "away"
    EQUAL = "equal"
    NOT_COMPARABLE = "not-comparable"
    # of two sides
    LEFT_EMPTY = "left-empty"
    RIGHT_EMPTY = "right-empty"
    NO_PARTNER = "no-partner"
    RIGHT_ALONE = "right-no-partner"
    EXCLUDED = "excluded"
    DIFFERS = "differs"
    LEFT_MISSING = "left-missing"
    RIGHT_MISSING = "right-missing"
    ALSO = "also"
    NO_LABELS = "no-labels"
    NEAREST_PARTNER = "nearest-partner"
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
    ONE_TARGET = "one-target"
    ANY_TARGET = "any-target"
    UNREAD = "unread"
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
    ReasonKind.DROPPED: "%(op)s %(threshold)s drops %(dropped)s of %(count)s",
    ReasonKind.NAN: "%(count)s of %(total)s values are NaN: no comparison with NaN holds",
    ReasonKind.UNDER: "%(value)s is %(difference)s under %(threshold)s%(relative)s",
    ReasonKind.OVER: "%(value)s is %(difference)s over %(threshold)s%(relative)s",
    ReasonKind.AWAY: "%(value)s is %(difference)s away from %(threshold)s%(relative)s",
    ReasonKind.EQUAL: "%(value)s is the threshold itself, and `%(op)s` excludes it",
    ReasonKind.NOT_COMPARABLE: "%(value)s, compared with %(threshold)s",
    ReasonKind.LEFT_EMPTY: "the left side of `%(op)s` is empty",
    ReasonKind.RIGHT_EMPTY: "the right side of `%(op)s` is empty",
    ReasonKind.NO_PARTNER: "%(count)s of %(total)s on the left find no partner for `%(op)s`: %(difference)s",
    ReasonKind.RIGHT_ALONE: "%(count)s of %(total)s on the right find no partner for `%(op)s`: %(difference)s",
    ReasonKind.EXCLUDED: "`unless` removes %(count)s of %(total)s: the right side has the same %(labels)s",
    ReasonKind.DIFFERS: "%(label)s is %(left)s on the left and %(right)s on the right",
    ReasonKind.LEFT_MISSING: "%(label)s is missing on the left and %(right)s on the right",
    ReasonKind.RIGHT_MISSING: "%(label)s is %(left)s on the left and missing on the right",
    ReasonKind.ALSO: "%(first)s; %(rest)s",
    ReasonKind.NO_LABELS: "no element has the labels of another",
    ReasonKind.NEAREST_PARTNER: "%(labels)s has no match, the nearest differs: %(difference)s",
    ReasonKind.NOT_SEEN: "no series: %(metric)s was not seen on %(where)s: it is not in the last scrape, and no sample "
    "of it is kept",
    ReasonKind.NO_TARGET: "no target has %(labels)s",
    ReasonKind.NOT_SCRAPED: "no target could be scraped yet",
    ReasonKind.RELABELLED: "%(where)s exposes %(metric)s, and metric_relabel_configs drops it",
    ReasonKind.NOT_KEPT_YET: "%(where)s exposes it, and it is kept from the next scrape on",
    ReasonKind.RECORDED: "the recording rule %(rule)s (group %(group)s) writes it, and has no result: explain %(rule)s",
    ReasonKind.ENDED: "%(count)s series ended at %(time)s: the scrapes since do not have them",
    ReasonKind.TOO_OLD: "%(count)s series have no sample in the last %(lookback)s",
    ReasonKind.TARGET_DOWN: "target %(target)s is down since %(time)s: %(error)s",
    ReasonKind.TARGET_GONE: "no target has %(labels)s any more",
    ReasonKind.ONE_TARGET: "target %(url)s (%(job)s)",
    ReasonKind.ANY_TARGET: "any of the %(count)s targets of %(jobs)s",
    ReasonKind.UNREAD: "%(count)s targets expose too much to look at",
    ReasonKind.FOUND: "%(message)s",
    ReasonKind.TOO_FEW_SAMPLES: "%(count)s of %(total)s series have fewer than two samples in %(range)s, so "
    "%(function)s() gives nothing for them",
    ReasonKind.ABSENT_FALSE: "%(function)s() gives nothing: its argument has %(count)s series",
    ReasonKind.SCALAR_NAN: "scalar() is NaN: its argument has %(count)s elements, not one",
    ReasonKind.DIVIDED_BY_ZERO: "%(count)s of %(total)s results are NaN: 0 / 0, or an operand is NaN",
    ReasonKind.RESULT: "%(count)s in the result",
    ReasonKind.VALUE: "the value is %(value)s",
    ReasonKind.FAILS: "%(expr)s: %(error)s",
    ReasonKind.NEAREST: "the nearest: %(labels)s: %(missed)s",
    ReasonKind.FIRES_AT: "in the result since %(since)s; fires at the evaluation of %(time)s (in %(left)s) if it "
    "stays so: `for` is %(duration)s",
    ReasonKind.NO_FOR: "in the result since %(since)s; fires at the next evaluation",
    ReasonKind.FIRING_SINCE: "firing since %(time)s, active since %(since)s",
    ReasonKind.KEPT_FIRING: "no longer in the result since %(since)s, kept firing until %(time)s: `keep_firing_for` is "
    "%(duration)s",
    ReasonKind.HELD: "held since %(since)s (its target cannot be scraped), until %(time)s at the latest",
    ReasonKind.NO_LONGER: "no longer in the result",
    ReasonKind.MISSED: "%(labels)s: %(missed)s",
    ReasonKind.SERIES_GONE: "its series are gone: the last scrape of its target does not have them",
    ReasonKind.RESOLVED_AT: "resolved at %(time)s, fired at %(fired)s",
    ReasonKind.RETURNED: "in the result again: the next evaluation makes a new alert of it",
    ReasonKind.TRANSITION: "%(message)s",
}


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason. `values` are those of the sentence of its kind, by name; one may be a reason itself. `suggestion` is
    what to do, or ""."""

    kind: ReasonKind
    values: tuple[tuple[str, str | Reason], ...] = ()
    suggestion: str = ""

    @property
    def message(self) -> str:
        """The English sentence."""
        return WORDS[self.kind] % {name: v.message if isinstance(v, Reason) else v for name, v in self.values}


def because(kind: ReasonKind, suggestion: str = "", /, **values: object) -> Reason:
    """A reason; its values as texts, but for those that are reasons themselves."""
    texts = tuple((name, v if isinstance(v, Reason) else str(v)) for name, v in values.items())
    return Reason(kind, texts, suggestion)


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
