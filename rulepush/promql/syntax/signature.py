"""The four types of an expression, and what the parser knows of a function: the types of its arguments and result."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol


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


SCALAR: Final = ValueType.SCALAR
VECTOR: Final = ValueType.VECTOR
MATRIX: Final = ValueType.MATRIX
STRING: Final = ValueType.STRING


@dataclass(frozen=True, slots=True)
class Signature:
    """Argument types as Prometheus declares them (promql/parser/functions.go).

    `variadic`: 0 the number of arguments is fixed; k > 0 up to k of the last ones are optional; -1 the last type
    may be given any number of times, also none. As in Prometheus, for -1 and k>0 `arg_types` lists each type once
    more than is required.
    """

    arg_types: tuple[ValueType, ...]
    variadic: int = 0
    returns: ValueType = VECTOR
    experimental: bool = False


class DeclaredFunction(Protocol):
    """A function as far as the parser is concerned; the kernels are in `functions`."""

    @property
    def signature(self) -> Signature: ...
