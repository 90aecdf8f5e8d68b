"""A process that scrapes one shard of the targets: what it says at the start and what it exposes."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from rulepush.__main__ import parse_arguments
from rulepush.cli.run import _options
from rulepush.errors import RulepushError
from rulepush.scrape.sharding import ScrapeSharding
from rulepush.service.app import App
from rulepush.service.loaded_config import load_config_and_rules
from rulepush.service.shard_warning import shard_warnings

SHARD = ScrapeSharding(2, 5)


def warnings(directory: Path, config: str, *exprs: str) -> list[str]:
    rules = "".join(f"  - {{alert: A{i}, expr: '{expr}'}}\n" for i, expr in enumerate(exprs))
    (directory / "rules.yml").write_text(f"groups:\n- name: g\n  rules:\n{rules}" if exprs else "groups: []\n")
    (directory / "prometheus.yml").write_text(config)
    loaded = load_config_and_rules(str(directory / "prometheus.yml"))
    return list(shard_warnings(SHARD, loaded.groups, loaded.config.scrape_configs))


@pytest.mark.parametrize(
    ("expr", "wide"),
    [
        ("up == 0", False),
        ("rate(x[5m]) > 1", False),
        ("sum by (instance) (rate(x[5m])) > 1", False),
        ("max without (mode) (x) > 1", False),
        ("sum(x) > 1", True),
        ("sum by (job) (x) > 1", True),
        ("max without (instance) (x) > 1", True),
        ("up == 0 and on(job) (count by (job) (up) > 1)", True),
        ("absent(up)", True),
        ("absent_over_time(up[5m])", True),
    ],
)
def test_a_rule_in_memory_that_means_every_target_is_named(tmp_path: Path, expr: str, wide: bool) -> None:
    said = warnings(tmp_path, "rule_files: [rules.yml]\n", "up == 0", expr)
    assert len(said) == wide
    if wide:
        assert "--scrape.shard 2/5: rules in memory see the targets of this shard only, and 1 of 2" in said[0]
        assert said[0].partition("absent: ")[2].startswith("A1. Evaluate those on a datasource")


def test_a_rule_on_a_datasource_sees_all_shards(tmp_path: Path) -> None:
    config = "datasources: [{name: vm, url: 'http://vm:8428', rule_files: [rules.yml]}]\n"
    assert warnings(tmp_path, config, "sum(x) > 1") == []


def test_relabelling_that_shards_as_well_is_told(tmp_path: Path) -> None:
    config = """scrape_configs:
- job_name: app
  relabel_configs:
  - {source_labels: [__address__], modulus: 3, target_label: __tmp_hash, action: hashmod}
  - {source_labels: [__tmp_hash], regex: "1", action: keep}
- job_name: other
"""
    (said,) = warnings(tmp_path, config)
    assert "relabel_configs of job app shard with hashmod as well" in said


def test_the_flags_reach_the_service_which_warns_and_exposes_its_shard(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "rules.yml").write_text("groups: [{name: g, rules: [{alert: Gone, expr: absent(up)}]}]\n")
    config = "rule_files: [rules.yml]\nscrape_configs: [{job_name: a, static_configs: [{targets: ['10.0.0.1:1']}]}]\n"
    (tmp_path / "prometheus.yml").write_text(config)
    flags = ["--config.file", str(tmp_path / "prometheus.yml"), "--web.listen-address=127.0.0.1:0"]
    shard = ["--scrape.shard=0/5", "--scrape.shard-replicas=2", "--scrape.shard-by=job"]
    args = parse_arguments(["run", *flags, *shard])
    caplog.set_level(logging.WARNING, "rulepush")

    async def play() -> str:
        app = App(_options(args))
        running = asyncio.ensure_future(app.run())
        while "rulepush_targets_of_other_shards 1" not in app.telemetry.render().decode():
            await asyncio.sleep(0)
            assert not running.done()
        app.stop()
        await running
        return app.telemetry.render().decode()

    exposed = asyncio.run(asyncio.wait_for(play(), 60))
    assert "rulepush_scrape_shard 0\n" in exposed
    assert "rulepush_scrape_shards 5\n" in exposed
    assert "rulepush_scrape_shard_replicas 2\n" in exposed
    assert [r.getMessage() for r in caplog.records if "--scrape.shard 0/5: rules in memory" in r.getMessage()]


def test_a_shard_that_is_none_is_refused_at_the_start(tmp_path: Path) -> None:
    args = parse_arguments(["run", "--config.file", str(tmp_path / "prometheus.yml"), "--scrape.shard=5/5"])
    with pytest.raises(RulepushError, match=r"5/5 is none of them: there are 5 shards, counted from 0"):
        _options(args)
