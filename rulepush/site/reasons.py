"""The reasons of changes in the words of a reader's language. English is that of the API and the log."""

from __future__ import annotations

import re
from typing import Final

from rulepush.rules.transition import ChangeReason, Transition
from rulepush.site.language import Message, message

REASONS: Final = {
    ChangeReason.CONDITION_TRUE: message("the condition became true"),
    ChangeReason.FOR_ELAPSED: message("the condition has been true for as long as `for` asks"),
    ChangeReason.FOR_LONGER: message("a reload made `for` longer than the condition has been true"),
    ChangeReason.RESTORED: message("taken up again after a restart"),
    ChangeReason.KEPT_FIRING: message("the condition is no longer true, `keep_firing_for` goes on"),
    ChangeReason.TARGET_DOWN_HELD: message("held: its target cannot be scraped"),
    ChangeReason.SEEN_AGAIN: message("the condition is true again"),
    ChangeReason.CONDITION_FALSE: message("the condition is no longer true"),
    ChangeReason.NOT_IN_RESULT: message("no longer in the result of the expression"),
    ChangeReason.SERIES_GONE: message("its series is gone"),
    ChangeReason.TARGET_DOWN: message("its series is gone: its target cannot be scraped"),
    ChangeReason.TARGET_REMOVED: message("its series is gone: its target is no longer among the targets"),
    ChangeReason.OVER_LIMIT: message("more alerts than the `limit` of the group allows: all are dropped"),
    ChangeReason.STARTED_OVER: message("rulepush was down for too long: the `for` clock starts over"),
    ChangeReason.RULE_REMOVED: message("a reload removed its rule"),
    ChangeReason.OTHER_SHARD: message("another shard evaluates its rule now"),
    ChangeReason.RULE_CHANGED: message("a reload changed the rule"),
    ChangeReason.EVALUATION_FAILED: message("the rule cannot be evaluated"),
    ChangeReason.EVALUATION_WORKS: message("the rule can be evaluated again"),
    ChangeReason.HOLD_ENDED: message("its alerts are no longer sent on, for its datasource gives no answer"),
}


# What the rules write beside a reason, `; ` between the parts. Times and comparisons are the same in every language.
_DETAILS: Final = tuple(
    (re.compile(pattern), said)
    for pattern, said in (
        (r"fires after (?P<time>\S+)", message("fires after %(time)s")),
        (r"there is no `for`: it fires at once", message("there is no `for`: it fires at once")),
        (r"true for (?P<time>\S+)", message("true for %(time)s")),
        (r"`for` is (?P<time>\S+) now", message("`for` is %(time)s now")),
        (r"until (?P<time>\S+) have passed", message("until %(time)s have passed")),
        (
            r"`keep_firing_for` is over, kept for (?P<time>\S+)",
            message("`keep_firing_for` is over, kept for %(time)s"),
        ),
        (r"after (?P<time>\S+)", message("after %(time)s")),
        (r"held for (?P<time>\S+)", message("held for %(time)s")),
        (r"(?P<compared>.+) is not true", message("%(compared)s is not true")),
        (
            r"(?P<compared>.+) is true, another part of the expression is not",
            message("%(compared)s is true, another part of the expression is not"),
        ),
        (r"value (?P<value>\S+)", message("value %(value)s")),
    )
)
_AS_THEY_ARE: Final = frozenset(
    (
        ChangeReason.RULE_CHANGED,  # expressions
        ChangeReason.EVALUATION_FAILED,  # the error
        ChangeReason.TARGET_DOWN,
        ChangeReason.TARGET_REMOVED,
    )
)


def reason_words(one: Transition) -> Message:
    """Why it changed."""
    return REASONS[one.reason]


def detail_words(one: Transition) -> list[Message | str]:
    """What there is to say beside the reason, in parts; what has no translation, as an error has none, is a text."""
    if not one.detail:
        return []
    if one.reason in _AS_THEY_ARE:
        return [one.detail]
    return [_part(text) for text in one.detail.split("; ")]


def _part(text: str) -> Message | str:
    for pattern, said in _DETAILS:
        found = pattern.fullmatch(text)
        if found:
            return Message(said.text, found.groupdict())
    return text
