"""ConfigReloader: the configuration in force, and how another one takes its place."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from rulepush.clock import Clock
from rulepush.errors import RulepushError
from rulepush.service.loaded_config import LoadedConfig, load_config_and_rules
from rulepush.service.options import ServiceOptions
from rulepush.web.security import WebConfigReloader
from rulepush.yaml.changes import ConfigFiles, ConfigWatch

log = logging.getLogger("rulepush.main")

_NAMING_FILES: Final = ("rule_files", "scrape_config_files")
_SECTIONS_NAMING_FILES: Final = ("datasources",)


def _config_files(path: str) -> ConfigFiles:
    return ConfigFiles(path, _NAMING_FILES, _SECTIONS_NAMING_FILES)


class ConfigReloader:
    """`loaded` is in force. `last_ok` tells whether the last attempt to load a configuration was good, `loaded_at` when
    (ms) the last good one was. After a bad one `last_error` says why, and `failed_at` (ms) when the first of the bad
    ones in a row was."""

    def __init__(
        self,
        options: ServiceOptions,
        first: LoadedConfig,
        web_config: WebConfigReloader,
        clock: Clock,
        apply: Callable[[LoadedConfig], Awaitable[None]],
    ):
        """`apply` puts a configuration into effect."""
        self.loaded = first
        self.last_ok, self.loaded_at = True, clock.now()
        self.last_error, self.failed_at = "", 0
        self._options = options
        self._web_config = web_config
        self._clock = clock
        self._apply = apply
        self._requested = asyncio.Event()
        self._lock = asyncio.Lock()
        self._files = _config_files(options.config_file) if options.auto_reload_ms else None

    async def start(self) -> None:
        """Put the first configuration into effect."""
        await self._apply(self.loaded)

    async def reload(self) -> None:
        """Read the configuration again and put it into effect. Raises ConfigError, and then all is as it was."""
        async with self._lock:  # a signal and a request may come together
            self._web_config.check()
            if self._files is not None:
                self._files.take()
            try:
                options = self._options
                loaded = load_config_and_rules(
                    options.config_file,
                    options.lookback_delta_ms,
                    options.rule_shard,
                    divide_in_memory=options.divides_rules_in_memory,
                )
            except RulepushError as e:
                self.failed_at = self.failed_at or self._clock.now()
                self.last_ok, self.last_error = False, str(e)
                for line in str(e).splitlines():
                    log.error("configuration not reloaded, the running one stays: %s", line)
                raise
            self.loaded = loaded
            await self._apply(loaded)
            self.last_ok, self.loaded_at = True, self._clock.now()
            self.last_error, self.failed_at = "", 0
        log.info("configuration loaded: file=%s rules=%d", self._options.config_file, loaded.rule_count)
        loaded.log_warnings()

    def request(self) -> None:
        """Reload soon; a mistake in the files is logged."""
        self._requested.set()

    async def run(self) -> None:
        """Reload when requested, until cancelled."""
        while True:
            await self._requested.wait()
            self._requested.clear()
            await self._try()

    async def watch(self) -> None:
        """Reload when files have changed, with `--config.auto-reload-interval`, until cancelled."""
        if self._files is not None:
            await ConfigWatch(self._files, self._clock, self._options.auto_reload_ms, self._try).run()

    async def _try(self) -> None:
        with contextlib.suppress(RulepushError):  # `reload` has logged it
            await self.reload()
