"""Counters and log lines of discoveries."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from rulepush.clock import Clock, SystemClock

if TYPE_CHECKING:
    from rulepush.nacos.dialects import Member

NO_ANSWER: Final = "no answer"
"""What is awaited of a source that was only asked yet."""

_log = logging.getLogger("rulepush.discovery")


@dataclass(frozen=True, slots=True)
class FailingDiscovery:
    """Why a source fails, and the moment (ms) of the first failure in a row."""

    error: str
    since: int


class SourceReport(Protocol):
    """Takes how a source stands, or one part of it."""

    def failed(self, detail: str, *, lasting: bool = False) -> None:
        """One request failed; `detail` is one sentence without secrets, `lasting` as in DiscoveryError."""
        ...

    def succeeded(self) -> None:
        """One request succeeded."""
        ...


class ReportedSource:
    """A SourceReport of one source, for the length of a with block: what has ended fails no longer."""

    def __init__(self, reporter: DiscoveryReporter, kind: str, where: str):
        self._reporter = reporter
        self._kind = kind
        self._where = where

    def __enter__(self) -> ReportedSource:
        self._reporter.awaited[f"{self._kind} {self._where}"] = NO_ANSWER
        return self

    def __exit__(self, *_: object) -> None:
        self._answered()
        self._reporter.forget(self._kind, self._where)

    def failed(self, detail: str, *, lasting: bool = False) -> None:
        self._answered()
        self._reporter.failed(self._kind, self._where, detail, lasting=lasting)

    def succeeded(self) -> None:
        self._answered()
        self._reporter.succeeded(self._kind, self._where)

    def _answered(self) -> None:
        self._reporter.awaited.pop(f"{self._kind} {self._where}", None)


class DiscoveryReporter:
    """Refreshes and failures by kind of discovery, for own metrics; and the last error of each source, for the log.

    A source that keeps failing with the same error is logged once, and once more when it works again. `last_errors` and
    `failing_since` (ms) have the sources that fail now, as `kind where`. `received` counts what discoverers gave,
    `updates` what was passed on of it. `nacos_members` are the servers of each Nacos cluster whose members are targets,
    as its last refresh found them. `awaited` says of sources whose first list is not complete what it waits for.
    `after_failure` is called after each failure.
    """

    def __init__(self, clock: Clock | None = None, after_failure: Callable[[], object] = lambda: None) -> None:
        self.refreshes: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.received = 0
        self.updates = 0
        self.last_errors: dict[str, str] = {}
        self.failing_since: dict[str, int] = {}
        self.nacos_members: dict[str, tuple[Member, ...]] = {}
        self.awaited: dict[str, str] = {}
        self._lasting: set[str] = set()
        self._clock = clock or SystemClock()
        self._after_failure = after_failure

    def source(self, kind: str, where: str) -> ReportedSource:
        """To tell of one source, for as long as a discoverer uses it."""
        return ReportedSource(self, kind, where)

    def succeeded(self, kind: str, where: str) -> None:
        """One refresh succeeded."""
        self.refreshes[kind] += 1
        self._lasting.discard(f"{kind} {where}")
        if self.last_errors.pop(f"{kind} {where}", None) is not None:
            del self.failing_since[f"{kind} {where}"]
            _log.info("%s discovery of %s works again", kind, where)

    def failed(self, kind: str, where: str, detail: str, *, lasting: bool = False) -> None:
        """One refresh failed; `detail` is one sentence without secrets, `lasting` as in DiscoveryError."""
        source = f"{kind} {where}"
        self.refreshes[kind] += 1
        self.failures[kind] += 1
        if self.last_errors.get(source) != detail:
            _log.warning("%s discovery of %s failed, its last good list of targets stays: %s", kind, where, detail)
        self.last_errors[source] = detail
        self.failing_since.setdefault(source, self._clock.now())
        (self._lasting.add if lasting else self._lasting.discard)(source)
        self._after_failure()

    def forget(self, kind: str, where: str) -> None:
        """The source no longer exists; if it comes back and fails, that is logged again."""
        self.last_errors.pop(f"{kind} {where}", None)
        self._lasting.discard(f"{kind} {where}")
        self.failing_since.pop(f"{kind} {where}", None)

    def failing(self) -> dict[str, FailingDiscovery]:
        """The sources that fail now, as `kind where`."""
        return {
            source: FailingDiscovery(error, self.failing_since[source]) for source, error in self.last_errors.items()
        }

    @property
    def has_only_lasting_failures(self) -> bool:
        """Whether all sources have answered, and all fail for good."""
        failed = bool(self.last_errors) and self.refreshes == self.failures and not self.awaited
        return failed and self.last_errors.keys() == self._lasting

    def failing_seconds(self) -> dict[str, float]:
        """For how long the source of each kind that failed first has failed, 0 where none fails."""
        now = self._clock.now()
        seconds = dict.fromkeys(self.refreshes, 0.0)
        for source, since in self.failing_since.items():
            kind = source.partition(" ")[0]
            seconds[kind] = max(seconds.get(kind, 0.0), (now - since) / 1000)
        return seconds

    def failing_sources(self) -> Counter[str]:
        """How many sources of each kind fail now."""
        return Counter(source.partition(" ")[0] for source in self.failing_since)
