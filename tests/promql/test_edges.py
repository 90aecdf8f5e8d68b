"""Corners in which a comparison with a real Prometheus over random expressions found a difference once."""

from __future__ import annotations

from tests.promql.scripting import failures


def test_duplicates_do_not_matter_where_the_other_side_is_empty() -> None:
    assert not failures(
        """
        load 1m
          one{a="1"} 1 1 1 1
          one{a="2"} 1 1 1 1
          many       _ _ _ 1

        eval instant at 1m many + on () one

        eval instant at 1m many + on () group_left () one

        eval range from 0 to 1m step 1m many + on () one

        eval range from 0 to 3m step 1m many + on () one
          expect fail regex: found duplicate series for the match group
        """
    )
