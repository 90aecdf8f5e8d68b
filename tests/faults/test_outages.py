"""Outages of minutes and hours, on fake time: nothing is lost, nothing is doubled, memory stays bounded."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from rulepush.notifier.store import SCHEMA, SqliteUndelivered
from rulepush.storage.database import Database
from tests.faults.inside import Inside

RULES = "{alert: Now, expr: m > 50}, {alert: Late, expr: m > 50, for: 10m}"

pytestmark = pytest.mark.e2e


def outbox(inside: Inside, host: str) -> int:
    """How many alerts wait for this Alertmanager."""
    assert inside.app is not None
    return next(len(loop.outbox) for loop in inside.app.alerting.notifier.loops if f"//{host}/" in loop.url)


def test_an_alertmanager_that_is_down_for_an_hour_hears_the_newest_state_of_every_alert_once(tmp_path: Path) -> None:
    async def go() -> None:
        inside = Inside(tmp_path, RULES, targets=("a", "b", "c"))
        network, clock = inside.network, inside.clock
        network.metrics |= {"a": "m 99\n", "b": "m 1\n", "c": "m 1\n"}
        async with inside.running():
            await clock.advance(60)
            assert network.firing("am1") == network.firing("am2") == {"a Now"}
            network.down.add("am1")
            before = len(network.received["am1"])
            network.metrics |= {"a": "m 1\n", "b": "m 99\n"}  # a resolves, b fires
            for _ in range(10):  # c comes and goes
                network.metrics |= {"c": "m 99\n"}
                await clock.advance(60)
                network.metrics |= {"c": "m 1\n"}
                await clock.advance(60)
            assert network.firing("am2") == {"b Now", "b Late"}  # the other one hears everything meanwhile
            await clock.advance(40 * 60)
            assert outbox(inside, "am1") == 4, "one entry an alert, however long it lasts"
            assert network.posts["am1"] < 200, "attempts back off"
            network.down.clear()
            await clock.advance(31)
            assert outbox(inside, "am1") == 0
            assert network.firing("am1") == {"b Now", "b Late"}
            received = network.received["am1"][before:][:4]  # after these, those that fire come again in their rhythm
            assert sorted(f"{p.labels.get('instance')} {p.name}" for p in received) == [
                "a Now",
                "b Late",
                "b Now",
                "c Now",
            ]
            assert all(p.ends_at >= p.starts_at for p in received)
            assert next(p for p in received if p.labels.get("instance") == "b" and p.name == "Late").starts_at == (
                network.view("am2")["b Late"].starts_at
            )

    asyncio.run(go())


@pytest.mark.parametrize("status", [500, 503, 429, 404, 401])
def test_no_answer_but_a_refusal_of_the_content_loses_an_alert(tmp_path: Path, status: int) -> None:
    async def go() -> None:
        inside = Inside(tmp_path, RULES, targets=("a",))
        network, clock = inside.network, inside.clock
        async with inside.running():
            network.status["am1"] = status
            network.metrics |= {"a": "m 99\n"}
            await clock.advance(20 * 60)
            network.metrics |= {"a": "m 1\n"}
            await clock.advance(20 * 60)
            assert network.received["am1"] == []
            network.status.clear()
            await clock.advance(60)
            assert {f"{p.name} {p.resolved}" for p in network.received["am1"]} == {"Now True", "Late True"}

    asyncio.run(go())


def test_a_target_that_is_down_for_an_hour_resolves_its_alerts_and_they_fire_again(tmp_path: Path) -> None:
    """As Prometheus does; `alerting.hold_on_scrape_failure` is tested with the rules."""

    async def go() -> None:
        inside = Inside(tmp_path, RULES + ", {alert: Down, expr: up == 0, for: 1m}", targets=("a", "b"))
        network, clock = inside.network, inside.clock
        network.metrics |= {"a": "m 99\n", "b": "m 99\n"}
        async with inside.running():
            await clock.advance(20 * 60)
            network.down.add("a")
            await clock.advance(60 * 60)
            assert network.firing() == {"a Down", "b Now", "b Late"}
            network.down.clear()
            await clock.advance(5 * 60)
            assert network.firing() == {"a Now", "b Now", "b Late"}
            await clock.advance(10 * 60)
            assert network.firing() == {"a Now", "a Late", "b Now", "b Late"}
            starts = {
                p.starts_at for p in network.received["am1"] if f"{p.labels.get('instance')} {p.name}" == "b Late"
            }
            assert len(starts) == 1, "the other target's alert did not notice"

    asyncio.run(go())


@pytest.mark.parametrize("away", ["unreachable", "not configured"])
def test_a_resolution_that_the_alert_outran_is_not_sent_after_a_restart(tmp_path: Path, away: str) -> None:
    """An Alertmanager is away while an alert resolves and fires again; after a kill it hears of the firing one only.

    Where its outbox stays, the resolution is taken back from the file when the alert fires again. Where it is gone for
    a while there is no outbox, and the resolution is taken back when the Alertmanager is there again.
    """
    config, url = tmp_path / "prometheus.yml", "http://am1/api/v2/alerts"

    def kept(state: Path) -> list[str]:
        database = Database(state / "alerts.db", SCHEMA)
        try:
            return [a.labels.get("alertname") for a in SqliteUndelivered(database).load(url)]
        finally:
            database.close()

    async def go() -> None:
        inside = Inside(tmp_path, "{alert: Now, expr: m > 50}", targets=("a",))
        inside.options = replace(inside.options, storage_path=tmp_path / "state")
        network, clock, whole = inside.network, inside.clock, config.read_text()
        network.metrics["a"] = "m 99\n"
        async with inside.running() as app:
            await clock.advance(60)
            assert network.firing("am1") == {"a Now"}
            network.down.add("am1")
            network.metrics["a"] = "m 1\n"
            await clock.advance(60)
            assert kept(tmp_path / "state") == ["Now"]
            if away == "not configured":
                config.write_text(whole.replace("[am1, am2]", "[am2]"))
                await app.reload()
            network.metrics["a"] = "m 99\n"
            await clock.advance(60)
            assert network.firing("am2") == {"a Now"}
            assert kept(tmp_path / "state") == ([] if away == "unreachable" else ["Now"])
            shutil.copytree(tmp_path / "state", tmp_path / "killed")
            network.down.clear()
        config.write_text(whole)
        inside.options = replace(inside.options, storage_path=tmp_path / "killed")
        before = len(network.received["am1"])
        async with inside.running():
            await clock.advance(120)
        received = network.received["am1"][before:]
        assert received
        assert [p for p in received if p.resolved] == []

    asyncio.run(go())
