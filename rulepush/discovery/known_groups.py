"""KnownGroups: what a discovery has found, group by group, and which groups changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from rulepush.discovery.groups import TargetGroup


class KnownGroups:
    """A GroupSink that holds the groups of one discovery by their source, in the order they were found.

    `changed` gets the sources of the groups that are new, other than before, or gone: never an empty set, but for the
    first list, which may have no groups.
    """

    def __init__(self, changed: Callable[[set[str]], None]):
        self.by_source: dict[str, TargetGroup] = {}
        self.answered = False
        self._changed = changed

    def replace(self, groups: Sequence[TargetGroup]) -> None:
        """Take `groups` for all that there are. Of two equal ones the former stays: others hold it, and the new one's
        memory is given back."""
        before, found, sources = self.by_source, dict[str, TargetGroup](), set[str]()
        for group in groups:
            known = before.get(group.source)
            if known is None or known != group:
                sources.add(group.source)
                known = group
            found[group.source] = known
        self.by_source = found
        self._tell(sources | (before.keys() - found.keys()))

    def update(self, groups: Iterable[TargetGroup] = (), gone: Iterable[str] = ()) -> None:
        """Take `groups` for new or changed, those with the sources `gone` for ended."""
        sources = set()
        for source in gone:
            if self.by_source.pop(source, None) is not None:
                sources.add(source)
        for group in groups:
            if self.by_source.get(group.source) != group:
                self.by_source[group.source] = group
                sources.add(group.source)
        self._tell(sources)

    def _tell(self, sources: set[str]) -> None:
        first, self.answered = not self.answered, True
        if sources or first:
            self._changed(sources)
