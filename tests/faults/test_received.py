"""Samples that are received, not scraped: when they come again after a restart is not known."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from rulepush.model.labels import Labels
from rulepush.model.sample import Sample
from rulepush.push.bodies import parse_push_text
from rulepush.service.app import App
from tests.faults.inside import Inside

# After a short downtime the second one, after a long one both are missing from the result of the first evaluation.
RULES = "{alert: Value, expr: m > 50}, {alert: Often, expr: 'count_over_time(m[40s]) >= 2'}"
BOTH = {"x Value", "x Often"}
GROUP = (("job", "j"), ("instance", "x"))

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("way", ["remote write", "push"])
@pytest.mark.parametrize("downtime_s", [30, 600])
def test_what_fires_on_received_samples_does_not_resolve_because_of_a_restart(
    tmp_path: Path, way: str, downtime_s: int
) -> None:
    inside = Inside(tmp_path, RULES, targets=())
    remote = way == "remote write"
    inside.options = replace(
        inside.options, storage_path=tmp_path / "state", enable_remote_write=remote, enable_push=not remote
    )
    network, clock = inside.network, inside.clock

    async def written(app: App, times: int) -> None:
        for _ in range(times):
            app.resources.head.append_many([Sample(Labels({"__name__": "m", "instance": "x"}), clock.now(), 99.0)])
            await clock.advance(10)

    async def story() -> None:
        async with inside.running() as app:
            if app.ingestion.push is not None:
                app.ingestion.push.groups.push(GROUP, parse_push_text(b"m 99\n"), True, clock.now(), None)
            await written(app, 30 if remote else 0)
            await clock.advance(0 if remote else 300)
        assert network.firing() == BOTH
        await clock.advance(downtime_s)
        async with inside.running() as app:
            await clock.advance(40)  # a sender tries again in its own time
            await written(app, 60 if remote else 0)
            assert network.resolutions() == []
            assert network.firing() == BOTH
            await clock.advance(11 * 60)
            assert network.firing() == (set() if remote else BOTH)

    asyncio.run(story())
