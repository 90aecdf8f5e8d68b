"""/federate; tests/e2e/test_federation.py has a real Prometheus scrape it."""

from __future__ import annotations

from collections.abc import Mapping

import httpx
import pytest

from rulepush.exposition.negotiation import ExpositionFormat, NameEscaping, negotiated
from rulepush.exposition.protobuf.delimited import each_family, read_metric
from rulepush.exposition.protobuf.native import is_native, native_histogram
from rulepush.exposition.protobuf.write import MetricType
from rulepush.histogram.buckets import Buckets
from rulepush.histogram.histogram import CounterResetHint, FloatHistogram, stale_histogram
from rulepush.model.labels import METRIC_NAME, Labels
from rulepush.model.sample import STALE, Sample
from rulepush.promql import Engine, EngineOptions, parse_selector
from rulepush.storage.demand import Demand, ManualDemand
from rulepush.storage.demand_history import DemandHistory
from rulepush.storage.head import Head
from rulepush.web.evaluator import QueryEvaluator
from rulepush.web.federate import FederationApi
from tests.fakes import FakeClock
from tests.web.asking import ask_app

T0 = 1_700_000_000_000
S = 1_000


class Kept:
    """A head whose series are federated at T0."""

    def __init__(self, demand: Demand | None = None, external: Mapping[str, str] | None = None, max_samples: int = 100):
        self.clock, self.head = FakeClock(T0), Head(demand or Demand.keep_all(3600 * S))
        self.external = external or {}
        self.ready = True
        self.evaluator = QueryEvaluator(
            lambda: Engine(EngineOptions()),
            self.head,
            DemandHistory(self.head.demand, T0 - 3600 * S),
            self.clock,
            max_samples=max_samples,
        )

    def put(self, ago_s: int, value: float, **labels: str) -> None:
        named = Labels({METRIC_NAME if name == "name" else name: text for name, text in labels.items()})
        self.head.append_many([Sample(named, T0 - ago_s * S, value)])

    def get(self, *match: str, accept: str = "", **params: str) -> httpx.Response:
        api = FederationApi(self.evaluator, self.clock, lambda: self.external, lambda: self.ready)
        query = [("match[]", text) for text in match] + list(params.items())
        return ask_app(api.routes(), "GET", "/federate", params=query, headers={"Accept": accept})


def needed(*selectors: str) -> Demand:
    return Demand.of([ManualDemand(parse_selector(text), 300 * S) for text in selectors])


def test_the_newest_samples_are_written_with_their_times() -> None:
    kept = Kept()
    kept.put(20, 1, name="x", a="1")
    kept.put(10, 2.5, name="x", a="1")
    kept.put(5, 1e6, name="x", a='"\\\n')
    kept.put(5, float("inf"), name="b:y", instance="i")
    answer = kept.get('{__name__!=""}')
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"
    assert answer.text == (
        "# TYPE b:y untyped\n"
        f'b:y{{instance="i"}} +Inf {T0 - 5 * S}\n'
        "# TYPE x untyped\n"
        f'x{{a="\\"\\\\\\n",instance=""}} 1e+06 {T0 - 5 * S}\n'
        f'x{{a="1",instance=""}} 2.5 {T0 - 10 * S}\n'
    )


def test_each_series_is_there_once_and_only_what_is_asked_for() -> None:
    kept = Kept()
    for name in ("x", "y", "z"):
        kept.put(1, 1, name=name)
    text = kept.get("x", '{__name__=~"x|y"}', "nosuch").text
    assert [line.split("{")[0] for line in text.splitlines() if line[0] != "#"] == ["x", "y"]


@pytest.mark.parametrize("match", ['{__name__=~".*"}', '{nosuch=""}', '{job=~".*"}'])
def test_all_series_may_be_asked_for(match: str) -> None:
    kept = Kept()
    for name in ("x", "y"):
        kept.put(1, 1, name=name)
    assert kept.get(match).text.count("# TYPE") == 2


def test_ended_and_old_series_are_left_out() -> None:
    kept = Kept()
    kept.put(10, 1, name="ended")
    kept.put(5, STALE, name="ended")
    kept.put(301, 1, name="old")
    kept.put(299, 1, name="there")
    assert kept.get('{__name__=~".+"}').text == f'# TYPE there untyped\nthere{{instance=""}} 1 {T0 - 299 * S}\n'


def test_external_labels_are_added_where_a_series_has_none() -> None:
    kept = Kept(external={"zone": "z", "site": "s", "a": "outside"})
    kept.put(1, 1, name="x", a="own", instance="i")
    kept.put(1, 1, name="y")
    assert kept.get("x", "y").text == (
        f'# TYPE x untyped\nx{{a="own",instance="i",site="s",zone="z"}} 1 {T0 - S}\n'
        f'# TYPE y untyped\ny{{a="outside",instance="",site="s",zone="z"}} 1 {T0 - S}\n'
    )


def test_names_are_escaped_unless_the_client_takes_them_as_they_are() -> None:
    kept = Kept()
    kept.put(1, 1, name="a.b", **{"1c": "d"})
    assert kept.get('{"a.b"}').text == f'# TYPE a_b untyped\na_b{{_c="d",instance=""}} 1 {T0 - S}\n'
    answer = kept.get('{"a.b"}', accept="text/plain;version=0.0.4;escaping=allow-utf-8")
    assert answer.headers["content-type"].endswith("escaping=allow-utf-8")
    assert answer.text == f'# TYPE "a.b" untyped\n{{"a.b","1c"="d",instance=""}} 1 {T0 - S}\n'


@pytest.mark.parametrize(
    ("accept", "utf8"),
    [
        ("", False),
        ("text/plain", False),
        ("text/plain;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.2", True),
        ("text/plain;version=0.0.4;q=0.9,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.6", False),
        ("application/openmetrics-text;escaping=allow-utf-8", True),
        ("text/plain;escaping=nonsense", False),
    ],
)
def test_which_names_a_client_takes(accept: str, utf8: bool) -> None:
    assert negotiated(accept) == ExpositionFormat(False, NameEscaping.ALLOW_UTF8 if utf8 else NameEscaping.UNDERSCORES)


def test_whatever_a_client_accepts_it_gets_the_text_format() -> None:
    kept = Kept()
    kept.put(1, 1, name="x")
    for accept in ("application/openmetrics-text", "application/vnd.google.protobuf", "image/png"):
        answer = kept.get("x", accept=accept)
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4;")
        assert answer.text.startswith("# TYPE x untyped\n")


def test_what_is_not_kept_is_an_error_and_not_an_absent_series() -> None:
    kept = Kept(needed('up{job="app"}'))
    kept.put(1, 1, name="up", job="app")
    assert kept.get('up{job="app"}').text.count("\n") == 2
    for match in ("up", "memory", '{job="app"}'):
        answer = kept.get('up{job="app"}', match)
        assert answer.status_code == 422, match
        assert "the rules need" in answer.text or "no rule needs" in answer.text
        assert "incomplete=allow" in answer.text
        assert answer.headers["content-type"].startswith("text/plain")


def test_what_is_there_may_be_taken_with_a_comment() -> None:
    kept = Kept(needed('up{job="app"}'))
    kept.put(1, 1, name="up", job="app")
    answer = kept.get("up", incomplete="allow")
    comment, *lines = answer.text.splitlines()
    assert answer.status_code == 200
    assert comment.startswith("# rulepush: incomplete: of up the rules need only")
    assert lines == ["# TYPE up untyped", f'up{{job="app",instance=""}} 1 {T0 - S}']


def test_without_match_there_is_nothing() -> None:
    answer = Kept().get()
    assert (answer.status_code, answer.text) == (200, "")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")


@pytest.mark.parametrize(("match", "status"), [("(", 400), ("sum(x)", 400), ("{}", 400)])
def test_a_selector_that_is_none(match: str, status: int) -> None:
    answer = Kept().get(match)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert "match[]" in answer.text


def test_so_many_samples_may_be_read() -> None:
    kept = Kept(max_samples=2)
    for i in range(3):
        kept.put(1, 1, name="x", i=str(i))
    answer = kept.get("x")
    assert answer.status_code == 422
    assert "too many samples" in answer.text


def test_before_the_configuration_is_in_effect_there_is_no_answer() -> None:
    kept = Kept()
    kept.ready = False
    assert kept.get("x").status_code == 503


def test_a_large_answer_is_sent_in_pieces() -> None:
    kept = Kept(max_samples=100_000)
    kept.head.append_many([Sample(Labels({METRIC_NAME: "x", "i": str(i) * 5}), T0 - S, i) for i in range(40_000)])
    answer = kept.get("x")
    assert "content-length" not in answer.headers
    assert answer.text.count("\n") == 40_001


def test_it_is_compressed() -> None:
    kept = Kept(max_samples=10_000)
    kept.head.append_many([Sample(Labels({METRIC_NAME: "x", "i": str(i)}), T0 - S, i) for i in range(100)])
    api = FederationApi(kept.evaluator, kept.clock, dict, lambda: True)
    answer = ask_app(api.routes(), "GET", "/federate?match[]=x", headers={"Accept-Encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.text.count("\n") == 101


def test_a_query_of_many_selectors_is_answered() -> None:
    kept = Kept(max_samples=1_000)
    kept.put(1, 1, name="x")
    assert kept.get(*(f'x{{a!="{i}"}}' for i in range(900))).text.count("\n") == 2
    answer = kept.get(*(f'x{{a!="{i}"}}' for i in range(1001)))
    assert answer.status_code == 400


PROTOBUF = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6"
NATIVE = FloatHistogram(
    schema=1, count=5.5, sum=2, zero_threshold=0.1, zero_count=1, positive=Buckets.from_spans([(-2, 2)], [1, 3.5])
)
CUSTOM = FloatHistogram(
    schema=-53, count=6, sum=9, positive=Buckets.from_spans([(0, 1), (1, 1)], [1, 5]), custom_values=(0.5, 2.0)
)


def of_every_kind() -> Kept:
    kept = Kept(external={"site": "s"})
    kept.put(1, 2.5, name="h", k="c")
    at = T0 - 2 * S
    kept.head.append_histogram(Labels.of(__name__="h", k="a"), at, NATIVE)
    kept.head.append_histogram(Labels.of(__name__="h", k="b"), at, NATIVE.with_hint(CounterResetHint.GAUGE))
    kept.head.append_histogram(Labels.of(__name__="n", k="a"), at, CUSTOM)
    kept.head.append_histogram(Labels.of(__name__="old", k="a"), at - S, NATIVE)
    kept.head.append_histogram(Labels.of(__name__="old", k="a"), at, stale_histogram())
    return kept


def test_text_has_histograms_of_custom_buckets_as_classic_ones_and_no_others() -> None:
    rest = 'k="a",instance="",site="s"'
    assert of_every_kind().get("h", "n", "old").text == (
        f'# TYPE h untyped\nh{{k="c",instance="",site="s"}} 2.5 {T0 - S}\n'
        "# TYPE n histogram\n"
        f'n_bucket{{{rest},le="0.5"}} 1 {T0 - 2 * S}\n'
        f'n_bucket{{{rest},le="2"}} 1 {T0 - 2 * S}\n'
        f'n_bucket{{{rest},le="+Inf"}} 6 {T0 - 2 * S}\n'
        f"n_sum{{{rest}}} 9 {T0 - 2 * S}\n"
        f"n_count{{{rest}}} 6 {T0 - 2 * S}\n"
    )


def test_protobuf_has_all_histograms_in_families_of_one_kind() -> None:
    answer = of_every_kind().get("h", "n", "old", accept=f"text/plain;q=0.3,{PROTOBUF}")
    assert answer.headers["content-type"] == (
        "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited; "
        "escaping=underscores"
    )
    families = [(f.name, f.type, [read_metric(raw) for raw in f.metric]) for f in each_family(answer.content)]
    assert [(name, kind, len(metrics)) for name, kind, metrics in families] == [
        (b"h", MetricType.HISTOGRAM, 1),
        (b"h", MetricType.GAUGE_HISTOGRAM, 1),
        (b"h", MetricType.UNTYPED, 1),
        (b"n", MetricType.HISTOGRAM, 1),
    ]
    native, gauge, number, custom = (metrics[0] for _, _, metrics in families)
    assert native_histogram(native.histogram, gauge=False) == NATIVE
    assert [(pair.name, pair.value) for pair in native.label] == [(b"k", b"a"), (b"instance", b""), (b"site", b"s")]
    assert native.timestamp_ms == gauge.timestamp_ms == T0 - 2 * S
    assert native_histogram(gauge.histogram, gauge=True) == NATIVE.with_hint(CounterResetHint.GAUGE)
    assert number.untyped.value == 2.5
    buckets = [(b.upper_bound, b.cumulative_count_float) for b in custom.histogram.bucket]
    assert (buckets, custom.histogram.sample_count_float) == ([(0.5, 1), (2, 1)], 6)


def test_a_histogram_without_observations_is_read_as_a_native_one() -> None:
    kept = Kept()
    kept.head.append_histogram(Labels.of(__name__="h"), T0 - S, FloatHistogram(schema=3))
    (family,) = each_family(kept.get("h", accept=PROTOBUF).content)
    assert is_native(read_metric(family.metric[0]).histogram)


@pytest.mark.parametrize(
    ("escaping", "shown"),
    [
        ("underscores", ("a__b_", "_c")),
        ("dots", ("a___dot_b__", "__c")),
        ("values", ("U__a___2e_b_20ac_", "U___31_c")),
        ("allow-utf-8", ("a_.b€", "1c")),
    ],
)
def test_names_in_protobuf_are_escaped_as_the_client_says(escaping: str, shown: tuple[str, str]) -> None:
    kept = Kept()
    kept.put(1, 1, name="a_.b€", **{"1c": "d"})
    answer = kept.get('{"a_.b€"}', accept=f"{PROTOBUF};escaping={escaping}")
    (family,) = each_family(answer.content)
    assert answer.headers["content-type"].endswith(f"escaping={escaping}")
    label = read_metric(family.metric[0]).label[0]
    assert (family.name.decode(), label.name.decode()) == shown
