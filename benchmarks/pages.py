"""The pages of a large service: how long an answer takes, and how much of that the event loop waits.

1,000 alerts of 300 rules. Each page is asked for 20 times after the first, through the whole ASGI application.

    python benchmarks/pages.py

What must hold: an answer within 100 ms (median, a core of one's own), and no turn of the event loop longer than 50 ms, for
rules are evaluated in it.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Sequence
from typing import Final

import httpx

from rulepush.model.labels import METRIC_NAME, Labels
from rulepush.web.server import WebSecurity, build_app
from tests.rules.world import T0, World
from tests.web.app_parts import Parts

RULES: Final = 300
ALERTS: Final = 1000
ROUNDS: Final = 20
SEVERITIES: Final = ("critical", "page", "warning", "info", "none")
PATHS: Final = ("/alerts", "/alerts?q=queue", "/alerts?alertname=Many", "/rules", "/targets", "/status", "/delivery")


def rule_file() -> str:
    """Ten rules with many alerts each, one of them with a third of all, and the rest without any."""
    rules = [
        f"""  - alert: {"Many" if i == 0 else f"Rule{i}"}
    expr: queue_size{{rule="{i}"}} > 5
    for: {i % 3}m
    labels: {{severity: {SEVERITIES[i % len(SEVERITIES)]}, team: orders}}
    annotations:
      summary: "Queue {{{{ $labels.queue }}}} has {{{{ $value }}}} orders"
      summary_zh: "队列 {{{{ $labels.queue }}}} 有 {{{{ $value }}}} 个订单"
      description: "Workers do not keep up: look at the consumers of {{{{ $labels.instance }}}}."
      runbook_url: "https://wiki.example/queue\""""
        for i in range(RULES)
    ]
    return "groups:\n- name: many\n  rules:\n" + "\n".join(rules)


def fill(world: World) -> None:
    """The samples of all alerts, evaluated once."""
    for i in range(ALERTS):
        rule = 0 if i < ALERTS // 3 else i % 60
        labels = {
            "rule": str(rule),
            "queue": f"orders-{i:04d}",
            "instance": f"10.0.{i % 8}.1:8848",
            "job": f"shop{i % 5}",
        }
        world.head.append(Labels({METRIC_NAME: "queue_size", **labels}), T0, 9.0)
    world.tick(0)


async def measured(parts: Parts) -> None:
    """Print a line for each page."""
    transport = httpx.ASGITransport(app=build_app(parts.routes(), WebSecurity()))
    async with httpx.AsyncClient(transport=transport, base_url="http://rulepush") as client:
        for path in PATHS:
            took, turns, size = [], [], 0
            for _ in range(ROUNDS + 1):
                watch = asyncio.create_task(longest_turn(turns))
                await asyncio.sleep(0)
                start = time.perf_counter()
                answer = await client.get(path)
                took.append((time.perf_counter() - start) * 1000)
                size = len(answer.content)
                assert answer.status_code == 200
                watch.cancel()
                await asyncio.gather(watch, return_exceptions=True)
            print(row(path, took[1:], turns, took[0], size))


def row(path: str, took: Sequence[float], turns: Sequence[float], first: float, size: int) -> str:
    """One line of the table."""
    return (
        f"{path:25} median {statistics.median(took):6.1f} ms  worst {max(took):6.1f} ms  first {first:6.1f} ms  "
        f"longest turn {max(turns, default=0):6.1f} ms  {size / 1000:6.1f} kB"
    )


async def longest_turn(turns: list[float]) -> None:
    """How long others had to wait for the event loop, in ms; until cancelled."""
    while True:
        before = time.perf_counter()
        await asyncio.sleep(0.001)
        turns.append((time.perf_counter() - before) * 1000 - 1)


def main() -> None:
    """Run it."""
    parts = Parts(rules=rule_file())
    fill(parts.world)
    found = sum(len(rule.alerts) for rule in parts.world.groups.alerting_rules())
    print(f"{found} alerts of {len(parts.world.groups.alerting_rules())} rules")
    asyncio.run(measured(parts))


if __name__ == "__main__":
    main()
