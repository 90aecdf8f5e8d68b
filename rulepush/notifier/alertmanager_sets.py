"""The sets of Alertmanagers of `alerting.alertmanagers`: from their discoveries to a Notifier's destinations."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from rulepush.config.sections import AlertmanagerConfig
from rulepush.discovery.groups import Environment, GroupChanges
from rulepush.discovery.provider import Providers
from rulepush.http_client.config import HTTPClientConfig
from rulepush.notifier.alertmanager import Alertmanager
from rulepush.notifier.endpoints import Endpoints, endpoints
from rulepush.notifier.notifier import Destination, Notifier
from rulepush.relabel.relabel import Relabel, RelabelConfig, relabel
from rulepush.tasks import OwnedTask, TaskOwner

if TYPE_CHECKING:
    from rulepush.http_client.on_demand import AnyClient, AnyClientFactory
    from rulepush.notifier.probe import AlertmanagerProbe

log = logging.getLogger("rulepush.notifier")

Sender = tuple[HTTPClientConfig, tuple[RelabelConfig, ...]]


class AlertmanagerSets:
    """Keeps a Notifier's destinations in step with the sections and their discoveries.

    `run` once, `sync` at start and at a reload.
    """

    def __init__(self, notifier: Notifier, env: Environment, client_factory: AnyClientFactory):
        self._notifier = notifier
        self._env = env
        self._client_factory = client_factory
        self._tasks = TaskOwner()
        self._sections: dict[AlertmanagerConfig, _Section] = {}
        self._slots: dict[str, list[Sender | None]] = {}  # by URL: the senders to it, each in a slot of its own
        self._retired: list[_Section] = []  # no longer configured, but perhaps still in use

    async def run(self) -> None:
        """Own the discoveries until cancelled."""
        await self._tasks.run()

    async def sync(self, configs: Sequence[AlertmanagerConfig]) -> None:
        """Apply these sections; an unchanged one keeps running."""
        gone = [config for config in self._sections if config not in configs]
        old = [self._sections.pop(config) for config in gone]
        for config in dict.fromkeys(configs):
            if config not in self._sections:
                section = _Section(config, self._client_factory(config.http_client), self._env, self._changed)
                for former in old:
                    section.take_over(former)
                self._sections[config] = section
                section.task = self._tasks.start(section.providers.run, "alertmanager discovery")
        for section in old:
            if section.task is not None:
                section.task.cancel()
        self._retired += old
        self._changed()

    async def aclose(self) -> None:
        """Close the connections."""
        for section in (*self._sections.values(), *self._retired):
            await section.client.aclose()

    async def probe(self, name: str, timeout_s: float) -> AlertmanagerProbe | None:
        """Ask the Alertmanager of this outbox whether it takes alerts, within `timeout_s` seconds; None: it is gone."""
        from rulepush.notifier.probe import probe_alertmanager  # for heartbeats only

        for section in self._sections.values():
            for url in section.found.active:
                if self._name(url, section) == name:
                    seconds = min(timeout_s, section.config.timeout_ms / 1000)
                    return await probe_alertmanager(section.client, url, seconds, identify=False)
        return None

    @property
    def active(self) -> tuple[str, ...]:
        """The URLs that alerts are sent to."""
        return tuple(dict.fromkeys(url for s in self._sections.values() for url in s.found.active))

    @property
    def dropped(self) -> tuple[str, ...]:
        """The URLs that relabelling dropped."""
        return tuple(dict.fromkeys(url for s in self._sections.values() for url in s.found.dropped))

    def _changed(self) -> None:
        sections = self._sections.values()
        # Until every discovery has answered, a missing URL may only seem to be gone: its outbox must be kept.
        complete = all(section.providers.answered for section in sections)
        self._assign_slots(complete)
        self._notifier.sync(
            [section.destination(self._name(url, section)) for section in sections for url in section.found.active],
            remove=complete,
        )
        if complete and self._tasks.running:
            retired, self._retired = self._retired, []
            for section in retired:  # every loop has been given a client of a current section
                self._tasks.start(section.client.aclose, "closing connections")

    def _assign_slots(self, complete: bool) -> None:
        """Two sections may lead to one URL with other credentials, headers or relabelling: two tenants of one server.
        Each has an outbox of its own, as each is sent to by Prometheus. A freed slot is reused,
        outbox included, by the next section with this URL: that is the same section with a new password."""
        wanted: dict[str, list[Sender]] = {}
        for section in self._sections.values():
            for url in section.found.active:
                wanted.setdefault(url, []).append(section.sender)
        senders = [section.sender for section in self._sections.values()]
        for url, slots in self._slots.items():
            stay = wanted.get(url, []) if complete else senders
            slots[:] = [sender if sender in stay else None for sender in slots]
        for url, here in wanted.items():
            slots = self._slots.setdefault(url, [])
            for sender in here:
                if sender in slots:
                    continue
                if None in slots:
                    slots[slots.index(None)] = sender
                else:
                    slots.append(sender)

    def _name(self, url: str, section: _Section) -> str:
        """What tells the outboxes of one URL apart, in metrics and in the database; a fragment is not sent."""
        slot = self._slots[url].index(section.sender)
        return f"{url}#{slot + 1}" if slot else url


class _Section:
    def __init__(self, config: AlertmanagerConfig, client: AnyClient, env: Environment, changed: Callable[[], None]):
        self.config = config
        self.client = client
        self.found = Endpoints((), ())
        self.task: OwnedTask | None = None
        self._changed = changed
        self.providers = Providers(config.sd_configs, env, self._discovered)

    def take_over(self, former: _Section) -> None:
        """Start from the targets of the former discoveries. They count as answered, so they must be in effect at once:
        else the URLs would seem to be gone, and their outboxes would be dropped."""
        self.providers.take_over(former.providers)
        self._find()

    def _discovered(self, _: GroupChanges) -> None:
        self._find()
        self._changed()

    def _find(self) -> None:
        known = self.found.faults
        self.found = endpoints(self.config, self.providers.groups())
        for fault in self.found.faults:
            if fault not in known:
                log.warning("an Alertmanager cannot be used, check its target and relabel_configs: err=%s", fault)

    @property
    def sender(self) -> Sender:
        """What distinguishes sending to a URL from sending to it for another section."""
        return self.config.http_client, self.config.alert_relabel_configs

    def destination(self, name: str) -> Destination:
        chain = relabel_chain(self.config.alert_relabel_configs)
        return Destination(Alertmanager(self.client, name, self.config.timeout_ms / 1000), chain)


def relabel_chain(configs: tuple[RelabelConfig, ...]) -> Relabel | None:
    """The relabelling as a function; None when there is nothing to do."""
    return partial(relabel, configs=configs) if configs else None
