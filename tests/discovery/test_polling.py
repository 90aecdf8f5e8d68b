"""Poller, and what the reporter tells of a source that fails."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from rulepush.discovery.groups import Environment, GroupSink, TargetGroup
from rulepush.discovery.metrics import expose_discoveries
from rulepush.discovery.polling import Poller
from rulepush.discovery.reporter import FailingDiscovery
from rulepush.errors import DiscoveryError
from rulepush.model.labels import Labels
from rulepush.telemetry import Telemetry
from tests.discovery.driving import environment, running

GROUP = TargetGroup("g", (Labels({"__address__": "a:1"}),))


class Source:
    """Polled once a minute; fails while it has an `error`."""

    def __init__(self, env: Environment):
        self.env = env
        self.error = ""
        self.asked: list[float] = []

    async def run(self, sink: GroupSink) -> None:
        await Poller("http", "http://sd", 60, self._refresh, self.env).run(sink)

    async def _refresh(self) -> Sequence[TargetGroup]:
        self.asked.append(self.env.clock.monotonic())
        if self.error:
            raise DiscoveryError(self.error)
        return [GROUP]


def test_after_failures_it_asks_by_backoff_and_at_most_after_its_interval() -> None:
    async def go() -> None:
        source = Source(environment())
        source.error = "refused"
        async with running(source, source.env) as seen:
            await seen.clock.advance(200)
            assert source.asked == [0, 5, 15, 35, 75, 135, 195]
            source.error = ""
            await seen.clock.advance(60)
            assert seen.lists == [[GROUP]]
            source.error = "refused"
            await seen.clock.advance(65)
            assert source.asked[7:] == [255, 315, 320]

        early = Source(replace(environment(), chance=lambda: 1.0))
        early.error = "refused"
        async with running(early, early.env) as seen:
            await seen.clock.advance(20)
            assert early.asked == [0, 4, 12]

    asyncio.run(go())


def test_what_fails_is_told_with_its_error_and_since_when(caplog: pytest.LogCaptureFixture) -> None:
    async def go() -> None:
        source = Source(environment())
        reporter = source.env.reporter
        telemetry = Telemetry()
        expose_discoveries(telemetry, reporter, lambda: {"app": 3}, lambda: {"app": 1_500, "new": 0})

        def metrics() -> list[str]:
            lines = telemetry.render().decode().splitlines()
            return [line for line in lines if line.startswith("rulepush_discovery") and "updates" not in line]

        async with running(source, source.env) as seen:
            assert metrics() == [
                'rulepush_discovery_refreshes_total{mechanism="http"} 1',
                'rulepush_discovery_failures_total{mechanism="http"} 0',
                'rulepush_discovery_failing_sources{mechanism="http"} 0',
                'rulepush_discovery_failing_seconds{mechanism="http"} 0',
                'rulepush_discovery_discovered_targets{config="app"} 3',
                'rulepush_discovery_last_update_timestamp_seconds{config="app"} 1.5',
            ]
            source.error = "refused"
            await seen.clock.advance(60)
            since = seen.clock.now()
            source.error = "no route"
            reporter.failed("http", "http://other", "timeout")
            await seen.clock.advance(100)
            assert reporter.failing() == {
                "http http://sd": FailingDiscovery("no route", since),
                "http http://other": FailingDiscovery("timeout", since),
            }
            reporter.succeeded("http", "http://other")
            assert metrics()[2:4] == [
                'rulepush_discovery_failing_sources{mechanism="http"} 1',
                'rulepush_discovery_failing_seconds{mechanism="http"} 100',
            ]
            assert caplog.text.count("http discovery of http://sd failed") == 2
            assert seen.lists == [[GROUP]], "the last good list stays"
        assert reporter.failing() == {}, "nobody asks any more"
        assert 'failing_seconds{mechanism="http"} 0' in telemetry.render().decode()

    asyncio.run(go())
