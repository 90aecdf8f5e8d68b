"""What the query page makes of results and errors."""

from __future__ import annotations

import asyncio
import json
from urllib.parse import parse_qsl, urlsplit

import pytest

from rulepush.errors import EvaluationError, ParseError
from rulepush.promql import Engine, parse_expr
from rulepush.site.kept_metrics import KeptPart, kept_metrics
from rulepush.site.panels import PanelTab, QueryPanel, panels_of
from rulepush.site.query import panel_views, promql_words
from rulepush.site.query_results import (
    MAX_ROWS,
    MAX_SERIES,
    GraphLine,
    PanelResult,
    graph_result,
    panel_result,
    query_fault,
    table_result,
)
from rulepush.storage.demand import Demand, ManualDemand
from rulepush.storage.demand_history import DemandHistory
from rulepush.storage.head import Head
from rulepush.web.evaluator import QueryEvaluator
from tests.fakes import FakeClock
from tests.rules.world import T0, M, S, World

STEP = 30 * S


def world(series: int = 3, samples: int = 5) -> World:
    """m{i="0"}, m{i="1"}, ... with a sample each 30 s up to T0: 0, 1, 2, ..."""
    one = World("groups: []")
    for k in range(samples):
        for i in range(series):
            one.put((k - samples + 1) * STEP, float(k), i=f"{i:04d}")
    return one


def result_of(panel: QueryPanel, of: World | None = None, now: int = T0) -> PanelResult:
    of = of or world()
    evaluator = QueryEvaluator(lambda: of.engine, of.head, DemandHistory(of.head.demand, 0), FakeClock(T0))
    return asyncio.run(panel_result(evaluator, panel, now))


def test_without_an_expression_nothing_is_evaluated() -> None:
    assert result_of(QueryPanel("  ")) == PanelResult(QueryPanel("  "))


def test_a_table_has_the_first_rows_and_says_how_many_there_are() -> None:
    table = result_of(QueryPanel("m"), world(MAX_ROWS + 5, 1)).table
    assert table is not None
    assert (len(table.rows), table.count, table.at) == (MAX_ROWS, MAX_ROWS + 5, T0)
    assert table.rows[0].labels == 'm{i="0000"}'
    assert table.rows[0].value == "0"


def test_a_table_of_a_range_selector_has_values_with_their_times() -> None:
    table = result_of(QueryPanel('m{i="0001"}[1m]')).table
    assert table is not None
    assert table.rows[0].value == "3 @1699999970.000 4 @1700000000.000"


def test_of_very_many_values_the_newest_are_shown() -> None:
    table = result_of(QueryPanel("m[1d]"), world(1, 150)).table
    assert table is not None
    assert table.rows[0].value.startswith("... 50 @")
    assert table.rows[0].value.endswith("149 @1700000000.000")


def test_a_time_is_the_time_of_the_table() -> None:
    table = result_of(QueryPanel("sum(m)", end=T0 - STEP)).table
    assert table is not None
    assert (table.rows[0].value, table.at) == ("9", T0 - STEP)


def test_a_graph_covers_the_range_before_its_end() -> None:
    graph = result_of(QueryPanel("m", PanelTab.GRAPH, M, step_ms=STEP)).graph
    assert graph is not None
    assert (graph.chart.start, graph.chart.end, graph.count) == (T0 - M, T0, 3)
    assert [json.loads(line.points) for line in graph.chart.lines] == [[[T0 - M, 2], [T0 - STEP, 3], [T0, 4]]] * 3
    assert graph.lines[0] == GraphLine('m{i="0000"}', 4, 2, 4)


def test_a_graph_is_bounded_in_lines_and_its_listing_in_rows() -> None:
    graph = result_of(QueryPanel("m", PanelTab.GRAPH, 1000 * S, step_ms=S), world(MAX_SERIES + 7, 40)).graph
    assert graph is not None
    assert (len(graph.chart.lines), graph.count) == (MAX_SERIES, MAX_SERIES + 7)
    assert 50 < len(graph.listing) <= 61
    assert graph.listing[0] == (T0, ["39"] * 8)


def test_times_without_a_value_are_left_out_of_the_listing() -> None:
    graph = result_of(QueryPanel("m > 3", PanelTab.GRAPH, 2 * M, step_ms=STEP)).graph
    assert graph is not None
    assert graph.listing == [(T0, ["4", "4", "4"])]


@pytest.mark.parametrize("expr", ["m[1m]", '"text"'])
def test_a_graph_of_what_is_no_number_is_refused_in_words(expr: str) -> None:
    fault = result_of(QueryPanel(expr, PanelTab.GRAPH)).fault
    assert fault is not None
    assert "A graph needs numbers" in str(fault.text)


def test_a_graph_with_too_many_points_names_a_step_that_will_do() -> None:
    panel = QueryPanel("m", PanelTab.GRAPH, 24 * 60 * M, step_ms=S)
    fault = result_of(panel).fault
    assert fault is not None
    assert getattr(fault.text, "values", None) == {"most": 11_000, "least": "8s"}
    assert result_of(QueryPanel("m", PanelTab.GRAPH, 24 * 60 * M, step_ms=8 * S)).graph is not None


def test_an_error_while_it_runs_is_shown_as_it_is() -> None:
    fault = result_of(QueryPanel("m + on() m")).fault
    assert fault is not None
    assert "found duplicate series" in str(fault.text)
    assert not fault.is_placed


@pytest.mark.parametrize(
    ("expr", "before", "at", "after"),
    [
        ("sum(m", "sum(m", "", ""),
        ("up\n+ bogus(1)", "up\n+ ", "bogus", "(1)"),
        ('m{a="é"} $ 1', 'm{a="é"} ', "$", " 1"),
        ("rate(m)", "rate(", "m", ")"),
    ],
)
def test_an_error_of_the_expression_has_its_place(expr: str, before: str, at: str, after: str) -> None:
    with pytest.raises(ParseError) as caught:
        parse_expr(expr)
    fault = query_fault(expr, caught.value)
    assert (fault.before, fault.at, fault.after) == (before, at, after)


def test_only_errors_of_the_expression_have_a_place() -> None:
    assert not query_fault("m", EvaluationError("1:1: parse error: of a template")).is_placed


def test_warnings_and_metrics_of_an_expression() -> None:
    outcome = result_of(QueryPanel("rate(m[1m]) + sum(n) + sum(m)"))
    assert any("might not be a counter" in text for text in outcome.warnings)
    assert outcome.metrics == ("m", "n")


def test_results_are_made_without_an_evaluator_too() -> None:
    one = world(1)
    result = Engine().instant(parse_expr("m"), T0, one.head.querier())
    assert table_result(result, T0).rows[0].value == "4"
    ranged = Engine().range(parse_expr("m"), T0 - M, T0, STEP, one.head.querier())
    assert graph_result(ranged, T0 - M, T0, STEP).lines[0].most == 4


def test_the_links_of_a_panel_change_it_and_keep_the_others() -> None:
    panels = [QueryPanel("a"), QueryPanel("b", PanelTab.GRAPH, end=T0 - 20 * S), QueryPanel("")]
    view = panel_views([PanelResult(panel, n) for n, panel in enumerate(panels)], T0)[1]

    def leads_to(link: str) -> list[QueryPanel]:
        return panels_of(dict(parse_qsl(urlsplit(link).query, keep_blank_values=True)))

    for tab, link in view.tabs:
        assert leads_to(link) == [panels[0], panels[1].with_tab(tab), panels[2]]
    assert leads_to(view.earlier)[1].end == T0 - 20 * S - 30 * M
    assert leads_to(view.later)[1].end is None
    assert [text for text, link, chosen in view.ranges if chosen] == ["1h"]
    assert leads_to(view.ranges[0][1])[1].range_ms == 5 * M
    assert dict(view.others) == {"g0.expr": "a", "g0.tab": "table", "g0.range_input": "1h"} | {
        "g2.expr": "",
        "g2.tab": "table",
        "g2.range_input": "1h",
    }


def test_functions_and_keywords_are_suggested() -> None:
    assert {"rate", "sum", "group_left", "histogram_quantile"} <= set(promql_words())


# --- what is kept


def view_of(demand: Demand) -> DemandHistory:
    history = DemandHistory(demand, T0)
    assert Head(demand).series_count == 0
    return history


def test_what_is_kept_of_a_metric_and_since_when() -> None:
    demand = Demand.of([ManualDemand.metric("wanted", 5 * M), ManualDemand.metric("never_seen", 10 * M)])
    kept = kept_metrics({"wanted": 7, "ALERTS": 2}, view_of(demand).view(T0 + M))
    assert [(m.name, m.series) for m in kept.shown] == [("ALERTS", 2), ("never_seen", 0), ("wanted", 7)]
    assert kept.shown[2].parts == [KeptPart("wanted", 5 * M, T0)]
    assert kept.shown[0].parts == []
    assert (kept.count, kept.keeps_all) == (3, False)


def test_where_everything_is_kept_it_says_so() -> None:
    kept = kept_metrics({"m": 1}, view_of(Demand.keep_all(60 * M)).view(T0 + M))
    assert kept.keeps_all
    assert kept.shown[0].parts == [KeptPart("", 60 * M, T0)]


def test_a_metric_is_looked_up_by_a_part_of_its_name_and_the_exact_one_comes_first() -> None:
    sizes = dict.fromkeys(("http_requests_total", "requests", "a_requests", "other"), 1)
    view = view_of(Demand.of(())).view(T0)
    kept = kept_metrics(sizes, view, "Requests", max_shown=2)
    assert [m.name for m in kept.shown] == ["a_requests", "http_requests_total"]
    assert kept.count == 3
    assert next(m.name for m in kept_metrics(sizes, view, "requests").shown) == "requests"
    assert kept.names == sorted(sizes)


def test_the_metrics_of_the_expression_come_first_even_when_nothing_is_kept_of_them() -> None:
    kept = kept_metrics({"a": 1, "z": 1}, view_of(Demand.of(())).view(T0), asked_for=["z", "no_such"])
    assert [m.name for m in kept.shown] == ["z", "no_such", "a"]
