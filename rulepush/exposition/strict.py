"""OpenMetrics as strictly as its specification. The only file that imports prometheus_client: the reference parser."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.openmetrics.parser import text_fd_to_metric_families

from rulepush.errors import ExpositionError


class _Lines:
    """Hands out lines and knows which one was the last."""

    def __init__(self, text: str):
        self._text = text
        self.number = 0

    def __iter__(self) -> Iterator[str]:
        parts = self._text.split("\n")
        for part in parts[:-1]:
            self.number += 1
            yield part + "\n"
        if parts[-1]:
            self.number += 1
            yield parts[-1]


def check_openmetrics(body: bytes) -> tuple[int, int]:
    """How many samples and families a body has. Raises ExpositionError for the first breach of the specification.

    A breach that only the end of a family shows (a histogram without `+Inf`, say) carries the line after it.
    """
    try:
        lines = _Lines(body.decode("utf-8"))
    except UnicodeDecodeError as e:
        raise ExpositionError(body.count(b"\n", 0, e.start) + 1, "not valid UTF-8") from None
    samples = families = 0
    try:
        for family in text_fd_to_metric_families(lines):  # type: ignore[no-untyped-call]
            families += 1
            samples += len(family.samples)
    except Exception as e:  # it raises ValueError on purpose, and whatever else its string handling runs into
        raise ExpositionError(max(lines.number, 1), str(e) or type(e).__name__) from None
    return samples, families
