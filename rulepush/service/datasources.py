"""Datasources: the engines of rules that are evaluated elsewhere, and where these rules write."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from rulepush.clock import Clock
from rulepush.config.sections import Config, DatasourceConfig
from rulepush.http_client.config import HTTPClientConfig
from rulepush.model.labels import Labels
from rulepush.model.sample import Sample
from rulepush.rules.context import RuleContext
from rulepush.rules.group import ALERT_SERIES
from rulepush.rules.groups import GroupDefaults
from rulepush.service.outputs import Outputs
from rulepush.storage.head import Head
from rulepush.storage.selection import Querier
from rulepush.storage.table import AppendOutcome

if TYPE_CHECKING:
    from rulepush.datasource.engine import RemoteEngine
    from rulepush.http_client.on_demand import AnyClient


class WrittenElsewhere:
    """Where the rules of a datasource write: the remote write that the configuration names. ALERTS are in memory as
    well, for the API."""

    def __init__(self, head: Head, send: Callable[[list[Sample]], None] | None):
        self._head = head
        self._send = send

    def querier(self) -> Querier:
        """See `Head`."""
        return self._head.querier()

    def append_many(self, samples: Iterable[Sample]) -> Mapping[AppendOutcome, int]:
        """Nothing is refused: what an engine does with them shows only later."""
        everything = list(samples)
        if self._send is not None:
            self._send(everything)
        self._head.append_many([s for s in everything if s.labels.name in ALERT_SERIES])
        return {}


class Datasources:
    """`sync` at start and at each reload: an entry that did not change keeps its connections and its health."""

    def __init__(self, clock: Clock, client: Callable[[HTTPClientConfig], AnyClient], head: Head, outputs: Outputs):
        self._clock = clock
        self._client = client
        self._head = head
        self._outputs = outputs
        self._engines: dict[DatasourceConfig, RemoteEngine] = {}
        self._ending: list[RemoteEngine] = []

    @property
    def engines(self) -> list[RemoteEngine]:
        """Those in force, in the order of the configuration."""
        return list(self._engines.values())

    def engine_of(self, name: str) -> RemoteEngine | None:
        """The one of that name."""
        return next((engine for config, engine in self._engines.items() if config.name == name), None)

    def sync(self, configs: Iterable[DatasourceConfig]) -> None:
        """Make these the engines. Those that are gone are closed by `close_former`, when no rule asks them any more."""
        before, self._engines = self._engines, {}
        for config in configs:
            kept = before.pop(config) if config in before else None
            self._engines[config] = kept or self._engine(config)
        self._ending += before.values()

    def _engine(self, config: DatasourceConfig) -> RemoteEngine:
        from rulepush.datasource.engine import RemoteEngine

        return RemoteEngine(config, self._client(config.http_client), self._clock)

    def contexts(
        self, config: Config, in_memory: RuleContext, hold_ms: int
    ) -> dict[str, tuple[RuleContext, GroupDefaults]]:
        """The context and the defaults for the groups of each datasource, by its name. What an engine answers is
        true from the first answer on: nothing has to be scraped before."""
        default = config.global_
        found = {}
        for of_engine, engine in self._engines.items():
            send = partial(self._outputs.offer_to, of_engine.write_to) if of_engine.write_to else None
            context = replace(
                in_memory,
                samples=WrittenElsewhere(self._head, send),
                hold=None,
                may_fire=lambda _ts, _needs_two: True,
                may_resolve=lambda _ts: True,
                mark=None,
                datasource=engine,
                as_written=self._as_written(config, of_engine.write_to),
                unanswered_hold_ms=hold_ms,
                shares_for_state=bool(of_engine.write_to),
            )
            offset = of_engine.query_offset_ms
            offset = default.rule_query_offset_ms if offset is None else offset
            found[of_engine.name] = context, GroupDefaults(default.evaluation_interval_ms, offset)
        return found

    def _as_written(self, config: Config, write_to: str) -> Callable[[Labels], Labels]:
        """With what labels series arrive at the engine: without these, what a group has recorded and what the engine
        has of it would be two series."""
        write = next((w for w in config.remote_write if w.name == write_to), None)
        if write is None or not (config.global_.external_labels or write.write_relabel_configs):
            return lambda labels: labels
        from rulepush.remote.series_cache import RelabelCache

        cache = RelabelCache(config.global_.external_labels, write.write_relabel_configs)

        def as_written(labels: Labels) -> Labels:
            cache.turn(self._clock.now())
            sent = cache.get(labels)
            return labels if sent is None else sent.labels

        return as_written

    async def close_former(self) -> None:
        """Close the connections of engines that are gone."""
        ending, self._ending = self._ending, []
        for engine in ending:
            await engine.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        self.sync(())
        await self.close_former()
