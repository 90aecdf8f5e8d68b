"""The four types of a PromQL expression."""

from __future__ import annotations

from enum import Enum


class ValueType(Enum):
    """As Prometheus names them in its API and its error messages."""

    VECTOR = "vector"
    SCALAR = "scalar"
    MATRIX = "matrix"
    STRING = "string"

    @property
    def described(self) -> str:
        """`instant vector`, as in `expected type instant vector in call to function "abs"`."""
        return {"vector": "instant vector", "matrix": "range vector"}.get(self.value, self.value)
