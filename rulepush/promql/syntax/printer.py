"""The canonical form of an expression, as Prometheus' promql/parser/printer.go writes it."""

from __future__ import annotations

from functools import singledispatch

from rulepush.model.durations import format_duration
from rulepush.model.floats import format_float
from rulepush.model.labels import METRIC_NAME, Labels, is_legacy_metric_name, quote_label_value, quote_name
from rulepush.model.matcher import MatchOp
from rulepush.promql.syntax import ast


@singledispatch
def print_expr(node: ast.Node) -> str:
    """The canonical form. Raises NotImplementedError for a node that is not handled."""
    raise NotImplementedError(type(node).__name__)


@print_expr.register
def _(node: ast.Number) -> str:
    if node.duration:
        return format_duration(round(node.value * 1000))
    return format_float(node.value)


@print_expr.register
def _(node: ast.Str) -> str:
    return quote_label_value(node.value)


@print_expr.register
def _(node: ast.Paren) -> str:
    return f"({node.expr.text})"


@print_expr.register
def _(node: ast.Unary) -> str:
    return node.op + node.expr.text


@print_expr.register
def _(node: ast.Binary) -> str:
    return f"{node.lhs.text} {binary_operator(node)} {node.rhs.text}"


def binary_operator(node: ast.Binary) -> str:
    """What stands between the sides: `/ on (job) group_left ()`."""
    returning = " bool" if node.return_bool else ""
    return f"{node.op}{returning}{_matching(node.matching)}"


def _matching(matching: ast.Matching | None) -> str:
    if matching is None:
        return ""
    text = ""
    if matching.labels or matching.on:
        text += f" {'on' if matching.on else 'ignoring'} ({_names(matching.labels)})"
    if matching.card in (ast.Card.MANY_TO_ONE, ast.Card.ONE_TO_MANY):
        side = "left" if matching.card is ast.Card.MANY_TO_ONE else "right"
        text += f" group_{side} ({_names(matching.include)})"
    left, right = matching.fill_left, matching.fill_right
    if left is not None and right is not None and format_float(left) == format_float(right):
        return f"{text} fill ({format_float(left)})"
    if left is not None:
        text += f" fill_left ({format_float(left)})"
    if right is not None:
        text += f" fill_right ({format_float(right)})"
    return text


@print_expr.register
def _(node: ast.Aggregate) -> str:
    param = "" if node.param is None else node.param.text + ", "
    return f"{aggregation_head(node)}({param}{node.expr.text})"


def aggregation_head(node: ast.Aggregate) -> str:
    """What stands before the parenthesis: `sum by (job) `."""
    if node.without:
        return f"{node.op} without ({_names(node.grouping)}) "
    return f"{node.op} by ({_names(node.grouping)}) " if node.grouping else node.op


@print_expr.register
def _(node: ast.Call) -> str:
    return f"{node.name}({', '.join(arg.text for arg in node.args)})"


@print_expr.register
def _(node: ast.VectorSelector) -> str:
    return _selector(node) + _modifiers(node)


@print_expr.register
def _(node: ast.MatrixSelector) -> str:
    return f"{_selector(node.selector)}[{_duration(node.range_ms, node.range_expr)}]{_modifiers(node.selector)}"


@print_expr.register
def _(node: ast.Subquery) -> str:
    return node.expr.text + subquery_suffix(node)


def subquery_suffix(node: ast.Subquery) -> str:
    """What follows the expression: `[1h:5m] offset 1d`."""
    step = "" if node.step_ms is None else _duration(node.step_ms, node.step_expr)
    return f"[{_duration(node.range_ms, node.range_expr)}:{step}]{_modifiers(node)}"


def _selector(node: ast.VectorSelector) -> str:
    named = [
        m for m in node.matchers if not (m.name == METRIC_NAME and m.op is MatchOp.EQUAL and m.value == node.name != "")
    ]
    texts = sorted(str(m) for m in named)
    name = node.name
    if name and not is_legacy_metric_name(name):
        texts.insert(0, quote_label_value(name))
        name = ""
    return f"{name}{{{','.join(texts)}}}" if texts or not name else name


def _modifiers(node: ast.VectorSelector | ast.Subquery) -> str:
    text = ""
    if isinstance(node, ast.VectorSelector) and node.extended is not None:
        text += f" {node.extended.value}"
    if isinstance(node.at, ast.At):
        text += f" @ {node.at.value}"
    elif node.at is not None:
        text += f" @ {node.at / 1000:.3f}"
    if node.offset_expr is not None:
        offset = _after_offset(node.offset_expr)
        # An operator after `offset (1m * 2)` would be part of it; in the source, what is printed before stood between.
        text += f" offset +{offset}" if text and offset.startswith("(") else f" offset {offset}"
    elif node.offset_ms:
        text += f" offset {format_duration(node.offset_ms)}"
    return text


def _duration(ms: int, expr: ast.DurationExpr | None) -> str:
    return format_duration(ms) if expr is None else expr.text


@print_expr.register
def _(node: ast.DurationExpr) -> str:
    lhs, rhs = node.lhs.text if node.lhs is not None else "", node.rhs.text if node.rhs is not None else ""
    if node.op in ("step", "range"):
        text = f"{node.op}()"
    elif node.op in ("min_of", "max_of"):
        text = f"{node.op}({lhs}, {rhs})"
    elif node.lhs is None:
        text = node.op + rhs
    else:
        if node.op == "^" and lhs.startswith("-"):  # Prometheus prints (-2) ^ 2 without the parentheses: another number
            lhs = f"({lhs})"
        text = f"{lhs} {node.op} {rhs}"
    return f"({text})" if node.wrapped else text


def _after_offset(node: ast.DurationExpr) -> str:
    """With parentheses where the expression would end too early without."""
    inner = node.rhs if node.lhs is None and node.op in ("-", "+") else node
    assert isinstance(inner, ast.DurationExpr)
    ends = inner.wrapped or inner.op in ("step", "range", "min_of", "max_of")
    return node.text if ends or node.wrapped else f"({node.text})"


def labels_text(labels: Labels) -> str:
    """Go's labels.String(), which errors use: `{__name__="up", job="a"}`."""
    return "{" + ", ".join(f"{quote_name(name)}={quote_label_value(value)}" for name, value in labels) + "}"


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(quote_name(name) for name in names)
