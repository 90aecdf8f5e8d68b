"""static_configs: targets listed in the configuration itself."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rulepush.discovery.groups import ADDRESS, Environment, GroupSink, TargetGroup
from rulepush.model.labels import Labels

if TYPE_CHECKING:
    from rulepush.yaml.nodes import MapReader


@dataclass(frozen=True, slots=True)
class StaticConfig:
    """One entry of `static_configs`, numbered by its place in the list."""

    targets: tuple[str, ...]
    labels: Labels
    position: int = 0
    kind: str = "static"

    def group(self) -> TargetGroup:
        """The entry as a group."""
        return TargetGroup(str(self.position), tuple(Labels({ADDRESS: t}) for t in self.targets), self.labels)

    def discoverer(self, env: Environment) -> StaticDiscovery:
        return StaticDiscovery(self)


class StaticDiscovery:
    """Publishes once."""

    def __init__(self, config: StaticConfig):
        self._config = config

    async def run(self, sink: GroupSink) -> None:
        sink.replace((self._config.group(),))
        await asyncio.Event().wait()


def read_static(m: MapReader) -> StaticConfig:
    """Read one entry of `static_configs`."""
    config = StaticConfig(m.texts("targets"), m.labels("labels"), int(m.where.rpartition("[")[2].rstrip("]") or 0))
    m.finish()
    return config


def address_fault(address: str) -> str:
    """Why a target's address is invalid, in Prometheus' words; "" when it is valid."""
    if not address:
        return "no address"
    return f'"{address}" is not a valid hostname' if "/" in address else ""
