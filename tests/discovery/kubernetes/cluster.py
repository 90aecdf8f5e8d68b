"""The objects of a small cluster, and one role that reads them: which groups it has after each change."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rulepush.discovery.groups import TargetGroup
from rulepush.discovery.kubernetes.config import KubernetesSdConfig
from rulepush.discovery.kubernetes.fields import object_key
from rulepush.discovery.kubernetes.resource import ObjectChange
from rulepush.slices import at_once
from tests.discovery.driving import read_sd
from tests.kubernetes_server import KINDS

Json = dict[str, Any]


def config_of(settings: str) -> KubernetesSdConfig:
    """From `role: pod, attach_metadata: {node: true}`."""
    config, problems = read_sd("kubernetes_sd_configs", f"{{{settings}}}")
    assert isinstance(config, KubernetesSdConfig)
    assert problems == []
    return config


class Known:
    """Objects of one resource."""

    def __init__(self) -> None:
        self.by_key: dict[str, Any] = {}

    def get(self, key: str) -> Any:
        return self.by_key.get(key)

    def items(self) -> Iterable[tuple[str, Any]]:
        return list(self.by_key.items())


class WatchedCluster:
    """`groups` is kept up by what the role says that a change affects; `affected` are the sources of the last one."""

    def __init__(self, settings: str, *objects: Json):
        self.config = config_of(settings)
        self._resources = {w.resource.name: w.resource for w in self.config.watched()}
        self.objects = {name: Known() for name in self._resources}
        self.affected: set[str] = set()
        for made in objects:
            self._store(made)
        self._role = self.config.build_role(self.objects)
        self.groups: dict[str, TargetGroup] = {}
        self._regroup(self._role.sources())

    def _store(self, made: Json) -> tuple[str, ObjectChange[Any]] | None:
        name = KINDS[made["kind"]][1]
        if name not in self._resources:
            return None
        key = object_key(made["metadata"])
        before, after = self.objects[name].get(key), self._resources[name].project(made)
        self.objects[name].by_key[key] = after
        return name, ObjectChange(key, before, after)

    def _regroup(self, sources: Iterable[str]) -> None:
        for source in sources:
            group = at_once(self._role.group(source))
            if group is None:
                self.groups.pop(source, None)
            else:
                assert group.source == source
                self.groups[source] = group

    def put(self, *objects: Json) -> None:
        """Create or change objects."""
        self.affected = set()
        for made in objects:
            stored = self._store(made)
            if stored is not None:
                self._change(*stored)

    def delete(self, kind: str, key: str) -> None:
        """Remove an object."""
        self.affected = set()
        name = KINDS[kind][1]
        if name in self._resources:
            self._change(name, ObjectChange(key, self.objects[name].by_key.pop(key), None))

    def _change(self, name: str, change: ObjectChange[Any]) -> None:
        affected = set(self._role.affected(self._resources[name], change))
        self.affected |= affected
        self._regroup(affected)

    def from_scratch(self) -> dict[str, TargetGroup]:
        """The groups that a new role makes of the objects there are now."""
        role = self.config.build_role(self.objects)
        return {source: group for source in role.sources() if (group := at_once(role.group(source))) is not None}

    def group(self, source: str) -> TargetGroup:
        return self.groups[source]

    def targets(self, source: str) -> list[dict[str, str]]:
        """The targets' own labels, `__meta_kubernetes_` left out of the names."""
        return [_short(t.as_dict()) for t in self.groups[source].targets]

    def labels(self, source: str) -> dict[str, str]:
        """The labels of the group, in the same form."""
        return _short(self.groups[source].labels.as_dict())

    def addresses(self, source: str) -> list[str]:
        return [t["__address__"] for t in self.targets(source)]


def _short(labels: dict[str, str]) -> dict[str, str]:
    return {name.removeprefix("__meta_kubernetes_"): value for name, value in labels.items()}
