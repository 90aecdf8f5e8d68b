"""Links to Prometheus' query page, old and new, mean here what they mean there."""

from __future__ import annotations

from urllib.parse import parse_qsl

import pytest

from rulepush.site.panels import PanelTab, QueryPanel, panels_of

T0 = 1_700_000_000_000  # 2023-11-14 22:13:20 UTC
HOUR = 3_600_000


def panel(link: str) -> QueryPanel:
    """The only panel of a link's query."""
    (one,) = panels_of(dict(parse_qsl(link, keep_blank_values=True)))
    return one


def test_without_parameters_there_is_one_empty_panel() -> None:
    assert panel("") == QueryPanel("", PanelTab.TABLE, HOUR, None, None)


def test_the_link_of_an_alert() -> None:
    assert panel("g0.expr=up+%3D%3D+0&g0.tab=1") == QueryPanel("up == 0", PanelTab.TABLE)


def test_a_link_of_the_oldest_pages() -> None:
    link = "g0.range_input=2h&g0.end_input=2023-11-14+22%3A13&g0.step_input=30&g0.stacked=0&g0.expr=up&g0.tab=0"
    assert panel(link) == QueryPanel("up", PanelTab.GRAPH, 2 * HOUR, T0 - 20_000, 30_000)


def test_a_link_of_todays_pages() -> None:
    link = (
        "g0.expr=up&g0.show_tree=0&g0.tab=graph&g0.end_input=2023-11-14+22%3A13%3A20"
        "&g0.moment_input=2023-11-14+22%3A13%3A20&g0.range_input=30m&g0.res_type=custom&g0.res_step=5"
        "&g0.display_mode=lines&g0.show_exemplars=0"
    )
    assert panel(link) == QueryPanel("up", PanelTab.GRAPH, HOUR // 2, T0, 5_000)


@pytest.mark.parametrize(
    ("parameters", "step"),
    [
        ("g0.range_input=1h", 14_000),
        ("g0.range_input=1h&g0.res_type=auto&g0.res_density=high", 4_000),
        ("g0.range_input=1h&g0.res_type=auto&g0.res_density=low", 36_000),
        ("g0.range_input=1h&g0.res_type=auto&g0.res_density=strange", 14_000),
        ("g0.range_input=1h&g0.step_input=7&g0.res_type=auto&g0.res_density=low", 36_000),
        ("g0.range_input=1m", 1_000),
        ("g0.range_input=1h&g0.step_input=1m30s", 90_000),
        ("g0.range_input=1h&g0.step_input=0.5", 500),
        ("g0.range_input=1h&g0.step_input=", 14_000),
    ],
)
def test_the_step_is_given_or_follows_from_the_range(parameters: str, step: int) -> None:
    assert panel(f"g0.expr=up&{parameters}").step == step


@pytest.mark.parametrize(
    "text",
    ["2023-11-14 22:13:20", "2023-11-14T22:13:20", "2023-11-14T22:13:20Z", "2023-11-14T23:13:20+01:00", "1700000000"],
)
def test_a_time_is_utc_in_any_usual_form(text: str) -> None:
    assert panels_of({"g0.expr": "up", "g0.end_input": text})[0].end == T0
    assert panels_of({"g0.expr": "up", "g0.moment_input": text})[0].end == T0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("range_input", "one hour"),
        ("range_input", "0s"),
        ("range_input", "200y"),
        ("end_input", "yesterday"),
        ("end_input", "2023-13-41 99:99"),
        ("end_input", "1e300"),
        ("end_input", "-5"),
        ("end_input", "nan"),
        ("step_input", "-1"),
        ("step_input", "nan"),
        ("step_input", "often"),
    ],
)
def test_what_cannot_be_used_has_its_default_and_is_told(name: str, value: str) -> None:
    (one,) = panels_of({"g0.expr": "up", f"g0.{name}": value})
    assert (one.range_ms, one.end, one.step_ms) == (HOUR, None, None)
    (problem,) = one.problems
    assert problem.values["given"] == repr(value)


def test_a_link_with_several_panels() -> None:
    first, second = panels_of({"g0.expr": "a", "g1.expr": "b", "g1.tab": "0", "g3.expr": "not reached"})
    assert (first.expr, first.tab) == ("a", PanelTab.TABLE)
    assert (second.expr, second.tab) == ("b", PanelTab.GRAPH)


def test_too_many_panels_are_counted_and_not_evaluated() -> None:
    panels = panels_of({f"g{n}.expr": "a" for n in range(13)})
    assert len(panels) == 10
    assert panels[-1].problems[0].values == {"count": 3}


def test_expr_alone_is_the_expression() -> None:
    assert panel("expr=up&g0.tab=0") == QueryPanel("up", PanelTab.GRAPH)


@pytest.mark.parametrize(
    "link",
    [
        "g0.expr=up",
        "g0.expr=",
        "g0.expr=a%0Ab&g0.tab=0&g0.range_input=90m&g0.end_input=2023-11-14+22:13:20&g0.step_input=0.25",
        "g0.expr=up&g0.res_type=auto&g0.res_density=high",
    ],
)
def test_its_own_links_mean_the_same(link: str) -> None:
    one = panel(link)
    assert panels_of(one.parameters()) == [one]


def test_moving_through_time() -> None:
    one = QueryPanel("up", PanelTab.GRAPH, HOUR)
    back = one.earlier(T0)
    assert back.end == T0 - HOUR // 2
    assert back.earlier(T0).end == T0 - HOUR
    assert back.earlier(T0).later(T0).end == T0 - HOUR // 2
    assert back.later(T0).end is None
