"""PushgatewayForwarder: one entry of `pushgateways`. Each group keeps its newest scrape until that is delivered."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx

from rulepush.clock import Clock
from rulepush.config.sections import PushgatewayConfig
from rulepush.delivery import DeliveryRecord, DeliveryStatus, ReceiverKind
from rulepush.errors import PushError
from rulepush.exposition import FamilyMetadata
from rulepush.forward.body import Lines, PushBody
from rulepush.http_client.client import server_of
from rulepush.model.labels import JOB, METRIC_NAME, Labels
from rulepush.model.regex import compile_regex
from rulepush.model.sample import Sample, is_stale
from rulepush.push.client import PushRequest, push
from rulepush.push.url import GroupKey

log = logging.getLogger("rulepush.forward")

_CONCURRENCY: Final = 8  # requests to one Pushgateway
_BACKOFF_MIN: Final = 1.0  # seconds
_BACKOFF_MAX: Final = 60.0
_POLL_SECONDS: Final = 0.5  # seconds; how often due groups are looked for
FORGOTTEN_AFTER: Final = 600.0  # seconds after the start: former groups without a target are deleted
_BUSY: Final = frozenset((0, 408, 425, 429))
_NO_METADATA: Final[Mapping[str, FamilyMetadata]] = {}


@dataclass(slots=True)
class ForwardStats:
    """Counters since the start, in requests."""

    pushed: int = 0
    deleted: int = 0
    retried: int = 0
    refused: int = 0


@dataclass(slots=True)
class _Target:
    lines: Lines
    samples: Sequence[Sample] = ()
    metadata: Mapping[str, FamilyMetadata] = field(default_factory=dict)


@dataclass(slots=True)
class _Group:
    """Delivered at `due` when `version` is above `delivered`; by DELETE when no target is left."""

    key: GroupKey
    targets: dict[Labels, _Target] = field(default_factory=dict)
    version: int = 0
    delivered: int = 0
    due: float = 0.0
    attempt: int = 0
    refused: str = ""  # the last reason; logged when it changes
    waiting_since: int = 0  # ms, when the oldest state that is not delivered came; 0 when none waits


class PushgatewayForwarder:
    """`offer` is synchronous and never blocks; `run` delivers until it is cancelled.

    `known_file` keeps across restarts which groups were pushed, so that those of targets that went away in between
    are deleted, too; None keeps nothing.
    """

    def __init__(
        self,
        config: PushgatewayConfig,
        client: httpx.AsyncClient,
        clock: Clock,
        known_file: Path | None,
        jitter: Callable[[], float] = random.random,
    ):
        self.name = config.name
        self.counts = ForwardStats()
        self.record = DeliveryRecord()
        self.last_error = ""
        self._config = config
        self._url = config.url.reveal()
        self._jobs = [compile_regex(job) for job in config.jobs]
        self._client = client
        self._clock = clock
        self._jitter = jitter
        self._known_file = known_file
        self._groups: dict[GroupKey, _Group] = {}
        self._before = {key for key in self._load() if config.delete_when_gone}
        self._wake = asyncio.Event()

    def __len__(self) -> int:
        """Groups held."""
        return len(self._groups)

    @property
    def waiting(self) -> int:
        """Groups whose newest state is not delivered yet."""
        return sum(g.version > g.delivered for g in self._groups.values())

    def status(self) -> DeliveryStatus:
        """How the delivery to this Pushgateway stands now."""
        counts, late = self.counts, [g for g in self._groups.values() if self._is_late(g)]
        return self.record.status(
            ReceiverKind.PUSHGATEWAY,
            self.name,
            server_of(self._url),
            waiting=self.waiting,
            waiting_since=min((g.waiting_since for g in late), default=0),
            accepted=counts.pushed + counts.deleted,
            refused=counts.refused,
        )

    def _is_late(self, group: _Group) -> bool:
        """Whether a group waits for the Pushgateway, and not for `min_interval` to be over."""
        planned = not group.attempt and self._clock.monotonic() < group.due + _POLL_SECONDS * 2
        return bool(group.waiting_since) and not planned

    def wants(self, target: Labels) -> bool:
        """Whether the scrapes of this target are pushed."""
        return any(job.fullmatch(target.get(JOB)) for job in self._jobs)

    def offer(
        self, target: Labels, samples: Sequence[Sample], metadata: Mapping[str, FamilyMetadata] = _NO_METADATA
    ) -> None:
        """One scrape of the target with these labels. A stale `up` means that the target is gone."""
        if not self.wants(target):
            return
        key = self._key(target)
        group = self._groups.get(key)
        held = group.targets.get(target) if group is not None else None
        farewell = next((s for s in samples if is_stale(s.value) and s.labels.get(METRIC_NAME) == "up"), None)
        if farewell is not None:
            if group is None or held is None or any(s.ts > farewell.ts for s in held.samples):
                return  # not one of these jobs, or the target came back
            del group.targets[target]
            if not group.targets and not self._config.delete_when_gone:
                del self._groups[key]
                return
        else:
            if group is None:
                group = self._groups[key] = _Group(key)
                self._before.discard(key)
                self._save()
            if held is None:
                held = group.targets[target] = _Target(Lines(self._config.write_relabel_configs))
            held.samples, held.metadata = samples, metadata
        group.version += 1
        group.waiting_since = group.waiting_since or self._clock.now()
        self._wake.set()

    async def run(self) -> None:
        """Deliver until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._nudge())
            tasks.create_task(self._forget())
            tasks.create_task(self._deliver_due())

    async def _deliver_due(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            now = self._clock.monotonic()
            due = [g for g in self._groups.values() if g.version > g.delivered and g.due <= now]
            for i in range(0, len(due), _CONCURRENCY):
                async with asyncio.TaskGroup() as requests:
                    for group in due[i : i + _CONCURRENCY]:
                        requests.create_task(self._deliver(group))

    async def _nudge(self) -> None:
        """Look for due groups periodically; waking up exactly would need a timer per group."""
        while True:
            await self._clock.sleep(_POLL_SECONDS)
            if self.waiting:
                self._wake.set()

    async def _forget(self) -> None:
        """Delete the groups that the former process pushed and whose targets have not come back."""
        if not self._before:
            return
        await self._clock.sleep(FORGOTTEN_AFTER)
        for key in self._before:
            self._groups[key] = _Group(key, version=1, waiting_since=self._clock.now())
        self._before.clear()
        self._wake.set()

    async def _deliver(self, group: _Group) -> None:
        version = group.version
        timeout = self._config.timeout_ms / 1000
        try:
            await push(self._client, self._request(group, timeout), self._clock)
        except PushError as e:
            self._failed(group, version, e)
            return
        if group.attempt or group.refused:
            group.refused = ""
            log.info("the Pushgateway accepts pushes again: pushgateway=%s group=%s", self.name, dict(group.key))
        self.last_error = ""
        self.record.accepted(self._clock.now())
        if group.targets:
            self.counts.pushed += 1
        else:
            self.counts.deleted += 1
        self._done(group, version, self._config.min_interval_ms / 1000)

    def _request(self, group: _Group, timeout: float) -> PushRequest:
        if not group.targets:
            return PushRequest(self._url, group.key, "DELETE", timeout=timeout)
        body = PushBody()
        for target in group.targets.values():
            target.lines.write(body, target.samples, target.metadata)
        content = body.encode()
        return PushRequest(self._url, group.key, "PUT", content, {"Content-Type": body.content_type}, timeout)

    def _failed(self, group: _Group, version: int, e: PushError) -> None:
        self.last_error = str(e)
        if e.status in _BUSY or e.status >= 500:
            self.counts.retried += 1
            pause = min(_BACKOFF_MAX, _BACKOFF_MIN * 2.0 ** min(group.attempt, 30)) * (0.5 + 0.5 * self._jitter())
            level = logging.WARNING if group.attempt == 0 else logging.DEBUG
            log.log(level, "push fails, the newest scrape waits: pushgateway=%s err=%s", self.name, e)
            group.attempt += 1
            group.due = self._clock.monotonic() + pause
            self.record.failed(self._clock.now(), str(e), pause)
            return
        self.counts.refused += 1
        self.record.refused(self._clock.now(), str(Labels(group.key)), str(e))
        level = logging.DEBUG if group.refused == str(e) else logging.ERROR
        group.refused = str(e)
        log.log(level, "the Pushgateway refuses a push: pushgateway=%s group=%s err=%s", self.name, dict(group.key), e)
        self._done(group, version, self._config.min_interval_ms / 1000)

    def _done(self, group: _Group, version: int, pause: float) -> None:
        group.delivered = version
        group.waiting_since = self._clock.now() if group.version > version else 0
        group.attempt = 0
        group.due = self._clock.monotonic() + pause
        if not group.targets and group.version == version:
            del self._groups[group.key]
            self._save()

    def _key(self, target: Labels) -> GroupKey:
        labels = {name: target.get(name) for name in self._config.grouping_key}
        return tuple(sorted({**labels, JOB: target.get(JOB)}.items()))

    def _load(self) -> list[GroupKey]:
        if self._known_file is None:
            return []
        try:
            keys = json.loads(self._known_file.read_text(encoding="utf-8"))
            return [tuple((str(n), str(v)) for n, v in key) for key in keys]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, TypeError) as e:
            log.error("the list of pushed groups cannot be read: file=%s err=%s", self._known_file, e)
            return []

    def _save(self) -> None:
        if self._known_file is None:
            return
        fresh = self._known_file.with_suffix(".new")
        try:
            self._known_file.parent.mkdir(parents=True, exist_ok=True)
            fresh.write_text(json.dumps(sorted(self._groups.keys() | self._before)), encoding="utf-8")
            os.replace(fresh, self._known_file)
        except OSError as e:
            log.error("the list of pushed groups cannot be written: file=%s err=%s", self._known_file, e)
