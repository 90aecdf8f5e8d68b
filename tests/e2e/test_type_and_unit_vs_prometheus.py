"""`--enable-feature=type-and-unit-labels`: a real Prometheus and our scrapes make the same series of the same bodies.

Not in the bodies: a UNIT line that stands before its TYPE line and right behind a histogram that becomes one with
custom buckets. There Prometheus 3.5.3 has that histogram twice, once with the unit of the next family.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from rulepush.exposition import Format
from rulepush.exposition.custom_buckets import CustomBucketTranslator
from rulepush.exposition.entries import HistogramScraping
from rulepush.exposition.protobuf.translate import translated
from rulepush.exposition.translated import TranslatedBody
from rulepush.model.labels import Labels
from rulepush.model.matcher import Matcher, MatchOp
from rulepush.relabel.relabel import Action, RelabelConfig, relabel
from rulepush.scrape.body_histograms import BodyHistograms
from rulepush.scrape.cache import ScrapeCache
from rulepush.scrape.sample_labels import SampleRules
from rulepush.slices import at_once
from rulepush.storage.demand import Demand
from rulepush.storage.head import Head
from tests import delimited_families as wire
from tests.http_server import HttpReply, HttpRequest, LoopbackServer
from tests.servers import binary, free_port, get_json, running, wait_for

pytestmark = pytest.mark.e2e

T0 = 1_700_000_000_000
TEXT = b"""before_any_type 1
# HELP c_total of c
# TYPE c_total counter
c_total 1
c_total{__type__="gauge",__unit__="own",a="b"} 2
# UNIT c_total bytes
other_name 3
# TYPE g gauge
g{instance="theirs"} 1
# TYPE u untyped
u{__type__="mine"} 1
u{__unit__=""} 2
# TYPE s summary
s{quantile="0.5"} 1
s_sum 2
s_count 3
# TYPE h histogram
h_bucket{le="1"} 1
h_bucket{le="+Inf"} 3
h_sum 2.5
h_count 3
# TYPE "h h" gauge
{"h h",x="y"} 2
"""
OPENMETRICS = b"""# TYPE c_seconds counter
# UNIT c_seconds seconds
c_seconds_total 1
c_seconds_created 5
c_seconds_total{__type__="gauge",__unit__="own",a="b"} 2
# TYPE g gauge
g 1
# TYPE h_bytes histogram
# UNIT h_bytes bytes
h_bytes_bucket{le="1.0"} 1
h_bytes_bucket{le="+Inf"} 3
h_bytes_count 3
h_bytes_sum 3
# TYPE i_ratio info
# UNIT i_ratio ratio
i_ratio_info{v="1"} 1
# UNIT before_meters meters
# TYPE before_meters gauge
before_meters 1
# TYPE without gauge
without 1
# TYPE st stateset
# UNIT st\x20
st{st="a"} 1
# TYPE gh gaugehistogram
gh_bucket{le="+Inf"} 1
gh_gcount 1
gh_gsum 1
# TYPE u unknown
u{__type__="mine",__unit__="mine"} 1
# EOF
"""
PROTOBUF = b"".join(
    (
        wire.family(
            "c_seconds_total",
            wire.COUNTER,
            wire.metric(wire.COUNTER, wire.number(1), [("__type__", "gauge"), ("a", "b")]),
            unit="seconds",
        ),
        wire.gauge("g", 1, [("__unit__", "own")]),
        wire.family("u", wire.UNTYPED, wire.metric(wire.UNTYPED, wire.number(1), [("__type__", "mine")])),
        wire.family("s", wire.SUMMARY, wire.metric(wire.SUMMARY, wire.summary(3, 2, [(0.5, 1)]), [])),
        wire.family(
            "n_bytes",
            wire.HISTOGRAM,
            wire.metric(wire.HISTOGRAM, wire.histogram(3, 2, [(1, 1), (2, 3)], schema=0, positive=([(0, 1)], [3])), []),
            unit="bytes",
        ),
        wire.family(
            "h_bytes",
            wire.HISTOGRAM,
            wire.metric(wire.HISTOGRAM, wire.histogram(3, 2, [(1, 1), (2, 3)]), [("__unit__", "own")]),
            unit="bytes",
        ),
    )
)
BODIES = {"text": TEXT, "openmetrics": OPENMETRICS, "protobuf": PROTOBUF}
CONTENT_TYPES = {"text": Format.TEXT.value, "openmetrics": Format.OPENMETRICS.value, "protobuf": wire.CONTENT_TYPE}
RELABEL: tuple[dict[str, Any], ...] = (
    {"source_labels": ["__type__", "__unit__"], "separator": "/", "target_label": "kind"},
    {"source_labels": ["__type__"], "regex": "summary", "action": "drop"},
    {"regex": "__unit__", "action": "labeldrop"},
)
OUR_RELABEL = (
    RelabelConfig(source_labels=("__type__", "__unit__"), separator="/", target_label="kind"),
    RelabelConfig(source_labels=("__type__",), regex="summary", action=Action.DROP),
    RelabelConfig(regex="__unit__", action=Action.LABEL_DROP),
)
JOBS: dict[str, dict[str, Any]] = {
    "plain": {},
    "honored": {"honor_labels": True},
    "relabelled": {"metric_relabel_configs": RELABEL},
    "custom": {"convert_classic_histograms_to_nhcb": True},
}


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    def reply(request: HttpRequest) -> HttpReply:
        name = request.path[1:]
        return HttpReply(BODIES[name], content_type=CONTENT_TYPES[name])

    target = LoopbackServer(reply)
    home = tmp_path_factory.mktemp("prometheus")
    jobs = [
        {
            "job_name": f"{job}-{body}",
            "metrics_path": f"/{body}",
            "static_configs": [{"targets": [target.address], "labels": {"instance": "t"}}],
            **more,
        }
        for job, more in JOBS.items()
        for body in BODIES
    ]
    config = {"global": {"scrape_interval": "1s"}, "scrape_configs": jobs}
    (home / "prometheus.yml").write_text(json.dumps(config))
    listen = f"127.0.0.1:{free_port()}"
    command = [binary("prometheus"), f"--config.file={home}/prometheus.yml", f"--web.listen-address={listen}"]
    command += [f"--storage.tsdb.path={home}/data", "--enable-feature=native-histograms,type-and-unit-labels"]
    with running(command, home / "log", f"http://{listen}/-/ready"):
        yield f"http://{listen}"
    target.close()


def theirs(url: str, job: str) -> list[dict[str, str]]:
    """/api/v1/series of a job, without what a scrape reports of itself."""

    def scraped() -> Any:
        found = get_json(f"{url}/api/v1/series", **{"match[]": f'{{job="{job}"}}'})["data"]
        return found if any(s["__name__"] == "up" for s in found) else None

    def mine(series: dict[str, str]) -> bool:
        return series["__name__"] != "up" and not series["__name__"].startswith("scrape_")

    return sorted(filter(mine, wait_for(job, scraped)), key=str)


def ours(cache: ScrapeCache, head: Head, how: HistogramScraping, body: str) -> list[dict[str, str]]:
    content, fmt = BODIES[body], Format.PROTOBUF
    if body == "protobuf":
        made = translated(content, how)
    elif how.to_custom_buckets:
        made = at_once(CustomBucketTranslator(content, Format(CONTENT_TYPES[body]), how).work())
    else:
        made, fmt = TranslatedBody(content), Format(CONTENT_TYPES[body])
    taken = cache.ingest(made.text, fmt, T0, BodyHistograms(made.histograms) if made.histograms else None)
    assert not taken.error
    found = head.select([Matcher("__name__", MatchOp.REGEX, ".+")], 0, 2**62)
    return sorted((labels.as_dict() for labels in found.index.labels), key=str)


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("job", JOBS)
def test_the_same_series(job: str, body: str, real: str) -> None:
    more = JOBS[job]
    rules = SampleRules(
        honor_labels=more.get("honor_labels", False),
        metric_relabel=partial(relabel, configs=OUR_RELABEL) if "metric_relabel_configs" in more else None,
        type_and_unit_labels=True,
    )
    how = HistogramScraping(native=True, to_custom_buckets=job == "custom")
    name = f"{job}-{body}"
    head = Head(Demand.keep_all(300_000))
    got = ours(ScrapeCache(head, Labels.of(job=name, instance="t"), rules), head, how, body)
    expected = theirs(real, name)
    assert [json.dumps(s, sort_keys=True) for s in got] == [json.dumps(s, sort_keys=True) for s in expected]
    assert any(s.get("__type__") == "counter" for s in got)
