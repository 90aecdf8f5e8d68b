"""Scrapes with native histograms as bodies of pushes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from rulepush.errors import PushError
from rulepush.exposition import FamilyMetadata
from rulepush.exposition.families import FamilyType, Metric, MetricFamily
from rulepush.exposition.protobuf.delimited import each_family, read_metric
from rulepush.forward.body import Lines, PushBody
from rulepush.histogram.buckets import Buckets
from rulepush.histogram.histogram import CounterResetHint, FloatHistogram, stale_histogram
from rulepush.histogram.sample import HistogramSample
from rulepush.model.labels import Labels
from rulepush.model.sample import Sample
from rulepush.push.protobuf_bodies import parse_push_protobuf
from rulepush.relabel.relabel import Action, RelabelConfig

T = 1_700_000_000_000
NATIVE = FloatHistogram(
    schema=1, count=6, sum=2.5, zero_threshold=0.1, zero_count=1, positive=Buckets.from_spans([(-2, 2)], [2, 3])
)
CUSTOM = FloatHistogram(
    schema=-53, count=6, sum=9, positive=Buckets.from_spans([(0, 1), (1, 1)], [1, 5]), custom_values=(0.5, 2.0)
)
KNOWN = {
    "h": FamilyMetadata("histogram", "How long."),
    "took": FamilyMetadata("summary", ""),
    "n_total": FamilyMetadata("counter", "Many."),
}


def sample(name: str, value: float | FloatHistogram, **labels: str) -> Sample:
    named = Labels({"__name__": name, "job": "j", **labels})
    return Sample(named, T, value) if isinstance(value, float | int) else HistogramSample(named, T, 0.0, value)


def pushed(
    *samples: Sample, known: Mapping[str, FamilyMetadata] = KNOWN, relabel: Sequence[RelabelConfig] = ()
) -> dict[str, MetricFamily]:
    body = PushBody()
    Lines(relabel).write(body, samples, known)
    assert body.content_type.startswith("application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily")
    return parse_push_protobuf(body.encode()).families


JOB = (("job", "j"),)


def test_a_scrape_with_a_native_histogram_is_protobuf_with_all_that_it_has() -> None:
    found = pushed(
        sample("up", 1),
        sample("n_total", 7),
        sample("took", 0.5, quantile="0.9"),
        sample("took_sum", 3),
        sample("took_count", 2),
        sample("h", NATIVE),
        sample("h", NATIVE, p="x"),
        sample("g", NATIVE.with_hint(CounterResetHint.GAUGE)),
        sample("c", CUSTOM),
        sample("gone", stale_histogram()),
    )
    assert found == {
        "up": MetricFamily("up", FamilyType.UNTYPED, "", (Metric(JOB, 1),)),
        "n_total": MetricFamily("n_total", FamilyType.COUNTER, "Many.", (Metric(JOB, 7),)),
        "took": MetricFamily("took", FamilyType.SUMMARY, "", (Metric(JOB, 3, 2, ((0.9, 0.5),)),)),
        "h": MetricFamily(
            "h",
            FamilyType.HISTOGRAM,
            "How long.",
            (Metric(JOB, 2.5, 6, native=NATIVE), Metric((*JOB, ("p", "x")), 2.5, 6, native=NATIVE)),
        ),
        "g": MetricFamily(
            "g",
            FamilyType.GAUGE_HISTOGRAM,
            "",
            (Metric(JOB, 2.5, 6, native=NATIVE.with_hint(CounterResetHint.GAUGE)),),
        ),
        "c": MetricFamily("c", FamilyType.HISTOGRAM, "", (Metric(JOB, 9, 6, ((0.5, 1), (2, 1))),)),
    }


def test_classic_buckets_of_the_same_histogram_stand_beside_the_native_ones() -> None:
    found = pushed(
        sample("h_bucket", 4, le="1"),
        sample("h_bucket", 6, le="+Inf"),
        sample("h_sum", 2.5),
        sample("h_count", 6),
        sample("h", NATIVE),
        sample("h_bucket", 1, le="1", p="classic"),
        sample("h_sum", 1, p="classic"),
        sample("h_count", 1, p="classic"),
    )
    assert found["h"].metrics == (
        Metric(JOB, 2.5, 6, ((1, 4),), NATIVE),
        Metric((*JOB, ("p", "classic")), 1, 1, ((1, 1),)),
    )


@pytest.mark.parametrize("count", [6.0, 6.5])
def test_counts_are_fractional_only_where_they_must_be(count: float) -> None:
    body = PushBody()
    Lines(()).write(body, [sample("h", FloatHistogram(schema=0, count=count, zero_count=count))], {})
    (family,) = each_family(body.encode())
    message = read_metric(family.metric[0]).histogram
    assert (message.sample_count, message.sample_count_float) == ((6, 0) if count == 6 else (0, 6.5))
    assert (message.zero_count, message.zero_count_float) == ((6, 0) if count == 6 else (0, 6.5))


def test_write_relabel_configs_count_for_histograms_too() -> None:
    drop = RelabelConfig(source_labels=("p",), regex="x", action=Action.DROP)
    found = pushed(sample("h", NATIVE), sample("h", NATIVE, p="x"), relabel=[drop])
    assert [metric.pairs for metric in found["h"].metrics] == [JOB]


def test_the_first_of_a_series_counts_and_floats_of_the_same_name_win() -> None:
    found = pushed(sample("h", NATIVE), sample("h", CUSTOM), sample("f", NATIVE, p="x"), sample("f", 1), known={})
    assert [metric.native for metric in found["h"].metrics] == [NATIVE]
    assert found["f"].metrics == (Metric(JOB, 1),)


def test_what_no_pushgateway_takes_is_refused_with_its_reason() -> None:
    body = PushBody()
    Lines(()).write(body, [sample("h", NATIVE), sample("k_bucket", 1, le="x")], {"k": FamilyMetadata("histogram", "")})
    with pytest.raises(PushError, match=r"the scrape cannot be pushed: .*expected float as value for 'le' label"):
        body.encode()
