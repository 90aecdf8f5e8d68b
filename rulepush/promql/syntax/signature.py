"""What the parser knows of a function: the types of its arguments and of its result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from rulepush.promql.syntax.valuetype import ValueType

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
