"""Telling pools what discovery found."""

from __future__ import annotations

from collections.abc import Iterable

from rulepush.discovery.groups import TargetGroup
from rulepush.model.labels import Labels
from rulepush.scrape.pool import ScrapePools


def found(pools: ScrapePools, job_name: str, label_sets: Iterable[Labels]) -> None:
    """These label sets are all of one discovery's only group."""
    pools.change(job_name, {(0, "0"): TargetGroup("0", tuple(label_sets))})
