"""Kernels are called as the engine calls them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def quiet_arithmetic() -> Iterator[None]:
    """NaN and Inf are results here: numpy need not warn of them, which the engine sees to once for all kernels."""
    with np.errstate(all="ignore"):
        yield
