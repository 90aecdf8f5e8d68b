"""What the rules of a datasource ask, apart from the asking: the evaluation stays synchronous and does no I/O.

A rule is evaluated with the answers that there are. What is missing is noted, and the evaluation of that rule is given
up before anything has changed; whoever drives it (`RuleGroups.evaluate_on`) brings the answers, and it is evaluated
again, now to its end. One pass notes all that can be known to be missing, so that the queries in the templates of a
hundred alerts are asked side by side. The way of h11 and its like: the core says what it needs, I/O stands outside.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from rulepush.errors import EvaluationError
from rulepush.model.sample import Sample


@dataclass(frozen=True, slots=True)
class Question:
    """An instant query: the expression as it was written, and the time (ms). `is_range`: the result is the samples of
    a range selector, each with its own time."""

    expr: str
    ts: int
    is_range: bool = False


class AnswersMissing(Exception):
    """The evaluation cannot go on without answers that are not there yet. Nothing has changed; it is to be repeated."""


Answer = Sequence[Sample] | EvaluationError
"""The result of a query (a scalar is one sample without labels), or why there is none."""


class Answers:
    """Those of one evaluation of a group, and what is still asked for."""

    def __init__(self) -> None:
        self._known: dict[Question, Answer] = {}
        self._wanted: dict[Question, None] = {}

    def get(self, question: Question) -> list[Sample]:
        """The answer. Raises EvaluationError where the query failed, and AnswersMissing where it must be asked."""
        known = self._known.get(question)
        if known is None:
            self._wanted[question] = None
            raise AnswersMissing
        if isinstance(known, EvaluationError):
            raise known
        return list(known)

    def want(self, question: Question) -> None:
        """Note that it is needed; `check` raises then, unless it is known."""
        if question not in self._known:
            self._wanted[question] = None

    def check(self) -> None:
        """Raises AnswersMissing where something was asked for that is not known. Call it before anything changes."""
        if self._wanted:
            raise AnswersMissing

    def wanted(self) -> tuple[Question, ...]:
        """What is asked for, each once, in the order in which it came up."""
        return tuple(self._wanted)

    def bring(self, question: Question, answer: Answer) -> None:
        """Give the answer to one question."""
        self._known[question] = answer
        self._wanted.pop(question, None)

    def forget(self) -> None:
        """What was answered may be different now: a rule has written what others read."""
        self._known.clear()


class Datasource(Protocol):
    """An engine elsewhere."""

    async def ask(self, question: Question, within_s: float) -> Answer:
        """The answer, or why there is none, after about `within_s` seconds at the latest; raises nothing. How many are
        asked at a time is its own matter."""
        ...


async def bring_wanted(answers: Answers, datasource: Datasource, within_s: float) -> None:
    """Ask what is wanted, side by side."""
    wanted = answers.wanted()
    if len(wanted) == 1:  # nearly always: no tasks for it
        answers.bring(wanted[0], await datasource.ask(wanted[0], within_s))
        return
    asked = (datasource.ask(question, within_s) for question in wanted)
    for question, answer in zip(wanted, await asyncio.gather(*asked), strict=True):
        answers.bring(question, answer)
