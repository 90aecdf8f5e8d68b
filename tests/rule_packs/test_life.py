"""Two hours in the life of Nacos servers on which nothing is wrong: they are restarted one after the other, a scrape
fails for some minutes, the applications are deployed, the watcher itself pauses. Only what says so may fire."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from rulepush.exposition import Format, parse_body
from rulepush.model.labels import Labels
from rulepush.nacos.fake_server import FakeNacos
from rulepush.packs import pack
from tests.fakes import FakeClock

STEP_S = 30
STEPS = 2 * 3600 // STEP_S
RESTARTS_AT, RESTART_EVERY, DOWN_FOR = 60, 10, 3  # in steps: from 30 min on, every 5 min, 90 s each
GAP = range(140, 147)  # one server cannot be scraped from 70 min on
DEPLOYMENT = range(160, 170)  # from 80 min on
PAUSE = range(190, 198)  # nothing is scraped from 95 min on
RELEASES = ("1.4", "2.0", "2.2", "2.4", "3.0")
START = 1_700_000_000_000


def _is_down(server: int, step: int) -> bool:
    begins = RESTARTS_AT + RESTART_EVERY * server
    return begins <= step < begins + DOWN_FOR


def _live(fakes: list[FakeNacos], step: int, now: int) -> None:
    """What `step` brings for each server."""
    started = [step - (RESTARTS_AT + RESTART_EVERY * i + DOWN_FOR) for i in range(len(fakes))]
    running = [not _is_down(i, step) for i in range(len(fakes))]
    restarting = max(
        0, min(len(fakes) - 1, (step - RESTARTS_AT) // RESTART_EVERY)
    )  # the last or the first one, outside
    for i, fake in enumerate(fakes):
        if started[i] == 0:
            fake.restart(now)
            fake.grpc_rejected = 300  # clients that come back before the server knows them
        loading = 0 <= started[i] < 3
        fake.leader = running[i] and i == (restarting + 1) % len(fakes)
        fake.services, fake.instances, fake.configs = (0, 0, 0) if loading else (107, 181, 3760)
        # Clients go to the other servers when theirs is restarted, and stay there.
        share = 0.0 if loading else 1.0
        if len(fakes) > 1 and not loading:
            share = 0.25 if started[i] >= 0 else 1.4 if any(s >= 0 for s in started) else 1.0
        fake.long_connections, fake.long_polls = round(600 * share), round(400 * share)
        if step in DEPLOYMENT:
            fake.instances = 181 - 30
            fake.long_connections = round(600 * share * 0.7)
        if step == DEPLOYMENT[0]:
            fake.push_failures += 8
        fake.push_pending = 300.0 if step == DEPLOYMENT[1] else 0.0
        fake.notify_tasks = 40.0 if not all(running) else 0.0
        if not all(running) and running[i]:
            fake.log_errors += 2  # the others say that they cannot reach it


def _life(release: str, servers: int) -> Iterator[tuple[str, str]]:
    """Series in promtool's notation: name and labels, values."""
    clock = FakeClock(START)
    fakes = [FakeNacos(release, clock=clock, started_at=START - 40 * 86_400_000) for _ in range(servers)]
    values: list[dict[Labels, list[str]]] = [{} for _ in fakes]
    labels_of: dict[tuple[int, tuple[tuple[str, str], ...]], Labels] = {}  # a sample's, made once for all steps
    for step in range(STEPS):
        now = START + step * STEP_S * 1000
        _live(fakes, step, now)
        if step in PAUSE:
            continue
        for i, fake in enumerate(fakes):
            target = {"job": "nacos", "instance": f"n{i}:8848"}
            down = _is_down(i, step) or (step in GAP and i == 0)
            now_there = {Labels({"__name__": "up", **target}): "0" if down else "1"}
            if not down:
                for sample in parse_body(fake.body(now), Format.TEXT).samples:
                    labels = labels_of.get((i, sample.pairs))
                    if labels is None:
                        labels = labels_of[i, sample.pairs] = Labels({**dict(sample.pairs), **target})
                    now_there[labels] = f"{sample.value:.15g}"
            for labels in {*now_there, *values[i]}:
                row = values[i].setdefault(labels, [])
                ended = bool(row) and row[-1] not in ("_", "stale")
                row += ["_"] * (step - len(row))
                row.append(now_there.get(labels, "stale" if ended else "_"))
    for of_server in values:
        for labels, row in of_server.items():
            yield str(labels), " ".join(row)


@pytest.mark.parametrize("servers", [1, 3])
@pytest.mark.parametrize("release", RELEASES)
def test_an_ordinary_day_is_silent(release: str, servers: int, tmp_path: Path) -> None:
    per_server = ("JvmRestarted", "NacosServerDown")  # of every server once: each was restarted
    expected = [{"labels": f'{{alertname="{name}"}}', "value": servers} for name in per_server]
    document = {
        "rule_files": [str(pack(name)) for name in ("nacos", "jvm", "spring-boot")],
        "evaluation_interval": f"{STEP_S}s",
        "tests": [
            {
                "interval": f"{STEP_S}s",
                "input_series": [{"series": name, "values": row} for name, row in _life(release, servers)],
                "promql_expr_test": [
                    {
                        "expr": 'count by (alertname) (count_over_time(ALERTS{alertstate="firing"}[2h]))',
                        "eval_time": "1h59m30s",
                        "exp_samples": expected,
                    }
                ],
            }
        ],
    }
    path = tmp_path / "day_test.yml"
    path.write_text(yaml.safe_dump(document, allow_unicode=True, width=1_000_000), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "rulepush", "test", "rules", str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
