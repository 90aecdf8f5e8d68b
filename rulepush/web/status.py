"""`/api/v1/status/{config,flags,runtimeinfo,buildinfo}`, `/api/v1/features`, `/api/v1/alertmanagers` and `/version`."""

from __future__ import annotations

import os
import platform
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from rulepush import __version__
from rulepush.clock import Clock
from rulepush.model.timestamps import format_rfc3339
from rulepush.web.answers import json_text_of, success
from rulepush.web.features import features_json


@dataclass(frozen=True, slots=True)
class Status:
    """The data of the status endpoints. Secrets in `config_yaml` are masked; times in ms."""

    config_yaml: str
    started_at: int
    reload_successful: bool
    last_config_at: int
    corruptions: int
    retention: str
    alertmanagers: tuple[str, ...]
    dropped_alertmanagers: tuple[str, ...] = ()
    overload: str = ""  # by how much scraping does not keep up


class StatusApi:
    """`flags` are those of the command line, by name without dashes."""

    def __init__(self, status: Callable[[], Status], flags: Mapping[str, str], clock: Clock):
        self._status = status
        self._flags = flags
        self._clock = clock

    def routes(self) -> list[Route]:
        """The routes, below /api/v1."""
        return [
            Route("/status/config", self.config, methods=["GET"]),
            Route("/status/flags", self.flags, methods=["GET"]),
            Route("/status/runtimeinfo", self.runtime_info, methods=["GET"]),
            Route("/status/buildinfo", self.build_info, methods=["GET"]),
            Route("/features", self.features, methods=["GET"]),
            Route("/alertmanagers", self.alertmanagers, methods=["GET"]),
        ]

    def root_routes(self) -> list[Route]:
        """The routes that are not below /api/v1."""
        return [Route("/version", self.version, methods=["GET"])]

    async def config(self, _: Request) -> Response:
        """The configuration as it was loaded."""
        return success({"yaml": self._status().config_yaml})

    async def flags(self, _: Request) -> Response:
        """The flags of the command line."""
        return success(dict(self._flags))

    async def runtime_info(self, _: Request) -> Response:
        """Prometheus' keys; those specific to Go are empty, or have the nearest equivalent."""
        status = self._status()
        return success(
            {
                "startTime": format_rfc3339(status.started_at),
                "CWD": os.getcwd(),
                "hostname": socket.gethostname(),
                "serverTime": format_rfc3339(self._clock.now()),
                "reloadConfigSuccess": status.reload_successful,
                "lastConfigTime": format_rfc3339(status.last_config_at // 1000 * 1000),
                "corruptionCount": status.corruptions,
                "goroutineCount": 0,
                "GOMAXPROCS": os.cpu_count() or 1,
                "GOMEMLIMIT": 0,
                "GOGC": "",
                "GODEBUG": "",
                "storageRetention": status.retention,
            }
        )

    async def build_info(self, _: Request) -> Response:
        """Prometheus' keys; `goVersion` names the Python."""
        return success(_build_info())

    async def version(self, _: Request) -> Response:
        """The same, bare."""
        return PlainTextResponse(json_text_of(_build_info()) + "\n")

    async def features(self, _: Request) -> Response:
        """What this server can do, by Prometheus' names."""
        return success(features_json(self._flags))

    async def alertmanagers(self, _: Request) -> Response:
        """The Alertmanagers that alerts are sent to, and those dropped by relabelling."""
        status = self._status()
        return success(
            {
                "activeAlertmanagers": [{"url": url} for url in status.alertmanagers],
                "droppedAlertmanagers": [{"url": url} for url in status.dropped_alertmanagers],
            }
        )


def _build_info() -> dict[str, str]:
    return {
        "version": __version__,
        "revision": "",
        "branch": "",
        "buildUser": "",
        "buildDate": "",
        "goVersion": f"python{platform.python_version()}",
    }
