"""Lists of many rows, a page at a time, and what is looked for in them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from rulepush.model.labels import Labels

PAGE_ROWS: Final = 50
_MAX_NUMBER: Final = 1_000_000

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PagedRows(Generic[T]):
    """`rows` of the page `number`, from 1, of `pages`; `count` rows in all."""

    rows: Sequence[T]
    number: int
    pages: int
    count: int

    @property
    def first(self) -> int:
        """Of the rows that are shown, the first, from 1; 0 when there is none."""
        return (self.number - 1) * PAGE_ROWS + 1 if self.rows else 0

    @property
    def last(self) -> int:
        """Of the rows that are shown, the last."""
        return self.first + len(self.rows) - 1 if self.rows else 0


def paged(rows: Sequence[T], number: int) -> PagedRows[T]:
    """The page of that number, or the nearest one that there is."""
    pages = max(1, -(-len(rows) // PAGE_ROWS))
    number = min(max(1, number), pages)
    return PagedRows(rows[(number - 1) * PAGE_ROWS : number * PAGE_ROWS], number, pages, len(rows))


def labels_text(labels: Labels) -> str:
    """Labels as a reader looks for them, `job="nacos",zone="a"`, in lower case. Made for each of a thousand targets: so
    nothing is escaped as `str` would do it, which takes several times as long."""
    return ",".join([f'{name}="{value}"' for name, value in labels]).lower()


def page_number(text: str) -> int:
    """The `page` of a request; 1 where it is no number: a link that was cut off still shows something."""
    return min(int(text), _MAX_NUMBER) if text.isascii() and text.isdigit() and len(text) < 10 else 1
