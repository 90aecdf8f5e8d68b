"""Operators whose sides have series, and never meet."""

from __future__ import annotations

import pytest

from rulepush.livecheck import FindingKind
from tests.livecheck.bodies import only, problems

BODY = b"""\
# TYPE nacos_monitor gauge
nacos_monitor{module="naming",name="serviceCount"} 107
nacos_monitor{module="naming",name="ipCount"} 181
# TYPE pool_used gauge
pool_used{pool="a"} 3
# TYPE pool_limit gauge
pool_limit{pool="a",kind="hard"} 10
# TYPE other_limit gauge
other_limit{pool="b"} 10
"""


@pytest.mark.parametrize(
    ("expr", "meets"),
    [
        ('nacos_monitor{name="serviceCount"} / nacos_monitor{name="ipCount"} > 2', False),
        ('nacos_monitor{name="serviceCount"} / ignoring (name) nacos_monitor{name="ipCount"} > 2', True),
        ('nacos_monitor{name="serviceCount"} > 500 and nacos_monitor{name="ipCount"} > 500', False),
        ('nacos_monitor{name="serviceCount"} > 500 and on (instance) nacos_monitor{name="ipCount"} > 500', True),
        ('nacos_monitor{name="serviceCount"} > 500 unless nacos_monitor{name="ipCount"} > 500', True),
        ('nacos_monitor{name="serviceCount"} > 500 or nacos_monitor{name="ipCount"} > 500', True),
        ("pool_used / pool_limit > 0.9", False),
        ("pool_used / on (pool) pool_limit > 0.9", True),
        ("pool_used / sum without (kind) (pool_limit) > 0.9", True),
        ("pool_used / on (pool) other_limit > 0.9", False),
        ("pool_used / on (pool) (other_limit > 99) > 0.9", False),
        ("sum(pool_used) / sum(other_limit) > 0.9", True),
        ("sum by (pool) (pool_used > 99) / on () sum(other_limit) > 0.9", True),
        ("pool_used > 99 and on (pool) absent(other_limit)", True),
        ("rate(pool_used[5m]) / on (pool) other_limit > 2", True),  # one scrape: the left side is empty
        ("pool_used > 0.9 * 3", True),
    ],
)
def test_whether_the_sides_meet(expr: str, meets: bool) -> None:
    assert (FindingKind.NO_MATCH in problems(expr, BODY)) is not meets


def test_what_differs_is_named() -> None:
    found = only("pool_used / pool_limit > 0.9", FindingKind.NO_MATCH, BODY)
    assert 'kind is missing on the left and "hard" on the right' in found.message
    assert found.suggestion == "Match on what both have: on (instance, job, pool, service), or ignoring (kind)."
    found = only("pool_used / on (pool) other_limit > 0.9", FindingKind.NO_MATCH, BODY)
    assert 'pool is "a" on the left and "b" on the right' in found.message
    assert found.suggestion == ""
