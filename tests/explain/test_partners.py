"""Joins: which label kept the sides apart."""

from __future__ import annotations

from rulepush.explain import ReasonKind
from tests.explain.explaining import explained, messages, node, of_kind, world

USED = [("used", {"job": "app", "instance": "a:1"}, 5.0), ("used", {"job": "app", "instance": "b:1"}, 6.0)]


def reasons(expr: str, *samples: tuple[str, dict[str, str], float]) -> list[str]:
    return messages(explained(world(expr, *samples)).tree.reasons)


def test_the_label_whose_values_differ_is_named_with_the_values() -> None:
    found = explained(world("used / limit", *USED, ("limit", {"job": "db", "instance": "a:1"}, 9.0)))
    reason = of_kind(found.tree.reasons, ReasonKind.NO_PARTNER)
    assert reason.message == (
        '2 of 2 on the left find no partner for `/`: job is "app" on the left and "db" on the right'
    )
    assert reason.suggestion == "Match on what both have: on (instance), or ignoring (job)."


def test_a_label_that_one_side_lacks() -> None:
    assert reasons("used / limit", *USED, ("limit", {"instance": "a:1"}, 9.0)) == [
        '2 of 2 on the left find no partner for `/`: job is "app" on the left and missing on the right'
    ]
    assert reasons("used and on (cluster) limit", *USED, ("limit", {"cluster": "x"}, 9.0)) == [
        '2 of 2 on the left find no partner for `and on (cluster)`: cluster is missing on the left and "x" on the right'
    ]


def test_only_those_without_a_partner_are_reported() -> None:
    found = explained(world("used / limit", *USED, ("limit", {"job": "app", "instance": "a:1"}, 10.0)))
    assert found.tree.series == 1
    reason = of_kind(found.tree.reasons, ReasonKind.NO_PARTNER)
    assert reason.message == (
        '1 of 2 on the left find no partner for `/`: instance is "b:1" on the left and "a:1" on the right'
    )
    assert reason.suggestion == ""  # the join is right: one element alone has no partner


def test_where_each_value_exists_but_not_together_the_nearest_is_named() -> None:
    samples = [
        ("used", {"job": "app", "instance": "a:1"}, 5.0),
        ("limit", {"job": "app", "instance": "b:1"}, 9.0),
        ("limit", {"job": "db", "instance": "a:1"}, 9.0),
    ]
    (found,) = reasons("used and limit", *samples)
    assert found.startswith('1 of 1 on the left find no partner for `and`: {instance="a:1", job="app"} has no match, ')
    assert found.endswith('the nearest differs: instance is "a:1" on the left and "b:1" on the right')


def test_an_empty_right_side_is_the_reason_and_its_own_reason_follows() -> None:
    samples = [*USED, ("ready", {"job": "app", "instance": "a:1"}, 1.0)]
    found = explained(world("used > 1 and on (instance) ready == 0", *samples))
    assert messages(found.tree.reasons) == ["the right side of `and on (instance)` is empty"]
    assert messages(found.summary)[:2] == ["the right side of `and on (instance)` is empty", "== 0 drops 1 of 1"]


def test_an_empty_left_side() -> None:
    assert messages(explained(world("used > 100 and used", *USED)).summary)[:2] == [
        "the left side of `and` is empty",
        "> 100 drops 2 of 2",
    ]


def test_both_sides_empty_are_explained_one_after_the_other() -> None:
    found = messages(explained(world("used > 100 and used < 0", *USED)).summary)
    assert [text for text in found if not text.startswith("the nearest")] == [
        "the left side of `and` is empty",
        "> 100 drops 2 of 2",
        "the right side of `and` is empty",
        "< 0 drops 2 of 2",
    ]


def test_unless_says_what_it_removes() -> None:
    samples = [*USED, ("muted", {"instance": "a:1"}, 1.0)]
    found = explained(world("used unless on (instance) muted", *samples))
    assert found.tree.series == 1
    assert messages(found.tree.reasons) == ["`unless` removes 1 of 2: the right side has the same instance"]


def test_unless_with_nothing_on_the_right_has_no_reason() -> None:
    assert reasons("used unless on (instance) muted", *USED) == []


def test_or_keeps_what_either_side_has_and_explains_both_when_empty() -> None:
    assert reasons("used or limit", *USED) == []
    found = explained(world("used > 100 or used < 0", *USED))
    assert messages(found.summary) == [
        "> 100 drops 2 of 2",
        'the nearest: {instance="b:1", job="app"}: 6 is 94 under 100 (94.0 %)',
        "< 0 drops 2 of 2",
        'the nearest: {instance="a:1", job="app"}: 5 is 5 over 0',
    ]


def test_group_right_reports_the_many_side() -> None:
    samples = [("info", {"job": "x"}, 1.0), *USED]
    assert reasons("info * on (job) group_right () used", *samples) == [
        "2 of 2 on the right find no partner for `* on (job) group_right ()`: "
        'job is "x" on the left and "app" on the right'
    ]


def test_ambiguous_joins_fail_where_they_stand_with_prometheus_words() -> None:
    found = explained(world("sum(used / on (job) used) > 1", *USED))
    failing = node(found, "/ on (job)")
    assert failing.error.startswith("found duplicate series for the match group")
    assert found.tree.error == "a part of it cannot be evaluated"
    assert messages(found.summary)[0].startswith("used / on (job) used: found duplicate series")


def test_fill_makes_partners_so_none_is_missing() -> None:
    assert reasons("used + fill_right (0) limit", *USED) == []


def test_sides_that_differ_in_several_labels_and_in_the_name_alone() -> None:
    other = ("limit", {"job": "db", "instance": "c:1"}, 9.0)
    assert reasons("used / limit", *USED, other) == [
        '2 of 2 on the left find no partner for `/`: instance is "a:1" or "b:1" on the left and "c:1" on the right; '
        'job is "app" on the left and "db" on the right'
    ]
    assert reasons("used and on (__name__) limit", *USED, other) == [
        "2 of 2 on the left find no partner for `and on (__name__)`: no element has the labels of another"
    ]


def test_a_partner_that_a_condition_dropped_is_none() -> None:
    limits = [("limit", {"job": "app", "instance": f"{name}:1"}, value) for name, value in (("a", 9.0), ("b", 3.0))]
    found = explained(world("used / (limit > 5)", *USED, *limits))
    assert found.tree.series == 1
    assert messages(found.tree.reasons) == [
        '1 of 2 on the left find no partner for `/`: instance is "b:1" on the left and "a:1" on the right'
    ]
    compared = explained(world("used > (limit > 5)", *USED, *limits))
    assert [m.labels.get("instance") for m in compared.tree.missed] == ["a:1"]


def test_the_nearest_partner_is_the_one_with_the_fewest_labels_that_differ() -> None:
    def series(name: str, job: str, instance: str, zone: str) -> tuple[str, dict[str, str], float]:
        return name, {"job": job, "instance": instance, "zone": zone}, 1.0

    others = [series("limit", "app", "b", "2"), series("limit", "app", "a", "2"), series("limit", "db", "b", "1")]
    (found,) = reasons("used and limit", series("used", "app", "a", "1"), *others)
    assert found.endswith('the nearest differs: zone is "1" on the left and "2" on the right')
