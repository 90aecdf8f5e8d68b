"""Releases of Nacos, and facts about a release as a whole."""

from __future__ import annotations

import re
from typing import Final

Release = tuple[int, int, int]
"""(major, minor, patch)"""

# The newest patch of the lines that people run, for "2.4" and the like.
_NEWEST: Final = {(1, 4): 6, (2, 0): 4, (2, 1): 2, (2, 2): 4, (2, 3): 2, (2, 4): 3, (2, 5): 1, (3, 0): 3, (3, 2): 3}

# Releases without /nacos/actuator/prometheus: 3.0.0 was built without the actuator (nacos issue 13321), 3.2.1 with a
# Micrometer too old for its Spring Boot (nacos issue 15033, nacos-docker issue 503; PR 15060 fixed it for 3.2.2).
WITHOUT_METRICS: Final = {(3, 0, 0): "3.0.1", (3, 2, 1): "3.2.2"}
"""Release -> the one that has the endpoint again."""


def parse_release(version: str) -> Release | None:
    """The release of "2.4.3", "3.0.0-BETA", or of "2.4", which stands for its newest patch. None for anything else."""
    found = re.match(r"v?(\d+)\.(\d+)(?:\.(\d+))?", version)
    if found is None:
        return None
    major, minor = int(found[1]), int(found[2])
    return major, minor, int(found[3]) if found[3] else _NEWEST.get((major, minor), 0)
