"""A whole rulepush in this process, on fake time and a fake network: for faults that last."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from rulepush.service.app import App
from rulepush.service.options import ServiceOptions
from tests.fakes import FakeClock
from tests.faults.recording import Posted, read_posted

ALERTMANAGERS = ("am1", "am2")


class FakeNetwork:
    """Targets answer `metrics[host]`, an Alertmanager keeps what it is posted; `down` hosts refuse connections."""

    def __init__(self, clock: FakeClock):
        self.clock = clock
        self.metrics: dict[str, str] = {}
        self.down: set[str] = set()
        self.gates: dict[str, asyncio.Event] = {}
        self.held = 0  # requests that wait at a gate
        self.status: dict[str, int] = {}
        self.posts: dict[str, int] = dict.fromkeys(ALERTMANAGERS, 0)
        self.received: dict[str, list[Posted]] = {name: [] for name in ALERTMANAGERS}

    async def receive(self, request: httpx.Request) -> httpx.Response:
        """The answer, when the host's gate is open."""
        gate = self.gates.get(request.url.host)
        if gate is not None:
            self.held += 1
            await gate.wait()
            self.held -= 1
        return self.answer(request)

    def answer(self, request: httpx.Request) -> httpx.Response:
        host = request.url.host
        if request.method == "POST":
            self.posts[host] = self.posts.get(host, 0) + 1
        if host in self.down:
            raise httpx.ConnectError("connection refused", request=request)
        if request.method == "GET":
            return httpx.Response(200, text=self.metrics.get(host, ""), headers={"Content-Type": "text/plain"})
        posted = read_posted(request.content, self.clock.now())
        # As the real one: models.PostableAlert is refused when it ends before it starts.
        status = 400 if any(p.ends_at < p.starts_at for p in posted) else self.status.get(host, 200)
        if status == 200:
            self.received[host] += posted
        return httpx.Response(status)

    def view(self, host: str = "am1") -> dict[str, Posted]:
        """The newest state of each alert at an Alertmanager, by instance and name."""
        return {f"{p.labels.get('instance')} {p.name}": p for p in self.received[host]}

    def firing(self, host: str = "am1") -> set[str]:
        """The alerts that it shows as active."""
        return {name for name, p in self.view(host).items() if p.ends_at > self.clock.now()}

    def resolutions(self, host: str = "am1") -> list[Posted]:
        """Every resolution it was sent."""
        return [p for p in self.received[host] if p.resolved]


class Inside:
    """The service, its clock and its network."""

    def __init__(
        self, directory: Path, rules: str, *, scrape: str = "15s", evaluate: str = "15s", targets: tuple[str, ...]
    ):
        self.clock = FakeClock()
        self.network = FakeNetwork(self.clock)
        (directory / "rules.yml").write_text(f"groups: [{{name: g, rules: [{rules}]}}]")
        (directory / "prometheus.yml").write_text(
            f"""
global: {{scrape_interval: {scrape}, scrape_timeout: 10s, evaluation_interval: {evaluate}}}
rule_files: [rules.yml]
scrape_configs:
- job_name: app
  static_configs: [{{targets: [{", ".join(f"'{t}'" for t in targets)}]}}]
alerting:
  alertmanagers:
  - static_configs: [{{targets: [{", ".join(ALERTMANAGERS)}]}}]
"""
        )
        self.options = ServiceOptions(str(directory / "prometheus.yml"))
        self.app: App | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[App]:
        """The service for the length of the block; it must then stop by itself."""
        self.app = app = App(self.options, self.clock, httpx.MockTransport(self.network.receive))
        task = asyncio.create_task(app.run())
        try:
            await self.clock.settle()
            assert app.telemetry.render().startswith(b"# HELP")
            yield app
            assert not task.done(), "it stopped by itself"
        finally:
            app.stop("test")
            async with asyncio.timeout(60):
                await task
