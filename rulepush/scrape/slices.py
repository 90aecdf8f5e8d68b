"""Slices: work that may be interrupted, so that others in the event loop get their turn meanwhile."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar, cast

T = TypeVar("T")
Slices = Generator[None, None, T]
"""Work that may be interrupted at each `yield`; its result is what the generator returns."""


def at_once(work: Slices[T]) -> T:
    """The result of the work, done without interruption."""
    while True:
        try:
            next(work)
        except StopIteration as e:
            return cast(T, e.value)
