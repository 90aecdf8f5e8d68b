from __future__ import annotations

import math
import random

import pytest

from rulepush.exposition import Format, parse_body
from rulepush.model.block import SampleBlock
from rulepush.model.labels import METRIC_NAME, Labels
from rulepush.model.matcher import Matcher, MatchOp
from rulepush.model.sample import Sample, is_stale
from rulepush.scrape.cache import Ingested, ScrapeCache
from rulepush.scrape.layout import ScrapeBodyStats
from rulepush.scrape.sample_labels import SampleRules
from rulepush.storage.demand import Demand, ManualDemand
from rulepush.storage.head import Head
from tests.needs import SHARED, needs_shared

T0 = 1_700_000_000_000
TARGET = Labels.of(job="j", instance="i")
SAMPLES = SHARED / "samples"
ANY = Matcher("__name__", MatchOp.REGEX, ".+")


class Scraped:
    """A head and one target's cache, given bodies in turn."""

    def __init__(self, rules: SampleRules | None = None, demand: Demand | None = None):
        self.head = Head(demand or Demand.keep_all(300_000))
        self.sunk: list[Sample] = []
        self.rules = rules or SampleRules()
        self.cache = ScrapeCache(self.head, TARGET, self.rules)
        self.fmt = Format.TEXT
        self.ts = T0

    def with_sink(self) -> Scraped:
        self.cache = ScrapeCache(self.head, TARGET, self.rules, sink=lambda block: self.sunk.extend(block.samples()))
        return self

    def take(self, body: bytes) -> Ingested:
        self.ts += 1000
        return self.cache.ingest(body, self.fmt, self.ts)

    def rows(self) -> dict[str, list[float | str]]:
        """Values by series without the target's labels; a stale marker is "stale"."""
        s = self.head.select([ANY], 0, 2**62)
        return {
            str(labels.without(("job", "instance"))): [
                "stale" if is_stale(v) else v for v in s.values[i, : s.counts[i]].tolist()
            ]
            for i, labels in enumerate(s.index.labels)
        }


def test_a_timestamp_of_any_size_fails_its_own_scrape_at_most() -> None:
    s = Scraped()
    assert "value out of range" in s.take(b"a 1 " + b"9" * 5000 + b"\n").error
    assert s.take(b"a 1 " + b"0" * 5000 + b"%d\n" % s.ts).error == ""
    s = Scraped()
    s.fmt = Format.OPENMETRICS
    for _ in range(2):  # learned, then known
        for text in (b"1e308", b"-1e308", b"1e30", b"-1e30"):
            assert s.take(b"a 1 %s\n# EOF\n" % text).error == ""
    assert s.take(b"a 1\n# EOF\n") == Ingested(ScrapeBodyStats(1, 1, 1), added=0)


def test_a_body_far_beyond_the_sample_limit_is_not_parsed() -> None:
    s = Scraped(SampleRules(sample_limit=3))
    many = b"".join(b"a%d 1\n" % i for i in range(2000))
    assert s.take(many + b"this does not parse{\n") == Ingested(
        ScrapeBodyStats(2001, 2001), added=3, error="sample limit exceeded"
    )
    assert s.take(b"a 1\n" * 2000).error == ""  # one sample, and its repetitions, which do not count
    assert s.take(b"# c\n" * 2000 + b"a 1\nb 1\nc 1\n").error == ""
    dropping = SampleRules(sample_limit=3, metric_relabel=lambda labels: None if "a" in labels.name else labels)
    assert Scraped(dropping).take(many).error == ""


def test_series_of_a_body_that_fails_are_new_once() -> None:
    s = Scraped()
    bad = b"a 1\nb 1\nb x\n"
    assert [s.take(bad).added for _ in range(2)] == [2, 0]
    assert [s.take(b"a 1\nc 1\n").added for _ in range(2)] == [1, 0]
    assert [s.take(bad).added for _ in range(2)] == [1, 0]  # b was not in the good one
    assert s.take(b"a 1\nc 1\n").added == 0
    assert s.take(bad).added == 1
    for i in range(3):  # the memory of a target that makes up series and never succeeds is bounded
        assert s.take(b"".join(b"n%d_%d 1\n" % (i, n) for n in range(1500)) + b"x\n").added == 1500
        assert len(s.cache._failed) <= 1500 + 1


def test_the_same_body_again_adds_a_sample_to_each_series() -> None:
    s = Scraped()
    assert s.take(b'a{x="1"} 1\nb 2\n') == Ingested(ScrapeBodyStats(2, 2, 2, 0), added=2)
    assert s.take(b'a{x="1"} 3\nb 4\n') == Ingested(ScrapeBodyStats(2, 2, 2, 0), added=0)
    assert s.rows() == {'a{x="1"}': [1.0, 3.0], "b": [2.0, 4.0]}


def test_only_what_a_rule_needs_is_kept_but_all_is_counted() -> None:
    s = Scraped(demand=Demand.of([ManualDemand((Matcher("__name__", MatchOp.EQUAL, "a"),), 1000)]))
    for _ in range(2):
        assert s.take(b"a 1\nb 2\nc 3\n").counts == ScrapeBodyStats(3, 3, 1, 0)
    assert s.rows() == {"a": [1.0, 1.0]}


def test_a_series_that_vanishes_gets_a_stale_marker_once() -> None:
    s = Scraped()
    s.take(b"a 1\nb 1\n")
    s.take(b"a 2\n")
    s.take(b"a 3\n")
    assert s.take(b"b 4\na 4\n").added == 1
    assert s.rows() == {"a": [1.0, 2.0, 3.0, 4.0], "b": [1.0, "stale", 4.0]}


def test_a_failed_scrape_ends_all_series_and_the_next_good_one_goes_on() -> None:
    s = Scraped()
    s.take(b"a 1\nb 1\n")
    s.ts += 1000
    assert s.cache.end(s.ts) == 2
    assert s.cache.end(s.ts + 1) == 0
    assert s.take(b"a 2\nb 2\n").added == 0
    assert s.rows() == {"a": [1.0, "stale", 2.0], "b": [1.0, "stale", 2.0]}


def test_an_empty_body_is_a_good_scrape_without_series() -> None:
    s = Scraped()
    s.take(b"a 1\n")
    assert s.take(b"") == Ingested(ScrapeBodyStats())
    assert s.rows() == {"a": [1.0, "stale"]}


@pytest.mark.parametrize("first", [b"", b"good 1\nb 2\n"])
def test_nothing_of_a_body_that_does_not_parse_is_kept(first: bytes) -> None:
    s = Scraped()
    s.take(first)
    before = s.rows()
    done = s.take(b"good 1\nb x\n")
    assert done.error.startswith("line 2: strconv.ParseFloat")
    assert done.counts == ScrapeBodyStats(scraped=1, post_relabel=1)
    assert s.rows() == before


@pytest.mark.parametrize("bad", [b"1_0", b"1e999", b"+nan", b"0x1p3", b" 1", b"\xd9\xa1", b"1\r"])
def test_values_of_lines_seen_before_are_checked_as_strictly(bad: bytes) -> None:
    s = Scraped(demand=Demand.of([]))
    s.take(b"a 1\nb 2\n")
    assert bool(s.take(b"a " + bad + b"\nb 2\n").error) is (bad != b" 1")
    assert not s.take(b"a NaN\nb +Inf\n").error
    assert not s.take(b"a inf\nb -Infinity\n").error


def test_what_failed_to_come_does_not_end_when_the_scrapes_fail() -> None:
    """A series of a body with an error was never there, also when it is met again in a good one afterwards."""
    s = Scraped()
    s.take(b"a 1\nb 1\n")
    assert s.take(b"a 2\nb 2\nc 2\nbad{\n").error
    assert s.cache.end(s.ts) == 2
    assert s.rows() == {"a": [1, "stale"], "b": [1, "stale"]}
    s.take(b"a 3\nb 3\n")
    assert s.cache.end(s.ts + 1) == 2
    s.take(b"a 4\nb 4\nc 4\n")
    s.take(b"a 5\nc 5\n")
    assert s.rows()["c"] == [4, 5]
    s.ts += 1000
    assert s.cache.end(s.ts) == 2
    assert s.rows()["b"] == [1, "stale", 3, "stale", 4, "stale"]


def test_a_series_that_goes_and_comes_again_keeps_its_row() -> None:
    s = Scraped()
    a, b = b'm{x="1"} 1\n', b'm{x="2"} 2\n'
    for body in (a + b, a + b, a, a + b, b, a + b):
        assert not s.take(body).error
    assert s.rows() == {'m{x="1"}': [1, 1, 1, 1, "stale", 1], 'm{x="2"}': [2, 2, "stale", 2, 2, 2]}
    assert s.cache.end(s.ts + 1) == 2
    s.take(b"n 1\n")
    assert s.cache.end(s.ts + 1) == 1


def test_explicit_timestamps_are_honoured_and_not_tracked_for_staleness() -> None:
    s = Scraped()
    s.take(b"a 1 %d\n" % (T0 - 5000))
    s.take(b"a 2 %d\n" % (T0 - 4000))
    assert s.take(b"a 3 %d\n" % (T0 - 4500)).late == 1
    assert s.take(b"a 4 %d\n" % (T0 + 3_600_000)).late == 1
    s.take(b"b 1\n")
    assert s.rows() == {"a": [1.0, 2.0], "b": [1.0]}
    times = s.head.select([ANY], 0, 2**62).times[0, :2].tolist()
    assert times == [T0 - 5000, T0 - 4000]


def test_explicit_timestamps_can_be_tracked_or_ignored() -> None:
    tracked = Scraped(SampleRules(track_timestamps_staleness=True))
    tracked.take(b"a 1 %d\n" % (T0 - 5000))
    tracked.take(b"b 1\n")
    assert tracked.rows()["a"] == [1.0, "stale"]
    ignored = Scraped(SampleRules(honor_timestamps=False))
    for _ in range(2):
        ignored.take(b"a 1 5\n")
    ignored.take(b"b 1\n")
    assert ignored.rows()["a"] == [1.0, 1.0, "stale"]


def test_the_first_of_two_equal_series_counts() -> None:
    s = Scraped()
    assert s.take(b'a{x="1"} 1\na{x="1"} 2\n').duplicates == 1
    assert s.take(b'a{x="1"} 3\na{x="1"} 4\n') == Ingested(ScrapeBodyStats(2, 2, 1, 1), 0, 0, 1)
    assert s.take(b'a{x="1",} 5\na{x="1"} 6\n').duplicates == 1
    assert s.rows() == {'a{x="1"}': [1.0, 3.0, 5.0]}


def test_target_labels_win_and_the_bodys_own_are_exported() -> None:
    s = Scraped()
    s.take(b'a{job="own",exported_job="older",x="1"} 1\n')
    assert list(s.rows()) == ['a{exported_exported_job="own", exported_job="older", x="1"}']
    assert {labels.get("job") for labels in s.head.series(())} == {"j"}


def test_honor_labels_keeps_the_bodys_own_and_an_empty_one_keeps_the_targets_out() -> None:
    s = Scraped(SampleRules(honor_labels=True))
    s.take(b'a{job="own",instance=""} 1\n')
    assert s.head.series([ANY]) == [Labels({"__name__": "a", "job": "own"})]


def test_metric_relabelling_is_asked_once_a_series() -> None:
    asked: list[Labels] = []

    def relabel(labels: Labels) -> Labels | None:
        asked.append(labels)
        return None if labels.name == "b" else labels.with_({"x": "y"})

    s = Scraped(SampleRules(metric_relabel=relabel))
    for _ in range(3):
        assert s.take(b"a 1\nb 2\n").counts == ScrapeBodyStats(2, 1, 1, 0)
    assert len(asked) == 2
    assert s.rows() == {'a{x="y"}': [1.0, 1.0, 1.0]}


def test_relabelling_the_name_away_fails_the_scrape() -> None:
    s = Scraped(SampleRules(metric_relabel=lambda labels: labels.without((METRIC_NAME,))))
    assert s.take(b"a 1\n").error == "missing metric name (__name__ label)"


@pytest.mark.parametrize(
    ("rules", "error"),
    [
        (SampleRules(sample_limit=1), "sample limit exceeded"),
        (SampleRules(label_limit=3), "label_limit exceeded (metric: a, number of labels: 4, limit: 3)"),
        (
            SampleRules(label_name_length_limit=8),
            "label_name_length_limit exceeded (metric: a, label name: long_name, length: 9, limit: 8)",
        ),
        (
            SampleRules(label_value_length_limit=3),
            'label_value_length_limit exceeded (metric: a, label name: long_name, value: "1234", length: 4, limit: 3)',
        ),
    ],
)
def test_a_limit_fails_the_whole_scrape(rules: SampleRules, error: str) -> None:
    s = Scraped(rules)
    for _ in range(2):
        done = s.take(b'b 1\na{long_name="1234"} 1\n')
        assert done.error == error
        assert done.counts == ScrapeBodyStats(2, 2 if rules.sample_limit else 1)
    assert s.rows() == {}


def test_a_reload_asks_the_new_demand() -> None:
    a, b = (ManualDemand((Matcher("__name__", MatchOp.EQUAL, n),), 1000) for n in "ab")
    s = Scraped(demand=Demand.of([a]))
    s.take(b"a 1\nb 1\n")
    s.head.set_demand(Demand.of([b]))
    assert s.take(b"a 2\nb 2\n") == Ingested(ScrapeBodyStats(2, 2, 1, 0), added=0)
    assert s.rows() == {"b": [2.0]}


def test_rows_that_moved_are_found_again() -> None:
    s = Scraped()
    s.head.append(Labels({"__name__": "a", "old": "1"}), T0 - 10_000_000, 1.0)
    s.take(b"a 1\n")
    assert s.head.truncate(T0) == 1
    s.take(b"a 2\n")
    s.head.truncate(T0 + 10_000_000)
    s.take(b"a 3\n")
    assert s.rows() == {"a": [3.0]}


def test_a_quoted_newline_is_read_even_when_its_lines_look_like_others() -> None:
    s = Scraped()
    s.take(b"up 1\n")
    s.take(b'a{x="\nup 1\n"} 5\n')
    assert s.rows() == {"up": [1.0, "stale"], 'a{x="\\nup 1\\n"}': [5.0]}


def test_openmetrics_with_exemplars_and_timestamps() -> None:
    s = Scraped()
    s.fmt = Format.OPENMETRICS
    body = b'# TYPE a counter\na_total{x="1"} %d # {t="q # {"} 1 2.5\nb 1 1600000000.5\nc %d\n# EOF\n'
    for i in range(3):
        assert not s.take(body % (i, i)).error
    assert s.rows() == {'a_total{x="1"}': [0.0, 1.0, 2.0], "b": [1.0], "c": [0.0, 1.0, 2.0]}
    assert s.take(b'a_total{x="1"} 1 # {t="x"} x 2.5\n# EOF\n').error
    broken = s.take(b"b 1\nc x\n# EOF\n")
    assert (broken.error[:7], broken.counts) == ("line 2:", ScrapeBodyStats(1, 1))
    assert s.take(b'a_total{x="1"} 1\n').error == "line 2: data does not end with # EOF"
    assert s.take(b"c 1\n# EOF\nc 1\n# EOF\n").error == "line 2: unexpected data after # EOF"
    assert s.take(b"c 1\n\n# EOF\n").error
    assert s.cache.metadata()["a"].type == "counter"


def test_the_sink_gets_every_sample_stale_markers_included() -> None:
    s = Scraped(demand=Demand.of([])).with_sink()
    s.take(b"a 1\nb 2\n")
    s.take(b"a 3\nb 4\n")
    s.take(b"a 5\n")
    got = [(x.labels.name, "stale" if is_stale(x.value) else x.value) for x in s.sunk]
    assert got == [("a", 1.0), ("b", 2.0), ("a", 3.0), ("b", 4.0), ("a", 5.0), ("b", "stale")]
    assert s.rows() == {}


class Passed:
    """A cache without demand whose sink keeps the blocks."""

    def __init__(self) -> None:
        self.blocks: list[SampleBlock] = []
        self.cache = ScrapeCache(Head(Demand.of([])), TARGET, SampleRules(), sink=self.blocks.append)
        self.ts = T0

    def take(self, body: bytes) -> list[SampleBlock]:
        """What a body passes on."""
        self.blocks.clear()
        self.ts += 1000
        assert not self.cache.ingest(body, Format.TEXT, self.ts).error
        return list(self.blocks)


def shown(block: SampleBlock) -> list[tuple[str, int, float | str]]:
    return [(s.labels.name, s.ts - T0, "stale" if is_stale(s.value) else s.value) for s in block.samples()]


def test_while_the_series_stay_the_sink_gets_the_same_tuple_of_them() -> None:
    passed = Passed()
    (first,) = passed.take(b"a 1\nb 2\n")
    (second,) = passed.take(b"a 3\nb 4\n")
    assert second.series is first.series
    assert shown(second) == [("a", 2000, 3.0), ("b", 2000, 4.0)]
    assert shown(first) == [("a", 1000, 1.0), ("b", 1000, 2.0)]  # nobody wrote over it


def test_a_body_that_is_read_line_by_line_passes_on_the_same_tuple_too() -> None:
    """A sample with a time of its own has the body read so, each time."""
    passed = Passed()
    body = b"a 1\nb 2\nc 3 1700000000500\n"
    first, timed = passed.take(body)
    second, _ = passed.take(body)
    assert second.series is first.series
    assert shown(timed) == [("c", 500, 3.0)]


def test_series_that_come_and_go_leave_the_others_in_their_place() -> None:
    passed = Passed()
    lines = [b"m%d 1" % n for n in range(6)]
    passed.take(b"\n".join([*lines, b""]))
    body, gone = passed.take(b"\n".join([*lines[:2], b"new 7", *lines[3:], b""]))
    assert [(n, v) for n, _, v in shown(body)] == [
        *((f"m{n}", 1.0) for n in (0, 1)),
        ("new", 7.0),
        *((f"m{n}", 1.0) for n in (3, 4, 5)),
    ]
    assert shown(gone) == [("m2", 2000, "stale")]
    (again,) = passed.take(b"\n".join([*lines[:2], b"new 8", *lines[3:], b""]))
    assert again.series is body.series
    assert [v for _, _, v in shown(again)] == [1.0, 1.0, 8.0, 1.0, 1.0, 1.0]


@pytest.mark.parametrize(("gone", "came"), [((1, 4), ()), ((), ("a", "b")), ((0, 5), ("a",)), ((2,), ("a", "b", "c"))])
def test_series_that_come_are_told_with_their_own_values(gone: tuple[int, ...], came: tuple[str, ...]) -> None:
    passed = Passed()
    names = [f"m{n}" for n in range(6)]
    now = [*(name for n, name in enumerate(names) if n not in gone), *came]
    passed.take("".join(f"{name} 0\n" for name in names).encode())
    for turn in (1, 2):
        body = passed.take("".join(f"{name} {i + turn * 100}\n" for i, name in enumerate(now)).encode())[0]
        assert {n: v for n, _, v in shown(body)} == {name: i + turn * 100.0 for i, name in enumerate(now)}
        assert len(body) == len(now)


@pytest.mark.parametrize("seed", range(6))
def test_any_sequence_of_bodies_gives_what_a_full_parse_gives(seed: int) -> None:
    rng = random.Random(seed)
    s = Scraped()
    live: set[str] = set()
    expected: dict[str, list[float | str]] = {}
    for _ in range(60):
        lines = [
            b'%s{x="%d"} %d\n' % (rng.choice((b"a", b"b", b"c")), rng.randrange(4), rng.randrange(9))
            for _ in range(rng.randrange(1, 7))
        ]
        body = b"# TYPE a gauge\n" + b"".join(lines)
        for _ in range(rng.choice((1, 1, 3))):
            assert not s.take(body).error
            now: dict[str, float] = {}
            for sample in parse_body(body, Format.TEXT).samples:
                now.setdefault(str(Labels(sample.pairs)), sample.value)
            for name in live - set(now):
                expected[name].append("stale")
            for name, value in now.items():
                expected.setdefault(name, []).append(value)
            live = set(now)
    assert s.rows() == expected


@needs_shared("samples")
@pytest.mark.parametrize("file", sorted(p.name for p in SAMPLES.glob("*.prom")))
def test_the_samples_are_scraped_with_every_line_accounted_for(file: str) -> None:
    body = (SAMPLES / file).read_bytes()
    s = Scraped()
    s.fmt = Format.OPENMETRICS if "om-" in file else Format.TEXT
    count = sum(1 for line in body.split(b"\n") if line and not line.startswith(b"#"))
    for _ in range(3):
        done = s.take(body)
        assert done.error == ""
        assert done.counts.scraped == done.counts.post_relabel == count
        assert done.counts.wanted + done.counts.duplicates == count
    found = s.head.select([ANY], 0, 2**62)
    expected: dict[Labels, float] = {}
    for sample in parse_body(body, s.fmt).samples:
        expected.setdefault(Labels(sample.pairs).with_(dict(TARGET)), sample.value)
    got = {labels: found.values[i, 0] for i, labels in enumerate(found.index.labels)}
    assert got.keys() == expected.keys()
    assert all(got[k] == v or (math.isnan(v) and math.isnan(got[k])) for k, v in expected.items())


@pytest.mark.parametrize("fmt", Format)
def test_a_bound_is_written_alike_in_a_first_body_and_in_a_line_that_comes_later(fmt: Format) -> None:
    s = Scraped()
    s.fmt = fmt
    end = b"# EOF\n" if fmt is Format.OPENMETRICS else b""
    first = b'# TYPE g gauge\ng{le="1"} 1\n# TYPE h histogram\nh_bucket{le="1"} 1\n'
    s.take(first + end)
    s.take(first + b'h_bucket{le="2"} 3\n# TYPE s summary\ns{quantile="1",le="2"} 1\n' + end)
    names = ['g{le="1"}', 'h_bucket{le="1.0"}', 'h_bucket{le="2.0"}', 's{le="2", quantile="1.0"}']
    assert sorted(s.rows()) == names


def test_a_line_with_a_label_twice_counts_as_scraped_as_in_prometheus() -> None:
    done = Scraped().take(b'a 1\nb{x="1",x="2"} 1\nc 1\n')
    assert done.error.endswith("is not unique: invalid sample")
    assert done.counts == ScrapeBodyStats(scraped=2, post_relabel=1)
