"""The relay as a process: HTTP server and client, reload, shutdown. The only file here that imports httpx."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from functools import partial
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
from rulepush.relay.settings import Settings
from rulepush.relay.waiting import FileStore
from rulepush.storage.writable import require_writable
from rulepush.telemetry import Telemetry, single
from rulepush.web.http_service import HttpService
from rulepush.web.lifecycle import LifecycleApi
from rulepush.web.listener import address_of, bind
from rulepush.web.security import WebConfigReloader
from rulepush.yaml.changes import ConfigFiles, ConfigWatch

log = logging.getLogger("rulepush.dingtalk")

_FINAL_FLUSH_SECONDS: Final = 5.0
_NAMING_FILES: Final = ("templates", "template")
_TO_ROBOTS: Final = HTTPClientConfig(proxy=ProxyConfig(from_environment=True), follow_redirects=False)


@dataclass(frozen=True, slots=True)
class RelayOptions:
    """The options of `rulepush dingtalk`."""

    config_file: str
    listen_address: str
    enable_lifecycle: bool
    storage_path: Path | None = None  # for notifications that wait for a robot's rate limit
    web_config_file: str = ""
    auto_reload_ms: int = 0  # how often to look for changes of the configuration; 0: never
    storage_optional: bool = False


class HttpPost:
    """Posts JSON. `exchange` bounds how much of the response is read."""

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


def robot_client() -> httpx.AsyncClient:
    """The client to robots: through the proxies of the environment, redirects are not followed. Close it."""
    return build_client(_TO_ROBOTS, f"rulepush/{__version__}")


def _load(path: str) -> Settings:
    """The settings; what keeps single targets from working is logged."""
    settings = load_settings(path)
    for fault in settings.faults:
        log.warning("%s; messages to this target will fail", fault)
    return settings


class RelayApp:
    """The composition root of `rulepush dingtalk`. Raises RulepushError when it cannot start."""

    def __init__(self, options: RelayOptions, clock: Clock | None = None, client: httpx.AsyncClient | None = None):
        self._options = options
        self._files = ConfigFiles(options.config_file, _NAMING_FILES) if options.auto_reload_ms else None
        settings = _load(options.config_file)
        if options.storage_path is not None:
            require_writable(options.storage_path, options.storage_optional)
        self._client = client or robot_client()
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
            self.telemetry,
            lambda: True,
            self._reload_request,
            partial(self.stop, "/-/quit"),
            options.enable_lifecycle,
        )
        self._web_config = WebConfigReloader(options.web_config_file)
        listener = bind(options.listen_address)
        self.address = address_of(listener)
        routes = [*self.relay.routes(), *lifecycle.routes()]
        self.http = HttpService(routes, listener, self._web_config, self._clock)
        log.info("listening: address=%s targets=%d", self.address, len(settings.targets))

    def reload(self) -> None:
        """Load the configuration again. Raises RulepushError, and keeps all as it was, when it is bad."""
        self._reload_ok = False
        self._web_config.check()
        if self._files is not None:
            self._files.take()
        settings = _load(self._options.config_file)
        self._post.timeout_ms = settings.timeout_ms
        self.relay.configure(settings)
        self._reload_ok = True
        log.info("configuration loaded: targets=%d", len(settings.targets))

    async def _reload_request(self) -> None:
        self.reload()

    def request_reload(self) -> None:
        """Reload, as SIGHUP asks; errors are logged."""
        try:
            self.reload()
        except RulepushError as e:
            for line in str(e).splitlines():
                log.error("%s", line)

    async def _watch(self) -> None:
        async def reload() -> None:
            self.request_reload()

        if self._files is not None:
            await ConfigWatch(self._files, self._clock, self._options.auto_reload_ms, reload).run()

    def stop(self, reason: str = "request") -> None:
        """Ask `run` to end."""
        log.info("stopping: reason=%s", reason)
        self._stopped.set()

    async def run(self) -> None:
        """Serve until `stop`; then try to send the notifications that wait, for at most _FINAL_FLUSH_SECONDS."""
        try:
            async with asyncio.TaskGroup() as tasks:
                serving = tasks.create_task(self.http.run(), name="web")
                flushing = tasks.create_task(self.relay.flush_loop(), name="digests")
                watching = tasks.create_task(self._watch(), name="auto reload")
                await self._stopped.wait()
                watching.cancel()
                self.http.stop()
                await serving
                flushing.cancel()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_FINAL_FLUSH_SECONDS):
                    await self.relay.flush(final=True)
        finally:
            await self._client.aclose()
            if self._store is not None:
                self._store.close()
