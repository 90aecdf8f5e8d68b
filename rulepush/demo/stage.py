"""The parts of the demo on loopback: a simulated Nacos, rulepush, Alertmanager, the DingTalk relay, a fake robot."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Final

import httpx
from starlette.routing import BaseRoute

from rulepush.clock import SystemClock
from rulepush.demo.fake_dingtalk import PATH as ROBOT_PATH
from rulepush.demo.fake_dingtalk import FakeDingTalk, ShownMessage
from rulepush.demo.receiver import Arrived, ReceivedNotification, Receiver, Webhook, webhook_body
from rulepush.errors import RulepushError
from rulepush.nacos.fake_server import METRICS_PATH, FakeNacos
from rulepush.packs import pack
from rulepush.relay.app import RelayApp, RelayOptions
from rulepush.service.app import App
from rulepush.service.options import ServiceOptions
from rulepush.web.listener import bind
from rulepush.web.security import WebSecurity
from rulepush.web.server import WebServer, build_app

INTERVAL_S: Final = 2
FOR_S: Final = 6
ROBOT_SECRET: Final = "SECdemo"
_READY_SECONDS: Final = 20.0

Took = Callable[[ShownMessage], None]

CONFIG: Final = """\
global:
  scrape_interval: {interval}s
  scrape_timeout: {interval}s
  evaluation_interval: {interval}s
rule_files: [nacos.yml]
scrape_configs:
- job_name: nacos
  metrics_path: {path}
  static_configs: [{{targets: ['{nacos}']}}]
alerting:
  alertmanagers:
  - static_configs: [{{targets: ['{alertmanager}']}}]
"""
ALERTMANAGER: Final = """\
route: {{receiver: dingtalk, group_by: [alertname], group_wait: 0s, group_interval: 1s, repeat_interval: 1h}}
receivers:
- name: dingtalk
  webhook_configs:
  - {{url: '{webhook}', send_resolved: true}}
  - {{url: '{relay}', send_resolved: true}}
"""
DINGTALK: Final = """\
targets:
  oncall:
    url: {robot}?access_token=token
    secret: {secret}
"""


class Stage:
    """Everything that runs. Use `async with open_stage(...)`."""

    def __init__(self, nacos: FakeNacos, app: App, alertmanager: str):
        self.nacos = nacos
        self.app = app
        self.alertmanager = alertmanager  # its name in the demo's output


def alertmanager_binary() -> str | None:
    """The real Alertmanager on PATH, under Debian's name or its own."""
    return shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")


@contextlib.asynccontextmanager
async def open_stage(directory: Path, arrived: Arrived, took: Took) -> AsyncIterator[Stage]:
    """Start all parts in `directory`; `arrived` gets what Alertmanager notifies, `took` what the robot shows."""
    clock = SystemClock()
    nacos = FakeNacos(clock=clock)
    robot = FakeDingTalk(clock, secret=ROBOT_SECRET, took=took)
    async with contextlib.AsyncExitStack() as stack:
        nacos_at = await stack.enter_async_context(_served(nacos.app.routes))
        far_at = await stack.enter_async_context(_served([*Webhook(arrived).routes(), *robot.routes()]))
        relay = await stack.enter_async_context(_relay(directory, f"http://{far_at}{ROBOT_PATH}"))
        relay_url = f"http://{relay}/dingtalk/oncall/send"
        binary = alertmanager_binary()
        if binary is not None:
            command = _alertmanager_command(binary, directory, f"http://{far_at}/webhook", relay_url)
            alertmanager_at = await stack.enter_async_context(command)
            named = f"the real Alertmanager ({binary})"
        else:
            stand_in = await stack.enter_async_context(_stand_in(clock, arrived, relay_url))
            alertmanager_at, named = stand_in, "a small stand-in for Alertmanager (none is on PATH)"
        (directory / "nacos.yml").write_text(_with_short_for(pack("nacos").read_text()))
        config = CONFIG.format(interval=INTERVAL_S, path=METRICS_PATH, nacos=nacos_at, alertmanager=alertmanager_at)
        (directory / "prometheus.yml").write_text(config)
        app = App(ServiceOptions(str(directory / "prometheus.yml"), directory / "state", resend_delay_ms=30_000))
        task = asyncio.create_task(app.run())
        try:
            yield Stage(nacos, app, named)
        finally:
            app.stop("end of the demo")
            await task


def _with_short_for(rules: str) -> str:
    """The rules with `for` shortened, so that the demo does not wait for minutes."""
    return re.sub(r"^(\s+for:) .*$", rf"\1 {FOR_S}s", rules, flags=re.MULTILINE)


@contextlib.asynccontextmanager
async def _served(routes: Sequence[BaseRoute]) -> AsyncIterator[str]:
    """Serve these routes on a free loopback port; yields host:port."""
    listener = bind("127.0.0.1:0")
    server = WebServer(build_app(routes, WebSecurity()), listener, WebSecurity())
    task = asyncio.create_task(server.run())
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.stop()
        await task


@contextlib.asynccontextmanager
async def _relay(directory: Path, robot: str) -> AsyncIterator[str]:
    path = directory / "dingtalk.yml"
    path.write_text(DINGTALK.format(robot=robot, secret=ROBOT_SECRET))
    relay = RelayApp(RelayOptions(str(path), "127.0.0.1:0", False))
    task = asyncio.create_task(relay.run())
    try:
        yield relay.address
    finally:
        relay.stop()
        await task


@contextlib.asynccontextmanager
async def _stand_in(clock: SystemClock, arrived: Arrived, relay: str) -> AsyncIterator[str]:
    async with httpx.AsyncClient(trust_env=False) as client, asyncio.TaskGroup() as posts:

        def passed_on(arrival: ReceivedNotification) -> None:
            arrived(arrival)
            posts.create_task(_post(client, relay, arrival))

        async with _served(Receiver(clock, passed_on).routes()) as address:
            yield address


async def _post(client: httpx.AsyncClient, relay: str, arrival: ReceivedNotification) -> None:
    with contextlib.suppress(httpx.HTTPError):  # the stand-in does not retry; the demo's time limit shows the failure
        await client.post(relay, json=webhook_body(arrival))


@contextlib.asynccontextmanager
async def _alertmanager_command(binary: str, directory: Path, webhook: str, relay: str) -> AsyncIterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    (directory / "alertmanager.yml").write_text(ALERTMANAGER.format(webhook=webhook, relay=relay))
    with (directory / "alertmanager.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            binary,
            f"--config.file={directory / 'alertmanager.yml'}",
            f"--storage.path={directory / 'alertmanager'}",
            f"--web.listen-address={address}",
            "--cluster.listen-address=",
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C is for the demo, which ends it in order
        )
    try:
        await _ready(f"http://{address}/-/ready", process, directory / "alertmanager.log")
        yield address
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _ready(url: str, process: asyncio.subprocess.Process, log: Path) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        for _ in range(int(_READY_SECONDS / 0.1)):
            with contextlib.suppress(httpx.HTTPError):
                if (await client.get(url)).is_success:
                    return
            if process.returncode is not None:
                break
            await asyncio.sleep(0.1)
    raise RulepushError(f"Alertmanager did not start, its log ends with: {_end_of(log)}")


def _end_of(log: Path) -> str:
    return log.read_text(errors="replace")[-500:]
