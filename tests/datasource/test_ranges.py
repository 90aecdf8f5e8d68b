"""Asking an engine for the values of a chart: one request, bounded, apart from the rules' questions."""

from __future__ import annotations

from urllib.parse import parse_qsl

import httpx
import pytest

from rulepush.config.sections import DatasourceConfig
from rulepush.datasource.engine import RemoteEngine
from rulepush.datasource.ranges import MAX_CHART_BYTES
from rulepush.errors import DatasourceError, EvaluationError
from rulepush.model.labels import Labels
from rulepush.model.sample import Sample
from rulepush.model.secret import Secret
from tests.datasource.test_engine import FakeEngine, play
from tests.fakes import FakeClock

T = 1_700_000_000_250
CONFIG = DatasourceConfig("c", Secret("http://vm:8428/x"), params=(("tenant", "7"),))
SERIES = {"metric": {"i": "a"}, "values": [[1_700_000_000.25, "1"], [1_700_000_010.25, "NaN"]]}
GOOD = httpx.Response(200, json={"status": "success", "data": {"resultType": "matrix", "result": [SERIES]}})


def asked(fake: FakeEngine) -> tuple[list[Sample] | EvaluationError, RemoteEngine]:
    found: list[list[Sample] | EvaluationError] = []

    async def story(engine: RemoteEngine, _: FakeClock) -> None:
        try:
            found.append(await engine.ask_range("up > 1", T, T + 10_000, 10_000, 2.0))
        except EvaluationError as e:
            found.append(e)

    engine = play(fake, story, CONFIG)
    return found[0], engine


def test_it_is_a_range_query_with_the_parameters_of_the_datasource() -> None:
    fake = FakeEngine(GOOD)
    found, engine = asked(fake)
    assert isinstance(found, list)
    assert [(s.labels, s.ts) for s in found] == [(Labels.of(i="a"), T), (Labels.of(i="a"), T + 10_000)]
    (request,) = fake.requests
    assert str(request.url) == "http://vm:8428/x/api/v1/query_range"
    assert dict(parse_qsl(request.content.decode())) == {
        "query": "up > 1",
        "start": "1700000000.250",
        "end": "1700000010.250",
        "step": "10.000",
        "timeout": "2000ms",
        "nocache": "1",
        "tenant": "7",
    }
    assert (engine.stats.questions, engine.stats.requests, engine.health.last_answer) == (0, 0, None)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (httpx.Response(503, text="busy"), "HTTP status 503 Service Unavailable: "),
        (httpx.Response(200, text="<html>", headers={"Content-Type": "text/html"}), "an HTML page"),
        (httpx.Response(200, content=b" " * (MAX_CHART_BYTES + 1)), "more than 4 MiB, too much for a chart"),
        (httpx.ConnectError("connection refused"), "not reached: connection refused"),
    ],
)
def test_a_failure_is_said_at_once_and_says_nothing_of_the_rules(answer: httpx.Response | Exception, said: str) -> None:
    fake = FakeEngine(answer)
    found, engine = asked(fake)
    assert isinstance(found, DatasourceError)
    assert said in str(found)
    assert len(fake.requests) == 1
    assert engine.health.failing_since is None
