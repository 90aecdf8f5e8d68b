"""Type and unit of a metric as labels (Prometheus' feature `type-and-unit-labels`). Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from rulepush.model.labels import METADATA_NAMES

_TYPE, _UNIT = METADATA_NAMES
_NO_TYPE: Final = ("", "unknown")


def with_type_and_unit(
    pairs: Iterable[tuple[str, str]], metric_type: str, unit: str, *, both: bool = False
) -> tuple[tuple[str, str], ...]:
    """The pairs of a series with `__type__` and `__unit__`. What the body wrote under these names gives way to what
    was declared, and stays where nothing was: no type, `unknown`, or no unit. With `both` it goes, too, as long as one
    of the two was declared (remote write does so).

    Sources: prometheus schema/labels.go, model/textparse/promparse.go, storage/remote/write_handler.go (3.14).
    """
    declared = [(_UNIT, unit)] if unit else []
    if metric_type not in _NO_TYPE:
        declared.insert(0, (_TYPE, metric_type))
    if not declared:
        return tuple(pairs)
    replaced = METADATA_NAMES if both else tuple(name for name, _ in declared)
    return (*(pair for pair in pairs if pair[0] not in replaced), *declared)
