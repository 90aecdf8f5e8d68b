"""RemoteEngine: asks an engine with the Prometheus HTTP API, as the datasource of rule groups."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import quote_plus, urlencode

from rulepush.clock import Clock
from rulepush.config.sections import DatasourceConfig
from rulepush.datasource.answer import RetryableError, samples_of
from rulepush.datasource.request import params_of, post_query
from rulepush.datasource.status import DatasourceStatus
from rulepush.errors import DatasourceError, EvaluationError
from rulepush.model.sample import Sample
from rulepush.rules.asking import Answer, Question

if TYPE_CHECKING:
    from rulepush.http_client.on_demand import AnyClient

log = logging.getLogger("rulepush.datasource")

MAX_ANSWER_BYTES: Final = 64 << 20
_BACKOFFS: Final = (0.2, 1.0, 3.0)  # seconds before the second, third and fourth attempt
_REMEMBERED: Final = 4096  # expressions


@dataclass(slots=True)
class DatasourceStats:
    """Plain numbers, for `/metrics`. `failures` are questions without an answer, by their last error; `seconds` those
    in which requests were under way."""

    questions: int = 0
    requests: int = 0
    retries: int = 0
    failures: int = 0
    seconds: float = 0.0


@dataclass(slots=True)
class DatasourceHealth:
    """How the engine is: times (ms) of the last answer, and since when it gives none, with the last reason."""

    last_answer: int | None = None
    failing_since: int | None = None
    last_error: str = ""


@dataclass(slots=True)
class _Slots:
    """One connection each: at most as many questions are under way."""

    free: list[int]
    waiting: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        self.waiting = asyncio.Semaphore(len(self.free))


class RemoteEngine:
    """`stats` and `health` are for telemetry and the pages."""

    def __init__(self, config: DatasourceConfig, client: AnyClient, clock: Clock):
        self.config = config
        self.stats = DatasourceStats()
        self.health = DatasourceHealth()
        self._client = client
        self._clock = clock
        self._url = f"{config.url.reveal()}/api/v1/query"
        self._slots = _Slots(list(range(config.max_concurrent)))
        self._quoted_exprs: dict[str, str] = {}
        self._params = f"&{urlencode(params_of(config))}"

    def status(self, rules: int = 0) -> DatasourceStatus:
        """How it stands, with the number of rules that ask it."""
        from rulepush.http_client.client import shown_url

        stats, health = self.stats, self.health
        return DatasourceStatus(
            self.config.name,
            shown_url(self.config.url.reveal()),
            rules,
            stats.questions,
            stats.requests,
            stats.retries,
            stats.failures,
            stats.seconds,
            health.last_answer,
            health.failing_since,
            health.last_error,
        )

    async def ask(self, question: Question, within_s: float) -> Answer:
        """The answer, or why there is none. Asks again while `within_s` seconds have not passed."""
        self.stats.questions += 1
        try:
            found = await self._tried(question, self._clock.monotonic() + within_s)
        except DatasourceError as e:
            self._failed(e)
            return e
        except EvaluationError as e:  # of the expression: the engine has answered
            self._answered()
            return e
        except Exception as e:  # a bug in rulepush must not stop the group: its alerts are sent on, as without answer
            log.exception("Asking a datasource crashed: datasource=%s", self.config.name)
            crash = DatasourceError(f"internal error: {type(e).__name__}: {e}")
            self._failed(crash)
            return crash
        self._answered()
        return found

    async def _tried(self, question: Question, deadline: float) -> list[Sample]:
        for backoff in self._backoffs():
            try:
                return await self._asked(question, deadline)
            except RetryableError:
                if backoff is None or self._clock.monotonic() + backoff >= deadline:
                    raise
                self.stats.retries += 1
                await self._clock.sleep(backoff)
        raise AssertionError("the last attempt raises or returns")

    @staticmethod
    def _backoffs() -> Iterator[float | None]:
        yield from _BACKOFFS
        yield None

    async def _asked(self, question: Question, deadline: float) -> list[Sample]:
        """One request, which ends at `deadline` (monotonic seconds) at the latest. Raises EvaluationError."""
        await self._free_slot(deadline - self._clock.monotonic())
        try:
            slot = self._slots.free.pop()
            began = self._clock.monotonic()
            seconds = min(self.config.timeout_ms / 1000, deadline - began)
            at = f"{question.ts // 1000}.{question.ts % 1000:03d}"
            within = f"{max(1, round(seconds * 1000))}ms"
            content = f"query={self._quoted(question.expr)}&time={at}&timeout={within}{self._params}".encode()
            self.stats.requests += 1
            try:
                got = await post_query(self._client, self._url, content, seconds, MAX_ANSWER_BYTES, owner=(self, slot))
            finally:
                self.stats.seconds += self._clock.monotonic() - began
                self._slots.free.append(slot)
        finally:
            self._slots.waiting.release()
        if len(got.text) >= MAX_ANSWER_BYTES:
            raise DatasourceError(f"the answer has more than {MAX_ANSWER_BYTES >> 20} MiB")
        content_type = got.headers.get("content-type", "")
        # VictoriaMetrics stores no NaN but stale markers, and shows them as NaN in the samples of a range.
        nan_is_stale = "x-server-hostname" in got.headers
        return samples_of(
            got.status,
            got.phrase,
            content_type,
            got.text,
            question.ts,
            is_range=question.is_range,
            nan_is_stale=nan_is_stale,
        )

    async def _free_slot(self, seconds: float) -> None:
        """Wait until a question may be sent: an engine that hangs must not hold up those who wait for long."""
        try:
            async with asyncio.timeout(seconds):
                await self._slots.waiting.acquire()
        except TimeoutError:
            text = f"no answer within {seconds:g}s: {self.config.max_concurrent} other questions (max_concurrent) are"
            raise RetryableError(f"{text} under way") from None

    def _quoted(self, expr: str) -> str:
        known = self._quoted_exprs.get(expr)
        if known is None:
            if len(self._quoted_exprs) >= _REMEMBERED:  # templates make ever new ones
                self._quoted_exprs.clear()
            known = self._quoted_exprs[expr] = quote_plus(expr)
        return known

    def _answered(self) -> None:
        self.health.last_answer = self._clock.now()
        self.health.failing_since, self.health.last_error = None, ""

    def _failed(self, error: DatasourceError) -> None:
        self.stats.failures += 1
        if self.health.failing_since is None:
            self.health.failing_since = self._clock.now()
        self.health.last_error = str(error)

    async def ask_range(self, expr: str, start: int, end: int, step: int, within_s: float) -> list[Sample]:
        """For a chart: see `values_over_time`. What becomes of it says nothing of the rules' questions."""
        from rulepush.datasource.ranges import values_over_time

        within_s = min(within_s, self.config.timeout_ms / 1000)
        return await values_over_time(self._client, self.config, expr, start, end, step, within_s)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()
