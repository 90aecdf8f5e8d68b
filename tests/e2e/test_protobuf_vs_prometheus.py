"""Protobuf targets scraped by a real Prometheus and by us: the same series, values and histograms.

Names end with their unit: Prometheus 3.5 asks for that, and 3.14 no longer.
"""

from __future__ import annotations

import contextlib
import json
import math
import random
from collections.abc import Iterator
from typing import Any

import pytest

from rulepush.exposition import Format
from rulepush.exposition.custom_buckets import CustomBucketTranslator
from rulepush.exposition.entries import HistogramScraping
from rulepush.exposition.protobuf.translate import translated
from rulepush.exposition.translated import TranslatedBody
from rulepush.histogram.text import histogram_json
from rulepush.model.floats import format_float_json
from rulepush.model.labels import Labels
from rulepush.model.matcher import Matcher, MatchOp
from rulepush.scrape.body_histograms import BodyHistograms
from rulepush.scrape.cache import ScrapeCache
from rulepush.scrape.sample_labels import SampleRules
from rulepush.slices import at_once
from rulepush.storage.demand import Demand
from rulepush.storage.head import Head
from tests import delimited_families as wire
from tests.e2e import protobuf_pushes
from tests.http_server import HttpReply, HttpRequest, LoopbackServer
from tests.servers import binary, free_port, get_json, running, wait_for

pytestmark = pytest.mark.e2e

# job -> how it scrapes histograms; `c` belongs to a Prometheus that scrapes no native ones.
JOBS = {
    "c": HistogramScraping(),
    "n": HistogramScraping(native=True),
    "b": HistogramScraping(native=True, classic_too=True),
    "l": HistogramScraping(native=True, bucket_limit=4, min_bucket_factor=1.2),
    "k": HistogramScraping(native=True, to_custom_buckets=True),
    "j": HistogramScraping(native=True, to_custom_buckets=True, classic_too=True),
}
RANDOM_BODIES, CLASSIC_BODIES = 25, 10
GAUGE_HISTOGRAM = wire.whole(3, wire.GAUGE_HISTOGRAM)  # the type of a family
T0 = 1_700_000_000_000
Found = dict[str, Any]


def spans(draw: random.Random) -> tuple[list[tuple[int, int]], int]:
    found = [
        (draw.randint(-3, 5) if not i else draw.randint(0, 4), draw.randint(0, 4)) for i in range(draw.randint(0, 3))
    ]
    return found, sum(length for _, length in found)


def some_histogram(draw: random.Random, native: bool) -> bytes:
    fractional = draw.random() < 0.3
    bounds = sorted(
        {draw.choice([0.005, 0.1, 1, 2.5, 10, 1e6, 1e-7, 123456789, math.inf]) for _ in range(draw.randint(0, 4))}
    )
    counts = sorted(draw.uniform(0, 9) if fractional else draw.randint(0, 9) for _ in bounds)
    sides: list[Any] = []
    total = 0.0
    for _ in range(2):
        side, width = spans(draw)
        absolute = [draw.choice([0, 1, 2, 7]) + (draw.random() if fractional else 0) for _ in range(width)]
        total += sum(absolute)
        deltas = [b - a for a, b in zip([0, *absolute], absolute, strict=False)]
        sides.append((side, absolute if fractional else deltas))
    if not native:
        total = counts[-1] if bounds and bounds[-1] == math.inf else 9 + draw.randint(0, 9)
        return wire.histogram(total, draw.random(), list(zip(bounds, counts, strict=True)), fractional=fractional)
    zero = draw.choice([None, (0.0, 0), (0.001, 0), (0.001, 3)])
    total += zero[1] if zero else 0
    return wire.histogram(
        total,
        draw.choice([0, -2.5, 1e18, 7]),
        list(zip(bounds, counts, strict=True)),
        schema=draw.choice([-4, -1, 0, 3, 8]),
        zero=zero,
        positive=sides[0],
        negative=sides[1],
        fractional=fractional,
        packed=draw.random() < 0.5,
    )


def some_family(draw: random.Random, name: str, native: bool) -> bytes:
    kind = draw.randrange(6)
    metrics = []
    for i in range(draw.randint(0, 3)):
        labels = [("i", str(i)), *([("path", draw.choice(["/a b", 'q"\\\n', "ü", ""]))] if draw.random() < 0.5 else [])]
        if kind in (wire.HISTOGRAM, wire.GAUGE_HISTOGRAM):
            value = some_histogram(draw, native)
        elif kind == wire.SUMMARY:
            quantiles = [(q, draw.choice([math.nan, 0.25, 1e9])) for q in sorted(draw.sample([0, 0.5, 0.99, 1], 2))]
            value = wire.summary(draw.randint(0, 9), draw.random(), quantiles if draw.random() < 0.7 else [])
        else:
            value = wire.number(draw.choice([0, -0.0, 1e-9, 1e16, math.inf, -math.inf, math.nan, draw.random()]))
        metrics.append(wire.metric(kind, value, labels))
    more = {"help_": "of\n\\it", "unit": "seconds"} if draw.random() < 0.5 else {}
    return wire.family(name, kind, *metrics, **more)


WRONG_NATIVE = protobuf_pushes.A + wire.family(
    "h", 4, wire.metric(4, wire.histogram(1, 1, schema=0, positive=([(0, 1)], [-1])))
)


def bodies() -> list[bytes]:
    draw = random.Random(19)
    found = [
        b"".join(some_family(draw, f"m{i}_seconds", n >= CLASSIC_BODIES) for i in range(6))
        for n in range(RANDOM_BODIES)
    ]
    found.append(protobuf_pushes.GOOD["all types"][0] + wire.gauge("name with blanks", 1, [("x y", "z")]))
    a = protobuf_pushes.A
    found += [
        a + bad for bad in (a[:-1], a[:1], b"\x80", b"\xff" * 11, b"\x03\xff\xff\xff", wire.gauge("b", 1, [("", "x")]))
    ]
    found += [a + wire.gauge(b"a\xff", 1), a + wire.gauge("b", 1, [("x", b"\xff")]), a + wire.family("b", 9, b"")]
    found.append(a + wire.gauge("b", 1, [("x", "1"), ("x", "2")]))
    return [*found, WRONG_NATIVE]


CLASSIC_TEXT = b"""# TYPE h histogram
h_bucket{le="1",a="b"} 1
h_bucket{le="+Inf",a="b"} 3
h_sum{a="b"} 2.5
h_count{a="b"} 3
h_bucket{le="1",a="c"} 1
h_count{a="c"} 4
h_sum{a="c"} 1
# HELP g of g
# TYPE g gauge
g 1
g_bucket{le="1"} 7
# TYPE "h h" histogram
{"h h_bucket",le="5"} 2
{"h h_count"} 2
{"h h_sum"} -1
# TYPE wrong histogram
wrong_bucket{le="1"} 5
wrong_bucket{le="2"} 4
wrong_count 5
wrong_sum 1
# TYPE other histogram
h_bucket{le="9"} 9
other_sum 3
"""
TEXTS = {CLASSIC_TEXT: Format.TEXT, CLASSIC_TEXT + b"# EOF\n": Format.OPENMETRICS}
BODIES = [*bodies(), *TEXTS]
CONFIG = {"scrape_interval": "3s", "scrape_timeout": "3s", "scrape_protocols": ["PrometheusProto"]}


def job(name: str, i: int, address: str) -> dict[str, Any]:
    how = JOBS[name]
    config: dict[str, Any] = {"job_name": f"{name}{i}", "metrics_path": f"/{i}"}
    config["static_configs"] = [{"targets": [address], "labels": {"instance": "t"}}]
    if how.classic_too:
        config["always_scrape_classic_histograms"] = True
    if how.to_custom_buckets:
        config["convert_classic_histograms_to_nhcb"] = True
        config["scrape_protocols"] = ["PrometheusProto", "PrometheusText0.0.4", "OpenMetricsText1.0.0"]
    if how.bucket_limit:
        config["native_histogram_bucket_limit"] = how.bucket_limit
        config["native_histogram_min_bucket_factor"] = how.min_bucket_factor
    return config


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The URL of the Prometheus that has each job."""

    def reply(request: HttpRequest) -> HttpReply:
        body = BODIES[int(request.path[1:])]
        return HttpReply(body, content_type=wire.CONTENT_TYPE if body not in TEXTS else TEXTS[body].value)

    target = LoopbackServer(reply)
    with contextlib.ExitStack() as stack:
        stack.callback(target.close)
        urls: dict[str, str] = {}
        for names, flags in (("c", []), ("nblkj", ["--enable-feature=native-histograms"])):
            home = tmp_path_factory.mktemp("prometheus")
            jobs = [job(name, i, target.address) for name in names for i in range(len(BODIES))]
            (home / "prometheus.yml").write_text(json.dumps({"global": CONFIG, "scrape_configs": jobs}))
            listen = f"127.0.0.1:{free_port()}"
            command = [binary("prometheus"), f"--config.file={home}/prometheus.yml", f"--web.listen-address={listen}"]
            command += [f"--storage.tsdb.path={home}/data", *flags]
            stack.enter_context(running(command, home / "log", f"http://{listen}/-/ready"))
            urls |= dict.fromkeys(names, f"http://{listen}")
        yield urls


def key(labels: Labels) -> str:
    return str(labels.without(("job", "instance")))


def theirs(url: str, job_name: str, up: str) -> Found:
    """The samples of a scrape with this outcome; one that a busy machine was too slow for is followed by another."""

    def scraped() -> Any:
        result = get_json(f"{url}/api/v1/query", query=f'{{job="{job_name}"}}')["data"]["result"]
        if up not in [r["value"][1] for r in result if r["metric"]["__name__"] == "up"]:
            raise ValueError(f"the last scrape said {last_error(url, job_name)}")
        return result

    found = {
        key(Labels(r["metric"])): r["histogram"][1] if "histogram" in r else r["value"][1]
        for r in wait_for(f"a scrape of {job_name} with up {up}", scraped)
    }
    return {
        k: v
        for k, v in found.items()
        if not k.startswith("scrape_") or k in ("scrape_samples_scraped", "scrape_samples_post_metric_relabeling")
    }


def last_error(url: str, job_name: str) -> list[str]:
    targets = get_json(f"{url}/api/v1/targets")["data"]["activeTargets"]
    return [t["lastError"] for t in targets if t["scrapePool"] == job_name]


def ours(body: bytes, how: HistogramScraping) -> Found:
    """What one scrape leaves in the head, and what it reports."""
    head = Head(Demand.keep_all(300_000))
    cache = ScrapeCache(head, Labels.of(job="j", instance="t"), SampleRules())
    if body not in TEXTS:
        made = translated(body, how)
    elif how.to_custom_buckets:
        made = at_once(CustomBucketTranslator(body, TEXTS[body], how).work())
    else:
        made = TranslatedBody(body)
    fmt = TEXTS[body] if body in TEXTS and not how.to_custom_buckets else Format.PROTOBUF
    good = not made.error
    if made.faults:
        good = not at_once(cache.refuse(made.text, fmt, made.error, made.faults)).error
    if good:
        taken = cache.ingest(made.text, fmt, T0, BodyHistograms(made.histograms) if made.histograms else None)
        good = not taken.error
    found: Found = {"up": "1" if good else "0"}
    if good:
        found |= dict.fromkeys(
            ("scrape_samples_scraped", "scrape_samples_post_metric_relabeling"), str(taken.counts.scraped)
        )
    s = head.select([Matcher("__name__", MatchOp.REGEX, ".+")], 0, 2**62)
    for i, labels in enumerate(s.index.labels):
        value = float(s.values[i, 0])
        histogram = None if s.boxes is None else s.boxes.unbox(value)
        found[key(labels)] = format_float_json(value) if histogram is None else histogram_json(histogram)
    return found


@pytest.mark.parametrize("name", JOBS)
def test_the_same_series(name: str, real: dict[str, str]) -> None:
    for i, body in enumerate(BODIES):
        if name == "c" and (CLASSIC_BODIES <= i < RANDOM_BODIES or body is WRONG_NATIVE):
            continue  # without its flag Prometheus 3.5 drops native histograms whole, 3.14 scrapes their classic series
        if JOBS[name].to_custom_buckets and GAUGE_HISTOGRAM in body:
            continue  # Prometheus 3.5 leaves gauge histograms classic, 3.14 makes custom buckets of them, too
        got = ours(body, JOBS[name])
        expected = theirs(real[name], f"{name}{i}", got["up"])
        if got["up"] == "0":
            expected = {"up": expected["up"]}
        assert got == expected, (name, i, last_error(real[name], f"{name}{i}"))
