"""Real engines behind rules of a datasource: VictoriaMetrics and Prometheus, each with its remote write receiver."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.servers import Server, answers, binary, free_port, get_json, running, wait_for

ENGINES = ("victoria", "prometheus")


@dataclass
class RealEngine:
    """A process, and the base of its Prometheus HTTP API."""

    server: Server
    url: str
    ready: str

    def start(self) -> None:
        """Start it again, on the data that it has."""
        self.server.start()
        wait_for("the engine", lambda: answers(self.ready) or None)

    def ask(self, expr: str) -> list[dict[str, Any]]:
        """The elements of an instant query now."""
        params = {"query": expr, "time": f"{time.time():.3f}", "nocache": "1"}
        found: list[dict[str, Any]] = get_json(f"{self.url}/api/v1/query", **params)["data"]["result"]
        return found


@contextlib.contextmanager
def engine(kind: str, directory: Path) -> Iterator[RealEngine]:
    """One with its defaults, as users run it."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    directory.mkdir(parents=True, exist_ok=True)
    if kind == "victoria":
        command = [
            binary("victoria-metrics"),
            f"-storageDataPath={directory}/victoria",
            f"-httpListenAddr=127.0.0.1:{port}",
        ]
        ready = f"{url}/health"
    else:
        (directory / "prometheus.yml").write_text("global: {}\n")
        command = [
            binary("prometheus"),
            f"--config.file={directory}/prometheus.yml",
            f"--storage.tsdb.path={directory}/prometheus",
            f"--web.listen-address=127.0.0.1:{port}",
            "--web.enable-remote-write-receiver",
        ]
        ready = f"{url}/-/ready"
    with running(command, directory / f"{kind}.log", ready) as server:
        yield RealEngine(server, url, ready)
