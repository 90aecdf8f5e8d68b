"""What one execution of a template may use."""

from __future__ import annotations

from dataclasses import dataclass, field

from rulepush.gotext.errors import TemplateLimitError


@dataclass(frozen=True, slots=True)
class TemplateLimits:
    """Bounds of one execution. Steps stand for time: a node or an argument evaluated, or 1,000 characters made."""

    max_output: int = 1 << 20  # characters, of the whole output and of any one string on the way to it
    max_depth: int = 60  # templates and control structures within each other
    max_steps: int = 500_000


MAX_TEXT = 1 << 21
"""The longest text, in characters, that one call of a function may build up; what checks it afterwards is smaller."""


class OutputBudget:
    """What is left of MAX_TEXT while one text is built."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left = MAX_TEXT

    def take(self, text: str) -> str:
        """Count a piece; an empty one counts too, so that pieces without end come to an end."""
        self._left -= len(text) + 1
        if self._left < 0:
            raise TemplateLimitError(f"template makes a text of more than {MAX_TEXT} characters")
        return text


@dataclass(slots=True)
class ExecutionBudget:
    """What is left of the limits while a template runs."""

    limits: TemplateLimits
    steps: int = 0
    size: int = 0
    parts: list[str] = field(default_factory=list)

    def step(self, count: int = 1) -> None:
        self.steps += count
        if self.steps > self.limits.max_steps:
            raise TemplateLimitError(f"template takes more than {self.limits.max_steps} steps")

    def check_text(self, text: str) -> None:
        """For a string that a function made."""
        if len(text) > self.limits.max_output:
            raise TemplateLimitError(f"template makes a text of more than {self.limits.max_output} characters")
        self.step(len(text) // 1000)

    def write(self, text: str) -> None:
        self.size += len(text)
        if self.size > self.limits.max_output:
            raise TemplateLimitError(f"template writes more than {self.limits.max_output} characters")
        self.parts.append(text)
