"""The pages of a large service: how long an answer takes, and how much of that the event loop waits.

1,000 alerts of 300 rules. Each page is asked for 20 times after the first, through the whole ASGI application.

    python benchmarks/pages.py

What must hold: an answer within 100 ms of CPU (median), and no turn of the event loop longer than 50 ms on a quiet
machine, for rules are evaluated in it.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from dataclasses import dataclass, field
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
        labels = {"rule": str(rule), "queue": f"orders-{i:04d}", "instance": f"10.0.{i % 8}.1:8848"}
        world.head.append(Labels({METRIC_NAME: "queue_size", "job": f"shop{i % 5}", **labels}), T0, 9.0)
    world.tick(0)


@dataclass
class Measured:
    """Of one page, in ms: until the answer, CPU of the process, waits for the event loop; and its size in bytes."""

    took: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    turns: list[float] = field(default_factory=list)
    size: int = 0

    def row(self, path: str) -> str:
        """One line of the table; the first answer loads templates, and stands apart."""
        return (
            f"{path:25} cpu {statistics.median(self.cpu[1:]):6.1f}  median {statistics.median(self.took[1:]):6.1f}  "
            f"worst {max(self.took[1:]):6.1f}  first {self.took[0]:6.1f}  "
            f"longest turn {max(self.turns, default=0):6.1f}  {self.size / 1000:6.1f} kB"
        )


async def measured(parts: Parts) -> None:
    """Print a line for each page."""
    transport = httpx.ASGITransport(app=build_app(parts.routes(), WebSecurity()))
    async with httpx.AsyncClient(transport=transport, base_url="http://rulepush") as client:
        for path in PATHS:
            found = Measured()
            for _ in range(ROUNDS + 1):
                watch = asyncio.create_task(longest_turn(found.turns))
                await asyncio.sleep(0)
                start, cpu_start = time.perf_counter(), time.process_time()
                answer = await client.get(path)
                found.took.append((time.perf_counter() - start) * 1000)
                found.cpu.append((time.process_time() - cpu_start) * 1000)
                found.size = len(answer.content)
                assert answer.status_code == 200
                watch.cancel()
                await asyncio.gather(watch, return_exceptions=True)
            print(found.row(path))


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
