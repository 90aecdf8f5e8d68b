"""PromQL: parsing and evaluation. Pure: takes times as arguments, reads samples through storage.selection.Querier."""

from rulepush.promql.engine import Engine
from rulepush.promql.evaluation import EngineOptions, Shared
from rulepush.promql.query import Query, SelectorUse, parse_expr, parse_selector
from rulepush.promql.result import Annotations, QueryResult, Series
from rulepush.promql.values import ValueType

__all__ = [
    "Annotations",
    "Engine",
    "EngineOptions",
    "Query",
    "QueryResult",
    "SelectorUse",
    "Series",
    "Shared",
    "ValueType",
    "parse_expr",
    "parse_selector",
]
