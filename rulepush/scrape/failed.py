"""What a body that does not count as a whole reports of itself. Pure.

Source: prometheus scrape/scrape_append_v2.go (append), scrape.go (checkAddError) and the appenders of target.go. There
each sample is appended at once, and all is taken back at an error; what was counted until then is reported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from rulepush.histogram.errors import BucketLimitError, HistogramError

LIMIT_EXCEEDED: Final = "sample limit exceeded"


class FailedBody:
    """Counts the samples of a body one by one. `fresh` are the lines of series that were not known; `added` of them are
    reported as new: those before a limit.

    With `faults`, why a histogram cannot be stored by the number of its sample, and limits, `error` says in the end
    why the body fails; "" when it does not, for what is wrong was dropped.
    """

    def __init__(self, sample_limit: int, faults: Mapping[int, HistogramError], is_known: Callable[[bytes], bool]):
        self.scraped = self.post_relabel = self.added = 0
        self.fresh: set[bytes] = set()
        self._sample_limit = sample_limit
        self._faults = faults
        self._is_known = is_known
        self._seen: set[bytes] = set()  # without times of their own
        self._appended = 0
        self._fatal = self._too_many = self._bucket_limit = ""

    @property
    def error(self) -> str:
        """The one that is reported."""
        return self._fatal or self._too_many or self._bucket_limit

    @property
    def ended(self) -> bool:
        """Whether it ended before its last line."""
        return bool(self._fatal)

    def parsed(self) -> None:
        """Another line parsed."""
        self.scraped += 1

    def end(self, error: str) -> None:
        """Nothing after the last line is read."""
        self._fatal = error

    def kept(self, key: bytes, *, timed: bool = False) -> None:
        """The last line that parsed was not dropped. It may end the body."""
        self.post_relabel += 1
        if key in self._seen and not timed:
            return  # a duplicate is left out
        fault = self._faults.get(self.scraped - 1)
        if isinstance(fault, BucketLimitError):
            self._bucket_limit = str(fault)
            return
        self._appended += 1
        if self._sample_limit and self._appended > self._sample_limit:
            self._too_many = LIMIT_EXCEEDED
            return
        if fault is not None:
            self.end(str(fault))
            self.post_relabel -= 1
            return
        self._seen.add(key)
        if key not in self.fresh and not self._is_known(key):
            self.fresh.add(key)
            self.added += not self._bucket_limit
