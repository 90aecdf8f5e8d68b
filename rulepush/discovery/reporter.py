"""Counters and log lines of discoveries."""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rulepush.nacos.dialects import Member

_log = logging.getLogger("rulepush.discovery")


class DiscoveryReporter:
    """Refreshes and failures by kind of discovery, for own metrics; and the last error of each source, for the log.

    A source that keeps failing with the same error is logged once, and once more when it works again. `nacos_members`
    are the servers of each Nacos cluster whose members are targets, as its last refresh found them.
    """

    def __init__(self) -> None:
        self.refreshes: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.last_errors: dict[str, str] = {}
        self.nacos_members: dict[str, tuple[Member, ...]] = {}

    def succeeded(self, kind: str, where: str) -> None:
        """One refresh succeeded."""
        self.refreshes[kind] += 1
        if self.last_errors.pop(f"{kind} {where}", None) is not None:
            _log.info("%s discovery of %s works again", kind, where)

    def failed(self, kind: str, where: str, detail: str) -> None:
        """One refresh failed; `detail` is one sentence without secrets."""
        self.refreshes[kind] += 1
        self.failures[kind] += 1
        if self.last_errors.get(f"{kind} {where}") != detail:
            _log.warning("%s discovery of %s failed, its last good list of targets stays: %s", kind, where, detail)
        self.last_errors[f"{kind} {where}"] = detail

    def forget(self, kind: str, where: str) -> None:
        """The source no longer exists; if it comes back and fails, that is logged again."""
        self.last_errors.pop(f"{kind} {where}", None)
