"""Bodies become families: the text format as strict as Pushgateway, OpenMetrics beside it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rulepush.errors import PushError
from rulepush.exposition.families import FamilyType, MetricFamily
from rulepush.push.bodies import parse_push_openmetrics, parse_push_text


def shown(families: dict[str, MetricFamily]) -> list[str]:
    return [f"{labels} {value:g}" for f in families.values() for labels, value in f.series()]


def test_a_histogram_always_has_a_last_bucket() -> None:
    families = parse_push_text(b'# TYPE h histogram\nh_bucket{x="y",le="1"} 1\nh_count{x="y"} 3\n').families
    assert list(families) == ["h"]
    assert shown(families) == [
        'h_bucket{le="1.0", x="y"} 1',
        'h_bucket{le="+Inf", x="y"} 3',
        'h_sum{x="y"} 0',
        'h_count{x="y"} 3',
    ]


def test_timestamps_are_noticed() -> None:
    assert not parse_push_text(b"a 1\n").timestamps
    assert parse_push_text(b"a 1 -5\n").timestamps


def test_bodies_without_type_are_untyped() -> None:
    families = parse_push_text(b"a_total 1\n").families
    assert families["a_total"].type is FamilyType.UNTYPED


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"a 1\nb 1e999\n", 'line 2: expected float as value, got "1e999"'),
        (b"a \xef\xbc\x91\n", 'line 1: expected float as value, got "\uff11"'),
        (b"a \xff\n", r'line 1: expected float as value, got "\xff"'),
        (b"# HELP a b\\q", r"line 1: invalid escape sequence '\q'"),
        (b"a 1", "line 1: unexpected end of input stream"),
        (b"# TYPE h histogram\nh_count -1\n", 'line 2: negative count for histogram "h"'),
        (b'# TYPE h histogram\nh_bucket{le="1_0"} 1\n', "line 2: expected float as value for 'le' label, got \"1_0\""),
        (b'a{x="1",x="1"} 1\n', 'line 1: duplicate label names for metric "a"'),
        (b'a{__name__="1"} 1\n', 'line 1: label name "__name__" is reserved'),
        (b'a 1\n{x="1"} 1\n', "line 2: invalid metric name"),
    ],
)
def test_a_wrong_text_body_is_400_in_pushgateways_words(body: bytes, message: str) -> None:
    with pytest.raises(PushError) as caught:
        parse_push_text(body)
    assert (caught.value.status, str(caught.value)) == (400, f"text format parsing error in {message}")


def test_the_usual_spelling_and_a_free_one_are_read_alike() -> None:
    types = b"# TYPE h histogram\n# TYPE s summary\n"
    usual = (
        types
        + b'h_bucket{x="y",le="1"} 1\nh_count{x="y"} 2\ns{quantile="0.5"} 1\ns_count 2.5\na{le="1",x="\xc3\xa9"} 3\n'
    )
    free = types + (
        b' h_bucket{ "x" = "y" , le = "1" , }  1\n{"h_count",x="y"} 2\ns { quantile="0.5"} 1\n'
        b'{"s_count"}\t2.5\n{x="\xc3\xa9","a",le="1"} 3\n'
    )
    assert parse_push_text(usual) == parse_push_text(free)


def test_a_gauge_histogram_has_buckets_and_says_so_to_a_scraper() -> None:
    family = parse_push_text(b'# TYPE h GaugeHistogram\nh_bucket{le="1"} 0.5\nh_count 1.5\n').families["h"]
    assert shown({"h": family}) == ['h_bucket{le="1.0"} 0.5', 'h_bucket{le="+Inf"} 1.5', "h_sum 0", "h_count 1.5"]
    assert family.metadata().type == "gaugehistogram"


def test_openmetrics_names_families_as_the_text_format_does() -> None:
    body = (
        b"# TYPE c counter\n# HELP c of c\nc_total 1\nc_created 2\n"
        b'# TYPE h histogram\nh_bucket{le="+Inf"} 1\nh_sum 2\nh_count 1\n'
        b'# TYPE i info\ni_info{v="1"} 1\n# TYPE s summary\ns{quantile="0.5"} 3\ns_count 1\n# EOF\n'
    )
    families = parse_push_openmetrics(body).families
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
        parse_push_openmetrics(body)
    assert caught.value.status == 400


TEXT = st.text(st.sampled_from('a1{}="\\\n ,#.eTYPE HELP counter summary histogram_le+Inf\t\x00é'), max_size=60)


@given(TEXT | st.binary(max_size=60))
def test_fuzzed_bodies_raise_nothing_else(body: str | bytes) -> None:
    data = body.encode() if isinstance(body, str) else body
    for parse in (parse_push_text, parse_push_openmetrics):
        try:
            parsed = parse(data)
        except PushError as e:
            str(e).encode()  # the answer can be sent
            continue
        for family in parsed.families.values():
            assert list(family.series())
