"""A real Prometheus and rulepush on one configuration, for the tests of discoveries: until both agree.

Prometheus passes on what its discoveries found every 5 seconds (discovery/manager.go, `updatert`), and no flag of it is
for that: a step of a test takes as long. Everything else is waited for by condition, with bounds for a busy machine.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from tests.servers import QUICK_DISCOVERY, Server, binary, free_port, rulepush_command, wait_for

AGREE_S: Final = 120.0
_SHOWN: Final = 60  # lines of a difference

Found = Mapping[str, Sequence[Any]]
"""What counts of a server's targets: entries of JSON, under the names of their kinds or jobs, each list in an order."""
F = TypeVar("F", bound=Found)


@dataclass(frozen=True)
class DiscoveryPair:
    """Both servers, by their URLs, as long as the with block of `discovery_pair` lasts."""

    prometheus: str
    ours: str
    servers: tuple[Server, Server]

    def agree(
        self,
        view: Callable[[str], F],
        arrived: Callable[[F], object] = lambda _: True,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> F:
        """What both show by `view`, which gets a URL, once it is the same and `arrived` is true of it. `meanwhile` is
        called before each look. Where they do not come to agree, the error says in what they differ."""
        seen: list[F] = []

        def same() -> F | None:
            ended = [s.log.stem for s in self.servers if s.process is None or s.process.poll() is not None]
            assert not ended, f"{ended} ended"
            meanwhile()
            seen[:] = [view(self.prometheus), view(self.ours)]
            return seen[0] if seen[0] == seen[1] and arrived(seen[0]) else None

        try:
            return wait_for("the same targets in both", same, AGREE_S, every=0.25)
        except AssertionError as e:
            why = difference(*seen) if seen else ""
            raise AssertionError("\n".join(filter(None, (str(e), why, self._logs())))) from None

    def start_prometheus_anew(self) -> None:
        """End the one that runs, and begin again with what the configuration finds now."""
        self.servers[0].kill()
        self.servers[0].start()

    def _logs(self) -> str:
        return "\n".join(f"--- {server.log.name}:\n{server.output()[-2000:]}" for server in self.servers)


@contextlib.contextmanager
def discovery_pair(config: Path) -> Iterator[DiscoveryPair]:
    """Start both on `config`, with their data beside it. `agree` waits for what they need to be ready, too. They are
    killed in the end, for nothing that they would write then counts."""
    directory, ports = config.parent, (free_port(), free_port())
    at = [f"--web.listen-address=127.0.0.1:{port}" for port in ports]
    file = f"--config.file={config}"
    theirs = [binary("prometheus"), file, at[0], f"--storage.tsdb.path={directory / 'prometheus'}", QUICK_DISCOVERY]
    ours = rulepush_command("run", file, at[1], f"--storage.path={directory / 'ours'}", QUICK_DISCOVERY)
    with contextlib.ExitStack() as stack:
        servers = []
        for name, command in (("prometheus", theirs), ("rulepush", ours)):
            servers.append(Server(command, directory / f"{name}.log"))
            stack.callback(servers[-1].kill)
        urls = [f"http://127.0.0.1:{port}" for port in ports]
        yield DiscoveryPair(urls[0], urls[1], (servers[0], servers[1]))


def difference(theirs: Found, ours: Found) -> str:
    """Which lists differ, and of the first entries that only one has: in what."""
    lines, details = [], []
    for name in dict.fromkeys((*theirs, *ours)):
        sides = [list(found.get(name, ())) for found in (theirs, ours)]
        only = [[entry for entry in sides[i] if entry not in sides[1 - i]] for i in (0, 1)]
        if any(only):
            lines.append(f"{name}: {len(only[0])} only there, {len(only[1])} only here")
            there, here = (_flat(entries[0]) if entries else {} for entries in only)
            differing = [path for path in sorted(there.keys() | here.keys()) if there.get(path) != here.get(path)]
            details += [f"{name}: {path}: there {there.get(path)}, here {here.get(path)}" for path in differing]
        elif sides[0] != sides[1]:
            lines.append(f"{name}: the same, in another order or number")
    return "\n".join([*lines, *details[:_SHOWN]])


def _flat(entry: Any, path: str = "") -> dict[str, str]:
    """Every leaf of an entry by its path."""
    if isinstance(entry, str) and entry[:1] in ("{", "["):
        entry = json.loads(entry)
    if isinstance(entry, dict | list):
        parts = entry.items() if isinstance(entry, dict) else enumerate(entry)
        return {at: leaf for key, part in parts for at, leaf in _flat(part, f"{path}.{key}").items()}
    return {path.lstrip("."): str(entry)}
