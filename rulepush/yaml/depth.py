"""A bound on the nesting of YAML, to be checked before it is composed.

libyaml's composer recurses in C, in older releases without a bound: some 20,000 brackets in a row end the process. Its
event parser does not recurse. Newer releases (0.2.6) refuse 1,000 levels by themselves, and their scanner, which reads
ahead, may do so before the parser has handed out one event.
"""

from __future__ import annotations

import re
from typing import Final

import yaml

MAX_DEPTH: Final = 100
_HARMLESS: Final = 500  # every composer handles this depth
_LIBYAML_TOO_DEEP: Final = "exceeded maximum nesting depth"
_PREFIX: Final = re.compile(r"^[\s?:-]*", re.MULTILINE)
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def too_deep(text: str) -> int | None:
    """The 1-based line at which `text` nests more than MAX_DEPTH levels deep; None when it does not.

    Files that cannot nest that deep, by their brackets and indentation, cost no parsing. Raises yaml.YAMLError.
    """
    brackets = text.count("[") + text.count("{")
    if brackets + max(m.end() - m.start() for m in _PREFIX.finditer(text)) <= _HARMLESS:
        return None
    depth = 0
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > MAX_DEPTH:
                    return event.start_mark.line + 1 if event.start_mark else 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
    except yaml.MarkedYAMLError as e:
        if e.problem != _LIBYAML_TOO_DEEP:
            raise
        return e.problem_mark.line + 1 if e.problem_mark else 1
    return None
