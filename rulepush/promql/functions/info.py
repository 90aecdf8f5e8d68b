"""info(): its signature. The engine evaluates it, since it selects series of its own."""

from __future__ import annotations

from typing import Any, Final

from rulepush.promql.functions.registry import CallContext, Function, VectorFunction
from rulepush.promql.syntax.signature import VECTOR, Signature
from rulepush.promql.vectors.values import Vector


def _info(ctx: CallContext, *args: Any) -> Vector:
    raise NotImplementedError("info() is evaluated by the engine")


INFO: Final[dict[str, Function]] = {
    "info": VectorFunction("info", Signature((VECTOR, VECTOR), variadic=1, experimental=True), _info),
}
