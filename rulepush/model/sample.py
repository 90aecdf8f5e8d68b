"""Sample: one value of one series at one time."""

from __future__ import annotations

from dataclasses import dataclass

from rulepush.model.labels import Labels


@dataclass(frozen=True, slots=True)
class Sample:
    """`ts` in milliseconds since the epoch."""

    labels: Labels
    ts: int
    value: float
