"""Long expressions over several lines; the expected texts are those of a real Prometheus."""

from __future__ import annotations

import pytest

from rulepush.promql import parse_expr
from rulepush.promql.syntax.pretty import pretty

A, B = "a" * 60, "b" * 60


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sum  by(x)( a )", "sum by (x) (a)"),
        (f"{A}+{B}", f"  {A}\n+\n  {B}"),
        (f"{A}>bool on(x)group_left(y){B}", f"  {A}\n> bool on (x) group_left (y)\n  {B}"),
        (f"sum({A}+{B})", f"sum(\n    {A}\n  +\n    {B}\n)"),
        (f"topk(3,{A}/{B})", f"topk(\n  3,\n    {A}\n  /\n    {B}\n)"),
        (
            f'label_replace({A},"{B}","$1","s","(.*)")',
            f'label_replace(\n  {A},\n  "{B}",\n  "$1",\n  "s",\n  "(.*)"\n)',
        ),
        (f"-({A}*{B})", f"-(\n    {A}\n  *\n    {B}\n)"),
        (f"({A}*{B})[1h:5m]offset 1d", f"(\n    {A}\n  *\n    {B}\n)[1h:5m] offset 1d"),
        (f"rate({A}[5m])", f"rate({A}[5m])"),
    ],
)
def test_layout(text: str, expected: str) -> None:
    assert pretty(parse_expr(text).root) == expected
    assert str(parse_expr(expected)) == str(parse_expr(text))
