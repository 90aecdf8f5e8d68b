"""A crash loses the last second of samples: what they ended does not begin again after the restart, on fake time."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults.inside import FakeNetwork, Inside

RULES = "{alert: Now, expr: m > 50}, {alert: Late, expr: m > 50, for: 3m}"

pytestmark = pytest.mark.e2e


def end(network: FakeNetwork, how: str) -> None:
    """What the alerts are about is over: in its value, with its series, with its target."""
    match how:
        case "value":
            network.metrics |= {"a": "m 1\n"}
        case "series":
            network.metrics |= {"a": "n 1\n"}
        case "target":
            network.down.add("a")


@pytest.mark.parametrize("how", ["value", "series", "target"])
@pytest.mark.parametrize("over_after_s", [120, 600])  # Late is pending, or fires
def test_an_alert_whose_end_was_lost_does_not_fire_again(tmp_path: Path, over_after_s: int, how: str) -> None:
    state, before = tmp_path / "state", tmp_path / "before"

    async def go() -> None:
        inside = Inside(tmp_path, RULES, scrape="1m", evaluate="15s", targets=("a",))
        inside.options = replace(inside.options, storage_path=state)
        network, clock = inside.network, inside.clock
        network.metrics |= {"a": "m 99\n"}
        async with inside.running():
            await clock.advance(over_after_s)
        shutil.copytree(state, before)
        end(network, how)
        async with inside.running():
            await clock.advance(150)  # two scrapes: until then nothing that is missing counts as gone
            assert network.firing() == set()
        shutil.copy(before / "samples.db", state / "samples.db")
        sent_before = len(network.received["am1"])
        async with inside.running():
            await clock.advance(5 * 60)
        assert [p for p in network.received["am1"][sent_before:] if not p.resolved] == []
        assert len({p.starts_at for p in network.received["am1"] if p.name == "Now"}) == 1

    asyncio.run(go())


def test_what_is_new_fires_although_a_discovery_never_answers(tmp_path: Path) -> None:
    async def go() -> None:
        inside = Inside(tmp_path, RULES, scrape="15s", evaluate="15s", targets=("a",))
        config = tmp_path / "prometheus.yml"
        away = "- {job_name: away, http_sd_configs: [{url: 'http://away/'}]}"
        config.write_text(config.read_text().replace("alerting:", f"{away}\nalerting:"))
        network, clock = inside.network, inside.clock
        network.down.add("away")
        network.metrics |= {"a": "m 99\n"}
        async with inside.running():
            await clock.advance(20)
            assert network.firing() == set()
            await clock.advance(25)
            assert network.firing() == {"a Now"}

    asyncio.run(go())


@pytest.mark.parametrize("how", ["series", "target"])
def test_what_went_away_during_the_downtime_does_not_start_to_fire(tmp_path: Path, how: str) -> None:
    async def go() -> None:
        inside = Inside(tmp_path, RULES.split("},")[1], targets=("a",))
        inside.options = replace(inside.options, storage_path=tmp_path / "state")
        network, clock = inside.network, inside.clock
        network.metrics |= {"a": "m 99\n"}
        async with inside.running():
            await clock.advance(150)
        end(network, how)
        async with inside.running():
            await clock.advance(10 * 60)
        assert network.received["am1"] == []

    asyncio.run(go())


def test_what_needs_two_samples_does_not_fire_for_the_want_of_one(tmp_path: Path) -> None:
    async def go() -> None:
        rules = '{alert: NoTraffic, expr: "absent(rate(m[1m]))"}, {alert: Now, expr: m > 50}'
        inside = Inside(tmp_path, rules, scrape="15s", evaluate="5s", targets=("a",))
        inside.network.metrics |= {"a": "m 99\n"}
        async with inside.running():
            await inside.clock.advance(20)
            assert inside.network.firing() == {"a Now"}
            await inside.clock.advance(5 * 60)
        assert {p.name for p in inside.network.received["am1"]} == {"Now"}

    asyncio.run(go())
