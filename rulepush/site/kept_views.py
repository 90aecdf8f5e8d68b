"""What the pages show of the samples in memory. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from rulepush.site.paging import PagedRows, paged
from rulepush.storage.head import Head
from rulepush.storage.table import Table


@dataclass(frozen=True, slots=True)
class KeptMetric:
    """A metric in memory. `lookback_ms` is how far back rules look, and for how long its samples are kept; `windows`
    says that some are kept longer, for a fixed `@` time."""

    name: str
    series: int
    samples: int
    nbytes: int
    lookback_ms: int
    windows: bool


@dataclass(frozen=True, slots=True)
class KeptList:
    """Counts of everything in memory, and one page of the metrics looked for: those with most series first."""

    metrics: int
    series: int
    samples: int
    nbytes: int
    rows: PagedRows[KeptMetric]


def kept_list(head: Head, text: str, page: int) -> KeptList:
    """The page of that number of the metrics whose name contains `text`, in any case."""
    tables = list(head.tables())
    text = text.strip().lower()
    found = sorted((t for t in tables if text in t.name.lower()), key=lambda t: (-len(t), t.name))
    rows = paged(found, page)
    shown = [_metric(table) for table in rows.rows]
    return KeptList(
        len(tables),
        head.series_count,
        head.sample_count,
        head.nbytes,
        PagedRows(shown, rows.number, rows.pages, rows.count),
    )


def _metric(table: Table) -> KeptMetric:
    keep = table.keep
    return KeptMetric(
        table.name,
        len(table),
        table.sample_count,
        table.nbytes + table.label_bytes,
        keep.lookback_ms,
        bool(keep.windows),
    )
