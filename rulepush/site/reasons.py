"""The reasons of changes in the words of a reader's language. English is that of the API and the log."""

from __future__ import annotations

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
    ChangeReason.RULE_CHANGED: message("a reload changed the rule"),
    ChangeReason.EVALUATION_FAILED: message("the rule cannot be evaluated"),
    ChangeReason.EVALUATION_WORKS: message("the rule can be evaluated again"),
}


def reason_words(one: Transition) -> Message:
    """Why it changed."""
    return REASONS[one.reason]
