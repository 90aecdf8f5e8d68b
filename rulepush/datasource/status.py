"""DatasourceStatus: how an engine stands at one moment, for `/metrics` and the pages."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DatasourceStatus:
    """`address` is its URL without what is secret; times in ms. `questions` are queries of rules, of which `failures`
    got no answer; they took `requests` with `seconds` of waiting, `retries` of them asked again. `failing_since` is the
    first failure since the `last_answer`, `error` says why."""

    name: str
    address: str
    rules: int = 0
    questions: int = 0
    requests: int = 0
    retries: int = 0
    failures: int = 0
    seconds: float = 0.0
    last_answer: int | None = None
    failing_since: int | None = None
    error: str = ""

    @property
    def is_up(self) -> bool | None:
        """Whether the newest question was answered; None before the first."""
        if self.failing_since is not None:
            return False
        return None if self.last_answer is None else True

    @property
    def request_ms(self) -> float | None:
        """How long a request takes, on average since the start; None before the first has ended."""
        return self.seconds * 1000 / self.requests if self.requests else None
