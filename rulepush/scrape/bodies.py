"""TargetBodies: the last body of each target, for people. Only with `--web.enable-target-bodies`; pure.

What was scraped is kept, and nothing is fetched when somebody looks: by then a target may answer something else than
what failed at night, and no reader of a page can make rulepush send requests with the job's credentials.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MAX_BODY_BYTES: Final = 1 << 20  # of one body; of a longer one the beginning is kept
MAX_ERROR_BODY_BYTES: Final = 64 << 10  # of an answer whose status is not 200
MAX_KEPT_BYTES: Final = 32 << 20  # of all


@dataclass(frozen=True, slots=True)
class KeptBody:
    """What a target answered at `at` (ms). `content` is the beginning of `size` bytes, decompressed. `failed` says
    whether the scrape failed, be it for the status or for what the body holds."""

    at: int
    status: int
    content_type: str
    content: bytes
    size: int
    failed: bool


class TargetBodies:
    """Bounded: where all do not fit, those of good scrapes go first, the oldest of them first. A body that is not
    longer than the bound is kept as it is, without a copy."""

    def __init__(self, max_bytes: int = MAX_KEPT_BYTES, max_body_bytes: int = MAX_BODY_BYTES):
        self._max_bytes = max_bytes
        self._max_body_bytes = max_body_bytes
        self._good: dict[object, KeptBody] = {}  # in the order of their scrapes, as the failed ones
        self._failed: dict[object, KeptBody] = {}
        self.nbytes = 0

    def __len__(self) -> int:
        return len(self._good) + len(self._failed)

    def keep(self, scraper: object, at: int, status: int, content_type: str, body: bytes, failed: bool) -> None:
        """Remember the body in place of the last one of this scraper, which is known by its identity."""
        self.forget(scraper)
        content = body[: self._max_body_bytes]
        kept = self._failed if failed else self._good
        kept[scraper] = KeptBody(at, status, content_type, content, len(body), failed)
        self.nbytes += len(content)
        while self.nbytes > self._max_bytes:
            self.forget(next(iter(self._good or self._failed)))

    def get(self, scraper: object) -> KeptBody | None:
        """The last body; None where there was none, or no room."""
        return self._good.get(scraper) or self._failed.get(scraper)

    def forget(self, scraper: object) -> None:
        """The target is gone."""
        body = self._good.pop(scraper, None) or self._failed.pop(scraper, None)
        if body is not None:
            self.nbytes -= len(body.content)

    def hand_over(self, former: object, scraper: object) -> None:
        """A new configuration of the job: the target's body stays, under its new scraper."""
        for kept in (self._good, self._failed):
            if former in kept:
                kept[scraper] = kept.pop(former)
