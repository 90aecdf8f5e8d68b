"""Asking an engine: what is sent, what is tried again, and how long."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qs

import httpx

from rulepush.config.sections import DatasourceConfig
from rulepush.datasource.engine import RemoteEngine
from rulepush.errors import DatasourceError, EvaluationError
from rulepush.http_client.build import build_client
from rulepush.http_client.config import NO_CLIENT_SETTINGS
from rulepush.model.labels import EMPTY_LABELS
from rulepush.model.sample import Sample
from rulepush.model.secret import Secret
from rulepush.rules.asking import Answer, Question
from tests.fakes import FakeClock

T = 1_700_000_000_250
CONFIG = DatasourceConfig("central", Secret("http://vm:8428/prefix"))
GOOD = httpx.Response(200, json={"status": "success", "data": {"resultType": "scalar", "result": [0, "1"]}})
LATE = httpx.Response(503, json={"status": "error", "errorType": "timeout", "error": "late"})


class FakeEngine:
    """Gives these answers, one after the other, the last for ever."""

    def __init__(self, *answers: httpx.Response | Exception):
        self.requests: list[httpx.Request] = []
        self.answers = list(answers)
        self.open = self.most_open = 0
        self.gate: asyncio.Event | None = None

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        if self.gate is not None:
            await self.gate.wait()
        self.open -= 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, content=answer.content, headers=answer.headers)


def play(
    fake: FakeEngine,
    story: Callable[[RemoteEngine, FakeClock], Awaitable[None]],
    config: DatasourceConfig = CONFIG,
) -> RemoteEngine:
    made: list[RemoteEngine] = []

    async def run() -> None:
        clock = FakeClock(T)
        client = build_client(NO_CLIENT_SETTINGS, "rulepush", transport=httpx.MockTransport(fake))
        engine = RemoteEngine(config, client, clock)
        made.append(engine)
        await story(engine, clock)
        await engine.aclose()

    asyncio.run(run())
    return made[0]


def asked(fake: FakeEngine, within_s: float = 15.0, advance: float = 60.0) -> tuple[Answer, RemoteEngine]:
    found: list[Answer] = []

    async def story(engine: RemoteEngine, clock: FakeClock) -> None:
        task = asyncio.ensure_future(engine.ask(Question("up == 0", T), within_s))
        await clock.advance(advance)
        found.append(await task)

    return found[0] if (engine := play(fake, story)) and found else [], engine


def test_a_question_is_an_instant_query_with_the_parameters_of_the_datasource() -> None:
    fake = FakeEngine(GOOD)

    async def story(engine: RemoteEngine, clock: FakeClock) -> None:
        assert await engine.ask(Question('up{a="ü"} == 0', T), 15.0) == [Sample(EMPTY_LABELS, T, 1.0)]

    config = DatasourceConfig("c", Secret("http://vm:8428/prefix"), params=(("dedup", "true"), ("nocache", "0")))
    play(fake, story, config)
    (request,) = fake.requests
    assert (request.method, request.url.path) == ("POST", "/prefix/api/v1/query")
    assert parse_qs(request.content.decode()) == {
        "query": ['up{a="ü"} == 0'],
        "time": ["1700000000.250"],
        "timeout": ["15000ms"],
        "dedup": ["true"],
        "nocache": ["0"],
    }


def test_an_engine_that_is_late_is_asked_again_within_the_interval() -> None:
    fake = FakeEngine(LATE, httpx.ConnectError("refused"), GOOD)
    answer, engine = asked(fake)
    assert answer == [Sample(EMPTY_LABELS, T, 1.0)]
    assert (engine.stats.questions, engine.stats.requests, engine.stats.retries, engine.stats.failures) == (1, 3, 2, 0)
    assert engine.health.failing_since is None


def test_asking_ends_with_the_interval_and_says_the_last_reason() -> None:
    fake = FakeEngine(LATE)
    answer, engine = asked(fake, within_s=1.0)
    assert isinstance(answer, DatasourceError)
    assert str(answer) == "HTTP status 503 Service Unavailable: late"
    assert len(fake.requests) == 2  # at 0 and 0.2 s; the next would be at 1.2 s
    assert engine.health.failing_since == T + 200
    assert engine.stats.failures == 1


def test_what_asking_again_cannot_help_is_asked_once() -> None:
    refused = httpx.Response(422, json={"status": "error", "errorType": "execution", "error": "many-to-many"})
    fake = FakeEngine(refused)
    answer, _ = asked(fake)
    assert isinstance(answer, DatasourceError)
    assert len(fake.requests) == 1


def test_an_engine_that_answers_is_well_although_the_result_is_none_of_a_rule() -> None:
    matrix = httpx.Response(200, json={"status": "success", "data": {"resultType": "matrix", "result": []}})
    answer, engine = asked(FakeEngine(matrix))
    assert isinstance(answer, EvaluationError)
    assert not isinstance(answer, DatasourceError)
    assert engine.health.last_answer == T


def test_at_most_max_concurrent_questions_are_under_way() -> None:
    fake = FakeEngine(GOOD)

    async def story(engine: RemoteEngine, clock: FakeClock) -> None:
        fake.gate = asyncio.Event()
        tasks = [asyncio.ensure_future(engine.ask(Question(f"m{i}", T), 15.0)) for i in range(9)]
        await clock.settle()
        assert fake.open == 3
        fake.gate.set()
        await asyncio.gather(*tasks)

    play(fake, story, DatasourceConfig("c", Secret("http://vm:8428"), max_concurrent=3))
    assert (fake.most_open, len(fake.requests)) == (3, 9)


def test_waiting_for_a_free_connection_ends_with_the_interval_too() -> None:
    """An engine that hangs must not hold up the groups whose questions are not even sent."""
    fake = FakeEngine(GOOD)

    async def story(engine: RemoteEngine, clock: FakeClock) -> None:
        fake.gate = asyncio.Event()
        first = asyncio.ensure_future(engine.ask(Question("slow", T), 15.0))
        await clock.settle()
        answer = await engine.ask(Question("quick", T), 0.05)
        assert isinstance(answer, DatasourceError)
        assert str(answer) == "no answer within 0.05s: 1 other questions (max_concurrent) are under way"
        fake.gate.set()
        assert await first == [Sample(EMPTY_LABELS, T, 1.0)]
        assert await engine.ask(Question("next", T), 15.0) == [Sample(EMPTY_LABELS, T, 1.0)]

    play(fake, story, DatasourceConfig("c", Secret("http://vm:8428"), max_concurrent=1))
    assert len(fake.requests) == 2
