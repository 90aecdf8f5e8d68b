"""Rules that read native histograms, on targets that expose them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rulepush.__main__ import main
from rulepush.histogram.buckets import Buckets
from rulepush.histogram.histogram import FloatHistogram
from rulepush.histogram.sample import HistogramSample
from rulepush.livecheck import Finding, FindingKind, LiveData, LiveRule, Scrape, TargetScrapes, analyse
from rulepush.model.labels import Labels
from rulepush.model.sample import Sample
from rulepush.promql import parse_expr
from tests import delimited_families as wire
from tests.livecheck.bodies import NOW, TARGET
from tests.livecheck.servers import serving

NATIVE = FloatHistogram(schema=0, count=3, sum=2, positive=Buckets.from_spans([(0, 2)], [1, 2]))


def findings(expr: str, *, values: bool = True) -> dict[FindingKind, Finding]:
    """`values`: as in `check live`; else the series alone, as `explain` of a running rulepush knows them."""
    h, g = (TARGET.with_({"__name__": name}) for name in "hg")
    histogram = HistogramSample(h, NOW, 0.0, NATIVE) if values else Sample(h, NOW, float("nan"))
    scrape = Scrape(NOW, (histogram, Sample(g, NOW, 1.0)), {"h": "histogram", "g": "gauge"})
    recorded = [Sample(Labels.of(__name__="job:h:sum"), 0, 0.0)]
    seen = LiveData([TargetScrapes("nacos", "http://n1:1/", TARGET, (scrape,))], more=recorded)
    found = analyse([LiveRule("Test", parse_expr(expr))], seen).rules[0].findings
    return {finding.kind: finding for finding in found}


@pytest.mark.parametrize("values", [True, False])
def test_a_quantile_of_native_histograms_needs_no_buckets(values: bool) -> None:
    for expr in ("h", "sum(h)", "job:h:sum"):
        assert FindingKind.NO_BUCKETS not in findings(f"histogram_quantile(0.9, {expr}) > 5", values=values)
    assert "g has none" in findings("histogram_quantile(0.9, g) > 5", values=values)[FindingKind.NO_BUCKETS].message


def test_they_are_evaluated() -> None:
    assert "it fires now: {" in findings("histogram_quantile(0.9, h) > 1")[FindingKind.FIRES_NOW].message
    shown = findings("h")[FindingKind.FIRES_NOW].message
    assert shown.endswith("} = {count:3, sum:2, (0.5,1]:1, (1,2]:2}")


@pytest.mark.parametrize("values", [True, False])
@pytest.mark.parametrize("expr", ["h > 1", "1 < sum by (job) (h)", "rate(h[5m]) >= 0", "avg(rate(h[5m])) == 1"])
def test_one_that_is_compared_with_a_number_leaves_nothing(expr: str, values: bool) -> None:
    found = findings(expr, values=values)[FindingKind.HISTOGRAM_COMPARED]
    assert found.message == "it compares native histograms of h with a number, which leaves nothing"
    assert "histogram_quantile(0.9, " in found.suggestion


def test_what_a_histogram_says_in_numbers_may_be_compared() -> None:
    for expr in ("histogram_count(h) > 1", "histogram_sum(sum(h)) > 1", "count(h) > 1", "g > 1", "h == h"):
        assert FindingKind.HISTOGRAM_COMPARED not in findings(expr)


@pytest.mark.parametrize("kind", ["protobuf", "text"])
def test_check_live_scrapes_them_as_the_job_does(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    value = wire.histogram(3, 2, schema=0, positive=([(0, 2)], [1, 1]))
    bodies = {
        "protobuf": (wire.CONTENT_TYPE, wire.family("h", wire.HISTOGRAM, wire.metric(wire.HISTOGRAM, value))),
        "text": ("text/plain", b'# TYPE h histogram\nh_bucket{le="1"} 1\nh_bucket{le="+Inf"} 3\nh_sum 2\nh_count 3\n'),
    }
    rules = tmp_path / "rules.yml"
    rules.write_text(
        "groups: [{name: g, rules: [{record: 'r', expr: 'sum(h)'}, {alert: A, expr: 'histogram_count(r) > 2'}]}]"
    )
    with serving(lambda _: (200, *bodies[kind])) as address:
        job = {"job_name": "app", "static_configs": [{"targets": [address]}]}
        taken = {"scrape_native_histograms": True, "convert_classic_histograms_to_nhcb": kind == "text"}
        config = tmp_path / "rulepush.yml"
        config.write_text(json.dumps({"rule_files": [str(rules)], "scrape_configs": [{**job, **taken}]}))
        assert main(["check", "live", "--config.file", str(config)]) == 0
        out = capsys.readouterr().out
        assert "it fires now: {} = 3" in out
        assert "no target exposes" not in out
        config.write_text(json.dumps({"rule_files": [str(rules)], "scrape_configs": [job]}))
        assert main(["check", "live", "--config.file", str(config)]) == 1
        assert "no target exposes h" in capsys.readouterr().out
