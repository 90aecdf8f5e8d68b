"""file_sd_configs: target groups in JSON and YAML files, watched."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rulepush.discovery.answer_body import MAX_BYTES
from rulepush.discovery.group_format import parse_groups
from rulepush.discovery.groups import Environment, GroupSink, TargetGroup
from rulepush.errors import DiscoveryError

if TYPE_CHECKING:
    from rulepush.yaml.nodes import MapReader

_PATTERN: Final = re.compile(r"[^*\0]*(\*[^/\0]*)?\.(json|yml|yaml|JSON|YML|YAML)")
_LOOK_EVERY_S: Final = 3.0  # polling modification times is cheap, and works where inotify does not (NFS, mounts)

Stamp = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class FileSdConfig:
    """`files` are absolute patterns; `*` may stand in the last part of a path."""

    files: tuple[str, ...]
    refresh_interval_ms: int = 300_000
    kind: str = "file"

    def discoverer(self, env: Environment) -> FileDiscovery:
        return FileDiscovery(self, env)

    def paths(self) -> list[str]:
        """The files that the patterns match now."""
        return list(dict.fromkeys(p for pattern in self.files for p in sorted(glob.glob(pattern, include_hidden=True))))


def read_file_sd(m: MapReader) -> FileSdConfig:
    """Read one entry of `file_sd_configs`."""
    files = m.target_files("files", _PATTERN, 'path name "{}" is not valid for file discovery')
    if m.empty("files"):
        m.problem("file service discovery config must contain at least one path name")
    config = FileSdConfig(files, m.duration("refresh_interval", 300_000) or 300_000)
    m.finish()
    return config


def read_group_file(path: str) -> list[TargetGroup]:
    """The groups of one file, with `__meta_filepath`. Raises DiscoveryError."""
    try:
        with open(path, "rb") as f:
            body = f.read(MAX_BYTES + 1)
    except OSError as e:
        raise DiscoveryError(f"cannot be read: {e.strerror or e}") from None
    form = "json" if path.lower().endswith(".json") else "yaml"
    shown = _shown(path)
    return parse_groups(body, shown, {"__meta_filepath": shown}, form=form)


class FileDiscovery:
    """Reads changed files, and every file at each refresh interval. An invalid file keeps its last good groups."""

    def __init__(self, config: FileSdConfig, env: Environment):
        self._config = config
        self._env = env
        self._known: dict[str, tuple[Stamp | None, list[TargetGroup]]] = {}
        self._read_all_at = 0.0

    async def run(self, sink: GroupSink) -> None:
        last: Sequence[TargetGroup] | None = None
        try:
            while True:
                groups = self.look()
                if groups != last:
                    last = groups
                    sink.replace(groups)
                await self._env.clock.sleep(min(_LOOK_EVERY_S, self._config.refresh_interval_ms / 1000))
        finally:
            for path in self._known:
                self._env.reporter.forget("file", _shown(path))

    def look(self) -> list[TargetGroup]:
        """The groups of all files now; reads only those that changed since the last call."""
        now = self._env.clock.monotonic()
        everything = now >= self._read_all_at
        if everything:
            self._read_all_at = now + self._config.refresh_interval_ms / 1000
        paths = self._config.paths()
        for path in paths:
            known = self._known.get(path)
            stamp = _stamp(path)
            if known is None or known[0] != stamp or everything:
                self._known[path] = (stamp, self._read(path, known[1] if known else []))
        for path in self._known.keys() - paths:
            del self._known[path]
            self._env.reporter.forget("file", _shown(path))
        return [group for path in paths for group in self._known[path][1]]

    def _read(self, path: str, before: list[TargetGroup]) -> list[TargetGroup]:
        try:
            groups = read_group_file(path)
        except DiscoveryError as e:
            self._env.reporter.failed("file", _shown(path), str(e))
            return before
        self._env.reporter.succeeded("file", _shown(path))
        return groups


def _shown(path: str) -> str:
    """The path as a label value: text that is not UTF-8 could be neither sent nor saved."""
    return os.fsencode(path).decode("utf-8", "replace")


def _stamp(path: str) -> Stamp | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return (status.st_mtime_ns, status.st_size, status.st_ino)
