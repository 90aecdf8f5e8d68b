"""Cases after prometheus scrape/target_test.go."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rulepush.exposition.entries import HistogramScraping
from rulepush.model.labels import Labels
from rulepush.scrape.target import HISTOGRAM_LABELS, TargetDefaults, build_targets

JOB = TargetDefaults("job", 1000, 500, metrics_path="/m", params=(("module", ("a", "b")), ("x y", ("1&2",))))


def labels(**more: str) -> Labels:
    return Labels({"__address__": "1.2.3.4:1000", **more})


def test_a_job_fills_in_what_the_target_does_not_say() -> None:
    (target,), dropped = build_targets([labels(custom="v")], JOB, None)
    assert dropped == []
    assert target.labels == Labels.of(job="job", instance="1.2.3.4:1000", custom="v")
    assert target.url == "http://1.2.3.4:1000/m?module=a&module=b&x+y=1%262"
    assert (target.interval_ms, target.timeout_ms) == (1000, 500)
    assert target.discovered.get("__scrape_interval__") == "1s"


def test_a_percent_sign_in_the_path_is_one_as_in_go() -> None:
    (target,), _ = build_targets([labels(__metrics_path__="/a%20b c?d")], TargetDefaults("job", 1000, 500), None)
    assert target.url == "http://1.2.3.4:1000/a%2520b%20c%3Fd"


def test_labels_of_the_target_win_over_the_job() -> None:
    own = labels(
        __scheme__="https",
        __metrics_path__="custom",
        __param_module="c",
        __param_new="d",
        __scrape_interval__="2s",
        __scrape_timeout__="2s",
        job="mine",
        instance="me",
        __meta_x="y",
        __tmp="z",
    )
    (target,), _ = build_targets([own], JOB, None)
    assert target.url == "https://1.2.3.4:1000/custom?module=c&module=b&new=d&x+y=1%262"
    assert target.labels == Labels.of(job="mine", instance="me")
    assert (target.interval_ms, target.timeout_ms) == (2000, 2000)
    assert "__meta_x" not in target.all_labels
    assert "__meta_x" in target.discovered
    assert "__tmp" in target.all_labels


def test_relabelling_decides_what_is_scraped() -> None:
    def relabel(found: Labels) -> Labels | None:
        return None if found.get("drop") else found.with_({"__address__": "other:1", "instance": ""})

    targets, dropped = build_targets([labels(drop="1"), labels()], JOB, relabel)
    assert [t.labels.get("instance") for t in targets] == ["other:1"]
    assert [d.discovered.get("drop") for d in dropped] == ["1"]
    assert [d.error for d in dropped] == [""]


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (Labels.of(x="1"), "no address"),
        (Labels.of(__address__="a/b"), '"a/b" is not a valid hostname'),
        (labels(__scrape_interval__="x"), 'error parsing scrape interval: not a valid duration string: "x"'),
        (labels(__scrape_interval__="0"), "scrape interval cannot be 0"),
        (labels(__scrape_timeout__="0s"), "scrape timeout cannot be 0"),
        (labels(__scrape_timeout__="2s"), 'scrape timeout cannot be greater than scrape interval ("2s" > "1s")'),
        (
            labels(__scrape_native_histograms__="yes"),
            'error parsing scrape native histograms: strconv.ParseBool: parsing "yes": invalid syntax',
        ),
        (
            labels(__always_scrape_classic_histograms__=" "),
            'error parsing always scrape classic histograms: strconv.ParseBool: parsing " ": invalid syntax',
        ),
        (
            labels(__convert_classic_histograms_to_nhcb__="TRue"),
            'error parsing convert classic histograms to nhcb: strconv.ParseBool: parsing "TRue": invalid syntax',
        ),
    ],
)
def test_a_label_set_that_is_no_target_says_why(bad: Labels, error: str) -> None:
    targets, dropped = build_targets([bad], JOB, None)
    assert targets == []
    assert [d.error for d in dropped] == [error]


def test_what_the_job_makes_of_histograms_are_labels_that_relabelling_sees() -> None:
    job = TargetDefaults("job", 1000, 500, histograms=HistogramScraping(native=True, to_custom_buckets=True))
    own = labels(__convert_classic_histograms_to_nhcb__="false")

    def relabel(found: Labels) -> Labels:
        return found.with_({"native": found.get("__scrape_native_histograms__")})

    (target,), _ = build_targets([own], job, relabel)
    found = {name: target.discovered.get(name) for name in HISTOGRAM_LABELS}
    assert found == {
        "__scrape_native_histograms__": "true",
        "__always_scrape_classic_histograms__": "false",
        "__convert_classic_histograms_to_nhcb__": "false",
    }
    assert target.labels == Labels.of(job="job", instance="1.2.3.4:1000", native="true")
    assert target.histograms(job.histograms) == HistogramScraping(native=True)


def test_equal_targets_are_one() -> None:
    targets, _ = build_targets([labels(__meta_a="1"), labels(__meta_a="2"), labels(x="1")], JOB, None)
    assert len(targets) == 2


@pytest.mark.parametrize(
    ("said", "made"),
    [
        ({}, HistogramScraping(classic_too=True, bucket_limit=9)),
        ({"__scrape_native_histograms__": ""}, HistogramScraping(classic_too=True, bucket_limit=9)),
        ({"__scrape_native_histograms__": "T"}, HistogramScraping(True, True, bucket_limit=9)),
        ({"__always_scrape_classic_histograms__": "0"}, HistogramScraping(bucket_limit=9)),
        ({"__convert_classic_histograms_to_nhcb__": "true"}, HistogramScraping(False, True, True, bucket_limit=9)),
    ],
)
def test_labels_of_a_target_say_what_is_made_of_its_histograms(said: dict[str, str], made: HistogramScraping) -> None:
    of_job = HistogramScraping(classic_too=True, bucket_limit=9)
    (target,), _ = build_targets([labels(**said)], replace(JOB, histograms=of_job), None)
    assert target.histograms(of_job) == made
    (bare,), _ = build_targets([labels()], JOB, lambda found: found.with_(dict.fromkeys(HISTOGRAM_LABELS, "")))
    assert bare.histograms(of_job) == of_job
    assert target.labels == Labels.of(job="job", instance="1.2.3.4:1000")
