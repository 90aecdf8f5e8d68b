"""Bodies become families: the text format as strict as Pushgateway, OpenMetrics beside it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rulepush.errors import PushError
from rulepush.exposition.expfmt import parse_families
from rulepush.exposition.families import FamilyType, MetricFamily
from rulepush.push.bodies import parse_openmetrics_families


def shown(families: dict[str, MetricFamily]) -> list[str]:
    return [f"{labels} {value:g}" for f in families.values() for labels, value in f.series()]


def test_a_histogram_always_has_a_last_bucket() -> None:
    families = parse_families(b'# TYPE h histogram\nh_bucket{x="y",le="1"} 1\nh_count{x="y"} 3\n').families
    assert list(families) == ["h"]
    assert shown(families) == [
        'h_bucket{le="1.0", x="y"} 1',
        'h_bucket{le="+Inf", x="y"} 3',
        'h_sum{x="y"} 0',
        'h_count{x="y"} 3',
    ]


def test_timestamps_are_noticed() -> None:
    assert not parse_families(b"a 1\n").timestamps
    assert parse_families(b"a 1 -5\n").timestamps


def test_bodies_without_type_are_untyped() -> None:
    families = parse_families(b"a_total 1\n").families
    assert families["a_total"].type is FamilyType.UNTYPED


def test_openmetrics_names_families_as_the_text_format_does() -> None:
    body = (
        b"# TYPE c counter\n# HELP c of c\nc_total 1\nc_created 2\n"
        b'# TYPE h histogram\nh_bucket{le="+Inf"} 1\nh_sum 2\nh_count 1\n'
        b'# TYPE i info\ni_info{v="1"} 1\n# TYPE s summary\ns{quantile="0.5"} 3\ns_count 1\n# EOF\n'
    )
    families = parse_openmetrics_families(body).families
    assert {n: f.type.value for n, f in families.items()} == {
        "c_total": "COUNTER",
        "c_created": "GAUGE",
        "i_info": "GAUGE",
        "h": "HISTOGRAM",
        "s": "SUMMARY",
    }
    assert families["c_total"].help == "of c"
    assert 's{quantile="0.5"} 3' in shown(families)


@pytest.mark.parametrize("body", [b"a 1\n", b"a 1\n# EOF\nb", b"a{ 1\n# EOF\n"])
def test_bad_openmetrics_is_400(body: bytes) -> None:
    with pytest.raises(PushError, match="OpenMetrics parsing error in line") as caught:
        parse_openmetrics_families(body)
    assert caught.value.status == 400


TEXT = st.text(st.sampled_from('a1{}="\\\n ,#.eTYPE HELP counter summary histogram_le+Inf\t\x00é'), max_size=60)


@given(TEXT | st.binary(max_size=60))
def test_fuzzed_bodies_raise_nothing_else(body: str | bytes) -> None:
    data = body.encode() if isinstance(body, str) else body
    for parse in (parse_families, parse_openmetrics_families):
        try:
            parsed = parse(data)
        except PushError as e:
            str(e).encode()  # the answer can be sent
            continue
        for family in parsed.families.values():
            assert list(family.series())
