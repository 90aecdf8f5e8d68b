"""An explanation as a text for a terminal."""

from __future__ import annotations

from dataclasses import replace

from rulepush.explain.text import explanation_text
from tests.explain.explaining import NODE_A, alert, around_body, explained, world
from tests.rules.world import T0, S, World

BODY = b"# TYPE heap gauge\nheap 1\n"


def test_a_rule_that_does_not_fire() -> None:
    made = world("sum by (instance) (heap) > 0.85", ("heap", {"instance": "a", "id": "x"}, 0.72), more="for: 5m")
    assert explanation_text(explained(made)).splitlines() == [
        "X: inactive",
        "  r.yml:1, group g",
        "  expr: sum by (instance) (heap) > 0.85",
        "  for: 5m, evaluated every 30s, last at 2023-11-14T22:13:20Z",
        "",
        "why: > 0.85 drops 1 of 1",
        '     the nearest: {instance="a"}: 0.72 is 0.13 under 0.85 (15.3 %)',
        "",
        "the expression, its parts and their values at 2023-11-14T22:13:20Z",
        "  > 0.85                                                                                      0 of 1",
        '  |  dropped: {instance="a"}: 0.72 is 0.13 under 0.85 (15.3 %)',
        "  `- sum by (instance)                                                                             1",
        "     `- heap                                                                                1 series",
        '           {id="x", instance="a"} = 0.72',
    ]


def test_alerts_stand_before_the_tree_with_what_comes_next() -> None:
    made = world("heap > 1", ("heap", {"instance": "a"}, 3.0), more="for: 5m, labels: {severity: page}")
    lines = explanation_text(explained(made, 10 * S)).splitlines()
    at = lines.index("alerts (1)")
    assert lines[at + 1 : at + 4] == [
        '  pending  {instance="a", severity="page"} = 3',
        "           in the result since 2023-11-14T22:13:20Z; fires at the evaluation of 2023-11-14T22:18:20Z",
        "           (in 4m50s) if it stays so: `for` is 5m",
    ]


def test_what_is_said_at_the_top_is_marked_and_not_repeated_in_the_tree() -> None:
    found = explained(world("heep > 1"), around=around_body(BODY))
    text = explanation_text(found)
    assert text.count("heep was not seen on target") == 1
    assert "\n     -> Did you mean heap?\n" in text
    assert text.splitlines()[-1] == "        <- this is why"


def test_reasons_of_other_parts_stand_at_their_part() -> None:
    made = world("heap > 1 and on () (used unless heap)", ("heap", {"instance": "a"}, 3.0))
    text = explanation_text(explained(made))
    assert "why: the right side of `and on ()` is empty" in text
    assert "`- unless " in text


def test_no_line_is_wider_than_the_terminal_where_words_allow_it() -> None:
    made = World(alert(" or ".join(f'heap{{instance="instance-number-{i}"}} / 2 > {i}' for i in range(9))))
    for i in range(9):
        made.put(0, 0.0, "heap", instance=f"instance-number-{i}", area="heap", pool="G1 Old Gen and more")
    made.tick(0)
    assert max(map(len, explanation_text(explained(made)).splitlines())) <= 100


def test_a_list_that_is_cut_says_how_many_more_there_are() -> None:
    made = world("heap > 50", *[("heap", {"instance": f"i{i:02}"}, float(i)) for i in range(20)])
    text = explanation_text(explained(made))
    assert text.count("... and 15 more") == 2


def test_a_failing_rule_says_so_once() -> None:
    made = world("heap / on () heap", ("heap", {"instance": "a"}, 1.0), ("heap", {"instance": "b"}, 1.0))
    text = explanation_text(explained(made))
    assert text.startswith("X: inactive, failing\n")
    assert " ".join(text.split()).count("found duplicate series for the match group {}") == 1
    assert "fails\n" in text


def test_scalars_ranges_and_targets_that_are_down() -> None:
    down = replace(NODE_A, down_since=T0, error="connection refused")
    made = world("rate(heap[1m]) > scalar(limit)", ("limit", {}, 7.0))
    text = explanation_text(explained(made, around=around_body(BODY, targets=(down,))))
    lines = [line.split() for line in text.splitlines()]
    assert ["`-", "scalar()", "=", "7"] in lines
    assert ["`-", "heap[1m]", "0", "series,", "0", "samples"] in [
        line[1:] if line[0] == "|" else line for line in lines if line
    ]
    assert "is down since 2023-11-14T22:13:20Z: connection refused" in " ".join(text.split())
