"""What scrapes that fail, or break a limit, report of themselves, beside a real Prometheus that scrapes the same."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests import delimited_families as wire
from tests.delimited_families import GAUGE_HISTOGRAM, HISTOGRAM
from tests.e2e.scraping_pair import scraping_pair
from tests.http_server import HttpReply, HttpRequest, LoopbackServer
from tests.servers import get_json, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.alone]  # each scrape has 2 s, on both sides

REPORTS = ("up", "scrape_samples_scraped", "scrape_samples_post_metric_relabeling", "scrape_series_added")
TEXT, OPENMETRICS = "text/plain; version=0.0.4", "application/openmetrics-text; version=1.0.0"
A = wire.gauge("a", 1)
Z = wire.gauge("z", 1)


def native(name: str, *, count: int = 6, labels: tuple[tuple[str, str], ...] = (), **more: Any) -> bytes:
    value = wire.histogram(count, 2.5, [(1, 2), (2, count)], schema=0, positive=([(0, 3)], [1, 1, 1]), **more)
    return wire.family(name, HISTOGRAM, wire.metric(HISTOGRAM, value, labels))


def classic(name: str, *buckets: tuple[float, float], count: int = 6) -> bytes:
    return wire.family(name, HISTOGRAM, wire.metric(HISTOGRAM, wire.histogram(count, 2.5, buckets)))


FAR = wire.family(
    "far",
    HISTOGRAM,
    wire.metric(HISTOGRAM, wire.histogram(6, 1, schema=-4, positive=([(0, 1), (9, 1), (9, 1)], [2, 0, 0]))),
)
C = classic("c", (1, 2), (5, 6))
Y = wire.gauge("y", 1)
GOOD = A + native("h") + classic("c", (1, 2), (5, 6)) + Z
GOOD_TEXT = b'a 1\n# TYPE h histogram\nh_bucket{le="1"} 1\nh_bucket{le="+Inf"} 3\nh_sum 2\nh_count 3\nz 1\n'
NHCB = {"convert_classic_histograms_to_nhcb": True}
BOTH = {"always_scrape_classic_histograms": True}
DROP = {"metric_relabel_configs": [{"source_labels": ["__name__"], "regex": "a|c_.*", "action": "drop"}]}

# name -> the good body, the bad one, the settings of the job, the content type
CASES: dict[str, tuple[bytes, bytes, dict[str, Any], str]] = {
    "count_too_small": (GOOD, A + native("h", count=5) + Z, {}, wire.CONTENT_TYPE),
    "count_too_small_both": (GOOD, A + native("h", count=5) + Z, BOTH, wire.CONTENT_TYPE),
    "count_too_small_first": (GOOD, native("h", count=5) + Z, {}, wire.CONTENT_TYPE),
    "count_too_small_dropped": (GOOD, A + classic("c", (1, 6)) + native("h", count=5) + Z, DROP, wire.CONTENT_TYPE),
    "negative_bucket": (
        GOOD,
        A + wire.family("h", 4, wire.metric(4, wire.histogram(1, 1, schema=0, positive=([(0, 1)], [-1])))) + Z,
        {},
        wire.CONTENT_TYPE,
    ),
    "second_metric_wrong": (
        GOOD,
        wire.family(
            "h",
            HISTOGRAM,
            wire.metric(HISTOGRAM, wire.histogram(6, 1, schema=0, positive=([(0, 1)], [6])), [("p", "x")]),
            wire.metric(HISTOGRAM, wire.histogram(5, 1, schema=0, positive=([(0, 1)], [6])), [("p", "y")]),
        ),
        {},
        wire.CONTENT_TYPE,
    ),
    "gauge_histogram_wrong": (
        GOOD,
        A
        + wire.family(
            "g", GAUGE_HISTOGRAM, wire.metric(GAUGE_HISTOGRAM, wire.histogram(1, 1, schema=0, positive=([(0, 1)], [2])))
        ),
        {},
        wire.CONTENT_TYPE,
    ),
    "cut_off": (GOOD, GOOD[:-3], {}, wire.CONTENT_TYPE),
    "cut_off_in_histogram": (GOOD, (A + native("h"))[:-5], {}, wire.CONTENT_TYPE),
    "wrong_label": (GOOD, A + native("h", labels=(("", "x"),)) + Z, {}, wire.CONTENT_TYPE),
    "label_twice": (GOOD, A + native("h", labels=(("x", "1"), ("x", "2"))) + Z, {}, wire.CONTENT_TYPE),
    # Where the limit is reached by floats: 3.5 does not count histograms, 3.14 does.
    "sample_limit": (A + Z, A + C + native("h") + Z, {"sample_limit": 3}, wire.CONTENT_TYPE),
    "sample_limit_reached": (A + Z, A + C + native("h"), {"sample_limit": 5}, wire.CONTENT_TYPE),
    "sample_limit_both": (A + native("h"), C + native("h") + Z, {"sample_limit": 4, **BOTH}, wire.CONTENT_TYPE),
    "sample_limit_dropped": (A + C, C + A + Z + Y, {"sample_limit": 1, **DROP}, wire.CONTENT_TYPE),
    "sample_limit_then_error": (A, A + C + b"\xff", {"sample_limit": 2}, wire.CONTENT_TYPE),
    "sample_limit_far": (b"a 1\n", b"".join(b"b%d 1\n" % i for i in range(2000)), {"sample_limit": 3}, TEXT),
    "wrong_but_dropped": (
        GOOD,
        A + native("h", count=5) + Z,
        {"metric_relabel_configs": [{"source_labels": ["__name__"], "regex": "h", "action": "drop"}]},
        wire.CONTENT_TYPE,
    ),
    "bucket_limit_but_dropped": (
        GOOD,
        A + FAR + Z,
        {
            "metric_relabel_configs": [{"source_labels": ["__name__"], "regex": "far", "action": "drop"}],
            "native_histogram_bucket_limit": 2,
        },
        wire.CONTENT_TYPE,
    ),
    "series_that_change": (A, A + wire.gauge("b", 1, [("n", "@")]) + native("h", count=5) + Z, {}, wire.CONTENT_TYPE),
    "bucket_limit": (A + Z, A + FAR + Z, {"native_histogram_bucket_limit": 2}, wire.CONTENT_TYPE),
    "bucket_limit_twice": (A, A + FAR + native("h") + FAR + Z, {"native_histogram_bucket_limit": 1}, wire.CONTENT_TYPE),
    "bucket_limit_then_error": (
        A,
        A + FAR + native("i", count=5) + Z,
        {"native_histogram_bucket_limit": 2},
        wire.CONTENT_TYPE,
    ),
    "bucket_limit_and_sample_limit": (
        A,
        A + FAR + Z + native("h"),
        {"native_histogram_bucket_limit": 2, "sample_limit": 2},
        wire.CONTENT_TYPE,
    ),
    "bucket_limit_reduced": (A, GOOD, {"native_histogram_bucket_limit": 2}, wire.CONTENT_TYPE),
    "label_limit": (GOOD, A + native("h", labels=(("x", "1"), ("y", "2"))) + Z, {"label_limit": 4}, wire.CONTENT_TYPE),
    "label_limit_both": (
        GOOD,
        A + native("h", labels=(("x", "1"), ("y", "2"))) + Z,
        {"label_limit": 5, **BOTH},
        wire.CONTENT_TYPE,
    ),
    "label_value_limit": (
        GOOD,
        A + native("h", labels=(("x", "1" * 60),)) + Z,
        {"label_value_length_limit": 50},
        wire.CONTENT_TYPE,
    ),
    "text_error": (GOOD_TEXT, GOOD_TEXT.replace(b"h_sum 2", b"h_sum x"), {}, TEXT),
    "text_error_nhcb": (GOOD_TEXT, GOOD_TEXT.replace(b"h_sum 2", b"h_sum x"), NHCB, TEXT),
    "text_error_after_nhcb": (GOOD_TEXT, GOOD_TEXT + b"y x\n", NHCB, TEXT),
    "text_error_after_nhcb_both": (GOOD_TEXT, GOOD_TEXT + b"y x\n", {**NHCB, **BOTH}, TEXT),
    "text_bucket_limit_nhcb": (b"a 1\nz 1\n", GOOD_TEXT, {**NHCB, "native_histogram_bucket_limit": 1}, TEXT),
    "text_sample_limit": (b"a 1\nz 1\n", GOOD_TEXT, {"sample_limit": 3}, TEXT),
    "text_label_limit": (GOOD_TEXT, GOOD_TEXT + b'y{x="1",v="2"} 1\nu 1\n', {"label_limit": 4}, TEXT),
    "openmetrics_no_end": (GOOD_TEXT + b"# EOF\n", GOOD_TEXT, {}, OPENMETRICS),
    "openmetrics_no_end_nhcb": (GOOD_TEXT + b"# EOF\n", GOOD_TEXT, NHCB, OPENMETRICS),
}
# Which body a scrape gets: g or b; 5 is a status. The `@` of a bad one becomes the number of the scrape.
SCRAPES = "bbgbg5gb"


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, list[dict[str, list[str]]]]]:
    """name -> (theirs, ours): what each scrape reported."""
    scrapes: Counter[str] = Counter()
    lock = threading.Lock()

    def reply(asked: HttpRequest) -> HttpReply:
        name = asked.path.split("/")[1]
        with lock:
            n = scrapes[asked.path]
            scrapes[asked.path] += 1
        good, bad, _, content_type = CASES[name]
        what = SCRAPES[n] if n < len(SCRAPES) else "5"
        if what == "5":
            return HttpReply(b"", status=500)
        return HttpReply(good if what == "g" else bad.replace(b"@", str(n).encode()), content_type=content_type)

    target = LoopbackServer(reply)
    home = tmp_path_factory.mktemp("failing")
    jobs = {name: settings for name, (_, _, settings, _) in CASES.items()}
    protocols = ["PrometheusProto", "PrometheusText0.0.4", "OpenMetricsText1.0.0"]
    with scraping_pair(home, target.address, jobs, scrape_protocols=protocols) as urls:
        wait_for("all scrapes", lambda: len(scrapes) == 2 * len(CASES) and min(scrapes.values()) > len(SCRAPES), 60)
        found: dict[str, list[dict[str, list[str]]]] = {name: [] for name in CASES}
        for url in urls:
            at = str(time.time())
            data = get_json(f"{url}/api/v1/query", query='{instance="t",__name__=~"up|scrape_.*"}[1m]', time=at)
            for name in CASES:
                of_job = [one for one in data["data"]["result"] if one["metric"]["job"] == name]
                values = {one["metric"]["__name__"]: [v for _, v in one["values"]] for one in of_job}
                slowest = max(map(float, values["scrape_duration_seconds"][: len(SCRAPES)]))
                assert slowest < 2, (
                    f"a scrape of {name} came to its deadline: what it reports is not what the body says"
                )
                found[name].append({report: values[report][: len(SCRAPES)] for report in REPORTS})
        yield found
    target.close()


@pytest.mark.parametrize("name", CASES)
def test_the_same_reports(name: str, reported: dict[str, list[dict[str, list[str]]]]) -> None:
    theirs, ours = reported[name]
    assert len(theirs["up"]) == len(SCRAPES)
    assert ours == theirs
