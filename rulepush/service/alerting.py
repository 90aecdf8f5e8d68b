"""Alerting: from the samples in memory to the Alertmanagers."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter

from rulepush.config.sections import Config
from rulepush.datasource.status import DatasourceStatus
from rulepush.notifier.alertmanager_sets import AlertmanagerSets, relabel_chain
from rulepush.notifier.notifier import Notifier, SendSettings
from rulepush.notifier.store import SqliteUndelivered
from rulepush.promql import Engine, EngineOptions
from rulepush.rules.context import HoldPolicy, RuleContext
from rulepush.rules.groups import GroupDefaults, RuleGroups
from rulepush.rules.loop import RuleLoops
from rulepush.rules.recovery import RestorePolicy
from rulepush.rules.state import SqliteAlertStates
from rulepush.service.alert_history import attempt_recorder
from rulepush.service.clock_watch import ClockWatch
from rulepush.service.datasources import Datasources
from rulepush.service.ingestion import Ingestion
from rulepush.service.loaded_config import LoadedConfig
from rulepush.service.resources import ProcessResources
from rulepush.service.warm_up import WarmUp

log = logging.getLogger("rulepush.main")


class Alerting:
    """The rule groups, when they are evaluated, and where their alerts are sent."""

    def __init__(self, resources: ProcessResources, ingestion: Ingestion, first: LoadedConfig):
        """`first` is the configuration of the start; `apply` puts it into effect."""
        options, clock, state = resources.options, resources.clock, resources.state
        self._resources = resources
        self._ingestion = ingestion
        self._engine = self._engine_for(first.config)
        undelivered = SqliteUndelivered(state.alerts)
        store = SqliteAlertStates(state.alerts, undelivered.whole) if options.storage_path else None
        self.groups = RuleGroups(store)
        self.notifier = Notifier(
            clock,
            undelivered,
            self._sending(first.config),
            self.groups.active_alerts,
            attempt_recorder(resources.history, clock),
        )
        self.datasources = Datasources(clock, resources.client_on_demand, resources.head, ingestion.outputs)
        self.alertmanagers = AlertmanagerSets(self.notifier, resources.environment, resources.client_on_demand)
        self._configured = bool(first.config.alerting.alertmanagers)
        self.clock_watch = ClockWatch(clock, self._on_jump)
        self._warm_up = WarmUp(
            ingestion.jobs, self.clock_watch, options.lookback_delta_ms, ingestion.received_within_ms
        )
        self.loops = RuleLoops(
            self.groups, clock, resources.grid.next_tick, self._samples_in, resources.write_samples_soon
        )

    def engine(self) -> Engine:
        """The engine of the configuration in force."""
        return self._engine

    async def apply(self, loaded: LoadedConfig, at: int) -> None:
        """Put the configuration into effect at `at` (ms). The head must know its demand by now."""
        config = loaded.config
        self._engine = self._engine_for(config)
        self.notifier.sending = self._sending(config)
        defaults = GroupDefaults(config.global_.evaluation_interval_ms, config.global_.rule_query_offset_ms)
        context = self._rule_context(config)
        self.datasources.sync(config.datasources)
        elsewhere = self.datasources.contexts(config, context, self._resources.options.datasource_hold_ms)
        self.groups.update(loaded.groups, context, defaults, at, elsewhere, loaded.keys_of_other_shards)
        self.loops.sync()
        self._configured = bool(config.alerting.alertmanagers)
        await self.datasources.close_former()
        await self.alertmanagers.sync(config.alerting.alertmanagers)

    @property
    def configured(self) -> bool:
        """Whether alerts are to be sent anywhere, be it to Alertmanagers that are still to be found."""
        return self._configured

    def datasource_statuses(self) -> list[DatasourceStatus]:
        """How each engine that evaluates rules elsewhere stands now."""
        engines = self.datasources.engines
        if not engines:
            return []
        rules: Counter[str] = Counter()
        for group in self.groups.all():
            rules[group.spec.datasource] += len(group.rules)
        return [engine.status(rules[engine.config.name]) for engine in engines]

    async def drain(self, within_s: float) -> None:
        """Send what waits for the Alertmanagers, for at most `within_s` seconds. `notifier.run` must still run."""
        try:
            async with asyncio.timeout(within_s):
                await self.notifier.drain()
        except TimeoutError:
            waiting = sum(len(loop.outbox) for loop in self.notifier.loops)
            saved = self._resources.options.storage_path is not None
            later = "they go out after the next start" if saved else "without --storage.path they are forgotten"
            log.warning("not every Alertmanager could be reached, %s: alerts=%d", later, waiting)

    async def aclose(self) -> None:
        """Close the connections."""
        await self.datasources.aclose()
        await self.alertmanagers.aclose()

    async def _samples_in(self, ts: int) -> bool:
        """What a group waits for before it is evaluated at `ts` (ms). False when the time jumped since `ts` was
        planned."""
        await self._ingestion.samples_in(ts)
        self.clock_watch.check()
        return ts >= self.clock_watch.since

    def _on_jump(self) -> None:
        self._ingestion.jobs.interrupted()
        self._ingestion.recording.interrupted()
        self.groups.interrupted()

    def _engine_for(self, config: Config) -> Engine:
        flags = self._resources.options
        options = EngineOptions(
            lookback_delta_ms=flags.lookback_delta_ms,
            max_samples=flags.max_samples,
            timeout_ms=flags.query_timeout_ms,
            default_step_ms=config.global_.evaluation_interval_ms,
            delayed_name_removal="promql-delayed-name-removal" in flags.features,
            type_and_unit_labels=flags.type_and_unit_labels,
        )
        return Engine(options, self._resources.clock.monotonic)

    def _sending(self, config: Config) -> SendSettings:
        relabel = relabel_chain(config.alerting.alert_relabel_configs)
        return SendSettings(self._resources.external_url, config.global_.external_labels, relabel)

    def _rule_context(self, config: Config) -> RuleContext:
        options = self._resources.options
        hold_ms = config.alerting.hold_on_scrape_failure_ms
        return RuleContext(
            engine=self._engine,
            samples=self._ingestion.rule_samples,
            notify=self.notifier.send,
            external_labels=config.global_.external_labels,
            external_url=self._resources.external_url,
            resend_delay_ms=options.resend_delay_ms,
            hold=HoldPolicy(hold_ms, self._ingestion.jobs.target_down) if hold_ms else None,
            restore=RestorePolicy(
                bridged_ms=options.lookback_delta_ms,
                outage_tolerance_ms=options.outage_tolerance_ms,
                grace_period_ms=options.grace_period_ms,
            ),
            may_fire=self._warm_up.may_fire,
            may_resolve=self._warm_up.may_resolve,
            record=self._resources.history.record,
            mark=self._ingestion.recording.record if config.storage.record is not None else None,
            targets=self._ingestion.jobs.target_states,
            stopwatch=time.perf_counter,
        )
