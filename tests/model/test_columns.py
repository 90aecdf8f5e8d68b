"""Label sets by number: what is derived from them is what deriving each by itself gives, whatever came and went."""

from __future__ import annotations

import weakref

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rulepush.model.columns import NAMELESS, WHOLE, LabelPool, LabelRows, Reduction, first_rows, only, without
from rulepush.model.index import LabelIndex, reduced_alike
from rulepush.model.labels import EMPTY_LABELS, METRIC_NAME, Labels

NAMES = (METRIC_NAME, "a", "b", "c")
label_sets = st.dictionaries(st.sampled_from(NAMES), st.sampled_from(("x", "y", "z")), max_size=4).map(Labels)
names = st.frozensets(st.sampled_from((*NAMES, "absent")))
reductions = st.builds(Reduction, names, st.booleans())


def slowly(how: Reduction, labels: Labels) -> Labels:
    return labels.without(how.names) if how.without else labels.only(how.names)


@given(label_sets, reductions, reductions)
def test_a_reduction_keeps_or_drops_labels_and_two_of_them_are_one(
    labels: Labels, how: Reduction, other: Reduction
) -> None:
    assert how(labels) == slowly(how, labels)
    assert how.then(other)(labels) == slowly(other, slowly(how, labels))


@given(st.lists(st.integers(0, 9)))
def test_first_rows_numbers_codes_in_the_order_of_their_appearance(codes: list[int]) -> None:
    firsts, places = first_rows(np.array(codes, np.int32))
    seen: dict[int, int] = {}
    assert places.tolist() == [seen.setdefault(code, len(seen)) for code in codes]
    assert firsts.tolist() == [codes.index(code) for code in seen]


@given(st.lists(label_sets, min_size=1), reductions, st.data())
def test_rows_that_come_and_go_are_reduced_like_each_by_itself(
    labels: list[Labels], how: Reduction, data: st.DataObject
) -> None:
    pool, series = LabelPool(), list(labels)
    rows = LabelRows(series, pool)

    def check() -> None:
        picked = data.draw(st.lists(st.sampled_from(range(len(rows.labels)))))
        for some in (np.array(picked, np.intp), slice(0, len(rows.labels))):
            codes = rows.reduced(how, some)
            expected = rows.labels if isinstance(some, slice) else [rows.labels[i] for i in picked]
            assert [rows.pool.labels[code] for code in codes] == list(map(how, expected))

    check()
    series.extend(data.draw(st.lists(label_sets)))
    check()
    alive = np.array(data.draw(st.lists(st.sampled_from(range(len(series))), min_size=1, unique=True).map(sorted)))
    rows = rows.kept(alive, [series[i] for i in alive])
    check()
    smaller, number_of = pool.compacted(rows.columns())
    rows = rows.renumbered(smaller, number_of)
    check()
    assert len(smaller) <= len(pool)


def test_compaction_keeps_what_is_in_use_and_what_is_derived_from_it_and_nothing_else() -> None:
    pool = LabelPool()
    rows = LabelRows([Labels.of(a=str(i), b="1", c="2") for i in range(100)], pool)
    by_a = rows.reduced(only("ab"), slice(0, 100))
    pool.reduced(only("a"), by_a.astype(np.intp))
    assert len(pool) == 200
    rest = rows.kept(np.arange(3), rows.labels[:3])
    smaller, number_of = pool.compacted(rest.columns())
    rest = rest.renumbered(smaller, number_of)
    assert sorted(map(str, smaller.labels)) == sorted(
        [*(f'{{a="{i}", b="1"}}' for i in range(3)), *(f'{{a="{i}"}}' for i in range(3))]
    )
    codes = rest.reduced(only("ab"), slice(0, 3)).astype(np.intp)
    assert [smaller.labels[code] for code in smaller.reduced(only("a"), codes)] == [
        Labels.of(a=str(i)) for i in range(3)
    ]
    assert smaller.nbytes < pool.nbytes


def test_an_unused_column_goes_when_rows_do() -> None:
    pool = LabelPool()
    rows = LabelRows([Labels.of(a=str(i)) for i in range(10)], pool)
    rows.reduced(only("a"), slice(0, 10))
    rows.reduced(NAMELESS, slice(0, 10))
    rows = rows.kept(np.arange(9), rows.labels[:9])
    assert len(list(rows.columns())) == 2
    rows.reduced(NAMELESS, slice(0, 9))
    assert len(list(rows.kept(np.arange(8), rows.labels[:8]).columns())) == 1


@given(st.lists(st.tuples(label_sets, label_sets)))
def test_joined_labels_are_those_of_both_and_the_right_one_counts(pairs: list[tuple[Labels, Labels]]) -> None:
    pool = LabelPool()
    for _ in range(2):  # the second time from memory
        left, right = (pool.numbers([pair[side] for pair in pairs]) for side in (0, 1))
        joined = [pool.labels[code] for code in pool.joined("x", left, right)]
        assert joined == [Labels({**dict(a.pairs), **dict(b.pairs)}) for a, b in pairs]


@given(st.lists(label_sets, max_size=12), reductions, reductions, st.data())
def test_an_index_answers_the_same_however_its_rows_are_kept(
    labels: list[Labels], how: Reduction, other: Reduction, data: st.DataObject
) -> None:
    pool = LabelPool()
    some = np.array(
        data.draw(st.lists(st.sampled_from(range(len(labels))), unique=True) if labels else st.just([])), int
    )
    expected = [other(how(labels[i])) for i in some]
    whole = (
        LabelIndex(labels),
        LabelIndex(labels, pool),
        LabelIndex([*labels, EMPTY_LABELS], pool).picked(np.arange(len(labels))),
        LabelIndex.pooled(pool, pool.numbers(labels)),
    )
    for index in whole:
        assert list(index.labels) == labels == index.some(np.arange(len(labels)))
        reduced = index.reduced_rows(how).picked(some).reduced_rows(other)
        own, codes = reduced.reduced(WHOLE)
        assert [own.labels[code] for code in codes] == expected
        assert [pool.labels[code] for code in reduced.reduced(WHOLE, pool)[1]] == expected
        assert [reduced.row(i) for i in range(len(some))] == expected == list(reduced.labels)
        assert reduced.differ() is (len(set(expected)) == len(expected))
        assert len(reduced) == len(some)


@given(st.lists(label_sets, max_size=9), st.lists(label_sets, max_size=9), reductions, st.booleans())
def test_two_indexes_are_numbered_in_one_pool_wherever_they_come_from(
    mine: list[Labels], theirs: list[Labels], how: Reduction, together: bool
) -> None:
    shared = LabelPool()
    left = LabelIndex(mine, shared)
    right = LabelIndex(theirs, shared if together else None)
    pool, lefts, rights = reduced_alike(left, right, how)
    assert [pool.labels[code] for code in lefts] == [how(labels) for labels in mine]
    assert [pool.labels[code] for code in rights] == [how(labels) for labels in theirs]


def test_an_index_of_everybody_does_not_collect_the_labels_that_it_meets() -> None:
    everybody = LabelIndex((EMPTY_LABELS,))
    for i in range(10):
        other = LabelIndex([Labels.of(a=str(i))])
        reduced_alike(everybody, other, without("b"))
        reduced_alike(other, everybody, without("b"))
    assert len(everybody.source.pool) == 0


def test_equal_numbers_are_one_index_as_long_as_it_lives() -> None:
    pool = LabelPool()
    codes = pool.numbers([Labels.of(a="1"), Labels.of(a="2")])
    index = LabelIndex.pooled(pool, codes)
    assert LabelIndex.pooled(pool, codes.copy()) is index
    assert LabelIndex.pooled(pool, codes[::-1]) is not index
    gone = weakref.ref(index)
    del index
    assert gone() is None
    assert list(LabelIndex.pooled(pool, codes).labels) == [Labels.of(a="1"), Labels.of(a="2")]
