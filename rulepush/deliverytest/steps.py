"""The steps of a delivery test, as they are told."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import Enum
from typing import Protocol


class StepState(Enum):
    """How a step ended."""

    OK = "ok"
    FAILED = "failed"
    UNSEEN = "unseen"  # nothing speaks against it, and nothing that can be asked from here tells it


@dataclass(frozen=True, slots=True)
class Step:
    """One step. `cure` says what to do, "" when there is nothing to do."""

    state: StepState
    text: str
    cure: str = ""


class StepReport(Protocol):
    """Is told of each step as it ends, and of each wait as it begins."""

    def step(self, step: Step) -> None: ...
    def waiting(self, seconds: float, what: str) -> AbstractAsyncContextManager[None]: ...


def overall(steps: Iterable[Step]) -> StepState:
    """How the test ended: OK only if everything was seen."""
    states = {step.state for step in steps}
    worst = (StepState.FAILED, StepState.UNSEEN)
    return next((state for state in worst if state in states), StepState.OK)
