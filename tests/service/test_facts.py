"""What the status page of a running service says."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from rulepush.errors import ConfigError
from rulepush.rules.sharding import RuleShard
from rulepush.service.app import App
from rulepush.service.facts import service_facts
from rulepush.site.facts import ServiceFacts
from tests.faults.inside import Inside


def facts(app: App) -> ServiceFacts:
    return service_facts(app.resources, app.ingestion, app.alerting, app.queries, app.reloader, 5)


def test_the_facts_are_those_of_the_service(tmp_path: Path) -> None:
    inside = Inside(tmp_path, "{alert: Hot, expr: m > 50}", targets=("a", "b"))
    inside.network.metrics = {"a": "m 99\nother 1\n", "b": "m 1\n"}
    inside.options = replace(inside.options, storage_path=tmp_path / "state", enable_target_bodies=True)

    async def go() -> None:
        async with inside.running() as app:
            await inside.clock.advance(30)
            found = facts(app)
            assert (found.started_at, found.targets, found.rules, found.rule_groups) == (5, 2, 1, 1)
            assert found.resident_bytes > 10 << 20
            assert {part.name for part in found.memory} >= {"samples", "labels", "lines", "bodies"}
            assert found.samples_scraped > found.samples_kept > 0
            assert found.series > 0
            assert (found.retention_ms, found.overload) == (0, "")
            assert found.listen_address == f"127.0.0.1:{app.port}"
            assert (found.reload.error, found.reload.failed_at) == ("", 0)
            storage = found.storage
            assert storage.path == str(tmp_path / "state")
            assert {file.name for file in storage.databases} >= {"alerts.db", "samples.db"}
            assert all(file.nbytes for file in storage.databases)
            assert (storage.writable, storage.failing) == (True, False)
            assert storage.free_bytes > 0
            assert storage.journal_written > 0
            (tmp_path / "prometheus.yml").write_text("mistake: 1\n")
            for _ in range(2):
                with pytest.raises(ConfigError):
                    await app.reload()
                await inside.clock.advance(10)
            reload = facts(app).reload
            assert "mistake" in reload.error
            assert reload.failed_at == inside.clock.now() - 20_000, "of the first failure in a row"

    asyncio.run(go())


def test_a_shard_says_which_it_is_and_what_it_leaves_to_others(tmp_path: Path) -> None:
    inside = Inside(tmp_path, "{alert: Hot, expr: m > 50}", targets=("a",))
    groups = ", ".join(f"{{name: g{i}, rules: [{{alert: A, expr: 'm > {i}'}}]}}" for i in range(9))
    (tmp_path / "rules.yml").write_text(f"groups: [{groups}]\n")
    inside.options = replace(inside.options, rule_shard=RuleShard(1, 3))

    async def go() -> None:
        async with inside.running() as app:
            found = facts(app)
            assert found.rule_shard == "1/3"
            assert 0 < found.rule_groups < 9
            assert found.rule_groups + found.groups_of_others == 9
            metrics = app.telemetry.render().decode()
            assert "\nrulepush_rule_shard 1" in metrics
            assert "\nrulepush_rule_shards 3" in metrics
            assert f"\nrulepush_rule_groups_of_other_shards {found.groups_of_others}" in metrics
            await app.reload()
            assert facts(app).rule_groups == found.rule_groups

    asyncio.run(go())


def test_without_a_directory_everything_is_in_memory(tmp_path: Path) -> None:
    inside = Inside(tmp_path, "{alert: Hot, expr: m > 50}", targets=("a",))
    assert inside.options.storage_path is None

    async def go() -> None:
        async with inside.running() as app:
            storage = facts(app).storage
            assert (storage.path, storage.databases, storage.failing) == ("", (), False)
            assert app.ingestion.jobs.bodies is None
            assert "bodies" not in {part.name for part in facts(app).memory}

    asyncio.run(go())
