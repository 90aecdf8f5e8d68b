"""Whether a configuration file, or one of the files that it names, has changed: `--config.auto-reload-interval`.

As Prometheus' config/reload.go: by the content of the file, of those that its patterns match, and by which these are.
Different from it: they are only read when `stat` says that they may have changed, a change is taken once the files have
stood still for a moment, and a bad one is tried once, not at every look.
"""

from __future__ import annotations

import glob
import logging
import os
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import yaml

from rulepush.clock import Clock
from rulepush.yaml.source import MAX_FILE_BYTES, LoadSession, read_yaml

log = logging.getLogger("rulepush.config")

SETTLE_SECONDS: Final = 2.0

_Stamps = tuple[tuple[str, tuple[int, int, int] | None], ...]


class ConfigFiles:
    """A configuration file and the files that it names, as they were at the last `take`."""

    def __init__(self, path: str, keys: Sequence[str], sections: Sequence[str] = ()):
        """`keys`: those at the top of the file, and in the items of the lists `sections`, that hold a path or a list of
        them, patterns allowed."""
        self._path = path
        self._keys = frozenset(keys)
        self._sections = frozenset(sections)
        self._patterns: tuple[str, ...] = ()
        self.take()

    def take(self) -> None:
        """What is there now is what counts from now on. To be called before the files are read."""
        self._patterns = self._named() or self._patterns
        self._stamps = self.stamps()
        self._digest = _digest(self._stamps)

    def changed(self) -> bool:
        """Whether another content, or another file, is there than at the last `take`."""
        stamps = self.stamps()
        if stamps == self._stamps:
            return False
        if _digest(stamps) != self._digest:
            return True
        self._stamps = stamps  # touched, or replaced by the same
        return False

    def stamps(self) -> _Stamps:
        """Each file with what changes when it is written or replaced, also where it is reached by links: Kubernetes
        mounts a ConfigMap so, and swaps a link to change it."""
        found = {self._path: None}
        for pattern in self._patterns:
            found.update(dict.fromkeys(sorted(glob.glob(pattern, include_hidden=True))))
        return tuple((path, _stamp(path)) for path in found)

    def _named(self) -> tuple[str, ...]:
        """The patterns in the file; none where it cannot be read, or is no YAML."""
        source, root = read_yaml(self._path, LoadSession())
        if not isinstance(root, yaml.MappingNode):
            return ()
        top = _pairs(root)
        maps = [root, *(m for key, value in top if key in self._sections for m in _maps(value))]
        values = [value for m in maps for key, value in _pairs(m) if key in self._keys]
        nodes = [n for v in values for n in (v.value if isinstance(v, yaml.SequenceNode) else [v])]
        texts = [n.value for n in nodes if isinstance(n, yaml.ScalarNode)]
        # The file is not checked yet, and a path with a null byte would raise.
        return tuple(source.resolve(text) for text in texts if text and "\0" not in text)


def _pairs(node: yaml.MappingNode) -> list[tuple[str, yaml.Node]]:
    """Keys that are texts, and their values: a list as a key is refused later, by who reads the configuration."""
    return [(key.value, value) for key, value in node.value if isinstance(key, yaml.ScalarNode)]


def _maps(node: yaml.Node) -> list[yaml.MappingNode]:
    """The items of a list that are mappings."""
    return [n for n in node.value if isinstance(n, yaml.MappingNode)] if isinstance(node, yaml.SequenceNode) else []


def _stamp(path: str) -> tuple[int, int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _digest(stamps: _Stamps) -> tuple[tuple[str, int], ...]:
    """64 bits of each content. Python's own hash, for it lasts as long as the process, as this does; hashlib would
    load OpenSSL."""
    return tuple((path, _content(path)) for path, _ in stamps)


def _content(path: str) -> int:
    try:
        with open(path, "rb") as f:
            return hash(f.read(MAX_FILE_BYTES + 1))  # a longer one is refused, however it ends
    except OSError as e:
        return -(e.errno or 1)


class ConfigWatch:
    """Calls `reload` when the files have changed."""

    def __init__(self, files: ConfigFiles, clock: Clock, interval_ms: int, reload: Callable[[], Awaitable[None]]):
        """`reload` calls `files.take` and then reads them; it logs what is wrong with them, and does not raise that."""
        self._files = files
        self._clock = clock
        self._seconds = interval_ms / 1000
        self._reload = reload

    async def run(self) -> None:
        """Look at every interval, until cancelled."""
        log.info("configuration files are watched: interval=%gs", self._seconds)
        while True:
            await self._clock.sleep(self._seconds)
            if self._files.changed() and await self._settled():
                log.info("configuration files have changed")
                await self._reload()

    async def _settled(self) -> bool:
        """Wait until nobody writes: what is half written may be valid, and would end the alerts of the missing rules.
        Returns whether there still is a change."""
        before = None
        while before != (now := self._files.stamps()):
            before = now
            await self._clock.sleep(min(SETTLE_SECONDS, self._seconds))
        return self._files.changed()
