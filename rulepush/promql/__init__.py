"""PromQL: parsing and evaluation. Pure: takes times as arguments, reads samples through storage.selection.Querier."""

from rulepush.promql.eval.engine import Engine
from rulepush.promql.eval.evaluation import EngineOptions, SharedResults, repeated
from rulepush.promql.eval.result import Annotations, QueryResult, ResultSeries
from rulepush.promql.query import Query, SelectorUse, parse_expr, parse_selector
from rulepush.promql.vectors.values import ValueType

__all__ = [
    "Annotations",
    "Engine",
    "EngineOptions",
    "Query",
    "QueryResult",
    "ResultSeries",
    "SelectorUse",
    "SharedResults",
    "ValueType",
    "parse_expr",
    "parse_selector",
    "repeated",
]
