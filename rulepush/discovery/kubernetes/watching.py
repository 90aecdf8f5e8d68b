"""ResourceWatch: the objects of one resource as they are now, shared by all discoverers that need the same ones."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import aclosing
from typing import Any, Final, Generic, TypeVar

from rulepush.discovery.attempts import Attempts
from rulepush.discovery.groups import Environment
from rulepush.discovery.kubernetes.access import ApiAccess
from rulepush.discovery.kubernetes.api import KubernetesApi, OddObjectError, WatchEvent, projected
from rulepush.discovery.kubernetes.refusals import KubernetesApiError, ResourceExpired
from rulepush.discovery.kubernetes.resource import ObjectChange
from rulepush.discovery.kubernetes.scope import ResourceScope
from rulepush.errors import DiscoveryError

T = TypeVar("T")

KIND: Final = "kubernetes"
_FIRST_RETRY_S: Final = 1.0
_LAST_RETRY_S: Final = 30.0  # client-go's reflector
_TIMEOUT_S: Final = (300, 600)  # of a watch, at random: not all watches of all clients end together
_SHORT_S: Final = 1.0  # a watch that ends so soon is not asked for again at once
# A watch that has been open for so long is a good one. What fails sooner, again and again, is asked for ever less
# often: a list of a large cluster is dear to its API server.
_SETTLED_S: Final = 10.0

_MAX_ODD: Final = 100
# The server's own text has the two versions, and would be another one each time.
_EXPIRED: Final = (
    "410 Gone: the version of a list is too old for a watch at once, so changes are seen in lists only: is what stands "
    "before the API server one cluster, and does its etcd keep up?"
)

_log = logging.getLogger("rulepush.discovery")

Listener = Callable[["ResourceWatch[Any]", Sequence[ObjectChange[Any]]], None]
"""Is told of changes, after them. No changes: the first list is there, or an attempt has failed."""


class ResourceWatch(Generic[T]):
    """Lists, then watches, until it is cancelled; a SharedPart. While the server is away the last objects stay."""

    def __init__(
        self,
        access: ApiAccess,
        scope: ResourceScope[T],
        env: Environment,
    ):
        self.scope = scope
        self.objects: dict[str, T] = {}
        self.is_listed = False
        self._access = access
        self._env = env
        self._listed_at = 0.0  # by the monotonic clock, in seconds
        self._expired = 0  # how many lists in a row were too old soon after
        self._was_open = False  # the last failure was of a watch that the server had accepted
        self._version = ""  # "": the next request is a list
        self._listeners: list[Listener] = []
        self._odd_objects: set[str] = set()  # told of in the log
        self._where = _described(scope, access)
        self._source = env.reporter.source(KIND, self._where)
        self._attempts = Attempts(env, self._source, _FIRST_RETRY_S, _LAST_RETRY_S, lambda: self._tell(()))

    def listen(self, listener: Listener) -> None:
        """Tell `listener` of changes from now on; what there is, it finds in `objects`."""
        self._listeners.append(listener)

    def leave(self, listener: Listener) -> None:
        """The listener wants no more."""
        self._listeners.remove(listener)

    @property
    def listeners(self) -> int:
        """How many there are."""
        return len(self._listeners)

    @property
    def has_failed(self) -> bool:
        """The last attempt did."""
        return self._attempts.are_failing

    async def run(self) -> None:
        """Until cancelled."""
        try:
            with self._source:
                while True:
                    try:
                        async with self._access.open(self) as api:
                            await (self._watch(api) if self._version else self._list(api))
                    except DiscoveryError as e:
                        self._was_open = isinstance(e, KubernetesApiError) and e.was_open
                        await self._attempts.failed(e)
        finally:
            await self._access.leave(self)

    async def _list(self, api: KubernetesApi) -> None:
        found, version = await api.list(self.scope, self._odd, self.objects)
        before, self.objects = self.objects, found
        first, self.is_listed = not self.is_listed, True
        self._version, self._listed_at = version, self._env.clock.monotonic()
        self._answered()
        changes = list(_differences(before, found))
        if changes or first:
            self._tell(changes)

    async def _watch(self, api: KubernetesApi) -> None:
        """One watch, to its end."""
        low, high = _TIMEOUT_S
        timeout_s = round(low + (high - low) * self._env.chance())
        clock = self._env.clock
        began, lived, settling = clock.monotonic(), False, None
        try:
            async with aclosing(api.watch(self.scope, self._version, timeout_s)) as batches:
                async for events in batches:
                    if events:
                        lived = True
                        self._take(events)
                    else:
                        settling = clock.call_later(_SETTLED_S, self._settled)
                        if self.has_failed:
                            self._answered()
        except ResourceExpired:
            self._version = ""
            await self._expired_soon()
            return
        except KubernetesApiError as e:
            if not e.broken:
                if e.poisoned:
                    self._version = ""  # from there on it would come again
                raise
        finally:
            if settling is not None:
                settling.cancel()
        seconds = clock.monotonic() - began
        if seconds < _SHORT_S:
            if lived:
                await clock.sleep(_SHORT_S - seconds)
            else:
                await self._attempts.pause()

    def _answered(self) -> None:
        """As it should. Where watches fail after they were accepted, only one that settles says that they work."""
        if not self._was_open:
            self._attempts.answered()

    def _settled(self) -> None:
        """A watch has been open for a while."""
        self._expired, self._was_open = 0, False
        self._attempts.progressed()
        if self.has_failed:
            self._attempts.answered()

    async def _expired_soon(self) -> None:
        """Wait before the next list, if the last one was just made. Raises KubernetesApiError where that goes on."""
        if self._env.clock.monotonic() - self._listed_at >= _SETTLED_S:
            return
        self._expired += 1
        if self._expired > 1:
            raise KubernetesApiError(_EXPIRED, was_open=True)
        await self._attempts.pause()

    def _take(self, events: Sequence[WatchEvent]) -> None:
        changes = list(filter(None, map(self._changed, events)))
        self._version = events[-1].version
        if changes:
            self._tell(changes)

    def _changed(self, event: WatchEvent) -> ObjectChange[T] | None:
        if event.type == "BOOKMARK":
            return None
        try:
            key, after = projected(event.object, self.scope.resource)
        except OddObjectError as e:
            self._odd(str(e))
            return None
        before = self.objects.get(key)
        if event.type == "DELETED":
            self.objects.pop(key, None)
            return None if before is None else ObjectChange(key, before, None)
        if before == after:  # most events are about what no label says
            return None
        self.objects[key] = after
        return ObjectChange(key, before, after)

    def _odd(self, why: str) -> None:
        if why not in self._odd_objects and len(self._odd_objects) < _MAX_ODD:
            self._odd_objects.add(why)
            _log.warning("kubernetes discovery of %s leaves an object out: %s", self._where, why)

    def _tell(self, changes: Sequence[ObjectChange[T]]) -> None:
        for listener in list(self._listeners):
            listener(self, changes)


def _differences(before: dict[str, T], after: dict[str, T]) -> Iterable[ObjectChange[T]]:
    """Equal ones are the same one: to compare thousands at once would hold the event loop."""
    for key, made in after.items():
        old = before.get(key)
        if old is not made:
            yield ObjectChange(key, old, made)
    for key, old in before.items():
        if key not in after:
            yield ObjectChange(key, old, None)


def _described(scope: ResourceScope[Any], access: ApiAccess) -> str:
    """For the log: one text for each watch."""
    selectors = " and ".join(filter(None, (scope.label_selector, scope.field_selector)))
    return f"{scope}{f' with {selectors}' if selectors else ''} of {access}"
