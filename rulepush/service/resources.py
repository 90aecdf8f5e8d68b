"""ProcessResources: what is fixed for the life of the process, whatever a reload changes."""

from __future__ import annotations

import socket
from functools import partial
from typing import TYPE_CHECKING

from rulepush import __version__
from rulepush.clock import Clock
from rulepush.discovery.groups import Environment
from rulepush.discovery.reporter import DiscoveryReporter
from rulepush.history.history import AlertHistory
from rulepush.history.store import HistoryBounds
from rulepush.http_client.config import HTTPClientConfig
from rulepush.http_client.on_demand import ClientOnDemand
from rulepush.model.labels import Labels
from rulepush.model.schedule import TickGrid
from rulepush.scrape.sharding import ScrapeSharding
from rulepush.service.loaded_config import LoadedConfig
from rulepush.service.long_lived import LongLivedObjects
from rulepush.service.options import ServiceOptions
from rulepush.service.state_directory import StateDirectory
from rulepush.storage.demand_history import DemandHistory
from rulepush.storage.head import Head
from rulepush.storage.journal import SampleJournal
from rulepush.web.listener import bind

if TYPE_CHECKING:
    import httpx


class ProcessResources:
    """The state directory, the listening socket, the samples in memory and their journal, the history of alerts, and
    what discoveries and HTTP clients are made with."""

    def __init__(
        self, options: ServiceOptions, clock: Clock, transport: httpx.AsyncBaseTransport | None, first: LoadedConfig
    ):
        """Takes the state directory and the port. `first` is the configuration of the start. Raises RulepushError when
        the directory cannot be written, or another process has it or the port."""
        self.options = options
        self.clock = clock
        self.state = StateDirectory(options.storage_path, options.storage_optional)
        self.listener = bind(options.listen_address)
        self.port: int = self.listener.getsockname()[1]
        self.external_url = options.external_url or f"http://127.0.0.1:{self.port}"
        self.grid = TickGrid(_replica_identity(first, options.sharding))
        self.head = Head(first.demand)
        self.demands = DemandHistory(first.demand, clock.now())
        samples = self.state.samples
        self.journal = SampleJournal(self.head, self.demands, samples, clock) if samples is not None else None
        bounds = HistoryBounds(options.history_rows, options.history_age_ms)
        self.history = AlertHistory(self.state.history, clock, bounds)
        self.discoveries = DiscoveryReporter(clock)
        self.environment = Environment(
            clock,
            self.discoveries,
            f"rulepush/{__version__}",
            settle_s=options.discovery_settle_ms / 1000,
            series_came=LongLivedObjects().came,
        )
        self._transport = transport

    def http_client(self, config: HTTPClientConfig) -> httpx.AsyncClient:
        """A client for a section of the configuration; the caller closes it."""
        from rulepush.http_client.build import build_client

        return build_client(config, self.environment.user_agent, clock=self.clock, transport=self._transport)

    def client_on_demand(self, config: HTTPClientConfig) -> ClientOnDemand:
        """The same for targets and Alertmanagers, whose requests are mostly plain."""
        plain = self._transport is None
        return ClientOnDemand(config, self.environment.user_agent, partial(self.http_client, config), plain=plain)

    def write_samples_soon(self) -> None:
        """The samples of a moment are there: the journal need not wait for more."""
        if self.journal is not None:
            self.journal.write_soon()

    def close(self) -> None:
        """Write what the journal and the history still hold, and let other processes have the directory."""
        self.history.close()
        if self.journal is not None:
            self.journal.close()
        self.state.close()


def _replica_identity(first: LoadedConfig, sharding: ScrapeSharding | None) -> str:
    """What tells replicas apart, so that they do not scrape at the same moments: the host, the external labels and the
    index of the shard, not their number: it may grow without moving the grid. Neither does a reload that changes the
    labels: windows would have gaps."""
    shard = "" if sharding is None else f" {sharding.index}"
    return f"{socket.gethostname()} {Labels(first.config.global_.external_labels)}{shard}"
