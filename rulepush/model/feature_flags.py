"""Names of `--enable-feature` that several packages read. `rulepush health`, which must start fast, imports them."""

from __future__ import annotations

from typing import Final

TYPE_AND_UNIT_FEATURE: Final = "type-and-unit-labels"
ZERO_AT_START_FEATURE: Final = "created-timestamp-zero-ingestion"
