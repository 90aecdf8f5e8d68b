"""The relay as a process: HTTP server and client, reload, orderly end. The only file here that imports httpx."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from rulepush import __version__
from rulepush.clock import Clock, SystemClock
from rulepush.errors import RulepushError
from rulepush.http_client.build import build_client
from rulepush.http_client.client import reason
from rulepush.http_client.config import HTTPClientConfig, ProxyConfig
from rulepush.http_client.exchange import exchange
from rulepush.relay.load import load_settings
from rulepush.relay.relay import Relay
from rulepush.relay.robot import PostError
from rulepush.relay.senders import RobotRequest
from rulepush.relay.waiting import FileStore
from rulepush.telemetry import Telemetry, single
from rulepush.web.lifecycle import LifecycleApi
from rulepush.web.security import WebConfigReloader
from rulepush.web.server import WebServer, bind, build_app

log = logging.getLogger("rulepush.dingtalk")

_FINAL_FLUSH_SECONDS: Final = 5.0
_TO_ROBOTS: Final = HTTPClientConfig(proxy=ProxyConfig(from_environment=True), follow_redirects=False)


@dataclass(frozen=True, slots=True)
class RelayOptions:
    """What the command line says."""

    config_file: str
    listen_address: str
    enable_lifecycle: bool
    storage_path: Path | None = None  # where what waits for a robot's limit survives a crash
    web_config_file: str = ""


class HttpPost:
    """Posts JSON. An answer is read up to what a robot could say."""

    def __init__(self, client: httpx.AsyncClient, timeout_ms: int):
        self._client = client
        self.timeout_ms = timeout_ms

    async def __call__(self, request: RobotRequest, /) -> tuple[int, bytes]:
        headers, seconds = {"Content-Type": "application/json; charset=utf-8"}, self.timeout_ms / 1000
        try:
            answer = await exchange(self._client, "POST", request.url, request.content, headers, seconds)
        except TimeoutError:
            raise PostError(f"the robot cannot be reached: no answer within {seconds:g}s") from None
        except httpx.HTTPError as e:
            raise PostError(f"the robot cannot be reached: {reason(e)}") from None
        return answer.status, answer.text.encode()


class RelayApp:
    """The composition root of `rulepush dingtalk`. Raises RulepushError when it cannot start."""

    def __init__(self, options: RelayOptions, clock: Clock | None = None, client: httpx.AsyncClient | None = None):
        self._options = options
        settings = load_settings(options.config_file)
        self._client = client or build_client(_TO_ROBOTS, f"rulepush/{__version__}")
        self._post = HttpPost(self._client, settings.timeout_ms)
        self._store = FileStore(options.storage_path) if options.storage_path is not None else None
        self._clock = clock or SystemClock()
        self.relay = Relay(self._post, self._clock, self._store)
        self.relay.configure(settings)
        if self._store is not None:
            self.relay.restore(self._store.load())
        self._reload_ok = True
        self._stopped = asyncio.Event()
        self.telemetry = Telemetry()
        self.relay.expose(self.telemetry)
        self.telemetry.gauge(
            "rulepush_config_last_reload_successful",
            "Whether the configuration could be loaded the last time.",
            single(lambda: float(self._reload_ok)),
        )
        lifecycle = LifecycleApi(
            self.telemetry, lambda: True, self._reload_request, self.stop, options.enable_lifecycle
        )
        self._web_config = WebConfigReloader(options.web_config_file)
        security = self._web_config.security
        self.asgi = build_app([*self.relay.routes(), *lifecycle.routes()], security)
        self._listener = bind(options.listen_address)
        self._server = WebServer(self.asgi, self._listener, security)
        log.info("listening: address=%s:%d targets=%d", *self._listener.getsockname()[:2], len(settings.targets))

    @property
    def address(self) -> str:
        """`host:port`, for when the port was left to the system."""
        host, port = self._listener.getsockname()[:2]
        return f"[{host}]:{port}" if self._listener.family == socket.AF_INET6 else f"{host}:{port}"

    def reload(self) -> None:
        """Load the configuration again. Raises RulepushError, and keeps all as it was, when it is bad."""
        self._reload_ok = False
        self._web_config.check()
        settings = load_settings(self._options.config_file)
        self._post.timeout_ms = settings.timeout_ms
        self.relay.configure(settings)
        self._reload_ok = True
        log.info("configuration loaded: targets=%d", len(settings.targets))

    async def _reload_request(self) -> None:
        self.reload()

    def reload_and_log(self) -> None:
        """For SIGHUP."""
        try:
            self.reload()
        except RulepushError as e:
            for line in str(e).splitlines():
                log.error("%s", line)

    def stop(self, reason: str = "") -> None:
        """Make `run` end."""
        if reason:
            log.info("stopping: signal=%s", reason)
        self._stopped.set()

    async def run(self) -> None:
        """Serve until `stop`; then send what waits, as far as the robots let it."""
        try:
            async with asyncio.TaskGroup() as group:
                server = group.create_task(self._server.run())
                flusher = group.create_task(self.relay.flush_loop())
                reloader = group.create_task(self._web_config.run(self._clock))
                await self._stopped.wait()
                self._server.stop()
                await server
                flusher.cancel()
                reloader.cancel()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_FINAL_FLUSH_SECONDS):
                    await self.relay.flush(final=True)
        finally:
            await self._client.aclose()
            if self._store is not None:
                self._store.close()
