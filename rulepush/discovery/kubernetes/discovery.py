"""KubernetesDiscovery: opens the watches that a role needs, and gives the groups that it makes of them."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final

from rulepush.discovery.attempts import Attempts
from rulepush.discovery.groups import Environment, GroupSink, TargetGroup
from rulepush.discovery.kubernetes.access import ApiAccess
from rulepush.discovery.kubernetes.connection import Connection, InClusterConnection
from rulepush.discovery.kubernetes.resource import ObjectChange, Objects, Resource, Role
from rulepush.discovery.kubernetes.scope import ResourceScope, WatchedResource
from rulepush.discovery.kubernetes.watching import KIND, ResourceWatch
from rulepush.discovery.short_turns import ShortTurns

_ALL: Final = ""  # namespaces
_FIRST_RETRY_S, _LAST_RETRY_S = 5.0, 60.0
_SERIES_A_STEP: Final = 20  # of the making of a group, mostly a target: in objects that live long, as series
_MANY_TARGETS: Final = 200
_LET_GO_TARGETS: Final = 20


RoleBuilder = Callable[[Mapping[str, Objects[Any]]], Role]
"""Makes the role that reads these objects: those of each watched resource, by its name."""


@dataclass(frozen=True, slots=True)
class WantedNamespaces:
    """`names`: empty, without `own`, means all of them. `own`: the pod's own one, too."""

    names: tuple[str, ...] = ()
    own: bool = False


class _Joined:
    """The objects of one resource, of the watches of all namespaces that have been listed."""

    def __init__(self) -> None:
        self.watches: list[ResourceWatch[Any]] = []

    def get(self, key: str) -> Any:
        if len(self.watches) == 1:
            return self.watches[0].objects.get(key)
        for watch in self.watches:
            found = watch.objects.get(key)
            if found is not None:
                return found
        return None

    def items(self) -> Iterable[tuple[str, Any]]:
        for watch in self.watches:
            yield from watch.objects.items()


class _Part:
    """The watches of one namespace, which count from when all of them have been listed: as in Prometheus, a pod without
    its service, or a target without its node, is none yet."""

    def __init__(self, watches: Sequence[ResourceWatch[Any]]):
        self.watches = watches
        self.counts = False

    @property
    def is_listed(self) -> bool:
        return all(w.is_listed for w in self.watches)

    @property
    def is_undecided(self) -> bool:
        """Its lists are still to come, and none has failed."""
        return not self.is_listed and not any(w.has_failed for w in self.watches)


class KubernetesDiscovery:
    """Gives its first groups when every namespace has been listed, but for those whose list has failed: these come when
    it succeeds. Until one has, nothing is known and the groups of before stay.
    """

    def __init__(
        self,
        connection: Connection,
        watched: Sequence[WatchedResource],
        build_role: RoleBuilder,
        wanted: WantedNamespaces,
        env: Environment,
    ):
        self._connection = connection
        self._watched = watched
        self._build_role = build_role
        self._wanted = wanted
        self._env = env

    async def run(self, sink: GroupSink) -> None:
        namespaces = await self._namespaces()
        env = self._env
        access = env.shared.use((ApiAccess, self._connection), lambda: ApiAccess(self._connection, env), env.clock)
        async with access as shared, AsyncExitStack() as stack:
            watches = [
                (watched.resource, [await self._use(stack, shared, scope) for scope in _scopes(watched, namespaces)])
                for watched in self._watched
            ]
            await Following(self._build_role, watches, namespaces, self._env.series_came).run(sink)

    async def _namespaces(self) -> tuple[str, ...]:
        names = self._wanted.names
        if not self._wanted.own:
            return names or (_ALL,)
        account = self._connection if isinstance(self._connection, InClusterConnection) else InClusterConnection()

        async def own_namespace() -> str:
            return account.own_namespace()

        with self._env.reporter.source(KIND, "the namespaces of a configuration") as source:
            own = await Attempts(self._env, source, _FIRST_RETRY_S, _LAST_RETRY_S).until_good(own_namespace)
        return tuple(dict.fromkeys((*names, own)))

    async def _use(self, stack: AsyncExitStack, access: ApiAccess, scope: ResourceScope[Any]) -> ResourceWatch[Any]:
        env = self._env

        def make() -> ResourceWatch[Any]:
            return ResourceWatch(access, scope, env)

        key = (ResourceWatch, self._connection, scope)
        return await stack.enter_async_context(env.shared.use(key, make, env.clock))


def _scopes(watched: WatchedResource, namespaces: Sequence[str]) -> list[ResourceScope[Any]]:
    return [watched.within(name) for name in (namespaces if watched.resource.namespaced else (_ALL,))]


class Following:
    """One run: the watches are open, and what changes in them becomes groups, a slice at a time."""

    def __init__(
        self,
        build_role: RoleBuilder,
        watches: Sequence[tuple[Resource[Any], Sequence[ResourceWatch[Any]]]],
        namespaces: Sequence[str],
        series_came: Callable[[int], object] = lambda _count: None,
    ):
        """`series_came` as in Environment."""
        self._series_came = series_came
        self._joined = {resource.name: _Joined() for resource, _ in watches}
        self._role = build_role(self._joined)
        self._watches = [w for _, each in watches for w in each]
        of_cluster = [w for w in self._watches if not w.scope.resource.namespaced]
        self._parts = [
            _Part([w for w in self._watches if w.scope.resource.namespaced and w.scope.namespace == name] + of_cluster)
            for name in namespaces
        ]
        self._large: dict[str, TargetGroup] = {}  # as they were given last
        self._counting: set[int] = set()  # the ids of the watches that count
        self._due: OrderedDict[str, None] = OrderedDict()  # the sources of groups that may be other ones now
        self._progress = asyncio.Event()

    async def run(self, sink: GroupSink) -> None:
        """Until cancelled."""
        for watch in self._watches:
            watch.listen(self._changed)
        try:
            await self._first(sink)
            while True:
                await self._wait()
                await self._count_more()
                turns = ShortTurns()
                while self._due:
                    made: dict[str, TargetGroup | None] = {}
                    while self._due:
                        source, _ = self._due.popitem(last=False)  # what changes while it is made is due again
                        made[source] = await self._group(source, turns)
                        if turns.is_over:
                            break
                    sink.update([g for g in made.values() if g is not None], [s for s, g in made.items() if g is None])
                    await turns.next()
                    await self._let_go(made, turns)
                await turns.rest()  # many groups change with each of their pods
        finally:
            for watch in self._watches:
                watch.leave(self._changed)

    async def _first(self, sink: GroupSink) -> None:
        while any(p.is_undecided for p in self._parts) or not any(p.is_listed for p in self._parts):
            await self._wait()
        for part in self._parts:
            self._count(part)
        groups: list[TargetGroup] = []
        turns = ShortTurns()
        for source in list(self._role.sources()):
            group = await self._group(source, turns)
            if group is not None:
                groups.append(group)
                if len(group.targets) >= _MANY_TARGETS:
                    self._large[source] = group
            await turns.piece_done()
        sink.replace(groups)  # what has changed meanwhile is due

    async def _group(self, source: str, turns: ShortTurns) -> TargetGroup | None:
        return await turns.work(self._role.group(source), lambda: self._series_came(_SERIES_A_STEP))

    async def _let_go(self, made: Mapping[str, TargetGroup | None], turns: ShortTurns) -> None:
        """Give back the memory of the large groups that these replace, in turns too: it is one of a hundred thousand
        small objects, if nobody else has it."""
        for source, group in made.items():
            before = self._large.pop(source, None)
            if group is not None and len(group.targets) >= _MANY_TARGETS:
                self._large[source] = group
            if before is not None:
                targets = list(before.targets)
                del before
                while targets:
                    del targets[-_LET_GO_TARGETS:]
                    await turns.piece_done()

    async def _wait(self) -> None:
        await self._progress.wait()
        self._progress.clear()

    def _count(self, part: _Part) -> list[ResourceWatch[Any]]:
        """The watches that count from now on, if the part does."""
        if part.counts or not part.is_listed:
            return []
        part.counts = True
        new = [w for w in part.watches if id(w) not in self._counting]
        for watch in new:
            self._counting.add(id(watch))
            self._joined[watch.scope.resource.name].watches.append(watch)
        return new

    async def _count_more(self) -> None:
        """Namespaces whose lists came later."""
        for part in self._parts:
            for watch in self._count(part):
                turns = ShortTurns()
                for key in list(watch.objects):
                    await turns.piece_done()
                    made = watch.objects.get(key)
                    if made is not None:
                        self._note(watch, ObjectChange(key, None, made))

    def _changed(self, watch: ResourceWatch[Any], changes: Sequence[ObjectChange[Any]]) -> None:
        if id(watch) in self._counting:
            for change in changes:
                self._note(watch, change)
        self._progress.set()

    def _note(self, watch: ResourceWatch[Any], change: ObjectChange[Any]) -> None:
        for source in self._role.affected(watch.scope.resource, change):
            self._due[source] = None
